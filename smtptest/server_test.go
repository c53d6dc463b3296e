package smtptest

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"strings"
	"testing"
	"time"
)

const testMessage = "Subject: test\r\n\r\n..dot\r\nend\r\n"

func TestServerClear(t *testing.T) {
	s := newServer(t, nil)
	c := over(t, dial(t, s))
	ehlo := c.do("EHLO client.example", "250-mail.test.example")
	for _, line := range append(DefaultExtensions(), "STARTTLS") {
		if has := strings.Contains(ehlo, line); has != (line != "REQUIRETLS") {
			t.Errorf("EHLO offers %s: %v", line, has)
		}
	}
	if strings.Contains(ehlo, "AUTH") {
		t.Errorf("AUTH offered without accounts: %q", ehlo)
	}
	c.do("MAIL FROM:<a@b.example> SIZE=30 BODY=8BITMIME", "250 2.1.0")
	c.do("RCPT TO:<c@d.example> NOTIFY=NEVER", "250 2.1.5")
	c.do("RCPT TO:<Postmaster>", "250 2.1.5")
	c.do("DATA", "354")
	c.do("Subject: test\r\n\r\n...dot\r\nend\r\n.", "250 2.0.0")
	c.do("QUIT", "221 2.0.0")
	c.ended()
	c.nc.Close()

	got := s.Messages()
	if len(got) != 1 {
		t.Fatalf("%d messages", len(got))
	}
	m := got[0]
	if m.From != "a@b.example" || strings.Join(m.To, " ") != "c@d.example Postmaster" ||
		strings.Join(m.Params, " ") != "SIZE=30 BODY=8BITMIME" || strings.Join(m.RcptParams[0], " ") != "NOTIFY=NEVER" ||
		len(m.RcptParams) != 2 || string(m.Data) != testMessage || m.Size != int64(len(testMessage)) ||
		m.TLS || m.Auth != "" || m.Session != 1 || m.Chunked {
		t.Errorf("message %+v", m)
	}
	if s.Sessions() != 1 {
		t.Errorf("%d sessions", s.Sessions())
	}
	// Greeting, EHLO, MAIL, 2 RCPT, DATA, message.
	if s.RoundTrips() != 7 {
		t.Errorf("%d round trips", s.RoundTrips())
	}
}

// What MAIL and RCPT ask of the delivery is in Message, with its type.
func TestDeliveryParameters(t *testing.T) {
	s := newServer(t, nil)
	c := piped(t, s)
	message := []string{"> DATA", "< 354", "> x\r\n.", "< 250"}
	dialogue(c, append([]string{
		"> MAIL FROM:<a@b> MT-PRIORITY=-3 HOLDFOR=90 BY=+120;RT", "< 250",
		"> RCPT TO:<c@d>", "< 250", "> RCPT TO:<e@f> rrvs=1997-11-24T14:22:01-08:00;C", "< 250",
	}, message...)...)
	dialogue(c, append([]string{
		"> MAIL FROM:<a@b> HOLDUNTIL=2030-01-01T01:00:00+01:00 by=-5;n", "< 250", "> RCPT TO:<c@d>", "< 250",
	}, message...)...)
	dialogue(c, append([]string{"> MAIL FROM:<a@b>", "< 250", "> RCPT TO:<c@d>", "< 250"}, message...)...)
	got := s.Messages()
	if len(got) != 3 {
		t.Fatalf("%d messages", len(got))
	}
	if m := got[0]; m.Priority != -3 || m.HoldFor != 90*time.Second || !m.HoldUntil.IsZero() ||
		m.DeliverBy != (DeliverBy{Within: 2 * time.Minute, Return: true, Trace: true}) ||
		len(m.ValidSince) != 2 || !m.ValidSince[0].IsZero() || m.ValidSince[1] != time.Date(1997, 11, 24, 22, 22, 1, 0, time.UTC) {
		t.Errorf("%+v", m)
	}
	if m := got[1]; m.Priority != 0 || m.HoldFor != 0 || m.HoldUntil != time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC) ||
		m.DeliverBy != (DeliverBy{Within: -5 * time.Second}) || len(m.ValidSince) != 1 || !m.ValidSince[0].IsZero() {
		t.Errorf("%+v", m)
	}
	if m := got[2]; m.Priority != 0 || m.HoldFor != 0 || !m.HoldUntil.IsZero() || m.DeliverBy != (DeliverBy{}) {
		t.Errorf("%+v", m)
	}
}

func TestServerTLS(t *testing.T) {
	for name, mode := range map[string]TLSMode{"STARTTLS": StartTLS, "implicit": ImplicitTLS} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, &Config{TLS: mode, Accounts: map[string]string{"user": "secret"}})
			nc := dial(t, s)
			var c *client
			if mode == ImplicitTLS {
				cfg := s.ClientTLSConfig()
				cfg.ServerName = "mail.test.example"
				c = over(t, tls.Client(nc, cfg))
			} else {
				c = over(t, nc)
				c.do("EHLO client.example", "250")
				c.startTLS(s)
				c.do("MAIL FROM:<a@b.example>", "503")
			}
			ehlo := c.do("EHLO client.example", "250")
			if strings.Contains(ehlo, "STARTTLS") || !strings.Contains(ehlo, "REQUIRETLS") {
				t.Errorf("EHLO under TLS: %q", ehlo)
			}
			c.do("STARTTLS", "503")
			c.do("AUTH PLAIN AHVzZXIAc2VjcmV0", "235 2.7.0")
			c.do("MAIL FROM:<> REQUIRETLS", "250")
			c.do("RCPT TO:<c@d.example>", "250")
			c.do("DATA", "354")
			c.do(".", "250")
			c.do("QUIT", "221")
			c.ended()
			m := s.Messages()
			if len(m) != 1 || !m[0].TLS || m[0].Auth != "user" || m[0].From != "" || m[0].Size != 0 {
				t.Errorf("messages %+v", m)
			}
		})
	}
}

