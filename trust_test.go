package submission_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// authority is a CA.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	a := &authority{cert: &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
	}}
	self := a.issue(t, a.cert)
	a.cert, a.key = self.Leaf, self.PrivateKey.(*ecdsa.PrivateKey)
	return a
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// issue makes a certificate of the authority. For its own certificate, and if a is nil, the
// certificate is self-signed.
func (a *authority) issue(t testing.TB, template *x509.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	if template.NotBefore.IsZero() {
		template.NotBefore = time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Date(2090, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	parent, signer := template, key
	if a != nil && a.key != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// forNames is a template for the certificate of a server with these names.
func forNames(names ...string) *x509.Certificate {
	return &x509.Certificate{
		Subject:     pkix.Name{CommonName: "the subject"},
		DNSNames:    names,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
}

// forIPs is the same for a server with these addresses.
func forIPs(ips ...string) *x509.Certificate {
	c := forNames()
	for _, ip := range ips {
		c.IPAddresses = append(c.IPAddresses, net.ParseIP(ip))
	}
	return c
}

// changed returns c after a change.
func changed(c *x509.Certificate, change func(*x509.Certificate)) *x509.Certificate {
	change(c)
	return c
}

// pin is the value for Options.PinnedKeys.
func pin(c tls.Certificate) [32]byte { return sha256.Sum256(c.Leaf.RawSubjectPublicKeyInfo) }

// peer is a small SMTP server with the TLS configuration of a test.
type peer struct {
	cfg      *tls.Config
	implicit bool
	addr     string
}

func newPeer(t testing.TB, implicit bool, cfg *tls.Config) *peer {
	t.Helper()
	p := &peer{cfg: cfg, implicit: implicit}
	p.addr = listen(t, p.serve)
	return p
}

func (p *peer) serve(raw net.Conn) {
	nc := raw
	if !p.implicit {
		if !talk(nc, true) {
			return
		}
	}
	secured := tls.Server(nc, p.cfg)
	if secured.Handshake() == nil {
		if p.implicit {
			io.WriteString(secured, "220 hi\r\n")
		}
		talk(secured, false)
	}
	io.Copy(io.Discard, raw)
}

// dialer dials the peer, whatever the address is. The last connection is in *last.
func (p *peer) dialer(last **recorder) submission.Dialer {
	return dialFunc(func(ctx context.Context, network, _ string) (net.Conn, error) {
		nc, err := new(net.Dialer).DialContext(ctx, network, p.addr)
		if err != nil {
			return nil, err
		}
		*last = record(nc)
		return *last, nil
	})
}

// Which certificates are accepted, and what the error says about the others.
func TestCertificates(t *testing.T) {
	ca, other := newAuthority(t, "the issuer"), newAuthority(t, "another issuer")
	var none *authority
	const (
		good      = ""
		unknown   = "unknown authority"
		name      = "wrong name"
		invalid   = "invalid"
		wrongPin  = "wrong pin"
		forbidden = "the check of the caller"
	)
	hints := map[string][]string{
		unknown:  {"RootCAs", "PinnedKeys"},
		name:     {"ServerName"},
		invalid:  {"another certificate"},
		wrongPin: {"PinnedKeys"},
	}
	mail := ca.issue(t, forNames(testHost))
	self := none.issue(t, changed(forNames("other.example"), func(c *x509.Certificate) {
		c.NotAfter = time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)
	}))
	errCaller := errors.New("refused by the caller")
	tests := []struct {
		name    string
		host    string // "" is testHost
		cert    tls.Certificate
		options func(*submission.Options)
		want    string
	}{
		{name: "good", cert: mail},
		{name: "several names", cert: ca.issue(t, forNames("a.example", testHost, "b.example"))},
		{name: "self-signed", cert: none.issue(t, forNames(testHost)), want: unknown},
		{name: "unknown CA", cert: other.issue(t, forNames(testHost)), want: unknown},
		{name: "wrong name", cert: ca.issue(t, forNames("mail.other.example")), want: name},
		{name: "expired", cert: ca.issue(t, changed(forNames(testHost), func(c *x509.Certificate) {
			c.NotAfter = time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)
		})), want: invalid},
		{name: "not yet valid", cert: ca.issue(t, changed(forNames(testHost), func(c *x509.Certificate) {
			c.NotBefore = time.Date(2089, 1, 1, 0, 0, 0, 0, time.UTC)
		})), want: invalid},
		{name: "for clients only", cert: ca.issue(t, changed(forNames(testHost), func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		})), want: invalid},
		{name: "no SAN", cert: ca.issue(t, changed(forNames(), func(c *x509.Certificate) { c.Subject.CommonName = testHost })), want: name},
		{name: "IP SAN", host: "192.0.2.25", cert: ca.issue(t, forIPs("192.0.2.25"))},
		{name: "IPv6 SAN", host: "[2001:db8::25]", cert: ca.issue(t, forIPs("2001:db8::25"))},
		{name: "another IP SAN", host: "192.0.2.25", cert: ca.issue(t, forIPs("192.0.2.26")), want: name},
		{name: "IP as a DNS name", host: "192.0.2.25", cert: ca.issue(t, forNames("192.0.2.25")), want: name},
		{name: "IP SAN, dialed by name", cert: ca.issue(t, forIPs("127.0.0.1")), want: name},
		{name: "wildcard", cert: ca.issue(t, forNames("*.test.example"))},
		{name: "wildcard, a level too deep", host: "a.mail.test.example", cert: ca.issue(t, forNames("*.test.example")), want: name},
		{name: "wildcard, a level too high", host: "test.example", cert: ca.issue(t, forNames("*.test.example")), want: name},
		{name: "wildcard, not first", cert: ca.issue(t, forNames("mail.*.example")), want: name},
		{name: "upper case", host: "MAIL.Test.Example", cert: mail},
		{name: "trailing dot", host: testHost + ".", cert: mail},
		{name: "IDN", host: "тест.example", cert: ca.issue(t, forNames("xn--e1aybc.example"))},
		{name: "ServerName", host: "192.0.2.25", cert: mail,
			options: func(o *submission.Options) { o.TLSConfig.ServerName = testHost }},
		{name: "ServerName, IDN", host: "192.0.2.25", cert: ca.issue(t, forNames("xn--e1aybc.example")),
			options: func(o *submission.Options) { o.TLSConfig.ServerName = "тест.example" }},
		{name: "ServerName, trailing dot", host: "192.0.2.25", cert: mail,
			options: func(o *submission.Options) { o.TLSConfig.ServerName = testHost + "." }},
		{name: "ServerName with a zone", cert: ca.issue(t, forIPs("fe80::1")),
			options: func(o *submission.Options) { o.TLSConfig.ServerName = "fe80::1%eth0" }},
		{name: "ServerName, wrong", cert: mail,
			options: func(o *submission.Options) { o.TLSConfig.ServerName = "x.example" }, want: name},
		{name: "not verified", cert: self,
			options: func(o *submission.Options) { o.TLSConfig.InsecureSkipVerify = true }},

		{name: "pin, no CA", cert: self, options: func(o *submission.Options) { o.PinnedKeys = [][32]byte{pin(self)} }},
		{name: "pin among others", cert: self, options: func(o *submission.Options) {
			o.PinnedKeys = [][32]byte{{1}, pin(mail), pin(self)}
		}},
		{name: "pin, good certificate", cert: mail, options: func(o *submission.Options) { o.PinnedKeys = [][32]byte{pin(mail)} }},
		{name: "wrong pin, good certificate", cert: mail, options: func(o *submission.Options) { o.PinnedKeys = [][32]byte{pin(self)} }, want: wrongPin},
		{name: "zero pin", cert: mail, options: func(o *submission.Options) { o.PinnedKeys = make([][32]byte, 1) }, want: wrongPin},
		{name: "pin of the CA", cert: withChain(mail, ca), options: func(o *submission.Options) {
			o.PinnedKeys = [][32]byte{sha256.Sum256(ca.cert.RawSubjectPublicKeyInfo)}
		}, want: wrongPin},
		{name: "wrong pin, not verified", cert: self, options: func(o *submission.Options) {
			o.TLSConfig.InsecureSkipVerify, o.PinnedKeys = true, [][32]byte{pin(mail)}
		}, want: wrongPin},
		{name: "right pin, and the caller says no", cert: mail, options: func(o *submission.Options) {
			o.PinnedKeys = [][32]byte{pin(mail)}
			o.TLSConfig.VerifyConnection = func(tls.ConnectionState) error { return errCaller }
		}, want: forbidden},
		{name: "wrong pin, and the caller says yes", cert: mail, options: func(o *submission.Options) {
			o.PinnedKeys = [][32]byte{pin(self)}
			o.TLSConfig.VerifyConnection = func(tls.ConnectionState) error { return nil }
		}, want: wrongPin},
		{name: "the caller says no", cert: mail, options: func(o *submission.Options) {
			o.TLSConfig.VerifyConnection = func(tls.ConnectionState) error { return errCaller }
		}, want: forbidden},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bothWays(t, func(t *testing.T, mode submission.TLSMode) {
				p := newPeer(t, mode == submission.TLSImplicit, &tls.Config{Certificates: []tls.Certificate{tt.cert}})
				var wire *recorder
				done := 0
				o := plainText(withTLS(mode), withAuth(testPassword))
				o.Dialer = p.dialer(&wire)
				o.TLSConfig = &tls.Config{RootCAs: ca.pool()}
				o.InsecureAuth = true // so only the certificate can keep the password from being sent
				o.Trace = &submission.Trace{TLSDone: func(context.Context, submission.SessionInfo, tls.ConnectionState) { done++ }}
				if tt.options != nil {
					tt.options(o)
				}
				host := tt.host
				if host == "" {
					host = testHost
				}
				c, err := submission.New(host, o)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				s, err := c.Dial(context.Background())
				if tt.want == good {
					if err != nil {
						t.Fatal(err)
					}
					if _, ok := s.TLS(); !ok || done != 1 {
						t.Errorf("TLS %v, Trace.TLSDone called %d times", ok, done)
					}
					s.Close()
					wantOnlyTLS(t, wire.written())
					return
				}
				if s != nil || done != 0 {
					t.Errorf("session %v, Trace.TLSDone called %d times", s, done)
				}
				wantOnlyTLS(t, wire.written())
				e := wantError[*submission.TLSError](t, err)
				if e.Temporary() {
					t.Errorf("Temporary is true: %v", err)
				}
				var (
					authority x509.UnknownAuthorityError
					hostname  x509.HostnameError
					broken    x509.CertificateInvalidError
				)
				kinds := map[string]bool{
					unknown: errors.As(err, &authority), name: errors.As(err, &hostname), invalid: errors.As(err, &broken),
					forbidden: errors.Is(err, errCaller), wrongPin: strings.Contains(err.Error(), fmt.Sprintf("%x", pin(tt.cert))),
				}
				if !kinds[tt.want] {
					t.Errorf("the error does not say %s: %v", tt.want, err)
				}
				says := append([]string{e.Host}, hints[tt.want]...)
				if tt.name == "no SAN" {
					says = []string{e.Host, "no subject alternative name", "PinnedKeys"} // another ServerName would not help
				}
				if tt.want == unknown || tt.want == name || tt.want == invalid {
					says = append(says, tt.cert.Leaf.Subject.String(), tt.cert.Leaf.Issuer.String())
				}
				for _, want := range says {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("the error does not say %q: %v", want, err)
					}
				}
				if host := strings.Trim(host, "[]"); !strings.EqualFold(e.Host, host) {
					t.Errorf("host %q, want %q", e.Host, host)
				}
			})
		})
	}
}

