package submission_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/fe022423/submission"
)

// typedError are the methods of every error type of the package.
type typedError interface {
	error
	Unwrap() error
	Temporary() bool
}

// hostile is text of a server or a caller that would do something to a terminal or a log:
// it changes colours, clears the screen, reverses and hides text, and splits lines.
const hostile = "evil\x1b[2J\x1b]0;title\x07\r\nX: y\n\x00\x08\x7f\u0085\u009b31m\u200b\u200e\u202eabc\u202c\u2028\u2029\u2066\ufeff\U000e0041\xff\xc3 end"

// checkPrintable checks that text is one line and does nothing to a terminal.
func checkPrintable(t *testing.T, text string) {
	t.Helper()
	if !utf8.ValidString(text) {
		t.Errorf("not UTF-8: %q", text)
	}
	for _, r := range text {
		if !unicode.IsPrint(r) {
			t.Errorf("%U in %q", r, text)
			return
		}
	}
}

// The text of every error type, with hostile text in every field.
func TestErrorTextEscaped(t *testing.T) {
	reply := &submission.Reply{Code: 550, Lines: []string{hostile, hostile}}
	cause := errors.New(hostile)
	address := &submission.AddressError{Addr: hostile, Reply: reply}
	sender := &submission.SenderError{Addr: hostile, Reply: reply}
	for _, err := range []typedError{
		sender, &submission.SenderError{Addr: hostile, Err: cause}, address, &submission.AddressError{Addr: hostile, Err: cause},
		&submission.SendError{Stage: submission.StageFinal, Reply: reply}, &submission.SendError{Stage: submission.StageMessage, Err: cause},
		&submission.SendError{Stage: submission.StageRcpt, Reply: reply, Err: address}, &submission.SendError{Stage: submission.StageMail, Reply: reply, Err: sender},
		&submission.SendError{Err: errors.Join(address, sender, cause)}, &submission.SendError{Err: fmt.Errorf("wrapped: %w", address)},
		&submission.ConnectError{Addr: "host:25", Reply: reply, Err: cause}, &submission.TLSError{Host: "host", Err: cause},
		&submission.AuthError{Mechanism: hostile, Reply: reply, Err: cause}, &submission.AuthError{Offered: []string{hostile}},
	} {
		checkPrintable(t, err.Error())
		if !strings.HasPrefix(err.Error(), "submission: ") {
			t.Errorf("%T: %q", err, err.Error())
		}
	}
	p := &submission.ProtocolError{Text: hostile}
	checkPrintable(t, p.Error())
}

// The zero value of every error type has a text.
func TestZeroErrors(t *testing.T) {
	for _, err := range []error{
		&submission.SendError{}, &submission.SenderError{}, &submission.AddressError{}, &submission.ConnectError{},
		&submission.TLSError{}, &submission.AuthError{}, &submission.ProtocolError{}, &submission.OptionError{},
	} {
		if !strings.HasPrefix(err.Error(), "submission: ") || isTemporary(err) || errors.Unwrap(err) != nil {
			t.Errorf("%T: %q", err, err.Error())
		}
	}
}

// What a server says is raw in Reply.Lines, and escaped in the text of errors.
func TestServerTextEscaped(t *testing.T) {
	const nasty = `550-5.7.1 \x1b[2Jno\x07\r\n550 \xe2\x80\xaeright to left\xff\x00\r\n`
	for stage, script := range map[submission.Stage]string{
		submission.StageMail:  "C: MAIL FROM:<a@test.example>\nS> " + nasty + "\n",
		submission.StageRcpt:  way{}.until(atRcpt1) + "S> " + nasty + "\n",
		submission.StageFinal: strings.Replace(stepsOK, "S: 250 taken", "S> "+nasty, 1),
	} {
		s := openSession(t, play(t, "whole", greeted()+script+"C: QUIT\nS: 221 bye\neof"), plainText())
		_, err := send(s, memoTo("b@test.example"))
		s.Close()
		verdict{stage: stage, code: 550}.check(t, nil, err)
		checkPrintable(t, err.Error())
		if !strings.Contains(err.Error(), `\x1b[2Jno\a`) || !strings.Contains(err.Error(), `\u202eright to left\xff\x00`) {
			t.Errorf("%v: %s", stage, err)
		}
		if strings.Count(err.Error(), "right to left") != 1 {
			t.Errorf("the error repeats the reply: %v", err)
		}
		r := err.(*submission.SendError).Reply
		if r.Lines[0] != "5.7.1 \x1b[2Jno\x07" || r.Lines[1] != "\u202eright to left\xff\x00" || r.Enhanced != (submission.EnhancedCode{5, 7, 1}) {
			t.Errorf("%q", r.Lines)
		}
		checkPrintable(t, r.String())
	}
}

