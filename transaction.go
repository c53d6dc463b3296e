package submission

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/fe022423/submission/internal/smtpwire"
)

// Transaction is a mail transaction (RFC 5321, 3.3) that the caller feeds. It is
// an io.Writer and io.ReaderFrom for the message; nothing but Commit ends the
// message, so that what is cut short is never delivered. It holds back the first
// 64 KiB: a shorter message reaches the server only at Commit. Every
// Transaction must be committed or aborted. It is not safe for concurrent use.
type Transaction struct {
	ctx   context.Context
	from  source // where the session comes from, nil when it was given
	s     *Session
	cfg   *config
	env   Envelope
	plan  plan
	mem   *memory
	enc   smtpwire.Encoder
	state txState
	tally *tally
	rcpts []RecipientResult // of the tally
	mail  *Reply            // a refusal of MAIL
	data  *Reply            // a refusal of DATA

	bdat     bool  // chunks instead of DATA
	inFlight bool  // the message went out with its envelope
	owed     bool  // a chunk was not answered yet
	seven    bool  // an octet above 0x7f may not be sent
	limit    int64 // the server's SIZE, 0 for none
	octets   int64 // canonical octets made so far
	err      error // why it is over, for every call after
}

// source lends sessions to transactions.
type source interface {
	// take waits for a session; fresh wants one that was never used.
	take(ctx context.Context, fresh bool) (s *Session, reused bool, err error)
	// give takes it back, whatever has become of it.
	give(s *Session)
}

type txState uint8

const (
	txHolding   txState = iota // nothing was sent
	txStreaming                // the envelope was accepted, octets flow
	txOver
)

const (
	// holdBack is how much of a message is kept before MAIL is sent, in octets.
	// What fits is known whole: its size, its body type, and it can be sent again
	// on another session.
	holdBack = 64 << 10
	// feedBlock is how much is encoded at a time; encoding at most triples it.
	feedBlock = 8 << 10
	// readBlock is how much is read from a source at a time.
	readBlock = 64 << 10
	// commitBlock is the most that is written together with the end of the
	// message. More goes out before, where a failure is still a plain NotSent.
	commitBlock = 16 << 10
)

// newTransaction checks the envelope as far as it can be without a server.
func newTransaction(ctx context.Context, cfg *config, env Envelope) (*Transaction, error) {
	t := &Transaction{ctx: ctx, cfg: cfg, env: env}
	t.mem = cfg.memory.Get().(*memory)
	t.plan.rcpts = t.mem.boxes
	err := t.plan.parse(&t.env, cfg.From)
	t.mem.boxes = t.plan.rcpts
	t.tally = new(tally)
	if t.rcpts = t.tally.one[:]; len(t.env.To) != 1 {
		t.rcpts = make([]RecipientResult, len(t.env.To))
	}
	t.clearRcpts()
	if err == nil && ctx.Err() != nil {
		err = givenUp(StageMail, ctx)
	}
	if err != nil {
		return nil, t.refuse(err)
	}
	return t, nil
}

// clearRcpts begins the results anew.
func (t *Transaction) clearRcpts() {
	for i := range t.rcpts {
		t.rcpts[i] = RecipientResult{Addr: t.env.To[i].Addr}
		if t.plan.bad != nil && t.plan.bad[i] != nil {
			t.rcpts[i].Status = RecipientInvalid
		}
	}
}

func (t *Transaction) read(msg io.Reader) (*Result, error) {
	defer t.cut() // a source that panics
	if _, err := t.ReadFrom(msg); err != nil {
		return nil, t.err
	}
	return t.Commit()
}

func (t *Transaction) call(write func(io.Writer) error) (*Result, error) {
	defer t.cut()
	if err := write(writerOnly{t}); err != nil {
		return nil, t.sourceFailed(err)
	}
	return t.Commit()
}

// writerOnly hides Commit and Abort from the writing function.
type writerOnly struct{ t *Transaction }

func (w writerOnly) Write(p []byte) (int, error)               { return w.t.Write(p) }
func (w writerOnly) ReadFrom(r io.Reader) (n int64, err error) { return w.t.ReadFrom(r) }

