package draw

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/smtp"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// What both clients are given.
const (
	host     = "localhost" // in the certificate, and allowed by smtp.PlainAuth
	greeter  = "client.example.com"
	user     = "ann"
	password = "correct horse"
	sender   = "ann@example.com"
	content  = "Subject: lunch\r\n\r\nAt noon?\r\n"
)

var recipients = []string{"bob@example.net", "eve@example.org"}

// place is where a client meets the server: an in-memory connection, with a wire over it.
type place struct {
	srv *smtptest.Server
	*wire
}

func (p *place) DialContext(context.Context, string, string) (net.Conn, error) {
	return p.srv.Pipe(), nil
}

// secure puts TLS on a connection, and the wire over that.
func (p *place) secure(ctx context.Context, nc net.Conn, c *tls.Config) (net.Conn, error) {
	p.wire = &wire{Conn: tls.Client(nc, c)}
	return p.wire, p.HandshakeContext(ctx)
}

// mailer is a client over one session.
type mailer interface {
	send() error // the content; the first time in a session that it opens
	quit() error
}

// recording is what a mailer did.
type recording struct {
	opening []flight // of the session
	warm    []flight // of a message over a session that had carried one
}

// record lets a mailer send the content twice. The server counts round trips too, in a
// way of its own.
func record(t *testing.T, meet func(*place) mailer) (r recording) {
	synctest.Test(t, func(t *testing.T) {
		srv := smtptest.NewServer(&smtptest.Config{
			TLS: smtptest.ImplicitTLS, Hostname: "mail.example.com",
			Accounts: map[string]string{user: password},
		})
		defer srv.Close()
		p := &place{srv: srv}
		client := meet(p)
		var sent [2][]flight
		for i := range sent {
			before := srv.RoundTrips()
			if err := client.send(); err != nil {
				t.Fatal(err)
			}
			sent[i] = flights(p.take())
			if n := srv.RoundTrips() - before; n != len(sent[i]) {
				t.Errorf("message %d: %d flights, and %d round trips for the server", i+1, len(sent[i]), n)
			}
		}
		first := len(sent[0]) - len(sent[1])
		r = recording{opening: sent[0][:first], warm: sent[1]}
		if a, b := fmt.Sprint(sent[0][first:]), fmt.Sprint(r.warm); a != b {
			t.Errorf("the first message went %s, the second %s", a, b)
		}
		if err := client.quit(); err != nil {
			t.Error(err)
		}
		for _, m := range srv.Messages() {
			if string(m.Data) != content || len(m.To) != len(recipients) {
				t.Errorf("the server has %+v", m)
			}
		}
		if n := len(srv.Messages()); n != 2 || srv.Sessions() != 1 {
			t.Errorf("%d messages, %d sessions", n, srv.Sessions())
		}
	})
	return r
}

// library is a client of this library.
type library struct{ *submission.Client }

// meetLibrary leaves to the library what can be left to it.
func meetLibrary(t *testing.T) func(*place) mailer {
	return func(p *place) mailer {
		c, err := submission.New(host, &submission.Options{
			TLS:       submission.TLSImplicit,
			TLSConfig: p.srv.ClientTLSConfig(),
			TLSClient: p.secure,
			Dialer:    p,
			LocalName: greeter,
			Auth:      submission.Password{Username: user, Password: password, Mechanisms: []string{"PLAIN"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return library{c}
	}
}

func (l library) send() error {
	env := submission.Envelope{From: sender, To: submission.To(recipients...)}
	_, err := l.Send(context.Background(), env, strings.NewReader(content))
	return err
}

func (l library) quit() error { return l.Close() }

// standard is a client of net/smtp, which keeps its session too.
type standard struct {
	p *place
	c *smtp.Client
}

func meetStandard(p *place) mailer { return &standard{p: p} }

func (s *standard) send() error {
	if s.c == nil {
		if err := s.open(); err != nil {
			return err
		}
	}
	if err := s.c.Mail(sender); err != nil {
		return err
	}
	for _, addr := range recipients {
		if err := s.c.Rcpt(addr); err != nil {
			return err
		}
	}
	w, err := s.c.Data()
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, content); err != nil {
		return err
	}
	return w.Close()
}

func (s *standard) open() error {
	trust := s.p.srv.ClientTLSConfig()
	trust.ServerName = host
	nc, err := s.p.secure(context.Background(), s.p.srv.Pipe(), trust)
	if err != nil {
		return err
	}
	if s.c, err = smtp.NewClient(nc, host); err != nil {
		return err
	}
	if err := s.c.Hello(greeter); err != nil {
		return err
	}
	return s.c.Auth(smtp.PlainAuth("", user, password, host))
}

func (s *standard) quit() error { return s.c.Quit() }
