package otelsubmission

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/fe022423/submission"
)

// part is a span to be. A hook cannot give the next one a span to put its own under, and
// that of a message is only made at its end, with the time of its beginning. So parts are
// kept until then.
type part struct {
	name       string
	start, end time.Time
	err        error
	attributes []attribute.KeyValue
	parts      []part              // under it
	restart    []trace.EventOption // of the event in it; nil for none
}

// progress adds to a session that is being opened a part that is over now, and that began
// when the one before it was over.
func (i *Instrument) progress(s submission.SessionInfo, p part) {
	i.mu.Lock()
	defer i.mu.Unlock()
	p.start, p.end = s.Started, time.Now()
	parts := i.openings[s.ID]
	if n := len(parts); n > 0 {
		p.start = parts[n-1].end
	}
	i.openings[s.ID] = append(parts, p)
}

// dialed ends the opening of a session. That for a message is kept for its end; any other
// stands alone.
func (i *Instrument) dialed(ctx context.Context, s submission.SessionInfo, err error) {
	now := time.Now()
	i.dials.Record(ctx, now.Sub(s.Started).Seconds(), metric.WithAttributes(append(serverAttributes(s), errorAttributes(err)...)...))
	p := part{name: "smtp dial", start: s.Started, end: now, err: err}
	p.attributes = append(serverAttributes(s), attribute.Int64("smtp.session", int64(s.ID)))

	i.mu.Lock()
	p.parts = i.openings[s.ID]
	delete(i.openings, s.ID)
	m := i.message(ctx)
	if m != nil {
		m.parts = append(m.parts, p)
	}
	i.mu.Unlock()
	if m == nil {
		i.span(ctx, p)
	}
}

// span makes a span and those under it.
func (i *Instrument) span(ctx context.Context, p part, options ...trace.SpanStartOption) {
	options = append(options, trace.WithTimestamp(p.start), trace.WithAttributes(p.attributes...))
	ctx, span := i.tracer.Start(ctx, p.name, options...)
	for _, below := range p.parts {
		i.span(ctx, below)
	}
	if p.restart != nil {
		span.AddEvent("smtp restart", p.restart...)
	}
	fail(span, p.err)
	span.End(trace.WithTimestamp(p.end))
}
