package submission_test

import (
	"context"
	"crypto/tls"
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

// readerFunc is a function that is a Reader.
type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// A send that is cancelled before it needs a session costs none.
func TestPoolCancelledBeforeSession(t *testing.T) {
	for _, idle := range []bool{false, true} {
		t.Run(fmt.Sprintf("idle session %v", idle), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := newHabitServer("PIPELINING")
				c := srv.client(t)
				want := 0
				if idle {
					if err := sendNumber(t.Context(), c, 0); err != nil {
						t.Fatal(err)
					}
					want = 1
				}
				done, cancel := context.WithCancel(t.Context())
				cancel()
				send := map[string]func(ctx context.Context) error{
					"Send": func(ctx context.Context) error { return sendNumber(ctx, c, 1) },
					"SendFunc": func(ctx context.Context) error {
						_, err := c.SendFunc(ctx, poolEnvelope, func(w io.Writer) error { return nil })
						return err
					},
					"Begin": func(ctx context.Context) error {
						tx, err := c.Begin(ctx, poolEnvelope)
						if err == nil {
							_, err = tx.Commit()
						}
						return err
					},
					"Ping": c.Ping,
				}
				for name, f := range send {
					if err := f(done); !errors.Is(err, context.Canceled) {
						t.Errorf("%s: %v", name, err)
					}
				}
				// Cancelled by its own source, which is read before a session is taken.
				late, cancel := context.WithCancel(t.Context())
				_, err := c.Send(late, poolEnvelope, readerFunc(func(p []byte) (int, error) {
					cancel()
					return copy(p, "x"), io.EOF
				}))
				if e := wantError[*submission.SendError](t, err); e.Outcome != submission.NotSent || !errors.Is(err, context.Canceled) {
					t.Errorf("%v", err)
				}
				if n := srv.dials(); n != want {
					t.Errorf("%d sessions, want %d", n, want)
				}
				if idle {
					if err := sendNumber(t.Context(), c, 2); err != nil || srv.dials() != 1 {
						t.Errorf("%v, %d sessions", err, srv.dials())
					}
				}
				wantClosed(t, c, srv)
			})
		})
	}
}

// Contexts are obeyed at once: by the NOOP of a Ping, and by the look at a session on
// which half a reply came.
func TestPoolShortContext(t *testing.T) {
	for name, prepare := range map[string]func(srv *habitServer){
		"nothing answers": func(srv *habitServer) {
			srv.habit = func(*habitSession, string, string) *habitAnswer { return &habitAnswer{} }
		},
		"half a reply waits": func(srv *habitServer) {
			srv.habit = func(*habitSession, string, string) *habitAnswer { return &habitAnswer{} }
			io.WriteString(srv.session(1).nc, "42")
			synctest.Wait()
		},
	} {
		for _, rest := range []time.Duration{0, 30 * time.Second} {
			for _, ping := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s after %v, Ping %v", name, rest, ping), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						srv := newHabitServer("PIPELINING")
						c := srv.client(t)
						if err := sendNumber(t.Context(), c, 0); err != nil {
							t.Fatal(err)
						}
						time.Sleep(rest)
						prepare(srv)
						const limit = 100 * time.Millisecond
						ctx, cancel := context.WithTimeout(t.Context(), limit)
						defer cancel()
						began := time.Now()
						err := sendNumber(ctx, c, 1)
						if ping {
							began = time.Now()
							again, cancel := context.WithTimeout(t.Context(), limit)
							defer cancel()
							err = c.Ping(again)
						}
						if took := time.Since(began); took > limit || !errors.Is(err, context.DeadlineExceeded) {
							t.Errorf("%v after %v", err, took)
						}
						checkErrorText(t, err)
						srv.habit = nil
						srv.cut()
						wantClosed(t, c, srv)
					})
				})
			}
		}
	}
}

// layeredConn is one of several layers of a connection.
type layeredConn struct {
	net.Conn
	name  string
	below net.Conn // nil for the raw one
	log   *layerLog
}

type layerLog struct {
	mu     sync.Mutex
	closed []string
}

func (l *layerLog) add(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Contains(l.closed, name) {
		l.closed = append(l.closed, name)
	}
}

func (l *layerLog) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := slices.Clone(l.closed)
	slices.Sort(list)
	return list
}

func (c *layeredConn) Close() error {
	c.log.add(c.name)
	return c.Conn.Close()
}

// NetConn returns what a layer stands on.
func (c *layeredConn) NetConn() net.Conn { return c.below }

