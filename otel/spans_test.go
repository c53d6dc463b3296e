package otelsubmission_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// What a message is made of, first on a session of its own, then on one that was used.
func TestSpans(t *testing.T) {
	inLab(t, "fresh, then reused", "CONNECT AUTH MAIL MESSAGE", nil, nil, func(t *testing.T, l *lab) {
		l.send("first", "b@test.example")
		l.check(t, `
			first 0s-4s
			  smtp send 0s-4s @server network.transport=pipe smtp.outcome=sent smtp.recipients=1 smtp.bytes=20 smtp.attempts=1 smtp.session.reused=false
			    smtp dial 0s-2s @server network.transport=pipe
			      smtp tls 0s-1s @tls tls.resumed=false
			      smtp auth 1s-2s smtp.auth.mechanism=PLAIN
			    smtp envelope 2s-3s
			    smtp message 3s-4s`)
		l.send("second", "b@test.example", "c@test.example")
		l.check(t, `
			second 4s-6s
			  smtp send 4s-6s @server network.transport=pipe smtp.outcome=sent smtp.recipients=2 smtp.bytes=20 smtp.attempts=1 smtp.session.reused=true
			    smtp envelope 4s-5s
			    smtp message 5s-6s`)
	})

	refused := func(c smtptest.Command) *smtptest.Answer {
		switch {
		case c.Verb == "RCPT" && strings.Contains(c.Line, "nobody"):
			return &smtptest.Answer{Reply: "550 5.1.1 who is nobody@test.example"}
		case c.Verb == "MESSAGE" && slices.Contains(c.Message.To, "lost@test.example"):
			return &smtptest.Answer{Close: true}
		}
		return nil
	}
	inLab(t, "not sent", "RCPT", refused, nil, func(t *testing.T, l *lab) {
		l.Ping(context.Background())
		l.send("refused", "nobody@test.example")
		l.under("partly", func(ctx context.Context) {
			env := envelope("b@test.example", "nobody@test.example")
			env.Partial = true
			l.Send(ctx, env, strings.NewReader(text))
		})
		l.send("lost", "lost@test.example")
		l.send("refused here", "not an address")
		l.check(t, `
			smtp dial 0s-0s @server network.transport=pipe
			  smtp tls 0s-0s @tls tls.resumed=false
			  smtp auth 0s-0s smtp.auth.mechanism=PLAIN
			refused 0s-1s
			  smtp send 0s-1s Error at RCPT @server network.transport=pipe smtp.outcome=not sent smtp.recipients=1 smtp.bytes=20 smtp.attempts=1 smtp.session.reused=true error.type=550 smtp.stage=RCPT
			    smtp envelope 0s-1s
			partly 1s-3s
			  smtp send 1s-3s Error at RCPT @server network.transport=pipe smtp.outcome=partly sent smtp.recipients=2 smtp.bytes=20 smtp.attempts=1 smtp.session.reused=true error.type=550 smtp.stage=RCPT
			    smtp envelope 1s-3s
			lost 3s-4s
			  smtp send 3s-4s Error at final reply @server network.transport=pipe smtp.outcome=outcome unknown smtp.recipients=1 smtp.bytes=20 smtp.attempts=1 smtp.session.reused=true error.type=connection smtp.stage=final reply
			    smtp envelope 3s-4s
			refused here 4s-4s
			  smtp send 4s-4s Error at RCPT smtp.outcome=not sent smtp.recipients=1 smtp.bytes=0 smtp.attempts=0 error.type=address smtp.stage=RCPT`)
	})
}

