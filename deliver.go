package submission

import (
	"errors"
	"fmt"

	"github.com/fe022423/submission/internal/smtpwire"
)

// stream sends one block on.
func (t *Transaction) stream(block []byte) error {
	if t.seven && has8Bit(block) {
		return t.giveUp(fmt.Errorf("%w: an octet above 0x7f needs %s", ErrUnsupported, ext8BitMIME))
	}
	m, dots := t.mem, t.enc.Dots
	if t.bdat {
		before := len(m.hold)
		m.hold = t.encode(m.hold, block)
		t.octets += int64(len(m.hold) - before)
	} else {
		before := len(m.out)
		m.out = t.enc.Append(m.out, block)
		t.octets += int64(len(m.out)-before) - (t.enc.Dots - dots)
	}
	if t.limit > 0 && t.octets > t.limit {
		return t.giveUp(tooLarge(t.octets, t.limit))
	}
	if t.bdat {
		return t.chunks()
	}
	if len(m.out) < holdBack {
		return nil
	}
	return t.drain()
}

// drain writes what is in wire form. It cannot hold the end of the message.
func (t *Transaction) drain() error {
	c := t.s.c
	if c.waiting() || c.write(t.mem.out) != nil {
		return t.early()
	}
	t.mem.out = t.mem.out[:0]
	return nil
}

// chunks sends all chunks but the last, which keeps at least an octet: the
// commit point is in it. Each is answered before the next one goes out.
func (t *Transaction) chunks() error {
	size := t.cfg.ChunkSize
	for len(t.mem.hold) > size {
		r, err := t.chunk(t.mem.hold[:size], StageMessage)
		if t.err != nil {
			return t.err
		}
		if err == nil && r.Code/100 == 2 {
			err = t.s.c.settled(StageMessage)
		} else if err == nil && r.Code < 400 {
			err = t.s.c.breakUp(&ProtocolError{Stage: StageMessage, Text: "unexpected " + t.s.c.public(r).String()})
		}
		if err != nil || r.Code == codeClosing {
			return t.lost(StageMessage, t.s.c.err)
		}
		if r.Code >= 400 {
			reply := t.s.c.public(r)
			t.s.dirty = true
			return t.over(&SendError{Stage: StageMessage, Reply: &reply, Err: join(t.refusals()...)})
		}
		t.mem.hold = append(t.mem.hold[:0], t.mem.hold[size:]...)
	}
	return nil
}

// lastChunk sends what is left as the last chunk.
func (t *Transaction) lastChunk() (smtpwire.Reply, error) {
	if t.enc.Open() {
		t.octets += 2
	}
	t.mem.hold = t.enc.AppendEnd(t.mem.hold)
	if err := t.chunks(); err != nil {
		return smtpwire.Reply{}, err
	}
	return t.chunk(t.mem.hold, StageFinal)
}

// chunk sends one chunk and reads its reply; StageFinal makes it the last.
func (t *Transaction) chunk(data []byte, stage Stage) (smtpwire.Reply, error) {
	c, m, last := t.s.c, t.mem, stage == StageFinal
	m.line = smtpwire.AppendBDAT(m.line[:0], len(data), last)
	if c.observed() {
		c.sent(string(m.line[:len(m.line)-2]))
	}
	m.out = append(m.out[:0], m.line...)
	keep := 0 // octets of the chunk that go out with the commit
	if last {
		if keep = len(data); keep > commitBlock {
			keep = 1
		}
	}
	first, rest := data[:len(data)-keep], data[len(data)-keep:]
	if !last || len(first) > 0 {
		if c.waiting() || c.write(m.out) != nil || c.write(first) != nil {
			return smtpwire.Reply{}, t.early()
		}
		m.out = m.out[:0]
	}
	if !last {
		return c.reply(stage, t.cfg.Timeouts.DataBlock)
	}
	m.out = append(m.out, rest...)
	return t.commit(m.out)
}

// early hears a server that spoke or failed before it had the message.
func (t *Transaction) early() error {
	c := t.s.c
	r, err := c.reply(StageMessage, lastWords)
	if err != nil || r.Code == codeClosing {
		return t.lost(StageMessage, c.err)
	}
	reply := c.public(r)
	if r.Code < 400 {
		err = c.breakUp(&ProtocolError{Stage: StageMessage, Text: "a reply before the end of the message: " + reply.String()})
		return t.lost(StageMessage, err)
	}
	// Only closing gets out of the middle of a message.
	c.breakUp(&linkError{stage: StageMessage, text: "refused in the middle", err: errors.New(reply.String())})
	return t.over(&SendError{Stage: StageMessage, Reply: &reply, Err: join(t.refusals()...)})
}

// dot writes the rest of the message and its end, for DATA.
func (t *Transaction) dot() (smtpwire.Reply, error) {
	m := t.mem
	if t.state == txHolding {
		m.out = t.enc.Restuff(m.out[:0], m.hold)
	}
	if t.state == txStreaming || len(m.out) > commitBlock {
		if err := t.drain(); err != nil {
			return smtpwire.Reply{}, err
		}
	}
	if t.enc.Open() {
		t.octets += 2
	}
	m.out = t.enc.AppendEnd(m.out)
	return t.commit(m.out)
}

// commit writes what carries the last octet of the message and waits. From the
// moment the write begins only a reply tells the outcome.
func (t *Transaction) commit(p []byte) (smtpwire.Reply, error) {
	c := t.s.c
	if c.waiting() || t.ctx.Err() != nil {
		return smtpwire.Reply{}, t.early()
	}
	if c.write(p) == nil {
		c.messageSent(t.octets)
	}
	return c.reply(StageFinal, t.cfg.Timeouts.DataFinal)
}

// verdict makes the result of the final reply.
func (t *Transaction) verdict(r smtpwire.Reply, err error) (*Result, error) {
	c := t.s.c
	if err == nil && r.Code >= 300 && r.Code < 400 {
		err = c.breakUp(&ProtocolError{Stage: StageFinal, Text: "unexpected " + c.public(r).String()})
	}
	if err != nil {
		for i := range t.rcpts {
			if t.rcpts[i].Status == Sent {
				t.rcpts[i].Status = Uncertain
			}
		}
		return nil, t.over(&SendError{Outcome: Unknown, Stage: StageFinal, Err: err})
	}
	reply := c.public(r)
	if r.Code >= 400 {
		// RFC 5321, 4.1.1.4: DATA leaves nothing behind. A failed BDAT does
		// until RSET (RFC 3030, 2).
		t.s.dirty = t.bdat
		return nil, t.over(&SendError{Stage: StageFinal, Reply: &reply, Err: join(t.refusals()...)})
	}
	t.s.dirty = false
	c.settled(StageFinal) // housekeeping: it cannot change the verdict
	t.s.messages++
	result := &Result{Recipients: t.rcpts, Reply: reply, Bytes: t.octets}
	if refusals := t.refusals(); refusals != nil {
		return result, t.over(&SendError{Outcome: PartlySent, Stage: StageRcpt, Reply: t.firstRefusal(), Err: join(refusals...)})
	}
	t.over(nil)
	return result, nil
}

func has8Bit(p []byte) bool {
	for len(p) >= 8 {
		if (p[0]|p[1]|p[2]|p[3]|p[4]|p[5]|p[6]|p[7])&0x80 != 0 {
			return true
		}
		p = p[8:]
	}
	for _, c := range p {
		if c&0x80 != 0 {
			return true
		}
	}
	return false
}

func tooLarge(size, limit int64) error {
	return fmt.Errorf("%w: %d octets, its limit is %d", ErrTooLarge, size, limit)
}
