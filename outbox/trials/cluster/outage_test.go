//go:build unix

package cluster

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fe022423/submission/outbox"
	"github.com/fe022423/submission/smtptest"
)

// says looks whether an error tells its reader what he needs to know, in one line.
func says(t testing.TB, err error, want ...string) {
	t.Helper()
	t.Logf("the error is: %v", err)
	for _, w := range want {
		if err == nil || !strings.Contains(err.Error(), w) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v, want %q in it", err, w)
		}
	}
}

// journal is a log that several write to.
type journal struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(p)
}

func (j *journal) text() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.String()
}

// TestOutage shows what a program sees whose cluster goes, bit by bit, and comes back: errors
// that say what is wrong, in a time that is bounded, Work that goes on, and a log that is
// not flooded.
func TestOutage(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	ctx := deadline(t, 3*time.Minute)
	log := &journal{}
	defer func() { t.Logf("the log:\n%s", log.text()) }()
	o := options(n, "outage")
	o.Logger = slog.New(slog.NewTextHandler(log, nil))
	ob := open(t, o)

	more := options(n, "more")
	more.Replicas = 5
	_, err := outbox.Open(ctx, more)
	says(t, err, "outbox: open: ", "Options.Replicas is 5")

	srv := smtptest.NewServer(&smtptest.Config{Discard: true})
	defer srv.Close()
	mailer := newMailer(srv.Addr())
	defer mailer.Close()
	b := newBoard()
	w := workOptions(mailer)
	w.OnDone = func(_ context.Context, r outbox.Record) { b.note(func() { b.done[string(r.ID)] = string(r.Status) }) }
	working, stop := context.WithCancel(ctx)
	ended := make(chan error, 2)
	work := func() {
		err := ob.Work(working, w)
		if working.Err() == nil {
			t.Errorf("Work ended: %v", err)
		}
		ended <- err
	}
	go work()
	done := func(messages int) {
		t.Helper()
		if err := b.await(ctx, func() bool { return len(b.done) == messages }); err != nil {
			t.Fatal(err)
		}
	}

	// One node is down: nothing is noticed, but perhaps for a moment.
	n.list[0].kill()
	open(t, o).Close()
	if err := put(ctx, ob, keyName(0)); err != nil {
		t.Error(err)
	}
	done(1)

	// Two are down: the third one alone decides nothing.
	n.list[1].kill()
	go work() // it begins now, and is to go on all the same
	_, err = again(ctx, ob, keyName(1))
	says(t, err, "outbox: enqueue: ", "perhaps a majority of its 3 replicas is not up")
	short, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	_, err = outbox.Open(short, o)
	says(t, err, "outbox: open: ", "perhaps a majority of the cluster is not up")

	// None is up.
	n.list[2].kill()
	_, err = outbox.Open(ctx, o)
	says(t, err, "outbox: open: ", "no NATS server of Options.URL", n.list[0].clients.addr())
	short, cancel = context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, err = again(short, ob, keyName(1))
	says(t, err, "outbox: enqueue: ", "no NATS server is connected now")
	_, err = ob.Get(short, "a")
	says(t, err, "outbox: get: ", "no NATS server is connected now")

	// All are back.
	for _, self := range n.list {
		self.start()
	}
	for err = errors.New("not yet"); err != nil && ctx.Err() == nil; {
		_, err = again(ctx, ob, keyName(1))
	}
	done(2)
	stop()
	for range cap(ended) {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if lines := strings.Count(log.text(), "\n"); lines > 30 {
		t.Errorf("%d lines are logged", lines)
	}
}
