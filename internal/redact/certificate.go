package redact

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
)

// CleanTLSError is CleanError for the error of a TLS handshake. The certificates
// in it lose secrets too: who finds them with errors.As prints their names, and
// names are escaped when they are put together.
func (s *Set) CleanTLSError(err error) error {
	var verification *tls.CertificateVerificationError
	if !errors.As(err, &verification) {
		return s.CleanError(err)
	}
	changed := false
	cleaned := &tls.CertificateVerificationError{Err: verification.Err}
	for _, cert := range verification.UnverifiedCertificates {
		other := s.cleanCertificate(cert)
		cleaned.UnverifiedCertificates = append(cleaned.UnverifiedCertificates, other)
		changed = changed || other != cert
	}
	if !changed {
		return s.CleanError(err)
	}
	switch e := verification.Err.(type) {
	case x509.HostnameError:
		e.Certificate, e.Host = s.cleanCertificate(e.Certificate), s.Clean(e.Host)
		cleaned.Err = e
	case x509.UnknownAuthorityError:
		e.Cert = s.cleanCertificate(e.Cert)
		cleaned.Err = e
	case x509.CertificateInvalidError:
		e.Cert, e.Detail = s.cleanCertificate(e.Cert), s.Clean(e.Detail)
		cleaned.Err = e
	}
	cleaned.Err = s.CleanError(cleaned.Err)
	return &cleanedError{s.Clean(err.Error()), Hide[error](cleaned)}
}

// cleanCertificate returns cert, or where a name in it holds a secret a copy
// without.
func (s *Set) cleanCertificate(cert *x509.Certificate) *x509.Certificate {
	if cert == nil {
		return nil
	}
	c, changed := *cert, false
	for _, name := range []*pkix.Name{&c.Subject, &c.Issuer} {
		changed = s.cleanName(name) || changed
	}
	for _, list := range []*[]string{&c.DNSNames, &c.EmailAddresses} {
		changed = s.cleanList(list) || changed
	}
	if !changed {
		return cert
	}
	return &c
}

// cleanName cleans the attributes of a name, and reports whether one held a secret.
func (s *Set) cleanName(n *pkix.Name) bool {
	changed := false
	for _, list := range []*[]string{
		&n.Country, &n.Organization, &n.OrganizationalUnit, &n.Locality, &n.Province, &n.StreetAddress, &n.PostalCode,
	} {
		changed = s.cleanList(list) || changed
	}
	for _, text := range []*string{&n.SerialNumber, &n.CommonName} {
		if t := s.Clean(*text); t != *text {
			*text, changed = t, true
		}
	}
	for _, list := range []*[]pkix.AttributeTypeAndValue{&n.Names, &n.ExtraNames} {
		changed = s.cleanAttributes(list) || changed
	}
	return changed
}

func (s *Set) cleanAttributes(list *[]pkix.AttributeTypeAndValue) bool {
	changed := false
	for i, a := range *list {
		text, ok := a.Value.(string)
		if !ok || s.Clean(text) == text {
			continue
		}
		if !changed {
			*list, changed = append([]pkix.AttributeTypeAndValue(nil), *list...), true
		}
		(*list)[i].Value = s.Clean(text)
	}
	return changed
}

func (s *Set) cleanList(list *[]string) bool {
	changed := false
	for i, text := range *list {
		if s.Clean(text) == text {
			continue
		}
		if !changed {
			*list, changed = append([]string(nil), *list...), true
		}
		(*list)[i] = s.Clean(text)
	}
	return changed
}