func TestPipelining(t *testing.T) {
	s := newServer(t, nil)
	c := piped(t, s)
	if got := s.RoundTrips(); got != 2 {
		t.Errorf("%d round trips for greeting and EHLO", got)
	}
	c.raw("MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nRCPT TO:<e@f.example>\r\nDATA\r\n")
	for _, code := range []string{"250", "250", "250", "354"} {
		c.want(code)
	}
	c.do("hello\r\n.", "250")
	c.raw("MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nBDAT 7 LAST\r\nhello\r\nNOOP\r\n")
	for _, code := range []string{"250", "250", "250", "250"} {
		c.want(code)
	}
	c.do("QUIT", "221")
	c.ended()
	if m := s.Messages(); len(m) != 2 || string(m[0].Data) != "hello\r\n" || string(m[1].Data) != "hello\r\n" || !m[1].Chunked {
		t.Errorf("messages %+v", m)
	}
	// Greeting, EHLO; a flight up to DATA and the message; a flight of its own.
	if got := s.RoundTrips(); got != 5 {
		t.Errorf("%d round trips, want 5", got)
	}
}

func TestServerClose(t *testing.T) {
	s := NewServer(nil)
	idle := over(t, dial(t, s))
	addr := s.Addr()
	s.Close()
	s.Close()
	idle.ended()
	if nc, err := net.Dial("tcp", addr); err == nil {
		nc.Close()
		t.Error("the server still listens")
	}
	if _, err := s.Pipe().Read(make([]byte, 1)); err == nil {
		t.Error("a session after Close")
	}
	if s.Addr() != addr || len(s.Transcript()) != 1 {
		t.Errorf("address %s, transcript %q", s.Addr(), s.Transcript())
	}
	NewServer(nil).Close()
}

// TestServerConcurrent has many sessions at once, over sockets and pipes.
func TestServerConcurrent(t *testing.T) {
	s := newServer(t, nil)
	s.Addr()
	t.Run("sessions", func(t *testing.T) {
		for i := range 40 {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				nc := s.Pipe()
				if i%2 == 0 {
					nc.Close()
					nc = dial(t, s)
				}
				c := over(t, nc)
				dialogue(c, "> EHLO x", "< 250", "> MAIL FROM:<a@b>", "< 250", "> RCPT TO:<c@d>", "< 250", "> DATA", "< 354", "> .", "< 250", "> QUIT", "< 221", ".")
				_, _, _ = s.Messages(), s.Transcript(), s.RoundTrips()
			})
		}
	})
	if got := len(s.Messages()); got != 40 {
		t.Errorf("%d messages", got)
	}
	if got := s.Sessions(); got != 60 {
		t.Errorf("%d sessions", got)
	}
}

// TestServerCopies changes what the server returned.
func TestServerCopies(t *testing.T) {
	extensions := []string{"PIPELINING"}
	s := newServer(t, &Config{Extensions: extensions})
	extensions[0] = "CHANGED"
	c := over(t, s.Pipe())
	if ehlo := c.do("EHLO x", "250"); !strings.Contains(ehlo, "PIPELINING") {
		t.Errorf("EHLO: %q", ehlo)
	}
	dialogue(c, "> MAIL FROM:<a@b>", "< 250", "> RCPT TO:<c@d>", "< 250", "> DATA", "< 354", "> x\r\n.", "< 250")
	m := s.Messages()[0]
	m.To[0], m.Data[0] = "changed", '!'
	s.Transcript()[0] = "changed"
	if m := s.Messages()[0]; m.To[0] != "c@d" || string(m.Data) != "x\r\n" {
		t.Errorf("message %+v", m)
	}
	if s.Transcript()[0] != "[1] S: 220 mail.test.example ESMTP ready" {
		t.Error("transcript changed")
	}
	DefaultExtensions()[0] = "CHANGED"
	if DefaultExtensions()[0] != "PIPELINING" {
		t.Error("default extensions changed")
	}
}

func TestServerCertificate(t *testing.T) {
	s := newServer(t, &Config{TLS: ImplicitTLS, Hostname: "h.example"})
	for name, good := range map[string]bool{"h.example": true, "localhost": true, "127.0.0.1": true, "::1": true, "mail.test.example": false, "10.0.0.1": false} {
		cfg := s.ClientTLSConfig()
		cfg.ServerName = name
		nc := tls.Client(s.Pipe(), cfg)
		if err := nc.Handshake(); (err == nil) != good {
			t.Errorf("%s: %v", name, err)
		}
		nc.Close()
	}
	other := newServer(t, nil)
	cfg := other.ClientTLSConfig()
	cfg.ServerName = "localhost"
	if err := tls.Client(s.Pipe(), cfg).Handshake(); err == nil {
		t.Error("the certificate of another server is trusted")
	}
}

// TestLargeFlight sends more commands than any buffer holds; the client reads
// replies only as they come.
func TestLargeFlight(t *testing.T) {
	s := newServer(t, nil)
	c := piped(t, s)
	const n = 20000
	c.do("MAIL FROM:<a@b>", "250")
	c.raw(strings.Repeat("RCPT TO:<c@d>\r\n", n))
	for range n {
		c.want("250")
	}
	dialogue(c, "> DATA", "< 354", "> .", "< 250")
	if got := len(s.Messages()[0].To); got != n {
		t.Errorf("%d recipients", got)
	}
}

// TestTLSConfig: the server adds its own certificate and minimal version where the
// configuration has none, and asks for certificates only if EXTERNAL is listed.
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
