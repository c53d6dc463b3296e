package submission_test

import (
	"strings"
	"testing"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// The error of a message whose final reply makes no sense says what was replied.
func TestUnknownSaysWhatCame(t *testing.T) {
	for reply, want := range map[string]string{
		"S: 354 go on": "unexpected 354 go on",
		"S: hello":     "not an SMTP reply: hello",
		"close":        "the server closed the connection",
	} {
		for _, w := range []way{{}, {pipelined: true}, {chunked: true}, {pipelined: true, chunked: true}} {
			s := openSession(t, smtptest.Play(t, w.greeting()+w.until(atFinal)+reply+"\neof"), plainText())
			_, err := send(s, w.envelope())
			if err == nil || !strings.Contains(err.Error(), "final reply: outcome unknown: "+want) {
				t.Errorf("%v, %s: %v, want %q in it", w, reply, err, want)
			}
			s.Close()
		}
	}
}

// A 421 to MAIL is what stopped the message, whatever is said to the rest of its flight.
func TestClosingAtMailComesFirst(t *testing.T) {
	for _, rest := range []string{"S: 503 no\nS: 503 no\nS: 503 no\neof", "S: 503 no\nS: 503 no\nclose\neof", "close\neof"} {
		script := greeted("PIPELINING", "CHUNKING") + "C: " + strings.Join(way{chunked: true}.steps(), "\nC: ") + "\n" + memoBDAT + "S: 421 4.3.2 bye\n" + rest
		s := openSession(t, smtptest.Play(t, script), plainText(func(o *submission.Options) { o.EarlyData = true }))
		env := memoTo("b@test.example", "c@test.example")
		env.Partial = true
		res, err := send(s, env)
		verdict{stage: submission.StageMail, code: 421, temporary: true, codes: []int{0, 0},
			status: []submission.RecipientStatus{submission.RecipientUnsent, submission.RecipientUnsent}}.check(t, res, err)
		mustBeOver(t, s)
	}
}
