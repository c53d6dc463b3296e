package outbox

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fe022423/submission"
)

// Get returns the record of a message. Without one the error is ErrNotFound.
func (o *Outbox) Get(ctx context.Context, id ID) (Record, error) {
	e, err := o.look(ctx, id)
	if err != nil {
		return Record{}, failed("get", err)
	}
	return e.state.record(), nil
}

// look is the newest record of a message, for callers from outside.
func (o *Outbox) look(ctx context.Context, id ID) (*entry, error) {
	if err := o.begin(); err != nil {
		return nil, err
	}
	if !isID(id) {
		return nil, ErrNotFound
	}
	return o.last(ctx, id)
}

// isID reports whether id can be one: it becomes a part of a subject.
func isID(id ID) bool {
	for _, r := range id {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') {
			return false
		}
	}
	return id != ""
}

// Message returns the envelope and the bytes of a message, which you close. ErrNotFound says
// that there is none, or that it is gone because it was sent, canceled or dropped.
func (o *Outbox) Message(ctx context.Context, id ID) (submission.Envelope, io.ReadCloser, error) {
	var e *entry
	var body io.ReadCloser
	err := o.begin()
	if err == nil && !isID(id) {
		err = ErrNotFound
	}
	if err == nil {
		e, err = o.message(ctx, id)
	}
	if err == nil {
		err = e.bad
	}
	if err == nil {
		body, err = o.open(ctx, e)
	}
	if err != nil {
		return submission.Envelope{}, nil, failed("message", err)
	}
	return e.message.Envelope, body, nil
}

// changeTries is how often a change is tried again that another write came before.
const changeTries = 10

// change writes the state that f makes of the current one.
func (o *Outbox) change(ctx context.Context, id ID, f func(*state) (*state, error)) (*state, error) {
	for try := 1; ; try++ {
		e, err := o.look(ctx, id)
		if err != nil {
			return nil, err
		}
		if e.bad != nil {
			return nil, e.bad
		}
		next, err := f(e.state)
		if err != nil {
			return nil, err
		}
		if _, err = o.putState(ctx, next, e.seq); !errors.Is(err, errMoved) || try == changeTries {
			return next, err
		}
	}
}

// Cancel keeps a message that is queued or deferred from being sent. ErrTooLate says that it
// is past that; one that is held or failed is given up by Resolve.
func (o *Outbox) Cancel(ctx context.Context, id ID) error {
	st, err := o.change(ctx, id, (*state).canceled)
	if err == nil {
		err = o.clear(ctx, st)
	}
	return failed("cancel", err)
}

// Resolve says what became of a message that is held, failed or partly sent, and ends it.
// In another status the error wraps ErrTooLate.
func (o *Outbox) Resolve(ctx context.Context, id ID, v Verdict) error {
	e, err := o.look(ctx, id)
	if err == nil && e.bad != nil && v == Discard {
		return failed("resolve", o.discard(ctx, e))
	}
	st, err := o.change(ctx, id, func(st *state) (*state, error) { return st.resolved(v) })
	if err == nil {
		err = o.clear(ctx, st)
	}
	return failed("resolve", err)
}

// discard removes a message or record that cannot be read.
func (o *Outbox) discard(ctx context.Context, e *entry) error {
	if m, err := o.message(ctx, e.id); err == nil && m.seq != e.seq {
		if err := o.remove(ctx, m.seq); err != nil {
			return err
		}
	}
	return o.remove(ctx, e.seq)
}

// Retry makes a message that is failed, held, deferred or partly sent due at once, for those
// recipients who are not Sent. Its Deadline does not count any more, and WorkOptions.MaxAge
// begins again. If it may have been accepted, Record.Uncertain counts that. In another status
// the error wraps ErrTooLate and says which it is.
func (o *Outbox) Retry(ctx context.Context, id ID) error {
	for try := 1; ; try++ {
		next, err := o.retry(ctx, id)
		if errors.Is(err, errMoved) && try < changeTries {
			continue
		}
		if err == nil {
			o.nc.Publish(o.wakeSubject(), nil)
			if next.Uncertain > 0 {
				o.tell(EventResend, next, nil)
			}
		}
		return failed("retry", err)
	}
}

// retry stores the message again, with the state in it that answers the current one. It is
// one write: no crash can leave half of it.
func (o *Outbox) retry(ctx context.Context, id ID) (*state, error) {
	e, err := o.look(ctx, id)
	if err != nil {
		return nil, err
	}
	if e.bad != nil {
		return nil, e.bad
	}
	next, err := e.state.retried()
	if err != nil {
		return nil, err
	}
	m := e
	if e.isState {
		if m, err = o.message(ctx, id); err != nil {
			return nil, err
		}
		if m.bad != nil {
			return nil, m.bad
		}
		if len(next.Recipients) == 0 { // written by a program that could not read the message
			if next, err = m.heldUnread(e.state).retried(); err != nil {
				return nil, err
			}
		}
	}
	next.Changed = time.Now().UTC()
	next.Since = next.Changed
	again := *m.message
	again.State = next
	data, err := encodeMessage(&again, m.octets)
	if err != nil {
		return nil, err
	}
	msg := &nats.Msg{Subject: o.messageSubject(id, again.Priority), Data: data, Header: heads(next)}
	_, err = o.publish(ctx, msg, id, e.seq)
	if isFull(err) {
		err = ErrFull
	}
	return next, err
}

// heldUnread is the state of a message that can be read now, and whose record st is of a
// program that could not: it knew nothing but the ID.
func (e *entry) heldUnread(st *state) *state {
	whole := e.message.state()
	whole.Status, whole.Err = st.Status, st.Err
	return whole
}

// clear removes the message of a state that is over, after the state was stored.
func (o *Outbox) clear(ctx context.Context, st *state) error {
	m, err := o.message(ctx, st.ID)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err == nil {
		err = o.remove(ctx, m.seq)
	}
	if err == nil {
		o.dropObject(ctx, st.Object)
	}
	return err
}
