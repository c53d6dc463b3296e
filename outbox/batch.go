package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// maxBatch is how many messages the engine stores at once.
const maxBatch = 1000

// EnqueueAll stores messages, all or none, with a few syncs for all of them: up to 1000, each
// as Enqueue does. The IDs are in their order. ErrDuplicate says that all of them are in the
// queue already, or were: the IDs stand beside it. ErrConflict says that a key is used for another message, or
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
	if err != nil && isFinal(err) {
		for _, d := range list {
			o.dropUnneeded(ctx, d.stored)
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

// publishAll is an atomic batch publish: the engine stages the messages, and stores them all
// at the commit.
func (o *Outbox) publishAll(ctx context.Context, list []*draft) error {
	if err := o.pass("publish"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, publishTries*publishTime)
	defer cancel()
	batch, last := newNonce(), len(list)-1
	for i, d := range list[:last] {
		if err := o.nc.PublishMsg(o.staging(d, batch, i+1)); err != nil {
			return err
		}
	}
	commit := o.staging(list[last], batch, len(list))
	if o.staged == nil || last == 0 {
		commit.Header.Set(headCommit, "1")
	} else {
		// What is staged must survive until it is stored: if the power fails in between, the
		// engine completes the commit with it. So the commit is a message of its own.
		if _, err := o.ask(ctx, commit); err != nil {
			return err
		}
		if err := o.staged(); err != nil {
			return err
		}
		commit = &nats.Msg{Subject: commit.Subject, Header: nats.Header{}}
		commit.Header.Set(headBatch, batch)
		commit.Header.Set(headBatchSequence, strconv.Itoa(len(list)+1))
		commit.Header.Set(headCommit, "eob")
	}
	ack, err := o.ask(ctx, commit)
	if err != nil {
		return err
	}
	if ack.Count != len(list) {
		return errHalfStored
	}
	if err := o.durable(); err != nil {
		return err
	}
	return o.pass("published")
}

const (
	headBatch         = "Nats-Batch-Id"
	headBatchSequence = "Nats-Batch-Sequence"
	headCommit        = "Nats-Batch-Commit"
)

// staging is message number n of a batch.
func (o *Outbox) staging(d *draft, batch string, n int) *nats.Msg {
	m := o.newMsg(d)
	m.Header.Set(headWrite, newNonce())
	m.Header.Set(headExpect, "0")
	m.Header.Set(headExpectSubject, o.anySubject(d.stored.ID))
	m.Header.Set(headBatch, batch)
	m.Header.Set(headBatchSequence, strconv.Itoa(n))
	return m
}

// batchAck is the answer to a message of a batch: empty but after the commit.
type batchAck struct {
	Error    *jetstream.APIError `json:"error"`
	Sequence uint64              `json:"seq"` // of the last message
	Count    int                 `json:"count"`
}

// ask publishes a message of a batch and waits for the answer.
func (s *store) ask(ctx context.Context, m *nats.Msg) (ack batchAck, err error) {
	answer, err := s.nc.RequestMsgWithContext(ctx, m)
	if err == nil && len(answer.Data) > 0 {
		err = json.Unmarshal(answer.Data, &ack)
	}
	if err == nil && ack.Error != nil {
		err = ack.Error
	}
	return ack, err
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