// The text of an error says a 421 once, too.
func TestClosingSaidOnce(t *testing.T) {
	for at := range stageAt {
		w := way{}
		s := openSession(t, play(t, "whole", w.greeting()+w.until(at)+"S: 421 4.3.2 shutting down\neof"), plainText())
		_, err := send(s, w.envelope())
		if err == nil || strings.Count(err.Error(), "shutting down") != 1 {
			t.Errorf("%v", err)
		}
	}
}

// The hint for a 535 depends on what the mechanism sends: without a password it is not wrong.
func TestAuthHints(t *testing.T) {
	for mechanism, want := range map[string]string{
		"PLAIN": "user name or password wrong", "SCRAM-SHA-256": "user name or password wrong",
		"XOAUTH2": "the token was refused", "OAUTHBEARER": "the token was refused",
		"EXTERNAL": "", "X-OWN": "",
	} {
		err := &submission.AuthError{Mechanism: mechanism, Reply: &submission.Reply{Code: 535, Lines: []string{"no"}}}
		_, hint, found := strings.Cut(err.Error(), "535 no (")
		if found != (want != "") || !strings.HasPrefix(hint, want) {
			t.Errorf("%v: want the hint %q", err, want)
		}
	}
}

// errors.As and errors.Is find the typed errors and their causes through any wrapping.
func TestErrorsReachable(t *testing.T) {
	sendAll := func(script string, env submission.Envelope) error {
		s := openSession(t, play(t, "whole", greeted("PIPELINING")+script), plainText())
		defer s.Close()
		_, err := send(s, env)
		return fmt.Errorf("job 7: %w", fmt.Errorf("mail: %w", err))
	}
	flight := "C: MAIL FROM:<a@test.example>\nC: RCPT TO:<b@test.example>\nC: RCPT TO:<c@test.example>\n"
	env := memoTo("b@test.example", "c@test.example")

	err := sendAll(flight+"S: 450 x\nS: 503 x\nS: 503 x\nC: QUIT\nS: 221 x\neof", env)
	var send *submission.SendError
	var sender *submission.SenderError
	if !errors.As(err, &send) || !errors.As(err, &sender) || sender.Reply == nil || sender.Reply.Code != 450 || sender.Addr != "a@test.example" || !sender.Temporary() {
		t.Errorf("%v", err)
	}

	err = sendAll(flight+"S: 250 x\nS: 550 x\nS: 552 x\nreset", env)
	var address *submission.AddressError
	if !errors.As(err, &address) || address.Addr != "b@test.example" || address.Temporary() || len(addressErrors(err)) != 2 {
		t.Errorf("%v", err)
	}

	err = sendAll(flight+"S: 250 x\nS: 550 x\nreset", env)
	var op *net.OpError
	if !errors.As(err, &address) || !errors.Is(err, errnoReset) || !errors.As(err, &op) {
		t.Errorf("the refusal or the loss is missing: %v", err)
	}

	err = sendAll(flight+"S: 250 x\nclose", env)
	if !errors.Is(err, io.EOF) {
		t.Errorf("%v", err)
	}

	err = sendAll(flight+"S: 250 x\nS: ???\neof", env)
	var protocol *submission.ProtocolError
	if !errors.As(err, &protocol) || protocol.Stage != submission.StageRcpt || protocol.Temporary() || !strings.Contains(protocol.Text, "???") {
		t.Errorf("%v", err)
	}
}

