package submission_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-sasl"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// listen serves each connection to a loopback port with serve. When the test
// ends the connections are closed and waited for.
func listen(t testing.TB, serve func(net.Conn)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var (
		running sync.WaitGroup
		mu      sync.Mutex
		open    []net.Conn
		over    bool
	)
	running.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, nc)
			if over {
				nc.Close()
			}
			mu.Unlock()
			running.Go(func() {
				defer nc.Close()
				serve(nc)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		over = true
		for _, nc := range open {
			nc.Close()
		}
		mu.Unlock()
		running.Wait()
	})
	return l.Addr().String()
}

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
				t.Error("a session beside the error")
			}
			e := wantError[*submission.ConnectError](t, err)
			if e.Stage != submission.StageDial || e.Reply != nil || e.Addr != testHost+":25" || tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("%v", err)
			}
			if e.Temporary() != (tt.is != nil) {
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
					t.Errorf("whose fault: %v", err)
				}
			})
		})
	}
}

// TestDialReturnsLate has the dialer return a connection when the
// caller has just given up.
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

func TestLocalAddrRefused(t *testing.T) {
	for _, local := range []string{"localhost", "1.2.3", "127.0.0.1:smtp", "127.0.0.1:99999", "[::1", ":25", "eth0", "127.0.0.1\r\n", "192.0.2.1/24"} {
		_, err := submission.New(testHost, &submission.Options{LocalAddr: local})
		if err == nil {
			t.Errorf("New takes %q", local)
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
		t.Errorf("said %q", line)
	}
}

// socksProxy is a SOCKS5 proxy (RFC 1928, RFC 1929) that does as it is told.
type socksProxy struct {
	user, password string // "" wants none
	method         byte   // the answer to a client without what is wanted
	reply          byte   // to CONNECT
	bound          []byte // address type and address in the reply; nil is an IPv4 address
	cut            string // the stage at which it hangs up: "methods", "password", "request"
	raw            []byte // says this to the client's first octets and nothing else
	server         func(nc net.Conn, ok []byte)

	mu   sync.Mutex
	said []string // what clients asked for
}

func (p *socksProxy) note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.said = append(p.said, fmt.Sprintf(format, args...))
}

func (p *socksProxy) heard() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.said)
}

// exactly reads n octets.
func exactly(r io.Reader, n int) []byte {
	b := make([]byte, n)
	io.ReadFull(r, b)
	return b
}

func (p *socksProxy) serve(nc net.Conn) {
	head := exactly(nc, 2)
	methods := exactly(nc, int(head[1]))
	p.note("methods % x", methods)
	if p.raw != nil {
		nc.Write(p.raw)
		io.Copy(io.Discard, nc)
		return
	}
	if p.cut == "methods" {
		return
	}
	want := byte(0)
	if p.user != "" {
		want = 2
	}
	if !slices.Contains(methods, want) {
		nc.Write([]byte{5, p.method})
		return
	}
	nc.Write([]byte{5, want})
	if want == 2 && !p.login(nc) {
		return
	}
	head = exactly(nc, 4)
	var host string
	switch head[3] {
	case 1:
		host = net.IP(exactly(nc, 4)).String()
	case 3:
		host = "name " + string(exactly(nc, int(exactly(nc, 1)[0])))
	case 4:
		host = net.IP(exactly(nc, 16)).String()
	}
	p.note("%d %s %d", head[1], host, binary.BigEndian.Uint16(exactly(nc, 2)))
	if p.cut == "request" {
		return
	}
	bound := p.bound
	if bound == nil {
		bound = []byte{1, 192, 0, 2, 99}
	}
	ok := append(append([]byte{5, p.reply, 0}, bound...), 0x12, 0x34)
	if p.reply != 0 || p.server == nil {
		nc.Write(ok)
		io.Copy(io.Discard, nc)
		return
	}
	p.server(nc, ok)
}

