package submission_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/emersion/go-sasl"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// A session that the server ended while it was idle is replaced, with or without a 421
// before, and the message is sent once.
func TestPoolReplacesDeadSession(t *testing.T) {
	for name, end := range map[string]string{
		"closed":                         "close",
		"reset":                          "reset",
		"421, then closed":               "S! 421 4.4.2 idle too long\nclose",
		"421 to MAIL":                    "C: MAIL FROM:<a@test.example>\nC: RCPT TO:<b@test.example>\nC: DATA\nS: 421 4.7.0 that was enough\nclose",
		"closed after MAIL":              "C: MAIL FROM:<a@test.example>\nC: RCPT TO:<b@test.example>\nC: DATA\nclose",
		"closed in the reply to MAIL":    "C: MAIL FROM:<a@test.example>\nC: RCPT TO:<b@test.example>\nC: DATA\nS> 25\nclose",
		"421 to MAIL and silence":        "C: MAIL FROM:<a@test.example>\nC: RCPT TO:<b@test.example>\nC: DATA\nS: 421 4.7.0 that was enough\nstall",
		"421 to MAIL and one more reply": "C: MAIL FROM:<a@test.example>\nC: RCPT TO:<b@test.example>\nC: DATA\nS: 421 4.7.0 enough\nS! 503 what\nclose",
	} {
		t.Run(name, func(t *testing.T) {
			c := scriptedClient(t, nil, poolGreeting+poolMessage+end, poolGreeting+poolMessage+poolQuit)
			for range 2 {
				if err := poolSend(c); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// A message is not tried again when it may have been accepted, after a time-out, or when a
// recipient or its content was refused.
func TestPoolDoesNotRetry(t *testing.T) {
	flight := "C: MAIL FROM:<a@test.example>\nC: RCPT TO:<b@test.example>\nC: DATA\n"
	message := "S: 250 ok\nS: 250 ok\nS: 354 go\nC: Subject: pool\nC:\nC: text\nC: .\n"
	for _, tc := range []struct {
		name, end string
		outcome   submission.Outcome
		stage     submission.Stage
	}{
		{"silence after MAIL", flight + "stall", submission.NotSent, submission.StageMail},
		{"silence at RCPT", flight + "S: 250 ok\nstall", submission.NotSent, submission.StageRcpt},
		{"refused recipient", flight + "S: 250 ok\nS: 550 5.1.1 no\nS: 503 5.5.1 nobody\n" + poolQuit, submission.NotSent, submission.StageRcpt},
		{"deferred recipient", flight + "S: 250 ok\nS: 450 4.2.1 no\nS: 503 5.5.1 nobody\n" + poolQuit, submission.NotSent, submission.StageRcpt},
		{"closed after the dot", flight + message + "close", submission.Unknown, submission.StageFinal},
		{"garbage after the dot", flight + message + "S: hello\nclose", submission.Unknown, submission.StageFinal},
		{"refused content", flight + message + "S: 554 5.6.0 spam\n" + poolQuit, submission.NotSent, submission.StageFinal},
		{"deferred content", flight + message + "S: 451 4.3.0 busy\n" + poolQuit, submission.NotSent, submission.StageFinal},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := scriptedClient(t, nil, poolGreeting+poolMessage+tc.end)
				if err := poolSend(c); err != nil {
					t.Fatal(err)
				}
				e := wantError[*submission.SendError](t, poolSend(c))
				if e.Outcome != tc.outcome || e.Stage != tc.stage {
					t.Errorf("%v at %v, want %v at %v", e.Outcome, e.Stage, tc.outcome, tc.stage)
				}
			})
		})
	}
}

// If the reply or the loss is about the session, the message starts once more on a fresh
// one, as long as nothing of it can have been accepted.
func TestPoolStartsAgain(t *testing.T) {
	flight := "C: MAIL FROM:<a@test.example>\nC: RCPT TO:<b@test.example>\nC: DATA\n"
	message := "S: 250 ok\nS: 250 ok\nS: 354 go\nC: Subject: pool\nC:\nC: text\nC: .\n"
	for name, end := range map[string]string{
		"MAIL refused, then closed":    flight + "S: 550 5.7.1 no\nclose",
		"MAIL deferred, then closed":   flight + "S: 450 4.7.1 not now\nclose",
		"garbage to MAIL":              flight + "S: hello\nclose",
		"221 to MAIL":                  flight + "S: 221 bye\nclose",
		"closed at RCPT":               flight + "S: 250 ok\nclose",
		"421 to RCPT":                  flight + "S: 250 ok\nS: 421 bye\nclose",
		"503 to RCPT":                  flight + "S: 250 ok\nS: 503 what\nS: 503 what\n" + poolQuit,
		"closed at DATA":               flight + "S: 250 ok\nS: 250 ok\nclose",
		"DATA deferred":                flight + "S: 250 ok\nS: 250 ok\nS: 452 4.4.5 enough\n" + poolQuit,
		"DATA out of step":             flight + "S: 250 ok\nS: 250 ok\nS: 250 ok\neof",
		"closed before the dot":        flight + "S: 250 ok\nS: 250 ok\nS: 354 go\nclose",
		"421 after the dot":            flight + message + "S: 421 bye\nclose",
		"connection full, at the end":  flight + message + "S: 451 4.4.5 enough of this connection\n" + poolQuit,
		"not logged in any more":       flight + "S: 530 5.7.0 log in\nS: 503 no\nS: 503 no\n" + poolQuit,
		"a reply too many, late":       "S! 250 taken once more\neof",
		"the end of an idle session":   "S! 221 bye\nclose",
		"the time of an idle one over": "S! 451 4.4.2 timeout\nclose",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := scriptedClient(t, nil, poolGreeting+poolMessage+end, poolGreeting+poolMessage+poolQuit)
				for range 2 {
					if err := poolSend(c); err != nil {
						t.Fatal(err)
					}
				}
			})
		})
	}
}

