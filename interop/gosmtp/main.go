// Command gosmtp is a submission server on github.com/emersion/go-smtp for the
// tests of interop. It stores each message as a file: a Delivered-To field for each
// recipient, then the octets as they came. It is built with several versions of
// go-smtp; go.mod has the newest, v0.24.0.mod one of before.
package main

import (
	"bytes"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// settings are the flags.
var settings struct {
	dir, addr, tlsAddr, name      string
	user, password                string
	refusedSender, refused, later string
	refuseField                   string
	size                          int64
	recipients                    int
	idle                          time.Duration
}

var stored atomic.Int64

type backend struct{}

func (backend) NewSession(*smtp.Conn) (smtp.Session, error) { return new(session), nil }

type session struct {
	known bool
	to    []string
}

func (s *session) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != settings.user || password != settings.password {
			return smtp.ErrAuthFailed
		}
		s.known = true
		return nil
	}), nil
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if !s.known {
		return smtp.ErrAuthRequired
	}
	if from == settings.refusedSender {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: "sender refused"}
	}
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	switch to {
	case settings.refused:
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such mailbox"}
	case settings.later:
		return &smtp.SMTPError{Code: 450, EnhancedCode: smtp.EnhancedCode{4, 2, 1}, Message: "mailbox busy"}
	}
	s.to = append(s.to, to)
	return nil
}

func (s *session) Data(r io.Reader) error {
	var message bytes.Buffer
	for _, to := range s.to {
		fmt.Fprintf(&message, "Delivered-To: %s\r\n", to)
	}
	if _, err := message.ReadFrom(r); err != nil {
		return err
	}
	if bytes.Contains(message.Bytes(), []byte("\r\n"+settings.refuseField+": ")) {
		return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: "message refused"}
	}
	name := fmt.Sprintf("%d-%d", os.Getpid(), stored.Add(1))
	tmp := filepath.Join(settings.dir, "store/tmp", name)
	if err := os.WriteFile(tmp, message.Bytes(), 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(settings.dir, "store/new", name))
}

func (s *session) Reset()        { s.to = nil }
func (s *session) Logout() error { return nil }

func newServer(addr string) *smtp.Server {
	s := smtp.NewServer(backend{})
	s.Addr = addr
	s.Domain = settings.name
	s.ReadTimeout, s.WriteTimeout = settings.idle, settings.idle
	s.MaxMessageBytes = settings.size
	s.MaxRecipients = settings.recipients
	s.AllowInsecureAuth = true
	s.EnableSMTPUTF8, s.EnableBINARYMIME, s.EnableDSN, s.EnableREQUIRETLS = true, true, true, true
	cert, err := tls.LoadX509KeyPair(filepath.Join(settings.dir, "cert.pem"), filepath.Join(settings.dir, "key.pem"))
	if err != nil {
		log.Fatal(err)
	}
	s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
	return s
}

func main() {
	flag.StringVar(&settings.dir, "dir", "", "directory with the certificate and the store")
	flag.StringVar(&settings.addr, "addr", "", "address that begins in clear")
	flag.StringVar(&settings.tlsAddr, "tlsaddr", "", "address with implicit TLS")
	flag.StringVar(&settings.name, "name", "", "name of the server")
	flag.StringVar(&settings.user, "user", "", "user who may log in")
	flag.StringVar(&settings.password, "password", "", "password of the user")
	flag.StringVar(&settings.refusedSender, "refused-sender", "", "sender to refuse")
	flag.StringVar(&settings.refused, "refused", "", "recipient to refuse")
	flag.StringVar(&settings.later, "later", "", "recipient to refuse for now")
	flag.StringVar(&settings.refuseField, "refuse-field", "", "header field of messages to refuse")
	flag.Int64Var(&settings.size, "size", 0, "largest message, in bytes")
	flag.IntVar(&settings.recipients, "recipients", 0, "most recipients of a message")
	flag.DurationVar(&settings.idle, "idle", time.Minute, "patience with an idle session")
	flag.Parse()
	go func() { log.Fatal(newServer(settings.tlsAddr).ListenAndServeTLS()) }()
	log.Fatal(newServer(settings.addr).ListenAndServe())
}
