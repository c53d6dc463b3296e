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

var (
	lockstepDATA = []string{}
	flightDATA   = []string{"PIPELINING"}
	flightBDAT   = []string{"PIPELINING", "CHUNKING"}
)

// eachPoolTransport runs f with the keywords of each way in which a message can travel.
func eachPoolTransport(t *testing.T, f func(t *testing.T, keywords []string)) {
	t.Helper()
	for name, keywords := range map[string][]string{"lockstep": lockstepDATA, "DATA": flightDATA, "BDAT": flightBDAT} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { f(t, keywords) }) })
	}
}

// tenEach refuses verb once a session has had ten messages.
func tenEach(verb, reply string) func(*habitSession, string, string) *habitAnswer {
	return func(s *habitSession, got, _ string) *habitAnswer {
		if s.accepted >= 10 && got == verb {
			return &habitAnswer{reply: reply}
		}
		return nil
	}
}

// A server that takes ten messages from a session and then refuses with 452 4.4.5,
// as Stalwart does to DATA and KumoMTA to MAIL or BDAT, costs no message.
func TestPoolTenMessagesEach(t *testing.T) {
	const refusal = "452 4.4.5 too many messages in this session"
	for _, tc := range []struct {
		verb     string
		keywords []string
	}{
		{"MAIL", lockstepDATA}, {"MAIL", flightDATA}, {"MAIL", flightBDAT},
		{"DATA", lockstepDATA}, {"DATA", flightDATA},
		{"MESSAGE", lockstepDATA}, {"MESSAGE", flightDATA}, {"MESSAGE", flightBDAT},
	} {
		name := tc.verb + " " + strings.Join(tc.keywords, " ")
		t.Run(name+", one after the other", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := newHabitServer(tc.keywords...)
				srv.habit = tenEach(tc.verb, refusal)
				c := srv.client(t)
				var errs []error
				for n := range 40 {
					errs = append(errs, sendNumber(t.Context(), c, n))
				}
				wantAllSent(t, srv, errs)
				if st := c.Stats(); srv.dials() != 4 || st.Restarts != 3 || st.Sent != 40 || st.NotSent != 0 {
					t.Errorf("%d sessions, %+v", srv.dials(), st)
				}
				wantClosed(t, c, srv)
			})
		})
		t.Run(name+", at once", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := newHabitServer(tc.keywords...)
				srv.habit = tenEach(tc.verb, refusal)
				c := srv.client(t, withPool(submission.PoolOptions{MaxSessions: 4}))
				wantAllSent(t, srv, sendAtOnce(t.Context(), c, 100))
				wantClosed(t, c, srv)
			})
		})
	}
}

// The same server and three hours of a message every ten seconds.
func TestPoolTenMessagesEachForHours(t *testing.T) {
	eachPoolTransport(t, func(t *testing.T, keywords []string) {
		srv := newHabitServer(keywords...)
		srv.habit = tenEach("MAIL", "452 4.4.5 too many messages in this session")
		c := srv.client(t)
		var errs []error
		for n := range 1080 {
			errs = append(errs, sendNumber(t.Context(), c, n))
			time.Sleep(10 * time.Second)
		}
		wantAllSent(t, srv, errs)
		if n := srv.dials(); n != 108 {
			t.Errorf("%d sessions, want 108", n)
		}
		wantClosed(t, c, srv)
	})
}

// notASeeker hides that a reader can seek.
type notASeeker struct{ io.Reader }

