package submission_test

import (
	"bytes"
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

// rideWays are the ways in which messages share flights.
var rideWays = map[string][]string{
	"DATA": {"PIPELINING"},
	"BDAT": {"PIPELINING", "CHUNKING"},
}

// rideStory sends messages 0 to n-1 over one session at a time, all at once and in
// this order, and returns what became of them.
func rideStory(t *testing.T, c *submission.Client, n int, ctx func(i int) context.Context) []error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = sendNumber(ctx(i), c, i) })
		synctest.Wait() // in order
	}
	wg.Wait()
	return errs
}

// wantTruth holds what became of messages against what the server accepted. At most
// one of them may have failed, the one with index mayFail, or any with -1.
func wantTruth(t *testing.T, srv *habitServer, errs []error, mayFail int) {
	t.Helper()
	failed := 0
	for i, err := range errs {
		accepted := srv.has(habitText(i))
		outcome := "sent"
		if err != nil {
			var e *submission.SendError
			if !errors.As(err, &e) {
				t.Errorf("message %d: %v", i, err)
				continue
			}
			outcome = e.Outcome.String()
			failed++
			if mayFail >= 0 && i != mayFail {
				t.Errorf("message %d, which had nothing to do with it: %v", i, err)
			}
		}
		if accepted > 1 || accepted == 0 && err == nil || accepted > 0 && outcome == submission.NotSent.String() {
			t.Errorf("message %d is %s, and was accepted %d times: %v", i, outcome, accepted, err)
		}
	}
	if failed > 1 {
		t.Errorf("%d messages failed: %v", failed, errors.Join(errs...))
	}
}

// nobody is an index for wantTruth.
const nobody = 1 << 20

// cutDialer cuts the first connection after so many octets in one direction.
type cutDialer struct {
	srv   *habitServer
	up    bool
	after int
	used  atomic.Bool
	moved atomic.Int64 // octets in that direction
}

func (d *cutDialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	nc, err := d.srv.DialContext(ctx, network, addr)
	if err != nil || d.used.Swap(true) {
		return nc, err
	}
	return &cutConn{nc.(*habitConn), d}, nil
}

type cutConn struct {
	*habitConn
	d *cutDialer
}

func (c *cutConn) Read(p []byte) (int, error) {
	if c.d.up {
		return c.habitConn.Read(p)
	}
	left := c.d.after - int(c.d.moved.Load())
	if left == 0 {
		c.habitConn.Close()
		return 0, habitError("read", errnoReset)
	}
	n, err := c.habitConn.Read(p[:min(len(p), left)])
	c.d.moved.Add(int64(n))
	return n, err
}

func (c *cutConn) Write(p []byte) (int, error) {
	if !c.d.up {
		return c.habitConn.Write(p)
	}
	left := c.d.after - int(c.d.moved.Load())
	if len(p) <= left {
		c.d.moved.Add(int64(len(p)))
		return c.habitConn.Write(p)
	}
	n, _ := c.habitConn.Write(p[:left])
	synctest.Wait() // the server reads what came
	c.d.moved.Add(int64(n))
	c.habitConn.Close()
	return n, habitError("write", errnoPipe)
}

// Three messages in shared flights, and the connection ends at each octet of theirs:
// none is lost, none is sent twice, and only the one that the end fell upon fails.
func TestRideCutSweep(t *testing.T) {
	cells := 0
	for name, keywords := range rideWays {
		for _, up := range []bool{true, false} {
			end := 1
			for after := 0; after < end; after++ {
				synctest.Test(t, func(t *testing.T) {
					srv := rideServer(keywords...)
					d := &cutDialer{srv: srv, up: up, after: after}
					if after == 0 {
						d.after = 1 << 20
					}
					o := plainText(withPool(submission.PoolOptions{MaxSessions: 1}))
					o.Dialer = d
					c, err := submission.New(testHost, o)
					if err != nil {
						t.Fatal(err)
					}
					errs := rideStory(t, c, 3, func(int) context.Context { return t.Context() })
					if after == 0 {
						end = int(d.moved.Load())
						wantAllSent(t, srv, errs)
					}
					wantTruth(t, srv, errs, -1)
					wantClosed(t, c, srv)
				})
				cells++
				if t.Failed() {
					t.Fatalf("%s, up %v, after %d octets", name, up, after)
				}
			}
		}
	}
	t.Logf("%d cells", cells)
}

