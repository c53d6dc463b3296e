package submission_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fe022423/submission"
)

// waitsInVain is a Dialer whose server does not answer.
func waitsInVain(ctx context.Context, _, _ string) (net.Conn, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// Dialing: a name that does not exist stays so; no answer on a port of mail may be
// the hoster's doing.
func TestHintDial(t *testing.T) {
	const blocked = "many hosters block this port"
	noHost := &net.DNSError{Err: "no such host", Name: testHost, IsNotFound: true}
	fails := func(err error) dialFunc {
		return func(context.Context, string, string) (net.Conn, error) { return nil, err }
	}
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	for _, tt := range []struct {
		name        string
		port        int
		dial        submission.Dialer
		has, hasNot string
		lasting     bool
	}{
		{name: "no such host", port: 587, dial: fails(dial(noHost)), has: "no such host|does not exist|" + testHost, hasNot: blocked, lasting: true},
		{name: "no such host of a proxy", port: 587, dial: fails(dial(&net.DNSError{Err: "no such host", Name: "proxy.example", IsNotFound: true})),
			has: "proxy.example does not exist", hasNot: testHost + " does not exist", lasting: true},
		{name: "no such host, twice", port: 587, dial: submission.Fallback(fails(noHost), fails(noHost)), has: "does not exist", lasting: true},
		{name: "no such host, and refused", port: 587, dial: submission.Fallback(fails(noHost), fails(dial(errnoRefused))), hasNot: blocked},
		{name: "the resolver fails", port: 587, dial: fails(&net.DNSError{Err: "server misbehaving", Name: testHost, IsTemporary: true}), hasNot: "does not exist|" + blocked},
		{name: "the resolver does not answer", port: 587, dial: fails(&net.DNSError{Err: "i/o timeout", Name: testHost, IsTimeout: true}), hasNot: "does not exist|" + blocked},
		{name: "25", port: 25, dial: dialFunc(waitsInVain), has: "no answer within 30s|" + blocked + "|587"},
		{name: "465", port: 465, dial: dialFunc(waitsInVain), has: blocked},
		{name: "587", port: 587, dial: dialFunc(waitsInVain), has: blocked},
		{name: "2525", port: 2525, dial: dialFunc(waitsInVain), has: "no answer within 30s", hasNot: blocked},
		{name: "587, the kernel's time-out", port: 587, dial: fails(dial(os.NewSyscallError("connect", syscall.ETIMEDOUT))), has: blocked},
		{name: "587, refused", port: 587, dial: fails(dial(os.NewSyscallError("connect", errnoRefused))), has: "refused", hasNot: blocked},
		{name: "587, unreachable", port: 587, dial: fails(dial(errnoUnreachable)), hasNot: blocked},
		{name: "587, a proxy does not answer", port: 587, dial: mustSOCKS5(t, dialFunc(waitsInVain)), has: "no answer within 30s", hasNot: blocked},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := plainText()
				o.Dialer = tt.dial
				c, err := submission.New(fmt.Sprintf("%s:%d", testHost, tt.port), o)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				err = c.Ping(t.Context())
				wantSays(t, err, words(tt.has), words(tt.hasNot))
				if isTemporary(err) == tt.lasting {
					t.Errorf("temporary %v: %v", isTemporary(err), err)
				}
				if err := poolSend(c); isTemporary(err) == tt.lasting {
					t.Errorf("Send: temporary %v: %v", isTemporary(err), err)
				}
			})
		})
	}
}

