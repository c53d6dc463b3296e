package outbox_test

import (
	"bytes"
	"errors"

	"github.com/fe022423/submission/outbox"
)

// collect counts what the server accepted, whole each time. Nobody is connected meanwhile.
func (r *octetRun) collect() {
	want := r.to
	if r.refused {
		want--
	}
	for _, m := range r.srv.Messages() {
		if len(m.To) != want || !bytes.Equal(m.Data, r.body) {
			r.t.Errorf("%d bytes to %v were accepted", len(m.Data), m.To)
		}
		r.accepted[m.To[0]]++
	}
	r.srv.Reset()
}

func (r *octetRun) acceptedOf(c *octetCell) int { return r.accepted[r.addr(c.n, 0)] }

// judge compares what became of a message with what the server accepted.
func (r *octetRun) judge(c *octetCell) {
	record, err := r.watch.Get(deadline(r.t), c.id)
	if errors.Is(err, outbox.ErrNotFound) {
		r.t.Fatalf("%+v: lost", c.end)
	}
	good := outbox.Sent
	if r.refused {
		good = outbox.PartlySent
	}
	want, times, uncertain := good, 1, 0
	if c.status == outbox.Committing {
		switch r.policy {
		case outbox.Resend:
			times, uncertain = c.accepted+1, 1
		case outbox.Drop:
			want, times = outbox.Dropped, c.accepted
		default:
			want, times = outbox.Held, c.accepted
		}
	}
	accepted := r.acceptedOf(c)
	if record.Status != want || accepted != times || record.Uncertain != uncertain || r.told[c.id] != want {
		r.t.Errorf("%+v, left %s and accepted %d times: %s, OnDone was told %q, accepted %d times, uncertain %d; want %s, %d, %d",
			c.end, c.status, c.accepted, record.Status, r.told[c.id], accepted, record.Uncertain, want, times, uncertain)
	}
	r.count[string(record.Status)]++
	r.count["resent"] += record.Uncertain
	if c.status == outbox.Committing && c.accepted == 0 {
		r.count["uncertain, not accepted"]++
	}
	if accepted > 1 {
		r.count["twice"]++
	}
}
