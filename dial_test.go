package submission_test

import (
	"bufio"
	"context"
	"errors"
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

// What the error says when there is no connection.
func TestDialFails(t *testing.T) {
	errNet := &net.OpError{Op: "dial", Net: "tcp", Err: errnoUnreachable}
	noHost := &net.DNSError{Err: "no such host", Name: testHost, IsNotFound: true}
	tests := []struct {
		name string
		dial dialFunc
		is   error
	}{
		{"unreachable", func(context.Context, string, string) (net.Conn, error) { return nil, errNet }, errnoUnreachable},
		{"no such host", func(context.Context, string, string) (net.Conn, error) { return nil, noHost }, noHost},
		{"no connection and no error", func(context.Context, string, string) (net.Conn, error) { return nil, nil }, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := plainText()
			o.Dialer = tt.dial
			c, err := submission.New(testHost, o)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			s, err := c.Dial(context.Background())
			if s != nil {
				t.Error("a session, although there is an error")
			}
			e := wantError[*submission.ConnectError](t, err)
			if e.Stage != submission.StageDial || e.Reply != nil || e.Addr != testHost+":25" || tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("%v", err)
			}
			if e.Temporary() != (tt.is == errnoUnreachable) {
				t.Errorf("temporary %v", e.Temporary())
			}
		})
	}
	t.Run("refused", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := l.Addr().String()
		l.Close()
		c, err := submission.New(addr, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		err = c.Ping(context.Background())
		e := wantError[*submission.ConnectError](t, err)
		if e.Addr != addr || e.Stage != submission.StageDial || !errors.Is(err, errnoRefused) || !e.Temporary() {
			t.Errorf("%v", err)
		}
	})
}

// A dial has a limit, and ends with the context.
func TestDialStalls(t *testing.T) {
	blocks := dialFunc(func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	tests := []struct {
		name  string
		limit time.Duration // of Timeouts.Dial
		until time.Duration // the caller gives up
		want  time.Duration
		is    error
	}{
		{name: "default limit", want: 30 * time.Second},
		{name: "own limit", limit: time.Hour, want: time.Hour},
		{name: "cancelled", until: time.Second, want: time.Second, is: context.Canceled},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := plainText()
				o.Dialer, o.Timeouts.Dial = blocks, tt.limit
				c, err := submission.New(testHost, o)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				if tt.until > 0 {
					time.AfterFunc(tt.until, cancel)
				}
				start := time.Now()
				_, err = c.Dial(ctx)
				if took := time.Since(start); took != tt.want {
					t.Errorf("took %v, want %v", took, tt.want)
				}
				e := wantError[*submission.ConnectError](t, err)
				if e.Stage != submission.StageDial || !e.Temporary() || tt.is != nil && !errors.Is(err, tt.is) {
					t.Errorf("temporary %v: %v", e.Temporary(), err)
				}
				if errors.Is(err, context.Canceled) != (tt.until > 0) {
					t.Errorf("errors.Is(err, context.Canceled) is not %v: %v", tt.until > 0, err)
				}
			})
		})
	}
}

// A connection may find that the time of the context is over a moment before the context
// says so. The caller has given up all the same.
func TestDialTimedOutBeforeItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := plainText()
		o.Dialer = dialFunc(func(ctx context.Context, network, _ string) (net.Conn, error) {
			at, _ := ctx.Deadline()
			time.Sleep(time.Until(at))
			return nil, &net.OpError{Op: "dial", Net: network, Err: os.ErrDeadlineExceeded}
		})
		c, err := submission.New(testHost, o)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for name, call := range map[string]func(context.Context) error{
			"Dial": func(ctx context.Context) error { _, err := c.Dial(ctx); return err },
			"Ping": c.Ping,
			"Send": func(ctx context.Context) error { return sendNumber(ctx, c, 0) },
		} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second+time.Millisecond)
			at := time.Now().Add(time.Second)
			err := call(earlyDeadline{ctx, at})
			if ctx.Err() == nil || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v", name, err)
			}
			cancel()
		}
	})
}

// earlyDeadline is a context that is done a moment after its deadline.
type earlyDeadline struct {
	context.Context
	at time.Time
}

func (c earlyDeadline) Deadline() (time.Time, bool) { return c.at, true }

// The dialer returns a connection when the context is just done: it is closed.
func TestDialReturnsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		o := plainText()
		client, server := net.Pipe()
		o.Dialer = dialFunc(func(context.Context, string, string) (net.Conn, error) {
			cancel()
			return client, nil
		})
		c, err := submission.New(testHost, o)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		s, err := c.Dial(ctx)
		if s != nil || !errors.Is(err, context.Canceled) {
			t.Errorf("%v, %v", s, err)
		}
		wantError[*submission.ConnectError](t, err)
		if _, err := server.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the connection is still open: %v", err)
		}
	})
}

// The default dialer connects from Options.LocalAddr.
func TestLocalAddr(t *testing.T) {
	ip := "127.0.0.2" // not everywhere an address of this machine
	if l, err := net.Listen("tcp", ip+":0"); err != nil {
		ip = "127.0.0.1"
	} else {
		l.Close()
	}
	for _, local := range []string{ip, ip + ":0"} {
		srv := serve(t, &smtptest.Config{TLS: smtptest.NoTLS})
		c, err := submission.New(srv.Addr(), &submission.Options{TLS: submission.TLSNone, LocalAddr: local})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Ping(context.Background()); err != nil {
			t.Fatal(err)
		}
		c.Close()
		srv.Close()
		wantCommands(t, srv, "EHLO ["+ip+"]", "QUIT")
	}
}

