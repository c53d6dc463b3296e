package submission_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// A session from Dial to Close, with what SMTPTransport of JavaMail offers as connect,
// isConnected, sendMessage, supportsExtension, simpleCommand and close.
func TestTransportCalls(t *testing.T) {
	c := scriptedClient(t, nil, greeted("SIZE 1000", "DSN")+
		"C: NOOP\nS: 250 ok\nC: MAIL FROM:<a@test.example> SIZE=23\nS: 250 ok\nC: RCPT TO:<b@test.example>\nS: 250 ok\n"+
		"C: DATA\nS: 354 go\n"+memoData+"S: 250 2.0.0 queued\nC: EXPN list\nS: 550 no such list\nC: QUIT\nS: 221 bye\neof")
	ctx := context.Background()
	s, err := c.Dial(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Noop(ctx); err != nil || !s.Usable() {
		t.Errorf("after connecting: %v", err)
	}
	if p, ok := s.Extensions().Param("size"); !ok || p != "1000" || !s.Extensions().Has("DSN") || s.Extensions().Has("CHUNKING") {
		t.Errorf("extensions %v", s.Extensions())
	}
	if res := mustSend(t, s, memoTo("b@test.example")); res.Reply.Code != 250 || res.Reply.String() != "250 2.0.0 queued" {
		t.Errorf("%v", res.Reply)
	}
	if r, err := s.Command(ctx, "EXPN list"); err != nil || r.Code != 550 || !s.Usable() {
		t.Errorf("%v, %v", r, err)
	}
	if err := s.Close(); err != nil || s.Usable() {
		t.Errorf("after Close: %v", err)
	}
}

// Session.Begin refuses at once what the server does not offer.
func TestBeginChecks(t *testing.T) {
	s := openSession(t, play(t, "whole", greeted()+"C: QUIT\nS: 221 bye\neof"), plainText())
	defer s.Close()
	env := memoTo("b@test.example")
	env.UTF8 = true
	tx, err := s.Begin(context.Background(), env)
	if tx != nil {
		t.Error("a transaction, although there is an error")
	}
	verdict{stage: submission.StageMail, is: submission.ErrUnsupported}.check(t, nil, err)
}

// The server sends something between two commands, which nobody asked for. On a socket the
// client sees it before it sends the next command.
func TestUnaskedOverTCP(t *testing.T) {
	for name, tt := range map[string]struct {
		says      string
		temporary bool
	}{
		"250":         {"250 yes\r\n", false},
		"421":         {"421 4.3.2 closing\r\n", true},
		"half a line": {"2", true},
		"nothing":     {"", true}, // except EOF
	} {
		t.Run(name, func(t *testing.T) {
			quiet, spoke, after := make(chan bool), make(chan bool), make(chan string, 1)
			addr := listen(t, func(nc net.Conn) {
				io.WriteString(nc, "220 hi\r\n")
				exactly(nc, len("EHLO client.test.example\r\n"))
				io.WriteString(nc, "250 mail\r\n")
				<-quiet
				io.WriteString(nc, tt.says)
				nc.(*net.TCPConn).CloseWrite()
				close(spoke)
				rest, _ := io.ReadAll(nc)
				after <- string(rest)
			})
			c, err := submission.New(addr, plainText())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			s, err := c.Dial(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			close(quiet)
			<-spoke
			err = s.Noop(context.Background())
			if err == nil || s.Usable() || isTemporary(err) != tt.temporary {
				t.Errorf("usable %v, want false; temporary %v, want %v: %v", s.Usable(), isTemporary(err), tt.temporary, err)
			}
			s.Close()
			if rest := <-after; rest != "" {
				t.Errorf("after that the client still sent %q", rest)
			}
		})
	}
}

// Each fault at RSET and NOOP. Only after a 5yz to NOOP is the session still usable.
func TestHousekeepingFaults(t *testing.T) {
	calls := map[string]func(context.Context, *submission.Session) error{
		"RSET": func(ctx context.Context, s *submission.Session) error { return s.Reset(ctx) },
		"NOOP": func(ctx context.Context, s *submission.Session) error { return s.Noop(ctx) },
	}
	all := faults()
	for _, code := range []int{221, 251, 299, 354, 450, 451, 500, 502, 550, 554} {
		all = append(all, fault{fmt.Sprint(code), fmt.Sprintf("S: %d x", code), wrongKind, nil})
	}
	for verb, call := range calls {
		for _, f := range all {
			t.Run(verb+"/"+f.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					end := f.script
					switch {
					case f.kind == extraKind:
						end = `S> 250 ok\r\n250 and one more\r\n`
					case f.script == "wrong":
						end = "S: 354 go"
					}
					survives := verb == "NOOP" && f.name[0] == '5'
					if survives {
						end += "\n" + flightOK + "C: QUIT\nS: 221 bye"
					}
					s := openSession(t, play(t, "whole", greeted("PIPELINING")+flightOK+"C: "+verb+"\n"+end+"\neof"), plainText())
					mustSend(t, s, memoTo("b@test.example"))
					ctx, cancel := context.WithCancel(context.Background())
					defer cancel()
					want := time.Duration(0)
					switch f.kind {
					case stallKind:
						want = 5 * time.Minute
					case cancelKind:
						want = time.Second
						time.AfterFunc(want, cancel)
					}
					start := time.Now()
					err := call(ctx, s)
					if took := time.Since(start); took != want {
						t.Errorf("it took %v, want %v", took, want)
					}
					if err == nil {
						t.Fatal("success, want an error")
					}
					checkErrorText(t, err)
					if f.is != nil && !errors.Is(err, f.is) {
						t.Errorf("%v does not wrap %v", err, f.is)
					}
					if !survives {
						mustBeOver(t, s)
						return
					}
					mustSend(t, s, memoTo("b@test.example"))
					s.Close()
				})
			})
		}
	}
}

