package outbox_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/fe022423/submission/outbox"
	"github.com/fe022423/submission/smtptest"
)

// A full queue empties itself: the records of what is queued find room.
func TestFullQueueEmptiesItself(t *testing.T) {
	srv := smtptest.New(t, &smtptest.Config{Discard: true})
	ob := open(t, func(o *outbox.Options) {
		o.MaxBytes = 1 << 20
		o.Observe = func(e outbox.Event) {
			if e.Kind == outbox.EventEngine {
				t.Errorf("there was no room for a record: %v", e.Err)
			}
		}
	})
	n, size := 0, 2000
	for ; ; n++ {
		_, err := ob.Enqueue(deadline(t), envelope("a@example.net", "b@example.net"), bytes.NewReader(make([]byte, size)), nil)
		if errors.Is(err, outbox.ErrFull) && size == 0 {
			break
		}
		if errors.Is(err, outbox.ErrFull) { // to the last byte
			size, n = 0, n-1
			continue
		}
		if err != nil || n > 1000 {
			t.Fatal(n, err)
		}
	}
	if n < 100 {
		t.Errorf("full with %d messages", n)
	}
	if _, err := ob.Enqueue(deadline(t), envelope(), bytes.NewReader(make([]byte, 2<<20)), nil); !errors.Is(err, outbox.ErrFull) {
		t.Errorf("a large message: %v", err)
	}
	w := work(t, ob, srv, nil)
	for range n {
		w.must(outbox.Sent)
	}
	w.stop()
	if err := outbox.Sweep(ob, time.Now().Add(25*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if s, err := ob.Stats(deadline(t)); err != nil || s.Counts[outbox.Sent] != 0 {
		t.Errorf("%+v, %v", s, err)
	}
	enqueue(t, ob, envelope(), nil)
}

// A queue that is full of large messages, or of small ones, empties itself and takes mail
// again of every size; nothing of what it acknowledged is lost.
func TestFullQueueOfLargeMessages(t *testing.T) {
	srv := smtptest.New(t, &smtptest.Config{Discard: true})
	ob := open(t, func(o *outbox.Options) { o.MaxBytes, o.SyncInterval = 4<<20, time.Hour })
	sizes := []int{objectSize, inlineSize, 5000, 10}
	refused, acknowledged := map[int]bool{}, 0
	fillUp := func() {
		for _, size := range sizes {
			for n := 0; ; n++ {
				_, err := ob.Enqueue(deadline(t), envelope(), bytes.NewReader(make([]byte, size)), nil)
				if errors.Is(err, outbox.ErrFull) {
					refused[size] = true
					break
				}
				if acknowledged++; err != nil || n > 3000 {
					t.Fatal(size, n, err)
				}
			}
		}
	}
	empty := func() {
		w := work(t, ob, srv, func(w *outbox.WorkOptions) { w.OnDone = nil })
		s, err := ob.Stats(deadline(t))
		for limit := deadline(t); err == nil && s.Counts[outbox.Sent] < acknowledged; {
			s, err = ob.Stats(limit)
		}
		w.stop()
		if err != nil || len(srv.Messages()) != acknowledged {
			t.Fatalf("%d acknowledged, %d messages, %+v, %v", acknowledged, len(srv.Messages()), s, err)
		}
	}
	fillUp()
	empty()
	if err := outbox.Sweep(ob, time.Now().Add(25*time.Hour)); err != nil {
		t.Fatal(err)
	}
	before := acknowledged
	if len(refused) != len(sizes) || before < 20 {
		t.Errorf("%v refused, %d acknowledged", refused, before)
	}
	srv.Reset()
	acknowledged = 0
	fillUp()
	if acknowledged < before*9/10 {
		t.Errorf("it takes %d messages, where it took %d before", acknowledged, before)
	}
	empty()
}
