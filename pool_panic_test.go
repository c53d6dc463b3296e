package submission_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-sasl"

	"github.com/fe022423/submission"
)

// mine is code of a caller's that panics at one of its calls, or from there on.
type mine struct {
	at     int64 // which call, counted from 1; 0 is none
	always bool  // and each later one
	exits  bool  // ends the goroutine instead, as t.FailNow does
	calls  atomic.Int64
	off    atomic.Bool
	went   atomic.Int64 // how often it panicked
	caught atomic.Int64 // how often that reached a caller
	logged atomic.Int64 // records at Error
}

var errMine = errors.New("the caller's code")

// call is a call of the code.
func (m *mine) call() {
	n := m.calls.Add(1)
	if m.at == 0 || m.off.Load() || n < m.at || n > m.at && !m.always {
		return
	}
	m.went.Add(1)
	if m.exits {
		runtime.Goexit()
	}
	panic(errMine)
}

// mineHandler is a slog.Handler of a caller's.
type mineHandler struct {
	mine   *mine
	panics bool
}

func (h mineHandler) Enabled(_ context.Context, l slog.Level) bool {
	if h.panics && l < slog.LevelError {
		h.mine.call()
	}
	return true
}

func (h mineHandler) Handle(_ context.Context, r slog.Record) error {
	if r.Level >= slog.LevelError {
		h.mine.logged.Add(1)
	}
	if h.panics {
		h.mine.call()
	}
	return nil
}
func (h mineHandler) WithAttrs([]slog.Attr) slog.Handler { return h }
func (h mineHandler) WithGroup(string) slog.Handler      { return h }

// minePlace is where code of the caller's is called.
type minePlace struct {
	name string
	tls  bool // it is called under TLS only
	// stride leaves out all but each nth call, where there are very many.
	stride int64
	lay    func(o *submission.Options, m *mine)
	under  func(ctx context.Context, m *mine) context.Context // of all calls
	// source says that the code is the source of the messages.
	source func(m *mine, text string) io.Reader
}

// minePlaces are all places: every hook of Trace that there is, whatever its
// arguments, in the options and in the context.
func minePlaces() []minePlace {
	var list []minePlace
	hooks := reflect.TypeFor[submission.Trace]()
	for i := range hooks.NumField() {
		name := hooks.Field(i).Name
		only := func(m *mine) *submission.Trace {
			trace := new(submission.Trace)
			hook := reflect.MakeFunc(hooks.Field(i).Type, func([]reflect.Value) []reflect.Value {
				m.call()
				return nil
			})
			reflect.ValueOf(trace).Elem().Field(i).Set(hook)
			return trace
		}
		tls := strings.HasPrefix(name, "TLS")
		list = append(list,
			minePlace{name: "Trace." + name, tls: tls, lay: func(o *submission.Options, m *mine) { o.Trace = only(m) }},
			minePlace{name: "WithTrace." + name, tls: tls, stride: 5, under: func(ctx context.Context, m *mine) context.Context {
				return submission.WithTrace(ctx, only(m))
			}})
	}
	return append(list,
		minePlace{name: "Dialer", lay: func(o *submission.Options, m *mine) {
			dial := o.Dialer
			o.Dialer = dialFunc(func(ctx context.Context, network, addr string) (net.Conn, error) {
				m.call()
				return dial.DialContext(ctx, network, addr)
			})
		}},
		minePlace{name: "net.Conn", lay: layMineConn, stride: 5},
		minePlace{name: "net.Conn under TLS", tls: true, lay: layMineConn, stride: 11},
		minePlace{name: "TLSClient", tls: true, lay: func(o *submission.Options, m *mine) {
			o.TLSClient = func(ctx context.Context, nc net.Conn, cfg *tls.Config) (net.Conn, error) {
				m.call()
				t := tls.Client(nc, cfg)
				return t, t.HandshakeContext(ctx)
			}
		}},
		minePlace{name: "Auth", lay: func(o *submission.Options, m *mine) {
			o.Auth = submission.AuthFunc(func(context.Context, submission.ServerInfo) (sasl.Client, error) {
				m.call()
				return mineSASL{sasl.NewPlainClient("", "user", "password"), m}, nil
			})
		}},
		minePlace{name: "Logger", lay: func(o *submission.Options, m *mine) {
			o.Logger = slog.New(mineHandler{m, true})
		}},
		minePlace{name: "source", source: func(m *mine, text string) io.Reader {
			return mineReader{strings.NewReader(text), m}
		}},
		minePlace{name: "seeking source", source: func(m *mine, text string) io.Reader {
			return mineSeeker{mineReader{strings.NewReader(text), m}}
		}},
	)
}

func layMineConn(o *submission.Options, m *mine) {
	dial := o.Dialer
	o.Dialer = dialFunc(func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := dial.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return mineConn{nc, m}, nil
	})
}

// mineConn is a connection of a caller's.
type mineConn struct {
	net.Conn
	mine *mine
}

func (c mineConn) Read(p []byte) (int, error) {
	c.mine.call()
	return c.Conn.Read(p)
}

