package submission_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fe022423/submission"
)

// pipelines has the server offer PIPELINING and more, and be slow at verbs only. Lines and
// replies are not written down.
func pipelines(verbs string, more ...string) func(*habitServer, *submission.Options) {
	return func(srv *habitServer, o *submission.Options) {
		srv.keywords, srv.habit = append(more, "PIPELINING"), slowAt(verbs)
		o.Trace.Sent, o.Trace.Received = nil, nil
	}
}

// What the hooks are told of sends: those that are refused, by the server or before.
func TestTraceRefused(t *testing.T) {
	refusing := func(refused, reply string) func(*habitServer, *submission.Options) {
		return func(srv *habitServer, o *submission.Options) {
			pipelines("", "SIZE 1000")(srv, o)
			srv.habit = func(_ *habitSession, verb, _ string) *habitAnswer {
				switch verb {
				case refused:
					return &habitAnswer{reply: reply, delay: time.Second}
				case "CONNECT", "MAIL", "QUIT":
					return slowAt(verb)(nil, verb, "")
				}
				return nil
			}
		}
	}
	for _, tt := range []struct{ verb, reply, want string }{
		{"MAIL", "550 no", "envelope 1s, not sent at MAIL"},
		{"RCPT", "550 no", "envelope 2s, not sent at RCPT"},
		{"DATA", "554 no", "envelope 2s, not sent at DATA"},
		{"MESSAGE", "554 no", "envelope 1s, final 1s, not sent at final reply"},
		{"MESSAGE", "what", "envelope 1s, final 1s, outcome unknown at final reply"},
	} {
		tell(t, tt.verb+" "+tt.reply, refusing(tt.verb, tt.reply), func(t *testing.T, a *tale) {
			a.send("ann", 0)
			closed := ""
			if tt.reply == "what" {
				closed = "\n3s Closed #1(0) ProtocolError"
			}
			took := "2s"
			if tt.verb != "MAIL" {
				took = "3s"
			}
			a.check(t, `
				0s ann DialStart mail.test.example:25
				1s ann DialDone #1(0) ok`+closed+`
				`+took+` ann Done #1(0), from 0s, 1 x, to 1, 20 bytes, dialed 1s, `+tt.want)
		})
	}

	tell(t, "partly sent", pipelines("MESSAGE"), func(t *testing.T, a *tale) {
		a.srv.habit = func(_ *habitSession, verb, line string) *habitAnswer {
			if verb == "RCPT" && strings.Contains(line, "<c@") {
				return &habitAnswer{reply: "550 no"}
			}
			return slowAt("MESSAGE")(nil, verb, line)
		}
		env := memoTo("b@test.example", "c@test.example")
		env.Partial = true
		a.Send(as("ann"), env, strings.NewReader(memo))
		a.check(t, `
			0s ann DialStart mail.test.example:25
			0s ann DialDone #1(0) ok
			1s ann Done #1(1), from 0s, 1 x, to 2, 23 bytes, final 1s, sent, partly sent at RCPT`)
	})

	tell(t, "before anything was sent", pipelines("CONNECT", "SIZE 10"), func(t *testing.T, a *tale) {
		a.Send(as("ann"), submission.Envelope{From: "a@test.example"}, strings.NewReader(memo))
		a.Send(as("ann"), memoTo("not an address", "b@test.example"), strings.NewReader(memo))
		a.Send(as("ann"), memoTo("b@test.example"), nil)
		a.SendFunc(as("ann"), memoTo("b@test.example"), nil)
		a.Begin(as("ann"), submission.Envelope{})
		gone, cancel := context.WithCancel(as("bob"))
		cancel()
		a.Send(gone, memoTo("b@test.example"), strings.NewReader(memo))
		a.Send(as("cyd"), memoTo("b@test.example"), &failing{err: io.ErrUnexpectedEOF, text: "x"})
		a.check(t, `
			0s ann Done none, from 0s, 0 x, to 0, 0 bytes, not sent at RCPT
			0s ann Done none, from 0s, 0 x, to 2, 0 bytes, not sent at RCPT
			0s ann Done none, from 0s, 0 x, to 1, 0 bytes, not sent at message
			0s ann Done none, from 0s, 0 x, to 1, 0 bytes, not sent at message
			0s ann Done none, from 0s, 0 x, to 0, 0 bytes, not sent at MAIL
			0s bob Done none, from 0s, 0 x, to 1, 0 bytes, not sent at MAIL
			0s cyd Done none, from 0s, 0 x, to 1, 3 bytes, not sent at message`)
		a.send("dan", 0) // is longer than the server takes
		a.check(t, `
			0s dan DialStart mail.test.example:25
			1s dan DialDone #1(0) ok
			1s dan Done #1(0), from 0s, 1 x, to 1, 20 bytes, dialed 1s, not sent at MAIL`)
		tx, err := a.Begin(as("eve"), memoTo("b@test.example"))
		if err != nil {
			t.Fatal(err)
		}
		a.Close()
		a.send("dan", 0)
		a.Begin(as("dan"), memoTo("b@test.example"))
		tx.Commit()
		a.check(t, `
			1s Closed #1(0) ok
			1s dan Done none, from 1s, 0 x, to 1, 0 bytes, not sent at wait
			1s dan Done none, from 1s, 0 x, to 1, 0 bytes, not sent at wait
			1s eve Done none, from 1s, 0 x, to 1, 0 bytes, not sent at wait`)
	})
}