// On a session that was not used before there is no second try, and there is never a third
// one.
func TestPoolRetriesOnce(t *testing.T) {
	dead := poolGreeting + "C: MAIL FROM:<a@test.example>\nC: RCPT TO:<b@test.example>\nC: DATA\nclose"
	t.Run("fresh", func(t *testing.T) {
		c := scriptedClient(t, nil, dead)
		wantError[*submission.SendError](t, poolSend(c))
	})
	t.Run("reused", func(t *testing.T) {
		c := scriptedClient(t, nil, poolGreeting+poolMessage+"C: MAIL FROM:<a@test.example>\nC: RCPT TO:<b@test.example>\nC: DATA\nclose", dead)
		if err := poolSend(c); err != nil {
			t.Fatal(err)
		}
		wantError[*submission.SendError](t, poolSend(c))
	})
}

// A message that is streamed starts again too, as long as the server has nothing of it: what
// was read from its source is still held back then.
func TestPoolRetriesStream(t *testing.T) {
	long := strings.Repeat(strings.Repeat("x", 76)+"\r\n", 2000)
	flight := "C: MAIL FROM:<a@test.example>\nC: RCPT TO:<b@test.example>\nC: DATA\n"
	c := scriptedClient(t, nil,
		poolGreeting+poolMessage+flight+"close",
		poolGreeting+flight+fmt.Sprintf("S: 250 ok\nS: 250 ok\nS: 354 go\nC* %d\nC: .\nS: 250 taken\n", len(long))+poolQuit)
	if err := poolSend(c); err != nil {
		t.Fatal(err)
	}
	r, err := c.Send(context.Background(), poolEnvelope, strings.NewReader(long))
	if err != nil {
		t.Fatal(err)
	}
	if r.Bytes != int64(len(long)) {
		t.Errorf("%d octets, want %d", r.Bytes, len(long))
	}
}

// A long message starts again even when much of it was sent, as long as its last octet was
// not, if its source can seek. If it cannot seek, the message does not start again.
func TestPoolStartsLongMessageAgain(t *testing.T) {
	flight := "C: MAIL FROM:<a@test.example>\nC: RCPT TO:<b@test.example>\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\n"
	begun := poolGreeting + poolMessage + flight + "C* 100000\nclose"
	whole := poolGreeting + flight + fmt.Sprintf("C* %d\nC: .\nS: 250 taken\n", len(long)) + poolQuit
	for _, seeks := range []bool{true, false} {
		t.Run(fmt.Sprint("seeks ", seeks), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				scripts := []string{begun, whole}
				msg := strings.NewReader("not part of it" + long)
				msg.Seek(int64(len("not part of it")), io.SeekStart)
				source := io.Reader(msg)
				if !seeks {
					scripts, source = scripts[:1], struct{ io.Reader }{msg}
				}
				c := scriptedClient(t, nil, scripts...)
				if err := poolSend(c); err != nil {
					t.Fatal(err)
				}
				res, err := c.Send(context.Background(), poolEnvelope, source)
				if !seeks {
					verdict{stage: submission.StageMessage, temporary: true}.check(t, res, err)
					return
				}
				if err != nil || res.Bytes != int64(len(long)) {
					t.Errorf("%+v, %v", res, err)
				}
				if n := c.Stats().Restarts; n != 1 {
					t.Errorf("%d restarts, want 1", n)
				}
			})
		})
	}
}

