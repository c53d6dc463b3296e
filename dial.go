package submission

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"github.com/fe022423/submission/internal/address"
	"github.com/fe022423/submission/internal/proxy"
)

// Dialer makes raw connections, as *net.Dialer does; TLS is added on top. It must
// be safe for concurrent use and return when the context is done.
type Dialer interface {
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
}

// newDialer returns the default dialer, bound to local when it is not empty.
func newDialer(local string) (Dialer, error) {
	d := new(net.Dialer)
	if local == "" {
		return d, nil
	}
	if err := address.CheckNoCredentials(local); err != nil {
		return nil, err
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

// SOCKS5 returns a Dialer that connects through the SOCKS5 proxy at proxyAddr,
// "host:port" (RFC 1928). The proxy resolves the names. user, when not nil, holds
// the credentials for the proxy (RFC 1929), which travel in clear text; without it
// nothing about the user is sent. forward reaches the proxy; nil uses net.Dialer.
// An error is an *OptionError.
func SOCKS5(proxyAddr string, user *url.Userinfo, forward Dialer) (Dialer, error) {
	if err := address.CheckNoCredentials(proxyAddr); err != nil {
		return nil, &OptionError{"proxyAddr", fmt.Errorf("%w; credentials belong in user", err)}
	}
	if _, _, err := net.SplitHostPort(proxyAddr); err != nil {
		return nil, proxyError("proxyAddr", user, err)
	}
	if err := address.CheckText(proxyAddr); err != nil {
		return nil, &OptionError{"proxyAddr", err}
	}
	if err := proxy.CheckSOCKSUser(user); err != nil {
		return nil, &OptionError{"user", err}
	}
	d, err := proxy.NewSOCKS5(proxyAddr, user, forward)
	if err != nil {
		return nil, proxyError("proxyAddr", user, err)
	}
	return d, nil
}

// HTTPConnect returns a Dialer that connects through an HTTP proxy with CONNECT
// (RFC 9110, 9.3.6). proxyURL is "http://host:port", or "https://host:port" for
// TLS to the proxy, whose certificate is checked against the system's roots. User
// and password in it are sent as Basic credentials (RFC 7617); with "http" anyone
// on the way to the proxy can read them. Without a port it is 80 or 443. The
// proxy resolves the names. forward reaches the proxy; nil uses net.Dialer. An
// error is an *OptionError.
func HTTPConnect(proxyURL *url.URL, forward Dialer) (Dialer, error) {
	d, err := proxy.NewConnect(proxyURL, forward)
	if err != nil && proxyURL != nil {
		return nil, proxyError("proxyURL", proxyURL.User, err)
	}
	if err != nil {
		return nil, &OptionError{"proxyURL", err}
	}
	return d, nil
}

// proxyError is the error of an argument, which it may repeat, but not the
// credentials for the proxy.
func proxyError(argument string, user *url.Userinfo, err error) error {
	secrets := proxy.SecretsOf(user)
	return cleaned(&OptionError{argument, err}, &secrets)
}

// Fallback returns a Dialer that tries each of dialers in order until one
// connects. It only decides how the server is reached, never whether TLS is used.
// When all fail, the error wraps the errors of all.
func Fallback(dialers ...Dialer) Dialer { return fallback(slices.Clone(dialers)) }

type fallback []Dialer

// DialContext connects with the first dialer that can. Each dialer gets an equal
// share of the time that is left in ctx, as net.Dialer does with addresses.
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
		return nil, errors.New("Fallback was given no Dialer")
	}
	return nil, join(errs...)
}

// dialShare dials within one of n equal shares of the time that is left in ctx.
func dialShare(ctx context.Context, d Dialer, n int, network, addr string) (net.Conn, error) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(n))
		defer cancel()
	}
	return d.DialContext(ctx, network, addr)
}

// throughProxy reports whether a dialer goes to a proxy, so that no answer is the
// proxy's.
func throughProxy(d Dialer) bool {
	switch d := d.(type) {
	case *proxy.SOCKS5, *proxy.Connect:
		return true
	case fallback:
		return slices.ContainsFunc(d, throughProxy)
	}
	return false
}
