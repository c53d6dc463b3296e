package submission_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fe022423/submission"
)

// gateway is a habit that answers verb only when it is opened.
type gateway struct {
	verb string
	open chan struct{}
}

func newGateway(verb string) *gateway { return &gateway{verb, make(chan struct{})} }

func (g *gateway) habit(_ *habitSession, verb, _ string) *habitAnswer {
	if verb == g.verb {
		<-g.open
	}
	return nil
}

// gatedReader yields text once it is opened.
type gatedReader struct {
	text string
	open chan struct{}
}

func (r *gatedReader) Read(p []byte) (int, error) {
	<-r.open
	if r.text == "" {
		return 0, io.EOF
	}
	n := copy(p, r.text)
	r.text = r.text[n:]
	return n, nil
}

// later runs f and hands its error over.
func later(f func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	synctest.Wait()
	return done
}

// wantPending checks that something has not ended yet.
func wantPending(t *testing.T, what string, done <-chan error) {
	t.Helper()
	synctest.Wait()
	select {
	case err := <-done:
		t.Errorf("%s ended with %v", what, err)
	default:
	}
}

// wantClientClosed checks that nothing can be begun.
func wantClientClosed(t *testing.T, c *submission.Client) {
	t.Helper()
	ctx := t.Context()
	for name, f := range map[string]func() error{
		"Send": func() error { return sendNumber(ctx, c, 0) },
		"SendFunc": func() error {
			_, err := c.SendFunc(ctx, poolEnvelope, func(w io.Writer) error { return nil })
			return err
		},
		"Begin": func() error { _, err := c.Begin(ctx, poolEnvelope); return err },
		"Ping":  func() error { return c.Ping(ctx) },
		"Dial":  func() error { _, err := c.Dial(ctx); return err },
	} {
		err := f()
		if !errors.Is(err, submission.ErrClosed) || !strings.Contains(fmt.Sprint(err), "client is closed") {
			t.Errorf("%s on a closed client: %v", name, err)
			continue
		}
		checkErrorText(t, err)
		if isTemporary(err) && name != "Ping" && name != "Dial" {
			t.Errorf("%s on a closed client is temporary: %v", name, err)
		}
		var e *submission.SendError
		if errors.As(err, &e) == (name == "Ping" || name == "Dial") {
			t.Errorf("%s: a %T", name, err)
		}
		if e != nil && e.Outcome != submission.NotSent {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Every send that was called before Shutdown comes to its end: one that runs, one that
// waits for a session, one that reads its source, one that dials. What is begun later is
// refused.
func TestShutdownLetsSendsEnd(t *testing.T) {
	for name, shutdown := range map[string]func(c *submission.Client) error{
		"Close":    (*submission.Client).Close,
		"Shutdown": func(c *submission.Client) error { return c.Shutdown(context.Background()) },
		"Shutdown within an hour": func(c *submission.Client) error {
			ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
			defer cancel()
			return c.Shutdown(ctx)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := newHabitServer("PIPELINING")
				gate := newGateway("MESSAGE")
				srv.habit = gate.habit
				c := srv.client(t, withPool(submission.PoolOptions{MaxSessions: 1}))
				running := later(func() error { return sendNumber(t.Context(), c, 0) })
				waiting := later(func() error { return sendNumber(t.Context(), c, 1) })
				pinging := later(func() error { return c.Ping(t.Context()) })
				short := &gatedReader{habitText(2), make(chan struct{})}
				reading := later(func() error { _, err := c.Send(t.Context(), poolEnvelope, short); return err })
				long := strings.Repeat("a line of a long message\r\n", 5000)
				source := &gatedReader{long, make(chan struct{})}
				readingLong := later(func() error { _, err := c.Send(t.Context(), poolEnvelope, source); return err })
				if st := c.Stats(); st.Open != 1 || st.InUse != 1 || st.Waiting != 2 || st.Idle != 0 {
					t.Errorf("before: %+v", st)
				}

				closed := later(func() error { return shutdown(c) })
				wantClientClosed(t, c)
				for what, done := range map[string]<-chan error{"running": running, "waiting": waiting, "pinging": pinging, "reading": reading, "long": readingLong, "closed": closed} {
					wantPending(t, what, done)
				}
				time.Sleep(5 * time.Minute) // less than the time for a final reply
				close(gate.open)
				for what, done := range map[string]<-chan error{"running": running, "waiting": waiting, "pinging": pinging} {
					if err := <-done; err != nil {
						t.Errorf("%s: %v", what, err)
					}
				}
				wantPending(t, "reading", reading)
				wantPending(t, "closed", closed)
				close(short.open)
				if err := <-reading; err != nil {
					t.Errorf("reading: %v", err)
				}
				wantPending(t, "closed", closed)
				close(source.open)
				if err := <-readingLong; err != nil {
					t.Errorf("reading a long message: %v", err)
				}
				if err := <-closed; err != nil {
					t.Errorf("closed: %v", err)
				}
				if open, _ := srv.connections(); open != 0 {
					t.Errorf("%d connections open", open)
				}
				if srv.total() != 4 || srv.has(long) != 1 {
					t.Errorf("%d messages", srv.total())
				}
				wantClientClosed(t, c)
				if st := c.Stats(); st.Sent != 4 || st.Open != 0 || st.Waiting != 0 {
					t.Errorf("after: %+v", st)
				}
				wantClosed(t, c, srv)
			})
		})
	}
}

