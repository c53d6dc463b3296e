package smtptest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"time"
)

// identity is a server certificate and the CA that signed it. Both exist in memory
// only.
type identity struct {
	ca    *x509.Certificate
	roots *x509.CertPool
	chain tls.Certificate
}

// The certificates are valid at any time when a test may run, including the fake time
// of testing/synctest, which begins in the year 2000.
var (
	notBefore = time.Date(1990, time.January, 1, 0, 0, 0, 0, time.UTC)
	notAfter  = time.Date(2090, time.January, 1, 0, 0, 0, 0, time.UTC)
)

// newIdentity makes a CA, and a certificate for hostname and the loopback addresses.
func newIdentity(hostname string) (*identity, error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("smtptest: CA key: %w", err)
	}
	ca, err := sign(&x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "smtptest CA"},
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}, nil, &caKey.PublicKey, caKey)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("smtptest: server key: %w", err)
	}
	leaf, err := sign(&x509.Certificate{
		SerialNumber:          big.NewInt(2),
		Subject:               pkix.Name{CommonName: hostname},
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		DNSNames:              []string{hostname, "localhost"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}, ca, &key.PublicKey, caKey)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	return &identity{
		ca:    ca,
		roots: roots,
		chain: tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf},
	}, nil
}

// sign issues a certificate. Without a parent it is self-signed.
func sign(template, parent *x509.Certificate, pub *ecdsa.PublicKey, by *ecdsa.PrivateKey) (*x509.Certificate, error) {
	template.NotBefore, template.NotAfter = notBefore, notAfter
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, by)
	if err != nil {
		return nil, fmt.Errorf("smtptest: certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}
