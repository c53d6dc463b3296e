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
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

const poolGreeting = `
	S: 220 mail.test.example
	C: EHLO client.test.example
	S: 250-mail.test.example
	S: 250 PIPELINING
`

const poolMessage = `
	C: MAIL FROM:<a@test.example>
	C: RCPT TO:<b@test.example>
	C: DATA
	S: 250 ok
	S: 250 ok
	S: 354 go
	C: Subject: pool
	C:
	C: text
	C: .
	S: 250 taken
`

var poolEnvelope = submission.Envelope{From: "a@test.example", To: submission.To("b@test.example")}

func poolSend(c *submission.Client) error {
	_, err := c.Send(context.Background(), poolEnvelope, strings.NewReader("Subject: pool\n\ntext\n"))
	return err
}

// scriptedClient returns a Client whose connections play the scripts in turn.
func scriptedClient(t *testing.T, set func(*submission.Options), scripts ...string) *submission.Client {
	t.Helper()
	var dialed atomic.Int32
	var peers []net.Conn
	for _, script := range scripts {
		peers = append(peers, smtptest.Play(t, script))
	}
	o := plainText()
	o.Dialer = dialFunc(func(context.Context, string, string) (net.Conn, error) {
		n := int(dialed.Add(1))
		if n > len(scripts) {
			return nil, fmt.Errorf("dial number %d was not expected", n)
		}
		return peers[n-1], nil
	})
	if set != nil {
		set(o)
	}
	c, err := submission.New(testHost, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		if n := int(dialed.Load()); n != len(scripts) {
			t.Errorf("%d connections, want %d", n, len(scripts))
		}
	})
	return c
}

