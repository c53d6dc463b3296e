package saslserver

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"hash"
	"math/big"
	"net"
	"strings"
	"testing"
)

// newCertificate issues a certificate that is signed with that algorithm.
func newCertificate(t *testing.T, algorithm x509.SignatureAlgorithm) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), SignatureAlgorithm: algorithm}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// connect returns the states of the two ends of a TLS connection.
func connect(t *testing.T, version uint16, certificate tls.Certificate) (client, server tls.ConnectionState) {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	tlsServer := tls.Server(b, &tls.Config{Certificates: []tls.Certificate{certificate}, MaxVersion: version, SessionTicketsDisabled: true})
	done := make(chan error)
	go func() { done <- tlsServer.Handshake() }()
	tlsClient := tls.Client(a, &tls.Config{InsecureSkipVerify: true})
	if err := tlsClient.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return tlsClient.ConnectionState(), tlsServer.ConnectionState()
}

// TestChannelBinding: each mechanism with each binding and each flag, over TLS
// 1.2 and 1.3.
func TestChannelBinding(t *testing.T) {
	const canBind, noBinding, wrongType, noMatch = "535 server-does-support", "535 channel-binding-not-supported",
		"535 unsupported-channel-binding-type", "535 channel-bindings-dont-match"
	tests := []struct {
		name, flag, kind string // of the binding that is used
		plus             bool
		want12, want13   string
	}{
		{"exporter", "p=tls-exporter", "tls-exporter", true, wrongType, "334"},
		{"end point", "p=tls-server-end-point", "tls-server-end-point", true, "334", "334"},
		{"exporter for end point", "p=tls-server-end-point", "tls-exporter", true, noMatch, noMatch},
		{"end point for exporter", "p=tls-exporter", "tls-server-end-point", true, wrongType, noMatch},
		{"no data", "p=tls-server-end-point", "", true, noMatch, noMatch},
		{"unique", "p=tls-unique", "", true, wrongType, wrongType},
		{"unknown", "p=x", "", true, wrongType, wrongType},
		{"no type", "p=", "", true, wrongType, wrongType},
		{"PLUS without binding", "n", "", true, canBind, canBind},
		{"PLUS that could bind", "y", "", true, canBind, canBind},
		{"could not bind", "n", "", false, "334", "334"},
		{"could bind but saw no PLUS", "y", "", false, canBind, canBind},
		{"binding without PLUS", "p=tls-server-end-point", "tls-server-end-point", false, noBinding, noBinding},
	}
	certificate := newCertificate(t, x509.ECDSAWithSHA256)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		clientState, serverState := connect(t, version, certificate)
		exporter, err := clientState.ExportKeyingMaterial("EXPORTER-Channel-Binding", []byte{}, 32)
		if err != nil {
			t.Fatal(err)
		}
		endPoint := sha256.Sum256(clientState.PeerCertificates[0].Raw)
		s := Session{Accounts: map[string]string{"user": "pencil"}, Bindings: Bindings(serverState, certificate.Certificate[0])}
		for base, hash := range scramHashes {
			s.Mechanisms = []string{base, base + "-PLUS"}
			for _, tt := range tests {
				mechanism, reply := base, tt.want12
				if version == tls.VersionTLS13 {
					reply = tt.want13
				}
				if tt.plus {
					mechanism += "-PLUS"
				}
				t.Run(tls.VersionName(version)+" "+mechanism+" "+tt.name, func(t *testing.T) {
					client := scramClient{hash: hash, header: tt.flag + ",,", name: "user", password: "pencil"}
					switch tt.kind {
					case "tls-exporter":
						client.binding = exporter
					case "tls-server-end-point":
						client.binding = endPoint[:]
					}
					x := s.New(mechanism)
					got := say(x, client.first())
					if reply != "334" && reply != noMatch {
						want(t, got, reply)
						return
					}
					final, signature := client.final(t, got)
					if reply == noMatch {
						want(t, say(x, final), reply)
						return
					}
					if got := say(x, final); got != "334 "+signature {
						t.Errorf("%q, want signature %q", got, signature)
					}
					want(t, say(x, ""), "235 user")
				})
			}
		}
	}
}

// TestBindings: what a session can be bound to, with and without a known certificate, and
// what the server then offers.
func TestBindings(t *testing.T) {
	certificate := newCertificate(t, x509.ECDSAWithSHA256)
	for _, tt := range []struct {
		version uint16
		der     []byte
		types   int
		offered string
	}{
		{tls.VersionTLS12, nil, 0, "SCRAM-SHA-1"},
		{tls.VersionTLS12, certificate.Certificate[0], 1, "SCRAM-SHA-1 scram-sha-1-plus"},
		{tls.VersionTLS13, nil, 1, "SCRAM-SHA-1 scram-sha-1-plus"},
		{tls.VersionTLS13, certificate.Certificate[0], 2, "SCRAM-SHA-1 scram-sha-1-plus"},
	} {
		_, state := connect(t, tt.version, certificate)
		s := Session{Accounts: map[string]string{"user": "pencil"}, Mechanisms: []string{"SCRAM-SHA-1", "scram-sha-1-plus"},
			Bindings: Bindings(state, tt.der)}
		if got := strings.Join(s.Offered(), " "); len(s.Bindings) != tt.types || got != tt.offered {
			t.Errorf("%s, %d octets: bindings %v, offered %s", tls.VersionName(tt.version), len(tt.der), s.Bindings, got)
		}
	}
}

// TestEndPointHash: the hash is that of the certificate's signature, with
// SHA-256 for weaker ones, and there is none for Ed25519 (RFC 5929, 4.1).
func TestEndPointHash(t *testing.T) {
	for algorithm, hash := range map[x509.SignatureAlgorithm]func() hash.Hash{
		x509.ECDSAWithSHA256: sha256.New, x509.ECDSAWithSHA384: sha512.New384, x509.ECDSAWithSHA512: sha512.New,
	} {
		der := newCertificate(t, algorithm).Certificate[0]
		h := hash()
		h.Write(der)
		if got := hashCertificate(der); string(got) != string(h.Sum(nil)) {
			t.Errorf("%v: %x", algorithm, got)
		}
	}
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1)}, &x509.Certificate{}, pub, key)
	if got := hashCertificate(der); err != nil || got != nil {
		t.Errorf("Ed25519: %x, %v", got, err)
	}
	if got := hashCertificate(nil); got != nil {
		t.Errorf("no certificate: %x", got)
	}
	if got := hashCertificate([]byte("no certificate")); got != nil {
		t.Errorf("not a certificate: %x", got)
	}
}
