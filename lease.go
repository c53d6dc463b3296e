package submission

import (
	"context"

	"github.com/fe022423/submission/internal/link"
	"github.com/fe022423/submission/internal/transfer"
)

// lender lends sessions to transactions.
type lender interface {
	// take waits for a session.
	take(ctx context.Context, r request) (loan, error)
	// follow appends to the end of a message on s the envelope of a send that waits.
	follow(s *Session, end []byte) []byte
	// give takes it back, whatever has become of it.
	give(s *Session)
	// enter begins a call; leave ends it.
	enter() error
	leave()
	noteOutcome(*SendError)
	noteRestart()
	// worn reports whether a session has served its time.
	worn(s *Session) bool
	// noteDropped has no envelope follow another message any more.
	noteDropped()
}

// loan is a session for a transaction.
type loan struct {
	s      *Session
	reused bool // a message was sent over it before
	looked bool // it was looked at just now
	asked  bool // and answered a command just now
	// ride is the first flight of the envelope, which is on its way already; nil when
	// it is not.
	ride *transfer.Ride
}

// tail has the envelope of a send that waits follow a message on a session.
type tail struct {
	lender lender
	s      *Session
	front  *Transaction // the message that it follows
}

// Follow appends that envelope to the end of the message, unless that goes out once more
// over the session.
func (t *tail) Follow(end []byte) []byte {
	if t.front.leavesSome() {
		return end
	}
	return t.lender.follow(t.s, end)
}

// advance brings a transaction that holds its message back to a later state, with
// a session where there is none: to txStreaming, to txPrepared, or to txOver, its
// verdict. A message that meets a session of the pool which turns out to be the
// wrong one starts once more, on a fresh one; what that one says is final.
func (t *Transaction) advance(to txState) {
	t.try(to)
	// What goes well goes on: octets of the message may be out already.
	if to == txOver || !t.attempt.OK() {
		t.tryAgain(to)
	}
	if to == txOver {
		t.sendRest()
	}
	if to == txOver || t.attempt.refused != nil || !t.attempt.OK() {
		t.finish()
		return
	}
	t.state = to
}

// tryAgain makes the one more attempt of a message that is held back whole, where there
// may be one.
func (t *Transaction) tryAgain(to txState) {
	if t.fresh || !t.mayStartAgain() {
		return
	}
	t.noteRestart()
	t.release()
	t.fresh = true
	t.try(to)
}

// noteRestart notes that the message starts once more, while it has the session that is
// the wrong one.
func (t *Transaction) noteRestart() {
	t.lender.noteRestart()
	t.watch.restarts(t)
}

// try makes one attempt, on a session that is got for it where there is none.
func (t *Transaction) try(to txState) {
	looked := false
	var ride *transfer.Ride
	if t.s == nil && t.lender != nil {
		l, err := t.borrow()
		t.attempt = attempt{plan: &t.plan, refused: err, noSession: err != nil, reused: l.reused, only: t.ranges.left()}
		if err != nil {
			return
		}
		looked, ride = l.looked, l.ride
		t.occupy(l.s)
		t.admit()
	}
	switch {
	case t.over():
		return
	case t.lender != nil && t.s.unfit: // asked in vain what it offers, or full
		t.release()
		t.try(to)
		return
	}
	mode := t.attempt.mode(t.cfg, &t.spool, t.restASCII)
	if t.attempt.refused == nil {
		t.attempt.refused = t.indivisible()
	}
	if t.attempt.refused != nil {
		return
	}
	t.s.domains.add(&t.attempt)
	mode.Divisible = t.divisible()
	mode.Looked = looked
	mode.Reset = t.s.link.Open()
	mode.Early = to == txOver && t.mayShareFlight(mode)
	t.watch.times(&t.attempt.Transfer)
	if t.lender != nil && mode.Pipelining && !t.ranges.more {
		t.attempt.tail = tail{t.lender, t.s, t}
		t.attempt.LetFollow(&t.attempt.tail)
	}
	t.watch.enter(phaseEnvelope)
	if ride != nil {
		t.attempt.Resume(t.s.link, &t.attempt, &t.spool, mode, ride)
		if ride.Dropped() {
			t.lender.noteDropped()
			t.release()
			t.try(to)
			return
		}
	} else {
		t.attempt.Start(t.s.link, &t.attempt, &t.spool, mode)
	}
	t.watch.enter(phaseOther)
	if !t.attempt.OK() || t.attempt.Together {
		return
	}
	t.watch.enter(phaseMessage)
	switch to {
	case txStreaming:
		t.attempt.Stream(&t.spool)
	case txPrepared:
		t.attempt.Prepare(&t.spool)
	default:
		t.attempt.Commit(&t.spool)
	}
}

