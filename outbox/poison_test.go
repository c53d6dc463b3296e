package outbox_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/outbox"
	"github.com/fe022423/submission/smtptest"
)

// A message that has the process die at each attempt is held after five, and what comes after
// it is sent.
func TestPoison(t *testing.T) {
	url, _ := natsServer(t)
	dir := t.TempDir()
	for name, in := range map[string]func(*outbox.Options){
		"a directory": func(o *outbox.Options) { o.Dir = dir },
		"a cluster":   func(o *outbox.Options) { o.Dir, o.URL = "", url },
	} {
		t.Run(name, func(t *testing.T) {
			srv := smtptest.New(t, nil)
			ob := open(t, in)
			poison := enqueue(t, ob, envelope(), &outbox.Item{Route: "poison"})
			after := enqueue(t, ob, envelope(), &outbox.Item{Priority: outbox.Low})
			ob.Close()
			deaths := 0
			for ; deaths < 20; deaths++ {
				ob := open(t, in)
				outbox.Hasten(ob)
				var dead atomic.Bool
				died := make(chan struct{})
				outbox.SetSeam(ob, func(string) error {
					if dead.Load() {
						return outbox.Abandoned
					}
					return nil
				})
				w := work(t, ob, srv, func(w *outbox.WorkOptions) {
					healthy := w.Client
					w.Workers, w.Lease = 1, 100*time.Millisecond
					w.Client = func(route string) (*submission.Client, error) {
						if route == "poison" {
							if dead.CompareAndSwap(false, true) {
								close(died)
							}
							return nil, errDied
						}
						return healthy(route)
					}
				})
				var r outbox.Record
				select {
				case <-died:
				case r = <-w.done:
					if r.Status == outbox.Sent { // the one after it came while the lease ran
						r = w.waitDead(died)
					}
				}
				w.stop()
				ob.Close()
				if r.ID != "" {
					if r.ID != poison || r.Status != outbox.Held || !strings.Contains(r.Err, "ended with their process") || r.Recipients[0].Status != outbox.Queued {
						t.Errorf("%+v", r)
					}
					break
				}
			}
			if deaths != 5 {
				t.Errorf("it is held after %d deaths", deaths)
			}
			ob = open(t, in)
			w := work(t, ob, srv, func(w *outbox.WorkOptions) { w.Lease = 100 * time.Millisecond })
			for limit := deadline(t); get(t, ob, after).Status != outbox.Sent && limit.Err() == nil; {
			}
			if err := ob.Retry(deadline(t), poison); err != nil { // it is mended
				t.Fatal(err)
			}
			for limit := deadline(t); get(t, ob, poison).Status != outbox.Sent && limit.Err() == nil; {
			}
			w.stop()
			if r := get(t, ob, poison); r.Status != outbox.Sent || r.Uncertain != 0 || len(srv.Messages()) != 2 {
				t.Errorf("%+v, %d messages", r, len(srv.Messages()))
			}
		})
	}
}

// waitDead is the next record, unless the process dies before.
func (c *crew) waitDead(died <-chan struct{}) outbox.Record {
	select {
	case <-died:
		return outbox.Record{}
	case r := <-c.done:
		return r
	}
}

// Deliveries that begin no attempt, and attempts that the process survives, are no poison.
func TestNoPoison(t *testing.T) {
	t.Run("paused", func(t *testing.T) {
		srv := smtptest.New(t, nil)
		ob := open(t, nil)
		if err := ob.Pause(deadline(t), "r"); err != nil {
			t.Fatal(err)
		}
		enqueue(t, ob, envelope(), &outbox.Item{Route: "r"})
		looks := make(chan struct{}, 1000)
		outbox.SetSeam(ob, func(call string) error {
			if call == "last done" {
				looks <- struct{}{}
			}
			return nil
		})
		w := work(t, ob, srv, func(w *outbox.WorkOptions) { w.Lease = 20 * time.Millisecond })
		for range 10 {
			<-looks
			enqueue(t, ob, envelope(), nil) // wakes the workers
		}
		if err := ob.Resume(deadline(t), "r"); err != nil {
			t.Fatal(err)
		}
		for range 11 {
			w.must(outbox.Sent)
		}
	})
	t.Run("refused for now", func(t *testing.T) {
		srv := smtptest.New(t, &smtptest.Config{Hook: smtptest.Times(10, smtptest.On("RCPT", "", "451 later"))})
		ob := open(t, nil)
		outbox.Hasten(ob)
		enqueue(t, ob, envelope(), nil)
		if r := work(t, ob, srv, nil).must(outbox.Sent); r.Attempts != 11 {
			t.Errorf("%+v", r)
		}
	})
	t.Run("a body that cannot be read now, and restarts", func(t *testing.T) {
		srv := smtptest.New(t, nil)
		dir := t.TempDir()
		in := func(o *outbox.Options) { o.Dir = dir }
		ob := open(t, in)
		if _, err := ob.Enqueue(deadline(t), envelope(), bytes.NewReader(make([]byte, objectSize)), nil); err != nil {
			t.Fatal(err)
		}
		for range 8 {
			outbox.Hasten(ob)
			tried := make(chan struct{}, 1000)
			outbox.SetSeam(ob, func(call string) error {
				if call == "object" {
					tried <- struct{}{}
					return errors.New("the disk is slow")
				}
				return nil
			})
			w := work(t, ob, srv, nil)
			<-tried
			<-tried
			w.stop()
			ob.Close()
			ob = open(t, in)
		}
		w := work(t, ob, srv, nil)
		if r := w.must(outbox.Sent); r.Attempts != 1 {
			t.Errorf("%+v", r)
		}
	})
	t.Run("stopped while it waits for a limiter", func(t *testing.T) {
		srv := smtptest.New(t, nil)
		client, err := submission.New(srv.Addr(), &submission.Options{TLS: submission.TLSNone})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		ob := open(t, nil)
		outbox.Hasten(ob)
		enqueue(t, ob, envelope(), nil)
		for range 8 {
			ctx, cancel := context.WithCancel(deadline(t))
			err := ob.Work(ctx, &outbox.WorkOptions{
				Grace:  time.Nanosecond,
				Client: func(string) (*submission.Client, error) { return client, nil },
				Limit:  func(string) outbox.Limiter { return stopper(cancel) },
			})
			if err != nil {
				t.Error(err)
			}
		}
		if r := work(t, ob, srv, nil).must(outbox.Sent); r.Attempts != 1 {
			t.Errorf("%+v", r)
		}
	})
}

// stopper is a limiter that ends the work, and never lets anything go.
type stopper context.CancelFunc

func (s stopper) Burst() int { return 1 }
func (s stopper) WaitN(ctx context.Context, _ int) error {
	s()
	<-ctx.Done()
	return ctx.Err()
}
