//go:build unix

package cluster

import (
	"context"
	"fmt"
	"testing"

	"github.com/fe022423/submission/outbox"
)

// tally is what became of the messages of a trial.
type tally struct {
	messages, sent, held, lost, twice, stuck, other int
}

// count compares what the queue says with what the servers accepted.
func count(ctx context.Context, t testing.TB, ob *outbox.Outbox, b *board, messages int) (f tally) {
	t.Helper()
	records := map[string]outbox.Record{}
	for r, err := range ob.List(ctx, outbox.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		records[r.Key] = r
	}
	f.messages = messages
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range messages {
		key := keyName(i)
		r, found := records[key]
		n := b.accepted[key]
		bad := false
		switch {
		case n > 1:
			f.twice++
			bad = true
		case !found:
			bad = b.promised[key]
			if bad && n == 0 {
				f.lost++
			}
		case r.Status == outbox.Sent:
			f.sent++
			if bad = n == 0; bad {
				f.lost++
			}
		case r.Status == outbox.Held:
			f.held++
		case r.Status == outbox.Queued || r.Status == outbox.Deferred || r.Status == outbox.Committing:
			f.stuck++
			bad = true
		default:
			f.other++
			bad = true
		}
		if bad {
			t.Errorf("%s: found %v, %s, accepted %d times, promised %v: %s", key, found, r.Status, n, b.promised[key], r.Err)
		}
	}
	if len(records) != messages {
		t.Errorf("the queue has %d records of %d messages", len(records), messages)
	}
	for _, w := range b.wrong {
		t.Errorf("a client: %s", w)
	}
	return f
}

func keyName(i int) string { return fmt.Sprintf("key%d", i) }
