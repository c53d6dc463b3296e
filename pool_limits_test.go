package submission_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fe022423/submission"
)

// turnAway is how a server refuses a session that is one too many.
type turnAway struct {
	verb   string // at which command
	answer habitAnswer
}

func (w turnAway) String() string {
	text := w.answer.reply
	switch {
	case w.answer.resets:
		text += " reset"
	case w.answer.closes:
		text += " closes"
	}
	return strings.TrimSpace(w.verb + " " + text)
}

func waysToTurnAway() []turnAway {
	var list []turnAway
	for _, verb := range []string{"CONNECT", "EHLO", "AUTH"} {
		for _, a := range []habitAnswer{
			{reply: "421 4.7.0 too many connections", closes: true},
			{reply: "421 4.7.0 too many connections"},
			{reply: "450 4.7.1 too many connections"},
			{reply: "454 4.3.2 concurrent connections limit exceeded", closes: true},
			{closes: true}, // Courier
			{resets: true},
		} {
			list = append(list, turnAway{verb, a})
		}
	}
	return append(list, turnAway{"AUTH", habitAnswer{reply: "221 bye", closes: true}}) // means what 421 means
}

// allows makes a server that allows limit sessions and turns others away.
func allows(limit func() int, way turnAway, also func(*habitSession, string, string) *habitAnswer) *habitServer {
	srv := newHabitServer("PIPELINING", "AUTH PLAIN")
	tooMany := map[*habitSession]bool{} // guarded by mu
	admitted := map[*habitSession]bool{}
	var mu sync.Mutex
	srv.habit = func(s *habitSession, verb, line string) *habitAnswer {
		mu.Lock()
		if verb == "CONNECT" && !admitted[s] || verb == "TLS" {
			if len(admitted) >= limit() {
				tooMany[s] = true
			} else {
				admitted[s] = true
			}
		}
		refused := tooMany[s]
		mu.Unlock()
		if refused && verb == way.verb {
			return &way.answer
		}
		if also != nil {
			return also(s, verb, line)
		}
		return nil
	}
	srv.ended = func(s *habitSession) {
		mu.Lock()
		defer mu.Unlock()
		delete(admitted, s)
	}
	return srv
}

func fixed(n int) func() int { return func() int { return n } }

func withLogin(o *submission.Options) {
	o.Auth, o.InsecureAuth = submission.Password{Username: "user", Password: "password"}, true
}

// slowly answers each message after a second.
func slowly(_ *habitSession, verb, _ string) *habitAnswer {
	if verb == "MESSAGE" {
		return &habitAnswer{reply: "250 taken", delay: time.Second}
	}
	return nil
}

// A server that allows three sessions costs no message: a send whose dial is refused
// waits for a session that lives, and the number is learnt.
func TestPoolServerAllowsThree(t *testing.T) {
	for _, way := range waysToTurnAway() {
		for name, also := range map[string]func(*habitSession, string, string) *habitAnswer{"": nil, ", slow": slowly, ", slow to log in": func(s *habitSession, verb, line string) *habitAnswer {
			if verb == "AUTH" {
				return &habitAnswer{reply: "235 welcome", delay: time.Duration(s.id) * time.Second}
			}
			return slowly(s, verb, line)
		}} {
			t.Run(way.String()+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					srv := allows(fixed(3), way, also)
					c := srv.client(t, withLogin)
					wantAllSent(t, srv, sendAtOnce(t.Context(), c, 60))
					if st := c.Stats(); st.Bound != 3 && name != "" { // sessions that rest are closed meanwhile
						t.Errorf("bound %d, want 3", st.Bound)
					}
					if n := srv.dials(); n > 3+10 {
						t.Errorf("%d dials", n)
					}
					wantClosed(t, c, srv)
				})
			})
		}
	}
}

