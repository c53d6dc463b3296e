package submission_test

import (
	"testing"
	"time"

	"github.com/fe022423/submission"
)

// What the hooks are told of the life of a session: each line is the time, the caller whom
// the context names, the hook, the session with its messages, and the rest. It includes
// all that the listeners of JavaMail are told.
func TestTraceEvents(t *testing.T) {
	tell(t, "fresh, then reused", nil, func(t *testing.T, a *tale) {
		a.send("ann", 0)
		a.check(t, `
			0s ann DialStart mail.test.example:25
			1s ann Received #1(0) 220 mail.test.example
			1s ann Sent #1(0) EHLO client.test.example
			2s ann Received #1(0) 250 mail.test.example; HELP
			2s ann DialDone #1(0) ok
			2s ann Sent #1(0) MAIL FROM:<a@test.example>
			3s ann Received #1(0) 250 sender ok
			3s ann Sent #1(0) RCPT TO:<b@test.example>
			4s ann Received #1(0) 250 recipient ok
			4s ann Sent #1(0) DATA
			5s ann Received #1(0) 354 go
			6s ann Received #1(0) 250 taken
			6s ann Done #1(1), from 0s, 1 x, to 1, 20 bytes, dialed 2s, envelope 3s, final 1s, sent`)
		a.send("bob", 1)
		a.check(t, `
			6s bob Reused #1(1)
			6s bob Sent #1(1) MAIL FROM:<a@test.example>
			7s bob Received #1(1) 250 sender ok
			7s bob Sent #1(1) RCPT TO:<b@test.example>
			8s bob Received #1(1) 250 recipient ok
			8s bob Sent #1(1) DATA
			9s bob Received #1(1) 354 go
			10s bob Received #1(1) 250 taken
			10s bob Done #1(2), reused, from 6s, 1 x, to 1, 20 bytes, envelope 3s, final 1s, sent`)
		a.Close()
		a.check(t, `
			10s nobody Sent #1(2) QUIT
			10.5s nobody Received #1(2) 221 bye
			10.5s Closed #1(2) ok`)
	})

	tell(t, "asked first, then too old", func(srv *habitServer, o *submission.Options) {
		srv.keywords, srv.habit = []string{"PIPELINING"}, slowAt("NOOP MESSAGE QUIT")
		o.Pool.MaxAge = 5 * time.Second
	}, func(t *testing.T, a *tale) {
		a.Ping(as("ann"))
		time.Sleep(2 * time.Second)
		a.send("bob", 1)
		a.check(t, `
			0s ann DialStart mail.test.example:25
			0s ann Received #1(0) 220 mail.test.example
			0s ann Sent #1(0) EHLO client.test.example
			0s ann Received #1(0) 250 mail.test.example; PIPELINING; HELP
			0s ann DialDone #1(0) ok
			2s bob Sent #1(0) NOOP
			3s bob Received #1(0) 250 here
			3s bob Reused #1(0)
			3s bob Sent #1(0) MAIL FROM:<a@test.example>
			3s bob Sent #1(0) RCPT TO:<b@test.example>
			3s bob Sent #1(0) DATA
			3s bob Received #1(0) 250 sender ok
			3s bob Received #1(0) 250 recipient ok
			3s bob Received #1(0) 354 go
			4s bob Received #1(0) 250 taken
			4s bob Done #1(1), reused, from 2s, 1 x, to 1, 20 bytes, waited 1s, final 1s, sent`)
		time.Sleep(2 * time.Second)
		a.Ping(as("cyd"))
		a.check(t, `
			6s cyd Sent #1(1) QUIT
			6s Closed #1(1) ok
			6s cyd DialStart mail.test.example:25
			6s cyd Received #2(0) 220 mail.test.example
			6s cyd Sent #2(0) EHLO client.test.example
			6s cyd Received #2(0) 250 mail.test.example; PIPELINING; HELP
			6s cyd DialDone #2(0) ok`)
	})

	tell(t, "closed by the Client after its last message", func(srv *habitServer, o *submission.Options) {
		srv.keywords, srv.habit = []string{"PIPELINING"}, slowAt("QUIT")
		o.Pool.MaxMessages = 1
		o.Trace.Sent, o.Trace.Received = nil, nil
	}, func(t *testing.T, a *tale) {
		a.send("ann", 0)
		time.Sleep(time.Minute)
		a.check(t, `
			0s ann DialStart mail.test.example:25
			0s ann DialDone #1(0) ok
			0s ann Done #1(1), from 0s, 1 x, to 1, 20 bytes, sent
			500ms Closed #1(1) ok`)
	})
}