// mayStartAgain reports whether the message may start once more on a session that was
// never used: it met one that was, and nothing of it can have been accepted.
func (t *Transaction) mayStartAgain() bool {
	a := &t.attempt
	return a.reused && a.refused == nil && a.StartsAgain() && t.ctx.Err() == nil
}

// blamesSession reports whether the message met a used session that was the trouble,
// and that no message will meet again, so that it may pass on another one. It is for
// a message that cannot start once more by itself.
func (t *Transaction) blamesSession() bool {
	a := &t.attempt
	switch {
	case a.refused != nil || !a.StartsAgain():
		return false
	case t.lender != nil:
		return a.reused
	case t.s == nil || !t.s.used:
		return false
	}
	if a.Lost == nil {
		t.s.link.Linger(link.Mail) // the server may have hung up after its refusal
		return !t.s.Usable()
	}
	return !t.s.Usable() && !isType[*ProtocolError](lostError(a.Lost))
}

// borrow gets a session. A transaction of Begin is a call of the pool from here on.
func (t *Transaction) borrow() (loan, error) {
	if !t.entered {
		if err := t.lender.enter(); err != nil {
			return loan{}, err
		}
		t.entered = true
	}
	t.watch.wants()
	defer t.watch.enter(phaseOther)
	return t.lender.take(t.ctx, request{fresh: t.fresh, t: t, watch: t.watch})
}

// mayShareFlight reports whether the message may go out with its envelope; see
// Options.EarlyData. A session that has something to forget first could refuse
// to, and take the message all the same. With LMTP nobody could say how many replies the
// message has, since that is the number of recipients that are accepted.
func (t *Transaction) mayShareFlight(m transfer.Mode) bool {
	return t.cfg.EarlyData && m.Chunking && m.Pipelining && !m.Reset && (!m.AllOrNothing && !m.LMTP || len(t.plan.rcpts) == 1)
}

// occupy puts the transaction on a session.
func (t *Transaction) occupy(s *Session) {
	t.s, s.open = s, t
	t.watch.meets(s, t.attempt.reused || t.lender == nil && s.used)
	s.enter(t.ctx, t.watch)
}

// admit holds the envelope against what the server offers. Some servers offer
// more to a client that they know, as Dovecot does with DSN: what seems to be
// missing is asked about once more after AUTH.
func (t *Transaction) admit() {
	s, a := t.s, &t.attempt
	a.offer, a.secure = s.ext, s.tls != nil
	a.admit()
	if s.helloOutdated && (a.refused != nil || a.lacks != nil) {
		if a.refused = nil; s.relearn() != nil {
			a.Lost = s.link.Failure()
			return
		}
		a.offer = s.ext
		a.admit()
	}
	if a.refused == nil {
		t.chooseRange()
	}
}

// over reports whether the attempt failed before its transfer began.
func (t *Transaction) over() bool { return t.attempt.refused != nil || t.attempt.Lost != nil }

// release lets go of the session.
func (t *Transaction) release() {
	s := t.s
	if s == nil {
		return
	}
	t.s, s.open = nil, nil
	s.noteUse(&t.attempt)
	t.watch.leaves(s)
	if t.lender != nil {
		defer t.lender.give(s) // also when a hook panics
	}
	defer s.exit()
	if t.attempt.Unfinished() || s.ride == nil && s.link.Owing() {
		s.link.Break(&link.Failure{Kind: link.GivenUp, Step: link.Message})
	}
}

// noteUse counts an attempt to send a message over the session.
func (s *Session) noteUse(a *attempt) {
	s.used = true
	if a.Begun {
		s.mails++
	}
	if a.Sent() {
		s.messages++
	}
	s.unfit = s.unfit || a.SessionWrong()
}