// Each reply of a shared flight is a wrong one: what is said to one message is never
// taken for the answer to another, and costs no other message anything.
func TestRideWrongReply(t *testing.T) {
	cells := 0
	for name, keywords := range rideWays {
		for _, place := range []struct {
			message int // which one on its session
			verb    string
			of      int // whose message it may fail
		}{{1, "MESSAGE", 0}, {2, "RSET", 0}, {2, "MAIL", 1}, {2, "RCPT", 1}, {2, "DATA", 1}, {2, "MESSAGE", 1}, {3, "RSET", 1}, {3, "MAIL", 2}, {3, "MESSAGE", 2}} {
			for _, reply := range []string{"250 one\n250 too many", "354 go", "421 4.3.2 bye", "450 4.2.1 busy", "452 4.4.5 enough", "503 5.5.1 what", "550 5.1.1 no", "552 5.3.4 no", "502 5.5.2 what is that", "221 bye", "garbage", ""} {
				for _, closes := range []bool{false, true} {
					if reply == "" && !closes {
						continue
					}
					synctest.Test(t, func(t *testing.T) {
						srv := newHabitServer(keywords...)
						srv.habit = func(s *habitSession, verb, _ string) *habitAnswer {
							n := s.begun
							switch {
							case verb == "CONNECT":
								return &habitAnswer{reply: "220 hi", delay: time.Second}
							case verb == "RSET":
								n++ // in front of the next one
							}
							if s.id == 1 && verb == place.verb && n == place.message {
								return &habitAnswer{reply: reply, closes: closes}
							}
							return nil
						}
						c := srv.client(t, withPool(submission.PoolOptions{MaxSessions: 1}))
						errs := rideStory(t, c, 4, func(int) context.Context { return t.Context() })
						mayFail := place.of
						switch {
						case strings.Contains(reply, "too many"):
							mayFail = -1
						case place.verb == "RSET" && (name == "DATA" || strings.HasPrefix(reply, "502")):
							mayFail = nobody // housekeeping changes no verdict
						}
						wantTruth(t, srv, errs, mayFail)
						wantClosed(t, c, srv)
					})
					cells++
					if t.Failed() {
						t.Fatalf("%s, message %d, %q to %s, closes %v", name, place.message, reply, place.verb, closes)
					}
				}
			}
		}
	}
	t.Logf("%d cells", cells)
}

// A send gives up at each point of a shared flight: the others are sent, and nothing is
// left behind.
func TestRideGivenUp(t *testing.T) {
	cells := 0
	for name, keywords := range rideWays {
		for who := range 4 {
			most := 1
			for at := 1; at <= most; at++ {
				for _, slow := range []bool{false, true} { // the server answers after the send gave up, or before
					synctest.Test(t, func(t *testing.T) {
						srv := newHabitServer(keywords...)
						ctx, cancel := context.WithCancel(t.Context())
						var events atomic.Int64
						srv.habit = func(s *habitSession, verb, _ string) *habitAnswer {
							if events.Add(1) == int64(at) {
								cancel()
								if slow {
									time.Sleep(time.Second)
								}
							}
							if verb == "CONNECT" {
								return &habitAnswer{reply: "220 hi", delay: time.Second}
							}
							return nil
						}
						c := srv.client(t, withPool(submission.PoolOptions{MaxSessions: 1}))
						errs := rideStory(t, c, 4, func(i int) context.Context {
							if i == who {
								return ctx
							}
							return t.Context()
						})
						most = max(most, int(events.Load())-1)
						wantTruth(t, srv, errs, who)
						if errs[who] != nil && !errors.Is(errs[who], context.Canceled) {
							t.Errorf("message %d: %v", who, errs[who])
						}
						wantClosed(t, c, srv)
					})
					cells++
					if t.Failed() {
						t.Fatalf("%s, message %d gives up at event %d, slow %v", name, who, at, slow)
					}
				}
			}
		}
	}
	t.Logf("%d cells", cells)
}

// The message in front takes long, and another session is free: the send that waits
// behind it does not wait for ever.
func TestRideBehindASlowMessage(t *testing.T) {
	for name, keywords := range rideWays {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := newHabitServer(keywords...)
				srv.habit = func(s *habitSession, verb, _ string) *habitAnswer {
					switch {
					case verb == "CONNECT":
						return &habitAnswer{reply: "220 hi", delay: time.Second}
					case verb == "MESSAGE" && s.id == 1 && s.accepted == 0:
						return &habitAnswer{reply: "250 taken", delay: 4 * time.Minute}
					}
					return nil
				}
				c := srv.client(t, withPool(submission.PoolOptions{MaxSessions: 2}))
				began := time.Now()
				errs := make([]error, 8)
				took := make([]time.Duration, len(errs))
				var wg sync.WaitGroup
				for i := range errs {
					wg.Go(func() {
						errs[i] = sendNumber(t.Context(), c, i)
						took[i] = time.Since(began)
					})
					synctest.Wait()
				}
				wg.Wait()
				wantAllSent(t, srv, errs)
				for i, d := range took[1:] {
					if d > 10*time.Second {
						t.Errorf("message %d took %v", i+1, d)
					}
				}
				if took[0] < 4*time.Minute {
					t.Errorf("the slow message took %v", took[0])
				}
				wantClosed(t, c, srv)
			})
		})
	}
}

