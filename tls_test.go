package submission_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// Each TLSMode with each kind of server, on each port.
func TestModesAndPorts(t *testing.T) {
	const (
		implicit = iota
		starttls
		opportunistic
		none
	)
	ports := []int{25, 465, 587, 2525}
	modes := []struct {
		mode submission.TLSMode
		does [4]int // on each of ports
	}{
		{submission.TLSAuto, [4]int{starttls, implicit, starttls, starttls}},
		{submission.TLSImplicit, [4]int{implicit, implicit, implicit, implicit}},
		{submission.TLSStartTLS, [4]int{starttls, starttls, starttls, starttls}},
		{submission.TLSOpportunistic, [4]int{opportunistic, opportunistic, opportunistic, opportunistic}},
		{submission.TLSNone, [4]int{none, none, none, none}},
	}
	const (
		secured  = "TLS"
		clear    = "clear text"
		silent   = "no greeting"
		noTLS    = "not a TLS server"
		required = "STARTTLS missing"
	)
	servers := []smtptest.TLSMode{smtptest.ImplicitTLS, smtptest.StartTLS, smtptest.NoTLS}
	outcome := [][3]string{
		implicit:      {secured, noTLS, noTLS},
		starttls:      {silent, secured, required},
		opportunistic: {silent, secured, clear},
		none:          {silent, clear, clear},
	}
	for _, m := range modes {
		for i, port := range ports {
			for j, server := range servers {
				t.Run(fmt.Sprintf("%v, port %d, server %d", m.mode, port, server), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						got, took := meet(t, m.mode, port, server)
						want := outcome[m.does[i]][j]
						if got != want {
							t.Errorf("%s, want %s", got, want)
						}
						if limit := time.Minute; want == silent && took != limit {
							t.Errorf("waited %v for the greeting, want %v", took, limit)
						} else if want != silent && took != 0 {
							t.Errorf("took %v", took)
						}
					})
				})
			}
		}
	}
}

