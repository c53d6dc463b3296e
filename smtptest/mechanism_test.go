package smtptest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"math/big"
	"strings"
	"testing"
)

// spoken are all mechanisms that the server speaks.
var spoken = []string{"PLAIN", "LOGIN", "DIGEST-MD5", "CRAM-MD5", "NTLM", "XOAUTH2", "OAUTHBEARER",
	"SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-512", "SCRAM-SHA-512-PLUS",
	"EXTERNAL", "ANONYMOUS"}

// secure goes on under TLS, after STARTTLS if the server wants that. The
// client trusts the server's own certificate unless cfg trusts another one.
func (c *client) secure(s *Server, cfg *tls.Config) *tls.Conn {
	c.t.Helper()
	if s.config.TLS == StartTLS {
		c.do("STARTTLS", "220")
	}
	cfg = cfg.Clone()
	if cfg == nil {
		cfg = &tls.Config{}
	}
	if cfg.RootCAs == nil {
		cfg.RootCAs = s.ClientTLSConfig().RootCAs
	}
	cfg.ServerName = "localhost"
	nc := tls.Client(c.nc, cfg)
	if err := nc.Handshake(); err != nil {
		c.t.Fatalf("handshake: %v", err)
	}
	c.nc, c.r = nc, newReader(nc)
	return nc
}

// challenge sends a line and decodes the challenge it is answered with.
func (c *client) challenge(line string) string {
	c.t.Helper()
	challenge, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(c.do(line, "334 "), "334 "))
	if err != nil {
		c.t.Fatal(err)
	}
	return string(challenge)
}

// identified sends a message and returns who the server says it came from.
func (c *client) identified(s *Server) string {
	c.t.Helper()
	dialogue(c, "> MAIL FROM:<a@b>", "< 250", "> RCPT TO:<a@b>", "< 250", "> DATA", "< 354", "> .", "< 250")
	all := s.Messages()
	return all[len(all)-1].Auth
}

// offers returns what AUTH offers, "" for no AUTH.
func (c *client) offers() string {
	c.t.Helper()
	for line := range strings.SplitSeq(c.do("EHLO client.example", "250"), "\n") {
		if mechanisms, ok := strings.CutPrefix(line[len("250-"):], "AUTH "); ok {
			return mechanisms
		}
	}
	return ""
}

// newCertificate issues a certificate of a CA that signed nothing else.
func newCertificate(t *testing.T, commonName string, usage x509.ExtKeyUsage, algorithm x509.SignatureAlgorithm) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	curve := elliptic.P256()
	if algorithm == x509.ECDSAWithSHA512 {
		curve = elliptic.P521()
	}
	caKey, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := sign(&x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA of " + commonName},
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true}, nil, &caKey.PublicKey, caKey)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := sign(&x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: commonName},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{usage}, BasicConstraintsValid: true,
		SignatureAlgorithm: algorithm, DNSNames: []string{"localhost"}}, ca, &key.PublicKey, caKey)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	return tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key}, pool
}