// When the context of Shutdown ends first, each send is cut off with its true outcome.
func TestShutdownCutsOff(t *testing.T) {
	for _, tc := range []struct {
		at      string
		outcome submission.Outcome
		stage   submission.Stage
	}{
		{"CONNECT", submission.NotSent, submission.StageGreeting},
		{"EHLO", submission.NotSent, submission.StageHello},
		{"MAIL", submission.NotSent, submission.StageMail},
		{"RCPT", submission.NotSent, submission.StageRcpt},
		{"DATA", submission.NotSent, submission.StageData},
		{"MESSAGE", submission.Unknown, submission.StageFinal},
	} {
		for _, cause := range []string{"deadline", "cancel", "before"} {
			t.Run(tc.at+", "+cause, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					srv := newHabitServer("PIPELINING")
					gate := newGateway(tc.at)
					srv.habit = gate.habit
					c := srv.client(t, withPool(submission.PoolOptions{MaxSessions: 1}))
					running := later(func() error { return sendNumber(t.Context(), c, 0) })
					waiting := later(func() error { return sendNumber(t.Context(), c, 1) })
					pinging := later(func() error { return c.Ping(t.Context()) })
					source := &gatedReader{habitText(2), make(chan struct{})}
					reading := later(func() error { _, err := c.Send(t.Context(), poolEnvelope, source); return err })

					ctx, cancel := context.WithCancel(context.Background())
					want, limit := context.Canceled, 30*time.Second
					switch cause {
					case "deadline":
						ctx, cancel = context.WithTimeout(ctx, limit)
						want = context.DeadlineExceeded
					case "cancel":
						time.AfterFunc(limit, cancel)
					case "before":
						cancel()
						limit = 0
					}
					began := time.Now()
					err := c.Shutdown(ctx)
					if err != want || time.Since(began) != limit {
						t.Errorf("Shutdown: %v after %v, want %v after %v", err, time.Since(began), want, limit)
					}
					cancel()
					e := wantError[*submission.SendError](t, <-running)
					if e.Outcome != tc.outcome || e.Stage != tc.stage || !errors.Is(e, submission.ErrClosed) || !errors.Is(e, want) {
						t.Errorf("running: %v at %v: %v", e.Outcome, e.Stage, e)
					}
					if e.Temporary() == (tc.outcome == submission.Unknown) {
						t.Errorf("temporary %v: %v", e.Temporary(), e)
					}
					e = wantError[*submission.SendError](t, <-waiting)
					if e.Outcome != submission.NotSent || e.Stage != submission.StageWait || !errors.Is(e, submission.ErrClosed) {
						t.Errorf("waiting: %v", e)
					}
					if err := <-pinging; !errors.Is(err, submission.ErrClosed) {
						t.Errorf("pinging: %v", err)
					}
					if took := time.Since(began); took != limit {
						t.Errorf("took %v", took)
					}
					wantPending(t, "reading", reading)
					close(source.open)
					e = wantError[*submission.SendError](t, <-reading)
					if e.Outcome != submission.NotSent || !errors.Is(e, submission.ErrClosed) {
						t.Errorf("reading: %v", e)
					}
					wantClientClosed(t, c)
					if open, _ := srv.connections(); open != 0 {
						t.Errorf("%d connections open", open)
					}
					st := c.Stats()
					unknown := uint64(0)
					if tc.outcome == submission.Unknown {
						unknown = 1
					}
					if st.Sent != 0 || st.Unknown != unknown || st.Open != 0 || st.Waiting != 0 {
						t.Errorf("%+v", st)
					}
					close(gate.open)
					wantClosed(t, c, srv)
				})
			})
		}
	}
}

