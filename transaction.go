package submission

import (
	"context"
	"errors"

	"github.com/fe022423/submission/internal/smtpwire"
	"github.com/fe022423/submission/internal/transfer"
)

// Transaction is a mail transaction (RFC 5321, 3.3) that you feed. It is an io.Writer
// and an io.ReaderFrom for the message. Nothing but Commit ends the
// message, so what is cut short is never delivered. It holds back the first
// 64 KiB: a shorter message reaches the server only at Prepare or Commit. Every
// Transaction must be committed or aborted. It is not safe for concurrent use.
type Transaction struct {
	ctx     context.Context // of the one call that the transaction is
	cfg     *config
	lender  lender   // where sessions come from, nil when there is one from the start
	entered bool     // the transaction is a call of the lender
	fresh   bool     // the message started again: only a session that was never used will do
	ranges  ranges   // zero as long as the message goes to all in one transaction
	watch   *watch   // on the call
	s       *Session // nil while there is none
	*memory          // nil when the transaction is over
	state   txState
	result  *Result
	err     error

	rewinder  rewinder // zero when the source cannot be read again
	restASCII bool     // what the source did not give yet has no octet above 0x7f
}

type txState uint8

const (
	txHolding   txState = iota // nothing was sent
	txStreaming                // the envelope was accepted, octets flow
	txPrepared                 // only the last octets are missing
	txOver
)

// memory is what a message needs on its way, used again for the next one.
type memory struct {
	plan    plan
	spool   transfer.Spool
	attempt attempt

	text  []byte // commands
	rcpts []plannedRcpt
	buf   *transfer.Buffers
}

func newMemory() any { return &memory{buf: transfer.NewBuffers()} }

// newTransaction checks the envelope as far as that is possible without a server.
// A transaction that it refuses is over.
func newTransaction(ctx context.Context, cfg *config, env *Envelope, from lender) *Transaction {
	t := openTransaction(ctx, cfg, from)
	t.address(env, nil)
	return t
}

// openTransaction starts a transaction whose envelope is not known yet.
func openTransaction(ctx context.Context, cfg *config, from lender) *Transaction {
	t := &Transaction{ctx: ctx, cfg: cfg, lender: from, watch: cfg.watch(ctx), memory: cfg.memory.Get().(*memory)}
	t.attempt = attempt{plan: &t.plan}
	return t
}

// address gives it its envelope. err is what is known to be wrong with that.
func (t *Transaction) address(env *Envelope, err error) {
	t.watch.begins(len(env.To))
	t.spool = transfer.NewSpool(t.buf, env.Body == BodyBinaryMIME)
	if wrong := t.plan.write(env, t.cfg.From, t.memory); err == nil {
		err = wrong
	}
	if err == nil && t.ctx.Err() != nil {
		err = givenUp(StageMail, t.ctx)
	}
	if err != nil {
		t.refuse(err)
	}
}

// Write adds bytes of the message, with line endings of any kind. An error ends the
// transaction and is a *SendError; only a Write after the end, or after Prepare, gives
// another.
func (t *Transaction) Write(p []byte) (int, error) {
	n := 0
	if t.state == txHolding {
		if n = t.spool.Add(p); !t.spool.Full() {
			return n, nil
		}
		if t.rewinder.source != nil && !smtpwire.Has8Bit(p[n:]) {
			var err error
			block := transfer.GetBlock()
			t.restASCII, err = t.rewinder.restIsASCII(block[:])
			transfer.PutBlock(block)
			if err != nil {
				return n, t.sourceFailed(err)
			}
		}
		t.guard(func() { t.advance(txStreaming) })
	}
	if t.state == txStreaming {
		t.guard(func() { n += t.attempt.Write(p[n:]) })
	}
	return n, t.flows()
}

// flows says why a message that was begun does not go on.
func (t *Transaction) flows() error {
	if t.state == txStreaming && !t.attempt.OK() {
		if t.startOver() {
			return errStartsAgain
		}
		t.finish()
	}
	switch {
	case t.err != nil:
		return t.err
	case t.state != txStreaming:
		return errOver
	}
	return nil
}