// A message whose MAIL was not answered is tried again if its session was used before, once
// and on a fresh session.
func TestMailDroppedRetry(t *testing.T) {
	const mail = "C: MAIL FROM:<a@test.example>\nC: RCPT TO:<b@test.example>\nC: DATA\n"
	greeting := greeted("PIPELINING")
	for name, tc := range map[string]struct {
		sends   int // the verdict is on the last one
		scripts []string
		verdict verdict
	}{
		"reused, then good": {2, []string{greeting + flightOK + mail + "close", greeting + flightOK + "C: QUIT\nS: 221 bye\neof"}, verdict{sent: true}},
		"fresh":             {1, []string{greeting + mail + "close"}, verdict{stage: submission.StageMail, temporary: true, is: io.EOF}},
		"twice":             {2, []string{greeting + flightOK + mail + "close", greeting + mail + "close"}, verdict{stage: submission.StageMail, temporary: true, is: io.EOF}},
		"RCPT":              {2, []string{greeting + flightOK + mail + "S: 250 ok\nclose", greeting + mail + "S: 250 ok\nclose"}, verdict{stage: submission.StageRcpt, temporary: true, is: io.EOF}},
		"refused":           {2, []string{greeting + flightOK + mail + "S: 450 no\nclose", greeting + mail + "S: 450 no\nclose"}, verdict{stage: submission.StageMail, temporary: true, code: 450}},
	} {
		t.Run(name, func(t *testing.T) {
			var dials int
			o := plainText()
			o.Dialer = dialFunc(func(context.Context, string, string) (net.Conn, error) {
				dials++
				if dials > len(tc.scripts) {
					return nil, errors.New("there is no script for this dial")
				}
				return play(t, "whole", tc.scripts[dials-1]), nil
			})
			c, err := submission.New(testHost, o)
			if err != nil {
				t.Fatal(err)
			}
			var res *submission.Result
			for range tc.sends {
				res, err = c.Send(context.Background(), memoTo("b@test.example"), strings.NewReader(memo))
			}
			tc.verdict.check(t, res, err)
			c.Close()
			if dials != len(tc.scripts) {
				t.Errorf("%d dials, want %d", dials, len(tc.scripts))
			}
		})
	}
}

// A message whose outcome is Unknown is never tried again.
func TestUnknownIsNotRetried(t *testing.T) {
	srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.NoTLS, Hook: func(c smtptest.Command) *smtptest.Answer {
		if c.Verb == "MESSAGE" && slices.Equal(c.Message.To, []string{"second@test.example"}) {
			return &smtptest.Answer{Close: true}
		}
		return nil
	}})
	defer srv.Close()
	o := plainText()
	o.Dialer = dialFunc(func(context.Context, string, string) (net.Conn, error) { return srv.Pipe(), nil })
	c, err := submission.New(testHost, o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, to := range []string{"first@test.example", "second@test.example"} {
		_, err = c.Send(context.Background(), memoTo(to), strings.NewReader(memo))
	}
	verdict{outcome: submission.Unknown, stage: submission.StageFinal, is: io.EOF, status: []submission.RecipientStatus{submission.RecipientUncertain}}.check(t, nil, err)
	seen := 0
	for _, line := range srv.Transcript() {
		if strings.Contains(line, "second@") {
			seen++
		}
	}
	if seen != 1 || srv.Sessions() != 1 {
		t.Errorf("RCPT was sent %d times over %d sessions, want once over one", seen, srv.Sessions())
	}
}