// meet dials a server with a mode, and says in a few words what the result was.
func meet(t *testing.T, mode submission.TLSMode, port int, server smtptest.TLSMode) (word string, took time.Duration) {
	srv := smtptest.NewServer(&smtptest.Config{TLS: server})
	defer srv.Close()
	var wire *recorder
	o := plainText(withTLS(mode))
	o.TLSConfig = srv.ClientTLSConfig()
	o.Dialer = dialFunc(func(_ context.Context, network, addr string) (net.Conn, error) {
		if want := fmt.Sprintf("%s:%d", testHost, port); network != "tcp" || addr != want {
			t.Errorf("dials %s %s, want %s", network, addr, want)
		}
		wire = record(srv.Pipe())
		return wire, nil
	})
	c, err := submission.New(fmt.Sprintf("%s:%d", testHost, port), o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	start := time.Now()
	s, err := c.Dial(context.Background())
	took = time.Since(start)
	if err == nil {
		defer s.Close()
		if _, ok := s.TLS(); ok {
			return "TLS", took
		}
		return "clear text", took
	}
	var (
		connect *submission.ConnectError
		tlsErr  *submission.TLSError
		header  tls.RecordHeaderError
	)
	checkErrorText(t, err)
	switch {
	case errors.As(err, &connect) && connect.Stage == submission.StageGreeting:
		if !strings.Contains(connect.Hint, "TLSImplicit") || !strings.Contains(err.Error(), connect.Hint) {
			t.Errorf("no hint at TLSImplicit: %v", err)
		}
		if (port == 465) != strings.Contains(connect.Hint, "465") {
			t.Errorf("port %d, hint %q", port, connect.Hint)
		}
		if len(wire.written()) > 0 {
			t.Errorf("wrote %q before the greeting", wire.written())
		}
		return "no greeting", took
	case errors.As(err, &connect) && connect.Stage == submission.StageStartTLS && errors.Is(err, submission.ErrUnsupported):
		return "STARTTLS missing", took
	case errors.As(err, &tlsErr) && errors.As(err, &header):
		if !strings.Contains(tlsErr.Hint, "TLSStartTLS") || !strings.Contains(err.Error(), tlsErr.Hint) {
			t.Errorf("no hint at TLSStartTLS: %v", err)
		}
		if tlsErr.Temporary() {
			t.Errorf("Temporary is true: %v", err)
		}
		wantOnlyTLS(t, wire.written())
		return "not a TLS server", took
	}
	return err.Error(), took
}

// The hint in the error when a client speaks clear text to a server that waits for TLS.
func TestWrongPortHints(t *testing.T) {
	tests := []struct {
		script, remote string
		want           []string
	}{
		{"close\neof", "192.0.2.25:465", []string{"465", "TLSImplicit"}},
		{"close\neof", "192.0.2.25:587", []string{"TLSImplicit"}},
		{"reset\neof", "192.0.2.25:465", []string{"465", "TLSImplicit"}},
		{`S> \x15\x03\x01\x00\x02\x02\x46` + "\nclose\neof", "192.0.2.25:465", []string{"465", "TLSImplicit"}}, // an alert
	}
	for _, tt := range tests {
		for _, mode := range []submission.TLSMode{submission.TLSNone, submission.TLSStartTLS, submission.TLSOpportunistic} {
			t.Run(fmt.Sprint(tt.script, tt.remote, mode), func(t *testing.T) {
				nc := between(play(t, "whole", tt.script), "192.0.2.1:4000", tt.remote)
				_, err := submission.NewSession(context.Background(), nc, testHost, plainText(withTLS(mode)))
				e := wantError[*submission.ConnectError](t, err)
				for _, want := range tt.want {
					if !strings.Contains(e.Hint, want) || !strings.Contains(err.Error(), want) {
						t.Errorf("hint %q in %q, want %q in it", e.Hint, err, want)
					}
				}
			})
		}
	}
	t.Run("no hint at a refusal", func(t *testing.T) {
		nc := between(play(t, "whole", "S: 554 no"+quit), "192.0.2.1:4000", "192.0.2.25:465")
		_, err := submission.NewSession(context.Background(), nc, testHost, plainText())
		if e := wantError[*submission.ConnectError](t, err); e.Hint != "" {
			t.Errorf("hint %q", e.Hint)
		}
	})
}

// The connection fails during the TLS handshake. Nothing is sent in clear text after that.
func TestHandshakeOfTLSFails(t *testing.T) {
	const go220 = "S: 220 go\n"
	tests := []struct {
		name     string
		script   string
		options  func(*submission.Options)
		took     time.Duration
		is       error
		lasting  bool
		cancelAt time.Duration
	}{
		{name: "closed", script: "C* 1\nclose", is: io.EOF},
		{name: "closed before", script: "close"},
		{name: "reset", script: "reset"},
		{name: "half a record, closed", script: "C* 1\n" + `S> \x16\x03\x03\x00` + "\nclose"},
		{name: "alert", script: "C* 1\n" + `S> \x15\x03\x03\x00\x02\x02\x28` + "\nclose", lasting: true},
		{name: "stall", script: "stall", took: 30 * time.Second, is: os.ErrDeadlineExceeded},
		{name: "stall after half a record", script: `S> \x16\x03\x03\x00` + "\nstall", took: 30 * time.Second, is: os.ErrDeadlineExceeded},
		{name: "stall, own limit", script: "stall", options: func(o *submission.Options) { o.Timeouts.TLS = time.Hour },
			took: time.Hour, is: os.ErrDeadlineExceeded},
		{name: "cancelled", script: "stall", cancelAt: 2 * time.Second, took: 2 * time.Second, is: context.Canceled},
	}
	for _, tt := range tests {
		for _, mode := range []submission.TLSMode{submission.TLSImplicit, submission.TLSStartTLS, submission.TLSOpportunistic} {
			t.Run(tt.name+", "+mode.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := context.WithCancel(context.Background())
					defer cancel()
					if tt.cancelAt > 0 {
						time.AfterFunc(tt.cancelAt, cancel)
					}
					script := offersTLS + go220 + tt.script
					if mode == submission.TLSImplicit {
						script = tt.script
					}
					o := plainText(withTLS(mode), withAuth(testPassword))
					if tt.options != nil {
						tt.options(o)
					}
					wire := record(play(t, "whole", script))
					start := time.Now()
					s, err := submission.NewSession(ctx, wire, testHost, o)
					if took := time.Since(start); took != tt.took {
						t.Errorf("took %v, want %v", took, tt.took)
					}
					if s != nil {
						t.Error("a session")
					}
					e := wantError[*submission.TLSError](t, err)
					if e.Host != testHost || !strings.Contains(err.Error(), testHost) {
						t.Errorf("host %q: %v", e.Host, err)
					}
					if tt.is != nil && !errors.Is(err, tt.is) {
						t.Errorf("%v does not wrap %v", err, tt.is)
					}
					if e.Temporary() == tt.lasting {
						t.Errorf("temporary %v: %v", e.Temporary(), err)
					}
					wantOnlyTLS(t, wire.written())
				})
			})
		}
	}
}