func TestOffers(t *testing.T) {
	own, _ := newCertificate(t, "client", x509.ExtKeyUsageClientAuth, 0)
	two, pool := newCertificate(t, "server", x509.ExtKeyUsageServerAuth, 0)
	accounts := map[string]string{"user": "secret"}
	const all = "PLAIN LOGIN DIGEST-MD5 CRAM-MD5 NTLM XOAUTH2 OAUTHBEARER " +
		"SCRAM-SHA-1 SCRAM-SHA-1-PLUS SCRAM-SHA-256 SCRAM-SHA-256-PLUS SCRAM-SHA-512 SCRAM-SHA-512-PLUS EXTERNAL ANONYMOUS"
	noPlus := strings.NewReplacer("-PLUS ", " ", "SCRAM-SHA-1 SCRAM-SHA-1", "SCRAM-SHA-1",
		"SCRAM-SHA-256 SCRAM-SHA-256", "SCRAM-SHA-256", "SCRAM-SHA-512 SCRAM-SHA-512", "SCRAM-SHA-512")
	tests := map[string]struct {
		config     Config
		client     *tls.Config
		clear, tls string
	}{
		"default": {Config{Accounts: accounts}, nil, "PLAIN LOGIN DIGEST-MD5", "PLAIN LOGIN DIGEST-MD5"},
		"all": {Config{Accounts: accounts, Mechanisms: spoken}, nil,
			strings.Replace(noPlus.Replace(all), "EXTERNAL ", "", 1), strings.Replace(all, "EXTERNAL ", "", 1)},
		"certificate": {Config{Accounts: accounts, Mechanisms: spoken}, &tls.Config{Certificates: []tls.Certificate{own}},
			strings.Replace(noPlus.Replace(all), "EXTERNAL ", "", 1), all},
		"certificate, TLS 1.2": {Config{Accounts: accounts, Mechanisms: spoken, TLSConfig: &tls.Config{MaxVersion: tls.VersionTLS12}},
			&tls.Config{Certificates: []tls.Certificate{own}}, strings.Replace(noPlus.Replace(all), "EXTERNAL ", "", 1), all},
		"no accounts": {Config{Mechanisms: spoken}, &tls.Config{Certificates: []tls.Certificate{own}}, "ANONYMOUS", "EXTERNAL ANONYMOUS"},
		"nothing":     {Config{}, nil, "", ""},
		"none listed": {Config{Accounts: accounts, Mechanisms: []string{}}, nil, "", ""},
		"lower case": {Config{Accounts: accounts, Mechanisms: []string{"scram-sha-1-plus", "external", "Gssapi"}}, nil,
			"Gssapi", "scram-sha-1-plus Gssapi"},
		// Nobody can tell which of two certificates the client saw.
		"two certificates": {Config{Accounts: accounts, Mechanisms: []string{"SCRAM-SHA-1-PLUS"},
			TLSConfig: &tls.Config{Certificates: []tls.Certificate{two, two}, MaxVersion: tls.VersionTLS12}},
			&tls.Config{RootCAs: pool}, "", ""},
		"two certificates, TLS 1.3": {Config{Accounts: accounts, Mechanisms: []string{"SCRAM-SHA-1-PLUS"},
			TLSConfig: &tls.Config{Certificates: []tls.Certificate{two, two}}},
			&tls.Config{RootCAs: pool}, "", "SCRAM-SHA-1-PLUS"},
		"certificate by callback": {Config{Accounts: accounts, Mechanisms: []string{"SCRAM-SHA-1-PLUS"},
			TLSConfig: &tls.Config{MaxVersion: tls.VersionTLS12,
				GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &two, nil }}},
			&tls.Config{RootCAs: pool}, "", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, &tt.config)
			c := over(t, s.Pipe())
			if got := c.offers(); got != tt.clear {
				t.Errorf("in clear text: %q, want %q", got, tt.clear)
			}
			c.secure(s, tt.client)
			if got := c.offers(); got != tt.tls {
				t.Errorf("under TLS: %q, want %q", got, tt.tls)
			}
		})
	}
}

// TestNotOffered: what is not offered is not spoken, though it is listed.
func TestNotOffered(t *testing.T) {
	s := newServer(t, &Config{Accounts: map[string]string{"user": "secret"}, Mechanisms: spoken})
	c := piped(t, s)
	dialogue(c, "> AUTH SCRAM-SHA-256-PLUS", "< 504 5.5.4", "> AUTH EXTERNAL =", "< 504 5.5.4")
	c.secure(s, nil)
	dialogue(c, "> EHLO x", "< 250", "> AUTH EXTERNAL =", "< 504 5.5.4", "> AUTH SCRAM-SHA-256-PLUS", "< 334")
}

