package outbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/fe022423/submission"
)

// An attempt: Begin, the octets, Prepare; the mark; Commit; the verdict. Before the mark
// nothing can have been accepted, whatever fails, and the mark is stored before anything can be.

// attempt is one try to send a message.
type attempt struct {
	*work
	entry  *entry
	env    submission.Envelope // for those who are still to be sent to
	at     []int               // their indexes
	marked *state              // nil before the mark
	seq    uint64              // of the newest record of this attempt
	tx     *submission.Transaction
}

func (k *work) attempt(ctx context.Context, e *entry) (again time.Duration, err error) {
	a := &attempt{work: k, entry: e, seq: e.seq}
	a.env, a.at = e.state.part(e.message.Envelope)
	if len(a.at) == 0 {
		return 0, errors.New("nobody is left to send it to, and it is not over")
	}
	defer func() {
		if p := recover(); p != nil {
			again, err = a.panicked(p)
		}
	}()
	unsent, err := a.prepare(ctx)
	if unsent != nil || err != nil {
		return a.notSent(unsent, err)
	}
	defer a.tx.Abort()
	if err := a.mark(); err != nil {
		return 0, err
	}
	if err := a.pass("commit"); err != nil {
		return 0, err
	}
	res, failure := a.tx.Commit()
	if err := a.pass("committed"); err != nil {
		return 0, err
	}
	return a.conclude(res, failure)
}

// prepare does all that comes before the mark. Of its two errors the first one speaks of
// the message, the second of the engine or of ctx.
func (a *attempt) prepare(ctx context.Context) (*submission.SendError, error) {
	client, err := a.Client(a.entry.state.Route)
	if err == nil && client == nil {
		err = errors.New("WorkOptions.Client returned nil")
	}
	if err != nil {
		return a.localFailure(err), nil
	}
	if a.Limit != nil {
		if l := a.Limit(a.entry.state.Route); l != nil {
			if err := await(ctx, l, len(a.at)); ctx.Err() != nil {
				return nil, errStopped
			} else if err != nil {
				return a.localFailure(fmt.Errorf("limit: %w", err)), nil
			}
		}
	}
	body, err := a.open(a.send, a.entry)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	source := &counter{r: body}
	if a.tx, err = client.Begin(a.send, a.env); err != nil {
		return asSendError(err), nil
	}
	_, err = a.tx.ReadFrom(source)
	if source.err != nil || err == nil && source.n != a.entry.message.Size {
		a.tx.Abort()
		return nil, fmt.Errorf("the message cannot be read now, %d of %d bytes: %w", source.n, a.entry.message.Size, orEOF(source.err))
	}
	if err == nil {
		err = a.tx.Prepare()
	}
	if err != nil {
		a.tx.Abort()
		return asSendError(err), nil
	}
	return nil, nil
}

func orEOF(err error) error {
	if err == nil {
		return io.ErrUnexpectedEOF
	}
	return err
}

// localFailure is an attempt that ended before it had a transaction.
func (a *attempt) localFailure(err error) *submission.SendError {
	return &submission.SendError{Outcome: submission.NotSent, Stage: submission.StageWait, Err: err}
}

func asSendError(err error) *submission.SendError {
	var failure *submission.SendError
	if errors.As(err, &failure) {
		return failure
	}
	return &submission.SendError{Outcome: submission.NotSent, Stage: submission.StageMessage, Err: err}
}

// mark stores that Commit comes next.
func (a *attempt) mark() error {
	marked, err := a.entry.state.marked(a.name)
	if err != nil {
		return err
	}
	seq, err := a.putState(a.send, marked, a.seq)
	if err != nil {
		return err
	}
	a.marked, a.seq = marked, seq
	return nil
}

// notSent settles an attempt that ended before its mark.
func (a *attempt) notSent(failure *submission.SendError, err error) (time.Duration, error) {
	if err != nil && !errors.Is(err, errStopped) {
		return 0, err
	}
	if err != nil || a.send.Err() != nil { // it was not begun, or Grace cut it off: that is no attempt
		return time.Millisecond, nil
	}
	return a.verdict(a.entry.state, failure)
}

