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
	"github.com/fe022423/submission/smtptest"
)

// On a socket the end of an idle session is seen before anything is written to it.
func TestPoolSeesSocketClosed(t *testing.T) {
	for _, last := range []string{"", "421 4.4.2 idle too long\r\n", "250 what was that\r\n"} {
		t.Run(last, func(t *testing.T) {
			srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.NoTLS, Hook: func(c smtptest.Command) *smtptest.Answer {
				if c.Session == 1 && c.Verb == "MESSAGE" {
					return &smtptest.Answer{Reply: "250 taken"}
				}
				return nil
			}})
			defer srv.Close()
			var first net.Conn
			o := plainText()
			o.Dialer = dialFunc(func(ctx context.Context, network, addr string) (net.Conn, error) {
				left, right := socketPair(t)
				up := srv.Pipe()
				go io.Copy(right, up)
				go io.Copy(up, right)
				if first == nil {
					first = right
				}
				return left, nil
			})
			c, err := submission.New(testHost, o)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := poolSend(c); err != nil {
				t.Fatal(err)
			}
			io.WriteString(first, last)
			first.Close()
			before := len(unnumbered(srv))
			if err := poolSend(c); err != nil {
				t.Fatal(err)
			}
			if n := len(srv.Messages()); n != 2 {
				t.Errorf("%d messages, want 2", n)
			}
			for _, line := range unnumbered(srv)[before:] {
				if strings.HasPrefix(line, "C: EHLO") {
					return
				}
				if strings.HasPrefix(line, "C: MAIL") {
					t.Error("MAIL was written to the dead session")
				}
			}
			t.Error("no new session")
		})
	}
}

// After a second without use, a command checks whether the session still works. Only 250
// says that it does.
func TestPoolProbes(t *testing.T) {
	for _, tc := range []struct {
		name  string
		rest  time.Duration
		reset bool
		end   string
		again bool // on the same session
	}{
		{"short rest", 900 * time.Millisecond, false, poolMessage + poolQuit, true},
		{"NOOP 250", 2 * time.Second, false, "C: NOOP\nS: 250 ok" + poolMessage + poolQuit, true},
		{"RSET 250", 2 * time.Second, true, "C: RSET\nS: 250 ok" + poolMessage + poolQuit, true},
		{"NOOP 221", 2 * time.Second, false, "C: NOOP\nS: 221 bye\nclose", false},
		{"NOOP 421", 2 * time.Second, false, "C: NOOP\nS: 421 bye\nclose", false},
		{"NOOP 500", 2 * time.Second, false, "C: NOOP\nS: 500 what\nC: QUIT\nS! 221 bye\neof", false},
		{"NOOP 251", 2 * time.Second, false, "C: NOOP\nS: 251 well\neof", false},
		{"NOOP closed", 2 * time.Second, false, "C: NOOP\nclose", false},
		{"NOOP silence", 2 * time.Second, false, "C: NOOP\nstall", false},
		{"RSET 500", 2 * time.Second, true, "C: RSET\nS: 500 what\neof", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				scripts := []string{poolGreeting + poolMessage + tc.end}
				if !tc.again {
					scripts = append(scripts, poolGreeting+poolMessage+poolQuit)
				}
				c := scriptedClient(t, func(o *submission.Options) { o.ProbeReset = tc.reset }, scripts...)
				if err := poolSend(c); err != nil {
					t.Fatal(err)
				}
				time.Sleep(tc.rest)
				if err := poolSend(c); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

// A dial that fails is the error of its message, and its slot is free for the next one.
func TestPoolDialFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("no way there")
		o := plainText()
		o.Pool.MaxSessions = 2
		o.Dialer = dialFunc(func(context.Context, string, string) (net.Conn, error) { return nil, cause })
		c, err := submission.New(testHost, o)
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			err := poolSend(c)
			e := wantError[*submission.SendError](t, err)
			if e.Outcome != submission.NotSent || e.Stage != submission.StageDial || !e.Temporary() || !errors.Is(err, cause) {
				t.Errorf("%v: outcome %v, stage %v, temporary %v", err, e.Outcome, e.Stage, e.Temporary())
			}
			wantError[*submission.ConnectError](t, err)
		}
		c.Close()
	})
}