// A message that was held back, or whose source can seek, starts once more after a
// refusal that is about the connection, also in the middle of its octets.
func TestPoolLongMessageStartsAgain(t *testing.T) {
	long := strings.Repeat(strings.Repeat("x", 76)+"\r\n", 4000)
	const chunk = 100_000
	for _, tc := range []struct {
		name     string
		keywords []string
		verb     string
		answer   habitAnswer
		seeks    bool
		sent     bool
	}{
		{"a chunk refused", flightBDAT, "BDAT", habitAnswer{reply: "452 4.4.5 enough of this connection"}, true, true},
		{"a chunk refused for good", flightBDAT, "BDAT", habitAnswer{reply: "554 5.4.5 enough of this connection"}, true, true},
		{"a chunk and 421", flightBDAT, "BDAT", habitAnswer{reply: "421 bye", closes: true}, true, true},
		{"a chunk and the end", flightBDAT, "BDAT", habitAnswer{closes: true}, true, true},
		{"the last chunk refused", flightBDAT, "MESSAGE", habitAnswer{reply: "452 4.4.5 enough of this connection"}, true, true},
		{"the message refused", flightDATA, "MESSAGE", habitAnswer{reply: "452 4.4.5 enough of this connection"}, true, true},
		{"the message and 421", flightDATA, "MESSAGE", habitAnswer{reply: "421 bye", closes: true}, true, true},
		{"a chunk refused, no way back", flightBDAT, "BDAT", habitAnswer{reply: "452 4.4.5 enough of this connection"}, false, false},
		{"a chunk and the end, no way back", flightBDAT, "BDAT", habitAnswer{closes: true}, false, false},
		{"the message refused, no way back", flightDATA, "MESSAGE", habitAnswer{reply: "452 4.4.5 enough of this connection"}, false, false},
		{"a chunk refused for its content", flightBDAT, "BDAT", habitAnswer{reply: "452 4.3.1 disk full"}, true, false},
		{"the message refused for its content", flightDATA, "MESSAGE", habitAnswer{reply: "451 4.7.1 not now"}, true, false},
		{"MAIL refused, no way back", flightDATA, "MAIL", habitAnswer{reply: "452 4.4.5 enough of this connection"}, false, true},
		{"DATA refused, no way back", flightDATA, "DATA", habitAnswer{reply: "452 4.4.5 enough of this connection"}, false, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := newHabitServer(tc.keywords...)
				srv.habit = func(s *habitSession, verb, _ string) *habitAnswer {
					if s.id == 1 && s.accepted == 1 && verb == tc.verb {
						return &tc.answer
					}
					return nil
				}
				c := srv.client(t, func(o *submission.Options) { o.ChunkSize = chunk })
				if err := poolSend(c); err != nil {
					t.Fatal(err)
				}
				var src io.Reader = strings.NewReader("not this" + long)
				io.CopyN(io.Discard, src, int64(len("not this")))
				if !tc.seeks {
					src = notASeeker{src}
				}
				r, err := c.Send(t.Context(), poolEnvelope, src)
				if tc.sent {
					if err != nil || r.Bytes != int64(len(long)) || srv.has(long) != 1 {
						t.Errorf("%v; the server has it %d times", err, srv.has(long))
					}
				} else {
					if e := wantError[*submission.SendError](t, err); e.Outcome != submission.NotSent || !e.Temporary() {
						t.Errorf("%v, temporary %v", e, e.Temporary())
					}
					if srv.has(long) != 0 {
						t.Error("the server has it")
					}
				}
				if restarts := c.Stats().Restarts; (restarts == 1) != tc.sent || restarts > 1 {
					t.Errorf("%d restarts", restarts)
				}
				wantClosed(t, c, srv)
			})
		})
	}
}

