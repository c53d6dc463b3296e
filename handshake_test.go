package submission_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// Greetings with which the session continues.
func TestGreetingAccepted(t *testing.T) {
	for name, greeting := range map[string]string{
		"one line":       "S: 220 mail.test.example ESMTP ready",
		"several lines":  "S: 220-mail.test.example\nS: 220-\nS: 220-220 550 no rule\nS: 220 welcome",
		"bare code":      "S: 220",
		"bare last line": "S: 220-hi\nS: 220",
		"no text":        "S: 220 ",
		"not UTF-8":      `S> 220 \xff\xfe\x1b[31m` + `\r\n`,
		"a long line":    "S: 220 " + strings.Repeat("x", 10_000),
	} {
		t.Run(name, func(t *testing.T) {
			eachDelivery(t, func(t *testing.T, delivery string) {
				s := openSession(t, play(t, delivery, greeting+`
					C: EHLO client.test.example
					S: 250 mail.test.example
					C: QUIT
					S: 221 bye
					eof
				`), plainText())
				if !s.Usable() {
					t.Error("not usable")
				}
				s.Close()
				if s.Usable() {
					t.Error("usable after Close")
				}
			})
		})
	}
}

// Greetings with which there is no session.
func TestGreetingRefused(t *testing.T) {
	const quit = "\nC: QUIT\nS: 221 bye\neof"
	tests := []refusal{
		{name: "554", script: "S: 554 5.3.2 no SMTP service here" + quit, code: 554, text: "no SMTP service here"},
		{name: "554 in lines", script: "S: 554-no\nS: 554-no\nS: 554 never" + quit, code: 554, text: "554 no; no; never"},
		{name: "554 and a hang-up", script: "S: 554 no\nclose\nC: QUIT\neof", code: 554},
		{name: "550", script: "S: 550 go away" + quit, code: 550},
		{name: "450", script: "S: 450 4.3.2 later" + quit, code: 450, temporary: true},
		{name: "421", script: "S: 421 4.3.2 closing\neof", code: 421, temporary: true},
		{name: "421 in lines", script: "S: 421-too many\nS: 421 connections\neof", code: 421, temporary: true, text: "too many; connections"},
		{name: "421 and a hang-up", script: "S: 421 closing\nclose\neof", code: 421, temporary: true},
		{name: "250", script: "S: 250 hello\neof", code: 250, protocol: true, text: "unexpected 250 hello"},
		{name: "221", script: "S: 221 bye\neof", code: 221, protocol: true},
		{name: "354", script: "S: 354 go on\neof", code: 354, protocol: true},
		{name: "bogus", script: "S! bogus\neof", protocol: true, text: "not an SMTP reply: b"},
		{name: "four digits", script: "S! 2200 x\neof", protocol: true},
		{name: "two digits", script: "S! 22\neof", protocol: true},
		{name: "one digit too high", script: "S! 620 x\neof", protocol: true},
		{name: "second digit too high", script: "S! 260 x\neof", protocol: true},
		{name: "1yz", script: "S! 120 soon\neof", protocol: true},
		{name: "HTTP", script: "S! HTTP/1.1 400 Bad Request\nS! Server: x\nS!\neof", protocol: true, text: "not an SMTP reply: H"},
		{name: "SSH", script: "S! SSH-2.0-OpenSSH_9.9\neof", protocol: true},
		{name: "empty line", script: "S!\neof", protocol: true},
		{name: "bare LF", script: `S> 220 hi\n` + "\neof", protocol: true, text: "bare LF"},
		{name: "bare CR", script: `S> 220 hi\rthere\r\n` + "\neof", protocol: true, text: "bare CR"},
		{name: "other code in the second line", script: "S: 220-hi\nS: 250 there\neof", protocol: true},
		{name: "no hyphen", script: "S! 220+hi\neof", protocol: true},
		{name: "terminal escape", script: `S> \x1b]0;owned\x07\r\n` + "\neof", protocol: true},
		{name: "endless lines", script: strings.Repeat("S! 220-more\n", 600) + "stall\neof", protocol: true, text: "too many lines"},
		{name: "too large", script: strings.Repeat("S! 220-"+strings.Repeat("x", 1000)+"\n", 100) + "stall\neof", protocol: true, text: "too large"},
		{name: "endless line", script: "S> 220 " + strings.Repeat("x", 17<<10) + "\nstall\neof", protocol: true, text: "too long"},
		{name: "EOF", script: "close\neof", temporary: true, is: io.EOF},
		{name: "half a line, EOF", script: "S> 220 hi\nclose\neof", temporary: true, is: io.ErrUnexpectedEOF},
		{name: "half a reply, EOF", script: "S: 220-hi\nclose\neof", temporary: true, is: io.ErrUnexpectedEOF},
		{name: "reset", script: "reset\neof", temporary: true},
	}
	for _, r := range tests {
		r.stage = submission.StageGreeting
		r.run(t)
	}
}

