package link

import (
	"errors"
	"time"

	"github.com/fe022423/submission/internal/smtpwire"
)

// Reply is a reply that is kept: Config.Clean has seen its text. The texts of
// several lines are joined by LF. The zero Reply means that there was none.
type Reply struct {
	Code int
	Text string
}

// Positive reports whether the reply accepts: 2yz, except the 221 that ends a
// session.
func (r Reply) Positive() bool { return r.Code/100 == 2 && r.Code != codeBye }

// Negative reports whether the reply refuses: 4yz, 5yz, and the 221 that ends a
// session.
func (r Reply) Negative() bool { return r.Code >= 400 || r.Code == codeBye }

// Closing reports whether the server ends the session with this reply, which no
// QUIT asked for.
func (r Reply) Closing() bool { return r.Code == codeClosing || r.Code == codeBye }

const (
	codeBye     = 221 // the server closes the connection, in answer to QUIT
	codeClosing = 421 // the server closes the connection, at any point
)

// Owes says that the server owes a reply once what is buffered has been sent.
func (l *Link) Owes(o Owed) { l.owed.push(o) }

// HearAll sends what is buffered and hears every reply that is owed, in order.
// At the first failure it stops, and tells the messages what they miss. After it
// nothing is owed.
func (l *Link) HearAll() { l.hearAll(false, nil) }

// HearFor is HearAll up to the first reply that is owed to another message than m. Where
// m is owed more replies when the server says that it ends the session, they are heard
// for a moment longer, as in HearToTheEnd. After a failure nothing is owed to anybody.
func (l *Link) HearFor(m Sink) { l.hearAll(false, m) }

// Owing reports whether the server owes a reply to what was sent.
func (l *Link) Owing() bool { return l.owed.first() != nil }

// HearToTheEnd is HearAll for a message that is on its way: a server that says
// that it ends the session, or that it did not forget the message before, may
// still answer the rest. What is owed is heard for a moment longer.
func (l *Link) HearToTheEnd() { l.hearAll(true, nil) }

func (l *Link) hearAll(toTheEnd bool, only Sink) {
	l.text = Reply{}
	l.Flush()
	for only == nil || l.owed.first() == only {
		o, ok := l.owed.pop()
		if !ok {
			break
		}
		r, why := l.readWithin(o.Step, l.patience(o))
		if why != nil {
			if l.failed != nil && l.failed != why {
				l.failed.Rest = why
			}
			l.Break(why)
			l.missAll(o)
			return
		}
		kept := l.keepFor(o.Step, r)
		why = o.Message.Hear(o, kept)
		if why == nil && kept.Closing() {
			why = &Failure{Kind: Closing, Step: o.Step, Reply: kept}
		}
		if why == nil {
			continue
		}
		if l.failed == nil {
			l.failed = why
		}
		goesOn := toTheEnd || only != nil && l.owed.first() == only
		if !goesOn || why.Kind != Closing && why.Kind != Refused {
			l.close(l.failed)
			l.missRest()
			return
		}
		if l.lastUntil.IsZero() {
			l.lastUntil = time.Now().Add(lastWords)
		}
	}
	if l.failed != nil && !l.closed {
		if !l.Owing() {
			l.keepSurplus()
		}
		l.close(l.failed)
		l.missRest()
	}
}

// missRest tells the messages of all that is owed that no reply will come.
func (l *Link) missRest() {
	if o, ok := l.owed.pop(); ok {
		l.missAll(o)
	}
}

// missAll tells the message of o, and those of all that is owed after it, that
// no reply will come.
func (l *Link) missAll(o Owed) {
	for ok := true; ok; o, ok = l.owed.pop() {
		o.Message.Miss(o, l.failed)
	}
}

// Hear reads the one reply that is owed to a command that is not part of a
// message. A failure breaks the link. The text is that of the server, and valid
// until the next call.
func (l *Link) Hear(step Step) (smtpwire.Reply, *Failure) {
	r, why := l.read(step)
	if why != nil {
		return smtpwire.Reply{}, l.Break(why)
	}
	if step != Quit && (r.Code == codeClosing || r.Code == codeBye) {
		l.Break(&Failure{Kind: Closing, Step: step, Reply: l.Keep(r)})
	}
	return r, nil
}

// patience is how long the reply that o is owed may take.
func (l *Link) patience(o Owed) time.Duration {
	limit := l.cfg.Limits.of(o.Step)
	if o.Soon {
		limit = min(limit, soonTime)
	}
	return limit
}