// pipedClient returns a Client of srv over in-memory connections.
func pipedClient(t *testing.T, srv *smtptest.Server, pool submission.PoolOptions) *submission.Client {
	t.Helper()
	o := plainText()
	o.Pool = pool
	o.Dialer = dialFunc(func(context.Context, string, string) (net.Conn, error) { return srv.Pipe(), nil })
	c, err := submission.New(testHost, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const poolQuit = `
	C: QUIT
	S: 221 bye
	eof
`

// A session that the server ended while it idled is replaced, whether it said
// 421 first or not, and the message is sent once.
func TestPoolReplacesDeadSession(t *testing.T) {
	for name, end := range map[string]string{
		"closed":                          "close",
		"reset":                           "reset",
		"421, then closed":                "S! 421 4.4.2 idle too long\nclose",
		"421 to MAIL":                     "C: MAIL FROM:<a@test.example>\nC: RCPT TO:<b@test.example>\nC: DATA\nS: 421 4.7.0 that was enough\nclose",
		"closed after MAIL":               "C: MAIL FROM:<a@test.example>\nC: RCPT TO:<b@test.example>\nC: DATA\nclose",
		"closed in the reply to MAIL":     "C: MAIL FROM:<a@test.example>\nC: RCPT TO:<b@test.example>\nC: DATA\nS> 25\nclose",
		"421 to MAIL and silence":         "C: MAIL FROM:<a@test.example>\nC: RCPT TO:<b@test.example>\nC: DATA\nS: 421 4.7.0 that was enough\nstall",
		"421 with more behind it to MAIL": "C: MAIL FROM:<a@test.example>\nC: RCPT TO:<b@test.example>\nC: DATA\nS: 421 4.7.0 enough\nS! 503 what\nclose",
	} {
		t.Run(name, func(t *testing.T) {
			c := scriptedClient(t, nil, poolGreeting+poolMessage+end, poolGreeting+poolMessage+poolQuit)
			for range 2 {
				if err := poolSend(c); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// On a socket it is seen before anything is written.
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
			before := len(srv.Transcript())
			if err := poolSend(c); err != nil {
				t.Fatal(err)
			}
			if n := len(srv.Messages()); n != 2 {
				t.Errorf("%d messages, want 2", n)
			}
			for _, line := range srv.Transcript()[before:] {
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

// socketPair returns the two ends of a TCP connection.
func socketPair(t *testing.T) (left, right net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if left, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if right, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { left.Close(); right.Close() })
	return left, right
}

// What may have been accepted, what took too long, and a refusal of the content are
// not tried again.
func TestPoolDoesNotRetry(t *testing.T) {
	flight := "C: MAIL FROM:<a@test.example>\nC: RCPT TO:<b@test.example>\nC: DATA\n"
	message := "S: 250 ok\nS: 250 ok\nS: 354 go\nC: Subject: pool\nC:\nC: text\nC: .\n"
	for _, tc := range []struct {
		name, end string
		outcome   submission.Outcome
		stage     submission.Stage
	}{
		{"silence after MAIL", flight + "stall", submission.NotSent, submission.StageMail},
		{"silence at RCPT", flight + "S: 250 ok\nstall", submission.NotSent, submission.StageRcpt},
		{"refused recipient", flight + "S: 250 ok\nS: 550 5.1.1 no\nS: 503 5.5.1 nobody\n" + poolQuit, submission.NotSent, submission.StageRcpt},
		{"deferred recipient", flight + "S: 250 ok\nS: 450 4.2.1 no\nS: 503 5.5.1 nobody\n" + poolQuit, submission.NotSent, submission.StageRcpt},
		{"closed after the dot", flight + message + "close", submission.Unknown, submission.StageFinal},
		{"garbage after the dot", flight + message + "S: hello\nclose", submission.Unknown, submission.StageFinal},
		{"refused content", flight + message + "S: 554 5.6.0 spam\n" + poolQuit, submission.NotSent, submission.StageFinal},
		{"deferred content", flight + message + "S: 451 4.3.0 busy\n" + poolQuit, submission.NotSent, submission.StageFinal},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := scriptedClient(t, nil, poolGreeting+poolMessage+tc.end)
				if err := poolSend(c); err != nil {
					t.Fatal(err)
				}
				e := wantError[*submission.SendError](t, poolSend(c))
				if e.Outcome != tc.outcome || e.Stage != tc.stage {
					t.Errorf("%v at %v, want %v at %v", e.Outcome, e.Stage, tc.outcome, tc.stage)
				}
			})
		})
	}
}

// What speaks against the session starts once more on a fresh one, as long as
// nothing of the message can have been accepted.
func TestPoolStartsAgain(t *testing.T) {
	flight := "C: MAIL FROM:<a@test.example>\nC: RCPT TO:<b@test.example>\nC: DATA\n"
	message := "S: 250 ok\nS: 250 ok\nS: 354 go\nC: Subject: pool\nC:\nC: text\nC: .\n"
	for name, end := range map[string]string{
		"MAIL refused, then closed":    flight + "S: 550 5.7.1 no\nclose",
		"MAIL deferred, then closed":   flight + "S: 450 4.7.1 not now\nclose",
		"garbage to MAIL":              flight + "S: hello\nclose",
		"221 to MAIL":                  flight + "S: 221 bye\nclose",
		"closed at RCPT":               flight + "S: 250 ok\nclose",
		"421 to RCPT":                  flight + "S: 250 ok\nS: 421 bye\nclose",
		"503 to RCPT":                  flight + "S: 250 ok\nS: 503 what\nS: 503 what\n" + poolQuit,
		"closed at DATA":               flight + "S: 250 ok\nS: 250 ok\nclose",
		"DATA deferred":                flight + "S: 250 ok\nS: 250 ok\nS: 452 4.4.5 enough\n" + poolQuit,
		"DATA out of step":             flight + "S: 250 ok\nS: 250 ok\nS: 250 ok\neof",
		"closed before the dot":        flight + "S: 250 ok\nS: 250 ok\nS: 354 go\nclose",
		"421 after the dot":            flight + message + "S: 421 bye\nclose",
		"connection full, at the end":  flight + message + "S: 451 4.4.5 enough of this connection\n" + poolQuit,
		"not logged in any more":       flight + "S: 530 5.7.0 log in\nS: 503 no\nS: 503 no\n" + poolQuit,
		"a reply too many, late":       "S! 250 taken once more\neof",
		"the end of an idle session":   "S! 221 bye\nclose",
		"the time of an idle one over": "S! 451 4.4.2 timeout\nclose",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := scriptedClient(t, nil, poolGreeting+poolMessage+end, poolGreeting+poolMessage+poolQuit)
				for range 2 {
					if err := poolSend(c); err != nil {
						t.Fatal(err)
					}
				}
			})
		})
	}
}

// A session that was never used before gets no second try, and there is never a third.
func TestPoolRetriesOnce(t *testing.T) {
	dead := poolGreeting + "C: MAIL FROM:<a@test.example>\nC: RCPT TO:<b@test.example>\nC: DATA\nclose"
	t.Run("fresh", func(t *testing.T) {
		c := scriptedClient(t, nil, dead)
		wantError[*submission.SendError](t, poolSend(c))
	})
	t.Run("reused", func(t *testing.T) {
		c := scriptedClient(t, nil, poolGreeting+poolMessage+"C: MAIL FROM:<a@test.example>\nC: RCPT TO:<b@test.example>\nC: DATA\nclose", dead)
		if err := poolSend(c); err != nil {
			t.Fatal(err)
		}
		wantError[*submission.SendError](t, poolSend(c))
	})
}

// A long message that has begun to stream out of its source starts again too,
// as long as the server has none of it.
func TestPoolRetriesStream(t *testing.T) {
	long := strings.Repeat(strings.Repeat("x", 76)+"\r\n", 2000)
	flight := "C: MAIL FROM:<a@test.example>\nC: RCPT TO:<b@test.example>\nC: DATA\n"
	c := scriptedClient(t, nil,
		poolGreeting+poolMessage+flight+"close",
		poolGreeting+flight+fmt.Sprintf("S: 250 ok\nS: 250 ok\nS: 354 go\nC* %d\nC: .\nS: 250 taken\n", len(long))+poolQuit)
	if err := poolSend(c); err != nil {
		t.Fatal(err)
	}
	r, err := c.Send(context.Background(), poolEnvelope, strings.NewReader(long))
	if err != nil {
		t.Fatal(err)
	}
	if r.Bytes != int64(len(long)) {
		t.Errorf("%d octets, want %d", r.Bytes, len(long))
	}
}