func mustSOCKS5(t *testing.T, forward submission.Dialer) submission.Dialer {
	t.Helper()
	d, err := submission.SOCKS5("proxy.example:1080", nil, forward)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Who gives up a dial that takes too long is told the same.
func TestHintDialGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := plainText()
		o.Dialer = dialFunc(waitsInVain)
		c, err := submission.New(testHost+":587", o)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		wantSays(t, c.Ping(ctx), []string{"many hosters block this port"}, nil)
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		err = c.Ping(ctx)
		wantSays(t, err, nil, []string{"many hosters block this port"})
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// What an HTTP proxy refuses, and what is no HTTP proxy.
func TestHintHTTPConnect(t *testing.T) {
	const only443, notProxy = "many proxies let CONNECT go to port 443 alone", "not an HTTP proxy"
	for _, tt := range []struct {
		name, answer, user string
		port               int
		has, hasNot        string
		temporary          bool
	}{
		{name: "403", answer: "HTTP/1.1 403 Forbidden\r\n\r\n", has: "403 Forbidden|" + only443, hasNot: "credentials|" + notProxy},
		{name: "403 to 443", port: 443, answer: "HTTP/1.1 403 Forbidden\r\n\r\n", has: "403 Forbidden", hasNot: only443},
		{name: "404", answer: "HTTP/1.1 404 Not Found\r\n\r\n", has: "404 Not Found", hasNot: only443 + "|credentials|web server"},
		{name: "405", answer: "HTTP/1.1 405 Method Not Allowed\r\nServer: nginx\r\n\r\n", has: "405 Method Not Allowed|web server", hasNot: only443 + "|credentials"},
		{name: "501", answer: "HTTP/1.1 501 Not Implemented\r\n\r\n", has: "501 Not Implemented|web server", hasNot: only443},
		{name: "502", answer: "HTTP/1.1 502 Bad Gateway\r\n\r\n", has: "502 Bad Gateway", hasNot: only443 + "|credentials", temporary: true},
		{name: "408", answer: "HTTP/1.1 408 Request Timeout\r\n\r\n", has: "408 Request Timeout", hasNot: only443 + "|credentials", temporary: true},
		{name: "429", answer: "HTTP/1.1 429 Too Many Requests\r\n\r\n", has: "429 Too Many Requests", hasNot: only443 + "|credentials", temporary: true},
		{name: "an interim answer first", answer: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 403 Forbidden\r\n\r\n", has: "403 Forbidden|" + only443, hasNot: "Continue|Processing"},
		{name: "interim answers alone", answer: strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 4000), has: "exceeds 65536 octets", temporary: true},
		{name: "407", answer: "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Negotiate\r\nProxy-Authenticate: Basic realm=\"x\", NTLM\r\n\r\n",
			has: "407 Proxy Authentication Required|wants credentials|asks for Negotiate Basic NTLM|proxyURL", hasNot: only443 + "|realm"},
		{name: "407, refused", user: "me:s3cret@", answer: "HTTP/1.1 407 No\r\nProxy-Authenticate: basic realm=\"x\"\r\n\r\n",
			has: "does not accept the user or the password in proxyURL|asks for Basic", hasNot: "s3cret|wants credentials"},
		{name: "407, not Basic", answer: "HTTP/1.1 407 No\r\nProxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\n\r\n", has: "Negotiate NTLM|only Basic", hasNot: only443},
		{name: "407, it repeats what it was told", user: "me:s3cret@", answer: "HTTP/1.1 407 No\r\nProxy-Authenticate: s3cret x=s3cret, bWU6czNjcmV0\r\n\r\n", has: "407 No", hasNot: "s3cret|bWU6czNjcmV0"},
		{name: "a mail server", answer: "220 mail.test.example ESMTP\r\n", has: notProxy + "|220 mail.test.example ESMTP", hasNot: only443 + "|https"},
		{name: "a mail server, no end of line", answer: "220 mail.test.example ESMTP", has: notProxy + "|220 mail.test.example ESMTP"},
		{name: "TLS", answer: "\x15\x03\x01\x00\x02\x02\x46", has: notProxy + "|https"},
		{name: "SOCKS5", answer: "\x05\xff", has: notProxy + "|SOCKS5"},
		{name: "one octet", answer: "x", has: notProxy + `|"x"`},
		{name: "an answer cut off", answer: "HTT", hasNot: notProxy, temporary: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			addr := listen(t, func(nc net.Conn) {
				io.ReadFull(nc, make([]byte, 10))
				io.WriteString(nc, tt.answer)
				nc.(*net.TCPConn).CloseWrite()
				io.Copy(io.Discard, nc)
			})
			c := through(t, "http://"+tt.user+addr, nil)
			if tt.port != 0 {
				o := plainText()
				o.Dialer = mustConnect(t, "http://"+addr)
				var err error
				if c, err = submission.New(fmt.Sprintf("mail.test.example:%d", tt.port), o); err != nil {
					t.Fatal(err)
				}
				defer c.Close()
			}
			err := poolSend(c)
			if e := wantError[*submission.ConnectError](t, err); e.Stage != submission.StageProxy {
				t.Errorf("stage %v", e.Stage)
			}
			wantSays(t, err, words(tt.has), words(tt.hasNot))
			if isTemporary(err) != tt.temporary {
				t.Errorf("temporary %v: %v", isTemporary(err), err)
			}
		})
	}
	t.Run("it hangs up", func(t *testing.T) {
		addr := listen(t, func(nc net.Conn) { io.ReadFull(nc, make([]byte, 10)) })
		err := poolSend(through(t, "http://"+addr, nil))
		wantSays(t, err, nil, []string{notProxy})
		if !isTemporary(err) {
			t.Errorf("not temporary: %v", err)
		}
	})
	t.Run("clear text where https was wanted", func(t *testing.T) {
		addr := listen(t, func(nc net.Conn) {
			io.ReadFull(nc, make([]byte, 10))
			io.WriteString(nc, "HTTP/1.1 400 Bad Request\r\n\r\n")
			io.Copy(io.Discard, nc)
		})
		err := poolSend(through(t, "https://"+addr, nil))
		wantSays(t, err, []string{"HTTP/", "http://"}, []string{only443})
		if isTemporary(err) {
			t.Errorf("temporary: %v", err)
		}
	})
}

