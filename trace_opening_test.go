package submission_test

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// secured has the server speak TLS from the first byte and offer mechanisms.
func secured(mechanisms string, auth submission.Auth) func(*habitServer, *submission.Options) {
	cert := selfSigned()
	return func(srv *habitServer, o *submission.Options) {
		pipelines("CONNECT AUTH", "AUTH "+mechanisms)(srv, o)
		srv.tls = &tls.Config{Certificates: []tls.Certificate{cert}}
		o.TLS, o.TLSConfig = submission.TLSImplicit, &tls.Config{InsecureSkipVerify: true}
		o.Auth, o.InsecureAuth = auth, true
	}
}

// What the hooks are told of a session that is opened, or not.
func TestTraceOpening(t *testing.T) {
	dial := func(a *tale) {
		if s, err := a.Dial(as("ann")); err == nil {
			s.Close()
		}
	}
	answers := func(verb string, list ...habitAnswer) func(*habitSession, string, string) *habitAnswer {
		return func(_ *habitSession, got, _ string) *habitAnswer {
			if got != verb || len(list) == 0 {
				return nil
			}
			a := list[0]
			list = list[1:]
			a.delay = time.Second
			return &a
		}
	}
	tell(t, "TLS and AUTH", secured("PLAIN", testPassword), func(t *testing.T, a *tale) {
		dial(a)
		a.check(t, `
			0s ann DialStart mail.test.example:465
			0s ann TLSDone #1(0) TLS 1.3
			2s ann AuthDone #1(0) PLAIN ok
			2s ann DialDone #1(0) ok
			2s Closed #1(0) ok`)
	})
	tell(t, "another mechanism", secured("CRAM-MD5 PLAIN", password(mechanisms("CRAM-MD5", "PLAIN"))), func(t *testing.T, a *tale) {
		a.srv.habit = answers("AUTH", habitAnswer{reply: "504 no"}, habitAnswer{reply: "235 ok"})
		dial(a)
		a.check(t, `
			0s ann DialStart mail.test.example:465
			0s ann TLSDone #1(0) TLS 1.3
			2s ann AuthDone #1(0) PLAIN ok
			2s ann DialDone #1(0) ok
			2s Closed #1(0) ok`)
	})
	tell(t, "AUTH refused", secured("PLAIN", testPassword), func(t *testing.T, a *tale) {
		a.srv.habit = answers("AUTH", habitAnswer{reply: "535 no"})
		a.send("ann", 0)
		a.check(t, `
			0s ann DialStart mail.test.example:465
			0s ann TLSDone #1(0) TLS 1.3
			1s ann AuthDone #1(0) PLAIN AuthError
			1s Closed #1(0) ok
			1s ann DialDone #1(0) AuthError
			1s ann Done #1(0), from 0s, 1 x, to 1, 20 bytes, dialed 1s, not sent at AUTH`)
	})
	tell(t, "no mechanism", secured("CRAM-MD5", password(mechanisms("PLAIN"))), func(t *testing.T, a *tale) {
		dial(a)
		a.check(t, `
			0s ann DialStart mail.test.example:465
			0s ann TLSDone #1(0) TLS 1.3
			1s ann AuthDone #1(0)  AuthError
			1s Closed #1(0) ok
			1s ann DialDone #1(0) AuthError`)
	})
	tokens := submission.OAuth2{Username: "user", Token: func(_ context.Context, renew bool) (string, error) {
		return map[bool]string{false: "the-first-token", true: "the-second-token"}[renew], nil
	}}
	tell(t, "a token renewed on a fresh connection", secured("XOAUTH2", tokens), func(t *testing.T, a *tale) {
		a.srv.habit = answers("AUTH", habitAnswer{reply: "535 no", closes: true}, habitAnswer{reply: "235 ok"})
		dial(a)
		a.check(t, `
			0s ann DialStart mail.test.example:465
			0s ann TLSDone #1(0) TLS 1.3
			1s Closed #1(0) linkError
			1s ann AuthDone #1(0) XOAUTH2 AuthError
			1s ann TLSDone #1(0) TLS 1.3
			2s ann AuthDone #1(0) XOAUTH2 ok
			2s ann DialDone #1(0) ok
			2s Closed #1(0) ok`)
	})
	tell(t, "not trusted", secured("PLAIN", testPassword), func(t *testing.T, a *tale) {
		o := plainText(withTLS(submission.TLSImplicit))
		o.Dialer, o.Trace = a.srv, a.trace("")
		c, err := submission.New(testHost, o)
		if err != nil {
			t.Fatal(err)
		}
		sendNumber(as("ann"), c, 0)
		c.Close()
		a.check(t, `
			0s ann DialStart mail.test.example:465
			0s Closed #1(0) CertificateVerificationError
			0s ann DialDone #1(0) TLSError
			0s ann Done #1(0), from 0s, 1 x, to 1, 20 bytes, not sent at TLS handshake`)
	})
	tell(t, "no connection", nil, func(t *testing.T, a *tale) {
		o := plainText()
		o.Trace = a.trace("")
		o.Dialer = dialFunc(func(context.Context, string, string) (net.Conn, error) {
			time.Sleep(time.Second)
			return nil, errors.New("no route")
		})
		c, err := submission.New(testHost, o)
		if err != nil {
			t.Fatal(err)
		}
		sendNumber(as("ann"), c, 0)
		c.Ping(as("bob"))
		a.check(t, `
			0s ann DialStart mail.test.example:25
			1s ann DialDone #1(0) ConnectError
			1s ann Done #1(0), from 0s, 1 x, to 1, 20 bytes, dialed 1s, not sent at dial
			1s bob DialStart mail.test.example:25
			2s bob DialDone #2(0) ConnectError`)
		if s := a.known[a.order[0]]; s.Network != "" || s.ID == 0 || s.Addr != "mail.test.example:25" || !s.Started.Equal(a.began) {
			t.Errorf("%+v", s)
		}
	})
}

