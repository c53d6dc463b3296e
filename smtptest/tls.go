package smtptest

import (
	"crypto/tls"
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
	if len(cfg.Certificates) > 0 || cfg.GetCertificate != nil || cfg.GetConfigForClient != nil {
		return cfg, nil
	}
	id, err := s.identity()
	if err != nil {
		return nil, err
	}
	cfg.Certificates = []tls.Certificate{id.chain}
	return cfg, nil
}
