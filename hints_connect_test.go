package submission_test

import (
	"io"
	"strings"
	"testing"

	"github.com/fe022423/submission"
)

// What is not a reply is shown, and so is what a reply that does not end began with.
func TestHintReplyShown(t *testing.T) {
	for _, h := range []hinted{
		{name: "a line without a code", script: hello + "S: 250-mail\nS! SIZE 1000\nS! 250 DSN\neof", has: "not an SMTP reply: SIZE 1000", hasNot: "DSN|("},
		{name: "the first line without a code", script: hello + "S! mail.test.example at your service\neof", has: "not an SMTP reply: mail.test.example at your service"},
		{name: "no end, silence", script: hello + "S: 250-mail\nS: 250-SIZE 1000\nstall\neof", has: `no end of the reply that began "250-mail"|no answer within 5m0s`, temporary: true},
		{name: "no end, half a line", script: hello + "S> 250\nstall\neof", has: `no end of the reply that began "250"`, temporary: true},
		{name: "no end, the end", script: hello + "S: 250-mail\nS: 250-SIZE 1000\nclose\neof", has: `no end of the reply that began "250-mail"|closed the connection`, temporary: true, is: io.ErrUnexpectedEOF},
		{name: "no end of lines", script: hello + "S: 250-mail\nS> " + strings.Repeat(`250-X\r\n`, 10_000) + "\nstall\neof", has: `too many lines|no end of the reply that began "250-mail"`},
		{name: "too large", script: hello + "S: 250-mail\n" + strings.Repeat("S! 250-"+strings.Repeat("x", 1000)+"\n", 100) + "stall\neof", has: `too large|no end of the reply that began "250-mail"`},
		{name: "silence", script: hello + "stall\neof", has: "no answer within 5m0s", hasNot: "no end of", temporary: true},
		{name: "the end", script: hello + "close\neof", has: "closed the connection", hasNot: "no end of", temporary: true},
		{name: "a long line", script: hello + "S! " + strings.Repeat("x", 1000) + "\neof", has: strings.Repeat("x", 200), hasNot: strings.Repeat("x", 201)},
	} {
		h.run(t)
	}
}

// The text of a reply that does not end may repeat a secret.
func TestHintReplyShownHidesSecrets(t *testing.T) {
	for _, h := range []hinted{
		{name: "no end", script: offersAuth("PLAIN") + authPlain + "S: 535-the password is password\nclose\neof", has: "no end of the reply that began|***", hasNot: "is password", temporary: true,
			set: func(o *submission.Options) { o.Auth, o.InsecureAuth = testPassword, true }},
		{name: "not a reply", script: offersAuth("PLAIN") + authPlain + "S! your password is password\neof", has: "not an SMTP reply|***", hasNot: "is password",
			set: func(o *submission.Options) { o.Auth, o.InsecureAuth = testPassword, true }},
	} {
		h.run(t)
	}
}
