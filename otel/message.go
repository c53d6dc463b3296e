package otelsubmission

import (
	"context"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/fe022423/submission"
)

// message is what is known of a send that is under way, by its number.
type message struct {
	parts   []part
	waiting time.Time           // since when it waits for a session; zero when it does not
	restart []trace.EventOption // of the event that it starts once more; nil when it did not
}

// message returns what is known of the send that ctx is of; nil for what is not a send. The
// Instrument is locked.
func (i *Instrument) message(ctx context.Context) *message {
	n, ok := submission.SendNumber(ctx)
	if !ok {
		return nil
	}
	m := i.messages[n]
	if m == nil {
		m = new(message)
		i.messages[n] = m
	}
	return m
}

// waits notes that a send waits.
func (i *Instrument) waits(ctx context.Context) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if m := i.message(ctx); m != nil {
		m.waiting = time.Now()
	}
}

// waited notes that a send waits no longer.
func (i *Instrument) waited(ctx context.Context) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if m := i.message(ctx); m != nil {
		m.waited()
	}
}

func (m *message) waited() {
	if !m.waiting.IsZero() {
		m.parts = append(m.parts, part{name: "smtp wait", start: m.waiting, end: time.Now()})
		m.waiting = time.Time{}
	}
}

// restarts notes that a send starts once more. That is no failure of it.
func (i *Instrument) restarts(ctx context.Context, s submission.SessionInfo, why error) {
	attributes := append(failureAttributes(why), attribute.Int64("smtp.session", int64(s.ID)))
	i.mu.Lock()
	defer i.mu.Unlock()
	if m := i.message(ctx); m != nil {
		m.restart = []trace.EventOption{trace.WithTimestamp(time.Now()), trace.WithAttributes(attributes...)}
	}
}

// take returns what was kept of a send that is over.
func (i *Instrument) take(ctx context.Context) (m message) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if n, ok := submission.SendNumber(ctx); ok && i.messages[n] != nil {
		m = *i.messages[n]
		delete(i.messages, n)
	}
	m.waited()
	return m
}

// sent makes the spans of a message, and records what it took.
func (i *Instrument) sent(ctx context.Context, s submission.SendInfo) {
	now := time.Now()
	m := i.take(ctx)
	outcome := append(serverAttributes(s.Session), attribute.String("smtp.outcome", outcomeOf(s.Err)))
	labels := slices.Concat(outcome, errorAttributes(s.Err))
	i.sends.Record(ctx, now.Sub(s.Started).Seconds(), metric.WithAttributes(labels...))
	if s.Attempts > 0 {
		i.queues.Record(ctx, s.Waited.Seconds(), metric.WithAttributes(serverAttributes(s.Session)...))
	}
	p := part{name: "smtp send", start: s.Started, end: now, err: s.Err, restart: m.restart, parts: append(m.parts, bodyParts(s, now)...)}
	p.attributes = append(outcome, attribute.Int("smtp.recipients", s.Recipients), attribute.Int64("smtp.bytes", s.Bytes), attribute.Int("smtp.attempts", s.Attempts))
	if s.Session.ID != 0 {
		p.attributes = append(p.attributes, attribute.Int64("smtp.session", int64(s.Session.ID)), attribute.Bool("smtp.session.reused", s.Reused))
	}
	i.span(ctx, p, trace.WithSpanKind(trace.SpanKindClient))
}

// bodyParts are the envelope and the message itself, which follow each other up to the end.
// Of one that started once more it is only known what both attempts took together.
func bodyParts(s submission.SendInfo, end time.Time) (list []part) {
	if s.Attempts != 1 {
		return nil
	}
	begun := end.Add(-s.Message - s.Final)
	if s.Envelope > 0 {
		list = append(list, part{name: "smtp envelope", start: begun.Add(-s.Envelope), end: begun})
	}
	if s.Message+s.Final > 0 {
		list = append(list, part{name: "smtp message", start: begun, end: end})
	}
	return list
}