// However a session ends, all layers of its connection are closed: those that were
// handed in, and those that a TLSClient returned.
func TestAllLayersAreClosed(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, srv *habitServer, s *submission.Session){
		"Close": func(*testing.T, *habitServer, *submission.Session) {},
		"the server hangs up": func(_ *testing.T, srv *habitServer, s *submission.Session) {
			srv.cut()
			synctest.Wait()
			s.Noop(context.Background())
		},
		"silence": func(_ *testing.T, srv *habitServer, s *submission.Session) {
			srv.habit = func(*habitSession, string, string) *habitAnswer { return &habitAnswer{} }
			s.Noop(context.Background())
		},
		"garbage": func(_ *testing.T, srv *habitServer, s *submission.Session) {
			srv.habit = func(*habitSession, string, string) *habitAnswer { return &habitAnswer{reply: "hello"} }
			s.Noop(context.Background())
		},
		"421": func(_ *testing.T, srv *habitServer, s *submission.Session) {
			srv.habit = func(*habitSession, string, string) *habitAnswer { return &habitAnswer{reply: "421 bye"} }
			s.Noop(context.Background())
		},
		"cancelled": func(_ *testing.T, srv *habitServer, s *submission.Session) {
			srv.habit = func(*habitSession, string, string) *habitAnswer { return &habitAnswer{} }
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			s.Noop(ctx)
		},
		"the source fails": func(t *testing.T, _ *habitServer, s *submission.Session) {
			_, err := s.Send(t.Context(), poolEnvelope, io.MultiReader(strings.NewReader(strings.Repeat("x\r\n", 50_000)), readerFunc(func([]byte) (int, error) {
				return 0, io.ErrUnexpectedEOF
			})))
			wantError[*submission.SendError](t, err)
		},
	} {
		t.Run(name+", handed in", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := newHabitServer("PIPELINING")
				log := new(layerLog)
				raw, _ := srv.DialContext(t.Context(), "", "")
				low := &layeredConn{raw, "raw", nil, log}
				middle := &layeredConn{low, "middle", low, log}
				top := &layeredConn{middle, "top", middle, log}
				s := openSession(t, top, plainText())
				end(t, srv, s)
				s.Close()
				if got, want := log.all(), []string{"middle", "raw", "top"}; !slices.Equal(got, want) {
					t.Errorf("closed %q, want %q", got, want)
				}
				srv.running.Wait()
			})
		})
		t.Run(name+", TLSClient", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := newHabitServer("PIPELINING")
				log := new(layerLog)
				raw, _ := srv.DialContext(t.Context(), "", "")
				o := plainText(func(o *submission.Options) {
					o.TLS = submission.TLSImplicit
					o.TLSClient = func(_ context.Context, nc net.Conn, _ *tls.Config) (net.Conn, error) {
						return &layeredConn{nc, "TLS", nil, log}, nil // a stack that hides what it stands on
					}
				})
				s := openSession(t, &layeredConn{raw, "raw", nil, log}, o)
				end(t, srv, s)
				s.Close()
				if got, want := log.all(), []string{"TLS", "raw"}; !slices.Equal(got, want) {
					t.Errorf("closed %q, want %q", got, want)
				}
				srv.running.Wait()
			})
		})
	}
}

// Close of a TLS session on a connection that takes nothing any more, not even the
// close_notify, is bounded by Timeouts.Quit.
func TestCloseIsBounded(t *testing.T) {
	cert := selfSigned()
	for _, quit := range []time.Duration{time.Second, 3 * time.Second, 20 * time.Second} {
		for _, when := range []string{"before QUIT", "at its answer"} {
			for _, wait := range []bool{true, false} {
				t.Run(fmt.Sprintf("%v, %s, waits %v", quit, when, wait), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						srv := newHabitServer("PIPELINING")
						srv.tls = &tls.Config{Certificates: []tls.Certificate{cert}}
						var near *habitConn
						srv.habit = func(_ *habitSession, verb, _ string) *habitAnswer {
							if verb == "QUIT" {
								near.takeNothing()
							}
							return nil
						}
						nc, _ := srv.DialContext(t.Context(), "", "")
						near = nc.(*habitConn)
						s := openSession(t, nc, plainText(func(o *submission.Options) {
							o.TLS, o.TLSConfig = submission.TLSImplicit, &tls.Config{InsecureSkipVerify: true}
							o.Timeouts.Quit, o.NoQuitWait = quit, !wait
						}))
						if when == "before QUIT" {
							near.takeNothing()
						}
						began := time.Now()
						s.Close()
						if took := time.Since(began); took > quit {
							t.Errorf("took %v, the limit is %v", took, quit)
						}
						if open, _ := srv.connections(); open != 0 {
							t.Error("the connection is open")
						}
						srv.running.Wait()
					})
				})
			}
		}
	}
}

// The reply to a probe comes at the moment in which the caller gives up, or the time for
// the probe ends: the message meets a session that is broken. Nothing of it goes out there.
func TestPoolProbeAnsweredTooLate(t *testing.T) {
	for _, early := range []bool{false, true} {
		for _, gives := range []bool{false, true} {
			synctestRun(t, fmt.Sprintf("early %v, caller gives up %v", early, gives), func(t *testing.T) {
				srv := newHabitServer("PIPELINING", "CHUNKING")
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				srv.habit = func(_ *habitSession, verb, _ string) *habitAnswer {
					switch {
					case verb != "NOOP":
						return nil
					case gives:
						cancel()
						return nil
					}
					return &habitAnswer{reply: "250 here", delay: 5 * time.Second}
				}
				c := srv.client(t, func(o *submission.Options) { o.EarlyData = early })
				if err := sendNumber(ctx, c, 0); err != nil {
					t.Fatal(err)
				}
				time.Sleep(2 * time.Second)
				err := sendNumber(ctx, c, 1)
				switch n := srv.has(habitText(1)); {
				case gives:
					wantOutcome(t, err, submission.NotSent)
					if n != 0 {
						t.Errorf("accepted %d times", n)
					}
				case err != nil || n != 1:
					t.Errorf("%v, accepted %d times", err, n)
				}
				wantClosed(t, c, srv)
			})
		}
	}
}
