package outbox

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// The consumers, one for each priority. What they deliver is only a hint that a message may be
// due: the record of the message is the truth.

var order = []Priority{High, Normal, Low}

func (o *Outbox) consumerConfig(p Priority, lease time.Duration) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable:       priorityTokens[p],
		FilterSubject: o.name + ".*.m." + priorityTokens[p],
		AckPolicy:     jetstream.AckExplicitPolicy,
		DeliverPolicy: jetstream.DeliverAllPolicy,
		AckWait:       lease,
		MaxDeliver:    -1,
		MaxAckPending: -1, // deferred messages are pending all the while
	}
}

// consumers makes those that are missing, and gives all of them the lease.
func (o *Outbox) consumers(ctx context.Context, lease time.Duration) ([]jetstream.Consumer, error) {
	var list []jetstream.Consumer
	for _, p := range order {
		want := o.consumerConfig(p, lease)
		c, err := o.stream.Consumer(ctx, want.Durable)
		if err == nil {
			have := c.CachedInfo().Config
			want.DeliverPolicy, want.OptStartSeq = have.DeliverPolicy, have.OptStartSeq
			if have.AckWait == lease && have.MaxAckPending == -1 && have.MaxDeliver == -1 {
				list = append(list, c)
				continue
			}
		} else if !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return nil, err
		}
		if c, err = o.stream.CreateOrUpdateConsumer(ctx, want); err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, nil
}

// consumersAtLast asks for them until the engine can make them, and for the routes that are
// paused, so that nothing of theirs is sent before they are known. An engine in this process
// cannot make them while the disk is full.
func (k *work) consumersAtLast(ctx context.Context) ([]jetstream.Consumer, error) {
	for first := true; ; first = false {
		list, err := k.consumers(ctx, k.Lease)
		if err == nil {
			if unread := k.readPaused(ctx); isSilent(unread) { // another failure is told, and mended, later
				err = unread
			}
		}
		if err == nil || k.remote && !isSilent(err) || ctx.Err() != nil {
			return list, err
		}
		if first {
			k.tell(EventEngine, &state{}, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(k.poll):
		}
	}
}

// createTries is how often a consumer is made anew. The engine may still write the state of
// the one that was deleted, to a file of the same name, and then fails to make the new one.
const createTries = 5

// freeLeases makes the consumers of a directory anew: the process that had messages in hand
// is dead, since the directory was locked. What was acknowledged up to the first message that
// was not is not delivered again; what else is, its record explains.
func (o *Outbox) freeLeases(ctx context.Context) error {
	for _, p := range order {
		if err := o.freeLease(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

func (o *Outbox) freeLease(ctx context.Context, p Priority) error {
	want := o.consumerConfig(p, defaultLease)
	c, err := o.stream.Consumer(ctx, want.Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	o.delivered = max(o.delivered, c.CachedInfo().Delivered.Stream)
	if floor := c.CachedInfo().AckFloor.Stream; floor > 0 {
		want.DeliverPolicy, want.OptStartSeq = jetstream.DeliverByStartSequencePolicy, floor+1
	}
	if err := o.stream.DeleteConsumer(ctx, want.Durable); err != nil {
		return err
	}
	for try := 1; ; try++ {
		_, err = o.stream.CreateOrUpdateConsumer(ctx, want)
		if err == nil || !isCode(err, 10012) || try == createTries {
			return err
		}
	}
}
