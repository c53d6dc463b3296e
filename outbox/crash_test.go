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
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/outbox"
	"github.com/fe022423/submission/smtptest"
)

// crash abandons an Outbox at the nth call to its engine, and at all after it. Each call
// counts twice: before it, when nothing of it has happened, and after it, when it has and its
// answer is lost with the process. With lives the process goes on: only that one call has no
// answer, which came too late or never reached the engine.
type crash struct {
	mu    sync.Mutex
	left  int
	lives bool
	at    string // where it happened
	dead  chan struct{}
}

func newCrash(n int) *crash { return &crash{left: n, dead: make(chan struct{})} }

// noCall are the points that are no calls for a process that lives on: fetches and looks at
// the pauses come as often as they like, and an acknowledgment has no answer.
var noCall = map[string]bool{"fetch": true, "scan": true, "paused": true, "commit": true, "committed": true, "ack": true, "ack done": true}

func (c *crash) seam(call string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at == "" && (call == "fetch" || call == "paused" || c.lives && noCall[call]) {
		return nil
	}
	if c.lives && c.at != "" {
		return nil
	}
	if c.left--; c.left > 0 {
		return nil
	}
	if c.at == "" {
		c.at = call
		close(c.dead)
	}
	if c.lives {
		return nats.ErrTimeout
	}
	return outbox.Abandoned
}

// life is what is to happen to one message, whatever crashes.
type life struct {
	hook     func() smtptest.Hook
	size     int
	to       int
	good     outbox.Status // if nothing goes wrong
	accepted int           // how often the server accepts it then
}

func (l life) envelope() submission.Envelope {
	env := envelope("a@example.net", "b@example.net", "c@example.net")
	env.To = env.To[:l.to]
	env.Partial = l.good == outbox.PartlySent
	return env
}

func (l life) body() io.Reader {
	return bytes.NewReader(bytes.Repeat([]byte("0123456789\r\n"), l.size/12))
}

// TestCrashAtEachCall abandons everything at each call to the engine that a message takes,
// before it and after it, opens the queue again, and looks what became of it: it is sent once,
// or held, if the mark stood, and sent at most once; what Enqueue acknowledged is never lost;
// OnDone was called. Then it has each call without an answer, and the process goes on.
func TestCrashAtEachCall(t *testing.T) {
	none := func() smtptest.Hook { return nil }
	on := func(verb, addr, reply string) func() smtptest.Hook {
		return func() smtptest.Hook { return smtptest.On(verb, addr, reply) }
	}
	once := func(verb, reply string) func() smtptest.Hook {
		return func() smtptest.Hook { return smtptest.Times(1, smtptest.On(verb, "", reply)) }
	}
	var mu sync.Mutex
	total := map[string]int{}
	t.Run("sweep", func(t *testing.T) {
		for name, l := range map[string]life{
			"sent":         {none, 300, 1, outbox.Sent, 1},
			"sent to 3":    {none, 300, 3, outbox.Sent, 1},
			"partly":       {on("RCPT", "b@example.net", "550 no"), 300, 3, outbox.PartlySent, 1},
			"large":        {none, objectSize, 1, outbox.Sent, 1},
			"large to 3":   {none, objectSize, 3, outbox.Sent, 1},
			"large partly": {on("RCPT", "b@example.net", "550 no"), objectSize, 3, outbox.PartlySent, 1},
			"greylisted":   {once("RCPT", "451 later"), 300, 1, outbox.Sent, 1},
			"not taken":    {once("MESSAGE", "451 later"), 300, 3, outbox.Sent, 1},
			"refused":      {on("RCPT", "", "550 no"), 300, 1, outbox.Failed, 0},
			"uncertain":    {func() smtptest.Hook { return uncertain(1) }, 300, 1, outbox.Held, 0},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel() // most of it is waiting
				for _, lives := range []bool{false, true} {
					count := map[string]int{}
					for n := 1; l.crashAt(t, n, lives, count); n++ {
						if n > 100 {
							t.Fatal("there is no end of calls")
						}
					}
					t.Logf("%s, the process lives: %v: %v", name, lives, count)
					mu.Lock()
					for k, n := range count {
						total[k] += n
					}
					mu.Unlock()
				}
			})
		}
	})
	t.Logf("in all: %v", total)
}