// Session.Close in the middle of a transaction aborts it. If nothing of it was sent, the
// session ends with QUIT; otherwise the connection is closed without it.
func TestCloseWithinTransaction(t *testing.T) {
	for _, large := range []bool{false, true} {
		t.Run(fmt.Sprintf("large %v", large), func(t *testing.T) {
			srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.NoTLS})
			nc := record(srv.Pipe())
			s := openSession(t, nc, plainText(func(o *submission.Options) { o.Disable = []string{"CHUNKING"} }))
			tx, err := s.Begin(context.Background(), memoTo("b@test.example"))
			if err != nil {
				t.Fatal(err)
			}
			text := memo
			if large {
				text = strings.Repeat(memo, 20000)
			}
			if _, err := io.WriteString(tx, text); err != nil {
				t.Fatal(err)
			}
			s.Close()
			_, err = tx.Commit()
			verdict{stage: submission.StageMessage, is: submission.ErrAborted}.check(t, nil, err)
			mustBeOver(t, s)
			srv.Close()
			if n := endMarks(nc.written()); n != 0 || len(srv.Messages()) != 0 {
				t.Errorf("the end of the message was sent %d times, the server accepted %d messages", n, len(srv.Messages()))
			}
			if quit := bytes.HasSuffix(nc.written(), []byte("QUIT\r\n")); quit == large {
				t.Errorf("QUIT was sent: %v, want %v", quit, !large)
			}
		})
	}
}

