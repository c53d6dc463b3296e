package outbox

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fe022423/submission/outbox/internal/engine"
)

// Abandoned is what a seam returns in place of a crash.
var Abandoned = errAbandoned

// SetSeam has f called at each call to the engine, before and after it.
func SetSeam(o *Outbox, f func(call string) error) { o.seam = f }

// Sweep sweeps as if it were the time now.
func Sweep(o *Outbox, now time.Time) error { return o.sweep(context.Background(), now) }

// SweepObjects removes the objects older than age that no message needs.
func SweepObjects(o *Outbox, age time.Duration) (int, error) {
	return o.sweepObjects(context.Background(), age)
}

// PublishRaw writes to the stream past all formats.
func (o *Outbox) PublishRaw(ctx context.Context, subject string, data []byte) error {
	_, err := o.js.Publish(ctx, o.name+"."+subject, data)
	return err
}

// Redeliver has the consumers deliver again what is pending, as if its lease were over.
func Redeliver(o *Outbox, id ID) error {
	for _, p := range order {
		if err := o.stream.DeleteConsumer(context.Background(), priorityTokens[p]); err != nil {
			return err
		}
	}
	return nil
}

// Conn is the connection of an Outbox to its engine, for others on the same one.
func Conn(o *Outbox) *nats.Conn { return o.nc }

// FreeLease frees what a process had in hand that is dead, as Open does with a directory.
func FreeLease(o *Outbox, p Priority) error { return o.freeLease(context.Background(), p) }

// Hasten makes waits short that are there for an engine that is in trouble, or has nothing.
func Hasten(o *Outbox) { o.again, o.poll = time.Millisecond, 5*time.Millisecond }

// WithoutEmbedded is as if package embedded were not linked in, until the function that it
// returns is called.
func WithoutEmbedded() (restore func()) {
	s := engine.Registered()
	engine.Register(nil)
	return func() { engine.Register(s) }
}

// StealFromScans takes n messages from each scan under way, as if their delivery was lost.
func StealFromScans(o *Outbox, n int) (stolen int, err error) {
	names := o.stream.ConsumerNames(context.Background())
	for name := range names.Name() {
		c, err := o.stream.Consumer(context.Background(), name)
		if err != nil || c.CachedInfo().Config.Durable != "" {
			continue
		}
		batch, err := c.FetchNoWait(n)
		if err != nil {
			return stolen, err
		}
		for range batch.Messages() {
			stolen++
		}
	}
	return stolen, names.Err()
}
