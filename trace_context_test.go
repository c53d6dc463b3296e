package submission_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fe022423/submission"
)

// All traces of a call are told, the one added last first, that of the options last of all.
// A nil one adds nothing.
func TestWithTrace(t *testing.T) {
	ctx := as("ann")
	if submission.WithTrace(ctx, nil) != ctx {
		t.Error("a nil Trace makes another context")
	}
	tell(t, "nested", pipelines(""), func(t *testing.T, a *tale) {
		outer := submission.WithTrace(as("ann"), a.trace("outer."))
		inner := submission.WithTrace(submission.WithTrace(outer, nil), a.trace("inner."))
		a.Send(inner, submission.Envelope{}, strings.NewReader(memo))
		a.Send(outer, submission.Envelope{}, strings.NewReader(memo))
		a.Send(as("ann"), submission.Envelope{}, strings.NewReader(memo))
		refused := "Done none, from 0s, 0 x, to 0, 0 bytes, not sent at MAIL\n"
		a.check(t, "0s ann inner."+refused+"0s ann outer."+refused+"0s ann "+refused+"0s ann outer."+refused+"0s ann "+refused+"0s ann "+refused)
	})
	tell(t, "beside no other", func(srv *habitServer, o *submission.Options) {
		pipelines("QUIT")(srv, o)
		o.Trace = nil
	}, func(t *testing.T, a *tale) {
		mine := a.trace("")
		a.send("ann", 0)
		ctx := submission.WithTrace(as("bob"), mine)
		sendNumber(ctx, a.Client, 1)
		a.send("cyd", 2)
		a.Ping(ctx)
		s, err := a.Dial(ctx)
		if err != nil {
			t.Fatal(err)
		}
		s.Noop(context.Background())
		s.Verify(ctx, "x")
		s.Close()
		a.check(t, `
			0s bob Reused #1(1)
			0s bob Sent #1(1) MAIL FROM:<a@test.example>
			0s bob Sent #1(1) RCPT TO:<b@test.example>
			0s bob Sent #1(1) DATA
			0s bob Received #1(1) 250 sender ok
			0s bob Received #1(1) 250 recipient ok
			0s bob Received #1(1) 354 go
			0s bob Received #1(1) 250 taken
			0s bob Done #1(2), reused, from 0s, 1 x, to 1, 20 bytes, sent
			0s bob Reused #1(3)
			0s bob Sent #1(3) NOOP
			0s bob Received #1(3) 250 here
			0s bob DialStart mail.test.example:25
			0s bob Received #2(0) 220 mail.test.example
			0s bob Sent #2(0) EHLO client.test.example
			0s bob Received #2(0) 250 mail.test.example; PIPELINING; HELP
			0s bob DialDone #2(0) ok
			0s bob Sent #2(0) VRFY x
			0s bob Received #2(0) 500 what`)
	})
}

// Every call takes the Trace of its context, and leaves nothing of it with the session.
func TestWithTraceEverywhere(t *testing.T) {
	for name, tt := range map[string]struct {
		call func(context.Context, *submission.Session) error
		want string
	}{
		"Noop":    {func(ctx context.Context, s *submission.Session) error { return s.Noop(ctx) }, "NOOP"},
		"Reset":   {func(ctx context.Context, s *submission.Session) error { return s.Reset(ctx) }, "RSET"},
		"Verify":  {func(ctx context.Context, s *submission.Session) error { _, err := s.Verify(ctx, "x"); return err }, "VRFY x"},
		"Command": {func(ctx context.Context, s *submission.Session) error { _, err := s.Command(ctx, "HELP"); return err }, "HELP"},
		"Send": {func(ctx context.Context, s *submission.Session) error {
			_, err := s.Send(ctx, poolEnvelope, strings.NewReader("x"))
			return err
		}, "MAIL"},
		"SendFunc": {func(ctx context.Context, s *submission.Session) error {
			_, err := s.SendFunc(ctx, poolEnvelope, nil)
			return err
		}, "done"},
		"Begin": {func(ctx context.Context, s *submission.Session) error {
			tx, err := s.Begin(ctx, poolEnvelope)
			if err == nil {
				_, err = tx.Commit()
			}
			return err
		}, "MAIL"},
	} {
		promise(t, name, func(t *testing.T) {
			srv := newHabitServer("PIPELINING")
			nc, _ := srv.DialContext(t.Context(), "", "")
			s := openSession(t, nc, plainText())
			var said []string
			ctx := submission.WithTrace(t.Context(), &submission.Trace{
				Sent: func(_ context.Context, _ submission.SessionInfo, line string) { said = append(said, line) },
				Done: func(context.Context, submission.SendInfo) { said = append(said, "done") },
			})
			tt.call(ctx, s)
			if got := strings.Join(said, " "); !strings.HasPrefix(got, tt.want) || tt.want == "MAIL" && !strings.HasSuffix(got, "done") {
				t.Errorf("told %q", said)
			}
			said = nil
			tt.call(t.Context(), s)
			s.Close()
			if said != nil {
				t.Errorf("told %q of another call", said)
			}
			srv.running.Wait()
		})
	}
	promise(t, "NewSession", func(t *testing.T) {
		srv := newHabitServer()
		nc, _ := srv.DialContext(t.Context(), "", "")
		var opened []error
		s, err := submission.NewSession(submission.WithTrace(t.Context(), &submission.Trace{
			DialDone: func(_ context.Context, _ submission.SessionInfo, err error) { opened = append(opened, err) },
		}), nc, testHost, plainText())
		if err != nil || len(opened) != 1 || opened[0] != nil {
			t.Fatal(err, opened)
		}
		s.Close()
		srv.running.Wait()
	})
}