// Where TLS is spoken from the first byte a server turns sessions away before that or
// within it: in clear, as Exim does, or by an end.
func TestPoolServerAllowsThreeOverTLS(t *testing.T) {
	clear := "421 4.7.0 too many connections"
	for _, way := range append(waysToTurnAway(),
		turnAway{"TLS", habitAnswer{reply: clear}}, turnAway{"TLS", habitAnswer{reply: "421-" + clear[4:] + "\n" + clear}},
		turnAway{"TLS", habitAnswer{reply: "450 4.7.1 too many connections"}}, turnAway{"TLS", habitAnswer{reply: "454 4.3.2 too many"}},
		turnAway{"TLS", habitAnswer{}}, turnAway{"TLS", habitAnswer{resets: true}},
	) {
		t.Run(way.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := allows(fixed(3), way, slowly)
				srv.tls = &tls.Config{Certificates: []tls.Certificate{selfSigned()}}
				c := srv.client(t, withLogin, func(o *submission.Options) {
					o.TLS, o.TLSConfig = submission.TLSImplicit, &tls.Config{InsecureSkipVerify: true}
				})
				wantAllSent(t, srv, sendAtOnce(t.Context(), c, 30))
				if st := c.Stats(); st.Bound != 3 {
					t.Errorf("bound %d, want 3", st.Bound)
				}
				wantClosed(t, c, srv)
			})
		})
	}
}

// What a server says in clear in place of TLS is temporary when its code is.
func TestRefusedInClearInsteadOfTLS(t *testing.T) {
	for code, temporary := range map[string]bool{"421": true, "450": true, "454": true, "221": true, "554": false, "500": false, "220": false, "4xx": false, "42": false, "+OK": false, "* O": false} {
		synctest.Test(t, func(t *testing.T) {
			srv := newHabitServer("PIPELINING")
			srv.tls = &tls.Config{}
			srv.habit = func(_ *habitSession, verb, _ string) *habitAnswer {
				return &habitAnswer{reply: code + " 4.7.0 not now"}
			}
			c := srv.client(t, func(o *submission.Options) { o.TLS = submission.TLSImplicit })
			err := sendNumber(t.Context(), c, 0)
			if e := wantError[*submission.SendError](t, err); e.Temporary() != temporary || e.Outcome != submission.NotSent {
				t.Errorf("%s: %v: temporary %v", code, err, e.Temporary())
			}
			if e := wantError[*submission.TLSError](t, err); e.Temporary() != temporary {
				t.Errorf("%s: %v: temporary %v", code, err, e.Temporary())
			}
			wantClosed(t, c, srv)
		})
	}
}

// A server that resets the sessions which are too many at once may do so before the
// kernel says that they are connected. One that takes no connection is another matter.
func TestPoolServerResetsAtOnce(t *testing.T) {
	for errno, waits := range map[error]bool{errnoReset: true, errnoRefused: false} {
		t.Run(errno.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := newHabitServer("PIPELINING")
				srv.habit = slowly
				c, err := submission.New(testHost, plainText(func(o *submission.Options) {
					o.Dialer = dialFunc(func(ctx context.Context, network, addr string) (net.Conn, error) {
						if open, _ := srv.connections(); open >= 3 {
							return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", errno)}
						}
						return srv.DialContext(ctx, network, addr)
					})
				}))
				if err != nil {
					t.Fatal(err)
				}
				list := sendAtOnce(t.Context(), c, 60)
				if waits {
					wantAllSent(t, srv, list)
				} else if failed := slices.IndexFunc(list, func(err error) bool { return err != nil }); failed < 0 {
					t.Error("every message was sent")
				} else if e := wantOutcome(t, list[failed], submission.NotSent); e.Stage != submission.StageDial {
					t.Errorf("%v", e)
				}
				wantClosed(t, c, srv)
			})
		})
	}
}

// The bound is believed for some minutes; then one more session is tried, and not
// again at once. When the server allows more, the bound grows.
func TestPoolBoundIsTriedAgain(t *testing.T) {
	for _, later := range []int{3, 4, 10} {
		t.Run(fmt.Sprint(later), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				limit := func() int {
					if time.Since(began) < time.Minute {
						return 3
					}
					return later
				}
				srv := allows(limit, turnAway{"CONNECT", habitAnswer{reply: "421 too many", closes: true}}, slowly)
				c := srv.client(t, withPool(submission.PoolOptions{MaxMessages: 1 << 30, MaxIdle: 10}))
				stop := make(chan struct{})
				var wg sync.WaitGroup
				for range 20 {
					wg.Go(func() {
						for n := 0; ; n++ {
							select {
							case <-stop:
								return
							default:
							}
							if err := sendNumber(context.Background(), c, n); err != nil {
								t.Error(err)
								return
							}
						}
					})
				}
				time.Sleep(50 * time.Second)
				first := srv.dials()
				if st := c.Stats(); st.Bound != 3 || st.Open != 3 || st.MaxSessions != 10 || first > 13 {
					t.Errorf("after 50 seconds: %+v, %d dials", st, first)
				}
				time.Sleep(14*time.Minute + 15*time.Second + time.Millisecond)
				more := srv.dials() - first
				st := c.Stats()
				switch {
				case more < 1 || more > 15:
					t.Errorf("%d further dials in 14 minutes", more)
				case later == 3 && (st.Bound != 3 || st.Open > 4):
					t.Errorf("after 15 minutes: %+v", st)
				case later > 3 && (st.Open < 4 || st.Open > later || st.Bound != 0 && st.Bound < st.Open):
					t.Errorf("after 15 minutes: %+v", st)
				}
				close(stop)
				wg.Wait()
				wantClosed(t, c, srv)
			})
		})
	}
}