// A message that was on its way when Shutdown cut it off, and whose source goes on, is
// not delivered.
func TestShutdownCutsStream(t *testing.T) {
	eachPoolTransport(t, func(t *testing.T, keywords []string) {
		srv := newHabitServer(keywords...)
		c := srv.client(t, func(o *submission.Options) { o.ChunkSize = 1000 })
		open := make(chan struct{})
		sent := later(func() error {
			_, err := c.SendFunc(t.Context(), poolEnvelope, func(w io.Writer) error {
				if _, err := io.WriteString(w, strings.Repeat("a line\r\n", 20_000)); err != nil {
					return err
				}
				<-open
				_, err := io.WriteString(w, strings.Repeat("a line\r\n", 20_000))
				return err
			})
			return err
		})
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := c.Shutdown(ctx); err != context.DeadlineExceeded {
			t.Errorf("Shutdown: %v", err)
		}
		wantPending(t, "the send", sent)
		close(open)
		e := wantError[*submission.SendError](t, <-sent)
		if e.Outcome != submission.NotSent || !errors.Is(e, submission.ErrClosed) || srv.total() != 0 {
			t.Errorf("%v, %d messages", e, srv.total())
		}
		wantClosed(t, c, srv)
	})
}

// A transaction that was prepared may still commit; one that has no session may not.
func TestShutdownAndTransactions(t *testing.T) {
	for _, end := range []string{"Commit", "Abort", "cut off"} {
		t.Run(end, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := newHabitServer("PIPELINING")
				c := srv.client(t)
				begin := func(n int) *submission.Transaction {
					tx, err := c.Begin(t.Context(), poolEnvelope)
					if err != nil {
						t.Fatal(err)
					}
					io.WriteString(tx, habitText(n))
					return tx
				}
				prepared, written := begin(0), begin(1)
				if err := prepared.Prepare(); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
				defer cancel()
				closed := later(func() error { return c.Shutdown(ctx) })
				wantPending(t, "Shutdown", closed)
				_, err := written.Commit()
				if e := wantError[*submission.SendError](t, err); e.Outcome != submission.NotSent || !errors.Is(e, submission.ErrClosed) {
					t.Errorf("a transaction without a session: %v", err)
				}
				wantPending(t, "Shutdown", closed)
				var want error
				switch end {
				case "Commit":
					if _, err := prepared.Commit(); err != nil {
						t.Error(err)
					}
				case "Abort":
					prepared.Abort()
				case "cut off":
					time.Sleep(2 * time.Hour)
					want = context.DeadlineExceeded
					_, err := prepared.Commit()
					if e := wantError[*submission.SendError](t, err); e.Outcome != submission.NotSent || !errors.Is(e, submission.ErrClosed) {
						t.Errorf("%v", err)
					}
				}
				if err := <-closed; err != want {
					t.Errorf("Shutdown: %v", err)
				}
				if n, committed := srv.total(), end == "Commit"; n == 1 != committed {
					t.Errorf("%d messages", n)
				}
				wantClosed(t, c, srv)
			})
		})
	}
}

