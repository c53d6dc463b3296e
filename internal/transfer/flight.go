package transfer

import "github.com/fe022423/submission/internal/link"

// window is how many octets of commands may be unanswered. The buffers of both
// sides hold that much, so that neither can block the other while it writes
// (RFC 2920, 3.1).
const window = 4096

// command is one line of an envelope, in the order RSET, MAIL, RCPT for each
// recipient that is asked for, DATA.
type command struct {
	step  link.Step
	index int
}

// over is what follows the last command.
const over = link.Final

// sendEnvelope sends the envelope in flights: all commands of a flight are
// written before its first reply is read, and all its replies are read. The first
// flight may be on its way already, as r; nil when it is not.
func (t *Transfer) sendEnvelope(s *Spool, r *Ride) {
	l, looked := t.link, t.Mode.Looked
	for c := t.first(); c.step != over && !t.stopped(c); looked = false {
		first := c
		var last link.Step
		if r != nil {
			c, last = r.leave(l, &t.Record)
			t.Begun, r = true, nil
		} else {
			if !looked {
				if why := l.Look(c.step); why != nil {
					t.lose(why)
					return
				}
			}
			c, last = t.write(c)
			if t.Begun = true; t.Lost != nil {
				return
			}
		}
		if c.step == over && t.Mode.Early && s.whole && !t.takeAlong(s) {
			return
		}
		if t.Together {
			l.HearToTheEnd()
			t.Committed = !l.Unwritten()
			t.afterFinal()
			return
		}
		l.HearAll()
		if !t.settle(last) {
			t.forgetShifted(first, c)
			return
		}
		if c.step == link.Rcpt && t.Mode.Divisible && t.AnyOverflows() {
			t.FullAt = c.index
			c = t.afterRecipients()
		}
	}
}

// write writes the commands of a flight that begins with c. It returns the one
// after them and the step of the last of them.
func (t *Transfer) write(c command) (next command, last link.Step) {
	octets := 0
	for c.step != over {
		line := t.line(c)
		if octets > 0 && t.flightEnds(c, octets+len(line)+2) {
			break
		}
		// The lines of a plan were checked: they hold no control character.
		if err := t.link.LineBytes(line); err != nil {
			t.lose(t.link.Break(&link.Failure{Kind: link.GivenUp, Step: c.step, Err: err}))
			return command{step: over}, c.step
		}
		t.link.Owes(link.Owed{Message: &t.Record, Step: c.step, Index: c.index})
		octets += len(line) + 2
		last = c.step
		c = t.next(c)
	}
	return c, last
}

// flightEnds is the rule for where a flight ends: whether what is in it has to be
// answered before c goes out, with which it would have octets.
func (t *Transfer) flightEnds(c command, octets int) bool {
	switch {
	case !t.Mode.Pipelining:
		return true
	case c.step == link.Data && t.Mode.AllOrNothing && t.env.Recipients() > 1:
		return true // a 354 after a refused RCPT could only be undone by closing
	}
	return octets > window
}

// stopped reports whether a reply has lost the message before c, so that no
// further flight of it goes out.
func (t *Transfer) stopped(c command) bool {
	return t.Lost != nil || t.Mail.Negative() || t.Mode.AllOrNothing && t.FirstRefused() >= 0 ||
		c.step == link.Data && !t.Deliverable()
}

// settle looks at what a flight has brought whose last command was last. It
// reports whether the message may go on.
func (t *Transfer) settle(last link.Step) bool {
	l := t.link
	t.lose(l.Failure())
	switch {
	case t.Lost != nil:
		return false
	case t.Data.Negative():
		l.Settled(last) // the refusal stands, whatever else was said
		return false
	}
	if t.lose(l.Settled(last)); t.Lost != nil {
		return false
	}
	if t.Data.Code != 0 && !t.Deliverable() {
		t.leaveData()
		return false
	}
	return true
}

// forgetShifted drops what a flight from one command up to the next has brought,
// when a reply too many or too few was among it. Where DATA got its 354, all
// replies before it stood in their places.
func (t *Transfer) forgetShifted(first, next command) {
	if t.Lost == nil || t.Lost.Kind != link.Unasked && t.Lost.Kind != link.OutOfStep || t.Data.Code/100 == 3 {
		return
	}
	from, to := 0, len(t.Rcpt)
	if first.step == link.Rcpt {
		from = first.index
	}
	if next.step == link.Rcpt {
		to = next.index
	}
	t.forget(from, to)
}

// leaveData answers a 354 that came although there is nobody to deliver to: the
// message that the server waits for is an empty one (RFC 2920, 3.1).
func (t *Transfer) leaveData() {
	l := t.link
	if t.AnyAccepted() || t.Mode.LMTP {
		// MAIL was refused, yet recipients were taken: even an empty message
		// might reach them. With LMTP a message for nobody has no reply, and DATA has
		// to be refused (RFC 2033, 4.2): what this server makes of it is not known.
		l.Break(&link.Failure{Kind: link.OutOfStep, Step: link.Data, Reply: t.Data})
		return
	}
	l.Data([]byte(".\r\n"))
	l.Owes(link.Owed{Message: &t.Record, Step: link.Message})
	l.HearAll()
	l.Settled(link.Final)
}

// takeAlong puts the message, as its only chunk, after the commands that wait to
// be written: the write that follows is the commit point. It reports whether
// that may happen.
func (t *Transfer) takeAlong(s *Spool) bool {
	l := t.link
	chunk := s.end()
	t.Octets = int64(len(chunk))
	l.Data(t.chunkLine(len(chunk), true))
	l.Cancelled(link.Mail) // after the hooks that see the lines
	if why := l.Failure(); why != nil {
		t.lose(why) // perhaps before any of this: nothing would be written
		return false
	}
	l.Data(chunk)
	// There is one recipient under LMTP, and so one reply: its own, or the refusal of a
	// chunk that is for nobody (RFC 2033, 4.3).
	l.Owes(link.Owed{Message: &t.Record, Step: link.Final, Index: 0})
	t.Together, t.Committed = true, true
	return true
}

func (t *Transfer) first() command {
	if t.Mode.Reset {
		return command{step: link.Reset}
	}
	return command{step: link.Mail}
}

// next returns the command after c.
func (t *Transfer) next(c command) command {
	switch c.step {
	case link.Reset:
		return command{step: link.Mail}
	case link.Mail:
		c = command{link.Rcpt, -1}
		fallthrough
	case link.Rcpt:
		for c.index++; c.index < t.env.Recipients(); c.index++ {
			if !t.Mode.Skips(c.index) {
				return c
			}
		}
		return t.afterRecipients()
	}
	return command{step: over}
}

// afterRecipients returns the command that follows those for the recipients.
func (t *Transfer) afterRecipients() command {
	if t.Mode.Chunking {
		return command{step: over}
	}
	return command{step: link.Data}
}

// line writes the line of a command into memory that the next call uses again.
func (t *Transfer) line(c command) []byte {
	b := t.buf.line[:0]
	switch c.step {
	case link.Reset:
		b = append(b, "RSET"...)
	case link.Mail:
		b = t.env.AppendMail(b)
	case link.Rcpt:
		b = t.env.AppendRcpt(b, c.index)
	case link.Data:
		b = append(b, "DATA"...)
	}
	t.buf.line = b
	return b
}
