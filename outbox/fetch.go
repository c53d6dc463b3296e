package outbox

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// maxFetch bounds how many messages are fetched of which none may be due.
const maxFetch = 256

// fetch asks a consumer for up to n messages that are there now and may be due. An engine that
// starts delivers all of a queue once: what is not due yet is given back at once, so that
// it does not stall what is.
func (k *work) fetch(ctx context.Context, c jetstream.Consumer, n int) (list []jetstream.Msg) {
	for size := n; n > 0 && ctx.Err() == nil && k.pass("fetch") == nil; size = min(2*size, max(n, maxFetch)) {
		batch, err := c.FetchNoWait(size)
		if err != nil {
			return list // the next poll asks again
		}
		got := 0
		for m := range batch.Messages() {
			got++
			if wait := waitFor(m); wait > 0 {
				m.NakWithDelay(min(wait, longestDelay))
			} else if len(list) < n {
				list = append(list, m)
			} else {
				m.Nak() // there are more than expected: the next fetch brings it
			}
		}
		if len(list) > 0 || got == 0 {
			break
		}
	}
	return list
}

// waitFor is the time until a message may be sent for the first time. No state makes it due
// earlier, since Retry stores the message again; and what is over may stay until then.
func waitFor(m jetstream.Msg) time.Duration {
	at, err := time.Parse(time.RFC3339Nano, m.Headers().Get(headNotBefore))
	if err != nil {
		return 0
	}
	return time.Until(at)
}