// A session that is opened for something else than a message has a span under that of the
// call that opens it. One that cannot be opened is part of the message that it was for.
func TestDialSpans(t *testing.T) {
	inLab(t, "Ping, then a message", "AUTH MESSAGE", nil, nil, func(t *testing.T, l *lab) {
		l.under("ping", func(ctx context.Context) { l.Ping(ctx) })
		l.check(t, `
			ping 0s-1s
			  smtp dial 0s-1s @server network.transport=pipe
			    smtp tls 0s-0s @tls tls.resumed=false
			    smtp auth 0s-1s smtp.auth.mechanism=PLAIN`)
		l.send("message", "b@test.example")
		l.check(t, `
			message 1s-2s
			  smtp send 1s-2s @server network.transport=pipe smtp.outcome=sent smtp.recipients=1 smtp.bytes=20 smtp.attempts=1 smtp.session.reused=true
			    smtp message 1s-2s`)
	})
	inLab(t, "a session of one's own", "AUTH MESSAGE", nil, nil, func(t *testing.T, l *lab) {
		l.under("work", func(ctx context.Context) {
			s, err := l.Dial(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				s.Send(ctx, envelope("b@test.example"), strings.NewReader(text))
			}
			s.Close()
		})
		l.check(t, `
			work 0s-3s
			  smtp dial 0s-1s @server network.transport=pipe
			    smtp tls 0s-0s @tls tls.resumed=false
			    smtp auth 0s-1s smtp.auth.mechanism=PLAIN
			  smtp send 1s-2s @server network.transport=pipe smtp.outcome=sent smtp.recipients=1 smtp.bytes=20 smtp.attempts=1 smtp.session.reused=false
			    smtp message 1s-2s
			  smtp send 2s-3s @server network.transport=pipe smtp.outcome=sent smtp.recipients=1 smtp.bytes=20 smtp.attempts=1 smtp.session.reused=true
			    smtp message 2s-3s`)
	})
	inLab(t, "credentials refused", "AUTH", nil, func(o *submission.Options) {
		o.Auth = submission.Password{Username: "user", Password: "another password"}
	}, func(t *testing.T, l *lab) {
		l.send("message", "b@test.example")
		l.check(t, `
			message 0s-1s
			  smtp send 0s-1s Error at AUTH @server network.transport=pipe smtp.outcome=not sent smtp.recipients=1 smtp.bytes=20 smtp.attempts=1 smtp.session.reused=false error.type=535 smtp.stage=AUTH
			    smtp dial 0s-1s Error at AUTH @server network.transport=pipe error.type=535 smtp.stage=AUTH
			      smtp tls 0s-0s @tls tls.resumed=false
			      smtp auth 0s-1s Error at AUTH smtp.auth.mechanism=PLAIN error.type=535 smtp.stage=AUTH`)
	})
	inLab(t, "no connection", "", nil, func(o *submission.Options) {
		o.Dialer = dialFunc(func(context.Context, string, string) (net.Conn, error) {
			time.Sleep(time.Second)
			return nil, errors.New("no route to a@test.example")
		})
	}, func(t *testing.T, l *lab) {
		l.under("ping", func(ctx context.Context) { l.Ping(ctx) })
		l.check(t, `
			ping 0s-1s
			  smtp dial 0s-1s Error at dial @server error.type=connection smtp.stage=dial`)
	})
	inLab(t, "not trusted", "", nil, func(o *submission.Options) { o.TLSConfig = nil }, func(t *testing.T, l *lab) {
		l.under("ping", func(ctx context.Context) { l.Ping(ctx) })
		l.check(t, `
			ping 0s-0s
			  smtp dial 0s-0s Error at TLS handshake @server network.transport=pipe error.type=tls smtp.stage=TLS handshake`)
	})
}