// Of a greeting without an end, most is never read.
func TestGreetingHuge(t *testing.T) {
	for name, line := range map[string]string{
		"one line":   "S> 220 " + strings.Repeat("x", 5<<20),
		"many lines": "S> " + strings.Repeat(`220-more\r\n`, 5<<20/10),
	} {
		t.Run(name, func(t *testing.T) {
			r := refusal{stage: submission.StageGreeting, protocol: true}
			nc := smtptest.Fault{}.Wrap(play(t, "whole", line+"\nstall\neof"))
			r.check(t, nc)
			if read, _ := nc.Octets(); read > 100<<10 {
				t.Errorf("%d octets were read", read)
			}
		})
	}
}

// The error escapes text of the greeting that would do something to a terminal.
func TestGreetingErrorIsPrintable(t *testing.T) {
	eachDelivery(t, func(t *testing.T, delivery string) {
		nc := play(t, delivery, `
			S> 554 \x1b[2J\x07\x00\x80\u202e\xe2\x80\xa8evil\r\n
			C: QUIT
			S: 221 bye
			eof
		`)
		_, err := submission.NewSession(context.Background(), nc, testHost, plainText())
		e := wantError[*submission.ConnectError](t, err)
		for _, text := range []string{err.Error(), e.Reply.String()} {
			for _, r := range "\x1b\x07\x00\u202e\u2028" {
				if strings.ContainsRune(text, r) {
					t.Errorf("%U in %q", r, text)
				}
			}
			if !strings.Contains(text, `\x1b[2J`) || !strings.Contains(text, "evil") {
				t.Errorf("the text of the server is missing in %q", text)
			}
		}
	})
}

// The server sends more than was asked for: the handshake fails.
func TestUnaskedInput(t *testing.T) {
	tests := []refusal{
		{name: "after the greeting", stage: submission.StageGreeting, script: "S: 220 hi\nS! 250 and more\neof"},
		{name: "half a line after the greeting", stage: submission.StageGreeting, script: "S: 220 hi\nS> 25\neof"},
		{name: "after the EHLO reply", stage: submission.StageHello,
			script: "S: 220 hi\nC: EHLO client.test.example\nS: 250 mail\nS! 250 SIZE\neof"},
		{name: "half a line after the EHLO reply", stage: submission.StageHello,
			script: "S: 220 hi\nC: EHLO client.test.example\nS: 250 mail\nS> 2\neof"},
	}
	for _, r := range tests {
		t.Run(r.name, func(t *testing.T) {
			r.protocol = true
			r.check(t, play(t, "joined", r.script))
		})
	}
}

// The server sends more after a refusal. The refusal is the error. QUIT is not sent, because
// nobody could tell which reply answers it.
func TestUnaskedBehindRefusal(t *testing.T) {
	tests := []refusal{
		{name: "greeting", stage: submission.StageGreeting, script: "S: 554 no\nS! 250 yes\neof", code: 554},
		{name: "EHLO", stage: submission.StageHello, script: hello + "S: 550 no\nS! 250 yes\neof", code: 550},
		{name: "STARTTLS", stage: submission.StageStartTLS, options: plainText(withTLS(submission.TLSStartTLS)),
			script: offersTLS + "S: 454 no\nS> 2\neof", code: 454, temporary: true},
	}
	for _, r := range tests {
		t.Run(r.name, func(t *testing.T) { r.check(t, play(t, "joined", r.script)) })
	}
}