func (c mineConn) Write(p []byte) (int, error) {
	c.mine.call()
	return c.Conn.Write(p)
}

func (c mineConn) SetReadDeadline(t time.Time) error {
	c.mine.call()
	return c.Conn.SetReadDeadline(t)
}

func (c mineConn) SetWriteDeadline(t time.Time) error {
	c.mine.call()
	return c.Conn.SetWriteDeadline(t)
}

func (c mineConn) SetDeadline(t time.Time) error {
	c.mine.call()
	return c.Conn.SetDeadline(t)
}

func (c mineConn) RemoteAddr() net.Addr {
	c.mine.call()
	return c.Conn.RemoteAddr()
}

func (c mineConn) Close() error {
	defer c.Conn.Close()
	c.mine.call()
	return nil
}

type mineSASL struct {
	sasl.Client
	mine *mine
}

func (c mineSASL) Start() (string, []byte, error) {
	c.mine.call()
	return c.Client.Start()
}

type mineReader struct {
	r    *strings.Reader
	mine *mine
}

func (r mineReader) Read(p []byte) (int, error) {
	r.mine.call()
	return r.r.Read(p)
}

type mineSeeker struct{ mineReader }

func (r mineSeeker) Seek(offset int64, whence int) (int64, error) {
	r.mine.call()
	return r.r.Seek(offset, whence)
}

// run calls f as a caller whose code may panic, and returns its error.
func (m *mine) run(f func() error) (err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			switch r := recover(); r {
			case nil:
			case errMine:
				m.caught.Add(1)
				err = errMine
			default:
				panic(r)
			}
		}()
		err = f()
	}()
	<-done
	return err
}

// mineStory makes a Client's sessions be dialed, taken, probed, used, refused,
// retired and reaped. It returns how many messages it sent.
func (m *mine) story(ctx context.Context, c *submission.Client, text func(n int) io.Reader) int {
	n := 0
	send := func(ctx context.Context) {
		k := n
		n++
		m.run(func() error {
			_, err := c.Send(ctx, poolEnvelope, text(k))
			return err
		})
	}
	m.run(func() error { return c.Ping(ctx) }) // dialed
	send(ctx)                                  // taken
	send(ctx)
	time.Sleep(2 * time.Second)
	send(ctx) // probed
	m.run(func() error { return c.Ping(ctx) })
	send(ctx) // refused as the fourth of its session: starts once more
	send(ctx)
	time.Sleep(2 * time.Minute) // reaped
	var wg sync.WaitGroup
	for range 3 { // they wait for each other
		k := n
		n++
		wg.Go(func() {
			m.run(func() error {
				_, err := c.Send(ctx, poolEnvelope, text(k))
				return err
			})
		})
	}
	wg.Wait()
	k := n
	n++
	m.run(func() error { // fed by the caller
		tx, err := c.Begin(ctx, poolEnvelope)
		if err != nil {
			return err
		}
		defer tx.Abort()
		io.Copy(tx, text(k))
		if err := tx.Prepare(); err != nil {
			return err
		}
		_, err = tx.Commit()
		return err
	})
	k = n
	n++
	m.run(func() error {
		_, err := c.SendFunc(ctx, poolEnvelope, func(w io.Writer) error {
			_, err := io.Copy(w, text(k))
			return err
		})
		return err
	})
	m.run(func() error { // refused here
		_, err := c.Send(ctx, submission.Envelope{}, text(n))
		return err
	})
	short, cancel := context.WithTimeout(ctx, time.Second)
	send(short) // refused by the server's silence: the eleventh
	cancel()
	for range 3 { // MaxMessages
		send(ctx)
	}
	m.run(func() error { // given up by its owner
		tx, err := c.Begin(ctx, poolEnvelope)
		if err != nil {
			return err
		}
		defer tx.Abort()
		io.Copy(tx, strings.NewReader(strings.Repeat("x", 100_000)))
		return nil
	})
	return n
}