// Commit ends the message and waits for the server's verdict. A nil error means
// that the server accepted it for every recipient. Otherwise the error is a
// *SendError, beside a Result when its Outcome is PartlySent.
func (t *Transaction) Commit() (*Result, error) {
	if t.err != nil {
		return nil, t.err
	}
	if t.state == txHolding {
		if err := t.start(true); err != nil {
			return nil, err
		}
	}
	if t.inFlight {
		r, err := t.s.c.reply(StageFinal, t.cfg.Timeouts.DataFinal)
		return t.verdict(r, err)
	}
	if t.enc.Open() {
		t.octets += 2 // the CRLF that the last line lacks
	}
	if err := t.fits(); err != nil {
		return nil, err
	}
	var r smtpwire.Reply
	var err error
	if t.bdat {
		r, err = t.lastChunk()
	} else {
		r, err = t.dot()
	}
	if t.err != nil {
		return nil, t.err
	}
	return t.verdict(r, err)
}

// Abort gives the transaction up. A message of which octets were sent can only
// be withheld by closing the connection; before that the session stays usable.
// After Commit, and the second time, Abort does nothing: it is safe to defer.
func (t *Transaction) Abort() error {
	if t.state == txOver {
		return nil
	}
	if t.state == txStreaming {
		t.giveUp(ErrAborted)
	} else {
		t.over(&SendError{Stage: StageMessage, Err: ErrAborted})
	}
	return nil
}

// cut ends a transaction that its source left by a panic.
func (t *Transaction) cut() {
	if t.state != txOver {
		t.sourceFailed(errors.New("the message source panicked"))
	}
}

// sourceFailed ends a message that did not come whole.
func (t *Transaction) sourceFailed(err error) error {
	if t.err != nil {
		return t.err // the source only hands on what Write told it
	}
	if t.ctx.Err() == nil {
		return t.abandon(fmt.Errorf("message source: %w", err))
	}
	// It failed because the caller gave up, or as good as because of that.
	link := givenUp(StageMessage, t.ctx)
	if !errors.Is(err, t.ctx.Err()) {
		link.err = fmt.Errorf("%w (message source: %w)", link.err, err)
	}
	return t.abandon(link)
}

// abandon ends a message that will not come whole, and its session.
func (t *Transaction) abandon(why error) error {
	if t.s == nil {
		return t.over(&SendError{Stage: StageMessage, Err: why})
	}
	return t.giveUp(why)
}

// giveUp ends a message in the middle: without the final dot the server must
// forget it, and only closing keeps it from being read on.
func (t *Transaction) giveUp(why error) error {
	t.s.c.breakUp(&linkError{stage: StageMessage, text: "message given up", err: why})
	return t.over(&SendError{Stage: StageMessage, Err: why})
}

// errOver answers what comes after the end of a transaction that went well.
var errOver = &SendError{Stage: StageMail, Err: errors.New("the transaction is over")}

// over ends the transaction with err, which is what it says from now on. The
// session goes back to where it came from, broken or not.
func (t *Transaction) over(err *SendError) error {
	if err.Outcome == NotSent {
		t.unsend()
	}
	err.Recipients, err.partial = t.rcpts, t.env.Partial
	t.end(err)
	return err
}

// end gives everything back.
func (t *Transaction) end(err error) {
	t.state, t.err = txOver, err
	if m := t.mem; m != nil {
		t.mem = nil
		if cap(m.hold) <= holdBack+16*feedBlock && cap(m.out) <= holdBack+16*feedBlock {
			m.hold, m.out = m.hold[:0], m.out[:0]
			clear(m.boxes)
			t.cfg.memory.Put(m)
		}
	}
	t.release()
}

// release lets go of the session.
func (t *Transaction) release() {
	s := t.s
	if s == nil {
		return
	}
	t.s = nil
	s.open = nil
	s.c.end()
	if t.from != nil {
		t.from.give(s)
	}
}

// unsend: accepted recipients of a message that was not sent were not sent to.
func (t *Transaction) unsend() {
	for i := range t.rcpts {
		if t.rcpts[i].Status == RecipientSent {
			t.rcpts[i].Status = RecipientUnsent
		}
	}
}