// TestAskedForResponse: where the client speaks first, the server asks it to if
// it did not.
func TestAskedForResponse(t *testing.T) {
	own, _ := newCertificate(t, "client", x509.ExtKeyUsageClientAuth, 0)
	s := newServer(t, &Config{Accounts: map[string]string{"user": "secret"}, Mechanisms: spoken})
	for _, m := range spoken {
		c := piped(t, s)
		c.secure(s, &tls.Config{Certificates: []tls.Certificate{own}})
		dialogue(c, "> EHLO x", "< 250")
		challenge := c.challenge("AUTH " + m)
		if serverFirst := m == "LOGIN" || m == "DIGEST-MD5" || m == "CRAM-MD5"; serverFirst != (challenge != "") {
			t.Errorf("%s: challenge %q", m, challenge)
		}
		// An empty response is one, and it does not make the server ask again.
		want := map[string]string{"LOGIN": "334", "EXTERNAL": "235", "ANONYMOUS": "235"}[m]
		if want == "" {
			want = "501 5.5.2"
		}
		c.do("", want)
	}
}

func TestCRAM(t *testing.T) {
	x := newCRAM(map[string]string{"tim": "tanstaaftanstaaf", "user": "pass"}, "h.example")
	for _, tt := range []struct{ challenge, response string }{
		{"<1896.697170952@postoffice.reston.mci.net>", "tim b913a602c7eda7a495b4e6e7334d3890"},
		{"<123456.1322876914@testserver>", "user 287eb355114cf5c471c26a875f1ca4ae"},
	} {
		x.asked, x.challenge = true, tt.challenge
		if _, done, err := x.next([]byte(tt.response)); !done || err != nil {
			t.Errorf("%s: %v, %v", tt.response, done, err)
		}
		for _, wrong := range []string{tt.response[:len(tt.response)-1] + "f", "tin" + tt.response[3:]} {
			if _, _, err := x.next([]byte(wrong)); err != errCredentials {
				t.Errorf("%s: %v", wrong, err)
			}
		}
		for _, malformed := range []string{"", "tim", strings.Fields(tt.response)[1], " " + strings.Fields(tt.response)[1],
			tt.response + " ", tt.response + "0", strings.Replace(tt.response, " ", "\x00", 1)} {
			if _, _, err := x.next([]byte(malformed)); err != errResponse {
				t.Errorf("%q: %v", malformed, err)
			}
		}
		if _, _, err := x.next([]byte(strings.Fields(tt.response)[0] + strings.ToUpper(tt.response[strings.IndexByte(tt.response, ' '):]))); err != errCredentials {
			t.Errorf("upper case: %v", err)
		}
	}
	a, _, _ := newCRAM(nil, "h.example").next(nil)
	b, _, _ := newCRAM(nil, "h.example").next(nil)
	if string(a) == string(b) || a[0] != '<' || !strings.HasSuffix(string(a), "@h.example>") {
		t.Errorf("challenges %q and %q", a, b)
	}
	if _, _, err := newCRAM(nil, "h").next([]byte{}); err != errInitial {
		t.Errorf("initial response: %v", err)
	}
}