func mustConnect(t *testing.T, rawURL string) submission.Dialer {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	d, err := submission.HTTPConnect(u, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// What is no SOCKS5 proxy.
func TestHintSOCKS5(t *testing.T) {
	for _, tt := range []struct {
		name        string
		proxy       *socksProxy
		has, hasNot string
		temporary   bool
	}{
		{name: "HTTP", proxy: &socksProxy{raw: []byte("HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n")}, has: "not a SOCKS5 proxy|HTTP/1.1 400 Bad Request|HTTPConnect", hasNot: "Server: x"},
		{name: "a mail server", proxy: &socksProxy{raw: []byte("220 mail.test.example ESMTP\r\n")}, has: "not a SOCKS5 proxy|220 mail.test.example ESMTP", hasNot: "HTTPConnect"},
		{name: "SOCKS4", proxy: &socksProxy{raw: []byte{0, 0x5b}}, has: `not a SOCKS5 proxy|\x00[`, hasNot: "HTTPConnect"},
		{name: "it hangs up", proxy: &socksProxy{cut: "methods"}, hasNot: "not a SOCKS5 proxy", temporary: true},
		{name: "it refuses", proxy: &socksProxy{reply: 5}, has: "connection refused", hasNot: "not a SOCKS5 proxy", temporary: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, addr := tt.proxy.start(t, nil)
			err := viaProxy(t, d, testHost)
			wantProxyError(t, err, addr, "")
			wantSays(t, err, words(tt.has), words(tt.hasNot))
			if isTemporary(err) != tt.temporary {
				t.Errorf("temporary %v: %v", isTemporary(err), err)
			}
		})
	}
}

// A proxy that does not wait for what it answers is one all the same, and what
// follows its answers is the server's.
func TestSOCKS5InOneSegment(t *testing.T) {
	addr := listen(t, func(nc net.Conn) {
		io.ReadFull(nc, make([]byte, 3))
		io.WriteString(nc, "\x05\x00"+"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x19"+"220 mail.test.example\r\n")
		io.ReadFull(nc, make([]byte, 4+1+len(testHost)+2))
		talk(nc, false)
	})
	d, err := submission.SOCKS5(addr, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := viaProxy(t, d, testHost); err != nil {
		t.Error(err)
	}
}

// What is no proxy may repeat what it was told.
func TestHintForeignProxyHidesSecrets(t *testing.T) {
	echo := func(nc net.Conn) {
		nc.Read(make([]byte, 512))
		io.WriteString(nc, "you said bWU6czNjcmV0 and s3cret\r\n")
		io.Copy(io.Discard, nc)
	}
	err := poolSend(through(t, "http://me:s3cret@"+listen(t, echo), nil))
	wantSays(t, err, []string{"not an HTTP proxy", "you said"}, []string{"s3cret", "bWU6czNjcmV0"})
	d, err := submission.SOCKS5(listen(t, echo), url.UserPassword("me", "s3cret"), nil)
	if err != nil {
		t.Fatal(err)
	}
	err = viaProxy(t, d, testHost)
	wantSays(t, err, []string{"not a SOCKS5 proxy", "you said"}, []string{"s3cret"})
}
