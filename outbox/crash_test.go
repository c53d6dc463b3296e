package outbox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"testing"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/outbox"
	"github.com/fe022423/submission/smtptest"
)

// crash abandons an Outbox at the nth call to its engine, and at all after it.
type crash struct {
	mu    sync.Mutex
	left  int
	at    string // where it happened
	dead  chan struct{}
	polls map[string]bool
}

func newCrash(n int) *crash {
	return &crash{left: n, dead: make(chan struct{}), polls: map[string]bool{"fetch": true, "paused": true}}
}

func (c *crash) seam(call string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at == "" && c.polls[call] { // these come as often as they like
		return nil
	}
	if c.left--; c.left > 0 {
		return nil
	}
	if c.at == "" {
		c.at = call
		close(c.dead)
	}
	return outbox.Abandoned
}

// life is what is to happen to one message, whatever crashes.
type life struct {
	hook     func() smtptest.Hook
	body     func() io.Reader
	mayBe    map[outbox.Status]bool
	accepted int // how often the server may have accepted it, at most
}

// TestCrashAtEachCall abandons everything at each call to the engine that a message takes,
// opens the queue again, and looks what became of it: it is sent once, or held and sent at
// most once; what Enqueue acknowledged is never lost; OnDone was called.
func TestCrashAtEachCall(t *testing.T) {
	small := func() io.Reader { return text("hello") }
	large := func() io.Reader { return bytes.NewReader(bytes.Repeat([]byte("0123456789\r\n"), 30000)) }
	none := func() smtptest.Hook { return nil }
	sentOrHeld := map[outbox.Status]bool{outbox.Sent: true, outbox.Held: true}
	for name, l := range map[string]life{
		"sent":       {none, small, sentOrHeld, 1},
		"large":      {none, large, sentOrHeld, 1},
		"greylisted": {func() smtptest.Hook { return smtptest.Times(1, smtptest.On("RCPT", "", "451 later")) }, small, sentOrHeld, 1},
		"not taken":  {func() smtptest.Hook { return smtptest.Times(1, smtptest.On("MESSAGE", "", "451 later")) }, small, sentOrHeld, 1},
		"refused":    {func() smtptest.Hook { return smtptest.On("RCPT", "", "550 no") }, small, map[outbox.Status]bool{outbox.Failed: true, outbox.Held: true}, 0},
		"uncertain":  {func() smtptest.Hook { return uncertain(1) }, small, sentOrHeld, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most of it is waiting
			for n := 1; l.crashAt(t, n); n++ {
				if n > 100 {
					t.Fatal("there is no end of calls")
				}
			}
		})
	}
}

// crashAt runs a life that crashes at the nth call. It returns false when there was none.
func (l life) crashAt(t *testing.T, n int) bool {
	t.Helper()
	srv := smtptest.NewServer(&smtptest.Config{Hook: l.hook()})
	defer srv.Close()
	client, err := submission.New(srv.Addr(), &submission.Options{TLS: submission.TLSNone})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	dir := t.TempDir()
	in := func(o *outbox.Options) { o.Dir = dir }
	var mu sync.Mutex
	told := 0
	w := &outbox.WorkOptions{
		Workers: 2,
		Client:  func(string) (*submission.Client, error) { return client, nil },
		OnDone:  func(context.Context, outbox.Record) { mu.Lock(); told++; mu.Unlock() },
	}
	w.Backoff = noWait

	// The first life.
	c := newCrash(n)
	ob := open(t, in)
	outbox.SetSeam(ob, c.seam)
	it := &outbox.Item{Key: "k"}
	id, acknowledged := ob.Enqueue(deadline(t), envelope(), l.body(), it)
	run(t, ob, w, func() bool {
		select {
		case <-c.dead:
			return true
		default:
			mu.Lock() // Get would be one more call
			defer mu.Unlock()
			return told > 0
		}
	})
	ob.Close()
	where := fmt.Sprintf("crash %d at %q", n, c.at)

	// The second one: who had no answer asks again.
	ob = open(t, in)
	defer ob.Close()
	if acknowledged != nil {
		if id, err = ob.Enqueue(deadline(t), envelope(), l.body(), it); err != nil && !errors.Is(err, outbox.ErrDuplicate) {
			t.Fatalf("%s: %v", where, err)
		}
	}
	run(t, ob, w, func() bool { return l.isOver(t, ob, id, &mu, &told) })
	r := get(t, ob, id)
	if accepted := len(srv.Messages()); !l.mayBe[r.Status] || accepted > l.accepted || r.Status == outbox.Sent && accepted != 1 {
		t.Errorf("%s: the message is %s (%s), the server accepted it %d times", where, r.Status, r.Err, accepted)
	}
	marked := map[string]bool{"published": true, "commit": true, "committed": true, "publish": true, "": true}
	if r.Status == outbox.Held && !marked[c.at] && c.at != "ack" && c.at != "last" {
		t.Errorf("%s: held, and it had no mark", where)
	}
	if removed, err := outbox.SweepObjects(ob, 0); err != nil || removed > 2 {
		t.Errorf("%s: %d objects swept, %v", where, removed, err)
	}
	return c.at != ""
}

// isOver reports whether nothing more happens to the message by itself, and OnDone said so.
func (l life) isOver(t *testing.T, ob *outbox.Outbox, id outbox.ID, mu *sync.Mutex, told *int) bool {
	r, err := ob.Get(deadline(t), id)
	if err != nil {
		return false
	}
	mu.Lock()
	defer mu.Unlock()
	return l.mayBe[r.Status] && *told > 0
}

// run works until over is true.
func run(t *testing.T, ob *outbox.Outbox, w *outbox.WorkOptions, over func() bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- ob.Work(ctx, w) }()
	limit := deadline(t)
	for !over() {
		runtime.Gosched()
		if limit.Err() != nil {
			t.Fatal("it came to no end")
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