// Prepare sends everything but the last bytes of the message: when it returns nil,
// Commit is the next write. Before Prepare returns, nothing can have been accepted, so
// if you keep a journal of what was sent, write your mark between the two. Only Commit
// or Abort may follow. An error ends the transaction and is a *SendError. A prepared
// message waits for the replies to its envelope, also with Options.EarlyData.
func (t *Transaction) Prepare() error {
	switch t.state {
	case txHolding:
		t.spool.SetWhole(true)
		t.guard(func() { t.advance(txPrepared) })
	case txStreaming:
		if t.guard(func() { t.attempt.Prepare(&t.spool) }); t.attempt.OK() {
			t.state = txPrepared
		} else {
			t.finish()
		}
	case txPrepared:
		return nil
	default:
		if t.err == nil {
			return errOver
		}
	}
	return t.err
}

// Commit ends the message and waits for the server's verdict. A nil error means
// that the server accepted it for every recipient. Otherwise the error is a
// *SendError; a Result stands beside it when its Outcome is PartlySent. A second
// Commit returns what the first did.
func (t *Transaction) Commit() (*Result, error) {
	switch t.state {
	case txHolding:
		t.spool.SetWhole(true)
		t.guard(func() { t.advance(txOver) })
	case txStreaming, txPrepared:
		t.guard(func() {
			if t.attempt.Commit(&t.spool); t.spool.Whole() { // it was prepared, and is held back still
				t.tryAgain(txOver)
				t.sendRest()
			}
		})
		if t.startOver() || t.restFromSource() {
			return nil, errStartsAgain
		}
		t.finish()
	}
	return t.result, t.err
}

// guard runs f. When code of the caller's panics in it, a hook for instance, the
// transaction ends with what is true of it then.
func (t *Transaction) guard(f func()) {
	done := false
	defer func() {
		if !done && t.state != txOver {
			t.withhold(errPanicked)
		}
	}()
	f()
	done = true
}

var errPanicked = errors.New("a hook or the message source panicked")

// Abort gives the transaction up. Once bytes of the message were sent, only closing
// the connection keeps the server from waiting for more; before that the session stays
// usable.
// After Commit, and the second time, Abort does nothing: it is safe to defer. The
// error is always nil.
func (t *Transaction) Abort() error {
	switch t.state {
	case txHolding:
		t.refuse(ErrAborted)
	case txStreaming, txPrepared:
		t.withhold(ErrAborted)
	}
	return nil
}

// errOver answers a Write or a Prepare that comes when there is nothing left to
// write to.
var errOver = errors.New(prefix + StageMessage.String() + ": the transaction is over or prepared")

// withhold ends a message that will not come whole. Its session is closed, so
// that the server forgets what it has.
func (t *Transaction) withhold(why error) (err error) {
	t.attempt.cause = why
	t.attempt.Stop = transfer.Withheld
	defer func() { // also when a hook panics
		t.finish()
		err = t.err
	}()
	if t.s != nil {
		t.attempt.GiveUp(t.s.link, transfer.Withheld)
	}
	return nil
}

// refuse ends a transaction that asks for what cannot be had; nothing was sent.
func (t *Transaction) refuse(err error) {
	t.attempt.refused = err
	t.finish()
}

// finish judges the message, and gives everything back. The session goes back to
// where it came from, broken or not.
func (t *Transaction) finish() {
	t.state = txOver
	t.watch.enter(phaseOther)
	t.attempt.elsewhere = t.blamesSession()
	var failed *SendError
	if t.result, failed = t.judge(); failed != nil {
		t.err = failed
	}
	if t.lender != nil {
		t.lender.noteOutcome(failed)
	}
	defer t.freeMemory()
	if t.entered {
		defer t.lender.leave()
	}
	defer t.watch.done()
	t.watch.ends(t)
	t.release()
}

func (t *Transaction) freeMemory() {
	m := t.memory
	t.memory = nil
	m.plan, m.spool, m.attempt = plan{}, transfer.Spool{}, attempt{}
	clear(m.rcpts)
	m.buf.Reset()
	t.cfg.memory.Put(m)
}
