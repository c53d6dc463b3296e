// Package proxy makes connections through SOCKS5 and HTTP proxies. The proxy
// resolves the names. What a Dialer here returns carries the octets of the
// server; TLS with the server is not its concern.
package proxy

import (
	"context"
	"net"
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

// orDirect is forward, or net.Dialer when there is none.
func orDirect(forward Dialer) Dialer {
	if forward == nil {
		return new(net.Dialer)
	}
	return forward
}