// A second EHLO makes some servers forget the login. A session on which it brought
// nothing is not lent again.
func TestPoolSecondEHLOForgetsLogin(t *testing.T) {
	forgetful := func(s *habitSession, verb, _ string) *habitAnswer {
		switch {
		case verb == "EHLO" && s.loggedIn:
			s.loggedIn = false
		case verb == "MAIL" && !s.loggedIn:
			return &habitAnswer{reply: "530 5.7.0 authentication required"}
		}
		return nil
	}
	wantsDSN := poolEnvelope
	wantsDSN.DSN.Return = submission.ReturnHeaders

	t.Run("an envelope that asks for more", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			srv := newHabitServer("PIPELINING", "AUTH PLAIN")
			srv.habit = forgetful
			c := srv.client(t, withLogin)
			var errs []error
			for n := range 150 {
				if n%3 == 1 {
					_, err := c.Send(t.Context(), wantsDSN, strings.NewReader("x"))
					if e := wantError[*submission.SendError](t, err); !errors.Is(err, submission.ErrUnsupported) || e.Outcome != submission.NotSent || e.Temporary() {
						t.Fatalf("%v", err)
					}
				}
				errs = append(errs, sendNumber(t.Context(), c, n))
			}
			wantAllSent(t, srv, errs)
			wantClosed(t, c, srv)
		})
	})
	t.Run("one recipient that asks for more", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			srv := newHabitServer("PIPELINING", "AUTH PLAIN")
			srv.habit = forgetful
			c := srv.client(t, withLogin)
			env := submission.Envelope{From: "a@test.example", Partial: true, To: []submission.Recipient{
				{Addr: "b@test.example"}, {Addr: "c@test.example", Notify: submission.NotifyNever}}}
			for n := range 6 {
				_, err := c.Send(t.Context(), env, strings.NewReader(habitText(n)))
				if e := wantError[*submission.SendError](t, err); e.Outcome != submission.PartlySent || srv.has(habitText(n)) != 1 {
					t.Fatalf("message %d: %v", n, err)
				}
			}
			wantClosed(t, c, srv)
		})
	})
	t.Run("the login times out", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			for _, reply := range []string{"530 5.7.0 authentication required", "503 5.5.1 log in first"} {
				srv := newHabitServer("PIPELINING", "AUTH PLAIN")
				srv.habit = func(s *habitSession, verb, _ string) *habitAnswer {
					if verb == "MAIL" && s.accepted == 3 {
						return &habitAnswer{reply: reply}
					}
					return nil
				}
				c := srv.client(t, withLogin)
				var errs []error
				for n := range 12 {
					errs = append(errs, sendNumber(t.Context(), c, n))
				}
				wantAllSent(t, srv, errs)
				if n := srv.dials(); n != 4 {
					t.Errorf("%d sessions, want 4", n)
				}
				wantClosed(t, c, srv)
			}
		})
	})
}

// A NOOP that is not answered has five seconds, and never more than half of what the
// context has left.
func TestPoolProbeUnanswered(t *testing.T) {
	for _, tc := range []struct {
		name        string
		limit, took time.Duration
	}{
		{"no deadline", 0, 5 * time.Second},
		{"an hour", time.Hour, 5 * time.Second},
		{"ten seconds", 10 * time.Second, 5 * time.Second},
		{"six seconds", 6 * time.Second, 3 * time.Second},
		{"100 ms", 100 * time.Millisecond, 50 * time.Millisecond},
	} {
		for _, reset := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, RSET %v", tc.name, reset), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					srv := newHabitServer("PIPELINING")
					srv.habit = func(s *habitSession, verb, _ string) *habitAnswer {
						if s.id == 1 && s.accepted == 1 {
							return &habitAnswer{} // nothing any more
						}
						return nil
					}
					c := srv.client(t, func(o *submission.Options) { o.ProbeReset = reset })
					if err := sendNumber(t.Context(), c, 0); err != nil {
						t.Fatal(err)
					}
					time.Sleep(30 * time.Second)
					ctx, cancel := t.Context(), context.CancelFunc(func() {})
					if tc.limit > 0 {
						ctx, cancel = context.WithTimeout(ctx, tc.limit)
					}
					defer cancel()
					began := time.Now()
					if err := sendNumber(ctx, c, 1); err != nil {
						t.Fatal(err)
					}
					if took := time.Since(began); took != tc.took {
						t.Errorf("took %v, want %v", took, tc.took)
					}
					if srv.dials() != 2 {
						t.Errorf("%d sessions", srv.dials())
					}
					wantClosed(t, c, srv)
				})
			})
		}
	}
}

