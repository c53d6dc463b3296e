// Command go-mail composes one mail with github.com/wneessen/go-mail and sends it with
// submission.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"os"
	"strings"

	"github.com/fe022423/submission"
	"github.com/wneessen/go-mail"
)

func main() {
	m, err := compose()
	if err == nil {
		err = send(m)
	}
	if err != nil {
		log.Fatal(err)
	}
}

func compose() (*mail.Msg, error) {
	m := mail.NewMsg()
	err := errors.Join(
		m.FromFormat("Shop", "shop@example.org"),
		m.AddToFormat("Customer", "customer@example.net"),
		m.AddCcFormat("Sales", "sales@example.org"),
		m.AddBcc("archive@example.org"),
		m.AttachReader("bill.csv", strings.NewReader("item,price\ncafé crème,3.20\n")),
	)
	m.Subject("Your order")
	m.SetBodyString(mail.TypeTextPlain, "Your order of one café crème is on its way.\n...and thank you.\n")
	m.AddAlternativeString(mail.TypeTextHTML, "<p>Your order of one <b>café crème</b> is on its way.</p>\n")
	return m, err
}

func send(m *mail.Msg) error {
	pem, err := os.ReadFile(os.Getenv("MAIL_CA"))
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	client, err := submission.New(os.Getenv("MAIL_ADDR"), &submission.Options{
		TLSConfig: &tls.Config{RootCAs: roots},
		Auth:      submission.Password{Username: os.Getenv("MAIL_USER"), Password: os.Getenv("MAIL_PASSWORD")},
	})
	if err != nil {
		return err
	}
	defer client.Close()
	envelope, err := submission.EnvelopeOf(m)
	if err != nil {
		return err
	}
	_, err = client.SendFunc(context.Background(), envelope, func(w io.Writer) error {
		_, err := m.WriteTo(w)
		return err
	})
	return err
}
