// Command email composes one mail with github.com/jordan-wright/email and sends it with
// submission.
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"log"
	"os"
	"strings"

	"github.com/fe022423/submission"
	"github.com/jordan-wright/email"
)

func main() {
	e, err := compose()
	if err == nil {
		err = send(e)
	}
	if err != nil {
		log.Fatal(err)
	}
}

func compose() (*email.Email, error) {
	e := email.NewEmail()
	e.From = "Shop <shop@example.org>"
	e.To = []string{"Customer <customer@example.net>"}
	e.Cc = []string{"Sales <sales@example.org>"}
	e.Bcc = []string{"archive@example.org"}
	e.Subject = "Your order"
	e.Text = []byte("Your order of one café crème is on its way.\n...and thank you.\n")
	e.HTML = []byte("<p>Your order of one <b>café crème</b> is on its way.</p>\n")
	_, err := e.Attach(strings.NewReader("item,price\ncafé crème,3.20\n"), "bill.csv", "text/csv; charset=utf-8")
	return e, err
}

func send(e *email.Email) error {
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
	e.Headers.Set("Bcc", strings.Join(e.Bcc, ", ")) // SendMessage leaves it out
	message, err := e.Bytes()
	if err != nil {
		return err
	}
	_, err = client.SendMessage(context.Background(), bytes.NewReader(message))
	return err
}
