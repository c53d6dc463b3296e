package submission_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// The stage is named once, in front.
func TestAuthNamedOnce(t *testing.T) {
	for name, script := range map[string]string{
		"refused":     offersAuth("PLAIN") + authPlain + "S: 535 no" + quit,
		"not offered": hello + "S: 250 mail" + quit,
		"no common":   offersAuth("GSSAPI") + quit,
		"an end":      offersAuth("PLAIN") + authPlain + "close\neof",
		"garbage":     offersAuth("PLAIN") + authPlain + "S! welcome\neof",
		"closing":     offersAuth("PLAIN") + authPlain + "S: 421 closing\neof",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := submission.NewSession(t.Context(), play(t, "whole", script), testHost, plainText(withAuthInClear(testPassword)))
			if n := strings.Count(err.Error(), "AUTH"); n != 1 || !strings.HasPrefix(err.Error(), "submission: AUTH") {
				t.Errorf("%d times: %v", n, err)
			}
			o := plainText(withAuthInClear(testPassword))
			o.Dialer = dialFunc(func(context.Context, string, string) (net.Conn, error) { return play(t, "whole", script), nil })
			c, err := submission.New(testHost, o)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			err = poolSend(c)
			if n := strings.Count(err.Error(), "AUTH"); n != 1 || !strings.HasPrefix(err.Error(), "submission: AUTH") {
				t.Errorf("Send, %d times: %v", n, err)
			}
			if wantError[*submission.SendError](t, err).Stage != submission.StageAuth {
				t.Errorf("stage: %v", err)
			}
			wantSays(t, err, []string{"not sent"}, nil)
		})
	}
}

// Other stages are named once too.
func TestStageNamedOnce(t *testing.T) {
	for stage, script := range map[string]string{
		"greeting": "S! bogus\neof",
		"EHLO":     hello + "S: 354 go\neof",
		"STARTTLS": hello + "S: 250 mail" + quit,
	} {
		o := plainText(withTLS(submission.TLSStartTLS))
		o.Dialer = dialFunc(func(context.Context, string, string) (net.Conn, error) { return play(t, "whole", script), nil })
		c, err := submission.New(testHost, o)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		err = poolSend(c)
		if n := strings.Count(err.Error(), stage+":"); n != 1 || !strings.HasPrefix(err.Error(), "submission: "+stage+": not sent: ") {
			t.Errorf("%d times: %v", n, err)
		}
	}
}

// A thousand refusals: the first three, and how many more; and what came after them.
func TestHintManyRefusals(t *testing.T) {
	const n = 1000
	refused := func(t *testing.T, partial bool, hook func(smtptest.Command) *smtptest.Answer) error {
		srv := serve(t, &smtptest.Config{TLS: smtptest.NoTLS, Hook: hook})
		s := openSession(t, srv.Pipe(), plainText())
		defer s.Close()
		env := submission.Envelope{From: "a@test.example", Partial: partial}
		for i := range n {
			env.To = append(env.To, submission.Recipient{Addr: fmt.Sprintf("r%d@test.example", i)})
		}
		_, err := send(s, env)
		return err
	}
	who := func(c smtptest.Command) *smtptest.Answer {
		if c.Verb == "RCPT" {
			return &smtptest.Answer{Reply: "550 5.1.1 who"}
		}
		return nil
	}
	three := []string{"r0@test.example", "r1@test.example", "r2@test.example"}
	t.Run("all of them", func(t *testing.T) {
		wantSays(t, refused(t, true, who), append(three, "and 997 more"), []string{"r3@"})
	})
	t.Run("one taken", func(t *testing.T) {
		err := refused(t, true, func(c smtptest.Command) *smtptest.Answer {
			if strings.Contains(c.Line, "<r999@") {
				return nil
			}
			return who(c)
		})
		wantSays(t, err, append(three, "partly sent", "and 996 more"), []string{"r3@"})
	})
	t.Run("then the end", func(t *testing.T) {
		err := refused(t, true, func(c smtptest.Command) *smtptest.Answer {
			if strings.Contains(c.Line, "<r999@") {
				return &smtptest.Answer{Close: true}
			}
			return who(c)
		})
		wantSays(t, err, append(three, "and 996 more", "the server closed the connection"), []string{"r3@"})
	})
	t.Run("no addresses", func(t *testing.T) {
		c, err := submission.New(testHost, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		env := submission.Envelope{From: "a@test.example"}
		for i := range n {
			env.To = append(env.To, submission.Recipient{Addr: fmt.Sprintf("r%d", i)})
		}
		_, err = c.Send(t.Context(), env, strings.NewReader(memo))
		wantSays(t, err, []string{`"r0"`, `"r1"`, `"r2"`, "and 997 more"}, []string{"r3"})
	})
}
