package submission_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-sasl"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// errAsked ends an authentication of which only ServerInfo is of interest.
var errAsked = errors.New("only asked")

// mayShow returns an Auth that notes whether a secret may be shown, and goes no
// further.
func mayShow(may *bool) submission.Auth {
	return submission.AuthFunc(func(_ context.Context, s submission.ServerInfo) (sasl.Client, error) {
		*may = s.MayShow()
		return nil, errAsked
	})
}

const offersPlain = "S: 220 hi\nC: EHLO client.test.example\nS: 250-mail\nS: 250 AUTH PLAIN" + quit

// farEnds are the addresses that the far end of a connection can have, and
// whether it is on this machine.
var farEnds = []struct {
	addr net.Addr
	near bool
}{
	{tcpAddr("127.0.0.1:587"), true},
	{tcpAddr("127.1.2.3:587"), true},
	{tcpAddr("[::1]:587"), true},
	{tcpAddr("[::ffff:127.0.0.1]:587"), true},
	{&net.UnixAddr{Net: "unix", Name: "/run/mail.sock"}, true},
	{&net.UnixAddr{Net: "unix"}, true}, // the far end of a socket without a name
	{pipeAddr{}, true},
	{tcpAddr("192.0.2.25:587"), false},
	{tcpAddr("[2001:db8::25]:587"), false},
	{tcpAddr("[fe80::1%eth0]:587"), false},
	{tcpAddr("0.0.0.0:587"), false},
	{tcpAddr("localhost:587"), false}, // no IP address
	{nil, false},
}

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

// hosts are names of servers, and whether they are names of this machine.
var hosts = []struct {
	name  string
	local bool
}{
	{"localhost", true}, {"LocalHost", true}, {"localhost.", true},
	{"127.0.0.1", true}, {"127.1.2.3", true}, {"::1", true}, {"::ffff:127.0.0.1", true},
	{"mail.test.example", false}, {"localhost.test.example", false}, {"notlocalhost", false},
	{"192.0.2.25", false}, {"2001:db8::25", false}, {"0.0.0.0", false},
}

// TestLocalIsTheCallersConnection has connections that the caller made, over
// which a password may go in clear text only where both ends are this machine:
// the far end of the connection may be that of a tunnel.
func TestLocalIsTheCallersConnection(t *testing.T) {
	ways := map[string]func(t *testing.T, nc net.Conn, host string, o *submission.Options) error{
		"NewSession": func(t *testing.T, nc net.Conn, host string, o *submission.Options) error {
			_, err := submission.NewSession(context.Background(), nc, host, o)
			return err
		},
		"Dialer": func(t *testing.T, nc net.Conn, host string, o *submission.Options) error {
			return pingOver(t, dialFunc(func(context.Context, string, string) (net.Conn, error) { return nc, nil }), host, o)
		},
		"Fallback": func(t *testing.T, nc net.Conn, host string, o *submission.Options) error {
			return pingOver(t, submission.Fallback(dialFunc(func(context.Context, string, string) (net.Conn, error) { return nc, nil })), host, o)
		},
	}
	for way, open := range ways {
		for _, far := range farEnds {
			for _, host := range hosts {
				for _, wrapped := range []bool{false, true} {
					t.Run(fmt.Sprint(way, ", ", far.addr, ", ", host.name, ", wrapped ", wrapped), func(t *testing.T) {
						var nc net.Conn = addrConn{play(t, "whole", offersPlain), nil, far.addr}
						if wrapped { // by a layer that knows no addresses of its own
							nc = layered{nc}
						}
						var may bool
						if err := open(t, nc, host.name, plainText(withAuth(mayShow(&may)))); !errors.Is(err, errAsked) {
							t.Fatal(err)
						}
						if want := far.near && host.local; may != want {
							t.Errorf("may show %v, want %v", may, want)
						}
					})
				}
			}
		}
	}
}

// layered is a layer over a connection, as a metrics wrapper is.
type layered struct{ net.Conn }

func (l layered) NetConn() net.Conn { return l.Conn }

// pingOver opens and closes a session over a connection of d.
func pingOver(t *testing.T, d submission.Dialer, host string, o *submission.Options) error {
	t.Helper()
	o.Dialer = d
	c, err := submission.New(host, o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.Ping(context.Background())
}

// TestLayersOfLocal has a connection that shows another far end than the one
// below it: the farther one counts.
func TestLayersOfLocal(t *testing.T) {
	near, far := tcpAddr("127.0.0.1:587"), tcpAddr("192.0.2.25:587")
	for _, tt := range []struct {
		above, below net.Addr
		want         bool
	}{{near, near, true}, {near, far, false}, {far, near, false}} {
		var may bool
		nc := relayered{addrConn{play(t, "whole", offersPlain), nil, tt.below}, tt.above}
		_, err := submission.NewSession(context.Background(), nc, "localhost", plainText(withAuth(mayShow(&may))))
		if !errors.Is(err, errAsked) || may != tt.want {
			t.Errorf("%v over %v: may show %v, want %v; %v", tt.above, tt.below, may, tt.want, err)
		}
	}
}

// relayered is a layer with an address of its own.
type relayered struct {
	net.Conn
	remote net.Addr
}

func (l relayered) NetConn() net.Conn    { return l.Conn }
func (l relayered) RemoteAddr() net.Addr { return l.remote }

// TestLocalIsWhatWeDialed has the default dialer: where it arrives at loopback
// the server is on this machine, whatever it is called.
func TestLocalIsWhatWeDialed(t *testing.T) {
	addr := listen(t, func(nc net.Conn) { talk(nc, true) })
	_, port, _ := net.SplitHostPort(addr)
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]"} {
		var may bool
		c, err := submission.New(host+":"+port, plainText(withAuth(mayShow(&may))))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Ping(context.Background()); !errors.Is(err, errAsked) || !may {
			t.Errorf("%s: may show %v; %v", host, may, err)
		}
		c.Close()
	}
}

