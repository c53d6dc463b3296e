package submission

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fe022423/submission/internal/printable"
)

// tlsError wraps a failed handshake and says what to do about it.
func (s *Session) tlsError(err error) error {
	return &TLSError{Host: s.cfg.host, addr: s.cfg.addr(), Hint: s.tlsHint(err), Err: err}
}

// tlsHint says what to do about a failed handshake, "" when that is not known.
func (s *Session) tlsHint(err error) string {
	var (
		header tls.RecordHeaderError
		op     *net.OpError
	)
	switch {
	case errors.As(err, &header):
		return s.clearTextHint(header)
	case errors.Is(err, errPin):
		return "if the server changed its key on purpose, add the new sum to PinnedKeys"
	case errors.As(err, &op) && op.Op == opAlert:
		return s.alertHint(op.Err.Error())
	case strings.Contains(err.Error(), "tls: server selected unsupported protocol version"):
		return s.cfg.versionHint()
	case s.mute && !errors.Is(err, context.Canceled):
		return s.muteHint(err)
	}
	return s.certificateHint(err)
}

// clearText returns the first octets, quoted, of what was no record of TLS. ok is
// false when they cannot be text.
func clearText(err error) (text string, ok bool) {
	var header tls.RecordHeaderError
	if !errors.As(err, &header) {
		return "", false
	}
	first := header.RecordHeader[0]
	return printable.Quoted(string(header.RecordHeader[:])), first >= ' ' && first < 0x7f
}

// clearReply returns the code that the server answered in clear text where TLS was to
// begin, nil when it did not. Servers turn clients away so who are too many.
func clearReply(err error) *Reply {
	var header tls.RecordHeaderError
	if !errors.As(err, &header) {
		return nil
	}
	said := header.RecordHeader
	code, err := strconv.Atoi(string(said[:3]))
	if err != nil || code < 200 || code > 599 || said[3] != ' ' && said[3] != '-' {
		return nil
	}
	return &Reply{Code: code}
}

// clearTextHint says what to make of what came in place of the first record of TLS,
// or of another.
func (s *Session) clearTextHint(header tls.RecordHeaderError) string {
	text, ok := clearText(header)
	said := string(header.RecordHeader[:])
	other := s.cfg.otherServerHint(said)
	switch {
	case header.Conn == nil: // not the first
		if !ok {
			return ""
		}
		return "clear text in the middle of the handshake, beginning " + text
	case s.greeted:
		return "the server agreed to STARTTLS and then did not speak TLS but began with " + text
	case other != "":
		return "it begins with " + text + ": " + other
	case strings.HasPrefix(said, "220"):
		return "the server began in clear text with " + text + ": perhaps " + s.cfg.placeName() + " wants TLSStartTLS, not TLSImplicit"
	case strings.HasPrefix(said, "421"):
		return "the server refuses in clear text, beginning " + text + ": " + tooManyHint
	case said[0] == '4' || said[0] == '5':
		return "the server refuses in clear text, beginning " + text
	}
	return "the server did not speak TLS but began with " + text
}

// muteHint says why a server perhaps does not answer the ClientHello.
func (s *Session) muteHint(err error) string {
	var lost *linkError
	tooLarge, tooMany := "", ""
	if hasLargeHello(s.cfg.tlsConfig) {
		tooLarge = "perhaps the server, or something on the way, cannot take a large ClientHello: " +
			"set TLSConfig.CurvePreferences to X25519 and CurveP256, which makes it small"
	}
	if errors.As(err, &lost) && lost.ended && !s.greeted {
		tooMany = tooManyHint
	}
	return alternatives(tooLarge, tooMany)
}

// hasLargeHello reports whether a ClientHello is longer than a packet: it holds a
// key against quantum computers, by default and in TLS 1.3.
func hasLargeHello(t *tls.Config) bool {
	large := []tls.CurveID{tls.X25519MLKEM768, tls.SecP256r1MLKEM768, tls.SecP384r1MLKEM1024}
	return (t.MaxVersion == 0 || t.MaxVersion >= tls.VersionTLS13) && (len(t.CurvePreferences) == 0 ||
		slices.ContainsFunc(t.CurvePreferences, func(id tls.CurveID) bool { return slices.Contains(large, id) }))
}

// Alerts of RFC 8446, 6.2 that say something about a field of tls.Config.
const (
	alertHandshakeFailure     tls.AlertError = 40
	alertBadCertificate       tls.AlertError = 42
	alertUnsupportedCert      tls.AlertError = 43
	alertCertificateRevoked   tls.AlertError = 44
	alertCertificateExpired   tls.AlertError = 45
	alertCertificateUnknown   tls.AlertError = 46
	alertUnknownCA            tls.AlertError = 48
	alertAccessDenied         tls.AlertError = 49
	alertProtocolVersion      tls.AlertError = 70
	alertInsufficientSecurity tls.AlertError = 71
	alertUnrecognizedName     tls.AlertError = 112
	alertCertificateRequired  tls.AlertError = 116
	alertNoProtocol           tls.AlertError = 120
)

