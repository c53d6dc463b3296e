// Command gomail composes one mail with gopkg.in/gomail.v2 and sends it with it.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"os"
	"strconv"

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
	host, service, err := net.SplitHostPort(os.Getenv("MAIL_ADDR"))
	if err != nil {
		return err
	}
	port, err := strconv.Atoi(service)
	if err != nil {
		return err
	}
	d := gomail.NewDialer(host, port, os.Getenv("MAIL_USER"), os.Getenv("MAIL_PASSWORD"))
	d.TLSConfig = &tls.Config{ServerName: host, RootCAs: roots}
	return d.DialAndSend(m)
}