// Code of the caller's may panic, or end its goroutine, at every place where it is
// called: no slot, connection or goroutine is lost, and no message is sent twice.
func TestPoolCallersCodePanics(t *testing.T) {
	t.Parallel()
	cert := selfSigned()
	long := strings.Repeat(strings.Repeat("y", 70)+"\r\n", 1500)
	for _, place := range minePlaces() {
		t.Run(place.name, func(t *testing.T) {
			cells := 0
			for _, keywords := range [][]string{flightDATA, flightBDAT} {
				for _, always := range []bool{false, true} {
					for _, exits := range []bool{false, true} {
						if always && exits {
							continue
						}
						most := int64(1)
						for at := int64(0); at <= most; at += int64(sampled(int(max(place.stride, 1)))) {
							m := &mine{at: at, always: always, exits: exits}
							synctest.Test(t, func(t *testing.T) {
								srv := newHabitServer(append(keywords, "AUTH PLAIN")...)
								if place.tls {
									srv.tls = &tls.Config{Certificates: []tls.Certificate{cert}}
								}
								var started atomic.Int64
								srv.habit = func(s *habitSession, verb, _ string) *habitAnswer {
									switch {
									case verb == "MAIL" && s.begun == 4:
										return &habitAnswer{reply: "452 4.4.5 enough"}
									case verb == "MAIL":
										if started.Add(1) == 11 && !m.off.Load() { // within the story
											return &habitAnswer{}
										}
									}
									return nil
								}
								o := plainText(func(o *submission.Options) {
									if place.tls {
										o.TLS = submission.TLSImplicit
									}
									o.TLSConfig = &tls.Config{InsecureSkipVerify: true}
									o.InsecureAuth = true
									o.Dialer = srv
									o.Auth = submission.Password{Username: "user", Password: "password"}
									o.Pool = submission.PoolOptions{MaxSessions: 1, MaxMessages: 5}
									o.ChunkSize = 30_000
									o.Logger = slog.New(mineHandler{m, false})
								})
								if place.lay != nil {
									place.lay(o, m)
								}
								c, err := submission.New(testHost, o)
								if err != nil {
									t.Fatal(err)
								}
								texts := func(n int) string {
									if n%3 == 1 {
										return habitText(n) + long
									}
									return habitText(n)
								}
								ctx := context.Background()
								if place.under != nil {
									ctx = place.under(ctx, m)
								}
								sent := m.story(ctx, c, func(n int) io.Reader {
									if place.source != nil {
										return place.source(m, texts(n))
									}
									return strings.NewReader(texts(n))
								})
								if at == 0 {
									most = m.calls.Load()
									if most == 0 {
										t.Errorf("it was never called")
									}
									if always {
										most = min(most, 12)
									}
									if exits {
										most = min(most, 25)
									}
								}
								m.off.Store(true)
								calm, cancel := context.WithTimeout(t.Context(), time.Hour)
								defer cancel()
								if err := sendNumber(calm, c, 1000); err != nil {
									t.Errorf("call %d, always %v, exits %v: afterwards: %v", at, always, exits, err)
								}
								for n := range sent {
									if times := srv.has(texts(n)); times > 1 {
										t.Errorf("call %d: message %d was accepted %d times", at, n, times)
									}
								}
								if went := m.went.Load(); !always && !exits && m.caught.Load()+m.logged.Load() != went {
									t.Errorf("call %d: panicked %d times, %d came through and %d were logged", at, went, m.caught.Load(), m.logged.Load())
								}
								if at == 0 && srv.total() < sent {
									t.Errorf("%d of %d messages", srv.total(), sent)
								}
								if st := c.Stats(); st.Open > 1 || st.InUse != 0 || st.Waiting != 0 {
									t.Errorf("call %d: %+v", at, st)
								}
								wantClosed(t, c, srv)
							})
							cells++
							if t.Failed() {
								t.FailNow()
							}
						}
					}
				}
			}
			t.Logf("%d stories", cells)
		})
	}
}

// A panic on a goroutine of the pool's own is caught and logged at Error, whatever the
// Logger does with it; one on the caller's goroutine comes through.
func TestPoolPanicIsLogged(t *testing.T) {
	for _, where := range []string{"QUIT", "closed"} {
		synctest.Test(t, func(t *testing.T) {
			srv := newHabitServer("PIPELINING")
			var log bytes.Buffer
			m := &mine{at: 1, always: true}
			c := srv.client(t, func(o *submission.Options) {
				o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelError}))
				o.Pool.MaxMessages = 1
				o.Trace = tracePanics(m, where)
			})
			if err := sendNumber(t.Context(), c, 0); err != nil {
				t.Fatal(err)
			}
			wantClosed(t, c, srv)
			if m.went.Load() == 0 || !strings.Contains(log.String(), "level=ERROR") || !strings.Contains(log.String(), errMine.Error()) {
				t.Errorf("%s: panicked %d times, logged %q", where, m.went.Load(), log.String())
			}
		})
	}
	t.Run("on the caller's goroutine", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			srv := newHabitServer("PIPELINING")
			m := &mine{at: 1}
			c := srv.client(t, func(o *submission.Options) { o.Trace = tracePanics(m, "MAIL") })
			if err := m.run(func() error { return sendNumber(t.Context(), c, 0) }); err != errMine {
				t.Errorf("the panic became %v", err)
			}
			wantClosed(t, c, srv)
		})
	})
}

// tracePanics returns a Trace that calls m when a line that begins with verb is
// sent, or when a session is closed.
func tracePanics(m *mine, verb string) *submission.Trace {
	trace := new(submission.Trace)
	v := reflect.ValueOf(trace).Elem()
	name := "Sent"
	if verb == "closed" {
		name = "Closed"
	}
	f := v.FieldByName(name)
	f.Set(reflect.MakeFunc(f.Type(), func(args []reflect.Value) []reflect.Value {
		if last := args[len(args)-1]; name == "Closed" || strings.HasPrefix(fmt.Sprint(last), verb) {
			m.call()
		}
		return nil
	}))
	return trace
}
