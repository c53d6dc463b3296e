package submission

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"

	"github.com/fe022423/submission/internal/smtpwire"
)

// maxHeader is the longest header section that is read, in octets. It is held in memory; one
// of a megabyte has more recipients than any server takes.
const maxHeader = 1 << 20

// firstRead is the size of the first read, in octets: most header sections are shorter.
const firstRead = 4 << 10

// received is a message whose header section was read.
type received struct {
	header header
	utf8   bool      // the section that is sent holds UTF-8
	rest   io.Reader // the message as it is to be sent
}

// receive reads msg up to the end of its header section, and takes Bcc out.
func receive(msg io.Reader) (*received, error) {
	start, seeker := position(msg)
	text, size, end := readSection(msg)
	if size < 0 {
		return nil, end
	}
	if len(text) == 0 {
		return nil, &messageError{err: fmt.Errorf("%w: the message is empty", ErrNoRecipients)}
	}
	var r received
	kept, err := r.header.parse(text[:size])
	if err != nil {
		return nil, &messageError{err: err}
	}
	rest := text[size:]
	if n := len(kept); n > 0 && n < size && kept[n-1] == '\r' && len(rest) > 0 && rest[0] == '\n' {
		// Bcc stood between the two, so they were no CRLF. The line ending that is left
		// out with it is the one before it then, not the LF after it.
		kept[n-1] = '\n'
	}
	r.utf8 = smtpwire.Has8Bit(kept) && utf8.Valid(kept)
	front := messageReader{head: append(kept, rest...), source: msg, end: end}
	if r.rest = &front; seeker != nil {
		r.rest = &messageSeeker{messageReader: front, seeker: seeker, after: start + int64(len(text))}
	}
	return &r, nil
}

// position returns where a source is that can seek. The Seeker is nil for one that cannot.
func position(msg io.Reader) (int64, io.ReadSeeker) {
	s, ok := msg.(io.ReadSeeker)
	if !ok {
		return 0, nil
	}
	at, err := s.Seek(0, io.SeekCurrent)
	if err != nil { // a pipe
		return 0, nil
	}
	return at, s
}

// readSection reads until the header section has come. size is that of the section; what was
// read after it begins with the empty line. end is what the source says after that, nil when
// it did not say anything yet. Without a section size is negative, and end says why.
func readSection(msg io.Reader) (text []byte, size int, end error) {
	text = make([]byte, 0, firstRead)
	var section sectionEnd
	for empty := 0; ; {
		if len(text) == cap(text) {
			text = slices.Grow(text, len(text))
		}
		n, err := msg.Read(text[len(text):cap(text)])
		text = text[:len(text)+n]
		found := section.found(text)
		if n > 0 {
			empty = 0
		} else if empty++; err == nil && empty > maxEmptyReads {
			err = io.ErrNoProgress
		}
		switch {
		case section.at > maxHeader:
			return nil, -1, &messageError{err: errHeaderTooLong}
		case found, err == io.EOF:
			return text, section.at, err
		case err != nil:
			return nil, -1, &messageError{err: err, source: true}
		}
	}
}

var errHeaderTooLong = fmt.Errorf("the header section is too long: more than %d octets", maxHeader)

// sectionEnd finds the end of a header section, which is the first empty line, in a text
// that grows.
type sectionEnd struct {
	at      int  // so much was looked at
	inLine  bool // something stands in the line
	afterCR bool // an LF belongs to the CR before it
}

// found looks at what is new in text. It reports whether the empty line begins at e.at.
func (e *sectionEnd) found(text []byte) bool {
	for ; e.at < len(text); e.at++ {
		c := text[e.at]
		switch {
		case c == '\n' && e.afterCR:
			e.afterCR = false
		case c != '\r' && c != '\n':
			e.inLine, e.afterCR = true, false
		case !e.inLine:
			return true
		default:
			e.inLine, e.afterCR = false, c == '\r'
		}
	}
	return false
}

// messageReader gives a message as it is to be sent: first what was read already, then the
// rest of the source.
type messageReader struct {
	head   []byte
	source io.Reader
	end    error // of the source, which is not asked again then
	at     int64 // so much was given
}

func (r *messageReader) Read(p []byte) (int, error) {
	var n int
	var err error
	switch {
	case r.at < int64(len(r.head)):
		n = copy(p, r.head[r.at:])
	case r.end != nil:
		err = r.end
	default:
		n, err = r.source.Read(p)
	}
	r.at += int64(n)
	return n, err
}

// messageSeeker is one whose source can seek.
type messageSeeker struct {
	messageReader
	seeker io.Seeker
	after  int64 // where in the source that begins which follows head
}

// Seek counts in what is to be sent. It leaves the source where the next Read wants it.
func (r *messageSeeker) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += r.at
	case io.SeekEnd:
		size, err := r.size()
		if err != nil {
			return 0, err
		}
		offset += size
	default:
		return 0, errors.New("seek: unknown whence")
	}
	if offset < 0 {
		return 0, errors.New("seek: before the start")
	}
	if err := r.place(offset); err != nil {
		return 0, err
	}
	r.at = offset
	return offset, nil
}

// place has the source give what follows head when the message is read from at.
func (r *messageSeeker) place(at int64) error {
	_, err := r.seeker.Seek(r.after+max(at-int64(len(r.head)), 0), io.SeekStart)
	return err
}

// size is that of the message.
func (r *messageSeeker) size() (int64, error) {
	if r.end == io.EOF {
		return int64(len(r.head)), nil
	}
	last, err := r.seeker.Seek(0, io.SeekEnd)
	if err := errors.Join(err, r.place(r.at)); err != nil {
		return 0, err
	}
	return int64(len(r.head)) + max(last-r.after, 0), nil
}