// After every refusal of a message RSET goes in front of the next MAIL, and costs no
// round trip where commands may share a flight.
func TestPoolResetsAfterRefusal(t *testing.T) {
	for _, tc := range []struct {
		name, verb string
		keywords   []string
		want       []string // flights from the second message on
	}{
		{"message refused", "MESSAGE", flightDATA, []string{"RSET|MAIL FROM:<a@test.example>|RCPT TO:<b@test.example>|DATA"}},
		{"message refused, lockstep", "MESSAGE", lockstepDATA, []string{"RSET", "MAIL FROM:<a@test.example>", "RCPT TO:<b@test.example>", "DATA"}},
		{"recipient refused", "RCPT", flightDATA, []string{"RSET|MAIL FROM:<a@test.example>|RCPT TO:<b@test.example>|DATA"}},
		{"recipient refused, lockstep", "RCPT", lockstepDATA, []string{"RSET", "MAIL FROM:<a@test.example>", "RCPT TO:<b@test.example>", "DATA"}},
		{"recipient refused, BDAT", "RCPT", flightBDAT, []string{"RSET|MAIL FROM:<a@test.example>|RCPT TO:<b@test.example>"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := newHabitServer(tc.keywords...)
				srv.habit = func(s *habitSession, verb, _ string) *habitAnswer {
					switch {
					case verb == "MAIL" && s.dirty: // Mailpit
						return &habitAnswer{reply: "503 5.5.1 bad sequence"}
					case verb == tc.verb && s.begun == 1:
						s.dirty = true
						return &habitAnswer{reply: "554 5.7.1 not this one"}
					}
					return nil
				}
				c := srv.client(t)
				if e := wantError[*submission.SendError](t, poolSend(c)); e.Outcome != submission.NotSent || e.Temporary() {
					t.Errorf("%v", e)
				}
				before := len(srv.session(1).flights())
				for n := range 2 {
					if err := sendNumber(t.Context(), c, n); err != nil {
						t.Fatal(err)
					}
				}
				if srv.dials() != 1 {
					t.Errorf("%d sessions", srv.dials())
				}
				got := srv.session(1).flights()[before:]
				if len(got) < len(tc.want) || !slices.Equal(got[:len(tc.want)], tc.want) {
					t.Errorf("the next message: %q, want %q", got, tc.want)
				}
				if n := strings.Count(strings.Join(got, "|"), "RSET"); n != 1 {
					t.Errorf("%d times RSET", n)
				}
				wantClosed(t, c, srv)
			})
		})
	}
}

// Once a reply has lost an all-or-nothing message, no further flight of it goes out.
func TestPoolLostMessageAsksNoMore(t *testing.T) {
	eachPoolTransport(t, func(t *testing.T, keywords []string) {
		const allowed = 100
		srv := newHabitServer(keywords...)
		asked := 0
		srv.habit = func(s *habitSession, verb, _ string) *habitAnswer {
			if verb != "RCPT" {
				return nil
			}
			if asked++; asked > allowed {
				return &habitAnswer{reply: "452 4.5.3 too many recipients", delay: time.Second}
			}
			return nil
		}
		c := srv.client(t)
		env := submission.Envelope{From: "a@test.example"}
		for n := range 140 {
			addr := fmt.Sprintf("somebody-whose-name-is-of-some-length-%03d@a-host-with-a-long-name.test.example", n)
			env.To = append(env.To, submission.Recipient{Addr: addr})
		}
		began := time.Now()
		_, err := c.Send(t.Context(), env, strings.NewReader("x"))
		if e := wantError[*submission.SendError](t, err); e.Outcome != submission.NotSent || e.Stage != submission.StageRcpt || !e.Temporary() {
			t.Errorf("%v", err)
		}
		took := time.Since(began)
		c.Close()

		// The flight that holds the first refusal is the last one.
		flights := srv.session(1).flights()
		rcpts, end := 0, 0
		for i, f := range flights {
			if rcpts <= allowed {
				end = i
			}
			rcpts += strings.Count(f, "RCPT ")
		}
		for _, f := range flights[end+1:] {
			if strings.Contains(f, "RCPT") || strings.Contains(f, "DATA") {
				t.Errorf("went out after the refusal: %.60q", f)
			}
		}
		if asked == 140 || took != time.Duration(asked-allowed)*time.Second {
			t.Errorf("%d recipients asked for, in %v", asked, took)
		}
		if len(keywords) == 0 && asked != allowed+1 {
			t.Errorf("%d recipients asked for in lockstep", asked)
		}
	})
}