// One more session is tried when the time of the bound is over, also when everybody
// waits and nothing else happens; and a server at which sessions come and go is not
// dialed for every message.
func TestPoolTriesMoreWhileAllWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		limit := func() int {
			if time.Since(began) < time.Minute {
				return 1
			}
			return 10
		}
		srv := allows(limit, turnAway{"CONNECT", habitAnswer{reply: "421 too many", closes: true}}, func(_ *habitSession, verb, _ string) *habitAnswer {
			if verb == "MESSAGE" {
				return &habitAnswer{reply: "250 taken", delay: 9 * time.Minute}
			}
			return nil
		})
		c := srv.client(t)
		done := make(chan []error)
		go func() { done <- sendAtOnce(context.Background(), c, 3) }()
		time.Sleep(7 * time.Minute)
		if st := c.Stats(); st.Open != 3 || st.Waiting != 0 {
			t.Errorf("after 7 minutes: %+v", st)
		}
		wantAllSent(t, srv, <-done)
		wantClosed(t, c, srv)
	})
	synctest.Test(t, func(t *testing.T) {
		const each = 5
		srv := allows(fixed(3), turnAway{"CONNECT", habitAnswer{reply: "421 too many", closes: true}}, func(s *habitSession, verb, line string) *habitAnswer {
			switch verb {
			case "MAIL":
				if s.accepted >= each {
					return &habitAnswer{reply: "452 4.4.5 enough"}
				}
			case "MESSAGE":
				return &habitAnswer{reply: "250 taken", delay: 50 * time.Millisecond}
			}
			return nil
		})
		c := srv.client(t)
		const messages = 3000
		var sent []error
		var wg sync.WaitGroup
		errs := make([][]error, 20)
		for i := range errs {
			wg.Go(func() {
				for n := i * messages / 20; n < (i+1)*messages/20; n++ {
					errs[i] = append(errs[i], sendNumber(t.Context(), c, n))
				}
			})
		}
		wg.Wait()
		for _, list := range errs {
			sent = append(sent, list...)
		}
		wantAllSent(t, srv, sent)
		if n := srv.dials(); n > 2*messages/each {
			t.Errorf("%d dials for %d messages, %d a session", n, messages, each)
		}
		wantClosed(t, c, srv)
	})
}

// A server that turns everybody away fails every send with what it said, and none
// hangs.
func TestPoolServerRefusesEverybody(t *testing.T) {
	for _, way := range waysToTurnAway() {
		for _, delay := range []time.Duration{0, time.Second} {
			t.Run(fmt.Sprintf("%v %v", way, delay), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					way.answer.delay = delay
					srv := allows(fixed(0), way, nil)
					c := srv.client(t, withLogin)
					began := time.Now()
					for _, err := range sendAtOnce(t.Context(), c, 60) {
						e := wantError[*submission.SendError](t, err)
						if e.Outcome != submission.NotSent || !e.Temporary() || e.Stage == submission.StageWait {
							t.Errorf("%v", e)
						}
						if want := way.answer.reply; want != "" && (e.Reply == nil || fmt.Sprint(e.Reply.Code) != want[:3]) {
							t.Errorf("%v, want %s", e, want)
						}
					}
					if took := time.Since(began); took > 61*(delay+time.Second) {
						t.Errorf("took %v", took)
					}
					wantClosed(t, c, srv)
				})
			})
		}
	}
}