// A message for which there is no session is NotSent. Its error wraps that of Dial, and says
// whether another try may help.
func TestNoSessionNoMessage(t *testing.T) {
	const mail = "S: 220 hi\nC: EHLO client.test.example\n"
	script := func(s string) dialFunc {
		return func(context.Context, string, string) (net.Conn, error) { return play(t, "whole", s), nil }
	}
	var (
		connect *submission.ConnectError
		tlsErr  *submission.TLSError
		auth    *submission.AuthError
	)
	tests := []struct {
		name      string
		dial      dialFunc
		options   []func(*submission.Options)
		as        any
		stage     submission.Stage
		code      int
		temporary bool
	}{
		{name: "dial", dial: func(context.Context, string, string) (net.Conn, error) { return nil, errnoRefused },
			as: &connect, stage: submission.StageDial, temporary: true},
		{name: "greeting 554", dial: script("S: 554 no" + quit), as: &connect, stage: submission.StageGreeting, code: 554},
		{name: "greeting 421", dial: script("S: 421 no\neof"), as: &connect, stage: submission.StageGreeting, code: 421, temporary: true},
		{name: "greeting garbage", dial: script("S! no\neof"), as: &connect, stage: submission.StageGreeting},
		{name: "greeting EOF", dial: script("close\neof"), as: &connect, stage: submission.StageGreeting, temporary: true},
		{name: "EHLO 550", dial: script(mail + "S: 550 no" + quit), as: &connect, stage: submission.StageHello, code: 550},
		{name: "EHLO 450", dial: script(mail + "S: 450 no" + quit), as: &connect, stage: submission.StageHello, code: 450, temporary: true},
		{name: "no STARTTLS", dial: script(mail + "S: 250 mail" + quit), options: []func(*submission.Options){withTLS(submission.TLSStartTLS)},
			as: &connect, stage: submission.StageStartTLS},
		{name: "STARTTLS 454", dial: script(mail + "S: 250-mail\nS: 250 STARTTLS\nC: STARTTLS\nS: 454 no" + quit), options: []func(*submission.Options){withTLS(submission.TLSStartTLS)},
			as: &connect, stage: submission.StageStartTLS, code: 454, temporary: true},
		{name: "TLS closed", dial: script("C* 1\nclose"), options: []func(*submission.Options){withTLS(submission.TLSImplicit)},
			as: &tlsErr, stage: submission.StageTLS, temporary: true},
		{name: "no TLS", dial: script("C* 1\nS! 220 mail\nstall"), options: []func(*submission.Options){withTLS(submission.TLSImplicit)},
			as: &tlsErr, stage: submission.StageTLS},
		{name: "535", dial: script(offersAuth("PLAIN") + authPlain + "S: 535 no" + quit), options: []func(*submission.Options){withAuthInClear(testPassword)},
			as: &auth, stage: submission.StageAuth, code: 535},
		{name: "454", dial: script(offersAuth("PLAIN") + authPlain + "S: 454 no" + quit), options: []func(*submission.Options){withAuthInClear(testPassword)},
			as: &auth, stage: submission.StageAuth, code: 454, temporary: true},
		{name: "no AUTH", dial: script(mail + "S: 250 mail" + quit), options: []func(*submission.Options){withAuthInClear(testPassword)},
			as: &auth, stage: submission.StageAuth},
		{name: "AUTH EOF", dial: script(offersAuth("PLAIN") + authPlain + "close\neof"), options: []func(*submission.Options){withAuthInClear(testPassword)},
			as: &auth, stage: submission.StageAuth, temporary: true},
		{name: "an Auth that fails", dial: script(offersAuth("PLAIN") + quit),
			options: []func(*submission.Options){withAuthInClear(submission.AuthFunc(func(context.Context, submission.ServerInfo) (sasl.Client, error) { return nil, os.ErrNotExist }))},
			as:      &auth, stage: submission.StageAuth},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := plainText(tt.options...)
			dials := 0
			o.Dialer = dialFunc(func(ctx context.Context, network, addr string) (net.Conn, error) {
				dials++
				return tt.dial(ctx, network, addr)
			})
			c, err := submission.New(testHost, o)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			res, err := c.Send(context.Background(), submission.Envelope{From: "a@test.example", To: submission.To("b@test.example", "c@test.example")}, strings.NewReader("x\n"))
			e := wantError[*submission.SendError](t, err)
			if res != nil || e.Outcome != submission.NotSent || e.Stage != tt.stage || e.Temporary() != tt.temporary {
				t.Errorf("result %v, outcome %v, stage %v, temporary %v: %v", res, e.Outcome, e.Stage, e.Temporary(), err)
			}
			if !errors.As(err, tt.as) {
				t.Errorf("the error wraps no %T: %v", tt.as, err)
			}
			if got := e.Reply; got == nil && tt.code != 0 || got != nil && got.Code != tt.code {
				t.Errorf("reply %v, want %d", got, tt.code)
			}
			for i, r := range e.Recipients {
				if r.Status != submission.RecipientUnsent || r.Reply.Code != 0 {
					t.Errorf("recipient %d: %v", i, r)
				}
			}
			if len(e.Recipients) != 2 || dials != 1 {
				t.Errorf("%d recipients, want 2; %d dials, want 1", len(e.Recipients), dials)
			}
		})
	}
}

