// Command email composes one mail with github.com/jordan-wright/email and sends it with it.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"log"
	"net"
	"net/smtp"
	"os"
	"strings"

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
	host, _, err := net.SplitHostPort(os.Getenv("MAIL_ADDR"))
	if err != nil {
		return err
	}
	auth := smtp.PlainAuth("", os.Getenv("MAIL_USER"), os.Getenv("MAIL_PASSWORD"), host)
	return e.SendWithStartTLS(os.Getenv("MAIL_ADDR"), auth, &tls.Config{ServerName: host, RootCAs: roots})
}