// A message that waits, one that gives up waiting, and one that starts once more.
func TestSpansOfThePool(t *testing.T) {
	one := func(o *submission.Options) { o.Pool.MaxSessions, o.Pool.MaxMessages = 1, 2 }
	hold := func(t *testing.T, l *lab) *submission.Transaction {
		tx, err := l.Begin(context.Background(), envelope("b@test.example"))
		if err == nil {
			err = tx.Prepare()
		}
		if err != nil {
			t.Fatal(err)
		}
		return tx
	}
	inLab(t, "waits", "MESSAGE", nil, one, func(t *testing.T, l *lab) {
		tx := hold(t, l)
		l.spans.Reset()
		var done sync.WaitGroup
		done.Go(func() { l.send("waits", "b@test.example") })
		synctest.Wait()
		short, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		done.Go(func() { l.Send(short, envelope("b@test.example"), strings.NewReader(text)) })
		time.Sleep(2 * time.Second)
		tx.Commit()
		done.Wait()
		l.check(t, `
			smtp send 0s-1s Error at wait smtp.outcome=not sent smtp.recipients=1 smtp.bytes=20 smtp.attempts=1 error.type=timeout smtp.stage=wait
			  smtp wait 0s-1s
			smtp send 0s-3s @server network.transport=pipe smtp.outcome=sent smtp.recipients=1 smtp.bytes=0 smtp.attempts=1 smtp.session.reused=false
			  smtp dial 0s-0s @server network.transport=pipe
			    smtp tls 0s-0s @tls tls.resumed=false
			    smtp auth 0s-0s smtp.auth.mechanism=PLAIN
			  smtp message 0s-3s
			waits 0s-4s
			  smtp send 0s-4s @server network.transport=pipe smtp.outcome=sent smtp.recipients=1 smtp.bytes=20 smtp.attempts=1 smtp.session.reused=true
			    smtp wait 0s-3s
			    smtp message 3s-4s`)
	})
	inLab(t, "waits until it may open one", "QUIT AUTH MESSAGE", nil, func(o *submission.Options) {
		o.Pool.MaxSessions, o.Pool.MaxMessages = 1, 1
	}, func(t *testing.T, l *lab) {
		tx := hold(t, l)
		var done sync.WaitGroup
		done.Go(func() { l.send("waits", "b@test.example") })
		time.Sleep(2 * time.Second)
		tx.Commit()
		l.spans.Reset()
		done.Wait()
		l.check(t, `
			waits 1s-6s
			  smtp send 1s-6s @server network.transport=pipe smtp.outcome=sent smtp.recipients=1 smtp.bytes=20 smtp.attempts=1 smtp.session.reused=false
			    smtp wait 1s-4s
			    smtp dial 4s-5s @server network.transport=pipe
			      smtp tls 4s-4s @tls tls.resumed=false
			      smtp auth 4s-5s smtp.auth.mechanism=PLAIN
			    smtp message 5s-6s`)
	})
	tooMany := func(c smtptest.Command) *smtptest.Answer {
		if c.Verb == "CONNECT" && c.Session == 2 {
			return &smtptest.Answer{Reply: "421 too many", Close: true}
		}
		return nil
	}
	inLab(t, "is refused a session and waits for another one", "CONNECT MESSAGE", tooMany, nil, func(t *testing.T, l *lab) {
		tx := hold(t, l)
		var done sync.WaitGroup
		done.Go(func() { l.send("refused", "b@test.example") })
		time.Sleep(2 * time.Second)
		tx.Commit()
		l.spans.Reset()
		done.Wait()
		l.check(t, `
			refused 1s-5s
			  smtp send 1s-5s @server network.transport=pipe smtp.outcome=sent smtp.recipients=1 smtp.bytes=20 smtp.attempts=1 smtp.session.reused=true
			    smtp dial 1s-2s Error at greeting @server network.transport=pipe error.type=421 smtp.stage=greeting
			    smtp wait 2s-4s
			    smtp message 4s-5s`)
	})
	enough := func(c smtptest.Command) *smtptest.Answer {
		if c.Verb == "MAIL" && c.Session == 1 && strings.Contains(c.Line, "again@") {
			return &smtptest.Answer{Reply: "452 4.4.5 enough"}
		}
		return nil
	}
	inLab(t, "starts once more", "MAIL AUTH", enough, nil, func(t *testing.T, l *lab) {
		l.send("first", "b@test.example")
		l.spans.Reset()
		env := envelope("b@test.example")
		env.From = "again@test.example"
		l.under("again", func(ctx context.Context) { l.Send(ctx, env, strings.NewReader(text)) })
		l.check(t, `
			again 2s-5s
			  smtp send 2s-5s @server network.transport=pipe smtp.outcome=sent smtp.recipients=1 smtp.bytes=20 smtp.attempts=2 smtp.session.reused=false
			    * smtp restart 3s error.type=452 smtp.stage=MAIL
			    smtp dial 3s-4s @server network.transport=pipe
			      smtp tls 3s-3s @tls tls.resumed=false
			      smtp auth 3s-4s smtp.auth.mechanism=PLAIN`)
	})
}

// Many messages at once, each under a span of its own: no span gets under one of another.
func TestSpansOfManySends(t *testing.T) {
	inLab(t, "", "MESSAGE AUTH", nil, func(o *submission.Options) { o.Pool.MaxSessions, o.Pool.MaxMessages = 4, 3 }, func(t *testing.T, l *lab) {
		const n = 40
		var done sync.WaitGroup
		for i := range n {
			done.Go(func() {
				if err := l.send(fmt.Sprint("caller ", i), "b@test.example"); err != nil {
					t.Error(err)
				}
			})
		}
		done.Wait()
		l.Close()
		spans := map[trace.SpanID]tracetest.SpanStub{}
		for _, s := range l.spans.GetSpans() {
			spans[s.SpanContext.SpanID()] = s
		}
		count := map[string]int{}
		for _, s := range spans {
			count[s.Name]++
			parent := spans[s.Parent.SpanID()]
			wants := map[string]string{"smtp send": "caller", "smtp dial": "smtp send", "smtp tls": "smtp dial", "smtp auth": "smtp dial", "smtp message": "smtp send", "smtp wait": "smtp send"}[s.Name]
			if !strings.HasPrefix(parent.Name, wants) || s.Parent.IsValid() && s.SpanContext.TraceID() != parent.SpanContext.TraceID() {
				t.Errorf("%s is under %s", s.Name, parent.Name)
			}
			if (s.SpanKind == trace.SpanKindClient) != (s.Name == "smtp send") {
				t.Errorf("%s has kind %v", s.Name, s.SpanKind)
			}
			if s.Name == "smtp dial" && (s.StartTime.Before(parent.StartTime) || s.EndTime.After(parent.EndTime)) {
				t.Errorf("a dial is longer than its message")
			}
		}
		if count["smtp send"] != n || count["smtp message"] != n || count["smtp dial"] < n/3 || count["smtp dial"] != count["smtp tls"] || count["smtp dial"] != count["smtp auth"] {
			t.Errorf("%v", count)
		}
	})
}
