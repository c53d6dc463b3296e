package smtptest

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"slices"
	"strings"
)

// ClientTLSConfig returns a new configuration for clients. It trusts the certificate
// that the server makes for itself and nothing else, so it does not trust one of
// Config.TLSConfig. The certificate names Config.Hostname, localhost, 127.0.0.1 and
// ::1. The client has to set ServerName.
func (s *Server) ClientTLSConfig() *tls.Config {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	id, err := s.identity()
	if err != nil {
		// There is no certificate to trust: the client sees why as a failed handshake.
		cfg.VerifyConnection = func(tls.ConnectionState) error { return err }
		return cfg
	}
	cfg.RootCAs = id.roots
	return cfg
}

// serverTLSConfig is the configuration of one session's TLS.
func (s *Server) serverTLSConfig() (*tls.Config, error) {
	cfg := s.config.TLSConfig.Clone()
	if cfg == nil {
		cfg = new(tls.Config)
	}
	if cfg.MinVersion == 0 {
		cfg.MinVersion = tls.VersionTLS12
	}
	external := func(m string) bool { return strings.EqualFold(m, "EXTERNAL") }
	if cfg.ClientAuth == tls.NoClientCert && slices.ContainsFunc(s.config.Mechanisms, external) {
		cfg.ClientAuth = tls.RequestClientCert
		if cfg.ClientCAs != nil {
			cfg.ClientAuth = tls.VerifyClientCertIfGiven
		}
	}
	if bringsCertificate(cfg) {
		return cfg, nil
	}
	id, err := s.identity()
	if err != nil {
		return nil, err
	}
	cfg.Certificates = []tls.Certificate{id.chain}
	return cfg, nil
}

// bringsCertificate says whether cfg decides what certificate is shown.
func bringsCertificate(cfg *tls.Config) bool {
	return cfg != nil && (len(cfg.Certificates) > 0 || cfg.GetCertificate != nil || cfg.GetConfigForClient != nil)
}

// Certificate returns the certificate that the server shows to clients which connect to
// Addr: its own, or the one of Config.TLSConfig. It is nil with NoTLS, and if TLSConfig
// refuses such a client. It must not be changed.
func (s *Server) Certificate() *x509.Certificate {
	if chain := s.chain(); len(chain) > 0 {
		return chain[0]
	}
	return nil
}

// CertificatePEM returns what another process needs in order to trust the server, in PEM, for
// a file of CA certificates: what Certificate returns, and then what comes with it, which
// for the server's own certificate is the CA that signed it. It is nil if Certificate is.
// The names in the server's own certificate are those that ClientTLSConfig lists.
func (s *Server) CertificatePEM() []byte {
	var all bytes.Buffer
	for _, c := range s.chain() {
		_ = pem.Encode(&all, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
	}
	return all.Bytes()
}

// chain returns the certificate that is shown, and those that come with it.
func (s *Server) chain() []*x509.Certificate {
	switch {
	case s.config.TLS == NoTLS:
		return nil
	case bringsCertificate(s.config.TLSConfig):
		return s.shown()
	}
	id, err := s.identity()
	if err != nil {
		return nil
	}
	return []*x509.Certificate{id.chain.Leaf, id.ca}
}

// errSeen ends the handshake of shown.
var errSeen = errors.New("smtptest: seen enough")

// shown asks the TLS configuration, by the start of a handshake: nothing else knows what a
// callback chooses. The client names no host, as one that connects to Addr.
func (s *Server) shown() (chain []*x509.Certificate) {
	cfg, err := s.serverTLSConfig()
	if err != nil {
		return nil
	}
	client, server := newPipe(0)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = tls.Server(server, cfg).Handshake()
	}()
	_ = tls.Client(client, &tls.Config{
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			chain = state.PeerCertificates
			return errSeen
		},
	}).Handshake()
	_ = client.Close()
	<-ended
	return chain
}
