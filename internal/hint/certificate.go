package hint

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/fe022423/submission/internal/printable"
)

// certificateHint says what is wrong with a certificate, "" when it is not known.
func (t TLS) certificateHint() string {
	var (
		verification *tls.CertificateVerificationError
		authority    x509.UnknownAuthorityError
		system       x509.SystemRootsError
		name         x509.HostnameError
		invalid      x509.CertificateInvalidError
		hint         string
		sent         []*x509.Certificate
	)
	if errors.As(t.Err, &verification) {
		sent = verification.UnverifiedCertificates
	}
	switch {
	case errors.As(t.Err, &name):
		hint = nameHint(name.Certificate)
	case errors.As(t.Err, &authority):
		hint = t.authorityHint(sent)
	case errors.As(t.Err, &system):
		hint = noRootsHint
	case errors.As(t.Err, &invalid):
		hint = t.invalidHint(invalid)
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
func (t TLS) authorityHint(sent []*x509.Certificate) string {
	const otherwise = "add its CA to TLSConfig.RootCAs, or its key to PinnedKeys"
	roots := t.Config.RootCAs
	switch {
	case t.Adopted: // the roots are not known
	case roots == nil:
		if t.NoRoots() {
			return noRootsHint
		}
	case roots.Equal(x509.NewCertPool()):
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
func (t TLS) invalidHint(e x509.CertificateInvalidError) string {
	const another = "the server needs another certificate"
	switch {
	case e.Reason == x509.Expired && t.Now().Before(e.Cert.NotBefore):
		return "it is not valid before " + e.Cert.NotBefore.Format(time.DateOnly) + ": " + another + ", or this machine's clock is wrong"
	case e.Reason == x509.Expired:
		return "it expired on " + e.Cert.NotAfter.Format(time.DateOnly) + ": " + another
	case e.Reason == x509.IncompatibleUsage:
		return "it is not for servers: " + another
	}
	return another
}