// TestLocalIsNeverBehindAProxy has a proxy on this machine, reached in every
// way, and servers that are called by names of this machine: that is the
// proxy's machine then.
func TestLocalIsNeverBehindAProxy(t *testing.T) {
	viaPipe := func(serve func(net.Conn), remote net.Addr) submission.Dialer {
		return dialFunc(func(context.Context, string, string) (net.Conn, error) {
			client, server := net.Pipe()
			go func() {
				defer server.Close()
				serve(server)
			}()
			return addrConn{client, nil, remote}, nil
		})
	}
	socks := func(forward submission.Dialer) submission.Dialer {
		d, err := submission.SOCKS5("proxy.test.example:1080", nil, forward)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	connect := func(forward submission.Dialer) submission.Dialer {
		d, err := submission.HTTPConnect(&url.URL{Scheme: "http", Host: "proxy.test.example:8080"}, forward)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	serveSOCKS := (&socksProxy{server: func(nc net.Conn, ok []byte) { nc.Write(ok); talk(nc, true) }}).serve
	proxies := map[string]func(remote net.Addr) submission.Dialer{
		"SOCKS5":                        func(remote net.Addr) submission.Dialer { return socks(viaPipe(serveSOCKS, remote)) },
		"HTTPConnect":                   func(remote net.Addr) submission.Dialer { return connect(viaPipe(serveConnect(""), remote)) },
		"HTTPConnect, greeting at once": func(remote net.Addr) submission.Dialer { return connect(viaPipe(serveConnect("220 hi\r\n"), remote)) },
	}
	around := map[string]func(submission.Dialer) submission.Dialer{
		"alone":       func(d submission.Dialer) submission.Dialer { return d },
		"in Fallback": func(d submission.Dialer) submission.Dialer { return submission.Fallback(d) },
		"in a Dialer of the caller's": func(d submission.Dialer) submission.Dialer {
			return dialFunc(func(ctx context.Context, network, addr string) (net.Conn, error) {
				nc, err := d.DialContext(ctx, network, addr)
				return struct{ net.Conn }{nc}, err
			})
		},
	}
	for proxy, dial := range proxies {
		for name, wrap := range around {
			for _, far := range farEnds {
				for _, host := range []string{"localhost", "127.0.0.1", "[::1]", testHost} {
					t.Run(fmt.Sprint(proxy, " ", name, ", ", far.addr, ", ", host), func(t *testing.T) {
						may := true
						if err := pingOver(t, wrap(dial(far.addr)), host+":587", plainText(withAuth(mayShow(&may)))); !errors.Is(err, errAsked) {
							t.Fatal(err)
						}
						if may {
							t.Error("may show")
						}
					})
				}
			}
		}
	}
	t.Run("handed to NewSession", func(t *testing.T) {
		for proxy, dial := range proxies {
			nc, err := dial(tcpAddr("127.0.0.1:1080")).DialContext(context.Background(), "tcp", "localhost:587")
			if err != nil {
				t.Fatal(err)
			}
			may := true
			_, err = submission.NewSession(context.Background(), nc, "localhost", plainText(withAuth(mayShow(&may))))
			if !errors.Is(err, errAsked) || may {
				t.Errorf("%s: may show %v; %v", proxy, may, err)
			}
		}
	})
}

// serveConnect is an HTTP proxy with an SMTP server after it. What is in early
// comes in one segment with the proxy's own answer.
func serveConnect(early string) func(net.Conn) {
	return func(nc net.Conn) {
		if !readHeader(nc) {
			return
		}
		io.WriteString(nc, "HTTP/1.1 200 OK\r\n\r\n"+early)
		talk(nc, early == "")
	}
}

// readHeader reads up to an empty line, octet by octet.
func readHeader(nc net.Conn) bool {
	var header strings.Builder
	octet := make([]byte, 1)
	for !strings.HasSuffix(header.String(), "\r\n\r\n") {
		if _, err := nc.Read(octet); err != nil {
			return false
		}
		header.Write(octet)
	}
	return true
}

// TestTLSClientThatDoesNothing has a TLS stack that hands back the connection that
// it was given, which is an error whether keys are pinned or not: everything
// would go out in clear text.
func TestTLSClientThatDoesNothing(t *testing.T) {
	for name, given := range map[string]func(net.Conn) net.Conn{
		"a connection":          func(nc net.Conn) net.Conn { return nc },
		"a layer over one":      func(nc net.Conn) net.Conn { return layered{nc} },
		"one that is no key":    func(nc net.Conn) net.Conn { return uncomparable{nc, nil} },
		"one without deadlines": func(nc net.Conn) net.Conn { return noDeadlines{nc} },
	} {
		for how, hand := range map[string]func(net.Conn) net.Conn{
			"the same":         func(nc net.Conn) net.Conn { return nc },
			"what is below it": lowest,
		} {
			for _, pins := range [][][32]byte{nil, {{1}}} {
				t.Run(fmt.Sprint(name, ", ", how, ", pins ", len(pins)), func(t *testing.T) {
					bothWays(t, func(t *testing.T, mode submission.TLSMode) {
						want, config := []string{ehlo, "STARTTLS"}, &smtptest.Config{}
						if mode == submission.TLSImplicit {
							want, config.TLS = nil, smtptest.ImplicitTLS
						}
						srv := serve(t, config)
						o := plainText(withTLS(mode), withAuth(testPassword), func(o *submission.Options) {
							o.PinnedKeys = pins
							o.TLSClient = func(_ context.Context, nc net.Conn, _ *tls.Config) (net.Conn, error) { return hand(nc), nil }
						})
						_, err := submission.NewSession(context.Background(), given(srv.Pipe()), testHost, o)
						if e := wantError[*submission.TLSError](t, err); e.Temporary() {
							t.Errorf("temporary: %v", err)
						}
						if len(pins) == 0 && !strings.Contains(err.Error(), "TLSClient") {
							t.Errorf("TLSClient is not named: %v", err)
						}
						srv.Close()
						wantSaid(t, srv, want...)
					})
				})
			}
		}
	}
}

// uncomparable is a connection whose values cannot be compared.
type uncomparable struct {
	net.Conn
	_ []byte
}

// noDeadlines is a connection without deadlines, as a channel of SSH is.
type noDeadlines struct{ net.Conn }

func (noDeadlines) SetDeadline(time.Time) error      { return os.ErrNoDeadline }
func (noDeadlines) SetReadDeadline(time.Time) error  { return os.ErrNoDeadline }
func (noDeadlines) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }

// lowest is the connection below all layers.
func lowest(nc net.Conn) net.Conn {
	for {
		layer, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			return nc
		}
		nc = layer.NetConn()
	}
}

