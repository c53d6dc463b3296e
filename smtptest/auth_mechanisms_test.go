package smtptest

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"
)

// spoken are all mechanisms that the server speaks.
var spoken = []string{"PLAIN", "LOGIN", "DIGEST-MD5", "CRAM-MD5", "NTLM", "XOAUTH2", "OAUTHBEARER",
	"SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-512", "SCRAM-SHA-512-PLUS",
	"EXTERNAL", "ANONYMOUS"}

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

// TestNotOffered: the server refuses a mechanism that it does not offer, even if the
// Config lists it.
func TestNotOffered(t *testing.T) {
	s := newServer(t, &Config{Accounts: map[string]string{"user": "secret"}, Mechanisms: spoken})
	c := piped(t, s)
	dialogue(c, "> AUTH SCRAM-SHA-256-PLUS", "< 504 5.5.4", "> AUTH EXTERNAL =", "< 504 5.5.4")
	c.secure(s, nil)
	dialogue(c, "> EHLO x", "< 250", "> AUTH EXTERNAL =", "< 504 5.5.4", "> AUTH SCRAM-SHA-256-PLUS", "< 334")
}

// TestAskedForResponse: if the client has to speak first and did not, the server asks for
// a response.
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
		// An empty response is a response: the server does not ask again.
		want := map[string]string{"LOGIN": "334", "EXTERNAL": "235", "ANONYMOUS": "235"}[m]
		if want == "" {
			want = "501 5.5.2"
		}
		c.do("", want)
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

func TestAnonymous(t *testing.T) {
	s := newServer(t, &Config{Mechanisms: []string{"ANONYMOUS"}, RequireAuth: true})
	c := piped(t, s)
	dialogue(c, "> AUTH ANONYMOUS "+b64("a@b@c d"), "< 501", "> MAIL FROM:<a@b>", "< 530", "> AUTH ANONYMOUS "+b64("sirhc"), "< 235")
	if got := c.identified(s); got != "anonymous" {
		t.Errorf("authenticated as %q", got)
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

// TestStruckPlus: somebody in the middle removes -PLUS from the list. The client
// says that it could bind, and the server knows that it can.
func TestStruckPlus(t *testing.T) {
	s := newServer(t, &Config{Accounts: map[string]string{"user": "pencil"}, Mechanisms: []string{"SCRAM-SHA-1", "SCRAM-SHA-1-PLUS"},
		Hook: hook(map[string]Answer{"EHLO": {Reply: "250-mail.test.example\n250-STARTTLS\n250 AUTH SCRAM-SHA-1"}})})
	c := piped(t, s)
	auth := "> AUTH SCRAM-SHA-1 " + b64("y,,n=user,r=rOprNGfwEbeRWgbNEkqO")
	// In clear text the server cannot bind either.
	dialogue(c, auth, "< 334", "> *", "< 501")
	c.secure(s, nil)
	dialogue(c, "> EHLO x", "< 250", auth, "< 535 server-does-support-channel-binding")
}