// A session that is given up is given up also where an envelope is on its way over it,
// and at once: the send waits for no more than a new one.
func TestRideOverAWrongSession(t *testing.T) {
	for name, keywords := range rideWays {
		for _, reply := range []string{"450 4.2.1 busy", "452 4.4.5 enough", "554 5.4.5 enough", "421 4.3.2 bye", "panic", "450 4.2.1 busy, and Closed panics"} {
			t.Run(name+" "+reply, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					srv := newHabitServer(keywords...)
					srv.habit = func(s *habitSession, verb, _ string) *habitAnswer {
						switch {
						case verb == "CONNECT":
							return &habitAnswer{reply: "220 hi", delay: time.Second}
						case verb == "MESSAGE" && s.id == 1 && reply != "panic":
							return &habitAnswer{reply: reply}
						}
						return nil
					}
					m := &mine{}
					var ended atomic.Int64
					c := srv.client(t, withPool(submission.PoolOptions{MaxSessions: 1}), func(o *submission.Options) {
						o.Trace = &submission.Trace{Received: func(_ context.Context, _ submission.SessionInfo, r submission.Reply) {
							if strings.HasPrefix(r.String(), "250 taken") && ended.Add(1) == 1 && reply == "panic" {
								panic(errMine)
							}
						}, Closed: func(submission.SessionInfo, error) {
							if strings.HasSuffix(reply, "Closed panics") && ended.Add(1) == 1 {
								panic(errMine)
							}
						}}
					})
					began := time.Now()
					first := later(func() error { return m.run(func() error { return sendNumber(t.Context(), c, 0) }) })
					synctest.Wait()
					second := later(func() error { return sendNumber(t.Context(), c, 1) })
					if err := <-first; err == nil {
						t.Error("the first message was sent")
					}
					if err := <-second; err != nil {
						t.Error(err)
					}
					if took := time.Since(began); took > 3*time.Second {
						t.Errorf("took %v", took)
					}
					if n := srv.dials(); n != 2 {
						t.Errorf("%d sessions, want 2", n)
					}
					wantClosed(t, c, srv)
				})
			})
		}
	}
}

// With BDAT, what refuses in the place of the answer to RSET is one reply too many to
// something before: nobody knows then which one the message in front has got.
func TestRideAfterAReplyTooMany(t *testing.T) {
	for name, keywords := range rideWays {
		synctest.Test(t, func(t *testing.T) {
			srv := newHabitServer(keywords...)
			srv.habit = func(s *habitSession, verb, _ string) *habitAnswer {
				switch {
				case verb == "CONNECT":
					return &habitAnswer{reply: "220 hi", delay: time.Second}
				case verb == "MESSAGE" && s.id == 1 && s.begun == 1:
					s.say("250 too many\n552 5.3.4 not taken")
					return &habitAnswer{}
				}
				return nil
			}
			c := srv.client(t, withPool(submission.PoolOptions{MaxSessions: 1}))
			errs := rideStory(t, c, 2, func(int) context.Context { return t.Context() })
			if name == "BDAT" {
				if e := wantError[*submission.SendError](t, errs[0]); e.Outcome != submission.Unknown {
					t.Errorf("the message in front: %v", e)
				}
			}
			if errs[1] != nil || srv.has(habitText(1)) != 1 {
				t.Errorf("%s: the message behind: %v, accepted %d times", name, errs[1], srv.has(habitText(1)))
			}
			wantClosed(t, c, srv)
		})
	}
}

// A server that drops what it reads together with the end of a message
// costs one send some seconds, once.
func TestRideDropped(t *testing.T) {
	for name, keywords := range rideWays {
		for _, left := range []bool{false, true} { // the send gives up meanwhile
			t.Run(fmt.Sprintf("%s, left %v", name, left), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					srv := newHabitServer(keywords...)
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					srv.habit = func(s *habitSession, verb, _ string) *habitAnswer {
						switch verb {
						case "CONNECT":
							return &habitAnswer{reply: "220 hi", delay: time.Second}
						case "MESSAGE":
							s.in.Discard(s.in.Buffered())
							if left && s.id == 1 {
								cancel()
								return &habitAnswer{reply: "250 taken", delay: time.Second}
							}
						}
						return nil
					}
					c := srv.client(t, withPool(submission.PoolOptions{MaxSessions: 1}))
					began := time.Now()
					errs := rideStory(t, c, 20, func(i int) context.Context {
						if i == 1 {
							return ctx
						}
						return t.Context()
					})
					for i, err := range errs {
						if (err != nil) != (left && i == 1) || err == nil && srv.has(habitText(i)) != 1 {
							t.Errorf("message %d: %v, accepted %d times", i, err, srv.has(habitText(i)))
						}
					}
					if took := time.Since(began); took > 10*time.Second {
						t.Errorf("took %v", took)
					}
					if n := srv.dials(); n != 2 {
						t.Errorf("%d sessions, want 2", n)
					}
					if st := c.Stats(); st.Restarts != 0 {
						t.Errorf("%d restarts", st.Restarts)
					}
					wantClosed(t, c, srv)
				})
			})
		}
	}
}