func withChain(c tls.Certificate, ca *authority) tls.Certificate {
	c.Certificate = append(c.Certificate[:1:1], ca.cert.Raw)
	return c
}

// A certificate with names that would do something to a terminal.
func TestCertificateTextIsEscaped(t *testing.T) {
	var none *authority
	cert := none.issue(t, changed(forNames(testHost), func(c *x509.Certificate) {
		c.Subject.CommonName = "evil\x1b[2J\r\n\u202esubject"
	}))
	p := newPeer(t, true, &tls.Config{Certificates: []tls.Certificate{cert}})
	var wire *recorder
	c, err := submission.New(testHost, &submission.Options{TLS: submission.TLSImplicit, Dialer: p.dialer(&wire)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	err = c.Ping(context.Background())
	e := wantError[*submission.TLSError](t, err)
	for _, text := range []string{err.Error(), e.Hint} {
		if strings.ContainsAny(text, "\x1b\r\n\u202e") || !strings.Contains(text, "evil") {
			t.Errorf("%q", text)
		}
	}
}

// The server name in the handshake is the host in the address of New.
func TestServerNameIsTheHostNamed(t *testing.T) {
	ca := newAuthority(t, "ca")
	tests := []struct{ addr, sni string }{
		{testHost, testHost},
		{testHost + ".", testHost},
		{testHost + ":2525", testHost},
		{"тест.example", "xn--e1aybc.example"},
		{"192.0.2.25", ""},
		{"[2001:db8::25]", ""},
		{"[fe80::1%eth0]", ""},
		{"[fe80::1%eth0]:2525", ""},
	}
	cert := ca.issue(t, changed(forNames(testHost, "xn--e1aybc.example"), func(c *x509.Certificate) {
		c.IPAddresses = []net.IP{net.ParseIP("192.0.2.25"), net.ParseIP("2001:db8::25"), net.ParseIP("fe80::1")}
	}))
	for _, tt := range tests {
		t.Run(tt.addr, func(t *testing.T) {
			bothWays(t, func(t *testing.T, mode submission.TLSMode) {
				sni := make(chan string, 1)
				p := newPeer(t, mode == submission.TLSImplicit, &tls.Config{
					Certificates: []tls.Certificate{cert},
					GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
						sni <- h.ServerName
						return nil, nil
					}})
				var wire *recorder
				c, err := submission.New(tt.addr, &submission.Options{
					TLS: mode, Dialer: p.dialer(&wire), TLSConfig: &tls.Config{RootCAs: ca.pool()}})
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				if err := c.Ping(context.Background()); err != nil {
					t.Fatal(err)
				}
				if got := <-sni; got != tt.sni {
					t.Errorf("SNI %q, want %q", got, tt.sni)
				}
			})
		})
	}
}

// TLS 1.2 is the minimum, and TLSConfig may change the versions.
func TestVersions(t *testing.T) {
	ca := newAuthority(t, "ca")
	cert := ca.issue(t, forNames(testHost))
	for _, tt := range []struct {
		server uint16
		client *tls.Config
		ok     bool
	}{
		{tls.VersionTLS13, &tls.Config{}, true},
		{tls.VersionTLS12, &tls.Config{}, true},
		{tls.VersionTLS11, &tls.Config{}, false},
		{tls.VersionTLS10, &tls.Config{}, false},
		{tls.VersionTLS12, &tls.Config{MinVersion: tls.VersionTLS13}, false},
		{tls.VersionTLS13, &tls.Config{MaxVersion: tls.VersionTLS12}, false},
	} {
		name := fmt.Sprintf("%s, client %d to %d", tls.VersionName(tt.server), tt.client.MinVersion, tt.client.MaxVersion)
		t.Run(name, func(t *testing.T) {
			bothWays(t, func(t *testing.T, mode submission.TLSMode) {
				p := newPeer(t, mode == submission.TLSImplicit, &tls.Config{
					Certificates: []tls.Certificate{cert}, MinVersion: tt.server, MaxVersion: tt.server})
				var wire *recorder
				client := tt.client.Clone()
				client.RootCAs = ca.pool()
				c, err := submission.New(testHost, &submission.Options{TLS: mode, Dialer: p.dialer(&wire), TLSConfig: client})
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				s, err := c.Dial(context.Background())
				wantOnlyTLS(t, wire.written())
				if tt.ok {
					if err != nil {
						t.Fatal(err)
					}
					if st, _ := s.TLS(); st.Version != tt.server {
						t.Errorf("version %x", st.Version)
					}
					s.Close()
					return
				}
				if e := wantError[*submission.TLSError](t, err); e.Temporary() {
					t.Errorf("Temporary is true: %v", err)
				}
			})
		})
	}
}

// A server that wants a client certificate. In TLS 1.3 it refuses only after the client's part
// of the handshake has ended.
func TestClientCertificate(t *testing.T) {
	ca := newAuthority(t, "ca")
	server := ca.issue(t, forNames(testHost))
	client := ca.issue(t, changed(forNames(), func(c *x509.Certificate) {
		c.Subject.CommonName = "the client"
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}))
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, given := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, given %v", tls.VersionName(version), given), func(t *testing.T) {
				bothWays(t, func(t *testing.T, mode submission.TLSMode) {
					seen := make(chan string, 1)
					p := newPeer(t, mode == submission.TLSImplicit, &tls.Config{
						Certificates: []tls.Certificate{server}, MaxVersion: version,
						ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.pool(),
						VerifyConnection: func(st tls.ConnectionState) error {
							seen <- st.PeerCertificates[0].Subject.CommonName
							return nil
						}})
					var wire *recorder
					cfg := &tls.Config{RootCAs: ca.pool()}
					if given {
						cfg.Certificates = []tls.Certificate{client}
					}
					c, err := submission.New(testHost, &submission.Options{TLS: mode, Dialer: p.dialer(&wire), TLSConfig: cfg})
					if err != nil {
						t.Fatal(err)
					}
					defer c.Close()
					err = c.Ping(context.Background())
					wantOnlyTLS(t, wire.written())
					if given {
						if err != nil {
							t.Fatal(err)
						}
						if got := <-seen; got != "the client" {
							t.Errorf("the server saw %q", got)
						}
						return
					}
					if e := wantError[*submission.TLSError](t, err); e.Temporary() {
						t.Errorf("Temporary is true: %v", err)
					}
				})
			})
		}
	}
}

