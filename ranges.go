package submission

import (
	"maps"

	"github.com/fe022423/submission/internal/transfer"
)

// A server may take fewer recipients than a message has: in one transaction (RCPTMAX of
// RFC 9422, or 452 of RFC 5321, 4.5.3.1.10), or in as few domains as RCPTDOMAINMAX allows
// a session. With Envelope.Partial the message then goes out several times, each time to
// a range of the recipients.

// ranges is how far a message has come that goes out in several transactions. The zero
// value is one that goes to all in one.
type ranges struct {
	settled []bool // recipients with a verdict in parts; nil before the first
	parts   []part
	more    bool // the attempt that runs leaves some to others
	most    int  // how many the server takes in a transaction, as it was seen to; 0 for no limit
}

// left returns the recipients that have no verdict, nil for all.
func (r *ranges) left() []bool {
	if r.settled == nil {
		return nil
	}
	left := make([]bool, len(r.settled))
	for i, settled := range r.settled {
		left[i] = !settled
	}
	return left
}

// domains are those of recipients, in lower case.
type domains map[string]struct{}

// add notes the domains of the recipients that an attempt asks for, if the server limits
// them.
func (d *domains) add(a *attempt) {
	if _, limited := a.offer.Limit(limitRcptDomain); !limited {
		return
	}
	if *d == nil {
		*d = domains{}
	}
	for i := range a.plan.rcpts {
		if a.named(i) {
			(*d)[a.plan.domain(i)] = struct{}{}
		}
	}
}

// choose picks the recipients that an attempt over s is for: of those that have no
// verdict as many as the server takes. It returns how many are asked for, and how many
// are left to other attempts.
func (t *Transaction) choose(a *attempt, s *Session) (asked, left int) {
	n := len(t.plan.rcpts)
	perMessage, ok := a.offer.Limit(limitRcpt)
	if most := t.ranges.most; most > 0 && (!ok || most < perMessage) {
		perMessage = most
	}
	perSession, limited := a.offer.Limit(limitRcptDomain)
	if t.ranges.settled == nil && !limited && (perMessage == 0 || n <= perMessage) {
		return n, 0
	}
	met := maps.Clone(s.domains)
	if met == nil {
		met = domains{}
	}
	only := make([]bool, n)
	for i := range only {
		if t.ranges.settled != nil && t.ranges.settled[i] {
			continue
		}
		if !a.askable(i) {
			only[i] = true // its verdict comes with those of this range
			continue
		}
		fits := perMessage == 0 || asked < perMessage
		if limited && fits {
			domain := t.plan.domain(i)
			if _, known := met[domain]; known || len(met) < perSession {
				met[domain] = struct{}{}
			} else {
				fits = false
			}
		}
		if !fits {
			left++
			continue
		}
		only[i] = true
		asked++
	}
	if left > 0 || t.ranges.settled != nil {
		a.only = only
	}
	return asked, left
}

// chooseRange picks the recipients of the attempt, which is refused when the message
// cannot be sent in several. A session of the pool with no room for other domains is
// given up.
func (t *Transaction) chooseRange() {
	a := &t.attempt
	asked, left := t.choose(a, t.s)
	t.ranges.more = left > 0
	if left == 0 || t.plan.env.Partial && asked > 0 {
		return
	}
	perMessage, limited := a.offer.Limit(limitRcpt)
	perSession, _ := a.offer.Limit(limitRcptDomain)
	n, all := t.plan.countDomains()
	switch {
	case !t.plan.env.Partial && limited && n > perMessage:
		a.refused = outOfRange("%d recipients, the server takes %d a message (LIMITS %s): with Envelope.Partial they get it in several", n, perMessage, limitRcpt)
	case !t.plan.env.Partial && all > perSession:
		a.refused = outOfRange("recipients in %d domains, the server takes %d a session (LIMITS %s): with Envelope.Partial they get the message over several", all, perSession, limitRcptDomain)
	case t.lender != nil:
		t.s.unfit = true
	default:
		a.refused = outOfRange("the session has no room for recipients in other domains, the server takes %d (LIMITS %s): use another session", perSession, limitRcptDomain)
	}
}

