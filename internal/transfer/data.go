package transfer

import "github.com/fe022423/submission/internal/smtpwire"

const (
	// directBlock is the least that is worth a write of its own, in octets.
	directBlock = 16 << 10
	// directMost is the most that is written at a time, in octets.
	directMost = 64 << 10
	// endRoom is room for the end of a message and for a few dots.
	endRoom = 64
)

// dataBody sends a message with DATA: dots doubled, a dot at the end.
type dataBody struct {
	*Transfer
	enc      smtpwire.Encoder
	prepared bool
}

func newDataBody(t *Transfer, s *Spool) *dataBody {
	b := &t.buf.data
	*b = dataBody{Transfer: t, enc: s.enc}
	t.buf.out.b = t.buf.out.b[:0]
	t.buf.out.reserve(len(s.buf.hold.b) + len(s.buf.hold.b)/64 + endRoom)
	t.buf.out.b = b.enc.Restuff(t.buf.out.b, s.buf.hold.b)
	return b
}

func (b *dataBody) add(p []byte) int {
	if block := p[:min(len(p), directMost)]; len(block) >= directBlock && b.enc.Plain(block) {
		if b.sendable(block) {
			b.Octets += int64(len(block))
			if b.fits() {
				b.flush(block)
			}
		}
		return len(block)
	}
	block := p[:min(len(p), feedBlock)]
	if !b.sendable(block) {
		return len(block)
	}
	b.buf.out.reserve(2 * len(block))
	before, dots := len(b.buf.out.b), b.enc.Dots
	b.buf.out.b = b.enc.Append(b.buf.out.b, block)
	b.Octets += int64(len(b.buf.out.b)-before) - (b.enc.Dots - dots)
	if b.fits() && len(b.buf.out.b) >= HoldBack {
		b.flush(nil)
	}
	return len(block)
}

// flush sends what is encoded, and block after it without copying it.
func (b *dataBody) flush(block []byte) bool {
	ok := b.push(b.buf.out.b, block)
	b.buf.out.b = b.buf.out.b[:0]
	return ok
}

// prepare sends all but the line ending that the message may lack and the dot.
func (b *dataBody) prepare() {
	b.prepared = b.count() && b.flush(nil)
}

// count adds the CRLF that the last line lacks to the octets.
func (b *dataBody) count() bool {
	if b.enc.Open() {
		b.Octets += 2
	}
	return b.fits()
}

func (b *dataBody) commit() {
	// After prepare there is nothing left to count or to send but the end.
	if !b.prepared && !b.count() {
		return
	}
	if len(b.buf.out.b) > commitBlock && !b.flush(nil) {
		return
	}
	b.buf.out.b = b.enc.AppendEnd(b.buf.out.b)
	b.commitWith(b.buf.out.b)
}
