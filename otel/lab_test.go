package otelsubmission_test

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/fe022423/submission"
	otelsubmission "github.com/fe022423/submission/otel"
	"github.com/fe022423/submission/smtptest"
)

// lab is an instrumented Client of a fake server, in memory.
type lab struct {
	*submission.Client
	instrument *otelsubmission.Instrument
	spans      *tracetest.InMemoryExporter
	metrics    *metric.ManualReader
	tracer     trace.Tracer
	began      time.Time
}

const host = "mail.test.example"

// inLab runs a test in a bubble of testing/synctest. The server takes a second for each of
// the commands in slow; answer may answer others.
func inLab(t *testing.T, name, slow string, answer func(smtptest.Command) *smtptest.Answer, set func(*submission.Options), f func(*testing.T, *lab)) {
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			srv := smtptest.NewServer(&smtptest.Config{
				Accounts: map[string]string{"user": "a long password"}, Mechanisms: []string{"PLAIN"}, Extensions: []string{"PIPELINING"},
				Hook: func(c smtptest.Command) *smtptest.Answer {
					if slices.Contains(strings.Fields(slow), c.Verb) {
						time.Sleep(time.Second)
					}
					if answer != nil {
						return answer(c)
					}
					return nil
				},
			})
			defer srv.Close()
			l := &lab{spans: tracetest.NewInMemoryExporter(), metrics: metric.NewManualReader(), began: time.Now()}
			spans := sdk.NewTracerProvider(sdk.WithSyncer(l.spans))
			l.tracer = spans.Tracer("test")
			l.instrument = otelsubmission.New(otelsubmission.WithTracerProvider(spans), otelsubmission.WithMeterProvider(metric.NewMeterProvider(metric.WithReader(l.metrics))))
			o := &submission.Options{
				TLSConfig: srv.ClientTLSConfig(), LocalName: "client.test.example", Trace: l.instrument.Trace(),
				Auth:   submission.Password{Username: "user", Password: "a long password"},
				Dialer: dialFunc(func(context.Context, string, string) (net.Conn, error) { return srv.Pipe(), nil }),
			}
			o.TLSConfig.ServerName = "127.0.0.1"
			if set != nil {
				set(o)
			}
			c, err := submission.New(host, o)
			if err != nil {
				t.Fatal(err)
			}
			l.Client = c
			f(t, l)
			c.Close()
			l.secrecy(t)
			if n := l.instrument.Held(); n != 0 {
				t.Errorf("something is kept of %d that are over", n)
			}
		})
	})
}

type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

func (f dialFunc) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return f(ctx, network, addr)
}

// under calls f with a context that has a span.
func (l *lab) under(name string, f func(context.Context)) {
	ctx, span := l.tracer.Start(context.Background(), name)
	f(ctx)
	span.End()
}

const text = "Subject: x\r\n\r\ntext\r\n"

func envelope(to ...string) submission.Envelope {
	return submission.Envelope{From: "a@test.example", To: submission.To(to...)}
}

// send sends a message under a span with a name.
func (l *lab) send(name string, to ...string) (err error) {
	l.under(name, func(ctx context.Context) {
		_, err = l.Send(ctx, envelope(to...), strings.NewReader(text))
	})
	return err
}

// tree is all spans so far, each under its parent and with its events, with the times since the test began, what
// failed, and the attributes but for those that are always another value.
func (l *lab) tree() string {
	list := l.spans.GetSpans()
	slices.SortStableFunc(list, func(a, b tracetest.SpanStub) int {
		return cmp.Or(a.StartTime.Compare(b.StartTime), a.EndTime.Compare(b.EndTime), cmp.Compare(b.Name, a.Name))
	})
	var b strings.Builder
	var write func(parent trace.SpanID, indent string)
	write = func(parent trace.SpanID, indent string) {
		for _, s := range list {
			if s.Parent.SpanID() != parent {
				continue
			}
			fmt.Fprintf(&b, "%s%s %v-%v", indent, s.Name, s.StartTime.Sub(l.began), s.EndTime.Sub(l.began))
			if s.Status.Description != "" {
				fmt.Fprintf(&b, " %v at %s", s.Status.Code, s.Status.Description)
			}
			for _, a := range s.Attributes {
				if a.Key != "smtp.session" && a.Key != "tls.cipher" {
					fmt.Fprintf(&b, " %s=%s", a.Key, a.Value.String())
				}
			}
			b.WriteString("\n")
			for _, e := range s.Events {
				fmt.Fprintf(&b, "%s  * %s %v", indent, e.Name, e.Time.Sub(l.began))
				for _, a := range e.Attributes {
					if a.Key != "smtp.session" {
						fmt.Fprintf(&b, " %s=%s", a.Key, a.Value.String())
					}
				}
				b.WriteString("\n")
			}
			write(s.SpanContext.SpanID(), indent+"  ")
		}
	}
	write(trace.SpanID{}, "")
	return b.String()
}

func (l *lab) check(t *testing.T, want string) {
	t.Helper()
	synctest.Wait()
	want = strings.TrimPrefix(strings.ReplaceAll(want, "\t", ""), "\n") + "\n"
	want = strings.ReplaceAll(want, "@server", "server.address=mail.test.example server.port=587")
	want = strings.ReplaceAll(want, "@tls", "tls.protocol.name=tls tls.protocol.version=1.3")
	if got := l.tree(); got != want {
		t.Errorf("the spans are\n%s\nwant\n%s", got, want)
	}
	l.secrecy(t)
	l.spans.Reset()
}

// secrecy checks that no address and no secret is in a span or a metric.
func (l *lab) secrecy(t *testing.T) {
	t.Helper()
	for _, s := range l.spans.GetSpans() {
		if all := fmt.Sprintf("%+v", s); strings.Contains(all, "@") || strings.Contains(all, "test.example>") || strings.Contains(all, "password") {
			t.Errorf("a span has what it must not: %s", all)
		}
	}
	if all := fmt.Sprintf("%+v", l.collect(t)); strings.Contains(all, "@") || strings.Contains(all, "password") {
		t.Errorf("a metric has what it must not: %s", all)
	}
}

func (l *lab) collect(t *testing.T) (all metricdata.ResourceMetrics) {
	t.Helper()
	if err := l.metrics.Collect(context.Background(), &all); err != nil {
		t.Fatal(err)
	}
	return all
}