// read reads a reply within the limit of step as a whole. It breaks nothing.
func (l *Link) read(step Step) (smtpwire.Reply, *Failure) {
	return l.readWithin(step, l.cfg.Limits.of(step))
}

func (l *Link) readWithin(step Step, limit time.Duration) (smtpwire.Reply, *Failure) {
	switch {
	case !l.lastUntil.IsZero():
		limit = max(0, time.Until(l.lastUntil))
	case l.failed != nil:
		return smtpwire.Reply{}, l.failed
	case l.writeErr != nil:
		limit = min(limit, lastWords)
	}
	if !l.r.HasReply() {
		l.timer.SetReadDeadline(time.Now().Add(limit))
	}
	r, err := l.r.ReadReply()
	if err != nil {
		var syntax *smtpwire.SyntaxError
		switch {
		case errors.As(err, &syntax):
			l.readLine(syntax)
		case l.writeErr != nil:
			err, limit = l.writeErr, l.writeLimit
		}
		why := l.Why(step, err, limit)
		if begun, lines := l.r.Begun(); why.Kind != Malformed || lines > 0 {
			if l.cfg.CleanStart != nil {
				begun = l.cfg.CleanStart(begun)
			}
			why.Begun = begun
		}
		return smtpwire.Reply{}, why
	}
	l.noteOpen(step, r.Code)
	if l.cfg.Received != nil {
		l.cfg.Received(l.Keep(r))
	}
	return r, nil
}

// readLine reads the rest of the line that an error is about, as far as it has come:
// it is wanted for the text of the error, and not waited for.
func (l *Link) readLine(e *smtpwire.SyntaxError) {
	for l.r.Complete(e) && l.readMore() {
	}
}

// noteOpen follows whether the server may hold a transaction that was not carried
// through. A refused message ends its transaction (RFC 5321, 4.1.1.4), but servers
// exist that do not see it so.
func (l *Link) noteOpen(step Step, code int) {
	switch positive := (Reply{Code: code}).Positive(); step {
	case Mail, Rcpt:
		l.open = l.open || positive
	case Reset, Hello, Final:
		l.open = l.open && !positive
	case Message:
		l.open = false // the empty message of RFC 2920, 3.1, has been answered
	}
}

// Open reports whether the server may hold a transaction that was not carried
// through, so that RSET goes in front of the next one.
func (l *Link) Open() bool { return l.open }

// Keep returns a reply for keeping. In a flight one that says the same as the
// one before shares its text.
func (l *Link) Keep(r smtpwire.Reply) Reply {
	text := string(r.Text)
	if l.cfg.Clean != nil {
		text = l.cfg.Clean(text)
	}
	return Reply{Code: r.Code, Text: text}
}

// keepFor is Keep for a reply of a flight, in which no secret becomes known. What
// nobody reads is not kept: the text of a MAIL that was accepted, of a 354.
func (l *Link) keepFor(step Step, r smtpwire.Reply) Reply {
	if step == Data && r.Code/100 == 3 || (step == Mail || step == Reset) && (Reply{Code: r.Code}).Positive() {
		return Reply{Code: r.Code}
	}
	last := &l.text
	if step == Rcpt {
		last = &l.rcpt // most recipients of most messages get the same answer
	}
	if last.Code != r.Code || last.Text != string(r.Text) {
		*last = l.Keep(r)
	}
	return *last
}

// Settled reports a failure when the server has said more than it was asked:
// whatever that is, it must not be taken for the answer to the next command.
func (l *Link) Settled(step Step) *Failure {
	if l.failed == nil && l.writeErr != nil {
		l.Break(l.Why(step, l.writeErr, l.writeLimit))
	}
	if l.failed != nil || l.r.Buffered() == 0 {
		return l.failed
	}
	return l.Break(&Failure{Kind: Unasked, Step: step})
}

// Exchange sends one command that is not part of a message and hears its reply.
func (l *Link) Exchange(step Step, line string) (smtpwire.Reply, *Failure) {
	if why := l.Glance(step); why != nil {
		return smtpwire.Reply{}, why
	}
	if err := l.Line(line); err != nil {
		return smtpwire.Reply{}, l.Break(&Failure{Kind: GivenUp, Step: step, Err: err})
	}
	l.Flush()
	return l.Hear(step)
}