// A message that waits for a session fails when its context is done, and leaves the session
// to others.
func TestPoolWaiterGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		srv := holdingServer(release)
		defer srv.Close()
		c := pipedClient(t, srv, submission.PoolOptions{MaxSessions: 1})
		done := make(chan error)
		go func() { done <- poolSend(c) }()
		synctest.Wait()

		ctx, cancel := context.WithTimeout(context.Background(), 7*time.Second)
		defer cancel()
		start := time.Now()
		_, err := c.Send(ctx, poolEnvelope, strings.NewReader("x"))
		e := wantError[*submission.SendError](t, err)
		if took := time.Since(start); took != 7*time.Second {
			t.Errorf("waited %v, want 7s", took)
		}
		if e.Outcome != submission.NotSent || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		close(release)
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := poolSend(c); err != nil { // the slot is not lost
			t.Error(err)
		}
		c.Close()
		if n := srv.Sessions(); n != 1 {
			t.Errorf("%d sessions, want 1", n)
		}
	})
}

// Close waits for the message that is being sent, and for the one that waits for a session.
func TestPoolCloseWithWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		srv := holdingServer(release)
		defer srv.Close()
		c := pipedClient(t, srv, submission.PoolOptions{MaxSessions: 1})
		first, waiter, closed := make(chan error, 1), make(chan error, 1), make(chan struct{})
		go func() { first <- poolSend(c) }()
		synctest.Wait()
		go func() { waiter <- poolSend(c) }()
		synctest.Wait()
		go func() { c.Close(); close(closed) }()
		synctest.Wait()

		if err := poolSend(c); !errors.Is(err, submission.ErrClosed) {
			t.Errorf("a message after Close: %v", err)
		}
		select {
		case <-closed:
			t.Error("Close did not wait for the message that is being sent")
		default:
		}
		close(release)
		if err := <-first; err != nil {
			t.Errorf("the message that was being sent: %v", err)
		}
		if err := <-waiter; err != nil {
			t.Errorf("the message that waited: %v", err)
		}
		<-closed
		c.Close() // again
		if last := unnumbered(srv); !slices.Contains(last, "C: QUIT") {
			t.Errorf("no QUIT: %q", last)
		}
	})
}

// After a source panicked, its session is closed and its slot is free.
func TestPoolKeepsSlotsAfterPanic(t *testing.T) {
	for _, n := range []int{10, 100 << 10} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.NoTLS})
				defer srv.Close()
				c := pipedClient(t, srv, submission.PoolOptions{MaxSessions: 1})
				defer c.Close()
				for range 3 {
					func() {
						defer func() {
							if recover() != "source" {
								t.Error("the panic did not reach the caller")
							}
						}()
						c.SendFunc(context.Background(), poolEnvelope, func(w io.Writer) error {
							w.Write(make([]byte, n))
							panic("source")
						})
					}()
				}
				if err := poolSend(c); err != nil {
					t.Fatal(err)
				}
				if n := len(srv.Messages()); n != 1 {
					t.Errorf("%d messages, want 1", n)
				}
			})
		})
	}
}