// The sessions of a Client resume TLS sessions.
func TestResumption(t *testing.T) {
	ca := newAuthority(t, "ca")
	cert := ca.issue(t, forNames(testHost))
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for name, options := range map[string]func(*submission.Options){
			"CA":  func(o *submission.Options) { o.TLSConfig = &tls.Config{RootCAs: ca.pool()} },
			"pin": func(o *submission.Options) { o.PinnedKeys = [][32]byte{pin(cert)} },
			"own cache": func(o *submission.Options) {
				o.TLSConfig = &tls.Config{RootCAs: ca.pool(), ClientSessionCache: &countingCache{}}
			},
		} {
			t.Run(tls.VersionName(version)+", "+name, func(t *testing.T) {
				bothWays(t, func(t *testing.T, mode submission.TLSMode) {
					p := newPeer(t, mode == submission.TLSImplicit, &tls.Config{Certificates: []tls.Certificate{cert}, MaxVersion: version})
					var wire *recorder
					o := &submission.Options{TLS: mode, Dialer: p.dialer(&wire), Auth: testPassword}
					options(o)
					c, err := submission.New(testHost, o)
					if err != nil {
						t.Fatal(err)
					}
					defer c.Close()
					for i, want := range []bool{false, true, true} {
						s, err := c.Dial(context.Background())
						if err != nil {
							t.Fatal(err)
						}
						if st, _ := s.TLS(); st.DidResume != want {
							t.Errorf("dial %d: resumed %v", i+1, st.DidResume)
						}
						s.Close()
					}
					if own, ok := o.TLSConfig, name == "own cache"; ok && own.ClientSessionCache.(*countingCache).puts == 0 {
						t.Error("the cache in TLSConfig was not used")
					}
				})
			})
		}
	}
}

