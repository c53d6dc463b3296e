package submission_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// through returns a Client that goes through the proxy at rawURL.
func through(t *testing.T, rawURL string, forward submission.Dialer) *submission.Client {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	d, err := submission.HTTPConnect(u, forward)
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprintf("%v %+v %#v", d, d, submission.Options{Dialer: d}); strings.Contains(text, "s3cret") {
		t.Errorf("the dialer prints its password: %s", text)
	}
	o := plainText()
	o.Dialer = d
	c, err := submission.New("mail.hidden.example:25", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// A message through an HTTP proxy, with and without credentials.
func TestHTTPConnect(t *testing.T) {
	for user, want := range map[string]string{"": "", "me:s3cret@": "Basic bWU6czNjcmV0"} {
		t.Run(user, func(t *testing.T) {
			srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.NoTLS})
			defer srv.Close()
			p := &connectProxy{srv: srv}
			c := through(t, "http://"+user+listen(t, p.serve), nil)
			if err := poolSend(c); err != nil {
				t.Fatal(err)
			}
			if n := len(srv.Messages()); n != 1 {
				t.Errorf("%d messages", n)
			}
			// The proxy gets the name, which this side does not look up.
			if p.request.Method != "CONNECT" || p.request.Host != "mail.hidden.example:25" {
				t.Errorf("%s %s", p.request.Method, p.request.Host)
			}
			if got := p.request.Header.Get("Proxy-Authorization"); got != want {
				t.Errorf("credentials %q, want %q", got, want)
			}
		})
	}
}

// Answers of a proxy other than 200.
func TestHTTPConnectRefused(t *testing.T) {
	for _, tc := range []struct {
		answer, want string
		temporary    bool
	}{
		{"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "407 Proxy Authentication Required", false},
		{"HTTP/1.1 403 Forbidden\x1b[31m\r\n\r\n", `Forbidden\x1b[31m`, false},
		{"HTTP/1.1 502 Bad Gateway\r\n\r\n", "502 Bad Gateway", true},
		{"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 70<<10), "exceeds 65536 octets", true},
		{"220 mail.test.example\r\n\r\n", "not an HTTP proxy", false},
	} {
		t.Run(tc.want, func(t *testing.T) {
			p := &connectProxy{answer: tc.answer}
			c := through(t, "http://me:s3cret@"+listen(t, p.serve), nil)
			err := poolSend(c)
			wantError[*submission.ConnectError](t, err)
			e := wantError[*submission.SendError](t, err)
			if e.Stage != submission.StageProxy || e.Outcome != submission.NotSent || e.Temporary() != tc.temporary {
				t.Errorf("stage %v, outcome %v, temporary %v: %v", e.Stage, e.Outcome, e.Temporary(), err)
			}
			if !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("error %q, want %q in it", err, tc.want)
			}
			for cause := err; cause != nil; cause = errors.Unwrap(cause) {
				checkPrintable(t, cause.Error())
			}
		})
	}
}

// The context ends the wait for the answer of a proxy.
func TestHTTPConnectCancelled(t *testing.T) {
	asked := make(chan struct{})
	addr := listen(t, func(nc net.Conn) {
		http.ReadRequest(bufio.NewReader(nc))
		close(asked)
		io.Copy(io.Discard, nc)
	})
	c := through(t, "http://"+addr, nil)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-asked
		cancel()
	}()
	_, err := c.Send(ctx, poolEnvelope, strings.NewReader("x"))
	if e := wantError[*submission.SendError](t, err); e.Stage != submission.StageProxy || !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// With an https URL the certificate of the proxy is checked.
func TestHTTPConnectOverTLS(t *testing.T) {
	proxy := httptest.NewTLSServer(nil)
	defer proxy.Close()
	c := through(t, proxy.URL, nil)
	err := poolSend(c)
	if e := wantError[*submission.SendError](t, err); e.Stage != submission.StageProxy || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("%v", err)
	}
}

// URLs that HTTPConnect refuses.
func TestHTTPConnectOptions(t *testing.T) {
	for _, raw := range []string{"socks5://p:1", "p:1", "http://", "http://a%0d%0ab/", "http://a%3ab:c@p/", "http://a:b%0d%0aX@p/"} {
		u, err := url.Parse(raw)
		if err != nil {
			continue // not even a URL
		}
		d, err := submission.HTTPConnect(u, nil)
		if d != nil {
			t.Errorf("HTTPConnect accepts %q", raw)
		}
		wantError[*submission.OptionError](t, err)
	}
	_, err := submission.HTTPConnect(nil, nil)
	wantError[*submission.OptionError](t, err)
}

// A proxy that is not there is named as what it is.
func TestHTTPProxyIsNotThere(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := ln.Addr().String()
	ln.Close()
	d, err := submission.HTTPConnect(&url.URL{Scheme: "http", Host: dead}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := submission.New("mail.test.example", &submission.Options{Dialer: d})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = c.Dial(t.Context())
	var failed *submission.ConnectError
	if !errors.As(err, &failed) || !failed.Temporary() || !strings.Contains(err.Error(), "HTTP proxy "+dead+": ") {
		t.Errorf("got %v", err)
	}
}
