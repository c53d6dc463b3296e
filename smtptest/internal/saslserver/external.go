package saslserver

import (
	"crypto/x509"
	"strings"
	"unicode/utf8"
)

// external is EXTERNAL (RFC 4422, appendix A) with a TLS client certificate.
type external struct {
	accounts    map[string]string
	certificate *x509.Certificate
	name        string
	asked       bool
}

func (x *external) User() string { return x.name }

// Next lets the client act as the common name of its certificate, or as one of the
// accounts.
func (x *external) Next(response []byte) (challenge []byte, done bool, err error) {
	if response == nil && !x.asked {
		x.asked = true
		return nil, false, nil
	}
	x.name = string(response)
	switch {
	case !utf8.Valid(response) || strings.ContainsRune(x.name, 0):
		return nil, false, errResponse
	case x.name == "":
		x.name = x.certificate.Subject.CommonName
	case x.name != x.certificate.Subject.CommonName && !mayActAs(x.accounts, x.name):
		return nil, false, Refusal("the certificate is not for that identity")
	}
	if x.name == "" {
		return nil, false, Refusal("the certificate has no common name")
	}
	return nil, true, nil
}
