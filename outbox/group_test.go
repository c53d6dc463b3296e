package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fe022423/submission/outbox"
	"github.com/fe022423/submission/smtptest"
)

// Many calls at once are stored together. Each has its own answer: one for each key is
// stored, the same again is ErrDuplicate, another with its key is ErrConflict, and who gave up
// may have stored it or not.
func TestManyAtOnce(t *testing.T) {
	ob := open(t, nil)
	const keys, each = 40, 6
	var all sync.WaitGroup
	var stored, duplicates, conflicts atomic.Int64
	for i := range keys * each {
		all.Go(func() {
			key := fmt.Sprint("key ", i%keys)
			ctx, content := deadline(t), "hello"
			switch i / keys {
			case each - 1:
				content = "something else"
			case each - 2:
				gone, cancel := context.WithCancel(ctx)
				go cancel()
				ctx = gone
			}
			id, err := ob.Enqueue(ctx, envelope(), text(key+content), &outbox.Item{Key: key})
			switch {
			case err == nil:
				stored.Add(1)
			case errors.Is(err, outbox.ErrDuplicate):
				duplicates.Add(1)
			case errors.Is(err, outbox.ErrConflict):
				conflicts.Add(1)
			case errors.Is(err, context.Canceled):
				return
			default:
				t.Error(err)
			}
			if r := get(t, ob, id); r.Key != key {
				t.Errorf("the ID of %s is that of %s", key, r.Key)
			}
		})
	}
	all.Wait()
	n := 0
	for r, err := range ob.List(deadline(t), outbox.Filter{}) {
		if n++; err != nil || r.Status != outbox.Queued {
			t.Errorf("%+v, %v", r, err)
		}
	}
	if n != keys || stored.Load() > keys || stored.Load()+duplicates.Load()+conflicts.Load() < keys*(each-1) {
		t.Errorf("%d messages; %d stored, %d duplicates, %d conflicts", n, stored.Load(), duplicates.Load(), conflicts.Load())
	}
}

// One that is refused does not keep the others of its group from being stored, and what is
// stored in a group can be worked on: its sequence is known.
func TestGroupsAtWork(t *testing.T) {
	srv := smtptest.New(t, nil)
	ob := open(t, func(o *outbox.Options) {
		o.Observe = func(e outbox.Event) {
			if e.Kind == outbox.EventLate || e.Kind == outbox.EventEngine {
				t.Errorf("%+v", e)
			}
		}
	})
	const n = 200
	w := work(t, ob, srv, func(w *outbox.WorkOptions) { w.Workers = 64 })
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			key := fmt.Sprint("key ", i/2) // each twice
			if _, err := ob.Enqueue(deadline(t), envelope(), text(key), &outbox.Item{Key: key}); err != nil && !errors.Is(err, outbox.ErrDuplicate) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for range n / 2 {
		w.must(outbox.Sent)
	}
	w.stop()
	if got := len(srv.Messages()); got != n/2 {
		t.Errorf("%d messages sent", got)
	}
}
