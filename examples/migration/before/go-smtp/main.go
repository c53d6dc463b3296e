// Command go-smtp sends one mail with the client of github.com/emersion/go-smtp.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
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
	c, err := smtp.DialStartTLS(os.Getenv("MAIL_ADDR"), &tls.Config{RootCAs: roots})
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Auth(sasl.NewPlainClient("", os.Getenv("MAIL_USER"), os.Getenv("MAIL_PASSWORD"))); err != nil {
		return err
	}
	if err := c.SendMail(from, to, message); err != nil {
		return err
	}
	return c.Quit()
}
