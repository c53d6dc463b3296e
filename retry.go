package submission

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/fe022423/submission/internal/link"
)

// Remaining returns env with the recipients for whom it is worth to try again, their
// options kept. env must be the envelope that was sent. It returns false when there is no
// such recipient, when the Outcome is Unknown, and when env has other recipients than e.
//
// With Envelope.Partial these are the recipients that are RecipientUnsent, as long as
// Temporary is true. Without it what was all or nothing stays so: it is the whole envelope,
// or nobody if a recipient is RecipientInvalid. Where some have the message already, as with
// Options.LMTP they may, it is those that are unsent, with or without Partial: nobody gets it
// twice.
func (e *SendError) Remaining(env Envelope) (Envelope, bool) {
	at := e.remaining(&env)
	if at == nil {
		return Envelope{}, false
	}
	return env.part(at), true
}

// remaining returns the indexes of those recipients, nil when there are none.
func (e *SendError) remaining(env *Envelope) []int {
	same := slices.EqualFunc(e.Recipients, env.To, func(r RecipientResult, to Recipient) bool { return r.Addr == to.Addr })
	if !e.Temporary() || !same { // Temporary is false for Unknown
		return nil
	}
	isSent := func(r RecipientResult) bool { return r.Status == RecipientSent }
	whole := !env.Partial && !slices.ContainsFunc(e.Recipients, isSent)
	var at []int
	for i := range e.Recipients {
		if e.Recipients[i].Status == RecipientUnsent {
			at = append(at, i)
		} else if whole {
			return nil
		}
	}
	return at
}

// part returns the envelope for the recipients with the indexes at.
func (env Envelope) part(at []int) Envelope {
	all := env.To
	env.To = make([]Recipient, len(at))
	for i, n := range at {
		env.To[i] = all[n]
	}
	return env
}

// clone returns an envelope that shares nothing with env.
func (env Envelope) clone() Envelope {
	env.To, env.Params = slices.Clone(env.To), slices.Clone(env.Params)
	for i := range env.To {
		env.To[i].Params = slices.Clone(env.To[i].Params)
	}
	return env
}

// Retry sends a message again when that may help: a few times, within one call. For hours
// and days, and for what is to survive a restart of the program, keep messages in a queue.
// The zero value tries three times. It may be used by several goroutines at once if Backoff
// may.
type Retry struct {
	// Attempts is how often the message is tried in all; 0 means 3. With a negative number
	// Send fails with an *OptionError in its *SendError, and nothing is sent.
	Attempts int
	// Backoff returns the time to wait before the next attempt. attempt is the number of
	// the one that failed, from 1 on; err is what Send would return if there were no
	// other. A time that is not positive is no wait. Nil waits for a second after the first
	// attempt, twice as long after each further one, up to an hour; each of these waits is
	// shortened at random, by up to a half, so that many senders do not come back at once.
	Backoff func(attempt int, err *SendError) time.Duration
}

const (
	defaultAttempts = 3
	firstBackoff    = time.Second
	maxBackoff      = time.Hour // as long as a server's greylisting may take
)

// Send sends the message that open opens through c, and sends it again to those whom
// SendError.Remaining names, until everyone has it, nobody remains, or all attempts are made.
// An attempt whose outcome is Unknown is the last.
//
// Result and SendError speak of the whole envelope over all attempts, in the order of env.To:
// what was sent stays sent, whatever a later attempt does, and a recipient that was refused
// for good stays RecipientInvalid. Stage, Reply and the rest of the causes are those of the
// last attempt. With PartlySent there is a Result beside the error; with Unknown some may be
// RecipientSent, by earlier attempts. Reply and Bytes of the Result are those of the last
// attempt that the server accepted.
//
// open is called once for each attempt, and what it returns is closed at its end; an error
// of Close means nothing. An error of open is the last attempt: NotSent, or PartlySent when
// an earlier one sent. When ctx is done, also in a wait, Send returns at once, with the error
// of the last attempt and that of ctx. Each attempt is a send of its own for Stats and for
// Shutdown, which does not wait for further ones: they fail with ErrClosed when their time
// comes. env is copied.
func (r Retry) Send(ctx context.Context, c *Client, env Envelope, open func() (io.ReadCloser, error)) (*Result, error) {
	env = env.clone()
	if r.Attempts < 0 {
		return nil, c.refuse(ctx, &env, &OptionError{"Retry.Attempts", errors.New("negative")})
	}
	if open == nil {
		return nil, c.refuse(ctx, &env, errNoSource)
	}
	attempts := r.Attempts
	if attempts == 0 {
		attempts = defaultAttempts
	}
	all, at := newMerged(&env), make([]int, len(env.To))
	for i := range at {
		at[i] = i
	}
	for attempt := 1; ; attempt++ {
		part := env.part(at)
		sent, err := c.begin(ctx, &part).readOpened(open)
		unsent, _ := err.(*SendError)
		all.add(at, sent, unsent)
		res, failed := all.verdict()
		if failed == nil {
			return res, nil
		}
		if at = failed.remaining(&env); at == nil || attempt == attempts {
			return res, failed
		}
		if ctx.Err() == nil && wait(ctx, r.backoff(attempt, failed)) {
			continue
		}
		if !errors.Is(failed, ctx.Err()) {
			all.ended = &linkError{stage: StageWait, text: "given up by the caller before the next attempt", err: link.CauseOf(ctx)}
			res, failed = all.verdict()
		}
		return res, failed
	}
}

// backoff is the time to wait after an attempt.
func (r Retry) backoff(attempt int, err *SendError) time.Duration {
	if r.Backoff != nil {
		return r.Backoff(attempt, err)
	}
	d := firstBackoff
	for ; attempt > 1 && d < maxBackoff; attempt-- {
		d *= 2
	}
	d = min(d, maxBackoff)
	return d - rand.N(d/2+1)
}

// wait waits for d. It returns false when ctx is done first.
func wait(ctx context.Context, d time.Duration) bool {
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	return ctx.Err() == nil
}

// refuse ends a call that was never begun.
func (c *Client) refuse(ctx context.Context, env *Envelope, err error) error {
	t := c.begin(ctx, env)
	if t.err == nil {
		t.refuse(err)
	}
	return t.err
}
