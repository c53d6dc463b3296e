package migration

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/smtp"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	gosmtp "github.com/emersion/go-smtp"
	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
	"github.com/wneessen/go-mail"
	"gopkg.in/gomail.v2"
)

const (
	sender    = "shop@example.org"
	recipient = "customer@example.net"
)

var errSource = errors.New("the disk is gone")

// failing is a message, or an attachment, that ends with an error.
type failing struct{ io.Reader }

func newFailing() failing {
	return failing{io.MultiReader(strings.NewReader("Subject: half\r\n\r\nthe first half\r\n"), iotest.ErrReader(errSource))}
}

func (failing) Seek(int64, int) (int64, error) { return 0, nil }

func copyFailing(w io.Writer) error {
	_, err := io.Copy(w, newFailing())
	return err
}

// unfinished are ways to send a message whose source fails half way, as they are written
// with the other libraries, and with submission in their place.
var unfinished = []struct {
	name   string
	before func(addr string, config *tls.Config) error
	after  func(c *submission.Client) error
}{
	{"net-smtp", withNetSMTP, func(c *submission.Client) error { return sendWith(c, copyFailing) }},
	{"go-smtp", withGoSMTP, func(c *submission.Client) error { return sendWith(c, copyFailing) }},
	{"gomail", withGomail, func(c *submission.Client) error { return sendWith(c, writing(gomailMessage())) }},
	{"go-mail", withGoMail, func(c *submission.Client) error { return sendWith(c, writing(goMailMessage())) }},
}

// A message whose source fails half way is an error with all of them, but with the others the
// server has half of it by then. With submission it has nothing.
func TestUnfinishedMessage(t *testing.T) {
	for _, tt := range unfinished {
		t.Run(tt.name, func(t *testing.T) {
			srv := smtptest.New(t, nil)
			config := srv.ClientTLSConfig()
			config.ServerName = "localhost"
			err := tt.before(srv.Addr(), config)
			if err == nil || !strings.Contains(err.Error(), errSource.Error()) || len(srv.Messages()) != 1 {
				t.Errorf("before: %d messages, %v", len(srv.Messages()), err)
			}

			srv = smtptest.New(t, nil)
			client, err := submission.New(srv.Addr(), &submission.Options{TLSConfig: srv.ClientTLSConfig()})
			if err != nil {
				t.Fatal(err)
			}
			err = tt.after(client)
			client.Close()
			srv.Close()
			var failed *submission.SendError
			if !errors.As(err, &failed) || failed.Outcome != submission.NotSent || !errors.Is(err, errSource) || len(srv.Messages()) != 0 {
				t.Errorf("after: %d messages, %v", len(srv.Messages()), err)
			}
		})
	}
}

func sendWith(c *submission.Client, write func(io.Writer) error) error {
	_, err := c.SendFunc(context.Background(), submission.Envelope{From: sender, To: submission.To(recipient)}, write)
	return err
}

func writing(m io.WriterTo) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := m.WriteTo(w)
		return err
	}
}

// withNetSMTP ends the session politely, whatever happened.
func withNetSMTP(addr string, config *tls.Config) error {
	c, err := smtp.Dial(addr)
	if err != nil {
		return err
	}
	defer c.Quit()
	if err := errors.Join(c.StartTLS(config), c.Mail(sender), c.Rcpt(recipient)); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if err := copyFailing(w); err != nil {
		return err
	}
	return w.Close()
}

// withGoSMTP does so, too.
func withGoSMTP(addr string, config *tls.Config) error {
	c, err := gosmtp.DialStartTLS(addr, config)
	if err != nil {
		return err
	}
	defer c.Quit()
	return c.SendMail(sender, []string{recipient}, newFailing())
}

func gomailMessage() *gomail.Message {
	m := gomail.NewMessage()
	m.SetHeader("From", sender)
	m.SetHeader("To", recipient)
	m.SetBody("text/plain", "The bill is attached.")
	m.Attach("bill.csv", gomail.SetCopyFunc(copyFailing))
	return m
}

func withGomail(addr string, config *tls.Config) error {
	host, port, err := split(addr)
	if err != nil {
		return err
	}
	d := gomail.NewDialer(host, port, "", "")
	d.TLSConfig = config
	return d.DialAndSend(gomailMessage())
}

func goMailMessage() *mail.Msg {
	m := mail.NewMsg()
	m.From(sender)
	m.To(recipient)
	m.SetBodyString(mail.TypeTextPlain, "The bill is attached.")
	m.AttachReadSeeker("bill.csv", newFailing())
	return m
}

func withGoMail(addr string, config *tls.Config) error {
	host, port, err := split(addr)
	if err != nil {
		return err
	}
	c, err := mail.NewClient(host, mail.WithPort(port), mail.WithTLSConfig(config))
	if err != nil {
		return err
	}
	return c.DialAndSend(goMailMessage())
}

func split(addr string) (host string, port int, err error) {
	host, service, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	port, err = strconv.Atoi(service)
	return host, port, err
}