// tracedSend is one send among many, and what its own Trace is told.
type tracedSend struct {
	from    string
	over    atomic.Bool
	mu      sync.Mutex
	mails   int
	replies int
	dones   int
}

// Many sends at once, each with a Trace of its own: each is told of its own lines and of no
// other's, while it runs, and always with the number of the session that they are of. The
// server tells which that is.
func TestTracesOfManySends(t *testing.T) {
	const senders, each = 12, 30
	var mu sync.Mutex
	sessions := map[uint64]string{} // the server's name for a session, by its number
	wrong := func(format string, args ...any) { t.Errorf(format, args...) }
	sameSession := func(s submission.SessionInfo, r submission.Reply) {
		_, name, ok := strings.Cut(r.String(), "of session ")
		if !ok {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if before, known := sessions[s.ID]; known && before != name {
			wrong("number %d is session %s and session %s", s.ID, before, name)
		}
		sessions[s.ID] = name
	}
	synctest.Test(t, func(t *testing.T) {
		srv := newHabitServer("PIPELINING")
		srv.habit = func(s *habitSession, verb, line string) *habitAnswer {
			switch {
			case verb == "MESSAGE" && s.accepted == 20:
				return &habitAnswer{reply: fmt.Sprintf("451 4.4.5 enough of session %d", s.id)}
			case verb == "MESSAGE" || verb == "MAIL" || verb == "RCPT" || verb == "RSET" || verb == "NOOP":
				return &habitAnswer{reply: fmt.Sprintf("250 %s of session %d", verb, s.id)}
			}
			return nil
		}
		var all atomic.Int64
		c := srv.client(t, withPool(submission.PoolOptions{MaxSessions: 3}), func(o *submission.Options) {
			o.Trace = &submission.Trace{
				Received: func(ctx context.Context, s submission.SessionInfo, r submission.Reply) {
					all.Add(1)
					sameSession(s, r)
				},
			}
		})
		var wg sync.WaitGroup
		for n := range senders {
			wg.Go(func() {
				for k := range each {
					me := &tracedSend{from: fmt.Sprintf("s%d.%d@test.example", n, k)}
					ctx := submission.WithTrace(as(me.from), me.trace(t, sameSession))
					env := submission.Envelope{From: me.from, To: submission.To("b@test.example")}
					_, err := c.Send(ctx, env, strings.NewReader(me.from))
					me.over.Store(true)
					me.mu.Lock()
					if me.dones != 1 || err == nil && me.mails == 0 || me.replies < 3*me.mails {
						wrong("%s was told of %d ends, %d times MAIL, %d replies: %v", me.from, me.dones, me.mails, me.replies, err)
					}
					me.mu.Unlock()
				}
			})
		}
		wg.Wait()
		if all.Load() < 4*senders*each {
			t.Errorf("the Trace of the options was told of %d replies", all.Load())
		}
		if srv.dials() < 10 {
			t.Errorf("%d sessions only", srv.dials())
		}
		wantClosed(t, c, srv)
	})
}

// trace returns the sender's own Trace.
func (me *tracedSend) trace(t *testing.T, sameSession func(submission.SessionInfo, submission.Reply)) *submission.Trace {
	check := func(ctx context.Context) {
		if me.over.Load() {
			t.Errorf("%s is told of something after its call", me.from)
		}
		if who := ctx.Value(callerKey{}); who != me.from {
			t.Errorf("%s is told of a call of %v", me.from, who)
		}
	}
	return &submission.Trace{
		Sent: func(ctx context.Context, s submission.SessionInfo, line string) {
			check(ctx)
			me.mu.Lock()
			defer me.mu.Unlock()
			if strings.HasPrefix(line, "MAIL") {
				me.mails++
				if line != "MAIL FROM:<"+me.from+">" {
					t.Errorf("%s is shown %s", me.from, line)
				}
			}
		},
		Received: func(ctx context.Context, s submission.SessionInfo, r submission.Reply) {
			check(ctx)
			sameSession(s, r)
			me.mu.Lock()
			defer me.mu.Unlock()
			me.replies++
		},
		Done: func(ctx context.Context, i submission.SendInfo) {
			check(ctx)
			me.mu.Lock()
			defer me.mu.Unlock()
			me.dones++
		},
	}
}

// Done is called when the session has been given back: whatever it does, no other send waits
// for it. Shutdown does.
func TestSlowDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newHabitServer("PIPELINING")
		srv.habit = slowAt("MESSAGE")
		c := srv.client(t, oneSession)
		slow := submission.WithTrace(t.Context(), &submission.Trace{
			Done: func(context.Context, submission.SendInfo) { time.Sleep(time.Hour) },
		})
		began := time.Now()
		first := later(func() error { return sendNumber(slow, c, 0) })
		second := later(func() error { return sendNumber(t.Context(), c, 1) })
		if err := <-second; err != nil || time.Since(began) != 2*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		closed := later(c.Close)
		wantPending(t, "Close", closed)
		if err := <-first; err != nil || time.Since(began) != time.Hour+time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if err := <-closed; err != nil {
			t.Error(err)
		}
		wantClosed(t, c, srv)
	})
}

