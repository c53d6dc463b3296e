package submission

import (
	"errors"
	"io"

	"github.com/fe022423/submission/internal/smtpwire"
	"github.com/fe022423/submission/internal/transfer"
)

// rewinder is the source of a message that can be read again from where it began. A
// message that is longer than what is held back needs one to start once more.
type rewinder struct {
	source io.ReadSeeker
	start  int64
}

// newRewinder returns nil for a source that cannot seek.
func newRewinder(msg io.Reader) *rewinder {
	s, ok := msg.(io.ReadSeeker)
	if !ok {
		return nil
	}
	start, err := s.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil
	}
	return &rewinder{s, start}
}

// rewind goes back to the start.
func (r *rewinder) rewind() error {
	_, err := r.source.Seek(r.start, io.SeekStart)
	return err
}

// restIsASCII looks through what was not read yet, and goes back to where it was.
func (r *rewinder) restIsASCII(buf []byte) (ascii bool, err error) {
	at, err := r.source.Seek(0, io.SeekCurrent)
	if err != nil {
		return false, err
	}
	ascii = true
	for ascii && err == nil {
		var n int
		n, err = r.source.Read(buf)
		ascii = !smtpwire.Has8Bit(buf[:n])
	}
	if err == io.EOF {
		err = nil
	}
	_, back := r.source.Seek(at, io.SeekStart)
	return ascii, errors.Join(err, back)
}

// errStartsAgain stops the reading of a source that is read once more.
var errStartsAgain = errors.New("the message starts again")

// startOver makes the transaction what it was before its message was read, to be sent
// on a fresh session. It reports whether that may be.
func (t *Transaction) startOver() bool {
	if t.rewinder == nil || t.fresh || !t.mayStartAgain() {
		return false
	}
	t.lender.noteRestart()
	t.release()
	t.buf.Reset()
	t.spool = transfer.NewSpool(t.buf, t.plan.env.Body == BodyBinaryMIME)
	t.state, t.fresh = txHolding, true
	return true
}

// mayStartAgain reports whether the message may start once more on a session that was
// never used: it met one that was, and nothing of it can have been accepted.
func (t *Transaction) mayStartAgain() bool {
	a := &t.attempt
	return a.reused && a.refused == nil && a.StartsAgain() && t.ctx.Err() == nil
}
