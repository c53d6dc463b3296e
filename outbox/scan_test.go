package outbox_test

import (
	"testing"

	"github.com/fe022423/submission/outbox"
)

// What the engine delivers when nobody listens, because it was busy, is missing nowhere: not
// at the beginning, not in the middle, not at the end.
func TestScansMissNothing(t *testing.T) {
	const n = 1200 // some fetches
	ob := open(t, nil)
	if _, err := ob.EnqueueAll(deadline(t), many(n/2)); err != nil {
		t.Fatal(err)
	}
	if _, err := ob.EnqueueAll(deadline(t), many(n/2)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ at, stolen int }{
		"first": {1, 3}, "middle": {2, 500}, "last": {3, 500}, "all": {1, n},
	} {
		t.Run(name, func(t *testing.T) {
			calls, stolen := 0, 0
			outbox.SetSeam(ob, func(call string) error {
				if call != "scan" {
					return nil
				}
				if calls++; calls == c.at {
					var err error
					if stolen, err = outbox.StealFromScans(ob, c.stolen); err != nil {
						t.Error(err)
					}
				}
				return nil
			})
			defer outbox.SetSeam(ob, nil)
			s, err := ob.Stats(deadline(t))
			if err != nil || s.Counts[outbox.Queued] != n || stolen == 0 {
				t.Errorf("%+v, %v, %d stolen", s, err, stolen)
			}
			listed := map[outbox.ID]bool{}
			calls = -2 // in the second of its two scans
			for r, err := range ob.List(deadline(t), outbox.Filter{}) {
				if err != nil || listed[r.ID] {
					t.Fatal(r, err)
				}
				listed[r.ID] = true
			}
			if len(listed) != n {
				t.Errorf("%d listed", len(listed))
			}
		})
	}
}

func many(n int) func(func(outbox.Message) bool) {
	return func(yield func(outbox.Message) bool) {
		for range n {
			if !yield(outbox.Message{Envelope: envelope(), Body: text("hello")}) {
				return
			}
		}
	}
}