// A server that refuses each command that it reads together with the end of a message
// costs one session, once. A chunk has less of a guard than a message after
// 354: with BDAT the refusal may be one reply too many, and the message is unknown, once.
func TestRideRefused(t *testing.T) {
	for name, keywords := range rideWays {
		for _, tc := range []struct {
			name string
			late bool // the refusals come after the verdict
			left bool // the send gives up meanwhile
		}{{"with the verdict", false, false}, {"with the verdict, left", false, true}, {"late", true, false}, {"late, left", true, true}} {
			synctestRun(t, name+" "+tc.name, func(t *testing.T) {
				srv := newHabitServer(keywords...)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				srv.habit = func(s *habitSession, verb, _ string) *habitAnswer {
					switch verb {
					case "CONNECT":
						return &habitAnswer{reply: "220 hi", delay: time.Second}
					case "MESSAGE":
						if tc.left && s.id == 1 {
							cancel()
							time.Sleep(time.Second)
						}
						rest, _ := s.in.Peek(s.in.Buffered())
						s.in.Discard(len(rest))
						refusals := strings.Repeat("\n503 not now", bytes.Count(rest, []byte("\n")))
						if tc.late && refusals != "" {
							s.say("250 taken")
							s.srv.record(s.body)
							time.Sleep(time.Second)
							return &habitAnswer{reply: refusals[1:]}
						}
						return &habitAnswer{reply: "250 taken" + refusals}
					}
					return nil
				}
				var mu sync.Mutex
				taken := map[string]int{}
				srv.record = func(body []byte) {
					mu.Lock()
					defer mu.Unlock()
					taken[string(body)]++
				}
				c := srv.client(t, withPool(submission.PoolOptions{MaxSessions: 1}))
				errs := rideStory(t, c, 20, func(i int) context.Context {
					if i == 1 {
						return ctx
					}
					return t.Context()
				})
				for i, err := range errs {
					switch n := taken[habitText(i)]; {
					case err == nil && n == 1, tc.left && i == 1 && n == 0:
					case name == "BDAT" && i == 0 && !tc.late:
						wantOutcome(t, err, submission.Unknown)
					default:
						t.Errorf("message %d: %v, accepted %d times", i, err, n)
					}
				}
				if n := srv.dials(); n != 2 {
					t.Errorf("%d sessions, want 2", n)
				}
				if st := c.Stats(); st.Restarts != 0 {
					t.Errorf("%d restarts", st.Restarts)
				}
				wantClosed(t, c, srv)
			})
		}
	}
}

// A session that owes replies to a send that has gone is used again once they were
// heard; one that has said 354 can only be left.
func TestRideLeft(t *testing.T) {
	for name, keywords := range rideWays {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := newHabitServer(keywords...)
				ctx, cancel := context.WithCancel(t.Context())
				srv.habit = func(s *habitSession, verb, _ string) *habitAnswer {
					switch {
					case verb == "CONNECT":
						return &habitAnswer{reply: "220 hi", delay: time.Second}
					case verb == "MESSAGE" && s.accepted == 0 && s.id == 1:
						cancel()
						return &habitAnswer{reply: "250 taken", delay: time.Second}
					}
					return nil
				}
				c := srv.client(t, withPool(submission.PoolOptions{MaxSessions: 1}))
				errs := rideStory(t, c, 2, func(i int) context.Context { return []context.Context{t.Context(), ctx}[i] })
				if errs[0] != nil || !errors.Is(errs[1], context.Canceled) {
					t.Errorf("%v", errs)
				}
				if err := sendNumber(t.Context(), c, 2); err != nil {
					t.Error(err)
				}
				want := map[string]int{"DATA": 2, "BDAT": 1}[name]
				if n := srv.dials(); n != want {
					t.Errorf("%d sessions, want %d", n, want)
				}
				if name == "BDAT" {
					flights := fmt.Sprint(srv.session(1).flights())
					if !strings.Contains(flights, "BDAT 20 LAST|RSET|MAIL FROM:<a@test.example>|RCPT TO:<b@test.example> RSET|MAIL") {
						t.Errorf("no RSET after the envelope that was left: %s", flights)
					}
				}
				wantClosed(t, c, srv)
			})
		})
	}
}
