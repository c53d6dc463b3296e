package submission

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/fe022423/submission/internal/smtpwire"
)

// directBlock is the least that is worth a write of its own, in octets.
const directBlock = 16 << 10

// direct sends on a block that is in wire form as it is, without copying it.
func (t *Transaction) direct(block []byte) error {
	if t.seven && has8Bit(block) {
		return t.giveUp(t.eightBit())
	}
	t.octets += int64(len(block))
	if err := t.fits(); err != nil {
		return err
	}
	return t.push(block)
}

// stream sends one block on.
func (t *Transaction) stream(block []byte) error {
	if t.seven && has8Bit(block) {
		return t.giveUp(t.eightBit())
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
	if err := t.fits(); err != nil {
		return err
	}
	if t.bdat {
		return t.chunks()
	}
	if len(m.out) < holdBack {
		return nil
	}
	return t.push(nil)
}

// fits gives up a message that has grown over the server's limit.
func (t *Transaction) fits() error {
	if t.limit == 0 || t.octets <= t.limit {
		return nil
	}
	return t.giveUp(tooLarge(t.octets, t.limit))
}

// chunks sends all chunks but the last, which keeps at least an octet: the
// commit point is in it. While the server works on one the next fills.
func (t *Transaction) chunks() error {
	size := t.cfg.ChunkSize
	for len(t.mem.hold) > size {
		if err := t.answered(); err != nil {
			return err
		}
		t.chunkLine(size, false)
		if err := t.push(t.mem.hold[:size]); err != nil {
			return err
		}
		t.owed = true
		t.mem.hold = append(t.mem.hold[:0], t.mem.hold[size:]...)
	}
	return nil
}

// answered hears the reply to the chunk before: none goes out behind a refused
// one.
func (t *Transaction) answered() error {
	if !t.owed {
		return nil
	}
	t.owed = false
	c := t.s.c
	r, err := c.reply(StageMessage, t.cfg.Timeouts.DataBlock)
	if err == nil && r.Code/100 == 2 {
		err = c.settled(StageMessage)
	} else if err == nil && r.Code < 400 {
		err = c.unexpected(StageMessage, r)
	}
	if err != nil || r.Code == codeClosing {
		return t.lost(StageMessage, c.err)
	}
	if r.Code >= 400 {
		reply := c.public(r)
		t.s.dirty = true
		c.settled(StageMessage)
		return t.over(&SendError{Stage: StageMessage, Reply: &reply, Err: join(t.refusals()...)})
	}
	return nil
}

// lastChunk sends what is left as the last chunk.
func (t *Transaction) lastChunk() (smtpwire.Reply, error) {
	t.mem.hold = t.enc.AppendEnd(t.mem.hold)
	if err := t.chunks(); err != nil {
		return smtpwire.Reply{}, err
	}
	if err := t.answered(); err != nil {
		return smtpwire.Reply{}, err
	}
	data := t.mem.hold
	t.chunkLine(len(data), true)
	if n := len(data) - 1; n >= commitBlock {
		if err := t.push(data[:n]); err != nil {
			return smtpwire.Reply{}, err
		}
		data = data[n:]
	}
	t.mem.out = append(t.mem.out, data...)
	return t.commit(t.mem.out)
}

// chunkLine puts the command line of a chunk of n octets in front.
func (t *Transaction) chunkLine(n int, last bool) {
	t.mem.out = smtpwire.AppendBDAT(t.mem.out[:0], n, last)
	if c := t.s.c; c.observed() {
		c.sent(string(t.mem.out[:len(t.mem.out)-2]))
	}
}

// push writes what is in wire form, and block behind it without copying it. It
// cannot hold the end of the message.
func (t *Transaction) push(block []byte) error {
	c := t.s.c
	if c.waiting() || c.write(t.mem.out) != nil || c.write(block) != nil {
		return t.early()
	}
	t.mem.out = t.mem.out[:0]
	return nil
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
		if err := t.push(nil); err != nil {
			return smtpwire.Reply{}, err
		}
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
		err = c.unexpected(StageFinal, r)
	}
	if err != nil {
		t.uncertain()
		return nil, t.over(&SendError{Outcome: Unknown, Stage: StageFinal, Err: err})
	}
	if r.Code >= 400 {
		reply := c.public(r)
		// RFC 5321, 4.1.1.4: DATA leaves nothing behind. A failed BDAT does
		// until RSET (RFC 3030, 2).
		t.s.dirty = t.bdat
		c.settled(StageFinal)
		return nil, t.over(&SendError{Stage: StageFinal, Reply: &reply, Err: join(t.refusals()...)})
	}
	t.s.dirty = false
	c.settled(StageFinal) // housekeeping: it cannot change the verdict
	t.s.messages++
	result := &t.tally.Result
	*result = Result{Recipients: t.rcpts, Reply: c.public(r), Bytes: t.octets}
	if refusals := t.refusals(); refusals != nil {
		return result, t.over(&SendError{Outcome: PartlySent, Stage: StageRcpt, Reply: t.firstRefusal(), Err: join(refusals...)})
	}
	t.end(errOver)
	return result, nil
}

// has8Bit reports whether an octet of p is above 0x7f.
func has8Bit(p []byte) bool {
	for len(p) >= 32 {
		w := binary.NativeEndian.Uint64(p) | binary.NativeEndian.Uint64(p[8:]) |
			binary.NativeEndian.Uint64(p[16:]) | binary.NativeEndian.Uint64(p[24:])
		if w&0x8080808080808080 != 0 {
			return true
		}
		p = p[32:]
	}
	for _, c := range p {
		if c >= utf8.RuneSelf {
			return true
		}
	}
	return false
}

// eightBit says why an octet above 0x7f cannot be sent.
func (t *Transaction) eightBit() error {
	if t.env.Body == Body7Bit {
		return fmt.Errorf("an octet above 0x7f in a message that Envelope.Body says is %s", Body7Bit)
	}
	return unsupported(ext8BitMIME, "an octet above 0x7f")
}

func tooLarge(size, limit int64) error {
	return fmt.Errorf("%w: %d octets, its limit is %d", ErrTooLarge, size, limit)
}
