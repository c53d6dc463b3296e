package transfer

import (
	"github.com/fe022423/submission/internal/link"
	"github.com/fe022423/submission/internal/smtpwire"
)

// chunkBody sends a message in BDAT chunks (RFC 3030): counted octets, no dots.
// While the server works on one chunk the next one fills.
type chunkBody struct {
	*Transfer
	enc  smtpwire.Encoder
	held *Spool // the whole message, which another attempt may need; else nil
	sent int    // octets of held that went out
	rest []byte // what prepare left for commit
}

func newChunkBody(t *Transfer, s *Spool) *chunkBody {
	b := &t.buf.chunks
	*b = chunkBody{Transfer: t, enc: s.enc}
	if s.whole {
		b.held = s
	}
	return b
}

// pending is what waits to be sent.
func (b *chunkBody) pending() []byte { return b.buf.hold.b[b.sent:] }

// drop forgets n octets that were sent.
func (b *chunkBody) drop(n int) {
	if b.held != nil {
		b.sent += n
	} else {
		b.buf.hold.b = append(b.buf.hold.b[:0], b.buf.hold.b[n:]...)
	}
}

func (b *chunkBody) add(p []byte) int {
	block := p[:min(len(p), feedBlock)]
	if !b.sendable(block) {
		return len(block)
	}
	b.buf.hold.reserveFor(len(block), b.chunkRoom())
	before := len(b.buf.hold.b)
	b.buf.hold.b = encode(&b.enc, b.Mode.Binary, b.buf.hold.b, block)
	b.Octets += int64(len(b.buf.hold.b) - before)
	if b.fits() {
		b.sendFull()
	}
	return len(block)
}

// chunkRoom is room for a chunk, and for what is read past it.
func (b *chunkBody) chunkRoom() int { return b.Mode.ChunkSize + ReadBlock + feedBlock }

// leastRoom is the least that is worth reading into, in octets.
const leastRoom = 16 << 10

// room returns memory behind what waits, to read more of the message into.
func (b *chunkBody) room() []byte {
	h := &b.buf.hold
	if cap(h.b)-len(h.b) < leastRoom {
		h.reserveFor(ReadBlock, b.chunkRoom())
	}
	n := min(cap(h.b)-len(h.b), ReadBlock)
	return h.b[len(h.b) : len(h.b)+n]
}

// took takes in n octets that stand in room. What is in canonical form already stays
// where it is.
func (b *chunkBody) took(n int) {
	h := &b.buf.hold
	before := len(h.b)
	block := h.b[before : before+n]
	if !b.sendable(block) {
		return
	}
	if b.Mode.Binary || b.enc.Plain(block) {
		h.b = h.b[:before+n]
	} else {
		scratch := GetBlock()
		block = scratch[:copy(scratch[:], block)]
		h.reserve(n + n/64)
		h.b = b.enc.Append(h.b, block)
		PutBlock(scratch)
	}
	b.Octets += int64(len(h.b) - before)
	if b.fits() {
		b.sendFull()
	}
}

// sendFull sends all chunks but the last one, which keeps at least an octet: the
// commit point is in it.
func (b *chunkBody) sendFull() bool {
	size := b.Mode.ChunkSize
	for len(b.pending()) > size {
		if !b.answered() || !b.push(b.chunkLine(size, false), b.pending()[:size]) {
			return false
		}
		b.link.Owes(link.Owed{Message: &b.Record, Step: link.Chunk})
		b.drop(size)
	}
	return true
}

// answered hears the reply to the chunk before. None goes out after a refused
// one.
func (b *chunkBody) answered() bool {
	l := b.link
	l.HearAll()
	b.lose(l.Failure())
	switch {
	case b.Lost != nil:
		b.forgetShifted(command{step: link.Mail}, command{step: over})
		return false
	case b.Chunk.Code != 0:
		l.Settled(link.Chunk) // the refusal stands, whatever else was said
		l.Break(&link.Failure{Kind: link.GivenUp, Step: link.Chunk})
		return false
	}
	if b.lose(l.Settled(link.Chunk)); b.Lost == nil {
		b.lose(l.Glance(link.Message)) // also at what TLS holds: it may be a reply too many
	}
	if b.Lost != nil {
		b.forgetShifted(command{step: link.Mail}, command{step: over})
	}
	return b.Lost == nil
}

// prepare sends all chunks, but for the last octet of the last one.
func (b *chunkBody) prepare() {
	if !b.complete() {
		return
	}
	chunk := b.pending()
	line := b.chunkLine(len(chunk), true)
	if len(chunk) == 0 {
		b.rest = line
		return
	}
	n := len(chunk) - 1
	b.rest = chunk[n:]
	b.push(line, chunk[:n])
}

// complete ends the message and sends all chunks but the last one.
func (b *chunkBody) complete() bool {
	before := len(b.buf.hold.b)
	if b.held != nil {
		b.held.end()
	} else if !b.Mode.Binary {
		b.buf.hold.b = b.enc.AppendEnd(b.buf.hold.b)
	}
	b.Octets += int64(len(b.buf.hold.b) - before)
	return b.fits() && b.sendFull() && b.answered()
}

func (b *chunkBody) commit() {
	if b.rest != nil {
		b.commitWith(b.rest)
		return
	}
	if !b.complete() {
		return
	}
	chunk := b.pending()
	line := b.chunkLine(len(chunk), true)
	if n := len(chunk) - 1; n >= commitBlock {
		if !b.push(line, chunk[:n]) {
			return
		}
		line, chunk = line[:0], chunk[n:]
	}
	b.buf.out.b = append(line, chunk...)
	b.commitWith(b.buf.out.b)
}

// chunkLine returns the command line of a chunk of n octets.
func (t *Transfer) chunkLine(n int, last bool) []byte {
	line := smtpwire.AppendBDAT(t.buf.out.b[:0], n, last)
	if t.link.Observed() {
		t.link.ShowSent(string(line[:len(line)-2]))
	}
	t.buf.out.b = line
	return line
}