// A Trace without hooks, and hooks that others have, change nothing and cost no line.
func TestTraceWithoutHooks(t *testing.T) {
	promise(t, "empty", func(t *testing.T) {
		srv := newHabitServer("PIPELINING")
		c := srv.client(t, func(o *submission.Options) { o.Trace = &submission.Trace{} })
		if err := sendNumber(submission.WithTrace(t.Context(), &submission.Trace{}), c, 0); err != nil {
			t.Error(err)
		}
		wantClosed(t, c, srv)
	})
	near, far := net.Pipe()
	far.Close()
	o := plainText()
	o.Trace = &submission.Trace{}
	if _, err := submission.NewSession(context.Background(), near, testHost, o); err == nil || errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// All hooks of a send get its number, and no others.
func TestSendNumber(t *testing.T) {
	if n, ok := submission.SendNumber(as("ann")); ok {
		t.Errorf("a context of nobody's has number %d", n)
	}
	synctest.Test(t, func(t *testing.T) {
		srv := newHabitServer("PIPELINING")
		var mu sync.Mutex
		seen := map[uint64]int{} // hooks
		dones := map[uint64]int{}
		none := 0
		note := func(ctx context.Context, done bool) {
			mu.Lock()
			defer mu.Unlock()
			n, ok := submission.SendNumber(ctx)
			if ok != (ctx.Value(callerKey{}) == "send") {
				t.Errorf("number %d, %v for %v", n, ok, ctx.Value(callerKey{}))
			}
			switch {
			case !ok:
				none++
			case done:
				dones[n]++
			default:
				seen[n]++
			}
		}
		c := srv.client(t, oneSession, func(o *submission.Options) {
			o.Trace = &submission.Trace{
				DialDone: func(ctx context.Context, _ submission.SessionInfo, _ error) { note(ctx, false) },
				Reused:   func(ctx context.Context, _ submission.SessionInfo) { note(ctx, false) },
				Sent:     func(ctx context.Context, _ submission.SessionInfo, _ string) { note(ctx, false) },
				Done:     func(ctx context.Context, _ submission.SendInfo) { note(ctx, true) },
			}
		})
		other := as("no send")
		c.Ping(other)
		if s, err := c.Dial(other); err == nil {
			s.Noop(other)
			s.Send(as("send"), poolEnvelope, strings.NewReader(memo))
		}
		quiet := none
		var wg sync.WaitGroup
		ctx := as("send")
		for range 10 {
			wg.Go(func() { sendNumber(ctx, c, 0) })
		}
		c.Send(ctx, submission.Envelope{}, nil)
		if tx, err := c.Begin(ctx, poolEnvelope); err == nil {
			tx.Commit()
		}
		wg.Wait()
		if len(dones) != 13 || quiet < 5 || none != quiet {
			t.Errorf("%d sends, %d and %d hooks of others", len(dones), quiet, none)
		}
		for n, times := range dones {
			if times != 1 || n == 0 {
				t.Errorf("number %d is that of %d sends", n, times)
			}
		}
		for n := range seen {
			if dones[n] != 1 {
				t.Errorf("number %d is of no send", n)
			}
		}
		c.Close()
		srv.cut()
		srv.running.Wait()
	})
}
