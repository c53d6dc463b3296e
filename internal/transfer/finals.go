package transfer

import "github.com/fe022423/submission/internal/link"

// What a Record says about the replies to the whole message: one, or under LMTP one for
// each recipient that the server accepted, in their order (RFC 2033, 4.2 and 4.3).

// FinalOf returns the reply that says what became of the message for recipient i, the
// zero Reply when there is none.
func (r *Record) FinalOf(i int) link.Reply {
	if r.Mode.LMTP {
		return r.Finals[i]
	}
	return r.Final
}

// Taken reports whether the server accepted the message for recipient i.
func (r *Record) Taken(i int) bool {
	return r.Committed && !r.Shifted && !r.Mail.Negative() && r.Accepted(i) && r.FinalOf(i).Positive()
}

// TurnedAway reports whether the server accepted recipient i and then, under LMTP,
// refused the message for it.
func (r *Record) TurnedAway(i int) bool {
	return r.Mode.LMTP && r.Accepted(i) && r.Finals[i].Negative()
}

// SaidOf returns what the server said of recipient i last: to RCPT, or under LMTP to the
// message. After a refused MAIL a final reply says nothing about anybody.
func (r *Record) SaidOf(i int) link.Reply {
	if r.Mode.LMTP && r.Accepted(i) && r.Finals[i].Code != 0 && !r.Mail.Negative() {
		return r.Finals[i]
	}
	return r.Rcpt[i]
}

// FinalRefusal returns the first final reply that refuses, the zero Reply when none does.
func (r *Record) FinalRefusal() (refusal link.Reply) {
	r.anyFinal(func(f link.Reply) bool {
		if f.Negative() {
			refusal = f
		}
		return f.Negative()
	})
	return refusal
}

// LastTaken returns the last final reply that accepts, the zero Reply when none does.
func (r *Record) LastTaken() link.Reply {
	if !r.Mode.LMTP {
		return r.Final
	}
	for i := len(r.Finals) - 1; i >= 0; i-- {
		if r.Taken(i) {
			return r.Finals[i]
		}
	}
	return link.Reply{}
}

// awaits reports whether recipient i was accepted and no final reply says what became of
// the message for it.
func (r *Record) awaits(i int) bool { return r.Accepted(i) && r.FinalOf(i).Code == 0 }

// answered reports whether all final replies came.
func (r *Record) answered() bool {
	for i := range r.Rcpt {
		if r.awaits(i) {
			return false
		}
	}
	return r.FirstFinal().Code != 0
}

// FirstFinal returns the first final reply that came, which is the only one where only
// one recipient was asked for.
func (r *Record) FirstFinal() (first link.Reply) {
	r.anyFinal(func(f link.Reply) bool {
		first = f
		return true
	})
	return first
}

// anyFinal reports whether a final reply that came is so.
func (r *Record) anyFinal(is func(link.Reply) bool) bool {
	if !r.Mode.LMTP {
		return r.Final.Code != 0 && is(r.Final)
	}
	for _, f := range r.Finals {
		if f.Code != 0 && is(f) {
			return true
		}
	}
	return false
}

// asked returns how many recipients are asked for.
func (r *Record) asked() int {
	n := 0
	for i := range r.Rcpt {
		if !r.NotAsked(i) {
			n++
		}
	}
	return n
}

// mayBeFollowed reports whether the envelope of another message may go out after the
// end of this one. Some servers of LMTP give one reply where several are due. The
// replies to what follows, which begin with the 250 to its RSET, would then be taken for
// those of recipients that did not get the message.
func (r *Record) mayBeFollowed() bool { return !r.Mode.LMTP || r.asked() == 1 }

// oweFinals puts on the queue what the server owes once it has the whole message.
func (t *Transfer) oweFinals() {
	if !t.Mode.LMTP {
		t.link.Owes(link.Owed{Message: &t.Record, Step: link.Final})
		return
	}
	for i := range t.Rcpt {
		if t.Accepted(i) {
			t.link.Owes(link.Owed{Message: &t.Record, Step: link.Final, Index: i})
		}
	}
}
