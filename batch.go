package submission

import (
	"fmt"
	"slices"

	"github.com/fe022423/submission/internal/smtpwire"
)

// window is how many octets of commands may be unanswered. The buffers of both
// sides hold that much, so that neither can block the other while it writes
// (RFC 2920, 3.1).
const window = 4096

// start gets a session where there is none and runs the envelope on it. whole
// says that the message is held back whole. On a session of the pool that turns
// out to be dead, and only then, it starts again on a fresh one, once.
func (t *Transaction) start(whole bool) error {
	for retried := false; ; retried = true {
		reused, err := t.take(retried)
		if err != nil {
			return err
		}
		err = t.declare(whole)
		if err == nil {
			err = t.envelope(whole)
		}
		if err == nil {
			break
		}
		if t.err != nil {
			return err
		}
		if e := err.(*SendError); !reused || retried || !e.again || t.ctx.Err() != nil {
			return t.over(e)
		}
		t.inFlight = false
		t.release()
	}
	if !t.inFlight {
		t.s.c.messageBegins()
	}
	if !whole {
		t.state = txStreaming
	}
	return nil
}

// take gets a session from its source for a transaction that has none.
func (t *Transaction) take(fresh bool) (reused bool, err error) {
	if t.from == nil {
		return false, nil
	}
	if t.s, reused, err = t.from.take(t.ctx, fresh); err != nil {
		return false, t.over(t.undialed(err))
	}
	t.s.open = t
	t.s.c.begin(t.ctx)
	return reused, t.admit()
}

// admit holds the envelope against what the server offers. Some servers offer
// more to a client that they know, as Dovecot does with DSN: what seems to be
// missing is asked about once more behind AUTH.
func (t *Transaction) admit() error {
	s, bad := t.s, slices.Clone(t.plan.bad)
	err := t.plan.check(s.ext, s.tls != nil)
	if s.helloOutdated && (err != nil || !slices.Equal(bad, t.plan.bad)) {
		if err := s.relearn(); err != nil {
			return t.lost(StageHello, err)
		}
		t.plan.bad = bad
		err = t.plan.check(s.ext, s.tls != nil)
	}
	if err != nil {
		return t.refuse(err)
	}
	t.clearRcpts()
	return nil
}

// declare decides what MAIL says of the message and whether DATA or BDAT
// carries it, and writes the MAIL line.
func (t *Transaction) declare(whole bool) error {
	ext, body, eight := t.s.ext, t.env.Body, has8Bit(t.mem.hold)
	size := t.env.Size
	known := int64(len(t.mem.hold))
	if t.enc.Open() {
		known += 2
	}
	if whole {
		size = known
	}
	limit, sized := ext.Size()
	if t.limit = limit; limit > 0 && max(size, known) > limit {
		return t.refuse(tooLarge(max(size, known), limit))
	}
	if !sized {
		size = 0
	}
	if body == "" && (eight || !whole) && ext.Has(ext8BitMIME) {
		body = Body8BitMIME
	}
	t.seven = body == "" || body == Body7Bit
	if t.seven && eight {
		return t.refuse(&SenderError{Addr: t.plan.from, Err: t.eightBit()})
	}
	if body == Body7Bit && !ext.Has(ext8BitMIME) {
		body = ""
	}
	t.bdat = ext.Has(extChunking)
	t.mem.mail = t.plan.appendMail(t.mem.mail[:0], size, body)
	return nil
}

// envelope runs the commands in batches: all of a batch are written before its
// first reply is read, and all its replies are read and matched by count. nil
// means that the message may follow. Other errors than *SendError do not occur.
func (t *Transaction) envelope(whole bool) error {
	c := t.s.c
	write, read := t.first(), t.first()
	for fresh := t.from != nil; !read.done; fresh = false {
		if !fresh { // else the pool looked just now
			if err := c.idle(read.stage); err != nil {
				return t.loss(read.stage, err)
			}
		}
		octets := 0
		for !write.done {
			line := t.command(write)
			if t.ends(octets, len(line)+2, write) {
				break
			}
			if err := c.line(line); err != nil {
				return &SendError{Stage: write.stage, Err: err}
			}
			octets += len(line) + 2
			write = t.next(write)
		}
		if whole && write.done && t.together() {
			t.takeAlong()
		}
		c.flush()
		last := read.stage
		for read != write {
			if err := t.hear(read); err != nil {
				return err
			}
			last, read = read.stage, t.next(read)
		}
		if t.inFlight {
			return t.undelivered()
		}
		if err := c.settled(last); err != nil {
			return t.loss(last, err)
		}
		if t.mail != nil || write.stage == StageData && !t.deliverable() {
			return t.refused()
		}
	}
	return nil
}