// stalls are handshakes in which the server falls silent, and how long the client waits.
var stalls = []struct {
	name    string
	options func(*submission.Options)
	script  string // before the silence
	stage   submission.Stage
	limit   time.Duration
}{
	{name: "greeting", script: "", stage: submission.StageGreeting, limit: time.Minute},
	{name: "half a greeting", script: "S> 220-hi\\r\\n22\n", stage: submission.StageGreeting, limit: time.Minute},
	{name: "EHLO", script: "S: 220 hi\nC: EHLO client.test.example\n", stage: submission.StageHello, limit: 5 * time.Minute},
	{name: "half an EHLO reply", script: "S: 220 hi\nC: EHLO client.test.example\nS> 250-SIZE\\r\\n\n",
		stage: submission.StageHello, limit: 5 * time.Minute},
	{name: "HELO", script: "S: 220 hi\nC: EHLO client.test.example\nS: 502 what\nC: HELO client.test.example\n",
		stage: submission.StageHello, limit: 5 * time.Minute},
	{name: "STARTTLS", options: func(o *submission.Options) { o.TLS = submission.TLSStartTLS },
		script: "S: 220 hi\nC: EHLO client.test.example\nS: 250-hi\nS: 250 STARTTLS\nC: STARTTLS\n",
		stage:  submission.StageStartTLS, limit: 5 * time.Minute},
	{name: "greeting, own limit", options: func(o *submission.Options) { o.Timeouts.Greeting = 7 * time.Second },
		stage: submission.StageGreeting, limit: 7 * time.Second},
	{name: "EHLO, own limit", options: func(o *submission.Options) { o.Timeouts.Command = time.Hour },
		script: "S: 220 hi\nC: EHLO client.test.example\n", stage: submission.StageHello, limit: time.Hour},
}

// Each wait of the handshake has a limit.
func TestHandshakeStalls(t *testing.T) {
	for _, tt := range stalls {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := plainText()
				if tt.options != nil {
					tt.options(o)
				}
				start := time.Now()
				r := refusal{options: o, stage: tt.stage, temporary: true, is: os.ErrDeadlineExceeded, text: tt.limit.String()}
				r.check(t, play(t, "whole", tt.script+"stall\neof"))
				if took := time.Since(start); took != tt.limit {
					t.Errorf("took %v, want %v", took, tt.limit)
				}
			})
		})
	}
}

// The context ends each wait of the handshake at once.
func TestHandshakeCancelled(t *testing.T) {
	cause := errors.New("the user closed the window")
	for _, tt := range stalls {
		for _, how := range []string{"cancel", "cancel with a cause", "deadline"} {
			t.Run(tt.name+", "+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					o := plainText()
					if tt.options != nil {
						tt.options(o)
					}
					const after = 3 * time.Second
					ctx, want := context.Background(), context.Canceled
					switch how {
					case "deadline":
						limited, cancel := context.WithTimeout(ctx, after)
						defer cancel()
						ctx, want = limited, context.DeadlineExceeded
					default:
						cut, cancel := context.WithCancelCause(ctx)
						ctx = cut
						why := cause
						if how == "cancel" {
							why = nil
						}
						time.AfterFunc(after, func() { cancel(why) })
					}
					start := time.Now()
					s, err := submission.NewSession(ctx, play(t, "whole", tt.script+"stall\neof"), testHost, o)
					if s != nil {
						t.Error("a session, although there is an error")
					}
					r := refusal{stage: tt.stage, temporary: true, is: want}
					if how == "cancel with a cause" && !errors.Is(err, cause) {
						t.Errorf("the error does not wrap the cause: %v", err)
					}
					r.checkError(t, err)
					if errors.Is(err, os.ErrDeadlineExceeded) {
						t.Errorf("the end of the context is reported as a slow server: %v", err)
					}
					if took := time.Since(start); took != after {
						t.Errorf("took %v, want %v", took, after)
					}
				})
			})
		}
	}
}

