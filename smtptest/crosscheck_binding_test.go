package smtptest

import (
	"crypto/tls"
	"crypto/x509"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/fe022423/submission/internal/mechanism"
	hidden "github.com/fe022423/submission/internal/redact"
	"github.com/xdg-go/scram"
)

// bound opens a session over TLS and returns what it can be bound to:
// the end point and, with TLS 1.3, the exporter. cfg is that of client.secure.
func bound(t *testing.T, s *Server, cfg *tls.Config) (c *client, bindings []mechanism.Binding) {
	t.Helper()
	c = piped(t, s)
	state := c.secure(s, cfg).ConnectionState()
	c.do("EHLO client.example", "250")
	endPoint, err := scram.NewTLSServerEndpointBinding(&state)
	if err != nil {
		t.Fatal(err)
	}
	bindings = []mechanism.Binding{{Type: mechanism.TLSServerEndPoint, Data: endPoint.Data}}
	if state.Version == tls.VersionTLS13 {
		exporter, err := scram.NewTLSExporterBinding(&state)
		if err != nil {
			t.Fatal(err)
		}
		bindings = append(bindings, mechanism.Binding{Type: mechanism.TLSExporter, Data: exporter.Data})
	}
	return c, bindings
}

// TestCrossCheckBindings: the client binds to another connection, or to something other
// than it says.
func TestCrossCheckBindings(t *testing.T) {
	accounts := map[string]string{"user": "pencil"}
	servers := map[uint16]*Server{}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		servers[version] = crossServer(t, accounts, version)
	}
	_, others := bound(t, crossServer(t, accounts, tls.VersionTLS13), nil)
	for _, name := range slices.Sorted(maps.Keys(clients)) {
		if !strings.HasSuffix(name, "-PLUS") {
			continue
		}
		for version, s := range servers {
			for _, other := range others {
				c, _ := bound(t, s, nil)
				m, err := clients[name](mechanism.Credentials{Username: "user", Password: hidden.Hide("pencil"), Binding: other})
				if err != nil {
					t.Fatal(err)
				}
				want := "535 5.7.8 channel-bindings-dont-match"
				if version == tls.VersionTLS12 && other.Type == mechanism.TLSExporter {
					want = "535 5.7.8 unsupported-channel-binding-type"
				}
				if reply, complete := c.authenticate(m); !strings.HasPrefix(reply, want) || complete == nil {
					t.Errorf("%s %s %s: %q, Complete: %v", tls.VersionName(version), name, other.Type, reply, complete)
				}
			}
		}
	}
}

// TestCrossCheckStruckPlus: a client that can bind and was offered no -PLUS says so,
// and the server knows that it did offer one.
func TestCrossCheckStruckPlus(t *testing.T) {
	s := crossServer(t, map[string]string{"user": "pencil"}, tls.VersionTLS13)
	for _, name := range scrams {
		for _, offered := range [][]string{spoken, {name}} {
			c, bindings := bound(t, s, nil)
			m, err := clients[name](mechanism.Credentials{Username: "user", Password: hidden.Hide("pencil"),
				Binding: bindings[0], Offered: offered})
			if err != nil {
				t.Fatal(err)
			}
			want := "535 5.7.8 server-does-support-channel-binding"
			if len(offered) > 1 {
				want = "235"
			}
			if reply, _ := c.authenticate(m); !strings.HasPrefix(reply, want) {
				t.Errorf("%s, offered %v: %q", name, offered, reply)
			}
		}
	}
}

// TestCrossCheckCertificate binds to a certificate that is not the server's own,
// with each hash that a signature can have.
func TestCrossCheckCertificate(t *testing.T) {
	for _, algorithm := range []x509.SignatureAlgorithm{x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512} {
		certificate, pool := newCertificate(t, "server", x509.ExtKeyUsageServerAuth, algorithm)
		s := newServer(t, &Config{Accounts: map[string]string{"user": "pencil"}, Mechanisms: []string{"SCRAM-SHA-256-PLUS"},
			TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}}})
		c, bindings := bound(t, s, &tls.Config{RootCAs: pool})
		m, err := mechanism.NewScramSHA256Plus(mechanism.Credentials{Username: "user", Password: hidden.Hide("pencil"), Binding: bindings[0]})
		if err != nil {
			t.Fatal(err)
		}
		if reply, complete := c.authenticate(m); !strings.HasPrefix(reply, "235") || complete != nil {
			t.Errorf("%v: %q, Complete: %v", algorithm, reply, complete)
		}
	}
}