// The limit is for the whole TLS handshake: octets that arrive a second apart take too long.
func TestHandshakeOfTLSDrips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		var dripping sync.WaitGroup
		defer dripping.Wait()
		dripping.Go(func() { io.Copy(io.Discard, server) })
		dripping.Go(func() {
			defer server.Close()
			for _, octet := range append([]byte{0x16, 3, 3, 0x40, 0}, make([]byte, 1000)...) {
				time.Sleep(time.Second)
				if _, err := server.Write([]byte{octet}); err != nil {
					return
				}
			}
		})
		start := time.Now()
		_, err := submission.NewSession(context.Background(), client, testHost, plainText(withTLS(submission.TLSImplicit)))
		e := wantError[*submission.TLSError](t, err)
		if took := time.Since(start); took != 30*time.Second || !e.Temporary() {
			t.Errorf("took %v, want 30s; Temporary %v, want true: %v", took, e.Temporary(), err)
		}
	})
}

// A session that was idle for long still works: no deadline of an earlier step is left.
func TestNoStaleDeadline(t *testing.T) {
	for _, mode := range []submission.TLSMode{submission.TLSStartTLS, submission.TLSImplicit} {
		t.Run(mode.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &smtptest.Config{TLS: smtptest.StartTLS}
				if mode == submission.TLSImplicit {
					c.TLS = smtptest.ImplicitTLS
				}
				srv := smtptest.NewServer(c)
				defer srv.Close()
				o := plainText(withTLS(mode))
				o.TLSConfig = srv.ClientTLSConfig()
				s := openSession(t, srv.Pipe(), o)
				defer s.Close()
				for _, rest := range []time.Duration{30 * time.Second, 31 * time.Second, 6 * time.Minute, 3 * time.Hour} {
					time.Sleep(rest)
					if err := s.Noop(context.Background()); err != nil {
						t.Fatalf("NOOP %v later: %v", rest, err)
					}
				}
				time.Sleep(time.Hour)
				env := submission.Envelope{From: "a@test.example", To: submission.To("b@test.example")}
				if _, err := s.Send(context.Background(), env, strings.NewReader("late\n")); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// Sessions over TCP. There the client asks the kernel whether something waits, and TLS 1.3
// sends tickets that nobody asked for.
func TestRealSockets(t *testing.T) {
	for _, mode := range []smtptest.TLSMode{smtptest.ImplicitTLS, smtptest.StartTLS, smtptest.NoTLS} {
		srv := serve(t, &smtptest.Config{TLS: mode, Accounts: map[string]string{"username": "password"}})
		o := &submission.Options{Auth: testPassword, TLSConfig: srv.ClientTLSConfig()}
		switch mode {
		case smtptest.ImplicitTLS:
			o.TLS = submission.TLSImplicit
		case smtptest.NoTLS:
			o.TLS = submission.TLSNone
		}
		c, err := submission.New(srv.Addr(), o)
		if err != nil {
			t.Fatal(err)
		}
		s, err := c.Dial(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			if err := s.Noop(context.Background()); err != nil {
				t.Error(err)
			}
		}
		s.Close()
		c.Close()
		if !strings.Contains(strings.Join(commands(srv), "\n"), "EHLO [127.0.0.1]\n") {
			t.Errorf("the client said %q", commands(srv))
		}
	}
}

// NewSession with a TLS connection that the caller made.
func TestAdoptedTLS(t *testing.T) {
	accounts := map[string]string{"username": "password"}
	type setup func(srv *smtptest.Server, conn *tls.Config, o *submission.Options)
	unverified := func(_ *smtptest.Server, conn *tls.Config, _ *submission.Options) {
		conn.RootCAs, conn.InsecureSkipVerify = nil, true
	}
	tests := []struct {
		name     string
		setup    []setup
		insecure bool // PLAIN is refused
		pinned   bool // the key is refused
	}{
		{name: "verified"},
		{name: "not verified", setup: []setup{unverified}, insecure: true},
		{name: "not verified, and Options.TLSConfig says what was not done", setup: []setup{unverified,
			func(srv *smtptest.Server, _ *tls.Config, o *submission.Options) {
				o.TLSConfig = &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(tls.ConnectionState) error { return nil }}
			}}, insecure: true},
		{name: "not verified, and Options.TLSClient was not asked", setup: []setup{unverified,
			func(srv *smtptest.Server, _ *tls.Config, o *submission.Options) {
				o.TLSClient = func(context.Context, net.Conn, *tls.Config) (net.Conn, error) { return nil, errors.New("no") }
			}}, insecure: true},
		{name: "wrong pin", setup: []setup{unverified,
			func(_ *smtptest.Server, _ *tls.Config, o *submission.Options) { o.PinnedKeys = [][32]byte{{1}} }}, pinned: true},
		{name: "wrong pin, verified", setup: []setup{
			func(_ *smtptest.Server, _ *tls.Config, o *submission.Options) { o.PinnedKeys = [][32]byte{{1}} }}, pinned: true},
		{name: "right pin", setup: []setup{unverified,
			func(srv *smtptest.Server, _ *tls.Config, o *submission.Options) {
				o.PinnedKeys = [][32]byte{serverPin(t, srv)}
			}}},
	}
	for _, tt := range tests {
		for _, mode := range []submission.TLSMode{submission.TLSAuto, submission.TLSImplicit, submission.TLSStartTLS, submission.TLSNone} {
			t.Run(tt.name+", "+mode.String(), func(t *testing.T) {
				srv := serve(t, &smtptest.Config{TLS: smtptest.ImplicitTLS, Accounts: accounts, Mechanisms: []string{"PLAIN"}})
				cfg := srv.ClientTLSConfig()
				o := plainText(withTLS(mode), withAuth(testPassword))
				for _, f := range tt.setup {
					f(srv, cfg, o)
				}
				wire := record(srv.Pipe())
				s, err := submission.NewSession(context.Background(), tlsOver(away(wire), cfg), testHost, o)
				wantOnlyTLS(t, wire.written())
				switch {
				case tt.insecure:
					if wantError[*submission.AuthError](t, err); !errors.Is(err, submission.ErrInsecureAuth) {
						t.Errorf("%v", err)
					}
					return
				case tt.pinned:
					wantError[*submission.TLSError](t, err)
					srv.Close()
					wantSaid(t, srv)
					return
				case err != nil:
					t.Fatal(err)
				}
				if st, ok := s.TLS(); !ok || !st.HandshakeComplete {
					t.Error("Session.TLS does not return a finished handshake")
				}
				s.Close()
				wantSaid(t, srv, ehlo, "AUTH PLAIN ***", "QUIT")
			})
		}
	}
}

// NewSession with a TLS connection whose handshake was not done. It has the limit of a
// handshake, and ends with the context.
func TestAdoptedTLSStalls(t *testing.T) {
	for _, cancelled := range []bool{false, true} {
		t.Run(fmt.Sprint("cancelled ", cancelled), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				want, is := 30*time.Second, os.ErrDeadlineExceeded
				if cancelled {
					want, is = time.Second, context.Canceled
					time.AfterFunc(want, cancel)
				}
				start := time.Now()
				s, err := submission.NewSession(ctx, tlsOver(play(t, "whole", "stall"), new(tls.Config)), testHost, plainText())
				if took := time.Since(start); took != want || s != nil {
					t.Errorf("took %v, want %v; session %v", took, want, s)
				}
				if e := wantError[*submission.TLSError](t, err); !errors.Is(err, is) || !e.Temporary() {
					t.Errorf("temporary %v: %v", e.Temporary(), err)
				}
			})
		})
	}
}