// Shutdown and Close may be called again, at once, and in any order.
func TestShutdownTwice(t *testing.T) {
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	t.Run("of a client that did nothing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			for _, ctx := range []context.Context{context.Background(), cancelled} {
				srv := newHabitServer()
				c := srv.client(t)
				for range 3 {
					if err := c.Shutdown(ctx); err != nil {
						t.Error(err)
					}
				}
				wantClosed(t, c, srv)
			}
		})
	})
	t.Run("with sessions that rest", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			for _, ctx := range []context.Context{context.Background(), cancelled} {
				srv := newHabitServer()
				srv.habit = func(_ *habitSession, verb, _ string) *habitAnswer {
					if verb == "QUIT" {
						return &habitAnswer{} // never
					}
					return nil
				}
				c := srv.client(t)
				if err := sendNumber(t.Context(), c, 0); err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				if err := c.Shutdown(ctx); err != ctx.Err() {
					t.Error(err)
				}
				if took := time.Since(began); took > 5*time.Second || ctx.Err() != nil && took > 0 {
					t.Errorf("took %v", took)
				}
				synctest.Wait()
				if open, _ := srv.connections(); open != 0 {
					t.Errorf("%d connections open", open)
				}
				if err := c.Shutdown(cancelled); err != nil {
					t.Errorf("the second Shutdown: %v", err)
				}
				wantClosed(t, c, srv)
			}
		})
	})
	t.Run("while another waits", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			srv := newHabitServer("PIPELINING")
			gate := newGateway("MAIL")
			srv.habit = gate.habit
			c := srv.client(t)
			running := later(func() error { return sendNumber(t.Context(), c, 0) })
			first, second := later(c.Close), later(c.Close)
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			if err := c.Shutdown(ctx); err != context.DeadlineExceeded {
				t.Errorf("Shutdown: %v", err)
			}
			if e := wantError[*submission.SendError](t, <-running); e.Outcome != submission.NotSent {
				t.Error(e)
			}
			if err := errors.Join(<-first, <-second); err != nil {
				t.Errorf("Close: %v", err)
			}
			close(gate.open)
			wantClosed(t, c, srv)
		})
	})
	t.Run("from many goroutines", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			srv := newHabitServer("PIPELINING")
			srv.habit = slowly
			c := srv.client(t)
			var wg sync.WaitGroup
			for n := range 100 {
				wg.Go(func() {
					time.Sleep(time.Duration(n) * 50 * time.Millisecond)
					if err := sendNumber(context.Background(), c, n); err != nil && !errors.Is(err, submission.ErrClosed) {
						t.Error(err)
					}
				})
				wg.Go(func() {
					time.Sleep(2 * time.Second)
					if err := c.Close(); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if st := c.Stats(); st.Sent != uint64(srv.total()) || st.Sent+st.NotSent != 100 || st.Sent < 30 {
				t.Errorf("%+v", st)
			}
			wantClosed(t, c, srv)
		})
	})
}