// countDomains returns the number of the recipients that can be asked for, and that of
// their domains.
func (p *plan) countDomains() (rcpts, all int) {
	met := domains{}
	for i := range p.rcpts {
		if p.rcpts[i].err == nil {
			rcpts++
			met[p.domain(i)] = struct{}{}
		}
	}
	return rcpts, len(met)
}

// divisible reports whether the message may go out several times: it may be for some
// recipients only, and this side has all of it still.
func (t *Transaction) divisible() bool {
	return t.plan.env.Partial && (t.spool.Whole() || t.rewinder.source != nil)
}

// indivisible says why the message cannot go out several times, although the server
// takes it for all of its recipients only then. Nothing was sent.
func (t *Transaction) indivisible() error {
	if !t.ranges.more || t.divisible() {
		return nil
	}
	return outOfRange("%d recipients, which the server takes in several transactions (LIMITS): a message of more than 64 KiB for them must come from an io.ReadSeeker", len(t.plan.rcpts))
}

// leavesSome reports whether the message goes out once more after the attempt that runs.
func (t *Transaction) leavesSome() bool {
	return t.ranges.more || t.attempt.Mode.Divisible && t.attempt.AnyOverflows()
}

// sendRest sends a message that is held back whole to the recipients that its first
// transaction left.
func (t *Transaction) sendRest() {
	for t.spool.Whole() && t.nextRange() {
		t.try(txOver)
		t.tryAgain(txOver)
	}
}

// restFromSource has a message that was read from a source read once more, for the
// recipients that are left. It reports whether there are any.
func (t *Transaction) restFromSource() bool {
	if t.spool.Whole() || !t.nextRange() {
		return false
	}
	t.readAgain()
	return true
}

// nextRange turns to the recipients that the attempt has left, and reports whether there
// are any that may have the message now. What stopped the message in more than a
// recipient stops the ranges that follow.
func (t *Transaction) nextRange() bool {
	a := &t.attempt
	if a.refused != nil || !a.Mode.Divisible || !t.leavesSome() {
		return false
	}
	if !a.Sent() && !a.onlyRcptRefused() {
		return false
	}
	t.settle()
	t.fresh = false
	s := t.s
	s.noteUse(a)
	*a = attempt{plan: &t.plan, only: t.ranges.left(), reused: t.lender != nil}
	switch goesOn := s.Usable() && s.ride == nil && !s.link.Owing(); {
	case goesOn && (t.lender == nil || !s.unfit && !t.lender.worn(s)):
		t.admit()
	case t.lender != nil:
		t.release()
	default:
		a.refused = join(ErrClosed, lostError(s.link.Failure()))
	}
	return true
}

// onlyRcptRefused reports whether nothing kept the message from being sent but that each
// recipient was refused, for a reason of its own.
func (a *attempt) onlyRcptRefused() bool {
	return a.Lost == nil && a.Stop == transfer.NoStop && !a.Mail.Negative() && a.RcptStopped() && !a.SaysTooMany()
}

// settle keeps the verdict on the recipients of the attempt, except those for whom the
// server had no room.
func (t *Transaction) settle() {
	a, r := &t.attempt, &t.ranges
	n := len(t.plan.rcpts)
	if r.settled == nil {
		r.settled = make([]bool, n)
	}
	only := make([]bool, n)
	for i := range only {
		if a.concerns(i) && !a.Overflows(i) {
			only[i], r.settled[i] = true, true
		}
	}
	if a.AnyOverflows() {
		r.most = a.TookBeforeFull()
	}
	a.only = only
	result, failed := judge(&t.plan, a)
	r.parts = append(r.parts, part{result, failed, only})
}
