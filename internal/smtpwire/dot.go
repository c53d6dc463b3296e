package smtpwire

import (
	"bytes"
	"io"
)

// scanBlock is how much of a message is examined at a time: small enough to
// stay in the first cache level between the passes over it.
const scanBlock = 8 << 10

var (
	cr      = []byte("\r")
	lf      = []byte("\n")
	dotLine = []byte(".\r\n")
)

// Encoder turns message octets into canonical lines: CRLF, LF and CR each end
// a line and go out as CRLF, so that no bare CR or LF is ever sent (RFC 5321,
// 2.3.8 and 4.1.1.4). With Stuff it also doubles a dot that begins a line
// (4.5.2). How the octets are split over calls makes no difference. The zero
// value is ready, at the start of a message.
type Encoder struct {
	Stuff bool  // double leading dots, for DATA
	Dots  int64 // dots added so far
	mid   bool  // inside a line: something was written since the last CRLF
	cr    bool  // the last octet was a CR, sent as CRLF: an LF next belongs to it
	width int   // of the line before, its LF not counted
}

// Append appends the encoded form of src to dst.
func (e *Encoder) Append(dst, src []byte) []byte {
	for len(src) > 0 {
		n := min(len(src), scanBlock)
		if e.cr {
			n = 1 // an LF here belongs to the CR before it
		} else if n > 1 && src[n-1] == '\r' {
			n-- // stays with its LF
		}
		dst = e.appendBlock(dst, src[:n])
		src = src[n:]
	}
	return dst
}

// appendBlock encodes block line by line, and once more octet by octet if a
// bare CR turns up.
func (e *Encoder) appendBlock(dst, block []byte) []byte {
	if !e.cr {
		before := *e
		out, pairs := e.appendLines(dst, block)
		if pairs == bytes.Count(block, cr) {
			return out
		}
		*e = before
	}
	return e.appendOctets(dst, block)
}

// appendLines encodes a block in which LF alone ends a line, with or without a
// CR before it. It returns how many had one: all CRs of the block, or the
// result is wrong. What goes out as it is is copied in one piece.
func (e *Encoder) appendLines(dst, block []byte) (out []byte, pairs int) {
	for {
		n, p := e.scan(block)
		pairs += p
		dst = append(dst, block[:n]...)
		if n == len(block) {
			return dst, pairs
		}
		if block[n] == '.' {
			dst = append(dst, '.', '.')
			e.Dots++
			e.mid = true
		} else {
			dst = append(dst, '\r', '\n')
			e.mid = false
		}
		block = block[n+1:]
	}
}

// scan passes over what goes out as it is, up to a dot that must be doubled or
// an LF without a CR, and counts the pairs of CR and LF.
func (e *Encoder) scan(block []byte) (n, pairs int) {
	width := e.width
	defer func() { e.width = width }()
	for i := 0; i < len(block); i++ {
		if block[i] == '.' && e.Stuff && !e.mid {
			return i, pairs
		}
		// Most lines are as long as the one before. Going on from that length and
		// not from the result lets the processor search two lines at once.
		if j := bytes.IndexByte(block[i:], '\n'); j != width {
			if j < 0 {
				e.mid = true
				break
			}
			width = j
		}
		i += width
		if i == 0 || block[i-1] != '\r' {
			return i, pairs
		}
		e.mid = false
		pairs++
	}
	return len(block), pairs
}

// Plain reports whether Append would add src as it is, and if so counts it as
// added; otherwise nothing changes. It spares the caller a copy.
func (e *Encoder) Plain(src []byte) bool {
	before := *e
	for rest := src; len(rest) > 0 && !e.cr; {
		n := min(len(rest), scanBlock)
		if n > 1 && rest[n-1] == '\r' {
			n-- // stays with its LF
		}
		passed, pairs := e.scan(rest[:n])
		if passed < n || pairs != bytes.Count(rest[:n], cr) {
			*e = before
			return false
		}
		rest = rest[n:]
	}
	return !e.cr || len(src) == 0
}

// appendOctets encodes any octets.
func (e *Encoder) appendOctets(dst, block []byte) []byte {
	for _, c := range block {
		paired := e.cr && c == '\n'
		e.cr = c == '\r'
		switch {
		case paired:
		case c == '\r', c == '\n':
			dst = append(dst, '\r', '\n')
			e.mid = false
		default:
			if e.Stuff && !e.mid && c == '.' {
				dst = append(dst, '.')
				e.Dots++
			}
			dst = append(dst, c)
			e.mid = true
		}
	}
	return dst
}

// Restuff turns Stuff on in the middle of a message: it appends the stuffed form
// of canonical, which is all that the Encoder made so far without it.
func (e *Encoder) Restuff(dst, canonical []byte) []byte {
	mine := Encoder{Stuff: true}
	dst = mine.Append(dst, canonical)
	mine.cr = e.cr
	*e = mine
	return dst
}

// Open reports whether the last line lacks its CRLF, which AppendEnd will add.
func (e *Encoder) Open() bool { return e.mid }

// AppendEnd appends what ends the message: the CRLF that its last line lacks
// and, with Stuff, the dot line. An empty message is the dot line alone. The
// Encoder then stands at the start of another message, with Dots at 0.
func (e *Encoder) AppendEnd(dst []byte) []byte {
	if e.mid {
		dst = append(dst, '\r', '\n')
	}
	if e.Stuff {
		dst = append(dst, '.', '\r', '\n')
	}
	*e = Encoder{Stuff: e.Stuff}
	return dst
}

// ReadDots reads a message in the DATA form, up to and with its dot line, and
// writes its canonical octets, dots undone, to w. A bare CR or LF inside is a
// *SyntaxError; an error of w is returned once the message is read to its end,
// so that the stream stays in step.
func (r *Reader) ReadDots(w io.Writer) error {
	var werr error
	for start := true; ; {
		have := r.buf[r.r:r.w]
		if start && bytes.HasPrefix(have, dotLine) {
			r.r += len(dotLine)
			return werr
		}
		// What may become the dot line or a CRLF waits for more.
		if len(have) == 0 || start && bytes.HasPrefix(dotLine, have) || bytes.Equal(have, cr) {
			if err := r.Fill(); err != nil {
				return unexpected(err)
			}
			continue
		}
		if start && have[0] == '.' {
			r.r++
			have = have[1:]
		}
		n, err := dataPiece(have)
		if err != nil {
			return err
		}
		if werr == nil {
			_, werr = w.Write(have[:n])
		}
		r.r += n
		start = have[n-1] == '\n'
	}
}

// dataPiece returns how much of have can be passed on: its first line or, if
// that is not whole yet, what has come of it but for a CR at the edge.
func dataPiece(have []byte) (n int, err error) {
	line, _, whole := bytes.Cut(have, lf)
	text := bytes.TrimSuffix(line, cr)
	n = len(text)
	if whole {
		if n == len(line) {
			return 0, syntaxError("bare LF in message data", line)
		}
		n += len("\r\n")
	}
	if bytes.IndexByte(text, '\r') >= 0 {
		return 0, syntaxError("bare CR in message data", line)
	}
	return n, nil
}