// STARTTLS and AUTH, with the lines: secrets are not among them.
func TestTraceStartTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := smtptest.NewServer(&smtptest.Config{
			Accounts: map[string]string{"user": "a long password"}, Mechanisms: []string{"PLAIN"}, Extensions: []string{"PIPELINING"},
			Hook: func(c smtptest.Command) *smtptest.Answer {
				if c.Verb == "AUTH" {
					time.Sleep(time.Second)
				}
				return nil
			},
		})
		defer srv.Close()
		a := newAccount()
		o := plainText(withTLS(submission.TLSAuto), withAuth(submission.Password{Username: "user", Password: "a long password"}))
		o.TLSConfig = srv.ClientTLSConfig()
		o.TLSConfig.ServerName = "127.0.0.1"
		o.Trace = a.trace("")
		o.Dialer = dialFunc(func(context.Context, string, string) (net.Conn, error) { return srv.Pipe(), nil })
		c, err := submission.New(testHost, o)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Ping(as("ann")); err != nil {
			t.Error(err)
		}
		c.Close()
		var hooks []string
		for _, line := range a.lines {
			if strings.Contains(line, "long") || strings.Contains(line, b64("\x00user\x00a long password")) {
				t.Errorf("a secret: %s", line)
			}
			hooks = append(hooks, strings.Split(line, " #1(0) 250 ")[0])
		}
		a.lines = hooks
		a.check(t, `
			0s ann DialStart mail.test.example:587
			0s ann Received #1(0) 220 mail.test.example ESMTP ready
			0s ann Sent #1(0) EHLO client.test.example
			0s ann Received
			0s ann Sent #1(0) STARTTLS
			0s ann Received #1(0) 220 go ahead
			0s ann TLSDone #1(0) TLS 1.3
			0s ann Sent #1(0) EHLO client.test.example
			0s ann Received
			0s ann Sent #1(0) AUTH PLAIN ***
			1s ann Received #1(0) 235 authenticated
			1s ann AuthDone #1(0) PLAIN ok
			1s ann DialDone #1(0) ok
			1s nobody Sent #1(0) QUIT
			1s nobody Received #1(0) 221 mail.test.example closing
			1s Closed #1(0) ok`)
	})
}

