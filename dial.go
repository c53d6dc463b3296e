package submission

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/fe022423/submission/internal/address"
	"golang.org/x/net/proxy"
)

// Dialer makes raw connections, as *net.Dialer does. TLS is never its business.
// It must be safe for concurrent use and obey the context.
type Dialer interface {
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
}

// newDialer returns the default dialer, bound to local when it is not empty.
func newDialer(local string) (Dialer, error) {
	d := new(net.Dialer)
	if local == "" {
		return d, nil
	}
	ap, err := netip.ParseAddrPort(local)
	if err != nil {
		ip, err := netip.ParseAddr(local)
		if err != nil {
			return nil, err
		}
		ap = netip.AddrPortFrom(ip, 0)
	}
	d.LocalAddr = net.TCPAddrFromAddrPort(ap)
	return d, nil
}

// maxSOCKSField is the longest host, user name or password that the protocol
// can carry, in octets (RFC 1928, 5; RFC 1929, 2).
const maxSOCKSField = 255

// SOCKS5 returns a Dialer that connects through the SOCKS5 proxy at proxyAddr,
// "host:port" (RFC 1928). The proxy resolves the names. user, when not nil, holds
// the credentials for it (RFC 1929), which travel in clear; nothing about the
// user is sent otherwise. forward reaches the proxy; nil uses net.Dialer.
func SOCKS5(proxyAddr string, user *url.Userinfo, forward Dialer) (Dialer, error) {
	if _, _, err := net.SplitHostPort(proxyAddr); err != nil {
		return nil, &OptionError{"proxyAddr", err}
	}
	if err := address.CheckText(proxyAddr); err != nil {
		return nil, &OptionError{"proxyAddr", err}
	}
	if user != nil {
		password, _ := user.Password()
		for _, field := range []string{user.Username(), password} {
			if field == "" || len(field) > maxSOCKSField || address.CheckText(field) != nil {
				return nil, &OptionError{"user", errors.New("user name and password need 1 to 255 octets each, without control characters")}
			}
		}
	}
	if forward == nil {
		forward = new(net.Dialer)
	}
	return &socksDialer{addr: proxyAddr, user: func() *url.Userinfo { return user }, forward: forward}, nil
}

// socksDialer keeps the credentials behind a function, which prints as an address.
type socksDialer struct {
	addr    string
	user    func() *url.Userinfo
	forward Dialer
}

// DialContext asks the proxy for a connection and returns the raw connection to
// the proxy, on which the server's octets follow.
func (d *socksDialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	var auth *proxy.Auth
	if user := d.user(); user != nil {
		password, _ := user.Password()
		auth = &proxy.Auth{User: user.Username(), Password: password}
	}
	link := &proxyLink{forward: d.forward}
	p, err := proxy.SOCKS5("tcp", d.addr, auth, link)
	if err != nil {
		return nil, &proxyError{d.addr, err}
	}
	// What it returns wraps link.nc and adds only the proxy's bound address.
	if _, err := p.(proxy.ContextDialer).DialContext(ctx, network, addr); err != nil {
		if link.nc == nil {
			return nil, err // the proxy itself was not reached
		}
		return nil, &proxyError{d.addr, &socksError{err}}
	}
	return link.nc, nil
}

// socksError is what the library says of a refusal, which puts "unknown error" in
// front of the words that RFC 1928, 6 has for each code.
type socksError struct{ err error }

func (e *socksError) Error() string { return strings.Replace(e.err.Error(), "unknown error ", "", 1) }
func (e *socksError) Unwrap() error { return e.err }

// proxyLink remembers the connection that was made to the proxy.
type proxyLink struct {
	forward Dialer
	nc      net.Conn
}

func (l *proxyLink) Dial(network, addr string) (net.Conn, error) {
	return l.DialContext(context.Background(), network, addr)
}

func (l *proxyLink) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	nc, err := l.forward.DialContext(ctx, network, addr)
	l.nc = nc
	return nc, err
}

// Fallback returns a Dialer that asks each of dialers in turn until one
// connects. It is about reaching the server, never about how it is secured: TLS
// is put on top of whichever connection came about. When all fail, the error has
// all of theirs.
func Fallback(dialers ...Dialer) Dialer { return fallback(slices.Clone(dialers)) }

type fallback []Dialer

// DialContext connects by the first dialer that can. What is left of ctx's time
// is shared evenly among those left, as net.Dialer shares it among addresses.
func (f fallback) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	var errs []error
	for i, d := range f {
		nc, err := dialShare(ctx, d, len(f)-i, network, addr)
		if err == nil {
			return nc, nil
		}
		if errs = append(errs, err); ctx.Err() != nil {
			break
		}
	}
	if errs == nil {
		return nil, errors.New("Fallback without a Dialer")
	}
	return nil, join(errs...)
}

// dialShare dials within one of n shares of the time that ctx has left.
func dialShare(ctx context.Context, d Dialer, n int, network, addr string) (net.Conn, error) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(n))
		defer cancel()
	}
	return d.DialContext(ctx, network, addr)
}

// isPermanent reports whether a proxy refused for good.
func isPermanent(err error) bool {
	var refused *statusError
	return errors.As(err, &refused) && refused.permanent()
}

// proxyError marks a failure as the proxy's, for StageProxy.
type proxyError struct {
	proxy string
	err   error
}

func (e *proxyError) Error() string { return "proxy " + e.proxy + ": " + e.err.Error() }
func (e *proxyError) Unwrap() error { return e.err }

// connect makes the raw connection to the server, within Timeouts.Dial.
func (c *config) connect(ctx context.Context) (net.Conn, error) {
	limited, cancel := context.WithTimeout(ctx, c.Timeouts.Dial)
	defer cancel()
	nc, err := c.Dialer.DialContext(limited, "tcp", c.addr())
	if err == nil && nc != nil {
		return nc, nil
	}
	e := &ConnectError{Addr: c.addr(), Stage: StageDial}
	var p *proxyError
	if errors.As(err, &p) {
		e.Stage = StageProxy
	}
	switch {
	case err == nil:
		e.Err = errors.New("the Dialer returned no connection")
	case ctx.Err() != nil:
		e.Err = givenUp(e.Stage, ctx)
	case isPermanent(err):
		e.Err = err
	case limited.Err() != nil:
		e.Err = &linkError{stage: e.Stage, text: "no answer within " + c.Timeouts.Dial.String(), err: err}
	default:
		e.Err = &linkError{stage: e.Stage, err: err}
	}
	return nil, e
}