// What comes unasked on a session that rests, or ends it, costs the next message
// nothing. An own session says that trying again may help, where the server said so.
func TestIdleSessionEnds(t *testing.T) {
	for _, said := range []string{"", "451 4.4.2 Timeout", "221 bye", "421 4.4.2 idle too long", "554 5.4.0 enough"} {
		for _, closes := range []bool{true, false} {
			if said == "" && !closes {
				continue
			}
			end := func(s *habitSession) {
				if said != "" {
					s.say(said)
				}
				if closes {
					s.hangUp()
				}
				synctest.Wait()
			}
			for _, rest := range []time.Duration{0, 30 * time.Second} {
				name := fmt.Sprintf("%q, closes %v, after %v", said, closes, rest)
				t.Run(name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						srv := newHabitServer("PIPELINING")
						c := srv.client(t)
						if err := sendNumber(t.Context(), c, 0); err != nil {
							t.Fatal(err)
						}
						time.Sleep(rest)
						end(srv.session(1))
						if err := sendNumber(t.Context(), c, 1); err != nil {
							t.Error(err)
						}
						if n := len(srv.session(1).lines()); n != 4 {
							t.Errorf("the dead session got %q", srv.session(1).lines())
						}
						wantClosed(t, c, srv)
					})
				})
				t.Run(name+", own session", func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						srv := newHabitServer("PIPELINING")
						nc, _ := srv.DialContext(t.Context(), "", "")
						s := openSession(t, nc, plainText())
						defer s.Close()
						if _, err := s.Send(t.Context(), poolEnvelope, strings.NewReader("x")); err != nil {
							t.Fatal(err)
						}
						time.Sleep(rest)
						end(srv.session(1))
						_, err := s.Send(t.Context(), poolEnvelope, strings.NewReader("x"))
						breach := strings.HasPrefix(said, "5") // a breach of the protocol
						if e := wantError[*submission.SendError](t, err); e.Outcome != submission.NotSent || e.Temporary() == breach || s.Usable() {
							t.Errorf("%v: temporary %v, usable %v", e, e.Temporary(), s.Usable())
						}
					})
				})
			}
		}
	}
}

// An own session that was used and then is answered by what speaks against it, and
// closed, says that trying again may help: on another one it may.
func TestUsedSessionIsRefusedAndClosed(t *testing.T) {
	for _, verb := range []string{"MAIL", "RCPT", "DATA", "BDAT"} {
		for _, reply := range []string{"451 4.4.2 timeout", "503 5.5.1 what", "554 5.7.1 no", "221 bye", "421 bye"} {
			code := reply[:3]
			if verb != "MAIL" && code != "421" && code != "221" {
				continue
			}
			for _, lockstep := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s %s, lockstep %v", verb, code, lockstep), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						srv := newHabitServer()
						if !lockstep {
							srv.keywords = append(srv.keywords, "PIPELINING")
						}
						if verb == "BDAT" {
							srv.keywords = append(srv.keywords, "CHUNKING")
						}
						srv.habit = func(s *habitSession, got, _ string) *habitAnswer {
							if got == verb && s.accepted == 1 {
								return &habitAnswer{reply: reply, closes: true}
							}
							return nil
						}
						nc, _ := srv.DialContext(t.Context(), "", "")
						s := openSession(t, nc, plainText(func(o *submission.Options) { o.ChunkSize = 100 }))
						defer s.Close()
						if _, err := s.Send(t.Context(), poolEnvelope, strings.NewReader("x")); err != nil {
							t.Fatal(err)
						}
						_, err := s.Send(t.Context(), poolEnvelope, strings.NewReader(strings.Repeat("x", 300)))
						if e := wantError[*submission.SendError](t, err); e.Outcome != submission.NotSent || !e.Temporary() {
							t.Errorf("%v, temporary %v", e, e.Temporary())
						}
					})
				})
			}
		}
	}
}