// Your own session: each call has its own context, and Close has none.
func TestTraceSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newHabitServer("PIPELINING")
		srv.habit = slowAt("CONNECT NOOP MESSAGE QUIT")
		a := newAccount()
		o := plainText()
		o.Trace = a.trace("")
		nc, _ := srv.DialContext(t.Context(), "", "")
		s, err := submission.NewSession(as("ann"), nc, testHost, o)
		if err != nil {
			t.Fatal(err)
		}
		s.Noop(as("bob"))
		s.Command(as("cyd"), "EXPN x")
		s.Reset(as("dan"))
		for range 2 {
			s.Send(as("eve"), poolEnvelope, strings.NewReader(memo))
		}
		tx, err := s.Begin(as("fay"), poolEnvelope)
		if err != nil {
			t.Fatal(err)
		}
		s.Send(as("gus"), poolEnvelope, strings.NewReader(memo))
		tx.Abort()
		s.Close()
		s.Send(as("hal"), poolEnvelope, strings.NewReader(memo))
		var list []string
		for _, line := range a.lines {
			if !strings.Contains(line, " Received ") && !strings.Contains(line, "RCPT TO") && !strings.Contains(line, " DATA") {
				list = append(list, line)
			}
		}
		a.lines = list
		a.check(t, `
			0s ann DialStart mail.test.example
			1s ann Sent #1(0) EHLO client.test.example
			1s ann DialDone #1(0) ok
			1s bob Sent #1(0) NOOP
			2s cyd Sent #1(0) EXPN x
			2s dan Sent #1(0) RSET
			2s eve Sent #1(0) MAIL FROM:<a@test.example>
			3s eve Done #1(1), from 2s, 1 x, to 1, 23 bytes, final 1s, sent
			3s eve Sent #1(1) MAIL FROM:<a@test.example>
			4s eve Done #1(2), reused, from 3s, 1 x, to 1, 23 bytes, final 1s, sent
			4s gus Done none, from 4s, 0 x, to 1, 0 bytes, not sent at MAIL
			4s fay Done #1(2), reused, from 4s, 1 x, to 1, 0 bytes, not sent at message
			4s nobody Sent #1(2) QUIT
			4.5s Closed #1(2) ok
			4.5s hal Done none, from 4.5s, 0 x, to 1, 0 bytes, not sent at MAIL`)
		srv.running.Wait()
	})
	near, far := net.Pipe()
	go func() { far.Write([]byte("554 no\r\n")); far.Read(make([]byte, 10)); far.Close() }()
	a := newAccount()
	o := plainText()
	o.Trace = a.trace("")
	a.began = time.Now().Add(time.Hour)
	if _, err := submission.NewSession(as("ann"), near, testHost, o); err == nil {
		t.Error("a session")
	}
	if s := a.known[a.order[0]]; s.Network != "pipe" || !strings.HasSuffix(a.lines[len(a.lines)-1], "ann DialDone #1(0) ConnectError") {
		t.Errorf("%+v, %q", s, a.lines)
	}
}

// No two sessions of a process have the same number, whoever opens them.
func TestSessionNumbers(t *testing.T) {
	var mu sync.Mutex
	seen := map[uint64]bool{}
	trace := &submission.Trace{DialDone: func(_ context.Context, s submission.SessionInfo, _ error) {
		mu.Lock()
		defer mu.Unlock()
		if seen[s.ID] || s.ID == 0 {
			t.Errorf("number %d", s.ID)
		}
		seen[s.ID] = true
	}}
	synctest.Test(t, func(t *testing.T) {
		srv := newHabitServer()
		var wg sync.WaitGroup
		for range 4 {
			c := srv.client(t, func(o *submission.Options) { o.Trace = trace })
			for range 5 {
				wg.Go(func() {
					if s, err := c.Dial(t.Context()); err == nil {
						s.Close()
					}
				})
			}
		}
		wg.Wait()
		srv.running.Wait()
	})
	if len(seen) != 20 {
		t.Errorf("%d sessions", len(seen))
	}
}

// A hook that panics while NewSession runs leaves no connection open, and no other Session.
func TestNewSessionHookPanics(t *testing.T) {
	for name, set := range map[string]func(*submission.Options, func()){
		"DialStart": func(o *submission.Options, f func()) {
			o.Trace = &submission.Trace{DialStart: func(context.Context, string) { f() }}
		},
		"Received": func(o *submission.Options, f func()) {
			o.Trace = &submission.Trace{Received: func(context.Context, submission.SessionInfo, submission.Reply) { f() }}
		},
		"AuthDone": func(o *submission.Options, f func()) {
			o.Trace = &submission.Trace{AuthDone: func(context.Context, submission.SessionInfo, string, error) { f() }}
		},
		"DialDone": func(o *submission.Options, f func()) {
			o.Trace = &submission.Trace{DialDone: func(context.Context, submission.SessionInfo, error) { f() }}
		},
		"Logger": func(o *submission.Options, f func()) { o.Logger = slog.New(askedHandler{f}) },
	} {
		for _, exits := range []bool{false, true} {
			promise(t, name, func(t *testing.T) {
				srv := newHabitServer("AUTH PLAIN")
				m := &mine{at: 1, exits: exits}
				o := plainText(withAuthInClear(testPassword), func(o *submission.Options) { set(o, m.call) })
				nc, _ := srv.DialContext(t.Context(), "", "")
				m.run(func() error {
					s, err := submission.NewSession(t.Context(), nc, testHost, o)
					t.Errorf("%v, %v", s, err)
					return err
				})
				if open, _ := srv.connections(); open != 0 || m.went.Load() != 1 {
					t.Errorf("%d connections are open; it panicked %d times", open, m.went.Load())
					srv.cut()
				}
				srv.running.Wait()
			})
		}
	}
}

// askedHandler calls f when it is asked whether it wants a record.
type askedHandler struct{ f func() }

func (h askedHandler) Enabled(context.Context, slog.Level) bool {
	h.f()
	return false
}
func (h askedHandler) Handle(context.Context, slog.Record) error { return nil }
func (h askedHandler) WithAttrs([]slog.Attr) slog.Handler        { return h }
func (h askedHandler) WithGroup(string) slog.Handler             { return h }