// otherStack is a connection of another TLS stack: not a *tls.Conn, and without a state.
type otherStack struct{ net.Conn }

// What Options.TLSClient gets and does.
func TestTLSClient(t *testing.T) {
	for name, wrap := range map[string]func(*tls.Conn) net.Conn{
		"with its state": func(c *tls.Conn) net.Conn { return c },
		"without":        func(c *tls.Conn) net.Conn { return otherStack{c} },
	} {
		t.Run(name, func(t *testing.T) {
			bothWays(t, func(t *testing.T, mode submission.TLSMode) {
				c := &smtptest.Config{Accounts: map[string]string{"username": "password"}, Mechanisms: []string{"PLAIN"}}
				if mode == submission.TLSImplicit {
					c.TLS = smtptest.ImplicitTLS
				}
				srv := serve(t, c)
				o := plainText(withTLS(mode), withAuth(testPassword))
				o.TLSConfig = srv.ClientTLSConfig()
				raw := away(srv.Pipe())
				calls := 0
				o.TLSClient = func(ctx context.Context, nc net.Conn, cfg *tls.Config) (net.Conn, error) {
					calls++
					if nc != raw {
						t.Errorf("TLSClient got a %T, not the raw connection", nc)
					}
					if cfg.ServerName != testHost || cfg.MinVersion != tls.VersionTLS12 || cfg.RootCAs == nil {
						t.Errorf("TLSClient got a configuration for %q, at least version %x", cfg.ServerName, cfg.MinVersion)
					}
					secured := tls.Client(nc, cfg)
					return wrap(secured), secured.HandshakeContext(ctx)
				}
				s := openSession(t, raw, o)
				if st, ok := s.TLS(); !ok || st.HandshakeComplete != (name == "with its state") {
					t.Errorf("TLS %v, %v", ok, st.HandshakeComplete)
				}
				s.Close()
				if calls != 1 {
					t.Errorf("TLSClient was called %d times, want once", calls)
				}
			})
		})
	}
}

