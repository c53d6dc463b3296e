package otelsubmission

import (
	"context"
	"crypto/tls"
	"sync"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/fe022423/submission"
)

// scope names this package to providers.
const scope = "github.com/fe022423/submission/otel"

// Instrument makes spans and metrics. One serves any number of Clients and Sessions. It is
// safe for concurrent use.
type Instrument struct {
	tracer trace.Tracer
	meter  metric.Meter

	sends, queues, dials metric.Float64Histogram

	mu       sync.Mutex
	openings map[uint64][]part   // of sessions that are being opened, by their numbers
	messages map[uint64]*message // under way, by the numbers of their sends
}

// Option changes what New makes.
type Option func(*config)

type config struct {
	tracers trace.TracerProvider
	meters  metric.MeterProvider
}

// WithTracerProvider makes the spans with p; without it, with the global provider.
func WithTracerProvider(p trace.TracerProvider) Option {
	return func(c *config) { c.tracers = p }
}

// WithMeterProvider makes the metrics with p; without it, with the global provider.
func WithMeterProvider(p metric.MeterProvider) Option {
	return func(c *config) { c.meters = p }
}

// New returns an Instrument. What a provider has against a metric goes to the error handler
// of OpenTelemetry; that metric is not recorded then.
func New(options ...Option) *Instrument {
	c := config{otel.GetTracerProvider(), otel.GetMeterProvider()}
	for _, o := range options {
		o(&c)
	}
	i := &Instrument{tracer: c.tracers.Tracer(scope), meter: c.meters.Meter(scope), openings: map[uint64][]part{}, messages: map[uint64]*message{}}
	i.sends = i.seconds("smtp.client.send.duration", "Duration of the sending of a message.")
	i.queues = i.seconds("smtp.client.connection.wait_time", "The time that a message waited for a session.")
	i.dials = i.seconds("smtp.client.connection.create_time", "The time it took to open a session.")
	return i
}

// seconds makes a histogram. Its limits are those of the semantic conventions for HTTP, and
// some above: a server may take minutes to look at a message.
func (i *Instrument) seconds(name, description string) metric.Float64Histogram {
	h, err := i.meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(description),
		metric.WithExplicitBucketBoundaries(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60, 180, 600))
	if err != nil {
		otel.Handle(err)
	}
	return h
}

// Trace returns the hooks for Options.Trace or submission.WithTrace. It does not ask for
// the lines of a session, which would cost each message something.
func (i *Instrument) Trace() *submission.Trace {
	return &submission.Trace{
		Wait:      func(ctx context.Context, _ submission.Stats) { i.waits(ctx) },
		DialStart: func(ctx context.Context, _ string) { i.waited(ctx) },
		Reused:    func(ctx context.Context, _ submission.SessionInfo) { i.waited(ctx) },
		TLSDone: func(_ context.Context, s submission.SessionInfo, state tls.ConnectionState) {
			i.progress(s, part{name: "smtp tls", attributes: tlsAttributes(state)})
		},
		AuthDone: func(_ context.Context, s submission.SessionInfo, mechanism string, err error) {
			i.progress(s, part{name: "smtp auth", err: err, attributes: authAttributes(mechanism)})
		},
		DialDone: i.dialed,
		Restart:  i.restarts,
		Done:     i.sent,
	}
}