func (p *socksProxy) login(nc net.Conn) bool {
	head := exactly(nc, 2)
	user := string(exactly(nc, int(head[1])))
	password := string(exactly(nc, int(exactly(nc, 1)[0])))
	p.note("user %s password %s", user, password)
	if p.cut == "password" {
		return false
	}
	if user != p.user || password != p.password {
		nc.Write([]byte{1, 1})
		return false
	}
	nc.Write([]byte{1, 0})
	return true
}

// relay has the proxy connect to addr, whatever it was asked for.
func relay(addr string) func(net.Conn, []byte) {
	return func(nc net.Conn, ok []byte) {
		server, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		defer server.Close()
		nc.Write(ok)
		var up sync.WaitGroup
		up.Go(func() {
			io.Copy(server, nc)
			server.(*net.TCPConn).CloseWrite()
		})
		io.Copy(nc, server)
		nc.(*net.TCPConn).CloseWrite()
		up.Wait()
	}
}

// coalesced is an SMTP server whose greeting comes in one segment with the
// proxy's own reply.
func coalesced(nc net.Conn, ok []byte) {
	nc.Write(append(ok, "220 hi\r\n"...))
	talk(nc, false)
}

// start starts the proxy and returns a Dialer that goes through it.
func (p *socksProxy) start(t testing.TB, user *url.Userinfo) (d submission.Dialer, addr string) {
	t.Helper()
	addr = listen(t, p.serve)
	d, err := submission.SOCKS5(addr, user, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d, addr
}

// viaProxy dials addr through d.
func viaProxy(t testing.TB, d submission.Dialer, addr string, set ...func(*submission.Options)) error {
	t.Helper()
	o := plainText(set...)
	o.Dialer = d
	c, err := submission.New(addr, o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.Ping(context.Background())
}

func TestSOCKS5(t *testing.T) {
	user := url.UserPassword("proxy user", "pass:@/word")
	tests := []struct {
		name string
		addr string
		user *url.Userinfo
		bind []byte
		want []string
	}{
		{name: "a name", addr: "mail.test.example:2525", want: []string{"methods 00", "1 name mail.test.example 2525"}},
		{name: "an IDN", addr: "тест.example", want: []string{"methods 00", "1 name xn--e1aybc.example 25"}},
		{name: "localhost is a name too", addr: "localhost:25", want: []string{"methods 00", "1 name localhost 25"}},
		{name: "IPv4", addr: "192.0.2.25:587", want: []string{"methods 00", "1 192.0.2.25 587"}},
		{name: "IPv6", addr: "[2001:db8::25]:587", want: []string{"methods 00", "1 2001:db8::25 587"}},
		{name: "user and password", addr: "mail.test.example:25", user: user, want: []string{"methods 00 02", "user proxy user password pass:@/word", "1 name mail.test.example 25"}},
		{name: "bound to an IPv6 address", addr: "mail.test.example:25", bind: append([]byte{4}, net.IPv6loopback...), want: []string{"methods 00", "1 name mail.test.example 25"}},
		{name: "bound to a name", addr: "mail.test.example:25", bind: []byte("\x03\x05proxy"), want: []string{"methods 00", "1 name mail.test.example 25"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := &socksProxy{server: coalesced, bound: tt.bind}
			if tt.user != nil {
				p.user = tt.user.Username()
				p.password, _ = tt.user.Password()
			}
			d, _ := p.start(t, tt.user)
			var connected string
			err := viaProxy(t, d, tt.addr, func(o *submission.Options) {
				o.Trace = &submission.Trace{Connected: func(_, addr string, _ bool) { connected = addr }}
			})
			if err != nil {
				t.Fatal(err)
			}
			if got := p.heard(); !slices.Equal(got, tt.want) {
				t.Errorf("the proxy heard %q, want %q", got, tt.want)
			}
			if host, _, _ := net.SplitHostPort(connected); !strings.Contains(tt.want[len(tt.want)-1], host) {
				t.Errorf("Trace.Connected: %s", connected)
			}
		})
	}
}

// TestSOCKS5AndTLS has TLS and a password go through the proxy, for the host that
// was named.
func TestSOCKS5AndTLS(t *testing.T) {
	for _, mode := range []smtptest.TLSMode{smtptest.ImplicitTLS, smtptest.StartTLS} {
		srv := serve(t, &smtptest.Config{TLS: mode, Accounts: map[string]string{"username": "password"}})
		p := &socksProxy{server: relay(srv.Addr())}
		d, _ := p.start(t, nil)
		addr := testHost + ":587"
		if mode == smtptest.ImplicitTLS {
			addr = testHost + ":465"
		}
		err := viaProxy(t, d, addr, withTLS(submission.TLSAuto), withAuth(testPassword), func(o *submission.Options) { o.TLSConfig = srv.ClientTLSConfig() })
		if err != nil {
			t.Error(err)
		}
		if said := commands(srv); !slices.Contains(said, "AUTH PLAIN ***") {
			t.Errorf("said %q", said)
		}
		p = &socksProxy{server: relay(srv.Addr())}
		d, proxyAddr := p.start(t, nil)
		err = viaProxy(t, d, "other.example"+addr[len(testHost):], withTLS(submission.TLSAuto), func(o *submission.Options) { o.TLSConfig = srv.ClientTLSConfig() })
		if e := wantError[*submission.TLSError](t, err); e.Host != "other.example" || strings.Contains(err.Error(), proxyAddr) {
			t.Errorf("%v", err)
		}
	}
}

// TestSOCKS5IsNoLoopback has the proxy on this machine, which says nothing about
// where the server is.
func TestSOCKS5IsNoLoopback(t *testing.T) {
	p := &socksProxy{server: coalesced}
	d, _ := p.start(t, nil)
	err := viaProxy(t, d, testHost, withAuth(testPassword))
	if wantError[*submission.AuthError](t, err); !errors.Is(err, submission.ErrInsecureAuth) {
		t.Errorf("%v", err)
	}
}

func TestSOCKS5Refuses(t *testing.T) {
	words := []string{
		1: "general SOCKS server failure",
		2: "not allowed by ruleset",
		3: "network unreachable",
		4: "host unreachable",
		5: "connection refused",
		6: "TTL expired",
		7: "command not supported",
		8: "address type not supported",
		9: "9",
	}
	for code := 1; code < len(words); code++ {
		t.Run(fmt.Sprint("reply ", code), func(t *testing.T) {
			p := &socksProxy{reply: byte(code)}
			d, addr := p.start(t, nil)
			wantProxyError(t, viaProxy(t, d, testHost), addr, words[code])
		})
	}
	user := url.UserPassword("user", secretWord)
	tests := []struct {
		name  string
		proxy *socksProxy
		user  *url.Userinfo
		words string
	}{
		{"wrong password", &socksProxy{user: "user", password: "right"}, user, "authentication failed"},
		{"wrong user", &socksProxy{user: "other", password: secretWord}, user, "authentication failed"},
		{"credentials wanted, none given", &socksProxy{user: "user", password: "right", method: 0xff}, nil, "authentication method"},
		{"GSSAPI wanted", &socksProxy{user: "user", password: "right", method: 1}, nil, ""},
		{"no SOCKS 5", &socksProxy{raw: []byte{4, 0}}, nil, "version"},
		{"HTTP", &socksProxy{raw: []byte("HTTP/1.1 400 Bad Request\r\n\r\n")}, nil, "version"},
		{"hangs up at once", &socksProxy{cut: "methods"}, nil, ""},
		{"hangs up at the password", &socksProxy{cut: "password", user: "user"}, user, ""},
		{"hangs up at the request", &socksProxy{cut: "request"}, nil, ""},
		{"unknown address type", &socksProxy{bound: []byte{9, 0}}, nil, "address type"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, addr := tt.proxy.start(t, tt.user)
			err := viaProxy(t, d, testHost)
			wantProxyError(t, err, addr, tt.words)
			for how, text := range renderings(err) {
				wantNoSecret(t, how, text)
			}
			if strings.HasPrefix(tt.name, "hangs up") && !isTemporary(err) {
				t.Errorf("not temporary: %v", err)
			}
		})
	}
}

func wantProxyError(t *testing.T, err error, proxy, words string) {
	t.Helper()
	e := wantError[*submission.ConnectError](t, err)
	if e.Stage != submission.StageProxy || e.Addr != testHost+":25" || e.Reply != nil {
		t.Errorf("stage %v, address %s, reply %v", e.Stage, e.Addr, e.Reply)
	}
	for _, want := range []string{words, proxy, testHost} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not said: %v", want, err)
		}
	}
}

