package transfer

import (
	"slices"

	"github.com/fe022423/submission/internal/link"
)

// What a Record says about the session that the message met.

// StartsAgain reports whether a message that met this on a session which had been
// used before may start once more on a fresh one: nothing of it can have been
// accepted, and what was said or happened speaks of the session.
func (r *Record) StartsAgain() bool {
	if r.Sent() || r.Unknown() || r.Stop != NoStop {
		return false
	}
	if r.Lost != nil {
		switch r.Lost.Kind {
		case link.TimedOut, link.Cancelled, link.GivenUp:
			return false
		case link.Ended, link.Failed:
			if !r.Committed && !r.RcptStopped() {
				return true
			}
		case link.Malformed, link.OutOfStep, link.Unasked:
			// In the middle of a message a refusal is one of the message, and what
			// accepts is a reply too many to something before.
			if r.Lost.Step <= link.Data || !r.Committed && r.Lost.Kind == link.Unasked && r.Lost.Reply.Positive() {
				return true
			}
		}
	}
	return r.saidUnfit() || aboutConnection(r.Chunk) || r.anyFinal(aboutConnection)
}

// SessionWrong reports whether what the server said speaks against the session: it
// refused a transaction as a whole, or said that the session is over or not fit.
// A refused recipient does not count.
func (r *Record) SessionWrong() bool {
	return r.saidUnfit() || r.Chunk.Negative() || r.Deliverable() && r.anyFinal(r.finalAgainstSession)
}

// finalAgainstSession reports whether a final reply refuses in a way that speaks
// against the session. Under LMTP it is the refusal of a recipient, which does not
// count: not where another recipient got the message, nor where it is about the address
// or its mailbox (RFC 3463, 3.2 and 3.3), such as one that is full.
func (r *Record) finalAgainstSession(f link.Reply) bool {
	if r.Mode.LMTP && (r.anyFinal(link.Reply.Positive) || subject(f) == "1" || subject(f) == "2") {
		return false
	}
	return f.Code/100 == 4 || aboutConnection(f) || r.Mode.Chunking && f.Negative()
}

// saidUnfit reports whether a reply says that the session does not take mail, by
// its code or by what it refuses.
func (r *Record) saidUnfit() bool {
	if r.Reset.Negative() || r.Mail.Negative() || unfit(r.Chunk) || r.Lost != nil && unfit(r.Lost.Reply) ||
		slices.ContainsFunc(r.Rcpt, unfit) {
		return true
	}
	// What follows a refused recipient is no more than its consequence.
	return r.Deliverable() && (r.Data.Negative() || r.anyFinal(unfit))
}

// unfit reports whether a reply says that the session is over, or that it is in
// a state that does not take mail: bad sequence, authentication required.
func unfit(r link.Reply) bool { return r.Closing() || r.Code == 503 || r.Code == 530 }

// aboutConnection reports whether a refusal has an enhanced code x.4.z, which is
// about the connection and not about the message (RFC 3463, 3.5).
func aboutConnection(r link.Reply) bool { return r.Negative() && subject(r) == "4" }

// Ends reports whether the session cannot be used again although its link is
// not broken. A chunk that was refused, or that met a refused envelope, ends it:
// servers exist that read such a chunk as commands. One that was accepted for a
// recipient, under LMTP, was read as a chunk.
func (r *Record) Ends() bool {
	return r.Chunk.Code != 0 || r.Mode.Chunking && r.Committed && !r.Sent()
}
