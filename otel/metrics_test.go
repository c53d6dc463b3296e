package otelsubmission_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// table is what the metrics say, a line for each set of attributes: the name, the unit, the
// attributes but for those of the server, and the values or how many there were and their sum.
func (l *lab) table(t *testing.T) string {
	t.Helper()
	var list []string
	add := func(m metricdata.Metrics, attributes attribute.Set, format string, args ...any) {
		text := m.Name + " " + m.Unit
		for _, a := range attributes.ToSlice() {
			if !strings.HasPrefix(string(a.Key), "server.") && a.Key != "network.transport" {
				text += fmt.Sprintf(" %s=%s", a.Key, a.Value.String())
			}
		}
		list = append(list, text+": "+fmt.Sprintf(format, args...))
	}
	for _, s := range l.collect(t).ScopeMetrics {
		if s.Scope.Name != "github.com/fe022423/submission/otel" {
			t.Errorf("scope %q", s.Scope.Name)
		}
		for _, m := range s.Metrics {
			if m.Description == "" {
				t.Errorf("%s has no description", m.Name)
			}
			switch data := m.Data.(type) {
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					add(m, p.Attributes, "%d in %v s", p.Count, p.Sum)
				}
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					add(m, p.Attributes, "%d, monotonic %v", p.Value, data.IsMonotonic)
				}
			default:
				t.Errorf("%s is a %T", m.Name, data)
			}
		}
	}
	slices.Sort(list)
	return strings.Join(list, "\n")
}

func (l *lab) checkMetrics(t *testing.T, want string) {
	t.Helper()
	synctest.Wait()
	want = strings.TrimSpace(strings.ReplaceAll(want, "\t", ""))
	if got := l.table(t); got != want {
		t.Errorf("the metrics are\n%s\nwant\n%s", got, want)
	}
}

// The durations of messages, by what became of them.
func TestDurations(t *testing.T) {
	refused := func(c smtptest.Command) *smtptest.Answer {
		switch {
		case c.Verb == "RCPT" && strings.Contains(c.Line, "nobody"):
			return &smtptest.Answer{Reply: "550 5.1.1 who"}
		case c.Verb == "MESSAGE" && slices.Contains(c.Message.To, "lost@test.example"):
			return &smtptest.Answer{Close: true}
		}
		return nil
	}
	inLab(t, "by outcome", "AUTH MESSAGE", refused, nil, func(t *testing.T, l *lab) {
		for range 3 {
			l.send("x", "b@test.example")
		}
		l.send("x", "nobody@test.example")
		l.send("x", "lost@test.example")
		l.send("x", "not an address")
		l.under("x", func(ctx context.Context) {
			env := envelope("b@test.example", "nobody@test.example")
			env.Partial = true
			l.Send(ctx, env, strings.NewReader(text))
		})
		gone, cancel := context.WithCancel(context.Background())
		cancel()
		l.Send(gone, envelope("b@test.example"), strings.NewReader(text))
		l.Close()
		l.send("x", "b@test.example")
		l.checkMetrics(t, `
			smtp.client.connection.create_time s: 2 in 2 s
			smtp.client.connection.wait_time s: 6 in 0 s
			smtp.client.send.duration s error.type=550 smtp.outcome=not sent: 1 in 0 s
			smtp.client.send.duration s error.type=550 smtp.outcome=partly sent: 1 in 2 s
			smtp.client.send.duration s error.type=address smtp.outcome=not sent: 1 in 0 s
			smtp.client.send.duration s error.type=canceled smtp.outcome=not sent: 1 in 0 s
			smtp.client.send.duration s error.type=closed smtp.outcome=not sent: 1 in 0 s
			smtp.client.send.duration s error.type=connection smtp.outcome=outcome unknown: 1 in 1 s
			smtp.client.send.duration s smtp.outcome=sent: 3 in 4 s`)
	})
	inLab(t, "of sessions that are not opened", "AUTH", nil, func(o *submission.Options) {
		o.Auth = submission.Password{Username: "user", Password: "another password"}
	}, func(t *testing.T, l *lab) {
		l.Ping(context.Background())
		l.checkMetrics(t, `
			smtp.client.connection.create_time s error.type=535: 1 in 1 s`)
	})
}

// The figures of a Client, before, during and after, until they are not wanted any more.
func TestObserve(t *testing.T) {
	inLab(t, "", "MESSAGE QUIT", nil, func(o *submission.Options) { o.Pool.MaxSessions, o.Pool.MaxMessages = 2, 2 }, func(t *testing.T, l *lab) {
		stop, err := l.instrument.Observe(l.Client, attribute.String("pool", "a"))
		if err != nil {
			t.Fatal(err)
		}
		figures := func(idle, used, closing, pending, restarts int) string {
			return fmt.Sprintf(`
				smtp.client.connection.count {connection} pool=a smtp.client.connection.state=closing: %d, monotonic false
				smtp.client.connection.count {connection} pool=a smtp.client.connection.state=idle: %d, monotonic false
				smtp.client.connection.count {connection} pool=a smtp.client.connection.state=used: %d, monotonic false
				smtp.client.connection.max {connection} pool=a: 2, monotonic false
				smtp.client.connection.pending_requests {request} pool=a: %d, monotonic false
				smtp.client.message.restarts {restart} pool=a: %d, monotonic true`, closing, idle, used, pending, restarts)
		}
		l.checkMetrics(t, figures(0, 0, 0, 0, 0))
		var done sync.WaitGroup
		for range 5 {
			done.Go(func() { l.Send(context.Background(), envelope("b@test.example"), strings.NewReader(text)) })
		}
		synctest.Wait()
		if got := l.table(t); !strings.Contains(got, "pending_requests {request} pool=a: 3") || !strings.Contains(got, "state=used: 2") || !strings.Contains(got, "state=closing: 0") {
			t.Error(got)
		}
		done.Wait()
		time.Sleep(10 * time.Second)
		got := l.table(t)
		if !strings.Contains(got, "state=idle: 1") || !strings.Contains(got, "pending_requests {request} pool=a: 0") {
			t.Error(got)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		if got := l.table(t); strings.Contains(got, "connection.count") {
			t.Errorf("observed after all:\n%s", got)
		}
	})
	inLab(t, "a goodbye", "QUIT", nil, func(o *submission.Options) { o.Pool.MaxMessages = 1 }, func(t *testing.T, l *lab) {
		if _, err := l.instrument.Observe(l.Client); err != nil {
			t.Fatal(err)
		}
		l.send("x", "b@test.example")
		synctest.Wait()
		for _, want := range []string{"state=closing: 1", "state=idle: 0", "state=used: 0"} {
			if got := l.table(t); !strings.Contains(got, want) {
				t.Errorf("%s is not in\n%s", want, got)
			}
		}
	})
	tooMany := func(c smtptest.Command) *smtptest.Answer {
		if c.Verb == "CONNECT" && c.Session == 2 {
			return &smtptest.Answer{Reply: "421 too many", Close: true}
		}
		return nil
	}
	inLab(t, "the limit of the server", "MESSAGE", tooMany, nil, func(t *testing.T, l *lab) {
		if _, err := l.instrument.Observe(l.Client); err != nil {
			t.Fatal(err)
		}
		var done sync.WaitGroup
		for range 2 {
			done.Go(func() { l.Send(context.Background(), envelope("b@test.example"), strings.NewReader(text)) })
			synctest.Wait()
		}
		done.Wait()
		got := l.table(t)
		if !strings.Contains(got, "server_limit {connection}: 1") || !strings.Contains(got, "create_time s error.type=421: 1 in") {
			t.Error(got)
		}
	})
}
