package submission_test

import (
	"strings"
	"testing"

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
