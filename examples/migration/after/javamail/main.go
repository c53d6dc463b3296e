// Command javamail does with submission what the Java program does with Jakarta Mail.
// The standard library composes the message.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"mime/multipart"
	"mime/quotedprintable"
	"net/textproto"
	"os"
	"time"

	"github.com/fe022423/submission"
)

func main() {
	message, err := compose()
	if err == nil {
		err = send(message)
	}
	if err != nil {
		log.Fatal(err)
	}
}

func send(message io.Reader) error {
	pem, err := os.ReadFile(os.Getenv("MAIL_CA"))
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	client, err := submission.New(os.Getenv("MAIL_ADDR"), &submission.Options{
		TLSConfig: &tls.Config{RootCAs: roots},
		Auth:      submission.Password{Username: os.Getenv("MAIL_USER"), Password: os.Getenv("MAIL_PASSWORD")},
		Timeouts:  submission.Timeouts{Dial: 10 * time.Second, Command: time.Minute},
	})
	if err != nil {
		return err
	}
	defer client.Close()
	_, err = client.SendMessage(context.Background(), message)
	return err
}

const header = `Date: %s
From: Shop <shop@example.org>
To: Customer <customer@example.net>
Cc: Sales <sales@example.org>
Bcc: archive@example.org
Message-ID: <%s@example.org>
Subject: Your order
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="%s"

`

func compose() (io.Reader, error) {
	var b bytes.Buffer
	mixed, bodies := multipart.NewWriter(&b), multipart.NewWriter(&b)
	fmt.Fprintf(&b, header, time.Now().Format(time.RFC1123Z), rand.Text(), mixed.Boundary())
	_, err := mixed.CreatePart(textproto.MIMEHeader{"Content-Type": {`multipart/alternative; boundary="` + bodies.Boundary() + `"`}})
	return &b, errors.Join(err,
		text(bodies, "text/plain; charset=UTF-8", "", "Your order of one café crème is on its way.\n...and thank you.\n"),
		text(bodies, "text/html; charset=UTF-8", "", "<p>Your order of one <b>café crème</b> is on its way.</p>\n"),
		bodies.Close(),
		text(mixed, "text/csv; charset=UTF-8; name=bill.csv", "attachment; filename=bill.csv", "item,price\ncafé crème,3.20\n"),
		mixed.Close())
}

func text(to *multipart.Writer, contentType, disposition, content string) error {
	h := textproto.MIMEHeader{"Content-Type": {contentType}, "Content-Transfer-Encoding": {"quoted-printable"}}
	if disposition != "" {
		h.Set("Content-Disposition", disposition)
	}
	part, err := to.CreatePart(h)
	if err != nil {
		return err
	}
	w := quotedprintable.NewWriter(part)
	_, err = io.WriteString(w, content)
	return errors.Join(err, w.Close())
}