func TestSOCKS5Forward(t *testing.T) {
	errNet := errors.New("no way to the proxy")
	asked := ""
	d, err := submission.SOCKS5("proxy.test.example:1080", nil, dialFunc(func(_ context.Context, network, addr string) (net.Conn, error) {
		asked = network + " " + addr
		return nil, errNet
	}))
	if err != nil {
		t.Fatal(err)
	}
	err = viaProxy(t, d, testHost)
	e := wantError[*submission.ConnectError](t, err)
	if !errors.Is(err, errNet) || !e.Temporary() || e.Stage != submission.StageDial && e.Stage != submission.StageProxy {
		t.Errorf("%v", err)
	}
	if asked != "tcp proxy.test.example:1080" {
		t.Errorf("dialed %s", asked)
	}
}

func TestSOCKS5Stalls(t *testing.T) {
	for name, answers := range map[string][]byte{"at once": nil, "after the methods": {5, 0}, "within the reply": {5, 0, 5, 0, 0, 1}} {
		for _, cancelled := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", cancelled ", cancelled), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					client, server := net.Pipe()
					var running sync.WaitGroup
					defer running.Wait()
					running.Go(func() { io.Copy(io.Discard, server) })
					running.Go(func() { server.Write(answers) })
					d, err := submission.SOCKS5("proxy.test.example:1080", nil, dialFunc(func(context.Context, string, string) (net.Conn, error) { return client, nil }))
					if err != nil {
						t.Fatal(err)
					}
					o := plainText()
					o.Dialer = d
					c, err := submission.New(testHost, o)
					if err != nil {
						t.Fatal(err)
					}
					defer c.Close()
					ctx, cancel := context.WithCancel(context.Background())
					defer cancel()
					want := 30 * time.Second
					if cancelled {
						want = time.Second
						time.AfterFunc(want, cancel)
					}
					start := time.Now()
					_, err = c.Dial(ctx)
					if took := time.Since(start); took != want {
						t.Errorf("took %v, want %v", took, want)
					}
					e := wantError[*submission.ConnectError](t, err)
					if e.Stage != submission.StageProxy || !e.Temporary() || errors.Is(err, context.Canceled) != cancelled {
						t.Errorf("stage %v, temporary %v: %v", e.Stage, e.Temporary(), err)
					}
				})
			})
		}
	}
}

