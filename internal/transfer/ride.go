package transfer

import (
	"bytes"

	"github.com/fe022423/submission/internal/link"
)

// Ride is the first flight of an envelope that goes out after the end of another
// message: RFC 2920, 3.1 lets the octets of a message be the first thing in a group
// of commands. It saves the round trip. RSET goes first, since nobody knows yet what
// becomes of the message in front, and since it tells a reply too many from one that
// is owed. The message itself comes later, to hear the replies.
type Ride struct {
	flight []command
	next   command // after them
	lines  []byte  // of the commands in wire form
	rcpts  int     // of the envelope
	heard  *Record // who hears the replies; nil as long as the message has not come
}

// NewRide writes the first flight of an envelope that goes out under a mode.
func NewRide(env Envelope, m Mode) *Ride {
	m.Reset, m.Early = true, false
	r := &Ride{rcpts: env.Recipients()}
	t := Transfer{Record: Record{Mode: m}, env: env, buf: &Buffers{}}
	c := t.first()
	for ; c.step != over; c = t.next(c) {
		line := t.line(c)
		if len(r.lines) > 0 && t.flightEnds(c, len(r.lines)+len(line)+2) {
			break
		}
		// The lines of a plan were checked: they hold no control character.
		r.lines = append(append(r.lines, line...), "\r\n"...)
		r.flight = append(r.flight, c)
	}
	r.next = c
	return r
}

// Board appends the flight to what is about to be written to l, which owes the
// replies from then on.
func (r *Ride) Board(l *link.Link, p []byte) []byte {
	for _, c := range r.flight {
		l.Owes(link.Owed{Message: r, Step: c.step, Index: c.index, Soon: c.step == link.Reset})
	}
	return append(p, r.lines...)
}

// show shows the lines of the flight: only now is it known whose call they are part of.
func (r *Ride) show(l *link.Link) {
	if l.Observed() {
		for line := range bytes.Lines(r.lines) {
			l.ShowSent(string(line[:len(line)-len("\r\n")]))
		}
	}
}

// leave has the record of the message hear the replies. It returns the command after
// the flight and the step of the last one in it.
func (r *Ride) leave(l *link.Link, heard *Record) (next command, last link.Step) {
	r.show(l)
	r.heard = heard
	return r.next, r.flight[len(r.flight)-1].step
}

// GiveUp hears the replies for a message that never comes. A server that waits for
// its octets then can only be left.
func (r *Ride) GiveUp(l *link.Link) {
	rec := Record{Rcpt: make([]link.Reply, r.rcpts)}
	r.show(l)
	r.heard = &rec
	l.HearAll()
	if l.Settled(link.Data); rec.Data.Code/100 == 3 {
		l.Break(&link.Failure{Kind: link.GivenUp, Step: link.Data})
	}
}

// Dropped reports whether the server has dropped the flight: it answered the message in
// front, and then not even RSET. Servers exist that drop what they read together with
// the end of a message, and others that refuse it, a RSET too.
func (r *Ride) Dropped() bool {
	lost := r.heard.Lost
	if lost == nil || lost.Step != link.Reset {
		return false
	}
	return lost.Kind == link.TimedOut || lost.Kind == link.Refused && lost.Reply.Code/100 == 5
}

// Hear takes a reply in.
func (r *Ride) Hear(o link.Owed, reply link.Reply) *link.Failure { return r.heard.Hear(o, reply) }

// Miss notes why a reply will not come.
func (r *Ride) Miss(o link.Owed, why *link.Failure) {
	if r.heard != nil {
		r.heard.Miss(o, why)
	}
}