// TestBearer holds XOAUTH2 and OAUTHBEARER to what the server takes.
func TestBearer(t *testing.T) {
	const token = "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg=="
	accounts := map[string]string{"user@example.com": token, "a,b=c": "comma", "é": "accent", "second": token}
	xoauth := func(user, auth string) string { return "user=" + user + "\x01auth=" + auth + "\x01\x01" }
	const malformed, wrong = "501", "535"
	tests := map[string][]struct{ response, want string }{
		"XOAUTH2": {
			{xoauth("user@example.com", "Bearer "+token), "user@example.com"},
			{xoauth("é", "bearer accent"), "é"},
			{xoauth("user@example.com", "Bearer x"), wrong},
			{xoauth("nobody", "Bearer "+token), wrong},
			{xoauth("", "Bearer "+token), malformed},
			{xoauth("second", "Basic "+token), malformed},
			{xoauth("second", "Bearer "), malformed},
			{xoauth("second", "Bearer"), malformed},
			{xoauth("second", "Bearer "+token+" "), malformed},
			{xoauth("second", "Bearer "+token)[1:], malformed},
			{"user=second\x01auth=Bearer " + token + "\x01", malformed},
			{"user=second\x01auth=Bearer " + token + "\x01\x01\x01", malformed},
			{"auth=Bearer " + token + "\x01user=second\x01\x01", malformed},
			{xoauth("\xff", "Bearer "+token), malformed},
			{"", malformed},
		},
		"OAUTHBEARER": {
			// The example of RFC 7628, 4.1, but for the account's token.
			{"n,a=user@example.com,\x01host=server.example.com\x01port=143\x01auth=Bearer " + token + "\x01\x01", "user@example.com"},
			{"n,a=user@example.com,\x01auth=Bearer " + token + "\x01\x01", "user@example.com"},
			{"n,,\x01auth=Bearer " + token + "\x01\x01", "second"},
			{"y,a=a=2Cb=3Dc,\x01auth=BEARER comma\x01\x01", "a,b=c"},
			{"n,a=é,\x01x=a b\tc\r\n\x01auth=Bearer accent\x01\x01", "é"},
			{"n,a=user@example.com,\x01auth=Bearer x\x01\x01", wrong},
			{"n,,\x01auth=Bearer x\x01\x01", wrong},
			{"n,a=nobody,\x01auth=Bearer " + token + "\x01\x01", wrong},
			{"n,a=a,b=c,\x01auth=Bearer comma\x01\x01", malformed},
			{"n,a=a=2cb=3Dc,\x01auth=Bearer comma\x01\x01", malformed},
			{"n,a=,\x01auth=Bearer comma\x01\x01", malformed},
			{"n,second,\x01auth=Bearer " + token + "\x01\x01", malformed},
			{"p=tls-exporter,,\x01auth=Bearer " + token + "\x01\x01", malformed},
			{"n,,\x01auth=Bearer " + token + "\x01", malformed},
			{"n,,\x01auth=Bearer " + token + "\x01\x01\x01", malformed},
			{"n,,\x01auth=Bearer " + token, malformed},
			{"n,,\x01host=h\x01\x01", malformed},
			{"n,,\x01host=\x01auth=Bearer " + token + "\x01\x01", malformed},
			{"n,,\x01port=0\x01auth=Bearer " + token + "\x01\x01", malformed},
			{"n,,\x01port=0587\x01auth=Bearer " + token + "\x01\x01", malformed},
			{"n,,\x01port=65536\x01auth=Bearer " + token + "\x01\x01", malformed},
			{"n,,\x01auth=Bearer x\x01auth=Bearer " + token + "\x01\x01", malformed},
			{"n,,\x01h1=x\x01auth=Bearer " + token + "\x01\x01", malformed},
			{"n,,\x01h=\x00\x01auth=Bearer " + token + "\x01\x01", malformed},
			{"n,,\x01auth=Bearer " + token + "\x00\x01\x01", malformed},
			{"\x01", malformed},
			{"", malformed},
		},
	}
	reason := map[string]string{"XOAUTH2": "eyJzdGF0dXMiOiI0MDEiLCJzY2hlbWVzIjoiQmVhcmVyIiwic2NvcGUiOiJtYWlsIn0=", "OAUTHBEARER": b64(`{"status":"invalid_token"}`)}
	right := map[string]string{"XOAUTH2": "", "OAUTHBEARER": "AQ=="}
	other := map[string]string{"XOAUTH2": "AQ==", "OAUTHBEARER": ""}
	for mechanism, cases := range tests {
		for _, tt := range cases {
			t.Run(mechanism+" "+tt.response, func(t *testing.T) {
				s := newServer(t, &Config{Accounts: accounts, Mechanisms: spoken})
				response := b64(tt.response)
				if response == "" {
					response = "="
				}
				auth := "> AUTH " + mechanism + " " + response
				switch c := piped(t, s); tt.want {
				case wrong:
					dialogue(c, auth, "< 334 "+reason[mechanism], "> "+right[mechanism], "< 535 5.7.8",
						auth, "< 334 ", "> "+other[mechanism], "< 501", auth, "< 334", "> *", "< 501 5.7.0")
				case malformed:
					dialogue(c, auth, "< 501 5.5.2")
				default:
					dialogue(c, auth, "< 235")
					if got := c.identified(s); got != tt.want {
						t.Errorf("authenticated as %q, want %q", got, tt.want)
					}
				}
			})
		}
	}
}