// TestSOCKS5LeavesNoDeadline has the server be slow behind a proxy: what bounded
// the dialing must not bound the session.
func TestSOCKS5LeavesNoDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		var running sync.WaitGroup
		defer running.Wait()
		running.Go(func() {
			defer server.Close()
			(&socksProxy{server: func(nc net.Conn, ok []byte) {
				nc.Write(ok)
				time.Sleep(4 * time.Minute)
				talk(nc, true)
			}}).serve(server)
		})
		d, err := submission.SOCKS5("proxy.test.example:1080", nil, dialFunc(func(context.Context, string, string) (net.Conn, error) { return client, nil }))
		if err != nil {
			t.Fatal(err)
		}
		if err := viaProxy(t, d, testHost); err != nil {
			t.Error(err)
		}
	})
}

func TestSOCKS5OptionsRefused(t *testing.T) {
	long := strings.Repeat("x", 256)
	for name, user := range map[string]*url.Userinfo{
		"CR LF in the user":     url.UserPassword("a\r\nb", "p"),
		"CR LF in the password": url.UserPassword("a", "p\r\n"),
		"NUL":                   url.UserPassword("a\x00", "p"),
		"no user":               url.UserPassword("", "p"),
		"no password":           url.UserPassword("a", ""),
		"user alone":            url.User("a"),
		"a long user":           url.UserPassword(long, "p"),
		"a long password":       url.UserPassword("a", long),
	} {
		if d, err := submission.SOCKS5("127.0.0.1:1080", user, nil); d != nil || err == nil {
			t.Errorf("%s: %v, %v", name, d, err)
		} else {
			wantError[*submission.OptionError](t, err)
		}
	}
	for _, addr := range []string{"", "proxy", "proxy:1080:1", "proxy\r\n:1080", "proxy:10\n80", "pro\x00xy:1080"} {
		if d, err := submission.SOCKS5(addr, nil, nil); d != nil || err == nil {
			t.Errorf("%q: %v, %v", addr, d, err)
		} else {
			wantError[*submission.OptionError](t, err)
		}
	}
	if _, err := submission.SOCKS5("127.0.0.1:1080", url.UserPassword(long[:255], long[:255]), nil); err != nil {
		t.Error(err)
	}
}

