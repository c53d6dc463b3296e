package outbox_test

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/outbox"
	_ "github.com/fe022423/submission/outbox/embedded"
	"github.com/fe022423/submission/smtptest"
)

// deadline ends a test that hangs. Nothing waits for it otherwise.
func deadline(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// open is an Outbox in a directory of the test's own.
func open(t testing.TB, change func(*outbox.Options)) *outbox.Outbox {
	t.Helper()
	o := &outbox.Options{Dir: t.TempDir(), Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
	if change != nil {
		change(o)
	}
	ob, err := outbox.Open(deadline(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ob.Close() })
	return ob
}

func envelope(to ...string) submission.Envelope {
	if len(to) == 0 {
		to = []string{"you@example.net"}
	}
	return submission.Envelope{From: "me@example.org", To: submission.To(to...)}
}

func text(body string) io.Reader { return strings.NewReader("Subject: test\r\n\r\n" + body + "\r\n") }

func enqueue(t testing.TB, ob *outbox.Outbox, env submission.Envelope, it *outbox.Item) outbox.ID {
	t.Helper()
	id, err := ob.Enqueue(deadline(t), env, text("hello"), it)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// crew is a call of Work and what it says.
type crew struct {
	t     testing.TB
	done  chan outbox.Record
	stop  context.CancelFunc
	ended chan error
}

// work starts Work towards srv.
func work(t testing.TB, ob *outbox.Outbox, srv *smtptest.Server, change func(*outbox.WorkOptions)) *crew {
	t.Helper()
	client, err := submission.New(srv.Addr(), &submission.Options{TLS: submission.TLSNone})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	c := &crew{t: t, done: make(chan outbox.Record, 1000), ended: make(chan error, 1)}
	w := &outbox.WorkOptions{
		Client:  func(string) (*submission.Client, error) { return client, nil },
		OnDone:  func(_ context.Context, r outbox.Record) { c.done <- r },
		Backoff: func(int, *submission.SendError) time.Duration { return 0 },
	}
	if change != nil {
		change(w)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var once sync.Once
	c.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-c.ended; err != nil {
				t.Error(err)
			}
		})
	}
	go func() { c.ended <- ob.Work(ctx, w) }()
	t.Cleanup(c.stop)
	return c
}

// next is the next message that is over.
func (c *crew) next() outbox.Record {
	c.t.Helper()
	select {
	case r := <-c.done:
		return r
	case <-deadline(c.t).Done():
		c.t.Fatal("no message came to its end")
		panic("unreachable")
	}
}

func (c *crew) must(status outbox.Status) outbox.Record {
	c.t.Helper()
	r := c.next()
	if r.Status != status {
		c.t.Errorf("message is %q (%s), want %q", r.Status, r.Err, status)
	}
	return r
}

func get(t testing.TB, ob *outbox.Outbox, id outbox.ID) outbox.Record {
	t.Helper()
	r, err := ob.Get(deadline(t), id)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func noWait(int, *submission.SendError) time.Duration { return 0 }