// The error wraps an error of the caller: of a source, or the cause of a context.
func TestOwnErrorsReachable(t *testing.T) {
	cause := &net.DNSError{Err: "of another protocol", Name: "x"}
	s := openSession(t, play(t, "whole", greeted()+"eof"), plainText())
	_, err := s.Send(context.Background(), memoTo("b@test.example"), &failing{err: fmt.Errorf("template: %w", cause)})
	var dns *net.DNSError
	if !errors.As(err, &dns) || dns != cause {
		t.Errorf("%v", err)
	}
	verdict{stage: submission.StageMessage, is: cause}.check(t, nil, err)

	s = openSession(t, play(t, "whole", greeted()+"stall"), plainText())
	why := errors.New("maintenance")
	ctx, cancel := context.WithCancelCause(context.Background())
	go cancel(why)
	_, err = s.Send(ctx, memoTo("b@test.example"), strings.NewReader(memo))
	if !errors.Is(err, why) || !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	checkErrorText(t, err)
	s.Close()
}

// What Temporary returns for each code of a reply.
func TestReplyTemporary(t *testing.T) {
	for code := 200; code < 600; code++ {
		r := submission.Reply{Code: code}
		if r.Temporary() != (code/100 == 4) || r.Permanent() != (code/100 == 5) {
			t.Errorf("%d: %v, %v", code, r.Temporary(), r.Permanent())
		}
		if e := (&submission.SenderError{Reply: &r}); e.Temporary() != (code/100 == 4) {
			t.Errorf("SenderError %d: %v", code, e.Temporary())
		}
		// RFC 5321, 4.5.3.1.10; and a 221 that no QUIT asked for.
		if e := (&submission.AddressError{Reply: &r}); e.Temporary() != (code/100 == 4 || code == 552 || code == 221) {
			t.Errorf("AddressError %d: %v", code, e.Temporary())
		}
		for stage := submission.StageData; stage <= submission.StageFinal; stage++ {
			// A 221 that no QUIT asked for means what 421 means.
			if e := (&submission.SendError{Stage: stage, Reply: &r}); e.Temporary() != (code/100 == 4 || code == 221) {
				t.Errorf("SendError at %v, %d: %v", stage, code, e.Temporary())
			}
		}
	}
}

// An Unknown outcome is never Temporary, whatever else is in the error.
func TestUnknownNotTemporary(t *testing.T) {
	temporary := &submission.AddressError{Reply: &submission.Reply{Code: 450}}
	for stage := submission.StageDial; stage <= submission.StageCommand; stage++ {
		for _, e := range []*submission.SendError{
			{Outcome: submission.Unknown, Stage: stage},
			{Outcome: submission.Unknown, Stage: stage, Reply: &submission.Reply{Code: 450}},
			{Outcome: submission.Unknown, Stage: stage, Err: temporary},
			{Outcome: submission.Unknown, Stage: stage, Reply: &submission.Reply{Code: 421}, Err: errors.Join(temporary, temporary)},
		} {
			if e.Temporary() {
				t.Errorf("%v is temporary", e)
			}
		}
	}
}

// The text of an error names a few causes and counts the others.
func TestManyCausesShort(t *testing.T) {
	script, replies := "C: MAIL FROM:<a@test.example>\n", "S: 250 ok\n"
	var env submission.Envelope
	env.From = "a@test.example"
	for i := range 40 {
		env.To = append(env.To, submission.Recipient{Addr: fmt.Sprintf("r%d@test.example", i)})
		script += fmt.Sprintf("C: RCPT TO:<r%d@test.example>\n", i)
		replies += "S: 550 5.1.1 no such user\n"
	}
	s := openSession(t, play(t, "whole", greeted("PIPELINING")+script+replies+"C: QUIT\nS: 221 bye\neof"), plainText())
	defer s.Close()
	_, err := send(s, env)
	if n := len(addressErrors(err)); n != 40 {
		t.Errorf("%d address errors, want 40", n)
	}
	if text := err.Error(); !strings.Contains(text, "r0@test.example") || !strings.Contains(text, "37 more") || len(text) > 500 {
		t.Errorf("%d octets: %s", len(text), text)
	}
}

