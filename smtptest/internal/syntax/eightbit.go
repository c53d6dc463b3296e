package syntax

import "encoding/binary"

// EightBit finds octets above 0x7f in a message that comes in pieces, and knows those
// of the header section from the others. The zero value is at the start of a message.
//
// The header section ends at the first line that is neither a field nor the
// continuation of one (RFC 5322, 2.2): an empty line, or text that has no header
// section at all.
type EightBit struct {
	header, body bool // one was found there
	state        headerState
}

// headerState is where the next octet stands.
type headerState uint8

const (
	firstLine  headerState = iota // at the start of the message
	lineStart                     // at the start of a line after a field
	fieldName                     // within what may be the name of a field
	afterName                     // in the white space after a name, which only old messages have
	fieldValue                    // after the colon, or within a continuation
	inBody
)

// Add checks the next octets.
func (e *EightBit) Add(p []byte) {
	for i, c := range p {
		if e.state == inBody {
			e.body = e.body || hasEightBit(p[i:])
			return
		}
		e.state = e.state.next(c)
		switch {
		case c < 0x80:
		case e.state == inBody:
			e.body = true
		default:
			e.header = true
		}
	}
}

// next returns the state after the octet c.
func (s headerState) next(c byte) headerState {
	space := c == ' ' || c == '\t'
	switch {
	case s == fieldValue && c == '\n':
		return lineStart
	case s == fieldValue:
		return fieldValue
	case s == lineStart && space:
		return fieldValue
	case (s == fieldName || s == afterName) && c == ':':
		return fieldValue
	case (s == fieldName || s == afterName) && space:
		return afterName
	case s != afterName && c > ' ' && c < 0x7f && c != ':':
		return fieldName
	}
	return inBody
}

// Header says whether there was one in the header section.
func (e *EightBit) Header() bool { return e.header }

// Any says whether there was one at all.
func (e *EightBit) Any() bool { return e.header || e.body }

// hasEightBit looks at eight octets at a time: a server that discards gigabytes needs
// that.
func hasEightBit(p []byte) bool {
	const high = 0x8080808080808080
	for ; len(p) >= 8; p = p[8:] {
		if binary.LittleEndian.Uint64(p)&high != 0 {
			return true
		}
	}
	for _, c := range p {
		if c >= 0x80 {
			return true
		}
	}
	return false
}