// A TLSClient that leaves the handshake to the first Read: the certificate is checked
// before anything is said, with and without pins.
func TestTLSClientWithoutHandshake(t *testing.T) {
	srv := serve(t, &smtptest.Config{TLS: smtptest.ImplicitTLS})
	trusted := srv.ClientTLSConfig()
	for name, tt := range map[string]struct {
		cfg  *tls.Config
		pins [][32]byte
		ok   bool
	}{
		"trusted": {trusted, nil, true}, "unknown": {nil, nil, false},
		"pinned": {nil, [][32]byte{serverPin(t, srv)}, true}, "another pin": {trusted, make([][32]byte, 1), false},
	} {
		t.Run(name, func(t *testing.T) {
			o := plainText(withTLS(submission.TLSImplicit))
			o.TLSConfig, o.PinnedKeys = tt.cfg, tt.pins
			o.TLSClient = func(_ context.Context, nc net.Conn, cfg *tls.Config) (net.Conn, error) {
				return tls.Client(nc, cfg), nil
			}
			s, err := submission.NewSession(context.Background(), away(srv.Pipe()), testHost, o)
			if !tt.ok {
				if e := wantError[*submission.TLSError](t, err); e.Temporary() {
					t.Errorf("temporary: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if st, ok := s.TLS(); !ok || !st.HandshakeComplete {
				t.Errorf("TLS %v, %v", ok, st.HandshakeComplete)
			}
			s.Close()
		})
	}
}

// deadlineless is a connection of a TLS stack that ignores deadlines.
type deadlineless struct{ net.Conn }

func (deadlineless) SetDeadline(time.Time) error { return nil }

func (deadlineless) SetReadDeadline(time.Time) error { return nil }

func (deadlineless) SetWriteDeadline(time.Time) error { return nil }

// The limit of the handshake does not end a session with another TLS stack. The stack gets the
// host name without a trailing dot.
func TestTLSClientOutlivesItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.ImplicitTLS})
		defer srv.Close()
		o := plainText(withTLS(submission.TLSImplicit))
		o.TLSConfig = srv.ClientTLSConfig()
		o.TLSClient = func(ctx context.Context, nc net.Conn, cfg *tls.Config) (net.Conn, error) {
			if cfg.ServerName != testHost {
				t.Errorf("TLSClient got the name %q, want %q", cfg.ServerName, testHost)
			}
			secured := tls.Client(nc, cfg)
			return deadlineless{secured}, secured.HandshakeContext(ctx)
		}
		s, err := submission.NewSession(context.Background(), srv.Pipe(), testHost+".", o)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		time.Sleep(31 * time.Second)
		if err := s.Noop(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// What the error says when Options.TLSClient fails.
func TestTLSClientFails(t *testing.T) {
	errStack := errors.New("no cipher is good enough")
	tests := []struct {
		name      string
		client    func(context.Context, net.Conn, *tls.Config) (net.Conn, error)
		is        error
		temporary bool
		took      time.Duration
	}{
		{name: "error", is: errStack, client: func(context.Context, net.Conn, *tls.Config) (net.Conn, error) { return nil, errStack }},
		{name: "no connection", client: func(context.Context, net.Conn, *tls.Config) (net.Conn, error) { return nil, nil }},
		{name: "waits for its context", took: 30 * time.Second, temporary: true, is: os.ErrDeadlineExceeded,
			client: func(ctx context.Context, _ net.Conn, _ *tls.Config) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}},
		{name: "ignores its context", took: 30 * time.Second, temporary: true, is: os.ErrDeadlineExceeded,
			client: func(_ context.Context, nc net.Conn, cfg *tls.Config) (net.Conn, error) {
				c := tls.Client(nc, cfg)
				return c, c.Handshake()
			}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := plainText(withTLS(submission.TLSImplicit))
				o.TLSClient = tt.client
				wire := record(play(t, "whole", "stall"))
				start := time.Now()
				s, err := submission.NewSession(context.Background(), wire, testHost, o)
				if took := time.Since(start); took != tt.took || s != nil {
					t.Errorf("took %v, want %v; session %v", took, tt.took, s)
				}
				e := wantError[*submission.TLSError](t, err)
				if e.Temporary() != tt.temporary || tt.is != nil && !errors.Is(err, tt.is) {
					t.Errorf("temporary %v: %v", e.Temporary(), err)
				}
				wantOnlyTLS(t, wire.written())
			})
		})
	}
}
