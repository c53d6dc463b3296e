// Command gomail composes one mail with gopkg.in/gomail.v2 and sends it with submission.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"os"

	"github.com/fe022423/submission"
	"gopkg.in/gomail.v2"
)

func main() {
	if err := send(compose()); err != nil {
		log.Fatal(err)
	}
}

func compose() *gomail.Message {
	m := gomail.NewMessage()
	m.SetAddressHeader("From", "shop@example.org", "Shop")
	m.SetAddressHeader("To", "customer@example.net", "Customer")
	m.SetAddressHeader("Cc", "sales@example.org", "Sales")
	m.SetHeader("Bcc", "archive@example.org")
	m.SetHeader("Subject", "Your order")
	m.SetBody("text/plain", "Your order of one café crème is on its way.\n...and thank you.\n")
	m.AddAlternative("text/html", "<p>Your order of one <b>café crème</b> is on its way.</p>\n")
	m.Attach("bill.csv", gomail.SetCopyFunc(func(w io.Writer) error {
		_, err := io.WriteString(w, "item,price\ncafé crème,3.20\n")
		return err
	}))
	return m
}

func send(m *gomail.Message) error {
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
	var failed error // gomail.Send makes text of an error
	err = gomail.Send(gomail.SendFunc(func(from string, to []string, msg io.WriterTo) error {
		_, failed = client.SendFunc(context.Background(), submission.Envelope{From: from, To: submission.To(to...)}, func(w io.Writer) error {
			_, err := msg.WriteTo(w)
			return err
		})
		return failed
	}), m)
	if failed != nil {
		return failed
	}
	return err
}