// Each field of PoolOptions.
func TestPoolBounds(t *testing.T) {
	t.Run("MaxMessages", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.NoTLS})
			defer srv.Close()
			c := pipedClient(t, srv, submission.PoolOptions{MaxMessages: 2})
			for range 5 {
				if err := poolSend(c); err != nil {
					t.Fatal(err)
				}
			}
			c.Close()
			var sessions []int
			for _, m := range srv.Messages() {
				sessions = append(sessions, m.Session)
			}
			if want := []int{1, 1, 2, 2, 3}; !slices.Equal(sessions, want) {
				t.Errorf("messages on sessions %v, want %v", sessions, want)
			}
		})
	})
	t.Run("MaxAge", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.NoTLS})
			defer srv.Close()
			c := pipedClient(t, srv, submission.PoolOptions{MaxAge: time.Minute, IdleTimeout: time.Hour})
			for range 4 { // at 0, 40, 80 and 120 s; at 80 s the first session is too old
				if err := poolSend(c); err != nil {
					t.Fatal(err)
				}
				time.Sleep(40 * time.Second)
			}
			c.Close()
			if n := srv.Sessions(); n != 2 {
				t.Errorf("%d sessions, want 2", n)
			}
		})
	})
	t.Run("IdleTimeout", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.NoTLS})
			defer srv.Close()
			c := pipedClient(t, srv, submission.PoolOptions{IdleTimeout: 10 * time.Second})
			if err := poolSend(c); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10*time.Second - time.Nanosecond)
			synctest.Wait()
			if slices.Contains(unnumbered(srv), "C: QUIT") {
				t.Error("QUIT before the time")
			}
			time.Sleep(time.Nanosecond)
			synctest.Wait()
			if !slices.Contains(unnumbered(srv), "C: QUIT") {
				t.Error("no QUIT at the time")
			}
			if err := poolSend(c); err != nil {
				t.Fatal(err)
			}
			c.Close()
		})
	})
	t.Run("MaxSessions and MaxIdle", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			srv := holdingServer(release)
			defer srv.Close()
			c := pipedClient(t, srv, submission.PoolOptions{MaxSessions: 4, MaxIdle: 1})
			var wg sync.WaitGroup
			for range 20 {
				wg.Go(func() {
					if err := poolSend(c); err != nil {
						t.Error(err)
					}
				})
			}
			synctest.Wait()
			if n := srv.Sessions(); n != 4 {
				t.Errorf("%d sessions, want 4", n)
			}
			close(release)
			wg.Wait()
			synctest.Wait()
			quits := 0
			for _, line := range unnumbered(srv) {
				if line == "C: QUIT" {
					quits++
				}
			}
			if quits != 3 {
				t.Errorf("%d sessions ended, want 3 of 4", quits)
			}
			if n, s := len(srv.Messages()), srv.Sessions(); n != 20 || s != 4 {
				t.Errorf("%d messages over %d sessions", n, s)
			}
			c.Close()
		})
	})
}

// The session that was used last is used next, so that the others can time out.
func TestPoolLIFO(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.NoTLS, Hook: func(c smtptest.Command) *smtptest.Answer {
			if c.Verb == "MESSAGE" && c.Message.Size > 20 { // not the last message
				return &smtptest.Answer{Reply: "250 ok", Delay: time.Duration(c.Session) * 100 * time.Millisecond}
			}
			return nil
		}})
		defer srv.Close()
		c := pipedClient(t, srv, submission.PoolOptions{})
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				c.Send(context.Background(), poolEnvelope, strings.NewReader("a message of more than twenty octets"))
			})
		}
		wg.Wait() // session 2 came back last
		if _, err := c.Send(context.Background(), poolEnvelope, strings.NewReader("short")); err != nil {
			t.Fatal(err)
		}
		m := srv.Messages()
		if got := m[len(m)-1].Session; got != 2 {
			t.Errorf("went over session %d, want 2", got)
		}
		c.Close()
	})
}

// Fifty goroutines share one Client, and every message arrives once.
func TestPoolManySenders(t *testing.T) {
	srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.NoTLS})
	defer srv.Close()
	c, err := submission.New(srv.Addr(), plainText())
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			for j := range 4 {
				if _, err := c.Send(context.Background(), poolEnvelope, strings.NewReader(fmt.Sprintf("Subject: %d-%d\n\nx\n", i, j))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	c.Close()
	seen := map[string]int{}
	for _, m := range srv.Messages() {
		seen[string(m.Data)]++
	}
	if len(seen) != 200 || len(srv.Messages()) != 200 {
		t.Errorf("%d different messages of %d, want 200", len(seen), len(srv.Messages()))
	}
	if n := srv.Sessions(); n > 10+50 {
		t.Errorf("%d sessions", n)
	}
}
