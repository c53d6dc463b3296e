package submission_test

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/fe022423/submission"
)

func roots(pool *x509.CertPool) func(*submission.Options) {
	return func(o *submission.Options) { o.TLSConfig.RootCAs = pool }
}

// What is wrong with a certificate, whose fault it is, and what helps.
func TestHintCertificate(t *testing.T) {
	ca, other := newAuthority(t, "the issuer"), newAuthority(t, "another issuer")
	intermediate := &authority{cert: &x509.Certificate{
		Subject: pkix.Name{CommonName: "in between"}, KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
	}}
	signed := ca.issue(t, intermediate.cert)
	intermediate.cert, intermediate.key = signed.Leaf, signed.PrivateKey.(*ecdsa.PrivateKey)
	var none *authority
	named := func(cn string) *x509.Certificate {
		return changed(forNames(), func(c *x509.Certificate) { c.Subject.CommonName = cn })
	}
	many := make([]string, 40)
	for i := range many {
		many[i] = fmt.Sprintf("host%d.example", i+1)
	}
	at := func(year int) time.Time { return time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC) }
	const clock, sends, noSAN, selfSigned = "this machine's clock is wrong", "sends no intermediate", "has no subject alternative name", "self-signed"
	for _, tt := range []struct {
		name        string
		cert        tls.Certificate
		set         func(*submission.Options)
		has, hasNot string
	}{
		{name: "common name only", cert: ca.issue(t, named(testHost)), has: noSAN + "|reissue|PinnedKeys", hasNot: sends + "|" + clock + "|ServerName"},
		{name: "common name only, self-signed", cert: none.issue(t, named(testHost)), has: noSAN + "|PinnedKeys", hasNot: sends + "|ServerName"},
		{name: "an email address only", cert: ca.issue(t, changed(named(testHost), func(c *x509.Certificate) { c.EmailAddresses = []string{"a@" + testHost} })),
			has: "none of its subject alternative names is a host|reissue|PinnedKeys", hasNot: noSAN},
		{name: "wrong name", cert: ca.issue(t, changed(forNames("a.example", "b.example"), func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(192, 0, 2, 7)} })),
			has: "is for a.example, b.example, 192.0.2.7|ServerName|PinnedKeys", hasNot: noSAN + "|" + sends + "|" + clock + "|RootCAs"},
		{name: "wrong name, an address", cert: ca.issue(t, forIPs("192.0.2.7", "2001:db8::7")), has: "192.0.2.7, 2001:db8::7|ServerName|PinnedKeys", hasNot: noSAN},
		{name: "an address as a name", cert: ca.issue(t, forNames("192.0.2.7")), has: "192.0.2.7 as a name", hasNot: noSAN},
		{name: "wrong name, many", cert: ca.issue(t, forNames(many...)), has: "host1.example|host5.example, and 35 more", hasNot: "and 36 more"},
		{name: "wrong ServerName", cert: ca.issue(t, forNames(testHost)), set: func(o *submission.Options) { o.TLSConfig.ServerName = "x.example" },
			has: "is for " + testHost + "|ServerName", hasNot: noSAN},
		{name: "no intermediate", cert: intermediate.issue(t, forNames(testHost)), has: "perhaps the server " + sends + "|RootCAs|PinnedKeys", hasNot: selfSigned + "|" + clock + "|CA certificates"},
		{name: "intermediate of another", cert: withChain(intermediate.issue(t, forNames(testHost)), other), has: sends},
		{name: "with its intermediate, unknown CA", cert: withChain(intermediate.issue(t, forNames(testHost)), intermediate), set: func(o *submission.Options) { o.TLSConfig.RootCAs = other.pool() },
			has: "RootCAs|PinnedKeys", hasNot: sends + "|" + selfSigned},
		{name: "self-signed", cert: none.issue(t, forNames(testHost)), has: selfSigned + "|RootCAs|PinnedKeys", hasNot: sends + "|" + noSAN + "|" + clock},
		{name: "not yet valid", cert: ca.issue(t, changed(forNames(testHost), func(c *x509.Certificate) { c.NotBefore = at(2089) })),
			has: "another certificate|or " + clock + "|2089-01-01", hasNot: "RootCAs|" + noSAN},
		{name: "expired", cert: ca.issue(t, changed(forNames(testHost), func(c *x509.Certificate) { c.NotAfter = at(2001) })),
			has: "another certificate|2001-01-01", hasNot: clock + "|RootCAs"},
		{name: "for clients", cert: ca.issue(t, changed(forNames(testHost), func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })),
			has: "another certificate|not for servers", hasNot: clock},
		{name: "an empty pool", cert: ca.issue(t, forNames(testHost)), set: roots(x509.NewCertPool()), has: "TLSConfig.RootCAs is empty", hasNot: sends + "|this machine has no"},
		{name: "another key than pinned", cert: ca.issue(t, forNames(testHost)), set: func(o *submission.Options) { o.PinnedKeys = make([][32]byte, 1) },
			has: "PinnedKeys", hasNot: sends + "|RootCAs|ServerName"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bothWays(t, func(t *testing.T, mode submission.TLSMode) {
				p := &hintPeer{ca: ca, cfg: &tls.Config{Certificates: []tls.Certificate{tt.cert}}, greeting: "220 hi\r\n", hello: "250 mail\r\n"}
				set := []func(*submission.Options){}
				if tt.set != nil {
					set = append(set, tt.set)
				}
				err := p.dial(t, mode, set...)
				wantError[*submission.TLSError](t, err)
				wantSays(t, err, words(tt.has), append(words(tt.hasNot), "TLSNone", "InsecureSkipVerify"))
			})
		})
	}
}

// noRootsProcess tells the test binary that it runs in TestHintNoRoots.
const noRootsProcess = "SUBMISSION_TEST_NO_ROOTS"

// A machine without any CA certificate, as a container made from scratch is, trusts
// nobody. The roots of a process are loaded once, so this one is another process.
func TestHintNoRoots(t *testing.T) {
	if os.Getenv(noRootsProcess) == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHintNoRoots$", "-test.v")
		dir := t.TempDir()
		cmd.Env = append(os.Environ(), noRootsProcess+"=1", "SSL_CERT_FILE="+dir+"/none", "SSL_CERT_DIR="+dir)
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS") && !strings.Contains(string(out), "--- SKIP") {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	if pool, err := x509.SystemCertPool(); err == nil && !pool.Equal(x509.NewCertPool()) {
		t.Skip("the system has roots whatever the environment says")
	}
	const none = "this machine has no CA certificates"
	p := newHintPeer(t, forNames(testHost))
	wantSays(t, p.dial(t, submission.TLSImplicit, roots(nil)), []string{none, "RootCAs"}, []string{"sends no intermediate", "self-signed"})
	wantSays(t, p.dial(t, submission.TLSImplicit, roots(newAuthority(t, "x").pool())), nil, []string{none})
}
