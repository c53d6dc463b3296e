package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// errGap ends a reader that missed something.
var errGap = errors.New("the engine did not deliver all that it has")

// reading is a scan of what is stored.
type reading struct {
	headersOnly bool
	next        uint64 // the sequence after the last one that was read
}

// each calls f for each record and message, in their order. It ends when there is nothing
// more, whatever is deleted meanwhile: it never waits for a number of messages. An engine that
// is busy may answer when nobody listens any more, and one of a cluster may be gone: what that
// lost is read again.
func (o *Outbox) each(ctx context.Context, headersOnly bool, f func(jetstream.Msg) error) error {
	r := &reading{headersOnly: headersOnly, next: 1}
	progress, pause := time.Now(), publishPause
	for {
		before := r.next
		err := o.read(ctx, r, f)
		if r.next > before {
			progress, pause = time.Now(), publishPause
		}
		if !errors.Is(err, errGap) && !isSilent(err) || time.Since(progress) > publishAll {
			return o.explained(err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return o.explained(err)
		}
		pause = min(2*pause, time.Second)
	}
}

// read reads on from r.next. errGap says that it has to begin again there.
func (o *Outbox) read(ctx context.Context, r *reading, f func(jetstream.Msg) error) error {
	c, err := o.stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		FilterSubjects: []string{o.name + ".*.m.*", o.name + ".*.s"}, AckPolicy: jetstream.AckNonePolicy,
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: r.next,
		HeadersOnly: r.headersOnly, MemoryStorage: true, InactiveThreshold: scanIdle,
		Replicas: o.stream.CachedInfo().Config.Replicas, // with one it may be on a server that is down
	})
	if err != nil {
		return err
	}
	defer o.stream.DeleteConsumer(context.WithoutCancel(ctx), c.CachedInfo().Name)
	size := scanBatch
	if !r.headersOnly {
		size = readBatch
	}
	for got := uint64(0); ctx.Err() == nil; {
		if err := o.pass("scan"); err != nil {
			return err
		}
		batch, err := c.FetchNoWait(size)
		if err != nil {
			return err
		}
		before := got
		for m := range batch.Messages() {
			meta, err := m.Metadata()
			if err != nil {
				return err
			}
			if got++; meta.Sequence.Consumer != got {
				return errGap
			}
			if err := f(m); err != nil {
				return err
			}
			r.next = meta.Sequence.Stream + 1
		}
		if err := batch.Error(); err != nil {
			return err
		}
		if got > before {
			continue
		}
		// Nothing is left, or there was no answer in time.
		switch info, err := within(ctx, o.store, c.Info); {
		case err != nil:
			return err
		case info.NumPending > 0 || info.Delivered.Consumer != got:
			return fmt.Errorf("%w: %d are left", errGap, info.NumPending)
		}
		return nil
	}
	return ctx.Err()
}