// TestNoSessionNoMessage sends a message where no session comes about: NotSent,
// with the error that Dial would give inside, and whether to try again.
func TestNoSessionNoMessage(t *testing.T) {
	const mail = "S: 220 hi\nC: EHLO client.test.example\n"
	script := func(s string) dialFunc {
		return func(context.Context, string, string) (net.Conn, error) { return play(t, "whole", s), nil }
	}
	var (
		connect *submission.ConnectError
		tlsErr  *submission.TLSError
		auth    *submission.AuthError
	)
	tests := []struct {
		name      string
		dial      dialFunc
		options   []func(*submission.Options)
		as        any
		stage     submission.Stage
		code      int
		temporary bool
	}{
		{name: "dial", dial: func(context.Context, string, string) (net.Conn, error) { return nil, errnoRefused },
			as: &connect, stage: submission.StageDial, temporary: true},
		{name: "greeting 554", dial: script("S: 554 no" + quit), as: &connect, stage: submission.StageGreeting, code: 554},
		{name: "greeting 421", dial: script("S: 421 no\neof"), as: &connect, stage: submission.StageGreeting, code: 421, temporary: true},
		{name: "greeting garbage", dial: script("S! no\neof"), as: &connect, stage: submission.StageGreeting},
		{name: "greeting EOF", dial: script("close\neof"), as: &connect, stage: submission.StageGreeting, temporary: true},
		{name: "EHLO 550", dial: script(mail + "S: 550 no" + quit), as: &connect, stage: submission.StageHello, code: 550},
		{name: "EHLO 450", dial: script(mail + "S: 450 no" + quit), as: &connect, stage: submission.StageHello, code: 450, temporary: true},
		{name: "no STARTTLS", dial: script(mail + "S: 250 mail" + quit), options: []func(*submission.Options){withTLS(submission.TLSStartTLS)},
			as: &connect, stage: submission.StageStartTLS},
		{name: "STARTTLS 454", dial: script(mail + "S: 250-mail\nS: 250 STARTTLS\nC: STARTTLS\nS: 454 no" + quit), options: []func(*submission.Options){withTLS(submission.TLSStartTLS)},
			as: &connect, stage: submission.StageStartTLS, code: 454, temporary: true},
		{name: "TLS closed", dial: script("C* 1\nclose"), options: []func(*submission.Options){withTLS(submission.TLSImplicit)},
			as: &tlsErr, stage: submission.StageTLS, temporary: true},
		{name: "no TLS", dial: script("C* 1\nS! 220 mail\nstall"), options: []func(*submission.Options){withTLS(submission.TLSImplicit)},
			as: &tlsErr, stage: submission.StageTLS},
		{name: "535", dial: script(offersAuth("PLAIN") + authPlain + "S: 535 no" + quit), options: []func(*submission.Options){withAuth(testPassword)},
			as: &auth, stage: submission.StageAuth, code: 535},
		{name: "454", dial: script(offersAuth("PLAIN") + authPlain + "S: 454 no" + quit), options: []func(*submission.Options){withAuth(testPassword)},
			as: &auth, stage: submission.StageAuth, code: 454, temporary: true},
		{name: "no AUTH", dial: script(mail + "S: 250 mail" + quit), options: []func(*submission.Options){withAuth(testPassword)},
			as: &auth, stage: submission.StageAuth},
		{name: "AUTH EOF", dial: script(offersAuth("PLAIN") + authPlain + "close\neof"), options: []func(*submission.Options){withAuth(testPassword)},
			as: &auth, stage: submission.StageAuth, temporary: true},
		{name: "no mechanism of the caller's", dial: script(offersAuth("PLAIN") + quit),
			options: []func(*submission.Options){withAuth(submission.AuthFunc(func(context.Context, submission.ServerInfo) (sasl.Client, error) { return nil, os.ErrNotExist }))},
			as:      &auth, stage: submission.StageAuth},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := plainText(tt.options...)
			dials := 0
			o.Dialer = dialFunc(func(ctx context.Context, network, addr string) (net.Conn, error) {
				dials++
				return tt.dial(ctx, network, addr)
			})
			c, err := submission.New(testHost, o)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			res, err := c.Send(context.Background(), submission.Envelope{From: "a@test.example", To: submission.To("b@test.example", "c@test.example")}, strings.NewReader("x\n"))
			e := wantError[*submission.SendError](t, err)
			if res != nil || e.Outcome != submission.NotSent || e.Stage != tt.stage || e.Temporary() != tt.temporary {
				t.Errorf("result %v, outcome %v, stage %v, temporary %v: %v", res, e.Outcome, e.Stage, e.Temporary(), err)
			}
			if !errors.As(err, tt.as) {
				t.Errorf("no %T in %v", tt.as, err)
			}
			if got := e.Reply; got == nil && tt.code != 0 || got != nil && got.Code != tt.code {
				t.Errorf("reply %v, want %d", got, tt.code)
			}
			for i, r := range e.Recipients {
				if r.Status != submission.RecipientUnsent || r.Reply.Code != 0 {
					t.Errorf("recipient %d: %v", i, r)
				}
			}
			if len(e.Recipients) != 2 || dials != 1 {
				t.Errorf("%d recipients, %d dials", len(e.Recipients), dials)
			}
		})
	}
}

func TestOptionsRefused(t *testing.T) {
	for option, o := range map[string]submission.Options{
		"TLS":       {TLS: submission.TLSNone + 1},
		"ChunkSize": {ChunkSize: -1},
		"Timeouts":  {Timeouts: submission.Timeouts{Greeting: -1}},
		"Pool":      {Pool: submission.PoolOptions{MaxAge: -1}},
		"From":      {From: "a@b\r\nRSET"},
	} {
		_, err := submission.New(testHost, &o)
		if e := wantError[*submission.OptionError](t, err); e.Option != option || e.Temporary() || e.Err == nil {
			t.Errorf("%s: %v", option, err)
		}
		_, err = submission.NewSession(context.Background(), play(t, "whole", "eof"), testHost, &o)
		if e := wantError[*submission.OptionError](t, err); e.Option != option {
			t.Errorf("%s: %v", option, err)
		}
	}
	if _, err := submission.NewSession(context.Background(), nil, testHost, nil); err == nil {
		t.Error("NewSession takes no connection")
	}
}
