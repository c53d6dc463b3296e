package submission

import (
	"errors"
	"fmt"
	"io"

	"github.com/fe022423/submission/internal/smtpwire"
	"github.com/fe022423/submission/internal/transfer"
)

// ReadFrom adds the bytes of r up to its end. A failure of r ends the transaction as
// well: the connection is closed and nothing is delivered. Errors are those of Write.
func (t *Transaction) ReadFrom(r io.Reader) (int64, error) {
	block := transfer.GetBlock()
	n, err := t.readFrom(r, block[:])
	transfer.PutBlock(block) // not after a panic: who knows what the source does
	return n, err
}

func (t *Transaction) readFrom(r io.Reader, block []byte) (int64, error) {
	var n int64
	for empty := 0; t.state == txHolding || t.state == txStreaming; {
		if t.ctx.Err() != nil {
			return n, t.withhold(givenUp(StageMessage, t.ctx))
		}
		var room []byte
		if t.state == txStreaming {
			room = t.attempt.Room()
		}
		buf := room
		if room == nil {
			buf = block
		}
		got, err := r.Read(buf)
		if got > 0 {
			empty = 0
			if room != nil {
				t.guard(func() { t.attempt.Took(got) })
				if err := t.flows(); err != nil {
					return n, err
				}
			} else if m, err := t.Write(buf[:got]); err != nil {
				return n + int64(m), err
			}
			n += int64(got)
		}
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, t.sourceFailed(err)
		}
		if empty++; empty > maxEmptyReads {
			return n, t.sourceFailed(io.ErrNoProgress)
		}
	}
	if t.err != nil {
		return n, t.err
	}
	return n, errOver
}

// maxEmptyReads is how often a source may yield nothing without an error.
const maxEmptyReads = 100

// readAll sends the message that msg yields up to its end.
func (t *Transaction) readAll(msg io.Reader) (*Result, error) {
	if t.err == nil && msg == nil {
		t.refuse(errNoSource)
	}
	if t.err != nil {
		return nil, t.err
	}
	defer t.cut() // a source that panics
	t.rewinder = newRewinder(msg)
	for {
		_, err := t.ReadFrom(msg)
		if err == nil {
			_, err = t.Commit()
		}
		if err != errStartsAgain {
			return t.result, t.err
		}
		if err := t.rewinder.rewind(); err != nil {
			return nil, t.sourceFailed(err)
		}
	}
}

// readOpened sends the message that open opens, and closes it.
func (t *Transaction) readOpened(open func() (io.ReadCloser, error)) (*Result, error) {
	if t.err != nil {
		return nil, t.err
	}
	defer t.cut() // open may panic
	msg, err := open()
	if err != nil {
		return nil, t.sourceFailed(err)
	}
	if msg != nil {
		defer msg.Close()
	}
	return t.readAll(msg)
}

// receive sends the message that msg yields to those whom its header section names.
func (t *Transaction) receive(msg io.Reader) (*Result, error) {
	switch {
	case t.ctx.Err() != nil:
		t.refuse(givenUp(StageMail, t.ctx))
	case msg == nil:
		t.refuse(errNoSource)
	}
	if t.err != nil {
		return nil, t.err
	}
	defer t.cut()
	env, rest, err := ReadEnvelope(msg)
	if failed := (*messageError)(nil); errors.As(err, &failed) && failed.source {
		return nil, t.sourceFailed(failed.err)
	}
	t.address(&env, err)
	return t.readAll(rest)
}

// call sends the message that write writes.
func (t *Transaction) call(write func(io.Writer) error) (*Result, error) {
	if t.err == nil && write == nil {
		t.refuse(errNoSource)
	}
	if t.err != nil {
		return nil, t.err
	}
	defer t.cut()
	if err := write(writerOnly{t}); err != nil {
		return nil, t.sourceFailed(err)
	}
	return t.Commit()
}

// errNoSource refuses a message that there is none of.
var errNoSource = errors.New("no message: its reader or function is nil")

// writerOnly hides Commit and Abort from the writing function.
type writerOnly struct{ t *Transaction }

func (w writerOnly) Write(p []byte) (int, error)               { return w.t.Write(p) }
func (w writerOnly) ReadFrom(r io.Reader) (n int64, err error) { return w.t.ReadFrom(r) }

// cut ends a transaction that its source left by a panic.
func (t *Transaction) cut() {
	if t.state != txOver {
		t.withhold(errPanicked)
	}
}

// sourceFailed ends a message that did not come whole.
func (t *Transaction) sourceFailed(err error) error {
	if t.state == txOver {
		return t.err // the source only hands on what Write told it
	}
	if t.ctx.Err() == nil {
		return t.withhold(fmt.Errorf("message source: %w", err))
	}
	// It failed because the caller gave up, or as good as because of that.
	why := givenUp(StageMessage, t.ctx)
	if !errors.Is(err, t.ctx.Err()) {
		why.err = fmt.Errorf("%w (message source: %w)", why.err, err)
	}
	return t.withhold(why)
}

// rewinder is the source of a message that can be read again from where it began. A
// message that is longer than what is held back needs one to start once more.
type rewinder struct {
	source io.ReadSeeker
	start  int64
}

// newRewinder returns the zero one for a source that cannot seek.
func newRewinder(msg io.Reader) rewinder {
	start, source := position(msg)
	return rewinder{source, start}
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
	if t.rewinder.source == nil || t.fresh || !t.mayStartAgain() {
		return false
	}
	t.noteRestart()
	t.release()
	t.fresh = true
	t.readAgain()
	return true
}

// readAgain makes the transaction one that has nothing of its message yet.
func (t *Transaction) readAgain() {
	t.buf.Reset()
	t.spool = transfer.NewSpool(t.buf, t.plan.env.Body == BodyBinaryMIME)
	t.state = txHolding
}