// Ping asks over an idle session with one NOOP, dials where there is none, and leaves
// the session to the next send.
func TestPingUsesSessions(t *testing.T) {
	commands := func(s *habitSession, verb string) int {
		n := 0
		for _, line := range s.lines() {
			if strings.HasPrefix(line, verb) {
				n++
			}
		}
		return n
	}
	t.Run("dials, then asks", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			srv := newHabitServer("PIPELINING")
			c := srv.client(t)
			if err := c.Ping(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := srv.session(1).lines(); len(got) != 1 {
				t.Errorf("the first Ping: %q", got)
			}
			for n, rest := range []time.Duration{0, 500 * time.Millisecond, 10 * time.Second} {
				time.Sleep(rest)
				if err := c.Ping(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got := commands(srv.session(1), "NOOP"); got != n+1 {
					t.Errorf("%d times NOOP after %d Pings of a session, the last after %v", got, n+1, rest)
				}
			}
			if err := sendNumber(t.Context(), c, 0); err != nil {
				t.Fatal(err)
			}
			if st := c.Stats(); srv.dials() != 1 || st.Dials != 1 || st.Idle != 1 || st.Sent != 1 || st.Reused != 1 {
				t.Errorf("%d sessions, %+v", srv.dials(), st)
			}
			wantClosed(t, c, srv)
		})
	})
	for name, habit := range map[string]*habitAnswer{
		"no answer": {}, "421": {reply: "421 bye", closes: true}, "500": {reply: "500 what"}, "the end": {closes: true},
	} {
		t.Run("idle session: "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := newHabitServer("PIPELINING")
				srv.habit = func(s *habitSession, verb, _ string) *habitAnswer {
					if s.id == 1 && verb == "NOOP" {
						return habit
					}
					return nil
				}
				c := srv.client(t)
				for range 3 {
					if err := c.Ping(t.Context()); err != nil {
						t.Error(err)
					}
				}
				if err := sendNumber(t.Context(), c, 0); err != nil {
					t.Error(err)
				}
				if srv.dials() != 2 {
					t.Errorf("%d sessions", srv.dials())
				}
				wantClosed(t, c, srv)
			})
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			cause := errors.New("no way")
			c, err := submission.New(testHost, plainText(func(o *submission.Options) {
				o.Dialer = dialFunc(func(context.Context, string, string) (net.Conn, error) { return nil, cause })
			}))
			if err != nil {
				t.Fatal(err)
			}
			err = c.Ping(t.Context())
			if e := wantError[*submission.ConnectError](t, err); e.Stage != submission.StageDial || !errors.Is(err, cause) {
				t.Errorf("%v", err)
			}
			c.Close()
			if err := c.Ping(t.Context()); !errors.Is(err, submission.ErrClosed) {
				t.Errorf("%v", err)
			}
		})
	})
	t.Run("every session in use", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			srv := newHabitServer("PIPELINING")
			srv.habit = slowly
			c := srv.client(t, withPool(submission.PoolOptions{MaxSessions: 1}))
			running := later(func() error { return sendNumber(t.Context(), c, 0) })
			short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			err := c.Ping(short)
			if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 session") {
				t.Errorf("%v", err)
			}
			checkErrorText(t, err)
			if err := c.Ping(t.Context()); err != nil {
				t.Error(err)
			}
			if err := <-running; err != nil {
				t.Error(err)
			}
			wantClosed(t, c, srv)
		})
	})
}

