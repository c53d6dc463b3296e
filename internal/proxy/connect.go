package proxy

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
	"slices"
	"strings"

	"github.com/fe022423/submission/internal/address"
	"github.com/fe022423/submission/internal/redact"
)

// maxHeader bounds what a proxy may say in answer to CONNECT, in octets, the
// status line included.
const maxHeader = 64 << 10

// Connect connects through an HTTP proxy with CONNECT (RFC 9110, 9.3.6).
type Connect struct {
	addr, host string
	secure     bool // TLS to the proxy
	user       redact.Hidden[*url.Userinfo]
	answers    redact.Set // takes the credentials out of what the proxy says
	forward    Dialer
}

// NewConnect returns a dialer through the proxy at proxyURL, "http://host:port"
// or "https://host:port", with user and password when it has them. Without a
// port it is 80 or 443. forward reaches the proxy; nil uses net.Dialer.
func NewConnect(proxyURL *url.URL, forward Dialer) (*Connect, error) {
	if proxyURL == nil {
		return nil, errors.New("nil")
	}
	if err := checkURL(proxyURL); err != nil {
		return nil, err
	}
	d := &Connect{secure: proxyURL.Scheme == "https", user: redact.Hide(proxyURL.User), answers: redactorOf(proxyURL.User), forward: orDirect(forward)}
	port := "80"
	if d.secure {
		port = "443"
	} else if proxyURL.Scheme != "http" {
		return nil, fmt.Errorf("scheme %q is neither http nor https", proxyURL.Scheme)
	}
	if p := proxyURL.Port(); p != "" {
		port = p
	}
	var err error
	if d.host, err = address.Host(proxyURL.Hostname()); err != nil {
		return nil, err
	}
	d.addr = net.JoinHostPort(d.host, port)
	if user := proxyURL.User; user != nil {
		// RFC 7617, 2: a colon ends the name.
		password, _ := user.Password()
		if strings.Contains(user.Username(), ":") || address.CheckText(user.Username()) != nil || address.CheckText(password) != nil {
			return nil, errors.New("a colon in the user name, or a control character in the credentials")
		}
	}
	return d, nil
}

// checkURL refuses a URL that holds what may be credentials where none belong, as
// it comes of a password that is not escaped, or of a URL without a scheme.
func checkURL(u *url.URL) error {
	for _, part := range []string{u.Scheme, u.Opaque, u.Host, u.Path, u.RawQuery, u.Fragment} {
		if err := address.CheckNoCredentials(part); err != nil {
			return fmt.Errorf("%w, with credentials in User alone", err)
		}
	}
	return nil
}

// Format writes where the dialer goes, whatever the verb. It hides the credentials,
// also those of the dialer that reaches the proxy.
func (d *Connect) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "HTTPConnect{%s}", d.addr) }

// DialContext has the proxy make a tunnel to addr. The network is always TCP.
func (d *Connect) DialContext(ctx context.Context, _, addr string) (net.Conn, error) {
	if err := address.CheckText(addr); err != nil {
		return nil, err
	}
	raw, err := d.forward.DialContext(ctx, "tcp", d.addr)
	if err != nil {
		return nil, fmt.Errorf("HTTP proxy %s: %w", d.addr, err)
	}
	release := closeWhenDone(ctx, raw)
	defer release()
	var nc net.Conn
	defer func() {
		if nc == nil { // also when a connection of the caller's panics
			raw.Close()
		}
	}()
	if nc, err = d.openTunnel(ctx, raw, addr); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, &Error{d.addr, err}
	}
	return nc, nil
}

// closeWhenDone closes nc when ctx is done, which ends every read and write on
// it, until release is called. release waits for a close that is under way.
func closeWhenDone(ctx context.Context, nc net.Conn) (release func()) {
	released, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-ctx.Done():
			nc.Close()
		case <-released:
		}
	}()
	return func() {
		close(released)
		<-ended
	}
}

// openTunnel sends CONNECT and reads the proxy's answer.
func (d *Connect) openTunnel(ctx context.Context, raw net.Conn, addr string) (net.Conn, error) {
	nc := raw
	if d.secure {
		t := tls.Client(raw, &tls.Config{ServerName: d.host, MinVersion: tls.VersionTLS12})
		if err := t.HandshakeContext(ctx); err != nil {
			return nil, d.answers.CleanTLSError(foreignTLS(err))
		}
		nc = t
	}
	if _, err := nc.Write(d.request(addr)); err != nil {
		return nil, err
	}
	limited := &io.LimitedReader{R: nc, N: maxHeader}
	r := bufio.NewReader(limited)
	if said := notHTTP(r); said != "" {
		return nil, &ForeignError{Wanted: WantedHTTP, Said: firstLine(d.answers.CleanStart(said))}
	}
	resp, err := readAnswer(r)
	if err != nil {
		if limited.N <= 0 {
			err = fmt.Errorf("its answer exceeds %d octets", maxHeader)
		}
		return nil, d.answers.CleanError(err)
	}
	if resp.StatusCode/100 != 2 {
		return nil, &StatusError{
			Code: resp.StatusCode, Status: printable(d.answers.Clean(resp.Status)),
			Schemes: schemesOf(resp.Header), Authorized: d.user.Reveal() != nil,
		}
	}
	buffered, _ := r.Peek(r.Buffered())
	return &Conn{
		Conn: nc, raw: raw, server: serverAddr(addr), secrets: SecretsOf(d.user.Reveal()), buffered: bytes.Clone(buffered),
	}, nil
}

// readAnswer reads the final answer, after interim ones (RFC 9110, 15.2).
func readAnswer(r *bufio.Reader) (*http.Response, error) {
	for {
		resp, err := http.ReadResponse(r, &http.Request{Method: http.MethodConnect})
		if err != nil || resp.StatusCode/100 != 1 || resp.StatusCode == http.StatusSwitchingProtocols {
			return resp, err
		}
	}
}

func (d *Connect) request(addr string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n", addr, addr)
	if user := d.user.Reveal(); user != nil {
		password, _ := user.Password()
		fmt.Fprintf(&b, "Proxy-Authorization: Basic %s\r\n",
			base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password)))
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

// StatusError is the refusal of an HTTP proxy.
type StatusError struct {
	Code       int
	Status     string   // with the code in front
	Schemes    []string // of authentication that it asks for, as far as they are known
	Authorized bool     // it was given credentials
}

// Error has the status as the proxy sent it, without the credentials.
func (e *StatusError) Error() string { return "it refuses: " + e.Status }

// Permanent reports whether asking again is useless: a 4xx is about the request,
// a 5xx about what the proxy leads to (RFC 9110, 15), except where it says that it
// does not know CONNECT, or that the request came too slowly or too soon.
func (e *StatusError) Permanent() bool {
	switch e.Code {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	}
	return e.Code/100 != 5 || e.Code == http.StatusNotImplemented || e.Code == http.StatusHTTPVersionNotSupported
}

// schemes are the names of authentication schemes that are shown. A proxy may say
// anything in their place, also what it was told.
var schemes = []string{"Basic", "Digest", "NTLM", "Negotiate", "Kerberos", "Bearer"}

// schemesOf returns what a 407 asks for (RFC 9110, 11.7.1).
func schemesOf(h http.Header) []string {
	var asked []string
	for _, value := range h.Values("Proxy-Authenticate") {
		for _, word := range strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' }) {
			for _, s := range schemes {
				if strings.EqualFold(word, s) && !slices.Contains(asked, s) {
					asked = append(asked, s)
				}
			}
		}
	}
	return asked
}
