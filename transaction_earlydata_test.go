package submission_test

import (
	"context"
	"strings"
	"testing"

	"github.com/fe022423/submission"
)

// MAIL, RCPT and the message go out together. Each reply counts for what it answers.
func TestEarlyData(t *testing.T) {
	const greeting = `
		S: 220 mail.test.example
		C: EHLO client.test.example
		S: 250-mail.test.example
		S: 250-CHUNKING
		S: 250 PIPELINING
	`
	const flight = `
		C: MAIL FROM:<a@test.example>
		C: RCPT TO:<b@test.example>
		C: BDAT 10 LAST
		C: one
		C: two
	`
	for _, tc := range []struct {
		name, replies string
		outcome       submission.Outcome
		status        submission.RecipientStatus
	}{
		{"refused recipient", "S: 250 ok\nS: 550 5.1.1 who\nS: 503 nobody\neof\n", submission.NotSent, submission.RecipientInvalid},
		{"deferred recipient", "S: 250 ok\nS: 450 4.2.1 later\nS: 503 nobody\neof\n", submission.NotSent, submission.RecipientUnsent},
		{"refused sender", "S: 550 5.7.1 no\nS: 503 what\nS: 503 what\neof\n", submission.NotSent, submission.RecipientUnsent},
		{"refused message", "S: 250 ok\nS: 250 ok\nS: 554 5.6.0 spam\neof\n", submission.NotSent, submission.RecipientUnsent},
		{"chunk not swallowed", "deliver joined\nS: 250 ok\nS: 550 5.1.1 who\nS: 503 nobody\nS: 500 one?\nS: 500 two?\neof\n", submission.NotSent, submission.RecipientInvalid},
		{"message for nobody taken", "S: 250 ok\nS: 550 5.1.1 who\nS: 250 taken\neof\n", submission.NotSent, submission.RecipientInvalid},
		{"closed at once", "close\n", submission.Unknown, submission.RecipientUncertain},
		{"closed after MAIL", "S: 250 ok\nclose\n", submission.Unknown, submission.RecipientUncertain},
		{"closed after RCPT", "S: 250 ok\nS: 250 ok\nclose\n", submission.Unknown, submission.RecipientUncertain},
		{"closed after a refused MAIL", "S: 550 no\nclose\n", submission.NotSent, submission.RecipientUnsent},
		{"closed after a refused RCPT", "S: 250 ok\nS: 550 who\nclose\n", submission.NotSent, submission.RecipientInvalid},
		{"421 to MAIL", "S: 421 bye\nclose\n", submission.NotSent, submission.RecipientUnsent},
		{"421 to the message", "S: 250 ok\nS: 250 ok\nS: 421 bye\nclose\n", submission.NotSent, submission.RecipientUnsent},
		{"garbage", "S: 250 ok\nS: hello\neof\n", submission.Unknown, submission.RecipientUncertain},
	} {
		t.Run(tc.name, func(t *testing.T) {
			script := greeting + flight + tc.replies
			s := openSession(t, play(t, "whole", script), plainText(func(o *submission.Options) { o.EarlyData = true }))
			env := submission.Envelope{From: "a@test.example", To: submission.To("b@test.example")}
			_, err := s.Send(context.Background(), env, strings.NewReader("one\ntwo\n"))
			e := wantError[*submission.SendError](t, err)
			if e.Outcome != tc.outcome || e.Recipients[0].Status != tc.status {
				t.Errorf("%v, %v, want %v, %v: %v", e.Outcome, e.Recipients[0].Status, tc.outcome, tc.status, err)
			}
			// The server may have read a chunk that it refused as commands.
			if s.Usable() {
				t.Error("the session is still usable")
			}
		})
	}
}
