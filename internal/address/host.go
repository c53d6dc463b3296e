package address

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// ErrCredentials says that a text which should be a host is perhaps a URL, or a
// host with credentials in front. It does not repeat the text.
var ErrCredentials = errors.New(`it holds "@" or "://" and is not repeated here: an address is host:port`)

// CheckNoCredentials refuses what holds "@" or "://". Every function here that
// takes a host begins with it: what holds credentials must not be repeated in an
// error.
func CheckNoCredentials(host string) error {
	if strings.Contains(host, "@") || strings.Contains(host, "://") {
		return ErrCredentials
	}
	return nil
}

// Host checks a host to dial, a name or an IP address, and returns the name in
// A-labels. It accepts more than Domain: names in private networks hold
// underscores.
func Host(host string) (string, error) {
	if err := CheckNoCredentials(host); err != nil {
		return "", err
	}
	if err := CheckText(host); err != nil {
		return "", fmt.Errorf("host %q: %w", host, err)
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return host, nil
	}
	host, err := toASCII(host)
	if err != nil {
		return "", fmt.Errorf("host %q: %w", host, err)
	}
	for i := range len(host) {
		if c := host[i]; !isAlnum(c) && c != '-' && c != '_' && c != '.' {
			return "", fmt.Errorf("host %q: %q is not allowed in a host name", host, c)
		}
	}
	if host == "" || len(host) > maxDomain {
		return "", fmt.Errorf("bad host %q", host)
	}
	return host, nil
}

// SplitHostPort splits "host", "host:port", "[v6]", "[v6]:port" and a bare IPv6
// address. The port is 0 when there is none. The host is not checked.
func SplitHostPort(addr string) (host string, port int, err error) {
	if err := CheckNoCredentials(addr); err != nil {
		return "", 0, err
	}
	if ip, err := netip.ParseAddr(addr); err == nil && ip.Is6() {
		return addr, 0, nil
	}
	host = addr
	if inner, ok := strings.CutPrefix(addr, "["); ok && strings.HasSuffix(inner, "]") {
		host = strings.TrimSuffix(inner, "]")
		if ip, err := netip.ParseAddr(host); err != nil || !ip.Is6() {
			return "", 0, fmt.Errorf("bad address %q", addr)
		}
		return host, 0, nil
	}
	if strings.Contains(addr, ":") {
		h, p, err := net.SplitHostPort(addr)
		if err != nil {
			return "", 0, err
		}
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return "", 0, fmt.Errorf("bad port %q", p)
		}
		host, port = h, int(n)
	}
	return host, port, nil
}
