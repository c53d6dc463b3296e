package smtpwire

import (
	"bytes"
	"io"
)

// scanBlock is how much of a message is examined at a time: small enough to
// stay in the first cache level between the passes over it.
const scanBlock = 8 << 10

var crOctet = []byte{'\r'}

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
}

// Append appends the encoded form of src to dst.
func (e *Encoder) Append(dst, src []byte) []byte {
	if e.cr && len(src) > 0 {
		e.cr = false
		if src[0] == '\n' {
			src = src[1:]
		}
	}
	for len(src) > 0 {
		block := src[:min(len(src), scanBlock)]
		if e.clean(block) {
			dst = append(dst, block...)
			e.mid = block[len(block)-1] != '\n'
		} else {
			dst = e.appendLines(dst, block)
			if e.cr && len(block) < len(src) && src[len(block)] == '\n' {
				// The pair straddles two blocks.
				block = src[:len(block)+1]
				e.cr = false
			} else if len(block) < len(src) {
				e.cr = false
			}
		}
		src = src[len(block):]
	}
	return dst
}

// clean reports whether block goes out as it is: every LF stands behind a CR,
// every CR before an LF, and no line begins with a dot that must be doubled.
// One vector count of the CRs and one search a line settle it.
func (e *Encoder) clean(block []byte) bool {
	if e.Stuff && !e.mid && block[0] == '.' {
		return false
	}
	lines := 0
	for i := 0; i < len(block); {
		j := bytes.IndexByte(block[i:], '\n')
		if j < 0 {
			break
		}
		if j == 0 || block[i+j-1] != '\r' {
			return false
		}
		lines++
		i += j + 1
		if e.Stuff && i < len(block) && block[i] == '.' {
			return false
		}
	}
	return bytes.Count(block, crOctet) == lines
}

// appendLines encodes block line by line.
func (e *Encoder) appendLines(dst, block []byte) []byte {
	lf := -1 // where the next LF stands; searched again once it is passed
	for i := 0; i < len(block); {
		if lf < i {
			if lf = bytes.IndexByte(block[i:], '\n'); lf < 0 {
				lf = len(block)
			} else {
				lf += i
			}
		}
		end := lf
		if j := bytes.IndexByte(block[i:lf], '\r'); j >= 0 {
			end = i + j
		}
		if e.Stuff && !e.mid && end > i && block[i] == '.' {
			dst = append(dst, '.')
			e.Dots++
		}
		dst = append(dst, block[i:end]...)
		if end == len(block) {
			e.mid = true
			return dst
		}
		dst = append(dst, '\r', '\n')
		e.mid = false
		i = end + 1
		if block[end] == '\r' {
			if i == len(block) {
				e.cr = true
			} else if block[i] == '\n' {
				i++
			}
		}
	}
	return dst
}

// Restuff turns Stuff on in the middle of a message: it appends the stuffed form
// of canonical, which is all that the Encoder made so far without it.
func (e *Encoder) Restuff(dst, canonical []byte) []byte {
	s := Encoder{Stuff: true}
	dst = s.Append(dst, canonical)
	s.cr = e.cr
	*e = s
	return dst
}

// Open reports whether the last line lacks its CRLF, which AppendEnd will add.
func (e *Encoder) Open() bool { return e.mid }

// AppendEnd appends what ends the message: the CRLF that its last line lacks
// and, with Stuff, the dot line. An empty message is the dot line alone.
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
	put := func(p []byte) {
		if werr == nil && len(p) > 0 {
			_, werr = w.Write(p)
		}
	}
	for start := true; ; {
		// At the start of a line three octets tell a dot line from a dot.
		for n := r.Buffered(); n == 0 || start && n < 3 && r.buf[r.r] == '.' || n == 1 && r.buf[r.r] == '\r'; n = r.Buffered() {
			if err := r.Fill(); err != nil {
				if err == io.EOF {
					err = io.ErrUnexpectedEOF
				}
				return err
			}
		}
		have := r.buf[r.r:r.w]
		if start && have[0] == '.' {
			if have[1] == '\r' && have[2] == '\n' {
				r.r += 3
				return werr
			}
			r.r++
			start = false
			continue
		}
		i := bytes.IndexByte(have, '\n')
		if i < 0 {
			// Not the line's end yet. A CR at the edge waits for its LF.
			n := len(have)
			if have[n-1] == '\r' {
				n--
			}
			if bytes.IndexByte(have[:n], '\r') >= 0 {
				return syntaxError("bare CR in message data", have)
			}
			put(have[:n])
			r.r += n
			start = false
			continue
		}
		if i == 0 || have[i-1] != '\r' {
			return syntaxError("bare LF in message data", have[:i])
		}
		if bytes.IndexByte(have[:i-1], '\r') >= 0 {
			return syntaxError("bare CR in message data", have[:i])
		}
		put(have[:i+1])
		r.r += i + 1
		start = true
	}
}