func TestQuit(t *testing.T) {
	const hello = "S: 220 hi\nC: EHLO client.test.example\nS: 250 mail\n"
	tests := []struct {
		name, script string
		options      func(*submission.Options)
		took         time.Duration
	}{
		{name: "answered", script: "C: QUIT\nS: 221 bye\neof"},
		{name: "answered with a refusal", script: "C: QUIT\nS: 500 what\neof"},
		{name: "answered with garbage", script: "C: QUIT\nS! bogus\neof"},
		{name: "EOF", script: "C: QUIT\nclose\neof"},
		{name: "reset", script: "C: QUIT\nreset\neof"},
		{name: "half a reply", script: "C: QUIT\nS> 221-\nclose\neof"},
		{name: "silence", script: "C: QUIT\nstall\neof", took: 5 * time.Second},
		{name: "silence, own limit", script: "C: QUIT\nstall\neof", took: time.Minute,
			options: func(o *submission.Options) { o.Timeouts.Quit = time.Minute }},
		{name: "not waited for", script: "C: QUIT\nstall\neof",
			options: func(o *submission.Options) { o.NoQuitWait = true }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var closed []error
				o := plainText(func(o *submission.Options) {
					o.Trace = &submission.Trace{Closed: func(_ submission.SessionInfo, err error) { closed = append(closed, err) }}
				})
				if tt.options != nil {
					tt.options(o)
				}
				s := openSession(t, play(t, "whole", hello+tt.script), o)
				start := time.Now()
				for range 3 {
					if err := s.Close(); err != nil {
						t.Errorf("Close: %v", err)
					}
				}
				if took := time.Since(start); took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
				if len(closed) != 1 || closed[0] != nil {
					t.Errorf("Trace.Closed: %v, want one nil", closed)
				}
				if err := s.Noop(context.Background()); !errors.Is(err, submission.ErrClosed) {
					t.Errorf("NOOP after Close: %v", err)
				}
			})
		})
	}
}

// Whatever the server does with QUIT, Close returns nil and the result of the message does
// not change.
func TestQuitFaults(t *testing.T) {
	all := faults()
	for _, code := range []int{221, 250, 354, 450, 500, 550} {
		all = append(all, fault{fmt.Sprint(code), fmt.Sprintf("S: %d x", code), wrongKind, nil})
	}
	for _, f := range all {
		if f.kind == cancelKind || f.script == "wrong" {
			continue
		}
		t.Run(f.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				end := f.script
				if f.kind == extraKind {
					end = `S> 221 bye\r\n250 and one more\r\n`
				}
				s := openSession(t, play(t, "whole", greeted("PIPELINING")+flightOK+"C: QUIT\n"+end+"\neof"), plainText())
				res := mustSend(t, s, memoTo("b@test.example"))
				start := time.Now()
				if err := s.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
				want := time.Duration(0)
				if f.kind == stallKind {
					want = 5 * time.Second
				}
				if took := time.Since(start); took != want {
					t.Errorf("it took %v, want %v", took, want)
				}
				if res.Recipients[0].Status != submission.RecipientSent {
					t.Errorf("the result changed: %+v", res)
				}
				mustBeOver(t, s)
			})
		})
	}
}

// Close waits no longer than Timeouts.Quit for the reply to QUIT.
func TestQuitUnanswered(t *testing.T) {
	for _, limit := range []time.Duration{0, time.Second} {
		synctest.Test(t, func(t *testing.T) {
			s := openSession(t, play(t, "whole", greeted("PIPELINING")+flightOK+"C: QUIT\nstall\neof"),
				plainText(func(o *submission.Options) { o.Timeouts.Quit = limit }))
			mustSend(t, s, memoTo("b@test.example"))
			start := time.Now()
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			want := limit
			if want == 0 {
				want = 5 * time.Second
			}
			if took := time.Since(start); took != want {
				t.Errorf("Close took %v, want %v", took, want)
			}
			mustBeOver(t, s)
		})
	}
}

// The same in an encrypted session.
func TestQuitUnderTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := smtptest.NewServer(&smtptest.Config{Hook: func(c smtptest.Command) *smtptest.Answer {
			if c.Verb == "QUIT" {
				return &smtptest.Answer{}
			}
			return nil
		}})
		defer srv.Close()
		o := plainText(withTLS(submission.TLSStartTLS))
		o.TLSConfig = srv.ClientTLSConfig()
		s := openSession(t, srv.Pipe(), o)
		start := time.Now()
		s.Close()
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("took %v, want 5s", took)
		}
	})
}
