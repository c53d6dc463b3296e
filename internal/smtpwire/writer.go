package smtpwire

import (
	"io"
	"strconv"
)

// keepBuffer is the largest buffer a Writer keeps after a flush: a batch of
// commands. What a large message needed is given back.
const keepBuffer = 8 << 10

// Writer collects lines and data and hands them on in one Write per Flush.
// Its first write error sticks. A Writer is used by one goroutine at a time.
type Writer struct {
	dst   io.Writer
	buf   []byte
	taken int // octets of the last Write
	err   error
}

// NewWriter returns a Writer to dst.
func NewWriter(dst io.Writer) *Writer { return &Writer{dst: dst} }

// AppendLine appends line and CRLF to dst. It is the one place where a command
// or a reply becomes octets: anything below 0x20 and 0x7f is an *OctetError
// and appends nothing, so no text can end its line and start another.
func AppendLine[T string | []byte](dst []byte, line T) ([]byte, error) {
	for i := range len(line) {
		if c := line[i]; c < 0x20 || c == 0x7f {
			return dst, &OctetError{Octet: c, Offset: i}
		}
	}
	dst = append(dst, line...)
	return append(dst, '\r', '\n'), nil
}

// Line buffers one line; see AppendLine.
func (w *Writer) Line(line []byte) error {
	b, err := AppendLine(w.buf, line)
	w.buf = b
	return err
}

// LineString is Line for a string.
func (w *Writer) LineString(line string) error {
	b, err := AppendLine(w.buf, line)
	w.buf = b
	return err
}

// Data buffers message octets that are in their wire form already: the output
// of an Encoder, or a chunk.
func (w *Writer) Data(p []byte) { w.buf = append(w.buf, p...) }

// Buffered returns how many octets wait for Flush.
func (w *Writer) Buffered() int { return len(w.buf) }

// Flush writes what is buffered with a single Write.
func (w *Writer) Flush() error {
	if w.err != nil || len(w.buf) == 0 {
		return w.err
	}
	err := w.WriteThrough(w.buf)
	if w.buf = w.buf[:0]; cap(w.buf) > keepBuffer {
		w.buf = nil
	}
	return err
}

// Taken returns how many octets the last Write took.
func (w *Writer) Taken() int { return w.taken }

// WriteThrough writes p at once, past the buffer, which must be empty or be p.
func (w *Writer) WriteThrough(p []byte) error {
	if w.err != nil {
		return w.err
	}
	n, err := w.dst.Write(p)
	w.taken = n
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	w.err = err
	return err
}

// AppendBDAT appends the command line in front of a chunk of n octets
// (RFC 3030, 2).
func AppendBDAT(dst []byte, n int, last bool) []byte {
	dst = append(dst, "BDAT "...)
	dst = strconv.AppendInt(dst, int64(n), 10)
	if last {
		dst = append(dst, " LAST"...)
	}
	return append(dst, '\r', '\n')
}
