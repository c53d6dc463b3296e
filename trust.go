package submission

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/fe022423/submission/internal/address"
)

// sessionCacheSize bounds the TLS sessions that a Client keeps for resumption.
// One server name may stand for many machines.
const sessionCacheSize = 32

// newTLSConfig returns a copy of Options.TLSConfig, completed for the host.
func (c *config) newTLSConfig() (*tls.Config, error) {
	var t *tls.Config
	if c.TLSConfig != nil {
		t = c.TLSConfig.Clone()
	} else {
		t = new(tls.Config)
	}
	if t.ServerName == "" {
		t.ServerName = c.serverName()
	} else if name, err := address.Host(t.ServerName); err == nil {
		t.ServerName = nameOfHost(name)
	} else if errors.Is(err, address.ErrCredentials) { // errors of crypto/tls would repeat it
		return nil, &OptionError{"TLSConfig", fmt.Errorf("ServerName: %w", err)}
	}
	if t.MinVersion == 0 {
		t.MinVersion = tls.VersionTLS12
	}
	if t.ClientSessionCache == nil {
		t.ClientSessionCache = tls.NewLRUClientSessionCache(sessionCacheSize)
	}
	if len(c.PinnedKeys) > 0 {
		t.InsecureSkipVerify = true // checkPin verifies the server instead
		next := t.VerifyConnection
		t.VerifyConnection = func(st tls.ConnectionState) error {
			if err := c.checkPin(st); err != nil || next == nil {
				return err
			}
			return next(st)
		}
	}
	return t, nil
}

// serverName is what the server is called: in SNI, in its certificate, in
// mechanisms that name it.
func (c *config) serverName() string { return nameOfHost(c.host) }

// nameOfHost takes off what a host has only for those who dial it: the zone of an
// IPv6 address, the dot that ends a name for resolvers.
func nameOfHost(host string) string {
	host, _, _ = strings.Cut(host, "%")
	return strings.TrimSuffix(host, ".")
}

// errPin says that the key of the server is not pinned.
var errPin = errors.New("the server's key is not in PinnedKeys")

// checkPin checks the key in the server's own certificate, where keys are pinned.
// The other certificates do not count: nobody verified the chain.
func (c *config) checkPin(st tls.ConnectionState) error {
	if len(c.PinnedKeys) == 0 {
		return nil
	}
	if len(st.PeerCertificates) == 0 {
		return errPin
	}
	leaf := st.PeerCertificates[0]
	if sum := KeyPin(leaf); !slices.Contains(c.PinnedKeys, sum) {
		return fmt.Errorf("%w: its SHA-256 is %x", errPin, sum)
	}
	return nil
}

// checkSecured checks what Options.TLSClient made of nc, and returns its state.
// A stack may show no state; where keys are pinned it must, or nothing would be
// known about the server. One that leaves the handshake to the first Read, as
// crypto/tls does, shakes hands here.
func (c *config) checkSecured(ctx context.Context, secured, nc net.Conn) (st tls.ConnectionState, err error) {
	if secured == nil {
		return st, errors.New("TLSClient returned no connection")
	}
	for ; nc != nil; nc = below(nc) {
		if isSame(secured, nc) {
			return st, errors.New("TLSClient returned the connection that it was given: there is no TLS on it")
		}
	}
	if lazy, ok := secured.(interface{ HandshakeContext(context.Context) error }); ok {
		if err := lazy.HandshakeContext(ctx); err != nil {
			return st, err
		}
	}
	stack, ok := secured.(interface{ ConnectionState() tls.ConnectionState })
	if ok {
		st = stack.ConnectionState()
	} else if len(c.PinnedKeys) > 0 {
		return st, fmt.Errorf("%w: the connection of TLSClient has no method ConnectionState, so its key is not known", errPin)
	}
	return st, c.checkPin(st) // the stack perhaps ignores VerifyConnection
}

// isSame reports whether two connections are one. A connection that is a struct
// which cannot be compared is judged by the fields that can.
func isSame(a, b net.Conn) bool {
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	if x.Type() != y.Type() || x.Comparable() && y.Comparable() {
		return a == b
	}
	if x.Kind() != reflect.Struct {
		return false
	}
	for i := range x.NumField() {
		if fx, fy := x.Field(i), y.Field(i); fx.Comparable() && fy.Comparable() && !fx.Equal(fy) {
			return false
		}
	}
	return true
}

// verified reports whether the identity of the server was checked: by the chain
// of certificates, by a pin, by a function in Options.TLSConfig, or by the stack
// of Options.TLSClient, which is trusted to do so.
func (c *config) verified(st tls.ConnectionState) bool {
	if len(st.VerifiedChains) > 0 || len(c.PinnedKeys) > 0 {
		return true
	}
	t := c.tlsConfig
	return t.InsecureSkipVerify && (t.VerifyConnection != nil || t.VerifyPeerCertificate != nil) ||
		!t.InsecureSkipVerify && c.TLSClient != nil
}

// isLocal reports whether a connection stays on this machine, so that nobody can
// listen. The far end of a connection that the caller made may be that of a
// tunnel: the host must be named as one of this machine then. A connection
// through a proxy names the server as its far end, which is not an address here.
func (c *config) isLocal(nc net.Conn) bool {
	if (c.callersConn || c.callersDialer) && !isLocalName(c.host) {
		return false
	}
	for ; nc != nil; nc = below(nc) {
		if !isLocalAddr(nc.RemoteAddr()) {
			return false
		}
	}
	return true
}

// isLocalName reports whether a host is named as this machine.
func isLocalName(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback() || strings.EqualFold(strings.TrimSuffix(host, "."), "localhost")
}

// isLocalAddr reports whether an address is on this machine.
func isLocalAddr(addr net.Addr) bool {
	network, text := addrParts(addr)
	if network == "pipe" || network == "unix" {
		return true
	}
	ap, err := netip.ParseAddrPort(text)
	return err == nil && strings.HasPrefix(network, "tcp") && ap.Addr().Unmap().IsLoopback()
}

// below returns the connection that nc stands on, nil when there is none.
func below(nc net.Conn) net.Conn {
	if layer, ok := nc.(interface{ NetConn() net.Conn }); ok {
		return layer.NetConn()
	}
	return nil
}

// KeyPin returns the sum of a certificate's public key for Options.PinnedKeys: SHA-256 of
// its SubjectPublicKeyInfo (RFC 7469, 2.4), which stays when the certificate is renewed
// with the same key.
func KeyPin(cert *x509.Certificate) [32]byte { return sha256.Sum256(cert.RawSubjectPublicKeyInfo) }