// The same over a socket, where the end arrives after the refusal.
func TestUsedSessionIsRefusedAndClosedOverTCP(t *testing.T) {
	for _, keywords := range [][]string{nil, {"PIPELINING"}, {"CHUNKING"}} {
		for _, verb := range []string{"MAIL", "DATA"} {
			if verb == "DATA" && slices.Contains(keywords, "CHUNKING") {
				continue
			}
			for range 20 {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				srv := newHabitServer(keywords...)
				srv.habit = func(s *habitSession, got, _ string) *habitAnswer {
					if got == verb && s.accepted == 1 {
						return &habitAnswer{reply: "554 5.7.1 no", closes: true}
					}
					return nil
				}
				go func() {
					if nc, err := l.Accept(); err == nil {
						srv.start(nc)
					}
				}()
				nc, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				s := openSession(t, nc, plainText())
				if _, err := s.Send(t.Context(), poolEnvelope, strings.NewReader("x")); err != nil {
					t.Fatal(err)
				}
				_, err = s.Send(t.Context(), poolEnvelope, strings.NewReader("x"))
				if e := wantError[*submission.SendError](t, err); e.Outcome != submission.NotSent || !e.Temporary() {
					t.Errorf("%v, %s: %v, temporary %v", keywords, verb, e, e.Temporary())
				}
				s.Close()
				l.Close()
			}
		}
	}
}

// Fifty senders, and a server that forgets them in every way at once.
func TestPoolManyHabits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newHabitServer("PIPELINING")
		srv.habit = func(s *habitSession, verb, _ string) *habitAnswer {
			if s.accepted < 3 {
				return nil
			}
			switch {
			case s.id%5 == 0 && verb == "MAIL":
				return &habitAnswer{reply: "452 4.4.5 enough"}
			case s.id%5 == 1 && verb == "RCPT":
				return &habitAnswer{reply: "421 bye", closes: true}
			case s.id%5 == 2 && verb == "DATA":
				return &habitAnswer{reply: "503 what"}
			case s.id%5 == 3 && verb == "MESSAGE":
				return &habitAnswer{reply: "554 5.4.5 enough", closes: true}
			case s.id%5 == 4 && verb == "MAIL":
				return &habitAnswer{closes: true}
			}
			return nil
		}
		c := srv.client(t, withPool(submission.PoolOptions{MaxSessions: 5}))
		errs := make([]error, 500)
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				for n := i * 10; n < i*10+10; n++ {
					errs[n] = sendNumber(t.Context(), c, n)
				}
			})
		}
		wg.Wait()
		wantAllSent(t, srv, errs)
		if _, most := srv.connections(); most > 5 {
			t.Errorf("%d connections at a time", most)
		}
		wantClosed(t, c, srv)
	})
}

// MAILMAX is how many MAIL commands a session may have, refused ones included (RFC 9422):
// no message meets the end of a session.
func TestPoolMailMax(t *testing.T) {
	for _, keywords := range [][]string{{"LIMITS MAILMAX=3"}, {"PIPELINING", "LIMITS MAILMAX=3"}, {"PIPELINING", "CHUNKING", "LIMITS RCPTMAX=9 MAILMAX=3"}} {
		for _, atOnce := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v, at once %v", keywords, atOnce), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					srv := newHabitServer(keywords...)
					srv.habit = func(s *habitSession, verb, line string) *habitAnswer {
						switch {
						case verb == "MAIL" && s.begun > 3:
							t.Error("a fourth MAIL")
							return &habitAnswer{reply: "421 4.5.0 enough", closes: true}
						case verb == "RCPT" && strings.Contains(line, "nobody"):
							return &habitAnswer{reply: "550 5.1.1 who"}
						}
						return nil
					}
					c := srv.client(t, withPool(submission.PoolOptions{MaxSessions: 1}))
					nobody := poolEnvelope
					nobody.To = submission.To("nobody@test.example")
					send := func(n int) {
						var err error
						if n%3 == 2 { // it counts, although nothing is sent
							if _, err = c.Send(t.Context(), nobody, strings.NewReader("x")); err == nil {
								t.Error("sent to nobody")
							}
						} else if err = sendNumber(t.Context(), c, n); err != nil {
							t.Error(err)
						}
					}
					var sends sync.WaitGroup
					for n := range 12 {
						if atOnce {
							sends.Go(func() { send(n) })
						} else {
							send(n)
						}
					}
					sends.Wait()
					if st := c.Stats(); st.Restarts != 0 || st.Sent != 8 || srv.dials() != 4 {
						t.Errorf("%d sessions, want 4: %+v", srv.dials(), st)
					}
					wantClosed(t, c, srv)
				})
			})
		}
	}
}
