package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// poisonAttempts is how many attempts of a message may end with their process, one after the
// other, before it is held: a message that has the process die each time must not do so for
// ever, and fewer could be chance. Only attempts count that began and of which nothing was
// stored: what is delivered again because it is deferred or paused began none.
const poisonAttempts = 5

// begun is the state in which an attempt begins of which nothing may be heard again.
func (st *state) begun() *state {
	next := st.clone()
	next.Begun = st.Begun + 1
	return &next
}

// suspect reports whether a message may have been in hand when a process died: it was
// delivered before, to this consumer or to the one that Open deleted. The count costs a write,
// which the others are spared.
func (k *work) suspect(meta *jetstream.MsgMetadata) bool {
	return meta.NumDelivered > 1 || meta.Sequence.Stream <= k.delivered
}

// attemptSuspect makes an attempt that is counted as long as nothing is stored of it, or
// holds the message if too many of them ended with their process.
func (k *work) attemptSuspect(ctx context.Context, e *entry) (again time.Duration, err error) {
	if e.state.Begun >= poisonAttempts-1 { // the first attempt was no suspect
		next, err := e.state.withheld(fmt.Sprintf("%d attempts ended with their process, perhaps because of it", poisonAttempts))
		if err != nil {
			return 0, err
		}
		return k.settle(e.seq, next)
	}
	begun := e.state.begun()
	seq, err := k.putState(k.writes, begun, e.seq)
	if err != nil {
		return 0, err
	}
	e.state, e.seq = begun, seq
	again, err = k.attempt(ctx, e)
	if err != nil || ctx.Err() != nil { // the process lives: take it back, unless something was stored
		survived := begun.clone()
		k.putState(k.writes, &survived, seq)
	}
	return again, err
}