// A long message whose source can seek starts again even when much of it was sent, as
// long as its last octet was not. One whose source cannot seek does not.
func TestPoolStartsLongMessageAgain(t *testing.T) {
	flight := "C: MAIL FROM:<a@test.example>\nC: RCPT TO:<b@test.example>\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\n"
	begun := poolGreeting + poolMessage + flight + "C* 100000\nclose"
	whole := poolGreeting + flight + fmt.Sprintf("C* %d\nC: .\nS: 250 taken\n", len(long)) + poolQuit
	for _, seeks := range []bool{true, false} {
		t.Run(fmt.Sprint("seeks ", seeks), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				scripts := []string{begun, whole}
				msg := strings.NewReader("not part of it" + long)
				msg.Seek(int64(len("not part of it")), io.SeekStart)
				source := io.Reader(msg)
				if !seeks {
					scripts, source = scripts[:1], struct{ io.Reader }{msg}
				}
				c := scriptedClient(t, nil, scripts...)
				if err := poolSend(c); err != nil {
					t.Fatal(err)
				}
				res, err := c.Send(context.Background(), poolEnvelope, source)
				if !seeks {
					verdict{stage: submission.StageMessage, temporary: true}.check(t, res, err)
					return
				}
				if err != nil || res.Bytes != int64(len(long)) {
					t.Errorf("%+v, %v", res, err)
				}
				if n := c.Stats().Restarts; n != 1 {
					t.Errorf("%d restarts", n)
				}
			})
		})
	}
}

// After a second of rest a command asks whether the session lives. Anything but
// 250 means that it does not (a 221 or a 421 above all).
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
		{"NOOP 500", 2 * time.Second, false, "C: NOOP\nS: 500 what\nC: QUIT\nS: 221 bye\neof", false},
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

// Every dial that fails is an error, and none of them costs a slot.
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

// holdingServer is a server whose messages wait for release.
func holdingServer(release <-chan struct{}) *smtptest.Server {
	return smtptest.NewServer(&smtptest.Config{TLS: smtptest.NoTLS, Hook: func(c smtptest.Command) *smtptest.Answer {
		if c.Verb == "MESSAGE" {
			<-release
		}
		return nil
	}})
}

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
		if err := poolSend(c); err != nil { // the slot is still there
			t.Error(err)
		}
		c.Close()
		if n := srv.Sessions(); n != 1 {
			t.Errorf("%d sessions, want 1", n)
		}
	})
}

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
			t.Errorf("send after Close: %v", err)
		}
		select {
		case <-closed:
			t.Error("Close did not wait for the send that runs")
		default:
		}
		close(release)
		if err := <-first; err != nil {
			t.Errorf("the send that ran: %v", err)
		}
		if err := <-waiter; err != nil {
			t.Errorf("the send that waited: %v", err)
		}
		<-closed
		c.Close() // again
		if last := srv.Transcript(); !slices.Contains(last, "C: QUIT") {
			t.Errorf("no QUIT: %q", last)
		}
	})
}

// A source that panics takes its session with it, not its slot.
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
								t.Error("the panic did not come through")
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
			for range 4 { // at 0, 40, 80, 120 seconds: the session of 0 is too old at 80
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
			if slices.Contains(srv.Transcript(), "C: QUIT") {
				t.Error("QUIT before the time")
			}
			time.Sleep(time.Nanosecond)
			synctest.Wait()
			if !slices.Contains(srv.Transcript(), "C: QUIT") {
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
			for _, line := range srv.Transcript() {
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

// The session used last goes out first, so that the others can time out.
func TestPoolLIFO(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.NoTLS, Hook: func(c smtptest.Command) *smtptest.Answer {
			if c.Verb == "MESSAGE" && c.Message.Size > 20 { // not the probe's
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

// Fifty senders share one Client; every message arrives once.
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

func TestPing(t *testing.T) {
	srv := smtptest.NewServer(&smtptest.Config{Accounts: map[string]string{"user": "right"}})
	defer srv.Close()
	for password, ok := range map[string]bool{"right": true, "wrong": false} {
		c, err := submission.New(srv.Addr(), &submission.Options{
			TLSConfig: srv.ClientTLSConfig(),
			Auth:      submission.Password{Username: "user", Password: password},
		})
		if err != nil {
			t.Fatal(err)
		}
		err = c.Ping(context.Background())
		if ok && err != nil {
			t.Error(err)
		}
		if !ok {
			wantError[*submission.AuthError](t, err)
		}
		c.Close()
	}
}
