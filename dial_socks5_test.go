package submission_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// socksProxy is a SOCKS5 proxy (RFC 1928, RFC 1929).
type socksProxy struct {
	user, password string // that it wants, "" for none
	method         byte   // its answer to a client that does not offer the method it wants
	reply          byte   // to CONNECT
	bound          []byte // address type and address in the reply; nil is an IPv4 address
	cut            string // the stage at which it hangs up: "methods", "password", "request"
	raw            []byte // all that it sends, after the client's first octets
	server         func(nc net.Conn, ok []byte)

	mu   sync.Mutex
	said []string // by clients
}

func (p *socksProxy) note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.said = append(p.said, fmt.Sprintf(format, args...))
}

func (p *socksProxy) requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.said)
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

// relay makes the proxy connect to addr, whatever the client asked for.
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

// coalesced is an SMTP server whose greeting comes in one segment with the reply of the
// proxy.
func coalesced(nc net.Conn, ok []byte) {
	nc.Write(append(ok, "220 hi\r\n"...))
	talk(nc, false)
}

// viaProxy opens a session with addr through d, and closes it.
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

// What the proxy is asked for.
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
				o.Trace = &submission.Trace{DialDone: func(_ context.Context, s submission.SessionInfo, _ error) { connected = s.Addr }}
			})
			if err != nil {
				t.Fatal(err)
			}
			if got := p.requests(); !slices.Equal(got, tt.want) {
				t.Errorf("the proxy was asked for %q, want %q", got, tt.want)
			}
			if host, _, _ := net.SplitHostPort(connected); !strings.Contains(tt.want[len(tt.want)-1], host) {
				t.Errorf("Trace.DialDone was called with %s", connected)
			}
		})
	}
}

// TLS and AUTH through the proxy. The certificate must be for the host that was named.
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
			t.Errorf("the client said %q", said)
		}
		p = &socksProxy{server: relay(srv.Addr())}
		d, proxyAddr := p.start(t, nil)
		err = viaProxy(t, d, "other.example"+addr[len(testHost):], withTLS(submission.TLSAuto), func(o *submission.Options) { o.TLSConfig = srv.ClientTLSConfig() })
		if e := wantError[*submission.TLSError](t, err); e.Host != "other.example" || strings.Contains(err.Error(), proxyAddr) {
			t.Errorf("%v", err)
		}
	}
}

// A proxy on this machine does not make the server local: its password is not sent in clear
// text.
func TestSOCKS5IsNoLoopback(t *testing.T) {
	p := &socksProxy{server: coalesced}
	d, _ := p.start(t, nil)
	err := viaProxy(t, d, testHost, withAuth(testPassword))
	if wantError[*submission.AuthError](t, err); !errors.Is(err, submission.ErrInsecureAuth) {
		t.Errorf("%v", err)
	}
}

// What the error says when the proxy fails.
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
		{"credentials wanted, none set", &socksProxy{user: "user", password: "right", method: 0xff}, nil, "authentication method"},
		{"GSSAPI wanted", &socksProxy{user: "user", password: "right", method: 1}, nil, ""},
		{"not SOCKS 5", &socksProxy{raw: []byte{4, 0}}, nil, "version"},
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
				t.Errorf("Temporary is false: %v", err)
			}
		})
	}
}

// wantProxyError checks the error for a proxy that failed. words are in its text.
func wantProxyError(t *testing.T, err error, proxy, words string) {
	t.Helper()
	e := wantError[*submission.ConnectError](t, err)
	if e.Stage != submission.StageProxy || e.Addr != testHost+":25" || e.Reply != nil {
		t.Errorf("stage %v, address %s, reply %v", e.Stage, e.Addr, e.Reply)
	}
	for _, want := range []string{words, proxy, testHost} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
}

// The forward dialer connects to the proxy.
func TestSOCKS5Forward(t *testing.T) {
	errNet := errors.New("the proxy is unreachable")
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

// The wait for the proxy has the limit of the dial, and ends with the context.
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

// The limit of the dial is no limit for the session that follows.
func TestSOCKS5LeavesNoDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		var running sync.WaitGroup
		defer running.Wait()
		running.Go(func() {
			defer server.Close()
			(&socksProxy{server: func(nc net.Conn, ok []byte) {
				nc.Write(ok)
				time.Sleep(50 * time.Second)
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

// Arguments that SOCKS5 refuses.
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

// With a proxy, the local address is that of the forward dialer.
func TestLocalAddrThroughProxy(t *testing.T) {
	ip := net.IPv4(127, 0, 0, 2) // not everywhere an address of this machine
	if l, err := net.Listen("tcp", ip.String()+":0"); err != nil {
		ip = net.IPv4(127, 0, 0, 1)
	} else {
		l.Close()
	}
	forward := &net.Dialer{LocalAddr: &net.TCPAddr{IP: ip}}
	var mu sync.Mutex
	var from []string
	noting := func(serve func(net.Conn)) func(net.Conn) {
		return func(nc net.Conn) {
			host, _, _ := net.SplitHostPort(nc.RemoteAddr().String())
			mu.Lock()
			from = append(from, host)
			mu.Unlock()
			serve(nc)
		}
	}
	socks, err := submission.SOCKS5(listen(t, noting((&socksProxy{server: coalesced}).serve)), nil, forward)
	if err != nil {
		t.Fatal(err)
	}
	srv := serve(t, &smtptest.Config{TLS: smtptest.NoTLS})
	proxy := &connectProxy{srv: srv}
	connect, err := submission.HTTPConnect(&url.URL{Scheme: "http", Host: listen(t, noting(proxy.serve))}, forward)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []submission.Dialer{socks, connect} {
		if err := viaProxy(t, d, "mail.test.example:25"); err != nil {
			t.Fatal(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if want := []string{ip.String(), ip.String()}; !slices.Equal(from, want) {
		t.Errorf("the proxies were reached from %q, want %q", from, want)
	}
}
