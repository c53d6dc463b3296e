// Package proxy makes connections through SOCKS5 and HTTP proxies. The proxy
// resolves the names. What a Dialer here returns carries the octets of the
// server; TLS with the server is not its concern.
package proxy

import (
	"context"
	"net"
	"net/url"

	"github.com/fe022423/submission/internal/redact"
)

// Dialer makes raw connections, as *net.Dialer does.
type Dialer interface {
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
}

// Error says that the proxy was reached and that what followed failed: its
// refusal, its credentials, the connection to it.
type Error struct {
	Proxy string // "host:port"
	Err   error
}

// Error names the proxy.
func (e *Error) Error() string { return "proxy " + e.Proxy + ": " + e.Err.Error() }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// minUser is the shortest user name that is taken out of what a proxy says, in
// octets: a shorter one would be found in any text by chance.
const minUser = 4

// SecretsOf returns what nobody may see of the credentials for a proxy. A user
// name without a password is a token that stands in its place.
func SecretsOf(user *url.Userinfo) (s redact.Set) {
	if user == nil {
		return s
	}
	password, _ := user.Password()
	if password == "" {
		s.Add(user.Username())
		return s
	}
	s.Add(password)
	s.Add(user.Username() + ":" + password)
	return s
}

// redactorOf returns what takes credentials out of the answer of a proxy to them.
func redactorOf(user *url.Userinfo) redact.Set {
	s := SecretsOf(user)
	s.InAuth = true
	if user != nil && len(user.Username()) >= minUser {
		s.Add(user.Username())
	}
	return s
}

// orDirect is forward, or net.Dialer when there is none.
func orDirect(forward Dialer) Dialer {
	if forward == nil {
		return new(net.Dialer)
	}
	return forward
}
