package transfer

import "github.com/fe022423/submission/internal/link"

// Record is all that one attempt to bring a message to a server has shown. Its
// zero value is an attempt of which nothing was sent. Everything that is decided
// about a message or its session is a question to the Record.
type Record struct {
	Mode Mode

	Reset, Mail, Data link.Reply
	Rcpt              []link.Reply // one for each recipient; zero: not asked, or not answered
	Chunk             link.Reply   // the refusal of a chunk that was not the last one
	Final             link.Reply   // the reply to the whole message; none under LMTP
	Finals            []link.Reply // under LMTP the replies to it, one for each recipient
	Surplus           link.Reply   // a reply that came right after the last one owed
	Noise             bool         // what came there is not a reply, or a part of one
	Lone              link.Reply   // the reply to the empty message of RFC 2920, 3.1

	Begun     bool          // a command of this message was written
	Together  bool          // the message shared the flight of its envelope
	Committed bool          // the write that carries the last octet was begun
	Shifted   bool          // nobody knows which command the last reply answers
	FullAt    int           // the first recipient that a full server was not asked for; 0 for none
	Octets    int64         // octets of the message taken in, in canonical form
	Lost      *link.Failure // the link broke, and this message still needed it
	Stop      Stop          // why this side gave the message up
}

// Stop is why this side gives up a message in the middle.
type Stop uint8

// The reasons to give up. NoStop: it did not.
const (
	NoStop   Stop = iota
	TooLarge      // longer than the server takes
	EightBit      // an octet above 0x7f where none may be sent
	Withheld      // its source failed, or its owner withdrew it
)

// Hear takes a reply in.
func (r *Record) Hear(o link.Owed, reply link.Reply) *link.Failure {
	class := reply.Code / 100
	if o.Step == link.Chunk && r.aboutAddress(reply) || class == 3 && o.Step != link.Data || class == 2 && o.Step == link.Data && !reply.Closing() {
		return &link.Failure{Kind: link.OutOfStep, Step: o.Step, Reply: reply}
	}
	switch o.Step {
	case link.Reset:
		r.Reset = reply
		if reply.Negative() && !reply.Closing() {
			// A server that cannot forget cannot be trusted with the next message.
			return &link.Failure{Kind: link.Refused, Step: o.Step, Reply: reply}
		}
	case link.Mail:
		r.Mail = reply
	case link.Rcpt:
		r.Rcpt[o.Index] = reply
	case link.Data:
		r.Data = reply
	case link.Chunk:
		if reply.Negative() && r.Chunk.Code == 0 {
			r.Chunk = reply
		}
	case link.Final:
		if r.Mode.LMTP {
			r.Finals[o.Index] = reply
		} else {
			r.Final = reply
		}
	case link.Message:
		r.Lone = reply
	}
	return nil
}

// Miss notes why a reply will not come. Nobody needs the one to the empty message.
func (r *Record) Miss(o link.Owed, why *link.Failure) {
	if o.Step != link.Message {
		r.lose(why)
	}
}

// lose notes the first failure, if why is one, that cost the message its link.
func (r *Record) lose(why *link.Failure) {
	if r.Lost == nil {
		r.Lost = why
	}
}

// Accepted reports whether the server took recipient i.
func (r *Record) Accepted(i int) bool { return r.Rcpt[i].Positive() }

// Refused reports whether the server refused recipient i.
func (r *Record) Refused(i int) bool { return r.Rcpt[i].Negative() }

// AnyAccepted reports whether the server took a recipient.
func (r *Record) AnyAccepted() bool { return r.anyAccepted(0, len(r.Rcpt)) }

// FirstRefused returns the first recipient that the server refused, -1 when
// there is none. A 421 says nothing about an address.
func (r *Record) FirstRefused() int {
	for i := range r.Rcpt {
		if r.Refused(i) && !r.Rcpt[i].Closing() {
			return i
		}
	}
	return -1
}

// NobodyLeft reports whether every recipient that was asked for was refused.
// named tells which those are.
func (r *Record) NobodyLeft(named func(int) bool) bool {
	for i := range r.Rcpt {
		if named(i) && (!r.Refused(i) || r.Rcpt[i].Closing()) {
			return false
		}
	}
	return true
}

// RcptStopped reports whether the refusal of recipients stopped the message.
func (r *Record) RcptStopped() bool {
	asked := func(i int) bool { return !r.NotAsked(i) }
	return r.FirstRefused() >= 0 && (r.Mode.AllOrNothing || r.NobodyLeft(asked))
}

// Deliverable reports whether the replies to the envelope let the message go
// out.
func (r *Record) Deliverable() bool {
	return !r.Mail.Negative() && r.AnyAccepted() && !(r.Mode.AllOrNothing && r.FirstRefused() >= 0)
}

// Sent reports whether the server accepted the message for those recipients that it
// took; under LMTP, whether it said so of one of them, and said what became of each.
func (r *Record) Sent() bool {
	sent := false
	for i := range r.Rcpt {
		if r.awaits(i) {
			return false
		}
		sent = sent || r.Taken(i)
	}
	return sent
}

// Unknown reports whether nobody but the server knows what became of the
// message: it is on its way, and no reply tells.
func (r *Record) Unknown() bool {
	switch {
	case !r.Committed || r.Sent():
		return false
	case r.Shifted:
		// Whatever answers what, it is not sent to those who were all refused.
	case r.answered():
		// A message that was accepted for nobody was not sent. After a refused
		// MAIL that was no refusal to the recipients, who knows.
		return r.anyFinal(link.Reply.Positive) && r.AnyAccepted()
	case r.Mail.Negative() && r.gone():
		return r.AnyAccepted()
	}
	return r.AnyAccepted() || r.anyUnanswered()
}

// gone reports whether the message lost its link because the connection is gone.
func (r *Record) gone() bool { return r.Lost != nil && r.Lost.Gone() }

// anyUnanswered reports whether a recipient was asked for and not answered. It
// is meant for a message that was committed, when every recipient was.
func (r *Record) anyUnanswered() bool {
	for i := range r.Rcpt {
		if r.Rcpt[i].Code == 0 && !r.NotAsked(i) {
			return true
		}
	}
	return false
}