// Local addresses that New refuses, and dialers for which it refuses any.
func TestLocalAddrRefused(t *testing.T) {
	for _, local := range []string{"localhost", "1.2.3", "127.0.0.1:smtp", "127.0.0.1:99999", "[::1", ":25", "eth0", "127.0.0.1\r\n", "192.0.2.1/24"} {
		_, err := submission.New(testHost, &submission.Options{LocalAddr: local})
		if err == nil {
			t.Errorf("New accepts %q", local)
		} else if e := wantError[*submission.OptionError](t, err); e.Option != "LocalAddr" {
			t.Errorf("%q: option %s", local, e.Option)
		}
	}
	socks, err := submission.SOCKS5("127.0.0.1:1080", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, d := range map[string]submission.Dialer{"net.Dialer": new(net.Dialer), "SOCKS5": socks} {
		_, err := submission.New(testHost, &submission.Options{LocalAddr: "127.0.0.1", Dialer: d})
		if err == nil {
			t.Errorf("%s: LocalAddr is ignored", name)
		} else if e := wantError[*submission.OptionError](t, err); e.Option != "LocalAddr" {
			t.Errorf("%s: option %s", name, e.Option)
		}
	}
}

// A session over IPv6.
func TestIPv6(t *testing.T) {
	said := make(chan string, 10)
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Logf("no IPv6 loopback here: %v", err)
		return
	}
	defer l.Close()
	go func() {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		io.WriteString(nc, "220 hi\r\n")
		for in := bufio.NewScanner(nc); in.Scan(); {
			said <- in.Text()
			io.WriteString(nc, "250 ok\r\n")
		}
		close(said)
	}()
	c, err := submission.New(l.Addr().String(), &submission.Options{TLS: submission.TLSNone})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Ping(context.Background()); err != nil {
		t.Fatal(err)
	}
	if line := <-said; line != "EHLO [IPv6:::1]" {
		t.Errorf("the client said %q", line)
	}
}

// freePort is a port of ip that was free a moment ago.
func freePort(t *testing.T, ip string) string {
	t.Helper()
	l, err := net.Listen("tcp", ip+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// The server sees the port of LocalAddr.
func TestLocalPort(t *testing.T) {
	var mu sync.Mutex
	from := ""
	addr := listen(t, func(nc net.Conn) {
		mu.Lock()
		from = nc.RemoteAddr().String()
		mu.Unlock()
		io.WriteString(nc, "554 no\r\n")
		io.Copy(io.Discard, nc)
	})
	for range 5 { // somebody else may take the port first
		local := "127.0.0.1:" + freePort(t, "127.0.0.1")
		c, err := submission.New(addr, plainText(func(o *submission.Options) { o.LocalAddr, o.Timeouts.Quit = local, time.Millisecond }))
		if err != nil {
			t.Fatal(err)
		}
		err = c.Ping(context.Background())
		c.Close()
		if errors.Is(err, errnoInUse) {
			continue
		}
		if e := wantError[*submission.ConnectError](t, err); e.Stage != submission.StageGreeting {
			t.Fatal(err)
		}
		mu.Lock()
		defer mu.Unlock()
		if from != local {
			t.Errorf("connected from %s, want %s", from, local)
		}
		return
	}
	t.Fatal("no port stays free")
}

// A Dialer is told the address and may connect to another one. TLS, for the name that was
// dialed, is put on top of its connection.
func TestDialerChoosesPort(t *testing.T) {
	srv := serve(t, nil)
	asked := ""
	o := &submission.Options{TLSConfig: srv.ClientTLSConfig(), LocalName: "client.test.example"}
	o.Dialer = dialFunc(func(ctx context.Context, network, addr string) (net.Conn, error) {
		asked = network + " " + addr
		return new(net.Dialer).DialContext(ctx, network, srv.Addr())
	})
	c, err := submission.New(testHost, o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Ping(context.Background()); err != nil {
		t.Fatal(err)
	}
	if asked != "tcp "+testHost+":587" {
		t.Errorf("the Dialer was asked for %s", asked)
	}
	c.Close() // which ends the session that Ping left for the next message
	wantCommands(t, srv, ehlo, "STARTTLS", "-- TLS", ehlo, "QUIT")
}

// Fallback tries the next dialer when one fails, and reports the errors of all.
func TestFallback(t *testing.T) {
	srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.NoTLS})
	defer srv.Close()
	broken := func(text string) submission.Dialer {
		return dialFunc(func(context.Context, string, string) (net.Conn, error) { return nil, errors.New(text) })
	}
	good := dialFunc(func(context.Context, string, string) (net.Conn, error) { return srv.Pipe(), nil })
	o := plainText()
	o.Dialer = submission.Fallback(broken("first"), good, broken("never asked"))
	c, err := submission.New(testHost, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := poolSend(c); err != nil {
		t.Fatal(err)
	}
	c.Close()

	o.Dialer = submission.Fallback(broken("first"), broken("second"))
	if c, err = submission.New(testHost, o); err != nil {
		t.Fatal(err)
	}
	err = poolSend(c)
	if wantError[*submission.ConnectError](t, err); !strings.Contains(err.Error(), "first") || !strings.Contains(err.Error(), "second") {
		t.Errorf("%v", err)
	}
	o.Dialer = submission.Fallback()
	if c, err = submission.New(testHost, o); err != nil {
		t.Fatal(err)
	}
	wantError[*submission.ConnectError](t, poolSend(c))
}
