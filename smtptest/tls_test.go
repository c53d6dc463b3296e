package smtptest

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"testing"
	"testing/synctest"
)

// shownTo is the certificate that a client sees.
func shownTo(t *testing.T, s *Server) *x509.Certificate {
	t.Helper()
	c := piped(t, s)
	var seen *x509.Certificate
	nc := c.secure(s, &tls.Config{VerifyConnection: func(state tls.ConnectionState) error {
		seen = state.PeerCertificates[0]
		return nil
	}, InsecureSkipVerify: true})
	if err := nc.Handshake(); err != nil {
		t.Fatal(err)
	}
	return seen
}

func TestCertificate(t *testing.T) {
	one, _ := newCertificate(t, "one", x509.ExtKeyUsageServerAuth, 0)
	two, _ := newCertificate(t, "two", x509.ExtKeyUsageServerAuth, 0)
	for name, tt := range map[string]struct {
		config *tls.Config
		want   *tls.Certificate // nil: the server's own
	}{
		"own":                   {nil, nil},
		"own, with a config":    {&tls.Config{MaxVersion: tls.VersionTLS12}, nil},
		"own, clients have one": {&tls.Config{ClientAuth: tls.RequestClientCert}, nil},
		"given":                 {&tls.Config{Certificates: []tls.Certificate{one}}, &one},
		"given, TLS 1.2":        {&tls.Config{Certificates: []tls.Certificate{one}, MaxVersion: tls.VersionTLS12}, &one},
		"the first of two":      {&tls.Config{Certificates: []tls.Certificate{two, one}}, &two},
		"by callback":           {&tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &two, nil }}, &two},
		"by config": {&tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return &tls.Config{Certificates: []tls.Certificate{two}}, nil
		}}, &two},
		"clients must have one": {&tls.Config{Certificates: []tls.Certificate{one}, ClientAuth: tls.RequireAnyClientCert}, &one},
		"neither, TLS 1.2":      {&tls.Config{Certificates: []tls.Certificate{one}, ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12}, &one},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := NewServer(&Config{TLSConfig: tt.config})
				defer s.Close()
				got := s.Certificate()
				if got == nil || tt.want != nil && !bytes.Equal(got.Raw, tt.want.Certificate[0]) {
					t.Fatalf("not the certificate that was given: %v", got)
				}
				if tt.config == nil || tt.config.ClientAuth != tls.RequireAnyClientCert {
					if seen := shownTo(t, s); !seen.Equal(got) {
						t.Errorf("a client sees %v, Certificate returns %v", seen.Subject, got.Subject)
					}
				}
				sessions := s.Sessions()
				if s.Stop(); !s.Certificate().Equal(got) {
					t.Error("another certificate while the server is stopped")
				}
				if s.Close(); !s.Certificate().Equal(got) || s.Sessions() != sessions {
					t.Error("another certificate after Close, or a session for it")
				}
			})
		})
	}
	for name, config := range map[string]*Config{
		"no TLS":              {TLS: NoTLS},
		"no certificate":      {TLSConfig: &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errors.New("none") }}},
		"no certificate, 1.2": {TLSConfig: &tls.Config{MaxVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, errors.New("none") }}},
	} {
		s := newServer(t, config)
		if c, p := s.Certificate(), s.CertificatePEM(); c != nil || p != nil {
			t.Errorf("%s: %v, %q", name, c, p)
		}
	}
}

// The PEM begins with the leaf, and trusting it is enough.
func TestCertificatePEM(t *testing.T) {
	given, _ := newCertificate(t, "given", x509.ExtKeyUsageServerAuth, 0)
	for name, config := range map[string]*Config{
		"own":   {TLS: ImplicitTLS},
		"given": {TLS: ImplicitTLS, TLSConfig: &tls.Config{Certificates: []tls.Certificate{given}}},
	} {
		s := newServer(t, config)
		text := s.CertificatePEM()
		block, rest := pem.Decode(text)
		if block == nil || block.Type != "CERTIFICATE" || len(block.Headers) != 0 || !bytes.Equal(block.Bytes, s.Certificate().Raw) {
			t.Fatalf("%s: %s", name, text)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(text) {
			t.Fatalf("%s: %s", name, text)
		}
		nc := tls.Client(s.Pipe(), &tls.Config{RootCAs: pool, ServerName: "localhost"})
		if err := nc.Handshake(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		nc.Close()
		if name != "own" {
			continue
		}
		// Many a TLS stack wants the CA itself: a leaf alone is no anchor to it.
		block, rest = pem.Decode(rest)
		if block == nil || len(bytes.TrimSpace(rest)) > 0 {
			t.Fatalf("%s: not two certificates: %s", name, text)
		}
		ca, err := x509.ParseCertificate(block.Bytes)
		if err != nil || !ca.IsCA || s.Certificate().CheckSignatureFrom(ca) != nil {
			t.Errorf("%s: the second is not the CA of the first: %v, %v", name, ca, err)
		}
	}
}