// countingCache is a session cache that counts.
type countingCache struct {
	mu   sync.Mutex
	last *tls.ClientSessionState
	puts int
}

func (c *countingCache) Get(string) (*tls.ClientSessionState, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last, c.last != nil
}

func (c *countingCache) Put(_ string, s *tls.ClientSessionState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last, c.puts = s, c.puts+1
}

// New does not change Options.TLSConfig.
func TestTLSConfigStaysTheCallers(t *testing.T) {
	cfg := new(tls.Config)
	pins := [][32]byte{{1}}
	c, err := submission.New(testHost, &submission.Options{TLSConfig: cfg, PinnedKeys: pins})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if cfg.ServerName != "" || cfg.MinVersion != 0 || cfg.ClientSessionCache != nil || cfg.InsecureSkipVerify || cfg.VerifyConnection != nil {
		t.Error("New changed Options.TLSConfig")
	}
}

// Another TLS stack that verifies nothing. The pinned keys are still checked.
func TestTLSClientAndPins(t *testing.T) {
	srv := serve(t, &smtptest.Config{TLS: smtptest.ImplicitTLS})
	for _, tt := range []struct {
		pin [32]byte
		ok  bool
	}{{[32]byte{1}, false}, {serverPin(t, srv), true}} {
		o := plainText(withTLS(submission.TLSImplicit))
		o.PinnedKeys = [][32]byte{tt.pin}
		o.TLSClient = func(ctx context.Context, nc net.Conn, _ *tls.Config) (net.Conn, error) {
			secured := tls.Client(nc, &tls.Config{InsecureSkipVerify: true})
			return secured, secured.HandshakeContext(ctx)
		}
		s, err := submission.NewSession(context.Background(), srv.Pipe(), testHost, o)
		if tt.ok {
			if err != nil {
				t.Fatal(err)
			}
			s.Close()
			continue
		}
		wantError[*submission.TLSError](t, err)
	}
}

// The handshake uses the cipher suites in TLSConfig.
func TestCipherSuites(t *testing.T) {
	const one, other = tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
	for _, mode := range []submission.TLSMode{submission.TLSImplicit, submission.TLSStartTLS} {
		for server, ok := range map[uint16]bool{0: true, one: true, other: false} {
			t.Run(fmt.Sprintf("%v, server %x", mode, server), func(t *testing.T) {
				c := &smtptest.Config{TLSConfig: &tls.Config{MaxVersion: tls.VersionTLS12}}
				if server != 0 {
					c.TLSConfig.CipherSuites = []uint16{server}
				}
				if mode == submission.TLSImplicit {
					c.TLS = smtptest.ImplicitTLS
				}
				srv := serve(t, c)
				o := plainText(withTLS(mode))
				o.TLSConfig = srv.ClientTLSConfig()
				o.TLSConfig.CipherSuites = []uint16{one}
				s, err := submission.NewSession(context.Background(), srv.Pipe(), testHost, o)
				if !ok {
					wantError[*submission.TLSError](t, err)
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				if st, _ := s.TLS(); st.CipherSuite != one {
					t.Errorf("the suite is %s", tls.CipherSuiteName(st.CipherSuite))
				}
			})
		}
	}
}
