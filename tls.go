package submission

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
)

// TLSMode says when TLS starts and whether it must.
type TLSMode uint8

const (
	// TLSAuto is TLSImplicit on port 465 and TLSStartTLS on every other.
	TLSAuto TLSMode = iota
	// TLSImplicit starts TLS with the first octet (RFC 8314, 3.3). Default port 465.
	TLSImplicit
	// TLSStartTLS requires STARTTLS (RFC 3207): without it there is no session.
	// Default port 587.
	TLSStartTLS
	// TLSOpportunistic uses STARTTLS when it is offered and granted, and goes on
	// in clear when not, without credentials that would be readable. A handshake
	// that fails is an error all the same. It stops no active attacker.
	TLSOpportunistic
	// TLSNone never uses TLS. Default port 25.
	TLSNone
)

// String returns the name of the constant.
func (m TLSMode) String() string {
	names := [...]string{"TLSAuto", "TLSImplicit", "TLSStartTLS", "TLSOpportunistic", "TLSNone"}
	if int(m) < len(names) {
		return names[m]
	}
	return fmt.Sprintf("TLSMode(%d)", uint8(m))
}

// defaultPort is the port of the mode when the caller named none.
func (m TLSMode) defaultPort() int {
	switch m {
	case TLSImplicit:
		return portSubmissions
	case TLSNone:
		return portSMTP
	}
	return portSubmission
}

// on resolves TLSAuto for a port.
func (m TLSMode) on(port int) TLSMode {
	if m != TLSAuto {
		return m
	}
	if port == portSubmissions {
		return TLSImplicit
	}
	return TLSStartTLS
}

// sessionCacheSize bounds the TLS sessions that a Client keeps for resumption.
// There is one server, but it may be many machines behind one name.
const sessionCacheSize = 32

// newTLSConfig completes Options.TLSConfig for the host.
func (c *config) newTLSConfig() *tls.Config {
	var t *tls.Config
	if c.TLSConfig != nil {
		t = c.TLSConfig.Clone()
	} else {
		t = new(tls.Config)
	}
	if t.ServerName == "" {
		t.ServerName = strings.TrimSuffix(c.host, ".")
	}
	if t.MinVersion == 0 {
		t.MinVersion = tls.VersionTLS12
	}
	if t.ClientSessionCache == nil {
		t.ClientSessionCache = tls.NewLRUClientSessionCache(sessionCacheSize)
	}
	if len(c.PinnedKeys) > 0 {
		t.InsecureSkipVerify = true // the key is the check
		next := t.VerifyConnection
		t.VerifyConnection = func(st tls.ConnectionState) error {
			if err := c.checkPin(st); err != nil || next == nil {
				return err
			}
			return next(st)
		}
	}
	return t
}

// errPin says that the server's key is none of PinnedKeys.
var errPin = errors.New("the server's key is none of PinnedKeys")

// checkPin checks the server's own key where keys are pinned; those of a chain
// nobody verified prove nothing.
func (c *config) checkPin(st tls.ConnectionState) error {
	if len(c.PinnedKeys) == 0 {
		return nil
	}
	if len(st.PeerCertificates) == 0 {
		return errPin
	}
	leaf := st.PeerCertificates[0]
	if sum := sha256.Sum256(leaf.RawSubjectPublicKeyInfo); !slices.Contains(c.PinnedKeys, sum) {
		return fmt.Errorf("%w: its SHA-256 is %x", errPin, sum)
	}
	return nil
}

// verified reports whether the server's identity was checked by somebody: the
// chain, a pin, a check of the caller's, or another TLS stack on its honour.
func (c *config) verified(st tls.ConnectionState) bool {
	if len(st.VerifiedChains) > 0 || len(c.PinnedKeys) > 0 {
		return true
	}
	t := c.tlsConfig
	return t.InsecureSkipVerify && (t.VerifyConnection != nil || t.VerifyPeerCertificate != nil) ||
		!t.InsecureSkipVerify && c.TLSClient != nil
}

// stateful is what crypto/tls and its relatives offer.
type stateful interface{ ConnectionState() tls.ConnectionState }

// handshake puts TLS on nc. On an error nc is of no more use.
func (c *config) handshake(ctx context.Context, nc net.Conn) (net.Conn, tls.ConnectionState, error) {
	var st tls.ConnectionState
	if c.TLSClient != nil {
		secured, err := c.TLSClient(ctx, nc, c.tlsConfig)
		if err != nil {
			return nil, st, err
		}
		if secured == nil {
			return nil, st, errors.New("TLSClient returned no connection")
		}
		if s, ok := secured.(stateful); ok {
			st = s.ConnectionState()
			err = c.checkPin(st) // a stack may not know VerifyConnection
		}
		return secured, st, err
	}
	t := tls.Client(nc, c.tlsConfig)
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, st, err
	}
	return t, t.ConnectionState(), nil
}

// tlsError wraps a failed handshake and says what to do about it.
func (c *config) tlsError(err error) error {
	return &TLSError{Host: c.host, Hint: c.tlsHint(err), Err: err}
}

func (c *config) tlsHint(err error) string {
	var (
		header    tls.RecordHeaderError
		cert      *tls.CertificateVerificationError
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		invalid   x509.CertificateInvalidError
		hint      string
	)
	if errors.As(err, &header) {
		if c.TLS.on(c.port) != TLSImplicit {
			return "the server agreed to TLS and then spoke something else"
		}
		return "the server does not speak TLS at this point: a port that begins in clear wants TLSStartTLS, not TLSImplicit"
	}
	switch {
	case errors.Is(err, errPin):
		return "if the server changed its key on purpose, add the new sum to PinnedKeys"
	case errors.As(err, &name):
		hint = "dial a name that the certificate holds, or set TLSConfig.ServerName"
	case errors.As(err, &authority):
		hint = "put the CA of the server into TLSConfig.RootCAs, or its key into PinnedKeys"
	case errors.As(err, &invalid):
		hint = "the server needs another certificate"
	default:
		return ""
	}
	if errors.As(err, &cert) && len(cert.UnverifiedCertificates) > 0 {
		leaf := cert.UnverifiedCertificates[0]
		hint = fmt.Sprintf("certificate of %s, issued by %s: %s",
			escaped(leaf.Subject.String()), escaped(leaf.Issuer.String()), hint)
	}
	return hint
}

// clearHint is the advice when a server in clear text gave no greeting.
func (c *config) clearHint() string {
	if c.port == portSubmissions {
		return "port 465 speaks TLS from the first octet: use TLSImplicit"
	}
	return "if this port speaks TLS from the first octet, use TLSImplicit"
}

// alerted makes a TLSError of a ConnectError that is an alert of the server's: in
// TLS 1.3 it judges the client's certificate when the client's part of the
// handshake has ended (RFC 8446, 4.4.2.4).
func (s *Session) alerted(err error) error {
	var op *net.OpError
	if s.tls != nil && isType[*ConnectError](err) && errors.As(err, &op) && op.Op == opAlert {
		return s.cfg.tlsError(op)
	}
	return err
}

// opAlert is the Op of the *net.OpError in which crypto/tls wraps an alert that
// came in.
const opAlert = "remote error"

// linkLost tells a connection that failed from a handshake that did: an alert
// of either side is a *net.OpError too.
func linkLost(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Op == "read" || op.Op == "write"
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded)
}
