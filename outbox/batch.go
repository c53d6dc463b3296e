package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"
)

// maxBatch is how many messages the engine stores at once.
const maxBatch = 1000

// EnqueueAll stores messages, all or none, with one sync: up to 1000, each as Enqueue does.
// The IDs are in their order. ErrDuplicate says that all of them are in the queue already, or
// were: the IDs stand beside it. ErrConflict says that a key is used for another message, or
// that only some of the messages are there; none was stored. After any other error but
// ErrFull, or one that is about a message itself, they are perhaps stored: call again with
// the same keys.
func (o *Outbox) EnqueueAll(ctx context.Context, messages iter.Seq[Message]) ([]ID, error) {
	if err := o.begin(); err != nil {
		return nil, failed("enqueue all", err)
	}
	list, err := o.drafts(ctx, messages)
	if err == nil {
		err = o.storeAll(ctx, list)
	}
	stored := err == nil
	if err != nil && (!maybeStored(err) || errors.Is(err, ErrFull) || errors.Is(err, ErrDuplicate) || errors.Is(err, ErrConflict)) {
		for _, d := range list {
			o.dropObject(ctx, d.stored.Object)
		}
	}
	var ids []ID
	if stored || errors.Is(err, ErrDuplicate) {
		for _, d := range list {
			ids = append(ids, d.stored.ID)
		}
	}
	return ids, failed("enqueue all", o.roomHint(err))
}

func (o *Outbox) drafts(ctx context.Context, messages iter.Seq[Message]) (list []*draft, err error) {
	n := 0
	for m := range messages {
		if n++; n > maxBatch {
			return list, fmt.Errorf("more than %d messages", maxBatch)
		}
		d, err := o.draft(ctx, m)
		if err != nil {
			return list, fmt.Errorf("message %d: %w", n, err)
		}
		if slices.ContainsFunc(list, func(x *draft) bool { return x.stored.ID == d.stored.ID }) {
			return list, fmt.Errorf("message %d: its key is that of another one: %w", n, ErrConflict)
		}
		list = append(list, d)
	}
	return list, nil
}

func (o *Outbox) storeAll(ctx context.Context, list []*draft) error {
	if len(list) == 0 {
		return nil
	}
	var size int64
	for _, d := range list {
		size += int64(len(d.data))
	}
	if err := o.room(ctx, size, int64(len(list))); err != nil {
		return err
	}
	err := o.publishAll(ctx, list)
	switch {
	case isFull(err):
		return ErrFull
	case isWrongSequence(err):
		return o.compareAll(ctx, list)
	case err != nil:
		return err
	}
	for _, d := range list {
		o.stored(d.stored)
	}
	return nil
}

// publishAll is an atomic batch publish: the engine keeps the messages apart until the last
// one, which commits them all.
func (o *Outbox) publishAll(ctx context.Context, list []*draft) error {
	if err := o.pass("publish"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, publishTries*publishTime)
	defer cancel()
	batch := newNonce()
	for i, d := range list {
		m := o.newMsg(d)
		m.Header.Set(headWrite, newNonce())
		m.Header.Set(headExpect, "0")
		m.Header.Set(headExpectSubject, o.anySubject(d.stored.ID))
		m.Header.Set("Nats-Batch-Id", batch)
		m.Header.Set("Nats-Batch-Sequence", strconv.Itoa(i+1))
		if i < len(list)-1 {
			if err := o.nc.PublishMsg(m); err != nil {
				return err
			}
			continue
		}
		m.Header.Set("Nats-Batch-Commit", "1")
		answer, err := o.nc.RequestMsgWithContext(ctx, m)
		if err != nil {
			return err
		}
		var ack struct {
			Error *jetstream.APIError `json:"error"`
			Count int                 `json:"count"`
		}
		if err := json.Unmarshal(answer.Data, &ack); err != nil {
			return err
		}
		if ack.Error != nil {
			return ack.Error
		}
		if ack.Count != len(list) {
			return fmt.Errorf("the engine stored %d of %d messages", ack.Count, len(list))
		}
	}
	return o.pass("published")
}

// compareAll says why a batch was refused in which a key is taken.
func (o *Outbox) compareAll(ctx context.Context, list []*draft) error {
	there := 0
	for i, d := range list {
		switch err := o.compare(ctx, d.stored); {
		case errors.Is(err, ErrDuplicate):
			there++
		case errors.Is(err, ErrNotFound):
		default:
			return fmt.Errorf("message %d: %w", i+1, err)
		}
	}
	if there == len(list) {
		return ErrDuplicate
	}
	return fmt.Errorf("%d of %d messages are there already: %w", there, len(list), ErrConflict)
}
