package submission_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/fe022423/submission"
)

// The calls of Trace for one message, which are those of the listeners of JavaMail.
func TestTraceEvents(t *testing.T) {
	var events []string
	note := func(format string, args ...any) { events = append(events, fmt.Sprintf(format, args...)) }
	c := scriptedClient(t, func(o *submission.Options) {
		o.Trace = &submission.Trace{
			Connected:   func(network, addr string, reused bool) { note("connected %s %s %v", network, addr, reused) },
			Sent:        func(line string) { note("C: %s", line) },
			Received:    func(r submission.Reply) { note("S: %v", r) },
			MessageSent: func(octets int64, _ time.Duration) { note("%d octets", octets) },
			Closed:      func(err error) { note("closed %v", err) },
		}
	}, poolGreeting+poolMessage+poolQuit)
	if err := poolSend(c); err != nil {
		t.Fatal(err)
	}
	c.Close()
	want := []string{
		"connected pipe mail.test.example:25 false", "S: 220 mail.test.example",
		"C: EHLO client.test.example", "S: 250 mail.test.example; PIPELINING",
		"C: MAIL FROM:<a@test.example>", "C: RCPT TO:<b@test.example>", "C: DATA", "S: 250 ok", "S: 250 ok", "S: 354 go",
		"23 octets", "S: 250 taken", "C: QUIT", "S: 221 bye", "closed <nil>",
	}
	if !slices.Equal(events, want) {
		t.Errorf("got %q\nwant %q", events, want)
	}
}
