// Command net-smtp sends one mail with net/smtp.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/smtp"
	"os"
	"strings"
	"time"
)

const letter = `Date: %s
From: Shop <shop@example.org>
To: Customer <customer@example.net>
Cc: Sales <sales@example.org>
Subject: Your order
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

Your order of one café crème is on its way.
...and thank you.
`

func main() {
	to := []string{"customer@example.net", "sales@example.org", "archive@example.org"}
	message := fmt.Sprintf(letter, time.Now().Format(time.RFC1123Z))
	if err := send("shop@example.org", to, strings.NewReader(message)); err != nil {
		log.Fatal(err)
	}
}

func send(from string, to []string, message io.Reader) error {
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
	c, err := smtp.Dial(os.Getenv("MAIL_ADDR"))
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.StartTLS(&tls.Config{ServerName: host, RootCAs: roots}); err != nil {
		return err
	}
	if err := c.Auth(smtp.PlainAuth("", os.Getenv("MAIL_USER"), os.Getenv("MAIL_PASSWORD"), host)); err != nil {
		return err
	}
	if err := c.Mail(from); err != nil {
		return err
	}
	for _, addr := range to {
		if err := c.Rcpt(addr); err != nil {
			return err
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, message); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return c.Quit()
}
