package smtpwire

import (
	"bytes"
	"errors"
	"io"
	"strconv"
)

// readBuffer is the first size of a Reader's buffer: one segment of replies.
// It grows, up to the line limit of the call, only for a line that needs it.
const readBuffer = 4 << 10

// maxEmptyReads is how often a source may read nothing without an error.
const maxEmptyReads = 100

// Reasons of a SyntaxError that those who explain it look for.
const (
	BareLF        = "line ends in a bare LF"
	ReplyChanges  = "reply changes its code between lines"
	ReplyTooLarge = "reply too large"
	ReplyTooLong  = "reply has too many lines"
)

// Reply is one reply as it stood on the wire. Text holds the texts of its
// lines without their codes, joined by LF (which no line can hold); it is
// valid until the next call on the Reader.
type Reply struct {
	Code int
	Text []byte
}

// Reader reads what the peer sends. Its errors are the source's own,
// io.ErrUnexpectedEOF for a line or reply that ended early, or *SyntaxError.
// A Reader is used by one goroutine at a time.
type Reader struct {
	src  io.Reader
	buf  []byte
	r, w int // unread octets are buf[r:w]
	text []byte

	code  int  // of the reply that is read
	lines int  // of it that were read whole
	torn  bool // a line was refused before its end had come
}

// NewReader returns a Reader on src.
func NewReader(src io.Reader) *Reader {
	return &Reader{src: src, buf: make([]byte, readBuffer)}
}

// Buffered returns how many octets are read from the source but not consumed.
func (r *Reader) Buffered() int { return r.w - r.r }

// Unread returns what is read from the source but not consumed; it is valid until the
// next call.
func (r *Reader) Unread() []byte { return r.buf[r.r:r.w] }

// Fill reads once from the source into the buffer. It is how a caller asks
// whether anything is waiting there; the octets stay unconsumed.
func (r *Reader) Fill() error {
	if r.r == r.w {
		r.r, r.w = 0, 0
	}
	if r.w == len(r.buf) && r.r > 0 {
		copy(r.buf, r.buf[r.r:r.w])
		r.r, r.w = 0, r.w-r.r
	}
	if r.w == len(r.buf) {
		r.buf = append(r.buf, make([]byte, len(r.buf))...)
	}
	n, err := r.fetch(r.buf[r.w:])
	r.w += n
	if n > 0 {
		return nil
	}
	return err
}

// fetch reads from the source. One that returns 0, nil for ever must not hang
// the reader.
func (r *Reader) fetch(p []byte) (int, error) {
	for range maxEmptyReads {
		if n, err := r.src.Read(p); n > 0 || err != nil {
			return n, err
		}
	}
	return 0, io.ErrNoProgress
}

// Read reads the octets of a BDAT chunk: first what is buffered.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if r.r == r.w {
		if len(p) >= len(r.buf) {
			return r.fetch(p)
		}
		if err := r.Fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.buf[r.r:r.w])
	r.r += n
	return n, nil
}

// ReadLine reads one line and returns it without its CRLF; the slice is valid
// until the next call. A line of more than limit octets, CRLF included, a bare
// LF and a bare CR are syntax errors (RFC 5321, 2.3.8).
func (r *Reader) ReadLine(limit int) ([]byte, error) {
	return r.line(limit, nil)
}

// line reads one line. check, when not nil, sees what has come so far of the line and
// may refuse it early.
func (r *Reader) line(limit int, check func(partial []byte) error) ([]byte, error) {
	scanned := 0
	r.torn = false
	for {
		have := r.buf[r.r:r.w]
		if i := bytes.IndexByte(have[scanned:], '\n'); i >= 0 {
			i += scanned
			if i+1 > limit {
				return nil, syntaxError("line too long", have)
			}
			if check != nil { // before how the line ends: what is no reply need not end as one
				if err := check(bytes.TrimSuffix(have[:i], []byte{'\r'})); err != nil {
					return nil, err
				}
			}
			r.r += i + 1
			return wholeLine(have[:i])
		}
		scanned = len(have)
		if scanned >= limit {
			return nil, syntaxError("line too long", have)
		}
		if check != nil {
			if err := check(have); err != nil {
				r.torn = true
				return nil, err
			}
		}
		if err := r.Fill(); err != nil {
			if scanned > 0 {
				err = unexpected(err)
			}
			return nil, err
		}
	}
}