// A message that starts once more, on a fresh session: one that is held back, one that is
// read again, and one that then finds no session.
func TestTraceRestart(t *testing.T) {
	enough := func(srv *habitServer, o *submission.Options) {
		pipelines("")(srv, o)
		srv.habit = func(s *habitSession, verb, line string) *habitAnswer {
			switch {
			case verb == "MAIL" && s.begun == 2:
				return &habitAnswer{reply: "452 4.4.5 enough", delay: time.Second}
			case verb == "CONNECT" && s.id == 3:
				return &habitAnswer{reply: "554 no", delay: time.Second}
			}
			return slowAt("CONNECT MESSAGE QUIT")(s, verb, line)
		}
	}
	text := habitText(0)
	longer := "Subject: long\r\n\r\n" + strings.Repeat(strings.Repeat("y", 70)+"\r\n", 1500)
	for name, tt := range map[string]struct {
		text, bytes, read string // read is how much of it is read before MAIL
	}{
		"held back":  {text, "20", "20"},
		"read again": {longer, "108017", "65537"},
	} {
		tell(t, name, enough, func(t *testing.T, a *tale) {
			a.send("ann", 0)
			a.Send(as("bob"), poolEnvelope, strings.NewReader(tt.text))
			a.check(t, `
				0s ann DialStart mail.test.example:25
				1s ann DialDone #1(0) ok
				2s ann Done #1(1), from 0s, 1 x, to 1, 20 bytes, dialed 1s, final 1s, sent
				2s bob Reused #1(1)
				3s bob Restart #1(1) not sent at MAIL
				3s bob DialStart mail.test.example:25
				3.5s Closed #1(1) ok
				4s bob DialDone #2(0) ok
				5s bob Done #2(1), from 2s, 2 x, to 1, `+tt.bytes+` bytes, dialed 1s, envelope 1s, final 1s, sent`)
			a.Send(as("cyd"), poolEnvelope, strings.NewReader(tt.text))
			a.check(t, `
				5s cyd Reused #2(1)
				6s cyd Restart #2(1) not sent at MAIL
				6s cyd DialStart mail.test.example:25
				6.5s Closed #2(1) ok
				7.5s Closed #3(0) ok
				7.5s cyd DialDone #3(0) ConnectError
				7.5s cyd Done #3(0), from 5s, 2 x, to 1, `+tt.read+` bytes, dialed 1.5s, envelope 1s, not sent at greeting`)
			if s := a.Stats(); s.Restarts != 2 {
				t.Errorf("%d restarts", s.Restarts)
			}
		})
	}
}

// A message that goes out several times, since the server takes one recipient at a time, is
// one message: its times are those of all transactions.
func TestTraceRanges(t *testing.T) {
	tell(t, "", pipelines("CONNECT MAIL MESSAGE", "LIMITS RCPTMAX=1"), func(t *testing.T, a *tale) {
		env := memoTo("b@test.example", "c@test.example", "d@test.example")
		env.Partial = true
		if _, err := a.Send(as("ann"), env, strings.NewReader(memo)); err != nil {
			t.Error(err)
		}
		a.check(t, `
			0s ann DialStart mail.test.example:25
			1s ann DialDone #1(0) ok
			7s ann Done #1(3), from 0s, 1 x, to 3, 23 bytes, dialed 1s, envelope 3s, final 3s, sent`)
	})
}

