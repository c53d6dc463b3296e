package outbox_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/outbox"
	"github.com/fe022423/submission/smtptest"
)

// Your code that panics costs at most its message, which is held with the reason; what comes
// after it is sent, and Observe hears of it.
func TestPanics(t *testing.T) {
	refused := smtptest.Times(1, smtptest.On("RCPT", "", "451 later"))
	notTaken := smtptest.Times(1, smtptest.On("MESSAGE", "", "451 later"))
	for name, c := range map[string]struct {
		hook   smtptest.Hook
		change func(*outbox.WorkOptions)
		each   outbox.Status // of the recipient: Queued, it does not have the message
	}{
		"Client": {nil, func(w *outbox.WorkOptions) {
			w.Client = func(string) (*submission.Client, error) { panic("oh\nno") }
		}, outbox.Queued},
		"Limit": {nil, func(w *outbox.WorkOptions) {
			w.Limit = func(string) outbox.Limiter { panic("oh\nno") }
		}, outbox.Queued},
		"Limiter": {nil, func(w *outbox.WorkOptions) {
			w.Limit = func(string) outbox.Limiter { return (*limiter)(nil) }
		}, outbox.Queued},
		"Backoff, before the mark": {refused, func(w *outbox.WorkOptions) {
			w.Backoff = func(int, *submission.SendError) time.Duration { panic("oh\nno") }
		}, outbox.Queued},
		"Backoff, after the mark": {notTaken, func(w *outbox.WorkOptions) {
			w.Backoff = func(int, *submission.SendError) time.Duration { panic("oh\nno") }
		}, outbox.Held},
	} {
		t.Run(name, func(t *testing.T) {
			srv := smtptest.New(t, &smtptest.Config{Hook: c.hook})
			var mu sync.Mutex
			var told []string
			ob := open(t, func(o *outbox.Options) {
				o.Observe = func(e outbox.Event) {
					if e.Kind == outbox.EventPanic {
						mu.Lock()
						told = append(told, e.Err.Error())
						mu.Unlock()
					}
				}
			})
			id := enqueue(t, ob, envelope(), nil)
			w := work(t, ob, srv, c.change)
			r := w.must(outbox.Held)
			w.stop()
			if r.ID != id || !strings.Contains(r.Err, "panicked") || strings.Contains(r.Err, "\n") || r.Recipients[0].Status != c.each {
				t.Errorf("%+v", r)
			}
			if len(told) != 1 || len(srv.Messages()) != 0 {
				t.Errorf("told %q, %d messages", told, len(srv.Messages()))
			}
			if err := ob.Retry(deadline(t), id); err != nil {
				t.Fatal(err)
			}
			work(t, ob, srv, nil).must(outbox.Sent)
		})
	}
}

func TestPanicInOnDone(t *testing.T) {
	srv := smtptest.New(t, nil)
	ob := open(t, nil)
	done := make(chan outbox.Record, 2)
	w := work(t, ob, srv, func(w *outbox.WorkOptions) {
		w.OnDone = func(_ context.Context, r outbox.Record) { done <- r; panic("oh no") }
	})
	enqueue(t, ob, envelope(), nil)
	if r := <-done; r.Status != outbox.Sent {
		t.Errorf("%+v", r)
	}
	w.stop()
	if len(done) != 0 || len(srv.Messages()) != 1 {
		t.Errorf("%d more calls, %d messages", len(done), len(srv.Messages()))
	}
}

// An Observe that panics at each event keeps nothing from being queued, sent, held and told of
// in the log.
func TestPanicInObserve(t *testing.T) {
	srv := smtptest.New(t, &smtptest.Config{Hook: uncertain(1)})
	var log lockedBuffer
	ob := open(t, func(o *outbox.Options) {
		o.Logger = slog.New(slog.NewTextHandler(&log, nil))
		o.Observe = func(outbox.Event) { panic("oh no") }
	})
	enqueue(t, ob, envelope(), nil)
	w := work(t, ob, srv, nil)
	w.must(outbox.Held)
	enqueue(t, ob, envelope(), nil)
	w.must(outbox.Sent)
	w.stop()
	if said := log.String(); !strings.Contains(said, "Observe panicked: oh no") {
		t.Errorf("the log has %q", said)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