// A recipient that is answered 503 speaks against the session, but a message that goes
// to the others is on its way: it is not started anew in the middle, and no command is
// written into a chunk that lacks its end.
func TestPreparedGoesOn(t *testing.T) {
	const two = "C: MAIL FROM:<a@test.example>\nC: RCPT TO:<b@test.example>\nC: RCPT TO:<c@test.example>\n"
	long := strings.Repeat("A line of the long message.\r\n", 3000)
	for name, tc := range map[string]struct {
		keywords []string
		script   string // after the envelope
		message  string
	}{
		"BDAT":       {[]string{"PIPELINING", "CHUNKING"}, "S: 250 ok\nS: 250 ok\nS: 503 what\n" + memoBDAT + "S: 250 taken\n", memo},
		"DATA":       {[]string{"PIPELINING"}, "C: DATA\nS: 250 ok\nS: 250 ok\nS: 503 what\nS: 354 go\n" + memoData + "S: 250 taken\n", memo},
		"BDAT, long": {[]string{"PIPELINING", "CHUNKING"}, "S: 250 ok\nS: 250 ok\nS: 503 what\nC: BDAT 87000 LAST\nC* 87000\nS: 250 taken\n", long},
		"DATA, long": {[]string{"PIPELINING"}, "C: DATA\nS: 250 ok\nS: 250 ok\nS: 503 what\nS: 354 go\nC* 87000\nC: .\nS: 250 taken\n", long},
	} {
		for _, prepare := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				first := flightOK
				if strings.HasPrefix(name, "BDAT") {
					first = "C: MAIL FROM:<a@test.example>\nC: RCPT TO:<b@test.example>\nS: 250 ok\nS: 250 ok\n" + memoBDAT + "S: 250 taken\n"
				}
				c := scriptedClient(t, nil, greeted(tc.keywords...)+first+two+tc.script+"C: QUIT\nS: 221 bye\neof")
				if _, err := c.Send(context.Background(), memoTo("b@test.example"), strings.NewReader(memo)); err != nil {
					t.Fatal(err)
				}
				env := memoTo("b@test.example", "c@test.example")
				env.Partial = true
				tx, err := c.Begin(context.Background(), env)
				if err != nil {
					t.Fatal(err)
				}
				defer tx.Abort()
				if _, err := io.WriteString(tx, tc.message); err != nil {
					t.Fatal(err)
				}
				if prepare {
					if err := tx.Prepare(); err != nil {
						t.Fatal(err)
					}
				}
				res, err := tx.Commit()
				verdict{outcome: submission.PartlySent, stage: submission.StageRcpt, code: 503,
					status: []submission.RecipientStatus{submission.RecipientSent, submission.RecipientInvalid}}.check(t, res, err)
			})
		}
	}
}

