package benchmarks

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/smtp"
	"strings"
	"sync"

	"github.com/fe022423/submission"
	"github.com/wneessen/go-mail"
)

// dialFunc dials the server, wherever that is.
type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// DialContext makes it a submission.Dialer.
func (d dialFunc) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return d(ctx, network, addr)
}

// dialSink dials a sink whatever address a client asks for.
func dialSink(addr string) dialFunc {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
}

// job is what each client is given to do, again and again.
type job struct {
	to   []string
	text []byte
	// login is with STARTTLS and PLAIN, nil for clear text and no login.
	login *tls.Config
}

const (
	serverHost = "localhost"
	sender     = "sender@example.com"
	user       = "user"
	password   = "secret"
)

// mailer is a client with one connection at least.
type mailer interface {
	// send sends one message, and returns with its verdict.
	send() error
	close() error
}

// library is one of those that are compared.
type library struct {
	name string
	open func(dial dialFunc, j job) (mailer, error)
}

var netSMTP = library{"net/smtp", openNetSMTP}

// netSMTPMailer uses one connection for all messages, as net/smtp lets its user do.
type netSMTPMailer struct {
	c *smtp.Client
	j job
}

func openNetSMTP(dial dialFunc, j job) (mailer, error) {
	nc, err := dial(context.Background(), "tcp", serverHost+":587")
	if err != nil {
		return nil, err
	}
	c, err := smtp.NewClient(nc, serverHost)
	if err != nil {
		return nil, err
	}
	if err = c.Hello("client.example.com"); err == nil && j.login != nil {
		if err = c.StartTLS(j.login); err == nil {
			err = c.Auth(smtp.PlainAuth("", user, password, serverHost))
		}
	}
	return &netSMTPMailer{c, j}, err
}

func (m *netSMTPMailer) send() error {
	if err := m.c.Mail(sender); err != nil {
		return err
	}
	for _, to := range m.j.to {
		if err := m.c.Rcpt(to); err != nil {
			return err
		}
	}
	w, err := m.c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(m.j.text); err != nil {
		return err
	}
	return w.Close()
}

func (m *netSMTPMailer) close() error { return m.c.Close() }

var goMail = library{"go-mail", openGoMail}

// goMailMailer sends over one connection.
type goMailMailer struct {
	c *mail.Client
	m *mail.Msg
}

func openGoMail(dial dialFunc, j job) (mailer, error) {
	options := []mail.Option{mail.WithDialContextFunc(mail.DialContextFunc(dial)), mail.WithHELO("client.example.com"), mail.WithTLSPolicy(mail.NoTLS)}
	if j.login != nil {
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory), mail.WithTLSConfig(j.login),
			mail.WithSMTPAuth(mail.SMTPAuthPlain), mail.WithUsername(user), mail.WithPassword(password))
	}
	c, err := mail.NewClient(serverHost, options...)
	if err != nil {
		return nil, err
	}
	m := mail.NewMsg(mail.WithEncoding(mail.NoEncoding))
	_, body, _ := bytes.Cut(j.text, []byte("\r\n\r\n"))
	m.SetBodyString(mail.TypeTextPlain, string(body))
	if err := errors.Join(m.From(sender), m.To(j.to...)); err != nil {
		return nil, err
	}
	return &goMailMailer{c, m}, c.DialWithContext(context.Background())
}

func (m *goMailMailer) send() error  { return m.c.Send(m.m) }
func (m *goMailMailer) close() error { return m.c.Close() }

// oursMailer is package submission.
type oursMailer struct {
	c   *submission.Client
	env submission.Envelope
	j   job
}

// ours returns package submission with options of its own.
func ours(name string, set func(*submission.Options, *submission.Envelope)) library {
	return library{name, func(dial dialFunc, j job) (mailer, error) { return openOurs(dial, j, set) }}
}

func openOurs(dial dialFunc, j job, set func(*submission.Options, *submission.Envelope)) (*oursMailer, error) {
	o := &submission.Options{Dialer: dial, LocalName: "client.example.com", TLS: submission.TLSNone}
	o.Pool.MaxMessages = 1 << 30
	if j.login != nil {
		o.TLS, o.TLSConfig, o.Auth = submission.TLSStartTLS, j.login, submission.Password{Username: user, Password: password}
	}
	m := &oursMailer{env: submission.Envelope{From: sender, To: submission.To(j.to...)}, j: j}
	if set != nil {
		set(o, &m.env)
	}
	var err error
	m.c, err = submission.New(serverHost, o)
	return m, err
}

func (m *oursMailer) send() error {
	_, err := m.c.Send(context.Background(), m.env, bytes.NewReader(m.j.text))
	return err
}

func (m *oursMailer) close() error { return m.c.Close() }

// text is a message of so many octets, or a few less.
func text(octets int) []byte {
	const head = "Subject: benchmark\r\n\r\n"
	return []byte(head + strings.Repeat(strings.Repeat("x", 76)+"\r\n", (octets-len(head))/78))
}

// sendFrom sends n messages from so many goroutines at once.
func sendFrom(goroutines, n int, send func() error) error {
	errs := make([]error, goroutines)
	var all sync.WaitGroup
	for i := range goroutines {
		all.Go(func() {
			for range n / goroutines {
				if errs[i] = send(); errs[i] != nil {
					return
				}
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}