// A refusal for good is no limit: it is the send's error at once, also while other
// sessions live.
func TestPoolRefusedForGoodIsNoLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := allows(fixed(1), turnAway{"CONNECT", habitAnswer{reply: "554 5.7.1 not you", closes: true}}, slowly)
		c := srv.client(t, withPool(submission.PoolOptions{MaxSessions: 2}))
		failed := 0
		for _, err := range sendAtOnce(t.Context(), c, 2) {
			if err == nil {
				continue
			}
			failed++
			if e := wantError[*submission.SendError](t, err); e.Stage != submission.StageGreeting || e.Temporary() {
				t.Errorf("%v", e)
			}
		}
		if st := c.Stats(); failed != 1 || st.Bound != 0 {
			t.Errorf("%d failed, %+v", failed, st)
		}
		wantClosed(t, c, srv)
	})
}

// A send that waits because of the server's limit obeys its context, and names the
// bound.
func TestPoolBoundInError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := allows(fixed(1), turnAway{"CONNECT", habitAnswer{closes: true}}, func(_ *habitSession, verb, _ string) *habitAnswer {
			if verb == "MESSAGE" {
				return &habitAnswer{reply: "250 taken", delay: time.Minute}
			}
			return nil
		})
		c := srv.client(t)
		done := make(chan error)
		go func() { done <- sendNumber(context.Background(), c, 0) }()
		synctest.Wait()
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			began := time.Now()
			err := sendNumber(ctx, c, 1)
			cancel()
			e := wantError[*submission.SendError](t, err)
			if e.Stage != submission.StageWait || e.Outcome != submission.NotSent || !e.Temporary() || !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
				t.Errorf("%v after %v", err, time.Since(began))
			}
			if !strings.Contains(err.Error(), "1 session") {
				t.Errorf("%v", err)
			}
		}
		if n := srv.dials(); n != 2 {
			t.Errorf("%d dials", n)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		wantClosed(t, c, srv)
	})
}

// A server that allows few sessions, and few messages in each: the goodbye of one is
// awaited, not taken for a limit.
func TestPoolLimitAndGoodbye(t *testing.T) {
	const never = -1
	for _, limit := range []int{1, 2, 3} {
		for _, quit := range []time.Duration{0, 2 * time.Second, never} {
			t.Run(fmt.Sprintf("%d sessions, QUIT takes %v", limit, quit), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var srv *habitServer
					srv = allows(fixed(limit), turnAway{"CONNECT", habitAnswer{reply: "421 too many", closes: true}}, func(s *habitSession, verb, line string) *habitAnswer {
						switch verb {
						case "QUIT":
							if quit == never {
								return &habitAnswer{}
							}
							time.Sleep(quit)
							srv.ended(s) // counts until here
						case "MAIL":
							if s.accepted >= 4 {
								return &habitAnswer{reply: "452 4.4.5 enough"}
							}
						}
						return slowly(s, verb, line)
					})
					c := srv.client(t)
					wantAllSent(t, srv, sendAtOnce(t.Context(), c, 60))
					if st := c.Stats(); st.Bound != 0 && st.Bound != limit {
						t.Errorf("%+v", st)
					}
					wantClosed(t, c, srv)
				})
			})
		}
	}
}

// A dial that its caller gave up leaves a connection that the server counts until it
// notices the end: that is no limit for the next one.
func TestPoolLimitAndCancelledDial(t *testing.T) {
	for _, verb := range []string{"CONNECT", "EHLO", "AUTH"} {
		for _, way := range waysToTurnAway() {
			t.Run(fmt.Sprintf("at %s, %v", verb, way), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					srv := allows(fixed(1), way, func(s *habitSession, at, _ string) *habitAnswer {
						if s.id == 1 && at == verb {
							time.Sleep(1500 * time.Millisecond) // and does not notice
						}
						return nil
					})
					c := srv.client(t, withLogin, withPool(submission.PoolOptions{MaxSessions: 1}))
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					if e := wantOutcome(t, sendNumber(ctx, c, 0), submission.NotSent); !errors.Is(e, context.DeadlineExceeded) {
						t.Error(e)
					}
					short, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
					defer cancel()
					began := time.Now()
					e := wantOutcome(t, sendNumber(short, c, 1), submission.NotSent)
					if !errors.Is(e, context.DeadlineExceeded) || !e.Temporary() || time.Since(began) != 250*time.Millisecond {
						t.Errorf("%v after %v", e, time.Since(began))
					}
					if err := sendNumber(t.Context(), c, 2); err != nil {
						t.Error(err)
					}
					wantClosed(t, c, srv)
				})
			})
		}
	}
}