// crashAt runs a life that crashes at the nth call. It returns false when there was none.
func (l life) crashAt(t *testing.T, n int, lives bool, count map[string]int) bool {
	t.Helper()
	srv := smtptest.NewServer(&smtptest.Config{Hook: l.hook()})
	defer srv.Close()
	client, err := submission.New(srv.Addr(), &submission.Options{TLS: submission.TLSNone})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	dir := t.TempDir()
	in := func(o *outbox.Options) { o.Dir, o.SyncInterval = dir, time.Hour } // only the process ends
	var mu sync.Mutex
	told := 0
	w := &outbox.WorkOptions{
		Workers: 2, Backoff: noWait,
		Client: func(string) (*submission.Client, error) { return client, nil },
		OnDone: func(context.Context, outbox.Record) { mu.Lock(); told++; mu.Unlock() },
	}
	isTold := func() bool { mu.Lock(); defer mu.Unlock(); return told > 0 } // Get would be one more call

	// The first life.
	c := newCrash(n)
	c.lives = lives
	ob := open(t, in)
	outbox.Hasten(ob)
	outbox.SetSeam(ob, c.seam)
	id, err := l.enqueue(t, ob)
	if lives && err != nil { // who had no answer asks again
		id, err = l.enqueue(t, ob)
	}
	run(t, ob, w, func() bool {
		select {
		case <-c.dead:
			return !lives || isTold()
		default:
			return isTold()
		}
	})
	where := fmt.Sprintf("crash %d at %q, lives: %v", n, c.at, lives)

	if !lives { // the second one
		ob.Close()
		ob = open(t, in)
		outbox.Hasten(ob)
	}
	outbox.SetSeam(ob, nil)
	defer ob.Close()
	if err != nil {
		if id, err = l.enqueue(t, ob); err != nil && !errors.Is(err, outbox.ErrDuplicate) {
			t.Fatalf("%s: %v", where, err)
		}
	}
	before := get(t, ob, id).Status
	run(t, ob, w, func() bool { return isOver(t, ob, id) && isTold() })
	r := get(t, ob, id)
	l.judge(t, where, before, r, len(srv.Messages()))
	if lives && r.Status != l.good {
		t.Errorf("%s: %+v", where, r)
	}
	if removed, err := outbox.SweepObjects(ob, 0); err != nil || removed > 2 {
		t.Errorf("%s: %d objects swept, %v", where, removed, err)
	}
	count["cells"]++
	count[string(r.Status)]++
	return c.at != ""
}

func (l life) enqueue(t *testing.T, ob *outbox.Outbox) (outbox.ID, error) {
	id, err := ob.Enqueue(deadline(t), l.envelope(), l.body(), &outbox.Item{Key: "k"})
	if errors.Is(err, outbox.ErrDuplicate) {
		err = nil
	}
	return id, err
}

// judge compares the record that a message has at the end, and the one that the crash left,
// with what the server accepted.
func (l life) judge(t *testing.T, where string, before outbox.Status, r outbox.Record, accepted int) {
	t.Helper()
	switch {
	case r.Status == outbox.Held && l.good != outbox.Held:
		if before != outbox.Committing && before != outbox.Held || accepted > 1 {
			t.Errorf("%s: held, and it was %s; accepted %d times", where, before, accepted)
		}
	case r.Status == outbox.Held:
		if accepted > 0 {
			t.Errorf("%s: held, and it was accepted %d times", where, accepted)
		}
	case l.good == outbox.Held: // the crash came before the server could hang up
		t.Errorf("%s: %+v", where, r)
	case r.Status != l.good || accepted != l.accepted || r.Uncertain > 0:
		t.Errorf("%s: %+v, accepted %d times", where, r, accepted)
	}
}

// isOver reports whether nothing more happens to the message by itself.
func isOver(t *testing.T, ob *outbox.Outbox, id outbox.ID) bool {
	switch get(t, ob, id).Status {
	case outbox.Queued, outbox.Deferred, outbox.Committing:
		return false
	}
	return true
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
