package outbox

import (
	"context"

	"github.com/nats-io/nats.go/jetstream"
)

// bounded is a stream whose calls end within publishTime. A request to servers that have no
// leader is lost: without a bound of its own a call would wait for the answer until the
// caller's deadline, when it could long have been asked again. Errors are explained.
type bounded struct {
	jetstream.Stream
	*store
}

func within[T any](ctx context.Context, s *store, call func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, publishTime)
	defer cancel()
	v, err := call(ctx)
	return v, s.explained(err)
}

func withinErr(ctx context.Context, s *store, call func(context.Context) error) error {
	_, err := within(ctx, s, func(ctx context.Context) (struct{}, error) { return struct{}{}, call(ctx) })
	return err
}

func (b bounded) Info(ctx context.Context, o ...jetstream.StreamInfoOpt) (*jetstream.StreamInfo, error) {
	return within(ctx, b.store, func(ctx context.Context) (*jetstream.StreamInfo, error) { return b.Stream.Info(ctx, o...) })
}

func (b bounded) GetLastMsgForSubject(ctx context.Context, subject string) (*jetstream.RawStreamMsg, error) {
	return within(ctx, b.store, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		return b.Stream.GetLastMsgForSubject(ctx, subject)
	})
}

func (b bounded) GetMsg(ctx context.Context, seq uint64, o ...jetstream.GetMsgOpt) (*jetstream.RawStreamMsg, error) {
	return within(ctx, b.store, func(ctx context.Context) (*jetstream.RawStreamMsg, error) { return b.Stream.GetMsg(ctx, seq, o...) })
}

func (b bounded) DeleteMsg(ctx context.Context, seq uint64) error {
	return withinErr(ctx, b.store, func(ctx context.Context) error { return b.Stream.DeleteMsg(ctx, seq) })
}

func (b bounded) Purge(ctx context.Context, o ...jetstream.StreamPurgeOpt) error {
	return withinErr(ctx, b.store, func(ctx context.Context) error { return b.Stream.Purge(ctx, o...) })
}

func (b bounded) Consumer(ctx context.Context, name string) (jetstream.Consumer, error) {
	return within(ctx, b.store, func(ctx context.Context) (jetstream.Consumer, error) { return b.Stream.Consumer(ctx, name) })
}

func (b bounded) CreateConsumer(ctx context.Context, c jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	return within(ctx, b.store, func(ctx context.Context) (jetstream.Consumer, error) { return b.Stream.CreateConsumer(ctx, c) })
}

func (b bounded) CreateOrUpdateConsumer(ctx context.Context, c jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	return within(ctx, b.store, func(ctx context.Context) (jetstream.Consumer, error) { return b.Stream.CreateOrUpdateConsumer(ctx, c) })
}

func (b bounded) DeleteConsumer(ctx context.Context, name string) error {
	return withinErr(ctx, b.store, func(ctx context.Context) error { return b.Stream.DeleteConsumer(ctx, name) })
}