// MaxSessions bounds the connections that are open, those that say goodbye included,
// at a server that is slow to answer QUIT; and a send that waits does not wait for
// that answer.
func TestPoolSlowGoodbye(t *testing.T) {
	for _, max := range []int{1, 3} {
		for name, answer := range map[string]habitAnswer{
			"after 4 s": {reply: "221 bye", delay: 4 * time.Second},
			"never":     {delay: time.Hour},
			"at once":   {reply: "221 bye"},
		} {
			t.Run(fmt.Sprintf("%d sessions, %s", max, name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					srv := newHabitServer("PIPELINING")
					srv.habit = func(s *habitSession, verb, line string) *habitAnswer {
						if verb == "QUIT" {
							return &answer
						}
						return slowly(s, verb, line)
					}
					c := srv.client(t, withPool(submission.PoolOptions{MaxSessions: max, MaxMessages: 1}))
					began := time.Now()
					wantAllSent(t, srv, sendAtOnce(t.Context(), c, 12))
					if took, want := time.Since(began), time.Duration(12/max)*time.Second; took != want {
						t.Errorf("took %v, want %v", took, want)
					}
					if _, most := srv.connections(); most > max {
						t.Errorf("%d connections at a time", most)
					}
					// One after the other: neither waits for the goodbye of the one before.
					for n := range 3 {
						began := time.Now()
						if err := sendNumber(t.Context(), c, 100+n); err != nil {
							t.Fatal(err)
						}
						if took := time.Since(began); took != time.Second {
							t.Errorf("took %v", took)
						}
					}
					if _, most := srv.connections(); most > max {
						t.Errorf("%d connections at a time", most)
					}
					wantClosed(t, c, srv)
				})
			})
		}
	}
}

// Waiters that give up all at once cost memory in proportion to their number, and the
// pool is whole afterwards.
func TestPoolManyWaitersGiveUp(t *testing.T) {
	perWaiter := func(n int) (bytes, mallocs float64) {
		synctest.Test(t, func(t *testing.T) {
			srv := newHabitServer("PIPELINING")
			release := make(chan struct{})
			srv.habit = func(_ *habitSession, verb, _ string) *habitAnswer {
				if verb == "MESSAGE" {
					<-release
				}
				return nil
			}
			c := srv.client(t, withPool(submission.PoolOptions{MaxSessions: 1}))
			first := make(chan error, 1)
			go func() { first <- sendNumber(context.Background(), c, 0) }()
			synctest.Wait()
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			var failed sync.Map
			for i := range n {
				wg.Go(func() {
					if err := c.Ping(ctx); !errors.Is(err, context.Canceled) {
						failed.Store(i, err)
					}
				})
			}
			synctest.Wait()
			if st := c.Stats(); st.Waiting != n {
				t.Errorf("%d wait, want %d", st.Waiting, n)
			}
			runtime.GC()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			cancel()
			wg.Wait()
			runtime.ReadMemStats(&after)
			failed.Range(func(i, err any) bool {
				t.Errorf("waiter %v: %v", i, err)
				return false
			})
			bytes = float64(after.TotalAlloc-before.TotalAlloc) / float64(n)
			mallocs = float64(after.Mallocs-before.Mallocs) / float64(n)
			if st := c.Stats(); st.Waiting != 0 || st.WaitCount != uint64(n) {
				t.Errorf("%+v", st)
			}
			close(release)
			if err := <-first; err != nil {
				t.Error(err)
			}
			if err := sendNumber(context.Background(), c, 1); err != nil {
				t.Error(err)
			}
			wantClosed(t, c, srv)
		})
		return bytes, mallocs
	}
	most := 30_000
	if testing.Short() {
		most = 10_000
	}
	bytes1, mallocs1 := perWaiter(most / 10)
	bytes2, mallocs2 := perWaiter(most)
	t.Logf("%d: %.0f octets, %.1f allocations each; %d: %.0f, %.1f", most/10, bytes1, mallocs1, most, bytes2, mallocs2)
	if mallocs2 > 2*mallocs1+5 || bytes2 > 2*bytes1+500 {
		t.Error("more than linear")
	}
}
