package smtptest

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
)

// URL returns all that a program needs in order to send to the server, in the form that
// submission.ParseURL reads:
//
//	smtp://user:password@127.0.0.1:40513?tls=starttls&pin=sha256:...
//
// The scheme is smtp, smtps with ImplicitTLS, or lmtp; a Unix socket is the path after
// the third slash, which ParseURL knows with LMTP only. The user is the first of
// Config.Accounts in the order of their names, percent-encoded. tls is starttls, implicit
// or none. The pin is the SHA-256 sum of the SubjectPublicKeyInfo of Certificate: who
// checks it needs no CA certificate. A program that does not know pins trusts
// CertificatePEM.
//
// Like Addr it makes the server accept network connections.
func (s *Server) URL() string {
	u := url.URL{Scheme: "smtp"}
	query := "tls=starttls"
	switch s.config.TLS {
	case ImplicitTLS:
		u.Scheme, query = "smtps", "tls=implicit"
	case NoTLS:
		query = "tls=none"
	}
	if s.config.LMTP {
		u.Scheme = "lmtp"
	}
	for _, name := range slices.Sorted(maps.Keys(s.config.Accounts)) {
		if name != "" { // which no URL can say
			u.User = url.UserPassword(name, s.config.Accounts[name])
			break
		}
	}
	if addr := s.Addr(); s.network() == "unix" {
		u.Path = addr
		if path, err := filepath.Abs(addr); err == nil {
			u.Path = path
		}
	} else {
		u.Host = s.reachable(addr)
	}
	if c := s.Certificate(); c != nil {
		pin := sha256.Sum256(c.RawSubjectPublicKeyInfo)
		query += "&pin=sha256:" + hex.EncodeToString(pin[:])
	}
	u.RawQuery = query
	return u.String()
}

// reachable is the listener's address as clients dial it: one of every interface becomes
// that of the loopback. Such a listener takes IPv4 too, whatever its address looks like,
// unless Config.Addr says IPv6.
func (s *Server) reachable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if ip, parseErr := netip.ParseAddr(host); err != nil || parseErr != nil || !ip.IsUnspecified() {
		return addr
	}
	if asked, _, _ := net.SplitHostPort(s.config.Addr); asked == "::" {
		return net.JoinHostPort("::1", port)
	}
	return net.JoinHostPort("127.0.0.1", port)
}
