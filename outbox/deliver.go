package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// engineDelay is the time until a message is looked at again after a call to the engine
	// failed.
	engineDelay = 5 * time.Second
	// longestDelay bounds how far ahead the consumer is asked to deliver again.
	longestDelay = 24 * time.Hour
)

// deliver does what is to be done for a message that the consumer handed out.
func (k *work) deliver(ctx context.Context, m jetstream.Msg) {
	id, _ := k.idOf(m.Subject())
	if !k.claim(id) {
		m.NakWithDelay(k.Lease)
		return
	}
	defer k.release(id)
	defer k.keepAlive(m)()
	defer k.pass("ack done")
	again, err := k.consider(ctx, id, m)
	switch {
	case k.pass("ack") != nil:
	case errors.Is(err, errMoved): // another one did something: look again at once
		m.Nak()
	case err != nil:
		if !errors.Is(err, errAbandoned) {
			k.tell(EventEngine, &state{ID: id}, err)
		}
		m.NakWithDelay(k.again)
	case again > 0:
		m.NakWithDelay(min(again, longestDelay))
	default:
		m.Ack()
	}
}

// surelyGone is how often a cluster must have delivered a message whose record it does not know
// before that is believed: a server that was cut off may answer before it notices that others
// chose another leader, and a delivery that was acknowledged by mistake is never made again.
const surelyGone = 4

// claim reports whether no other worker of this process has the message in hand, and takes it.
func (o *Outbox) claim(id ID) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.active[id] {
		return false
	}
	o.active[id] = true
	return true
}

func (o *Outbox) release(id ID) {
	o.mu.Lock()
	delete(o.active, id)
	o.mu.Unlock()
}

// keepAlive renews the lease of a message until the function that it returns is called.
func (k *work) keepAlive(m jetstream.Msg) (stop func()) {
	done, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		t := time.NewTicker(max(k.Lease/3, time.Millisecond))
		defer t.Stop()
		for {
			select {
			case <-done:
				return
			case <-t.C:
				m.InProgress()
			}
		}
	}()
	return func() { close(done); <-over }
}

// consider looks at the record of a message and does what its status asks for. It returns the
// time until the message is to be delivered again; 0 is never.
func (k *work) consider(ctx context.Context, id ID, m jetstream.Msg) (again time.Duration, err error) {
	meta, err := m.Metadata()
	if err != nil {
		return 0, err
	}
	e, err := k.last(k.writes, id)
	switch {
	case errors.Is(err, ErrNotFound) && k.remote && meta.NumDelivered < surelyGone:
		return k.Lease, nil
	case errors.Is(err, ErrNotFound):
		return 0, nil
	case err != nil:
		return 0, err
	case !e.isState && e.seq != meta.Sequence.Stream:
		return 0, nil // Retry stored it again: that one is delivered too
	case e.bad != nil:
		return 0, k.holdUnreadable(e)
	}
	st := e.state
	e.suspect = k.suspect(meta)
	switch st.Status {
	case Queued, Deferred:
		return k.due(ctx, e)
	case Committing: // whoever marked it is dead
		o := outcome{err: "the worker ended between the end of the message and the verdict of the server", retryAt: time.Now().UTC()}
		return k.unsure(e.seq, st, o)
	default:
		return 0, k.finish(st, e.seq)
	}
}

// holdUnreadable leaves what cannot be read where it is, so that it is listed. A message
// that has no record yet gets one that says why.
func (k *work) holdUnreadable(e *entry) error {
	k.options.Logger.Error("outbox: held: it cannot be read", "id", e.id, "err", e.bad)
	if e.isState {
		return nil
	}
	st := *e.state
	st.Enqueued = time.Now().UTC()
	seq, err := k.putState(k.writes, &st, e.seq)
	if err != nil {
		return err
	}
	return k.finish(&st, seq)
}

// due sends a message, unless its time has not come or is over, or its route is paused.
func (k *work) due(ctx context.Context, e *entry) (again time.Duration, err error) {
	st := e.state
	if wait := time.Until(st.NotBefore); wait > 0 {
		return wait, nil
	}
	if ctx.Err() != nil {
		return time.Millisecond, nil
	}
	if (*k.paused.Load())[st.Route] {
		return k.Lease, nil
	}
	if over := k.expiry(st); time.Now().After(over) {
		text := fmt.Sprintf("its time was over on %s", over.Format(time.RFC3339))
		if st.Err != "" {
			text += "; " + st.Err
		}
		return k.settle(e.seq, st.settled(outcome{err: text}))
	}
	if e.isState {
		m, err := k.message(k.writes, e.id)
		if errors.Is(err, ErrNotFound) {
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
		if e.message, e.octets, e.bad = m.message, m.octets, m.bad; e.bad != nil {
			next, err := st.withheld(e.bad.Error())
			if err != nil {
				return 0, err
			}
			return k.settle(e.seq, next)
		}
	}
	if e.suspect {
		return k.attemptSuspect(ctx, e)
	}
	return k.attempt(ctx, e)
}

// expiry is when no further attempt begins.
func (k *work) expiry(st *state) time.Time {
	over := st.Since.Add(k.MaxAge)
	if !st.NotBefore.IsZero() && st.Attempts == 0 { // it could not begin earlier
		over = st.NotBefore.Add(k.MaxAge)
	}
	if !st.Deadline.IsZero() && st.Deadline.Before(over) {
		return st.Deadline
	}
	return over
}

// settle stores what an attempt brought, and finishes the message if it is over.
func (k *work) settle(seq uint64, next *state) (again time.Duration, err error) {
	if seq, err = k.putState(k.writes, next, seq); err != nil {
		return 0, err
	}
	k.tell(EventSettled, next, nil)
	if next.Status == Deferred {
		return max(time.Until(next.NotBefore), time.Millisecond), nil
	}
	return 0, k.finish(next, seq)
}

// unsure stores that the outcome of an attempt is not known.
func (k *work) unsure(seq uint64, st *state, o outcome) (again time.Duration, err error) {
	next, err := st.uncertain(o, st.policy(k.OnUncertain))
	if err != nil {
		return 0, err
	}
	if seq, err = k.putState(k.writes, next, seq); err != nil {
		return 0, err
	}
	k.tell(EventUncertain, next, nil)
	if next.Status == Deferred {
		k.tell(EventResend, next, nil)
		return max(time.Until(next.NotBefore), time.Millisecond), nil
	}
	return 0, k.finish(next, seq)
}

// finish tells OnDone of a message that is over or needs somebody, and removes what is sent.
// The record is stored before, and the delivery acknowledged after it: a crash in between
// makes it run again.
func (k *work) finish(st *state, seq uint64) error {
	if k.OnDone != nil && !st.Told && st.Status != Canceled {
		k.callOnDone(st)
		if !st.over() { // it stays, and may be delivered again
			told := st.clone()
			told.Told = true
			if _, err := k.putState(k.writes, &told, seq); err != nil && !errors.Is(err, errMoved) {
				return err
			}
		}
	}
	if st.over() {
		return k.clear(k.writes, st)
	}
	return nil
}

func (k *work) callOnDone(st *state) {
	defer func() {
		if p := recover(); p != nil {
			k.tell(EventPanic, st, fmt.Errorf("OnDone panicked: %v", p))
		}
	}()
	k.OnDone(k.send, st.record())
}