// alertHint says what to make of an alert of the server. crypto/tls shows of it no
// more than its text.
func (s *Session) alertHint(text string) string {
	is := func(alerts ...tls.AlertError) bool {
		return slices.ContainsFunc(alerts, func(a tls.AlertError) bool { return a.Error() == text })
	}
	cfg := s.cfg.tlsConfig
	switch {
	case is(alertProtocolVersion):
		return s.cfg.versionHint()
	case is(alertHandshakeFailure, alertInsufficientSecurity) && !s.answered:
		return "perhaps there is no cipher suite in common: TLSConfig.CipherSuites"
	case is(alertCertificateRequired, alertHandshakeFailure, alertBadCertificate, alertUnsupportedCert, alertCertificateRevoked,
		alertCertificateExpired, alertCertificateUnknown, alertUnknownCA, alertAccessDenied):
		hint := "perhaps the server wants a client certificate: TLSConfig.Certificates"
		switch {
		case len(cfg.Certificates) > 0 || cfg.GetClientCertificate != nil:
			hint = "the server does not accept the client certificate: TLSConfig.Certificates"
		case is(alertCertificateRequired):
			hint = strings.TrimPrefix(hint, "perhaps ")
		}
		return hint
	case is(alertUnrecognizedName):
		return "the server does not know the name " + printable.Text(cfg.ServerName) + ": dial another, or set TLSConfig.ServerName"
	case is(alertNoProtocol):
		return "the server wants another protocol: TLSConfig.NextProtos"
	}
	return ""
}

// versionHint is the advice when there is no version of TLS in common.
func (c *config) versionHint() string {
	if c.tlsConfig.MaxVersion != 0 {
		return "the server has none of the versions that TLSConfig.MinVersion and TLSConfig.MaxVersion allow"
	}
	return "perhaps the server has only versions older than TLSConfig.MinVersion, which is " +
		tls.VersionName(c.tlsConfig.MinVersion) + ": it should be updated"
}

// certificateHint says what is wrong with a certificate, "" when it is not known.
func (s *Session) certificateHint(err error) string {
	var (
		verification *tls.CertificateVerificationError
		authority    x509.UnknownAuthorityError
		system       x509.SystemRootsError
		name         x509.HostnameError
		invalid      x509.CertificateInvalidError
		hint         string
		sent         []*x509.Certificate
	)
	if errors.As(err, &verification) {
		sent = verification.UnverifiedCertificates
	}
	switch {
	case errors.As(err, &name):
		hint = nameHint(name.Certificate)
	case errors.As(err, &authority):
		hint = s.authorityHint(sent)
	case errors.As(err, &system):
		hint = noRootsHint
	case errors.As(err, &invalid):
		hint = s.cfg.invalidHint(invalid)
	default:
		return ""
	}
	if len(sent) > 0 {
		hint = fmt.Sprintf("certificate of %s, issued by %s: %s", printable.Text(sent[0].Subject.String()), printable.Text(sent[0].Issuer.String()), hint)
	}
	return hint
}

// nameHint says what a certificate for other names is for.
func nameHint(cert *x509.Certificate) string {
	var names []string
	for _, name := range cert.DNSNames {
		if _, err := netip.ParseAddr(name); err == nil {
			name += " as a name, which does not count for an address"
		}
		names = append(names, name)
	}
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 && len(cert.EmailAddresses)+len(cert.URIs) > 0 {
		return "none of its subject alternative names is a host: reissue it with one, or pin its key with PinnedKeys"
	}
	if len(names) == 0 {
		return "it has no subject alternative name: reissue it with one, or pin its key with PinnedKeys"
	}
	const most = 5
	list := printable.Text(strings.Join(names[:min(len(names), most)], ", "))
	if more := len(names) - most; more > 0 {
		list += fmt.Sprintf(", and %d more", more)
	}
	return "it is for " + list + ": dial such a name, or set TLSConfig.ServerName to one, or pin the key with PinnedKeys"
}

const noRootsHint = "this machine has no CA certificates: install them, or set TLSConfig.RootCAs"

// authorityHint says why the chain of the certificates that the server sent does not
// end at a CA that is known.
func (s *Session) authorityHint(sent []*x509.Certificate) string {
	const otherwise = "add its CA to TLSConfig.RootCAs, or its key to PinnedKeys"
	roots := s.cfg.tlsConfig.RootCAs
	switch empty := x509.NewCertPool(); {
	case s.adopted: // the roots are not known
	case roots == nil:
		if system, err := x509.SystemCertPool(); err != nil || system.Equal(empty) {
			return noRootsHint
		}
	case roots.Equal(empty):
		return "TLSConfig.RootCAs is empty: perhaps AppendCertsFromPEM found no certificate in the file"
	}
	if len(sent) == 0 {
		return otherwise
	}
	leaf := sent[0]
	isIssuer := func(c *x509.Certificate) bool { return bytes.Equal(c.RawSubject, leaf.RawIssuer) }
	switch {
	case isIssuer(leaf):
		return "it is self-signed: add its key to PinnedKeys, or the certificate to TLSConfig.RootCAs"
	case !slices.ContainsFunc(sent[1:], isIssuer):
		return "perhaps the server sends no intermediate certificate, which is its fault; or " + otherwise
	}
	return otherwise
}

// invalidHint says why a certificate cannot be used.
func (c *config) invalidHint(e x509.CertificateInvalidError) string {
	const another = "the server needs another certificate"
	now := time.Now()
	if c.tlsConfig.Time != nil {
		now = c.tlsConfig.Time()
	}
	switch {
	case e.Reason == x509.Expired && now.Before(e.Cert.NotBefore):
		return "it is not valid before " + e.Cert.NotBefore.Format(time.DateOnly) + ": " + another + ", or this machine's clock is wrong"
	case e.Reason == x509.Expired:
		return "it expired on " + e.Cert.NotAfter.Format(time.DateOnly) + ": " + another
	case e.Reason == x509.IncompatibleUsage:
		return "it is not for servers: " + another
	}
	return another
}
