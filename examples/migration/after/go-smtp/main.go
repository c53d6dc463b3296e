// Command go-smtp sends the mail of the program that used the client of go-smtp. What it knew of
// SASL stays: its sasl.Client is used as it is.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/fe022423/submission"
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
	client, err := submission.New(os.Getenv("MAIL_ADDR"), &submission.Options{
		TLSConfig: &tls.Config{RootCAs: roots},
		Auth:      submission.AuthFunc(login),
	})
	if err != nil {
		return err
	}
	defer client.Close()
	_, err = client.Send(context.Background(), submission.Envelope{From: from, To: submission.To(to...)}, message)
	return err
}

func login(context.Context, submission.ServerInfo) (sasl.Client, error) {
	return sasl.NewPlainClient("", os.Getenv("MAIL_USER"), os.Getenv("MAIL_PASSWORD")), nil
}
