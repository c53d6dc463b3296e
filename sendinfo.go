package submission

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/fe022423/submission/internal/transfer"
)

// phase is what a send spends its time on.
type phase uint8

const (
	phaseOther    phase = iota // reading the source, and what else there is
	phaseWait                  // for a session
	phaseDial                  // opening one
	phaseEnvelope              // MAIL, RCPT, DATA
	phaseMessage               // octets of the message
	phaseFinal                 // the verdict on it
)

// enter ends a phase of a send, whose time it counts, and begins another one. It returns
// the one that it ended. Nobody's watch, and one that no send is of interest to, costs no
// look at the clock.
func (w *watch) enter(next phase) (before phase) {
	if w == nil || !w.sends {
		return phaseOther
	}
	now := time.Now()
	times := [...]*time.Duration{
		phaseWait: &w.send.Waited, phaseDial: &w.send.Dialed, phaseEnvelope: &w.send.Envelope,
		phaseMessage: &w.send.Message, phaseFinal: &w.send.Final,
	}
	if t := times[w.phase]; t != nil {
		*t += now.Sub(w.since)
	}
	before = w.phase
	w.phase, w.since = next, now
	return before
}

// sends counts the sends of the process that somebody looks on at.
var sends atomic.Uint64

// begins notes that a send of so many recipients begins.
func (w *watch) begins(recipients int) {
	if w == nil {
		return
	}
	w.ctx = sendContext{w.ctx, sends.Add(1)}
	if w.sends {
		w.send.Started, w.send.Recipients = time.Now(), recipients
	}
}

// sendContext is what the hooks of a send get.
type sendContext struct {
	context.Context
	number uint64
}

// numberKey is the key of the number of a send.
type numberKey struct{}

func (c sendContext) Value(key any) any {
	if key == (numberKey{}) {
		return c.number
	}
	return c.Context.Value(key)
}

// SendNumber returns the number of the send that a hook of a Trace, or a record of a Logger,
// is about, from the context that it gets. All hooks of one Send, SendFunc or Transaction
// get the same number, and no other send of the process has it: what they tell can be put
// together, also when many run under one context. ok is false for what is not a send, such
// as Ping and Dial.
func SendNumber(ctx context.Context) (number uint64, ok bool) {
	number, ok = ctx.Value(numberKey{}).(uint64)
	return number, ok
}

// wants notes that the send wants a session of the pool.
func (w *watch) wants() {
	if w != nil {
		w.send.Attempts = max(w.send.Attempts, 1)
		w.enter(phaseWait)
	}
}

// meets notes the session that the send met.
func (w *watch) meets(s *Session, reused bool) {
	if w != nil {
		w.send.Attempts = max(w.send.Attempts, 1)
		w.send.Session, w.send.Reused = s.about(), reused
	}
}

// leaves notes how many messages the session has carried by now.
func (w *watch) leaves(s *Session) {
	if w != nil {
		w.send.Session = s.about()
	}
}

// times has the time measured that the message of a transfer takes.
func (w *watch) times(t *transfer.Transfer) {
	if w != nil && w.sends {
		t.OnWritten(func(int64) { w.enter(phaseFinal) })
	}
}

// restarts tells that the message of a transaction starts once more, while its session is
// still the one that it must leave.
func (w *watch) restarts(t *Transaction) {
	if w == nil {
		return
	}
	w.enter(phaseOther)
	w.send.Attempts++
	var why *SendError
	for _, trace := range w.traces {
		if trace.Restart == nil {
			continue
		}
		if why == nil {
			_, why = judge(&t.plan, &t.attempt)
		}
		trace.Restart(w.ctx, t.s.about(), why)
	}
}

// ends notes what became of the send.
func (w *watch) ends(t *Transaction) {
	if w == nil {
		return
	}
	i := &w.send
	i.Result, i.Err = t.result, t.err
	switch i.Bytes = t.attempt.Octets; {
	case t.result != nil:
		i.Bytes = t.result.Bytes
	case !t.attempt.Committed:
		i.Bytes = max(i.Bytes, t.spool.Known())
	}
}

// done tells what became of the send, when it is over.
func (w *watch) done() {
	if w == nil {
		return
	}
	for _, t := range w.traces {
		if t.Done != nil {
			t.Done(w.ctx, w.send)
		}
	}
	if w.logger != nil {
		w.log()
	}
}

// log logs what became of the send.
func (w *watch) log() {
	level, text := slog.LevelInfo, "sent"
	failed, _ := w.send.Err.(*SendError)
	if failed != nil {
		level, text = slog.LevelWarn, "not sent"
	}
	if !w.logger.Enabled(w.ctx, level) {
		return
	}
	i := &w.send
	attrs := make([]slog.Attr, 0, 9)
	attrs = append(attrs, slog.Uint64("session", i.Session.ID), slog.String("server", w.server))
	if failed != nil {
		attrs = append(attrs, slog.String("outcome", failed.Outcome.String()), slog.String("stage", failed.Stage.String()))
	}
	attrs = append(attrs, slog.Duration("duration", time.Since(i.Started)),
		slog.Int("recipients", i.Recipients), slog.Int64("bytes", i.Bytes), slog.Int("attempts", i.Attempts))
	if failed != nil {
		attrs = append(attrs, slog.String("error", failed.Error()))
	} else {
		attrs = append(attrs, slog.String("reply", i.Result.Reply.String()))
	}
	w.logger.LogAttrs(w.ctx, level, text, attrs...)
}