// TestPinsFailClosed has TLS stacks that do not show whom they speak to, where
// keys are pinned.
func TestPinsFailClosed(t *testing.T) {
	srv := serve(t, &smtptest.Config{TLS: smtptest.ImplicitTLS, Accounts: map[string]string{"username": "password"}, Mechanisms: []string{"PLAIN"}})
	right := serverPin(t, srv)
	type state = tls.ConnectionState
	for _, tt := range []struct {
		name string
		wrap func(*tls.Conn) net.Conn
		pin  [32]byte
		ok   bool
	}{
		{"its state", func(c *tls.Conn) net.Conn { return c }, right, true},
		{"its state, wrong pin", func(c *tls.Conn) net.Conn { return c }, [32]byte{1}, false},
		{"no state", func(c *tls.Conn) net.Conn { return otherStack{c} }, right, false},
		{"no state, with what is below", func(c *tls.Conn) net.Conn { return layered{otherStack{c}} }, right, false},
		{"an empty state", func(c *tls.Conn) net.Conn { return shown{c, state{}} }, right, false},
		{"no certificates", func(c *tls.Conn) net.Conn { return shown{c, state{HandshakeComplete: true}} }, right, false},
		{"a certificate of another", func(c *tls.Conn) net.Conn {
			return shown{c, state{HandshakeComplete: true, PeerCertificates: []*x509.Certificate{newAuthority(t, "x").cert}}}
		}, right, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := plainText(withTLS(submission.TLSImplicit), withAuth(testPassword), func(o *submission.Options) {
				o.PinnedKeys = [][32]byte{tt.pin}
				o.TLSClient = func(ctx context.Context, nc net.Conn, _ *tls.Config) (net.Conn, error) {
					secured := tls.Client(nc, &tls.Config{InsecureSkipVerify: true})
					return tt.wrap(secured), secured.HandshakeContext(ctx)
				}
			})
			s, err := submission.NewSession(context.Background(), away(srv.Pipe()), testHost, o)
			if tt.ok {
				if err != nil {
					t.Fatal(err)
				}
				s.Close()
				return
			}
			if e := wantError[*submission.TLSError](t, err); e.Temporary() {
				t.Errorf("temporary: %v", err)
			}
		})
	}
}

// shown is a connection of a TLS stack that shows a state of its own making.
type shown struct {
	net.Conn
	state tls.ConnectionState
}

func (s shown) ConnectionState() tls.ConnectionState { return s.state }