// verdict settles an attempt whose outcome is known and is not that everyone has it.
func (a *attempt) verdict(st *state, failure *submission.SendError) (time.Duration, error) {
	o, again := st.refused(a.at, a.env, failure)
	if again {
		attempts := st.Attempts
		if st.Status != Committing {
			attempts++
		}
		if at := time.Now().Add(a.backoff(attempts, failure)).UTC(); at.Before(a.expiry(st)) {
			o.retryAt = at
		} else {
			o.err = "no time is left for another attempt; " + o.err
		}
	}
	return a.settle(a.seq, st.settled(o))
}

func (a *attempt) backoff(attempt int, failure *submission.SendError) time.Duration {
	return max(a.Backoff(attempt, failure), 0)
}

// conclude stores the verdict of the server. It stays with it until it is stored: the record
// says Committing, and what it says then is uncertain.
func (a *attempt) conclude(res *submission.Result, failure error) (again time.Duration, err error) {
	for wait := 50 * time.Millisecond; ; wait = min(4*wait, a.again) {
		again, err = a.concludeOnce(res, failure)
		if errors.Is(err, errMoved) {
			return a.late(res, failure)
		}
		if err == nil || errors.Is(err, errAbandoned) || a.send.Err() != nil {
			return again, err
		}
		a.tell(EventEngine, a.marked, err)
		select {
		case <-time.After(wait):
		case <-a.send.Done():
		}
	}
}

func (a *attempt) concludeOnce(res *submission.Result, failure error) (time.Duration, error) {
	if failure == nil {
		return a.settle(a.seq, a.marked.settled(a.marked.accepted(a.at, res)))
	}
	var known *submission.SendError
	if errors.As(failure, &known) && known.Outcome != submission.Unknown {
		return a.verdict(a.marked, known)
	}
	if a.send.Err() != nil {
		a.cut.Add(1)
	}
	o := outcome{err: failure.Error()}
	if known != nil {
		o, _ = a.marked.refused(a.at, a.env, known)
	}
	o.retryAt = time.Now().Add(a.backoff(a.marked.Attempts, known)).UTC()
	return a.unsure(a.seq, a.marked, o)
}

// late is a verdict that comes after others took this worker for dead and wrote something. If
// the server accepted the message that wins, however long it takes until it is stored.
// Anything else they know already.
func (a *attempt) late(res *submission.Result, failure error) (time.Duration, error) {
	var known *submission.SendError
	if failure != nil && (!errors.As(failure, &known) || known.Outcome != submission.PartlySent) {
		return 0, errMoved
	}
	for wait := 50 * time.Millisecond; ; wait = min(4*wait, engineDelay) {
		again, err := a.lateOnce(res, known)
		if err == nil || errors.Is(err, errAbandoned) || errors.Is(err, ErrNotFound) || errors.Is(err, errUnreadable) || a.send.Err() != nil {
			return again, err
		}
		if !errors.Is(err, errMoved) {
			a.tell(EventEngine, a.marked, err)
		}
		select {
		case <-time.After(wait):
		case <-a.send.Done():
		}
	}
}

func (a *attempt) lateOnce(res *submission.Result, known *submission.SendError) (time.Duration, error) {
	e, err := a.last(a.writes, a.entry.id)
	if err != nil {
		return 0, err
	}
	if e.bad != nil {
		return 0, fmt.Errorf("%w: %w", errUnreadable, e.bad)
	}
	if e.state.Status == Sent { // perhaps by this worker, and the answer came too late
		return 0, a.finish(e.state, e.seq)
	}
	o := e.state.accepted(a.at, res)
	if known != nil {
		o, _ = e.state.refused(a.at, a.env, known)
	}
	next := e.state.late(o)
	seq, err := a.putState(a.writes, next, e.seq)
	if err != nil {
		return 0, err
	}
	a.tell(EventLate, next, nil)
	if next.Status == Deferred || next.Status == Queued {
		return time.Millisecond, nil
	}
	return 0, a.finish(next, seq)
}

// panicked holds a message whose attempt panicked in code of the caller's. After the mark its
// outcome is not known.
func (a *attempt) panicked(p any) (time.Duration, error) {
	why := fmt.Sprintf("sending it panicked: %v", p)
	a.tell(EventPanic, a.entry.state, errors.New(cut(why, maxErr)))
	if a.tx != nil {
		func() {
			defer func() { recover() }()
			a.tx.Abort()
		}()
	}
	if a.marked != nil {
		return a.unsure(a.seq, a.marked, outcome{err: why, retryAt: time.Now().UTC()})
	}
	next, err := a.entry.state.withheld(why)
	if err != nil {
		return 0, err
	}
	return a.settle(a.seq, next)
}
