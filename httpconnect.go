package submission

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/fe022423/submission/internal/address"
)

// maxProxyHeader bounds what a proxy may say in answer to CONNECT, in octets,
// the status line included.
const maxProxyHeader = 64 << 10

// HTTPConnect returns a Dialer that connects through an HTTP proxy with CONNECT
// (RFC 9110, 9.3.6). proxyURL is "http://host:port", or "https://host:port" for
// TLS to the proxy, whose certificate is checked by the system's roots. User and
// password in it are sent as Basic credentials (RFC 7617), with "http" readable
// on the way to the proxy. Without a port it is 80 or 443. The proxy resolves
// the names. forward reaches the proxy; nil uses net.Dialer. An error is an
// *OptionError.
func HTTPConnect(proxyURL *url.URL, forward Dialer) (Dialer, error) {
	if proxyURL == nil {
		return nil, &OptionError{"proxyURL", errors.New("nil")}
	}
	d := &connectDialer{secure: proxyURL.Scheme == "https", user: proxyURL.User, forward: forward}
	port := "80"
	if d.secure {
		port = "443"
	} else if proxyURL.Scheme != "http" {
		return nil, &OptionError{"proxyURL", fmt.Errorf("scheme %q is neither http nor https", proxyURL.Scheme)}
	}
	if p := proxyURL.Port(); p != "" {
		port = p
	}
	var err error
	if d.host, err = address.Host(proxyURL.Hostname()); err != nil {
		return nil, &OptionError{"proxyURL", err}
	}
	d.addr = net.JoinHostPort(d.host, port)
	if d.user != nil {
		// RFC 7617, 2: a colon ends the name.
		password, _ := d.user.Password()
		if strings.Contains(d.user.Username(), ":") || address.CheckText(d.user.Username()) != nil || address.CheckText(password) != nil {
			return nil, &OptionError{"proxyURL", errors.New("a colon in the user name, or a control character in the credentials")}
		}
	}
	if forward == nil {
		d.forward = new(net.Dialer)
	}
	return d, nil
}

// connectDialer keeps the credentials behind a pointer, which prints as an address.
type connectDialer struct {
	addr, host string
	secure     bool
	user       *url.Userinfo
	forward    Dialer
}

// DialContext has the proxy make a tunnel to addr.
func (d *connectDialer) DialContext(ctx context.Context, _, addr string) (net.Conn, error) {
	if err := address.CheckText(addr); err != nil {
		return nil, err
	}
	raw, err := d.forward.DialContext(ctx, "tcp", d.addr)
	if err != nil {
		return nil, err
	}
	release := closeOnDone(ctx, raw)
	defer release()
	nc, err := d.tunnel(ctx, raw, addr)
	if err != nil {
		raw.Close()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, &proxyError{d.addr, err}
	}
	return nc, nil
}

func (d *connectDialer) tunnel(ctx context.Context, raw net.Conn, addr string) (net.Conn, error) {
	nc := raw
	if d.secure {
		t := tls.Client(raw, &tls.Config{ServerName: d.host, MinVersion: tls.VersionTLS12})
		if err := t.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		nc = t
	}
	if _, err := nc.Write(d.request(addr)); err != nil {
		return nil, err
	}
	limited := &io.LimitedReader{R: nc, N: maxProxyHeader}
	r := bufio.NewReader(limited)
	resp, err := http.ReadResponse(r, &http.Request{Method: http.MethodConnect})
	if err != nil {
		if limited.N <= 0 {
			err = fmt.Errorf("its answer exceeds %d octets", maxProxyHeader)
		}
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		return nil, &statusError{resp.StatusCode, resp.Status}
	}
	early, _ := r.Peek(r.Buffered())
	if len(early) == 0 && nc == raw {
		return raw, nil
	}
	return &tunnelConn{Conn: nc, raw: raw, early: bytes.Clone(early)}, nil
}

func (d *connectDialer) request(addr string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n", addr, addr)
	if d.user != nil {
		password, _ := d.user.Password()
		fmt.Fprintf(&b, "Proxy-Authorization: Basic %s\r\n",
			base64.StdEncoding.EncodeToString([]byte(d.user.Username()+":"+password)))
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

// statusError is the refusal of an HTTP proxy.
type statusError struct {
	code   int
	status string
}

func (e *statusError) Error() string {
	s := "it refuses: " + e.status
	if e.code == http.StatusProxyAuthRequired {
		s += " (it wants other credentials)"
	}
	return s
}

// permanent reports whether asking again is vain: a 4xy is about the request,
// a 5xy about what is behind the proxy (RFC 9110, 15).
func (e *statusError) permanent() bool { return e.code/100 != 5 }

// tunnelConn is the connection through a proxy: perhaps over TLS of the proxy's
// own, perhaps with octets that came along with the proxy's answer and belong
// to the server.
type tunnelConn struct {
	net.Conn
	raw   net.Conn
	early []byte
}

// NetConn returns the connection below, to be closed and looked at.
func (c *tunnelConn) NetConn() net.Conn { return c.raw }

func (c *tunnelConn) Read(p []byte) (int, error) {
	if len(c.early) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.early)
	c.early = c.early[n:]
	return n, nil
}
