package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fe022423/submission/smtptest"
)

func TestDemonstration(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), nil, "", &out); err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(out.String(), "\n== ")
	if len(parts) != 6 {
		t.Fatalf("output:\n%s", &out)
	}
	pin := strings.TrimSpace(parts[5][strings.Index(parts[5], "pin="):])
	for i, want := range []string{"The server showed a certificate with " + pin, "Trusted: ", "Trusted: ", "not in PinnedKeys", ""} {
		if !strings.Contains(parts[i+1], want) {
			t.Errorf("no %q in\n%s", want, parts[i+1])
		}
	}
}

// write writes a file and returns its name.
func write(t *testing.T, content []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file.pem")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// selfSigned makes a certificate that nobody else has signed, for another name, and that
// expired long ago. It returns it in PEM, too.
func selfSigned(t *testing.T) (tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "other.example.org"}, DNSNames: []string{"other.example.org"},
		NotBefore: time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2002, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestTrust(t *testing.T) {
	company, other := smtptest.New(t, &smtptest.Config{TLS: smtptest.ImplicitTLS}), smtptest.New(t, nil)
	cert, certPEM := selfSigned(t)
	cert.Certificate = append(cert.Certificate, other.Certificate().Raw) // of which nothing is the server's
	expired := smtptest.New(t, &smtptest.Config{TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}}})
	clear := smtptest.New(t, &smtptest.Config{TLS: smtptest.NoTLS})
	bare := func(srv *smtptest.Server) string {
		url, _, _ := strings.Cut(srv.URL(), "&pin=")
		return url
	}
	_, authority := pem.Decode(company.CertificatePEM()) // without the server's own
	for _, tt := range []struct {
		name, url string
		trusted   bool
		text      string // printed or in the error
	}{
		{"CA", bare(company) + "&ca=" + write(t, authority), true, "CN=mail.test.example by CN=smtptest CA"},
		{"pin", company.URL(), true, "CN=mail.test.example"},
		{"neither", bare(company), false, "Trust it only after its owner"},
		{"another CA", bare(company) + "&ca=" + write(t, other.CertificatePEM()), false, "unknown authority"},
		{"another pin", bare(company) + "&pin=sha256:" + strings.Repeat("0", 64), false, "PinnedKeys"},
		{"another pin, right CA", bare(company) + "&ca=" + write(t, authority) + "&pin=sha256:" + strings.Repeat("0", 64), false, "PinnedKeys"},
		{"expired, CA", bare(expired) + "&ca=" + write(t, certPEM), false, "certificate"},
		{"expired, pin", expired.URL(), true, "until 2002-01-01"},
		{"expired, neither", bare(expired), false, fmt.Sprintf("with pin=sha256:%x\n", sha256.Sum256(expired.Certificate().RawSubjectPublicKeyInfo))},
		{"no TLS", clear.URL(), false, "no TLS"},
		{"no such file", bare(company) + "&ca=none.pem", false, "none.pem"},
		{"no certificate", bare(company) + "&ca=" + write(t, []byte("hello")), false, "no certificate"},
		{"no server", "mail.example.org", false, "scheme"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			err := run(t.Context(), nil, tt.url, &out)
			if (err == nil) != tt.trusted || strings.Contains(out.String(), "Trusted: ") != tt.trusted {
				t.Errorf("error %v, output:\n%s", err, &out)
			}
			if !strings.Contains(fmt.Sprint(out.String(), err), tt.text) {
				t.Errorf("no %q in error %v, output:\n%s", tt.text, err, &out)
			}
		})
	}
}

// The pin of a file is that of the server that shows it.
func TestPin(t *testing.T) {
	srv := smtptest.New(t, nil)
	key := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: []byte("a secret")})
	want := fmt.Sprintf("pin=sha256:%x\n", sha256.Sum256(srv.Certificate().RawSubjectPublicKeyInfo))
	broken := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("no DER")})
	for _, tt := range []struct {
		name string
		args []string
		text string // of the error, "" for none
	}{
		{"certificates", []string{"pin", write(t, srv.CertificatePEM())}, ""},
		{"behind a key", []string{"pin", write(t, append(key, srv.CertificatePEM()...))}, ""},
		{"behind a text", []string{"pin", write(t, append([]byte("my server:\n"), srv.CertificatePEM()...))}, ""},
		{"key alone", []string{"pin", write(t, key)}, "no certificate"},
		{"no PEM", []string{"pin", write(t, srv.Certificate().Raw)}, "no certificate"},
		{"broken", []string{"pin", write(t, broken)}, "x509"},
		{"no file", []string{"pin", "none.pem"}, "none.pem"},
		{"pin alone", []string{"pin"}, "usage"},
		{"something else", []string{"pins", "x"}, "usage"},
	} {
		var out bytes.Buffer
		err := run(t.Context(), tt.args, "", &out)
		switch {
		case tt.text == "" && (err != nil || out.String() != want):
			t.Errorf("%s: error %v, output %q, want %q", tt.name, err, &out, want)
		case tt.text != "" && (err == nil || !strings.Contains(err.Error(), tt.text) || out.Len() > 0):
			t.Errorf("%s: error %v, output %q, want an error with %q", tt.name, err, &out, tt.text)
		}
	}
}
