package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/fe022423/submission/internal/address"
	"github.com/fe022423/submission/internal/redact"
	"golang.org/x/net/proxy"
)

// maxSOCKSField is the longest user name or password that the protocol can
// carry, in octets (RFC 1929, 2).
const maxSOCKSField = 255

// SOCKS5 connects through a SOCKS5 proxy (RFC 1928).
type SOCKS5 struct {
	addr    string
	client  socksClient // has the credentials, in a closure, which does not print
	secrets redact.Set
	forward Dialer
}

// socksClient asks a proxy for a connection on one that was made to it. The
// dialer of golang.org/x/net/proxy does.
type socksClient interface {
	DialWithConn(ctx context.Context, nc net.Conn, network, addr string) (net.Addr, error)
}

// NewSOCKS5 returns a dialer through the proxy at addr, "host:port". user, when
// not nil, was checked by CheckSOCKSUser. forward reaches the proxy; nil uses
// net.Dialer.
func NewSOCKS5(addr string, user *url.Userinfo, forward Dialer) (*SOCKS5, error) {
	var auth *proxy.Auth
	if user != nil {
		password, _ := user.Password()
		auth = &proxy.Auth{User: user.Username(), Password: password}
	}
	d, err := proxy.SOCKS5("tcp", addr, auth, nil)
	if err != nil {
		return nil, err
	}
	client, ok := d.(socksClient)
	if !ok {
		return nil, fmt.Errorf("%T of golang.org/x/net has no DialWithConn", d)
	}
	return &SOCKS5{addr, client, SecretsOf(user), orDirect(forward)}, nil
}

// CheckSOCKSUser checks that the protocol can carry the credentials. Nil, for
// none, is right.
func CheckSOCKSUser(user *url.Userinfo) error {
	if user == nil {
		return nil
	}
	password, _ := user.Password()
	for _, field := range []string{user.Username(), password} {
		if field == "" || len(field) > maxSOCKSField || address.CheckText(field) != nil {
			return errors.New("user name and password need 1 to 255 octets each, without control characters")
		}
	}
	return nil
}

// Format writes where the dialer goes, whatever the verb. It hides the credentials,
// also those of the dialer that reaches the proxy.
func (d *SOCKS5) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "SOCKS5{%s}", d.addr) }

// DialContext asks the proxy for a connection to addr.
func (d *SOCKS5) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	nc, err := d.forward.DialContext(ctx, "tcp", d.addr)
	if err != nil {
		return nil, fmt.Errorf("socks connect %s %s->%s: %w", network, d.addr, addr, err)
	}
	open := false
	defer func() {
		if !open { // also when a connection of the caller's panics
			nc.Close()
		}
	}()
	ear := &earConn{Conn: nc}
	if _, err := d.client.DialWithConn(ctx, ear, network, addr); err != nil {
		return nil, &Error{d.addr, ear.foreign(&socksError{err}, d.secrets)}
	}
	open = true
	return &Conn{Conn: nc, raw: nc, server: serverAddr(addr), secrets: d.secrets, buffered: ear.unread}, nil
}

// socksError is what the library says of a refusal. The library puts "unknown
// error" in front of the words that RFC 1928, 6 has for each code.
type socksError struct{ err error }

func (e *socksError) Error() string { return strings.Replace(e.err.Error(), "unknown error ", "", 1) }
func (e *socksError) Unwrap() error { return e.err }