// The String methods.
func TestNames(t *testing.T) {
	for stage := submission.StageDial; stage <= submission.StageCommand; stage++ {
		if s := stage.String(); s == "" || strings.HasPrefix(s, "Stage(") {
			t.Errorf("stage %d has no name: %q", stage, s)
		}
	}
	for want, got := range map[string]fmt.Stringer{
		"not sent": submission.NotSent, "partly sent": submission.PartlySent, "outcome unknown": submission.Unknown,
		"unsent": submission.RecipientUnsent, "sent": submission.RecipientSent, "invalid": submission.RecipientInvalid, "uncertain": submission.RecipientUncertain,
		"Stage(99)": submission.Stage(99), "MAIL": submission.StageMail, "5.1.1": submission.EnhancedCode{5, 1, 1}, "": submission.EnhancedCode{},
		"no reply": submission.Reply{}, "250": submission.Reply{Code: 250, Lines: []string{""}}, "250 a; b": submission.Reply{Code: 250, Lines: []string{"a", "b"}},
	} {
		if got.String() != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestProtocolErrorTextIsEscaped has a server leave the protocol at every stage, with
// words that act on a terminal: they are escaped where they enter, in Text.
func TestProtocolErrorTextIsEscaped(t *testing.T) {
	const evil = `\x1b[2J\x07\x00\x7f\x9b31m\xe2\x80\xae`
	const session = "S: 220 hi\nC: EHLO client.test.example\nS: 250 mail\n"
	const envelope = session + "C: MAIL FROM:<a@test.example>\nS: 250 ok\nC: RCPT TO:<b@test.example>\nS: 250 ok\nC: DATA\n"
	for name, script := range map[string]string{
		"greeting, garbage":      `S> ` + evil + `\r\n` + "\neof",
		"greeting, half a reply": `S> 220-hi\r\n554 ` + evil + `\r\n` + "\neof",
		"greeting 250":           `S> 250 ` + evil + `\r\n` + "\neof",
		"greeting, bare LF":      `S> 220 ` + evil + `\n` + "\neof",
		"EHLO, garbage":          "S: 220 hi\nC: EHLO client.test.example\n" + `S> ` + evil + `\r\n` + "\neof",
		"EHLO 354":               "S: 220 hi\nC: EHLO client.test.example\n" + `S> 354 ` + evil + `\r\n` + "\neof",
		"AUTH 250":               offersAuth("PLAIN") + authPlain + `S> 250 ` + evil + `\r\n` + "\neof",
		"AUTH, garbage":          offersAuth("PLAIN") + authPlain + `S> ` + evil + `\r\n` + "\neof",
		"MAIL, garbage":          session + "C: MAIL FROM:<a@test.example>\n" + `S> ` + evil + `\r\n` + "\neof",
		"MAIL 354":               session + "C: MAIL FROM:<a@test.example>\n" + `S> 354 ` + evil + `\r\n` + "\neof",
		"DATA 250":               envelope + `S> 250 ` + evil + `\r\n` + "\neof",
		"final, garbage":         envelope + "S: 354 go\nC: x\nC: .\n" + `S> ` + evil + `\r\n` + "\neof",
	} {
		t.Run(name, func(t *testing.T) {
			o := plainText()
			if strings.HasPrefix(name, "AUTH") {
				o = plainText(withAuthInClear(testPassword))
			}
			s, err := submission.NewSession(context.Background(), play(t, "joined", script), testHost, o)
			if err == nil {
				_, err = s.Send(context.Background(), submission.Envelope{From: "a@test.example", To: submission.To("b@test.example")}, strings.NewReader("x\n"))
			}
			p := wantError[*submission.ProtocolError](t, err)
			checkPrintable(t, p.Text)
			checkPrintable(t, p.Error())
			if !strings.Contains(p.Text, `\x1b`) && !strings.Contains(p.Text, `\a`) {
				t.Errorf("the server's text is not there: %q", p.Text)
			}
		})
	}
}

// TestOfferedIsEscaped has a server offer mechanisms with names that act on a terminal.
func TestOfferedIsEscaped(t *testing.T) {
	script := hello + "S: 250-mail\n" + `S> 250 AUTH \x1b[2JEVIL BEL\x07\r\n` + quit
	_, err := submission.NewSession(context.Background(), play(t, "whole", script), testHost, plainText(withAuthInClear(testPassword)))
	e := wantError[*submission.AuthError](t, err)
	checkPrintable(t, strings.Join(e.Offered, " "))
	if !strings.Contains(e.Error(), `offered are \x1b[2JEVIL BEL\a`) {
		t.Error(e)
	}
	for cause := error(e); cause != nil; cause = errors.Unwrap(cause) {
		checkPrintable(t, cause.Error())
	}
}