// A prepared message is held back still: what speaks against a used session when it is
// committed has it start once more, like any other. On a fresh session that is final.
func TestPoolStartsPreparedMessageAgain(t *testing.T) {
	for name, answer := range map[string]*habitAnswer{
		"too many of a session":     {reply: "452 4.4.5 enough"},
		"the end of the session":    {reply: "421 4.3.2 bye", closes: true},
		"bad sequence":              {reply: "503 5.5.1 what"},
		"ended before Commit":       nil,
		"its content, which is not": {reply: "554 5.6.0 no"},
	} {
		for carrier, keywords := range carriers {
			for _, fresh := range []bool{false, true} {
				promise(t, fmt.Sprint(name, ", ", carrier, ", fresh ", fresh), func(t *testing.T) {
					srv := newHabitServer(keywords...)
					srv.habit = func(p *habitSession, verb, _ string) *habitAnswer {
						if verb == "MESSAGE" && p.id == 1 && (fresh || p.accepted > 0) {
							return answer
						}
						return nil
					}
					c := srv.client(t)
					if !fresh {
						if err := sendNumber(t.Context(), c, 0); err != nil {
							t.Fatal(err)
						}
					}
					tx, err := c.Begin(t.Context(), memoTo("b@test.example"))
					if err != nil {
						t.Fatal(err)
					}
					mustWrite(t, tx, memo)
					if err := tx.Prepare(); err != nil {
						t.Fatal(err)
					}
					if answer == nil {
						srv.session(1).hangUp()
					}
					_, err = tx.Commit()
					restarts := 1
					if fresh || strings.HasSuffix(name, "not") {
						wantOutcome(t, err, submission.NotSent)
						restarts = 0
					} else if err != nil {
						t.Error(err)
					}
					text := strings.ReplaceAll(memo, "\n", "\r\n")
					if st := c.Stats(); st.Restarts != uint64(restarts) || srv.has(text) != restarts {
						t.Errorf("%d restarts, and the server has it %d times, want %d", st.Restarts, srv.has(text), restarts)
					}
					wantClosed(t, c, srv)
				})
			}
		}
	}
}

// A message shares the flight of its envelope only where a refusal can do no harm: not
// on a session that has something to forget first, and not all or nothing to several.
func TestEarlyDataStaysBack(t *testing.T) {
	two := "C: MAIL FROM:<a@test.example>\nC: RCPT TO:<b@test.example>\nC: RCPT TO:<c@test.example>\n"
	one := "C: MAIL FROM:<a@test.example>\nC: RCPT TO:<b@test.example>\n"
	s := openSession(t, smtptest.Play(t, greeted("PIPELINING", "CHUNKING")+
		two+"S: 250 ok\nS: 250 ok\nS: 250 ok\n"+memoBDAT+"S: 250 taken\n"+
		two+"S: 250 ok\nS: 250 ok\nS: 450 later\n"+
		"C: RSET\n"+one+"S: 250 reset\nS: 250 ok\nS: 250 ok\n"+memoBDAT+"S: 250 taken\n"+
		one+memoBDAT+"S: 250 ok\nS: 250 ok\nS: 250 taken\nC: QUIT\nS: 221 bye\neof"),
		plainText(func(o *submission.Options) { o.EarlyData = true }))
	mustSend(t, s, memoTo("b@test.example", "c@test.example"))
	if _, err := send(s, memoTo("b@test.example", "c@test.example")); err == nil {
		t.Error("a message for one of two was sent, all or nothing")
	}
	mustSend(t, s, memoTo("b@test.example"))
	mustSend(t, s, memoTo("b@test.example"))
	s.Close()
}

// A used session that turns out dead at its second EHLO, which an envelope that asks for
// more is the reason of, costs the message nothing: nothing of it was sent.
func TestStartsAgainAfterSecondEHLO(t *testing.T) {
	const (
		ehlo  = "C: EHLO client.test.example\nS: 250-mail.test.example\nS: 250-PIPELINING\nS: 250 AUTH PLAIN\n"
		login = "S: 220 hi\n" + ehlo + "C: AUTH PLAIN AHVzZXIAc2VjcmV0\nS: 235 welcome\n"
		more  = "C: EHLO client.test.example\nS: 250-mail.test.example\nS: 250-PIPELINING\nS: 250 DSN\n"
	)
	dsn := strings.Replace(flightOK, "FROM:<a@test.example>", "FROM:<a@test.example> RET=HDRS", 1)
	for _, end := range []string{"close", "reset", "S: 421 4.4.2 idle", "S: what", "S: 221 bye"} {
		t.Run(end, func(t *testing.T) {
			c := scriptedClient(t, func(o *submission.Options) {
				o.InsecureAuth = true
				o.Auth = submission.Password{Username: "user", Password: "secret", Mechanisms: []string{"PLAIN"}}
			}, login+flightOK+"C: EHLO client.test.example\n"+end+"\neof", login+more+dsn+"C: QUIT\nS: 221 bye\neof")
			if _, err := c.Send(context.Background(), memoTo("b@test.example"), strings.NewReader(memo)); err != nil {
				t.Fatal(err)
			}
			env := memoTo("b@test.example")
			env.DSN.Return = submission.ReturnHeaders
			if _, err := c.Send(context.Background(), env, strings.NewReader(memo)); err != nil {
				t.Error(err)
			}
		})
	}
}