// unexpected turns the source's end into one that came too early.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// wholeLine takes the CR off a line whose LF is already gone.
func wholeLine(line []byte) ([]byte, error) {
	n := len(line) - 1
	if n < 0 || line[n] != '\r' {
		return nil, syntaxError(BareLF, line)
	}
	line = line[:n]
	if bytes.IndexByte(line, '\r') >= 0 {
		return nil, syntaxError("bare CR in a line", line)
	}
	return line, nil
}

// ReadReply reads one reply (RFC 5321, 4.2): every line carries the same code,
// a hyphen follows the code on all lines but the last. io.EOF means that the
// peer closed before the first octet.
func (r *Reader) ReadReply() (Reply, error) {
	r.text = r.text[:0]
	for r.lines = 0; ; r.lines++ {
		line, err := r.line(MaxReplyLine, checkCode)
		if err != nil {
			if r.lines > 0 {
				err = unexpected(err)
			}
			return Reply{}, err
		}
		c, more, err := parseReplyLine(line)
		if err != nil {
			return Reply{}, err
		}
		if r.lines == 0 {
			r.code = c
		} else {
			if c != r.code {
				return Reply{}, syntaxError(ReplyChanges, line)
			}
			r.text = append(r.text, '\n')
		}
		r.text = append(r.text, line[min(4, len(line)):]...)
		if len(r.text) > MaxReplySize {
			return Reply{}, syntaxError(ReplyTooLarge, line)
		}
		if !more {
			return Reply{Code: r.code, Text: r.text}, nil
		}
		if r.lines+1 >= MaxReplyLines {
			return Reply{}, syntaxError(ReplyTooLong, line)
		}
	}
}

// Begun returns what a reply began with that ReadReply did not see the end of: its
// first line, or what came of that; raw, and "" when nothing came. lines is how many
// lines came whole.
func (r *Reader) Begun() (start string, lines int) {
	if r.lines == 0 {
		return string(r.buf[r.r:r.w]), 0
	}
	first, _, _ := bytes.Cut(r.text, []byte{'\n'})
	return strconv.Itoa(r.code) + "-" + string(first), r.lines
}

// Complete adds to an error of ReadReply what has come since of the line that it is
// about: one that can be no reply is refused before its end. torn reports whether
// more of it would be worth reading.
func (r *Reader) Complete(e *SyntaxError) (torn bool) {
	if !r.torn {
		return false
	}
	line, _, ended := bytes.Cut(r.buf[r.r:r.w], []byte{'\n'})
	*e = *syntaxError(e.Reason, bytes.TrimSuffix(line, []byte{'\r'})).(*SyntaxError)
	return !ended && len(line) < maxExcerpt
}

// HasReply reports whether ReadReply would return without reading from the
// source: a whole reply, or what can be none, is buffered.
func (r *Reader) HasReply() bool {
	rest := r.buf[r.r:r.w]
	for {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			return false
		}
		if i < 4 || rest[3] != '-' {
			return true
		}
		rest = rest[i+1:]
	}
}

// PeekCode returns the code of the reply that ReadReply would return without reading
// from the source, 0 when there is none.
func (r *Reader) PeekCode() int {
	if !r.HasReply() || checkCode(r.buf[r.r:r.w]) != nil {
		return 0
	}
	code, _ := strconv.Atoi(string(r.buf[r.r : r.r+3]))
	return code
}

// checkCode refuses the start of a line that can be no reply, so that a peer
// speaking TLS or HTTP fails at once and not when its line never ends.
func checkCode(b []byte) error {
	for i := range min(3, len(b)) {
		c := b[i]
		if c < '0' || c > '9' || i == 0 && (c < '2' || c > '5') || i == 1 && c > '5' {
			return syntaxError("not an SMTP reply", b)
		}
	}
	if len(b) > 3 && b[3] != ' ' && b[3] != '-' && b[3] != '\r' {
		return syntaxError("not an SMTP reply", b)
	}
	return nil
}

// parseReplyLine splits a whole line into its code and whether another line
// follows. A bare code is a complete reply (RFC 5321, 4.2: the text is optional
// for a receiver).
func parseReplyLine(line []byte) (code int, more bool, err error) {
	if len(line) < 3 {
		return 0, false, syntaxError("not an SMTP reply", line)
	}
	if err := checkCode(line); err != nil {
		return 0, false, err
	}
	code = int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
	return code, len(line) > 3 && line[3] == '-', nil
}
