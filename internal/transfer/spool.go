package transfer

import (
	"github.com/fe022423/submission/internal/smtpwire"
)

const (
	// HoldBack is how much of a message is kept before MAIL is sent, in octets.
	// What fits is known whole: its size, its body type, and it can be sent again
	// on another session.
	HoldBack = 64 << 10
	// feedBlock is how much is encoded at a time; encoding at most triples it.
	feedBlock = 8 << 10
	// commitBlock is the most that is written together with the end of the
	// message, in octets. More goes out before, where a failure is still a plain
	// "not sent".
	commitBlock = 16 << 10
)

// Spool holds back the beginning of a message, in canonical form and without
// dots, whatever way it will travel.
type Spool struct {
	buf    *Buffers
	enc    smtpwire.Encoder
	binary bool
	whole  bool
	ended  bool
}

// NewSpool returns an empty spool in b. A binary one leaves line endings alone.
func NewSpool(b *Buffers, binary bool) Spool { return Spool{buf: b, binary: binary} }

// Add takes a part of p and returns how much. Once Full, nothing more is added.
func (s *Spool) Add(p []byte) int {
	n := 0
	for n < len(p) && !s.Full() {
		block := p[n:min(len(p), n+feedBlock)]
		s.buf.hold.reserve(len(block))
		s.buf.hold.b = encode(&s.enc, s.binary, s.buf.hold.b, block)
		n += len(block)
	}
	return n
}

// Full reports whether more is held than HoldBack: the message must begin to
// flow.
func (s *Spool) Full() bool { return len(s.buf.hold.b) > HoldBack }

// SetWhole says whether the spool holds the whole message.
func (s *Spool) SetWhole(whole bool) { s.whole = whole }

// Whole reports whether the spool holds the whole message.
func (s *Spool) Whole() bool { return s.whole }

// Known is the number of octets that the message has at least: all of them when
// it is whole, the CRLF that its last line may lack included.
func (s *Spool) Known() int64 {
	n := s.octets()
	if s.enc.Open() {
		n += 2
	}
	return n
}

func (s *Spool) octets() int64 { return int64(len(s.buf.hold.b)) }

// Has8Bit reports whether an octet above 0x7f is held.
func (s *Spool) Has8Bit() bool { return smtpwire.Has8Bit(s.buf.hold.b) }

// end completes the last line and returns the whole message.
func (s *Spool) end() []byte {
	if !s.ended && !s.binary {
		s.buf.hold.b = s.enc.AppendEnd(s.buf.hold.b)
	}
	s.ended = true
	return s.buf.hold.b
}

// encode appends the form of block that goes out; a binary one is left alone.
func encode(enc *smtpwire.Encoder, binary bool, dst, block []byte) []byte {
	if binary {
		return append(dst, block...)
	}
	return enc.Append(dst, block)
}
