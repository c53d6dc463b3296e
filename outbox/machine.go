package outbox

import (
	"errors"
	"fmt"
	"time"
)

// The state machine. Each event is a function from a state to the next one; none of them
// does I/O, and none changes the state that it is given. What an event does not allow is an
// error. The store writes the next state only over the one it grew out of.

// ErrTooLate: the message is past the point where this is possible. The text says where it
// stands.
var ErrTooLate = errors.New("too late")

// refusedIn says that an operation is not possible in a status.
func refusedIn(st *state, what string) error {
	return fmt.Errorf("outbox: %s: the message is %s: %w", what, st.Status, ErrTooLate)
}

// marked is the state before a Commit: a worker is about to do it.
func (st *state) marked(worker string) (*state, error) {
	if st.Status != Queued && st.Status != Deferred {
		return nil, refusedIn(st, "mark")
	}
	next := st.clone()
	next.Status, next.Worker, next.NotBefore = Committing, worker, time.Time{}
	next.Attempts++
	return &next, nil
}

// outcome is what an attempt brought, as far as it is known. The zero outcome for a recipient
// says nothing.
type outcome struct {
	recipients []RecipientRecord // in the order of the state; an empty Status leaves it as it is
	retryAt    time.Time         // not zero: those who are Queued are tried again then
	err        string
}

// settled is the state after an attempt that had a verdict, or that ended before its mark.
// Recipients that stay Queued are deferred until retryAt; without one they have failed.
// What the server accepted stays accepted, whatever was written meanwhile.
func (st *state) settled(o outcome) *state {
	next := st.clone()
	next.Worker, next.NotBefore, next.Err, next.Told = "", time.Time{}, o.err, false
	if st.Status != Committing {
		next.Attempts++ // it ended before its mark
	}
	next.merge(o)
	if o.retryAt.IsZero() {
		next.replace(Queued, Failed)
	} else if next.count(Queued) > 0 {
		next.Status, next.NotBefore = Deferred, o.retryAt
		return &next
	}
	next.conclude()
	return &next
}

// merge takes over what an attempt says of the recipients.
func (st *state) merge(o outcome) {
	for i, r := range o.recipients {
		if r.Status != "" && i < len(st.Recipients) && st.Recipients[i].Status != Sent {
			st.Recipients[i].Status, st.Recipients[i].Reply = r.Status, r.Reply
		}
	}
}

// conclude sets the status of a message that nothing more is done for.
func (st *state) conclude() {
	sent, failed, held := st.count(Sent), st.count(Failed), st.count(Held)
	switch {
	case held > 0:
		st.Status = Held
	case failed == 0:
		st.Status, st.Err = Sent, ""
	case sent > 0:
		st.Status = PartlySent
	default:
		st.Status = Failed
	}
}

func (st *state) count(s Status) (n int) {
	for _, r := range st.Recipients {
		if r.Status == s {
			n++
		}
	}
	return n
}

func (st *state) replace(from, to Status) {
	for i := range st.Recipients {
		if st.Recipients[i].Status == from {
			st.Recipients[i].Status = to
		}
	}
}

// uncertain is the state after a Commit whose verdict is not known, to this worker or to
// another one that found the mark. Recipients that o says nothing of may have the message.
func (st *state) uncertain(o outcome, policy Policy) (*state, error) {
	if st.Status != Committing {
		return nil, refusedIn(st, "uncertain")
	}
	next := st.clone()
	next.Worker, next.Err, next.Told = "", o.err, false
	next.merge(o)
	next.replace(Queued, Held)
	switch policy {
	case Resend:
		next.replace(Held, Queued)
		next.Status, next.NotBefore = Deferred, o.retryAt
		next.Uncertain++
	case Drop:
		next.Status = Dropped
	default:
		next.conclude()
	}
	return &next, nil
}

// policy is what happens to this message when its outcome is unknown.
func (st *state) policy(worker Policy) Policy {
	if st.OnUncertain != AsWorker {
		return st.OnUncertain
	}
	if worker == AsWorker {
		return Hold
	}
	return worker
}

// withheld is the state of a message that cannot be read, or whose attempt panicked before
// its mark. Nobody has it who is not Sent.
func (st *state) withheld(why string) (*state, error) {
	if st.Status != Queued && st.Status != Deferred {
		return nil, refusedIn(st, "hold")
	}
	next := st.clone()
	next.Status, next.Err, next.NotBefore, next.Told = Held, why, time.Time{}, false
	return &next, nil
}

// late is the state after the server accepted the message for a worker that others thought
// dead. What they wrote meanwhile gives way, as far as it is about those who have it now.
func (st *state) late(o outcome) *state {
	next := st.clone()
	next.merge(o)
	next.Told = false
	switch {
	case next.count(Queued) == 0 && next.count(Held) == 0:
		next.Worker, next.NotBefore = "", time.Time{}
		next.conclude()
	case next.Status == Held && next.count(Held) == 0: // what the attempt left open is another try
		next.Status = Deferred
	}
	return &next
}

// canceled is the state after Cancel.
func (st *state) canceled() (*state, error) {
	if st.Status != Queued && st.Status != Deferred {
		return nil, refusedIn(st, "cancel")
	}
	next := st.clone()
	next.Status, next.NotBefore = Canceled, time.Time{}
	return &next, nil
}

// retried is the state after Retry.
func (st *state) retried() (*state, error) {
	switch st.Status {
	case Failed, Held, Deferred, PartlySent:
	default:
		return nil, refusedIn(st, "retry")
	}
	next := st.clone()
	if st.count(Held) > 0 {
		next.Uncertain++
	}
	next.replace(Failed, Queued)
	next.replace(Held, Queued)
	next.Status, next.NotBefore, next.Deadline, next.Err, next.Told = Queued, time.Time{}, time.Time{}, "", false
	return &next, nil
}

// resolved is the state after Resolve.
func (st *state) resolved(v Verdict) (*state, error) {
	switch st.Status {
	case Failed, Held, PartlySent:
	default:
		return nil, refusedIn(st, "resolve")
	}
	next := st.clone()
	switch v {
	case WasSent:
		for i := range next.Recipients {
			next.Recipients[i].Status = Sent
		}
		next.Status, next.Err = Sent, ""
	case Discard:
		next.Status = Dropped
	default:
		return nil, fmt.Errorf("outbox: resolve: unknown verdict %d", v)
	}
	return &next, nil
}

// over reports whether nothing can happen to the message any more, so that its octets may go.
func (st *state) over() bool {
	return st.Status == Sent || st.Status == Canceled || st.Status == Dropped
}