// A message that is refused at its end, for a reason that is the session's, is read again.
func TestTraceReadAgain(t *testing.T) {
	tell(t, "at its end", pipelines(""), func(t *testing.T, a *tale) {
		a.srv.habit = func(s *habitSession, verb, line string) *habitAnswer {
			if verb == "MESSAGE" && s.begun == 2 {
				return &habitAnswer{reply: "452 4.4.5 enough", delay: time.Second}
			}
			return slowAt("CONNECT MESSAGE QUIT")(s, verb, line)
		}
		a.send("ann", 0)
		if _, err := a.Send(as("bob"), poolEnvelope, strings.NewReader(long)); err != nil {
			t.Error(err)
		}
		a.check(t, `
			0s ann DialStart mail.test.example:25
			1s ann DialDone #1(0) ok
			2s ann Done #1(1), from 0s, 1 x, to 1, 20 bytes, dialed 1s, final 1s, sent
			2s bob Reused #1(1)
			3s bob Restart #1(1) not sent at final reply
			3s bob DialStart mail.test.example:25
			3.5s Closed #1(1) ok
			4s bob DialDone #2(0) ok
			5s bob Done #2(1), from 2s, 2 x, to 1, 284000 bytes, dialed 1s, final 2s, sent`)
	})
}

// A send that waits for a session: one whose message streams takes it when it is free; the
// envelope of one that is held back is on its way already, and its lines are shown as its
// own when it has the session.
func TestTraceWait(t *testing.T) {
	one := func(srv *habitServer, o *submission.Options) {
		srv.keywords, srv.habit = []string{"PIPELINING"}, slowAt("MESSAGE")
		o.Pool.MaxSessions = 1
	}
	tell(t, "waits, and rides", one, func(t *testing.T, a *tale) {
		ann := later(func() error { return a.send("ann", 0) }) // its end is out already
		bob := later(func() error { return a.send("bob", 1) })
		cyd := later(func() error { return a.send("cyd", 2) }) // rides behind the one of bob
		if err := errors.Join(<-ann, <-bob, <-cyd); err != nil {
			t.Error(err)
		}
		if got := a.srv.session(1).flights(); !strings.Contains(got[len(got)-1], "DATA|RSET|MAIL") {
			t.Errorf("the flights were %q", got)
		}
		a.check(t, `
			0s ann DialStart mail.test.example:25
			0s ann Received #1(0) 220 mail.test.example
			0s ann Sent #1(0) EHLO client.test.example
			0s ann Received #1(0) 250 mail.test.example; PIPELINING; HELP
			0s ann DialDone #1(0) ok
			0s ann Sent #1(0) MAIL FROM:<a@test.example>
			0s ann Sent #1(0) RCPT TO:<b@test.example>
			0s ann Sent #1(0) DATA
			0s ann Received #1(0) 250 sender ok
			0s ann Received #1(0) 250 recipient ok
			0s ann Received #1(0) 354 go
			0s bob Wait 1 in use, 1 waiting
			0s cyd Wait 1 in use, 2 waiting
			1s ann Received #1(0) 250 taken
			1s ann Done #1(1), from 0s, 1 x, to 1, 20 bytes, final 1s, sent
			1s bob Reused #1(1)
			1s bob Sent #1(1) MAIL FROM:<a@test.example>
			1s bob Sent #1(1) RCPT TO:<b@test.example>
			1s bob Sent #1(1) DATA
			1s bob Received #1(1) 250 sender ok
			1s bob Received #1(1) 250 recipient ok
			1s bob Received #1(1) 354 go
			2s bob Received #1(1) 250 taken
			2s bob Done #1(2), reused, from 0s, 1 x, to 1, 20 bytes, waited 1s, final 1s, sent
			2s cyd Reused #1(2)
			2s cyd Sent #1(2) RSET
			2s cyd Sent #1(2) MAIL FROM:<a@test.example>
			2s cyd Sent #1(2) RCPT TO:<b@test.example>
			2s cyd Sent #1(2) DATA
			2s cyd Received #1(2) 250 forgotten
			2s cyd Received #1(2) 250 sender ok
			2s cyd Received #1(2) 250 recipient ok
			2s cyd Received #1(2) 354 go
			3s cyd Received #1(2) 250 taken
			3s cyd Done #1(3), reused, from 0s, 1 x, to 1, 20 bytes, waited 2s, final 1s, sent`)
	})
	tell(t, "waits and gives up", func(srv *habitServer, o *submission.Options) {
		pipelines("RSET MESSAGE")(srv, o)
		o.Pool.MaxSessions = 1
	}, func(t *testing.T, a *tale) {
		tx, err := a.Begin(as("ann"), poolEnvelope)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(tx, "Subject: ann\r\n")
		if err := tx.Prepare(); err != nil {
			t.Fatal(err)
		}
		short, cancel := context.WithTimeout(as("bob"), 2*time.Second)
		defer cancel()
		bob := later(func() error { return sendNumber(short, a.Client, 1) })
		short, cancel = context.WithTimeout(as("cyd"), 3*time.Second)
		defer cancel()
		cyd := later(func() error { return a.Ping(short) })
		time.Sleep(4 * time.Second)
		<-bob
		<-cyd
		mustCommit(t, tx)
		a.check(t, `
			0s ann DialStart mail.test.example:25
			0s ann DialDone #1(0) ok
			0s bob Wait 1 in use, 1 waiting
			0s cyd Wait 1 in use, 2 waiting
			2s bob Done none, from 0s, 1 x, to 1, 20 bytes, waited 2s, not sent at wait
			5s ann Done #1(1), from 0s, 1 x, to 1, 14 bytes, message 4s, final 1s, sent`)
	})
	tell(t, "waits, starts once more and waits again", func(srv *habitServer, o *submission.Options) {
		pipelines("")(srv, o)
		srv.habit = func(s *habitSession, verb, line string) *habitAnswer {
			if verb == "MAIL" && s.begun == 2 {
				return &habitAnswer{reply: "452 4.4.5 enough", delay: time.Second}
			}
			return slowAt("MESSAGE QUIT CONNECT")(s, verb, line)
		}
		o.Pool.MaxSessions = 1
		o.Pool.MaxMessages = 3
	}, func(t *testing.T, a *tale) {
		tx, err := a.Begin(as("ann"), poolEnvelope)
		if err != nil {
			t.Fatal(err)
		}
		if err := tx.Prepare(); err != nil {
			t.Fatal(err)
		}
		bob := later(func() error {
			_, err := a.Send(as("bob"), poolEnvelope, strings.NewReader(long))
			return err
		})
		mustCommit(t, tx)
		if err := <-bob; err != nil {
			t.Error(err)
		}
		a.check(t, `
			0s ann DialStart mail.test.example:25
			1s ann DialDone #1(0) ok
			1s bob Wait 1 in use, 1 waiting
			2s ann Done #1(1), from 0s, 1 x, to 1, 0 bytes, dialed 1s, final 1s, sent
			2s bob Reused #1(1)
			3s bob Restart #1(1) not sent at MAIL
			3s Closed #1(1) ok
			3s bob DialStart mail.test.example:25
			4s bob DialDone #2(0) ok
			5s bob Done #2(1), from 1s, 2 x, to 1, 284000 bytes, waited 1s, dialed 1s, envelope 1s, final 1s, sent`)
		if s := a.Stats(); s.WaitCount < 2 {
			t.Errorf("it waited %d times", s.WaitCount)
		}
	})
	tell(t, "is refused a session and waits for another one", pipelines(""), func(t *testing.T, a *tale) {
		a.srv.habit = func(s *habitSession, verb, line string) *habitAnswer {
			if verb == "CONNECT" && s.id == 2 {
				return &habitAnswer{reply: "421 too many", closes: true, delay: time.Second}
			}
			return slowAt("CONNECT MESSAGE")(s, verb, line)
		}
		tx, err := a.Begin(as("ann"), poolEnvelope)
		if err != nil {
			t.Fatal(err)
		}
		if err := tx.Prepare(); err != nil {
			t.Fatal(err)
		}
		bob := later(func() error {
			_, err := a.Send(as("bob"), poolEnvelope, strings.NewReader(long))
			return err
		})
		time.Sleep(3 * time.Second)
		mustCommit(t, tx)
		if err := <-bob; err != nil {
			t.Error(err)
		}
		a.check(t, `
			0s ann DialStart mail.test.example:25
			1s ann DialDone #1(0) ok
			1s bob DialStart mail.test.example:25
			2s Closed #2(0) linkError
			2s bob DialDone #2(0) ConnectError
			2s bob Wait 1 in use, 1 waiting
			5s ann Done #1(1), from 0s, 1 x, to 1, 0 bytes, dialed 1s, message 3s, final 1s, sent
			5s bob Reused #1(1)
			6s bob Done #1(2), reused, from 1s, 1 x, to 1, 284000 bytes, waited 3s, dialed 1s, final 1s, sent`)
	})
	tell(t, "gives up on its ride", func(srv *habitServer, o *submission.Options) {
		one(srv, o)
		o.Trace.Received = nil
	}, func(t *testing.T, a *tale) {
		ann := later(func() error { return a.send("ann", 0) })
		bob := later(func() error { return a.send("bob", 1) })
		gone, cancel := context.WithTimeout(as("cyd"), 1500*time.Millisecond)
		defer cancel()
		cyd := later(func() error { return sendNumber(gone, a.Client, 2) })
		if err := errors.Join(<-ann, <-bob); err != nil || <-cyd == nil {
			t.Error(err)
		}
		synctest.Wait()
		a.mu.Lock()
		for i, line := range a.lines {
			if strings.HasPrefix(line, "1.5s cyd Done") {
				a.lines = a.lines[i:]
			}
		}
		a.mu.Unlock()
		a.check(t, `
			1.5s cyd Done none, from 0s, 1 x, to 1, 20 bytes, waited 1.5s, not sent at wait
			2s bob Done #1(2), reused, from 0s, 1 x, to 1, 20 bytes, waited 1s, final 1s, sent
			2s nobody Sent #1(2) RSET
			2s nobody Sent #1(2) MAIL FROM:<a@test.example>
			2s nobody Sent #1(2) RCPT TO:<b@test.example>
			2s nobody Sent #1(2) DATA
			2s Closed #1(2) linkError`)
	})
}

