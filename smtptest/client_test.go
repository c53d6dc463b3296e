package smtptest

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"net"
	"strings"
	"testing"
	"time"
)

// client is a plain SMTP client: it writes lines and reads replies.
type client struct {
	t  *testing.T
	nc net.Conn
	r  *bufio.Reader
}

func newReader(nc net.Conn) *bufio.Reader { return bufio.NewReader(nc) }

// over returns a client on nc that has read the greeting.
func over(t *testing.T, nc net.Conn) *client {
	t.Helper()
	c := &client{t: t, nc: nc, r: newReader(nc)}
	t.Cleanup(func() { nc.Close() })
	c.want("220")
	return c
}

// piped returns a client with a new session that has said EHLO.
func piped(t *testing.T, s *Server) *client {
	t.Helper()
	c := over(t, s.Pipe())
	c.do("EHLO client.example", "250")
	return c
}

// reply reads a reply: its lines, joined by LF.
func (c *client) reply() string {
	c.t.Helper()
	var lines []string
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			c.t.Fatalf("reading a reply: %v (got %q after %q)", err, line, lines)
		}
		line = strings.TrimSuffix(line, "\r\n")
		lines = append(lines, line)
		if len(line) < 4 || line[3] != '-' {
			return strings.Join(lines, "\n")
		}
	}
}

// want reads a reply that must begin with prefix.
func (c *client) want(prefix string) string {
	c.t.Helper()
	got := c.reply()
	if !strings.HasPrefix(got, prefix) {
		c.t.Fatalf("reply %q, want %q", got, prefix)
	}
	return got
}

// raw writes octets.
func (c *client) raw(s string) {
	c.t.Helper()
	if _, err := c.nc.Write([]byte(s)); err != nil {
		c.t.Fatalf("writing: %v", err)
	}
}

// do sends a line and wants a reply.
func (c *client) do(line, prefix string) string {
	c.t.Helper()
	c.raw(line + "\r\n")
	return c.want(prefix)
}

// ended checks that the server has hung up.
func (c *client) ended() {
	c.t.Helper()
	if b, err := c.r.ReadByte(); err == nil {
		c.t.Fatalf("got octet %q, want the end of the connection", b)
	}
}

// startTLS sends STARTTLS and continues under TLS.
func (c *client) startTLS(s *Server) {
	c.t.Helper()
	c.do("STARTTLS", "220")
	cfg := s.ClientTLSConfig()
	cfg.ServerName = "localhost"
	nc := tls.Client(c.nc, cfg)
	if err := nc.Handshake(); err != nil {
		c.t.Fatalf("handshake: %v", err)
	}
	c.nc, c.r = nc, bufio.NewReader(nc)
}

func newServer(t *testing.T, c *Config) *Server {
	t.Helper()
	s := NewServer(c)
	t.Cleanup(s.Close)
	return s
}

// lenient returns c for a client that writes all it has to say and then reads.
func lenient(c Config) *Config {
	c.LenientGreeting, c.LenientPipelining, c.LenientData = true, true, true
	c.Lenient8BitMIME, c.LenientSMTPUTF8, c.LenientClearText = true, true, true
	return &c
}

// needsIPv6 skips a test where the loopback interface has no IPv6.
func needsIPv6(t *testing.T, addr string) {
	t.Helper()
	if !strings.HasPrefix(addr, "[") {
		return
	}
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skip(err)
	}
	l.Close()
}

func dial(t *testing.T, s *Server) net.Conn {
	t.Helper()
	return dialNetwork(t, "tcp", s.Addr())
}

func dialNetwork(t *testing.T, network, addr string) net.Conn {
	t.Helper()
	nc, err := net.DialTimeout(network, addr, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return nc
}

// secure continues under TLS, after STARTTLS if the server wants that. The
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

// challenge sends a line and decodes the challenge that answers it.
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

// dialogue is a session, line by line: "> line" is sent, "< prefix" begins the
// reply, "." is the end of the connection.
func dialogue(c *client, lines ...string) {
	c.t.Helper()
	for _, line := range lines {
		switch line[0] {
		case '>':
			c.raw(strings.TrimPrefix(line[1:], " ") + "\r\n")
		case '<':
			c.want(strings.TrimPrefix(line[1:], " "))
		default:
			c.ended()
		}
	}
}