func TestExternal(t *testing.T) {
	named, pool := newCertificate(t, "relay.example", x509.ExtKeyUsageClientAuth, 0)
	nameless, _ := newCertificate(t, "", x509.ExtKeyUsageClientAuth, 0)
	accounts := map[string]string{"user": "secret"}
	verifying := &tls.Config{ClientCAs: pool}
	tests := map[string]struct {
		certificate tls.Certificate
		config      *tls.Config
		initial     string
		reply, user string
	}{
		"empty":            {named, nil, "=", "235", "relay.example"},
		"its own name":     {named, nil, b64("relay.example"), "235", "relay.example"},
		"an account":       {named, nil, b64("user"), "235", "user"},
		"another":          {named, nil, b64("nobody"), "535 5.7.8", ""},
		"NUL":              {named, nil, b64("us\x00er"), "501", ""},
		"not UTF-8":        {named, nil, b64("us\xff"), "501", ""},
		"no name at all":   {nameless, nil, "=", "535 5.7.8", ""},
		"account, no name": {nameless, nil, b64("user"), "235", "user"},
		"verified":         {named, verifying, "=", "235", "relay.example"},
		"TLS 1.2":          {named, &tls.Config{MaxVersion: tls.VersionTLS12}, "=", "235", "relay.example"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, &Config{TLS: ImplicitTLS, TLSConfig: tt.config, Accounts: accounts, Mechanisms: []string{"EXTERNAL"}})
			nc := s.Pipe()
			c := &client{t: t, nc: nc}
			t.Cleanup(func() { nc.Close() })
			c.secure(s, &tls.Config{Certificates: []tls.Certificate{tt.certificate}})
			c.want("220")
			dialogue(c, "> EHLO x", "< 250", "> AUTH EXTERNAL "+tt.initial, "< "+tt.reply)
			if got := c.identified(s); got != tt.user {
				t.Errorf("authenticated as %q, want %q", got, tt.user)
			}
		})
	}
	t.Run("of another CA", func(t *testing.T) {
		s := newServer(t, &Config{TLS: ImplicitTLS, TLSConfig: verifying, Mechanisms: []string{"EXTERNAL"}})
		nc := s.Pipe()
		c := &client{t: t, nc: nc}
		t.Cleanup(func() { nc.Close() })
		// The server names its CAs, so a client that may choose sends none.
		c.secure(s, &tls.Config{GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &nameless, nil
		}})
		c.ended()
		s.Close() // the client may learn of it before the transcript does
		if all := strings.Join(s.Transcript(), "\n"); !strings.Contains(all, "-- TLS failed") {
			t.Errorf("transcript %q", all)
		}
	})
}