// A transaction that is fed, prepared and committed; one that streams from a slow source; one
// that is given up; one with EarlyData.
func TestTraceTransaction(t *testing.T) {
	tell(t, "prepared", pipelines("CONNECT MAIL MESSAGE"), func(t *testing.T, a *tale) {
		tx, err := a.Begin(as("ann"), poolEnvelope)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		io.WriteString(tx, "Subject: ann\r\n")
		if err := tx.Prepare(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		mustCommit(t, tx)
		tx.Abort()
		tx.Commit()
		a.check(t, `
			1s ann DialStart mail.test.example:25
			2s ann DialDone #1(0) ok
			6s ann Done #1(1), from 0s, 1 x, to 1, 14 bytes, dialed 1s, envelope 1s, message 2s, final 1s, sent`)
	})
	block := strings.Repeat(strings.Repeat("x", 62)+"\r\n", 512) // 32 KiB
	for _, way := range []string{"DATA", "CHUNKING"} {
		tell(t, "streamed "+way, pipelines("MAIL MESSAGE", way), func(t *testing.T, a *tale) {
			_, err := a.Send(as("ann"), poolEnvelope, slowSource(block, block, block, block, block))
			if err != nil {
				t.Fatal(err)
			}
			a.check(t, `
				3s ann DialStart mail.test.example:25
				3s ann DialDone #1(0) ok
				7s ann Done #1(1), from 0s, 1 x, to 1, 163840 bytes, envelope 1s, message 2s, final 1s, sent`)
		})
	}
	tell(t, "given up", pipelines("MAIL"), func(t *testing.T, a *tale) {
		for _, size := range []int{1, 4} {
			tx, err := a.Begin(as("ann"), poolEnvelope)
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(tx, strings.Repeat(block, size))
			tx.Abort()
			tx.Abort()
		}
		a.check(t, `
			0s ann Done none, from 0s, 0 x, to 1, 32768 bytes, not sent at message
			0s ann DialStart mail.test.example:25
			0s ann DialDone #1(0) ok
			1s Closed #1(0) linkError
			1s ann Done #1(0), from 0s, 1 x, to 1, 131072 bytes, envelope 1s, not sent at message`)
	})
	tell(t, "early", func(srv *habitServer, o *submission.Options) {
		pipelines("MAIL MESSAGE", "CHUNKING")(srv, o)
		o.EarlyData = true
	}, func(t *testing.T, a *tale) {
		a.send("ann", 0)
		a.check(t, `
			0s ann DialStart mail.test.example:25
			0s ann DialDone #1(0) ok
			2s ann Done #1(1), from 0s, 1 x, to 1, 20 bytes, envelope 2s, sent`)
	})
}
