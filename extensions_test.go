package submission_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// A server may offer more to a client that it knows: what seems to be missing is
// asked about once more behind AUTH, and only then refused.
func TestExtensionsBehindAuth(t *testing.T) {
	const script = `
		S: 220 mail.test.example
		C: EHLO client.test.example
		S: 250-mail.test.example
		S: 250-PIPELINING
		S: 250 AUTH PLAIN
		C: AUTH PLAIN AHVzZXIAcGFzc3dvcmQ=
		S: 235 welcome
	`
	const message = `
		C: RCPT TO:<b@test.example>
		C: DATA
		S: 250 ok
		S: 250 ok
		S: 354 go
		C: text
		C: .
		S: 250 taken
	`
	auth := func(o *submission.Options) {
		o.Auth = submission.Password{Username: "user", Password: "password"}
	}
	env := submission.Envelope{From: "a@test.example", To: submission.To("b@test.example")}
	reported := env
	reported.DSN.Return = submission.ReturnHeaders
	send := func(t *testing.T, s *submission.Session, env submission.Envelope) error {
		t.Helper()
		_, err := s.Send(context.Background(), env, strings.NewReader("text\n"))
		return err
	}
	t.Run("offered then", func(t *testing.T) {
		s := openSession(t, smtptest.Play(t, script+`
			C: MAIL FROM:<a@test.example>`+message+`
			C: EHLO client.test.example
			S: 250-mail.test.example
			S: 250-PIPELINING
			S: 250 DSN
			C: MAIL FROM:<a@test.example> RET=HDRS`+message), plainText(auth))
		if err := send(t, s, env); err != nil {
			t.Fatal(err)
		}
		if err := send(t, s, reported); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("not then either", func(t *testing.T) {
		s := openSession(t, smtptest.Play(t, script+`
			C: EHLO client.test.example
			S: 250-mail.test.example
			S: 250 PIPELINING
			C: MAIL FROM:<a@test.example>`+message), plainText(auth))
		for range 2 { // asked about once
			if err := send(t, s, reported); !errors.Is(err, submission.ErrUnsupported) {
				t.Fatal(err)
			}
		}
		if err := send(t, s, env); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("EHLO refused", func(t *testing.T) {
		s := openSession(t, smtptest.Play(t, script+`
			C: EHLO client.test.example
			S: 503 once is enough
			C: MAIL FROM:<a@test.example>`+message), plainText(auth))
		if err := send(t, s, reported); !errors.Is(err, submission.ErrUnsupported) {
			t.Fatal(err)
		}
		if err := send(t, s, env); err != nil {
			t.Fatal(err)
		}
	})
}