// TestTLSConfig: the server's own certificate and least version fill what a
// configuration leaves open, and EXTERNAL alone makes it ask for certificates.
func TestTLSConfig(t *testing.T) {
	own, _ := newCertificate(t, "client", x509.ExtKeyUsageClientAuth, 0)
	foreign, pool := newCertificate(t, "server", x509.ExtKeyUsageServerAuth, 0)
	given := &tls.Config{Certificates: []tls.Certificate{foreign}}
	s := newServer(t, &Config{TLSConfig: given})
	given.Certificates = nil // the server has its copy
	c := piped(t, s)
	if got := c.secure(s, &tls.Config{RootCAs: pool}).ConnectionState(); got.Version != tls.VersionTLS13 {
		t.Errorf("version %x", got.Version)
	}

	asked := false
	watch := &tls.Config{GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		asked = true
		return &own, nil
	}}
	s = newServer(t, &Config{TLSConfig: &tls.Config{MaxVersion: tls.VersionTLS12}})
	if got := piped(t, s).secure(s, watch).ConnectionState(); got.Version != tls.VersionTLS12 || asked {
		t.Errorf("version %x, asked for a certificate: %v", got.Version, asked)
	}
	s = newServer(t, &Config{TLSConfig: &tls.Config{ClientAuth: tls.RequireAnyClientCert}})
	if piped(t, s).secure(s, watch); !asked {
		t.Error("ClientAuth was overruled")
	}
}

func TestAnonymous(t *testing.T) {
	for trace, want := range map[string]string{
		"sirhc": "235", "": "235", "sirhc@example.com": "235", "日本": "235", strings.Repeat("é", 255): "235",
		strings.Repeat("é", 256): "501", "a@": "501", "a@b@c d": "501", "a\x00": "501", "\xff": "501", "a\r\nb": "501",
	} {
		s := newServer(t, &Config{Mechanisms: []string{"ANONYMOUS"}, RequireAuth: true})
		c := piped(t, s)
		initial := b64(trace)
		if initial == "" {
			initial = "="
		}
		c.do("AUTH ANONYMOUS "+initial, want)
		if want != "235" {
			c.do("MAIL FROM:<a@b>", "530")
		} else if got := c.identified(s); got != "anonymous" {
			t.Errorf("%q: authenticated as %q", trace, got)
		}
	}
}

// TestMechanismsUnderHook: the Hook sees and may answer each step of any
// mechanism.
func TestMechanismsUnderHook(t *testing.T) {
	var lines []string
	s := newServer(t, &Config{Accounts: map[string]string{"user": "secret"}, Mechanisms: spoken, Hook: func(c Command) *Answer {
		switch {
		case c.Verb == "AUTH" && strings.HasSuffix(c.Line, "NTLM"):
			return &Answer{Reply: "334 NTLM supported"}
		case c.Verb == "RESPONSE":
			lines = append(lines, c.Line)
			return &Answer{Reply: "454 4.7.0 later"}
		}
		return nil
	}})
	dialogue(piped(t, s), "> AUTH NTLM", "< 334 NTLM supported", "> QQ==", "< 454", "> AUTH CRAM-MD5", "< 334 PD", "> Qg==", "< 454",
		"> AUTH XOAUTH2 "+b64("user=user\x01auth=Bearer x\x01\x01"), "< 334 ey", "> ", "< 454")
	if strings.Join(lines, ",") != "QQ==,Qg==," {
		t.Errorf("the Hook saw %q", lines)
	}
}

// FuzzBearer: a message that is taken names its token, and nobody without one is
// let in.
func FuzzBearer(f *testing.F) {
	f.Add("user=user\x01auth=Bearer token\x01\x01")
	f.Add("n,a=us=2Cer,\x01host=h\x01port=587\x01auth=Bearer token\x01\x01")
	f.Fuzz(func(t *testing.T, message string) {
		for _, parse := range []func(string) (string, string, bool){parseXOAuth2, parseOAuthBearer} {
			if _, token, ok := parse(message); ok && (token == "" || !strings.Contains(message, " "+token+"\x01")) {
				t.Fatalf("%q: token %q", message, token)
			}
		}
		for _, x := range []*bearerExchange{newXOAuth2(map[string]string{"user": "secret"}), newOAuthBearer(map[string]string{"user": "secret"})} {
			if _, done, _ := x.next([]byte(message)); done && !strings.Contains(message, "secret") {
				t.Fatalf("%q authenticates", message)
			}
		}
	})
}