// The limit is for a whole reply: one whose octets arrive a minute apart takes too long.
func TestSlowDrip(t *testing.T) {
	long := strings.Repeat("220-"+strings.Repeat("x", 60)+"\r\n", 5)
	tests := []struct {
		name  string
		said  string // by the server before the slow reply
		await string // from the client before the slow reply
		stage submission.Stage
		limit time.Duration
	}{
		{"greeting", "", "", submission.StageGreeting, time.Minute},
		{"EHLO", "220 hi\r\n", "EHLO client.test.example\r\n", submission.StageHello, 5 * time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := net.Pipe()
				var dripping sync.WaitGroup
				defer dripping.Wait()
				dripping.Go(func() {
					defer server.Close()
					io.WriteString(server, tt.said)
					if _, err := io.ReadFull(server, make([]byte, len(tt.await))); err != nil {
						return
					}
					drip(server, long)
				})
				start := time.Now()
				r := refusal{stage: tt.stage, temporary: true, is: os.ErrDeadlineExceeded}
				r.check(t, client)
				if took := time.Since(start); took != tt.limit {
					t.Errorf("took %v, want %v", took, tt.limit)
				}
			})
		})
	}
}

// Each reply comes a second before its limit. No deadline of an earlier stage is left on the
// connection.
func TestGreetingStageTimeIsItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.NoTLS, Hook: func(c smtptest.Command) *smtptest.Answer {
			switch c.Verb {
			case "CONNECT":
				return &smtptest.Answer{Reply: "220 at last", Delay: time.Minute - time.Second}
			case "EHLO":
				return &smtptest.Answer{Reply: "250 at last", Delay: 5*time.Minute - time.Second}
			}
			return nil
		}})
		defer srv.Close()
		start := time.Now()
		s := openSession(t, srv.Pipe(), plainText())
		if took := time.Since(start); took != 6*time.Minute-2*time.Second {
			t.Errorf("took %v, want 9m58s", took)
		}
		time.Sleep(time.Hour)
		if err := s.Noop(context.Background()); err != nil {
			t.Errorf("NOOP after an hour: %v", err)
		}
		s.Close()
	})
}

// The server refuses and then does not answer QUIT. The refusal is returned after five
// seconds.
func TestRefusedHandshakeQuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		r := refusal{stage: submission.StageGreeting, code: 554}
		r.check(t, play(t, "whole", "S: 554 no\nC: QUIT\nstall\neof"))
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("took %v, want 5s", took)
		}
	})
}

// With a context that is done from the start, there is no session.
func TestHandshakeContextDoneBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		client, server := net.Pipe()
		go io.Copy(io.Discard, server)
		s, err := submission.NewSession(ctx, client, testHost, plainText())
		if s != nil || !errors.Is(err, context.Canceled) {
			t.Errorf("%v, %v", s, err)
		}
		wantError[*submission.ConnectError](t, err)
	})
}

// The context is done when the last reply has just come. There is no session, and the error
// is a ConnectError.
func TestCancelledAtTheLastReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		o := plainText(func(o *submission.Options) {
			o.Trace = &submission.Trace{Received: func(_ context.Context, _ submission.SessionInfo, r submission.Reply) {
				if r.Code == 250 {
					cancel()
				}
			}}
		})
		nc := play(t, "whole", "S: 220 hi\nC: EHLO client.test.example\nS: 250 mail\neof")
		s, err := submission.NewSession(ctx, nc, testHost, o)
		if s != nil || !errors.Is(err, context.Canceled) {
			t.Fatalf("%v, %v", s, err)
		}
		wantError[*submission.ConnectError](t, err)
	})
}