// Stats, every figure of it, before, during and after.
func TestStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newHabitServer("PIPELINING")
		limit, refuse := 2, ""
		var mu sync.Mutex
		srv.habit = func(s *habitSession, verb, line string) *habitAnswer {
			mu.Lock()
			defer mu.Unlock()
			switch {
			case verb == "CONNECT" && s.id > limit:
				return &habitAnswer{reply: "421 too many", closes: true}
			case verb == "MESSAGE" && refuse == "" || verb == "RCPT" && strings.Contains(line, "nobody"):
				if verb == "RCPT" {
					return &habitAnswer{reply: "550 5.1.1 who"}
				}
				return &habitAnswer{reply: "250 taken", delay: time.Second}
			case verb == "MESSAGE" && refuse == "end":
				return &habitAnswer{closes: true}
			case verb == "MESSAGE":
				return &habitAnswer{reply: refuse}
			case verb == "MAIL" && refuse == "MAIL":
				refuse = "250 taken"
				return &habitAnswer{reply: "452 4.4.5 enough"}
			}
			return nil
		}
		set := func(n int, answer string) {
			mu.Lock()
			defer mu.Unlock()
			limit, refuse = n, answer
		}
		c := srv.client(t, withPool(submission.PoolOptions{MaxSessions: 3, MaxIdle: 2, IdleTimeout: time.Hour}))
		var want submission.Stats
		check := func(when string) {
			t.Helper()
			synctest.Wait()
			if got := c.Stats(); got != want {
				t.Errorf("%s:\n%+v, want\n%+v", when, got, want)
			}
		}
		want.MaxSessions = 3
		check("before")

		var sends []<-chan error
		for n := range 5 {
			sends = append(sends, later(func() error { return sendNumber(t.Context(), c, n) }))
		}
		// Two are being sent; the third was refused its session and waits with the others.
		want.Bound, want.Open, want.InUse, want.Waiting = 2, 2, 2, 3
		want.Dials, want.WaitCount = 3, 3
		check("during")
		time.Sleep(time.Second)
		want.Sent, want.Waiting, want.Reused, want.WaitDuration = 2, 1, 2, 2*time.Second
		check("after a second")
		for _, done := range sends {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		want.Sent, want.Open, want.Idle, want.InUse, want.Waiting, want.Reused, want.WaitDuration = 5, 2, 2, 0, 0, 3, 4*time.Second
		check("after all")

		// Each outcome once.
		set(100, "250 taken")
		partial := poolEnvelope
		partial.To, partial.Partial = submission.To("b@test.example", "nobody@test.example"), true
		if _, err := c.Send(t.Context(), partial, strings.NewReader("x")); err == nil {
			t.Error("partly sent without an error")
		}
		want.PartlySent, want.Reused = 1, 4
		check("partly sent")
		set(100, "554 5.6.0 no")
		if err := sendNumber(t.Context(), c, 6); err == nil {
			t.Error("sent")
		}
		want.NotSent, want.Reused = 1, 5
		check("refused")
		if _, err := c.Send(t.Context(), submission.Envelope{From: "a@test.example"}, strings.NewReader("x")); err == nil {
			t.Error("sent")
		}
		want.NotSent = 2
		check("refused before anything was sent")
		set(100, "end")
		if err := sendNumber(t.Context(), c, 7); err == nil {
			t.Error("sent")
		}
		want.Unknown, want.Reused, want.Open, want.Idle, want.Retired = 1, 6, 1, 1, 1
		check("unknown")
		set(100, "MAIL")
		if err := sendNumber(t.Context(), c, 8); err != nil {
			t.Error(err)
		}
		want.Sent, want.Reused, want.Restarts, want.Dials, want.Retired = 6, 7, 1, 4, 2
		check("started again")
		time.Sleep(2 * time.Hour)
		want.Open, want.Idle, want.Retired = 0, 0, 3
		check("reaped")
		c.Close()
		check("closed")
		if err := sendNumber(t.Context(), c, 9); !errors.Is(err, submission.ErrClosed) {
			t.Error(err)
		}
		want.NotSent = 3
		check("after a refused send")
		wantClosed(t, c, srv)
	})
}

// Sends that wait are served in the order in which they came.
func TestPoolServesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newHabitServer("PIPELINING")
		srv.habit = slowly
		c := srv.client(t, withPool(submission.PoolOptions{MaxSessions: 1}))
		var mu sync.Mutex
		var order []int
		var sends []<-chan error
		for n := range 10 {
			sends = append(sends, later(func() error {
				err := sendNumber(context.Background(), c, n)
				mu.Lock()
				defer mu.Unlock()
				order = append(order, n)
				return err
			}))
		}
		for _, done := range sends {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if !slices.IsSorted(order) {
			t.Errorf("served in the order %v", order)
		}
		wantClosed(t, c, srv)
	})
}
