package saslserver

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
)

// exporterLabel and exporterLength define tls-exporter (RFC 9266, 2).
const (
	exporterLabel  = "EXPORTER-Channel-Binding"
	exporterLength = 32
)

// Bindings returns the channel bindings of a TLS connection. The keys are the types in
// the registry of RFC 5056. certificate is the one that the client saw, in DER, or nil
// if that is not known.
func Bindings(state tls.ConnectionState, certificate []byte) map[string][]byte {
	bindings := map[string][]byte{}
	if state.Version >= tls.VersionTLS13 {
		if data, err := state.ExportKeyingMaterial(exporterLabel, nil, exporterLength); err == nil {
			bindings["tls-exporter"] = data
		}
	}
	if data := hashCertificate(certificate); data != nil {
		bindings["tls-server-end-point"] = data
	}
	return bindings
}

// hashCertificate returns tls-server-end-point (RFC 5929, 4.1). There is none, so it is
// nil, for a certificate whose signature has no hash of its own, such as Ed25519.
func hashCertificate(der []byte) []byte {
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil
	}
	switch certificate.SignatureAlgorithm {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.ECDSAWithSHA1,
		x509.SHA256WithRSA, x509.SHA256WithRSAPSS, x509.ECDSAWithSHA256:
		sum := sha256.Sum256(der)
		return sum[:]
	case x509.SHA384WithRSA, x509.SHA384WithRSAPSS, x509.ECDSAWithSHA384:
		sum := sha512.Sum384(der)
		return sum[:]
	case x509.SHA512WithRSA, x509.SHA512WithRSAPSS, x509.ECDSAWithSHA512:
		sum := sha512.Sum512(der)
		return sum[:]
	}
	return nil
}