// ends is the rule for where a batch ends: whether it has to be answered before
// a command of n octets goes out behind octets of it.
func (t *Transaction) ends(octets, n int, at cursor) bool {
	switch {
	case octets == 0:
		return false
	case !t.s.ext.Has(extPipelining):
		return true
	case at.stage == StageData && !t.env.Partial && len(t.env.To) > 1:
		return true // a 354 after a refused RCPT could only be undone by closing
	}
	return octets+n > window
}

// hear reads the reply to one command. An error means that the session is
// over; a refusal is only noted.
func (t *Transaction) hear(at cursor) error {
	c, limit := t.s.c, t.cfg.Timeouts.Command
	if at.stage == StageData {
		limit = t.cfg.Timeouts.DataInit
	}
	r, err := c.reply(at.stage, limit)
	if err != nil {
		return t.loss(at.stage, err)
	}
	if at.stage == StageRcpt {
		t.rcpts[at.rcpt].Reply = c.public(r)
	}
	switch class := r.Code / 100; {
	case r.Code == codeClosing:
		return t.loss(at.stage, c.err)
	case class == 3 && at.stage == StageData:
		return t.goAhead()
	case class == 3, class == 2 && at.stage == StageData:
		return t.loss(at.stage, c.unexpected(at.stage, r))
	case class == 2:
		t.accepted(at)
	default:
		return t.noted(at, r)
	}
	return nil
}

// accepted notes a 2yz.
func (t *Transaction) accepted(at cursor) {
	switch at.stage {
	case StageReset:
		t.s.dirty = false
	case StageMail:
		t.s.dirty = true // until the message is through
	case StageRcpt:
		t.s.dirty = true
		t.rcpts[at.rcpt].Status = RecipientSent // unless something fails later
	}
}

// noted notes a refusal.
func (t *Transaction) noted(at cursor, r smtpwire.Reply) error {
	c := t.s.c
	reply := c.public(r)
	switch at.stage {
	case StageReset:
		// A server that cannot forget cannot be trusted with the next message.
		return t.loss(at.stage, c.breakUp(&linkError{stage: at.stage, text: "refused", err: fmt.Errorf("%v", reply), reply: &reply}))
	case StageMail:
		t.mail = &reply
	case StageRcpt:
		// Behind a refused MAIL the reply says nothing about the address.
		if t.mail == nil && !temporaryRcpt(reply) {
			t.rcpts[at.rcpt].Status = RecipientInvalid
		}
	case StageData:
		t.data = &reply
		c.settled(StageData)
		return t.refused()
	}
	return nil
}

// goAhead hears the 354. When there is nobody to deliver to, the message that
// the server waits for is an empty one (RFC 2920, 3.1).
func (t *Transaction) goAhead() error {
	c := t.s.c
	if err := c.settled(StageData); err != nil {
		return t.loss(StageData, err)
	}
	if t.deliverable() {
		t.s.dirty = false
		return nil
	}
	if t.anyAccepted() {
		// MAIL was refused, yet recipients were taken: even an empty message
		// might reach them.
		c.breakUp(&ProtocolError{Stage: StageData, Text: "354 after a refused MAIL"})
		return t.refused()
	}
	c.w.Data([]byte(".\r\n"))
	c.flush()
	if _, err := c.reply(StageFinal, t.cfg.Timeouts.DataFinal); err == nil {
		t.s.dirty = false
		c.settled(StageFinal)
	}
	return t.refused()
}

// deliverable reports whether the replies so far let the message go out.
func (t *Transaction) deliverable() bool {
	if t.mail != nil || !t.anyAccepted() {
		return false
	}
	return t.env.Partial || t.firstRefusal() == nil
}

func (t *Transaction) anyAccepted() bool {
	for i := range t.rcpts {
		if t.rcpts[i].Status == RecipientSent {
			return true
		}
	}
	return false
}
