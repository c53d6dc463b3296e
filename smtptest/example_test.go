package smtptest_test

import (
	"context"
	"fmt"
	"net/smtp"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// notifier is a service that sends mail; here with the standard library, since
// the fake server serves any client.
type notifier struct{ addr string }

func (n notifier) notify(to string) error {
	err := smtp.SendMail(n.addr, nil, "shop@example.org", []string{to}, []byte("Subject: hello\r\n\r\nIt is done.\r\n"))
	if err != nil && strings.HasPrefix(err.Error(), "550") {
		return fmt.Errorf("no such customer: %w", err)
	}
	return err
}

// TestNotifier is how a service's test uses the server: one line to start it,
// a Hook for what goes wrong, Messages for what arrived.
func TestNotifier(t *testing.T) {
	srv := smtptest.New(t, &smtptest.Config{
		TLS:  smtptest.NoTLS,
		Hook: smtptest.On("RCPT", "gone@example.net", "550 5.1.1 no such user"),
	})
	n := notifier{srv.Addr()}

	if err := n.notify("customer@example.net"); err != nil {
		t.Error(err)
	}
	if m := srv.Messages(); len(m) != 1 || m[0].To[0] != "customer@example.net" || !strings.Contains(string(m[0].Data), "It is done.") {
		t.Errorf("arrived: %+v", m)
	}
	if err := n.notify("gone@example.net"); err == nil || !strings.Contains(err.Error(), "no such customer") {
		t.Errorf("error %v, want one that says the customer does not exist", err)
	}
}

// A test starts a server for itself. There is nothing to close, and when the test fails its
// log shows what was said.
func ExampleNew() {
	var t *testing.T // the test's

	srv := smtptest.New(t, &smtptest.Config{TLS: smtptest.NoTLS})
	if err := (notifier{srv.Addr()}).notify("customer@example.net"); err != nil {
		t.Error(err)
	}
}

func ExampleNewServer() {
	srv := smtptest.NewServer(nil)
	defer srv.Close()

	c, err := smtp.Dial(srv.Addr())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	trust := srv.ClientTLSConfig()
	trust.ServerName = "localhost"
	if err := c.StartTLS(trust); err != nil {
		fmt.Println(err)
		return
	}
	c.Mail("shop@example.org")
	c.Rcpt("customer@example.net")
	if w, err := c.Data(); err == nil {
		fmt.Fprint(w, "Subject: hello\n")
		w.Close()
	}
	for _, m := range srv.Messages() {
		fmt.Printf("%s to %v, TLS %v: %q\n", m.From, m.To, m.TLS, m.Data)
	}
	// Output: shop@example.org to [customer@example.net], TLS true: "Subject: hello\r\n"
}

// Next waits for a message of a program that sends when it likes to. The context bounds the
// waiting, and the error then says what was last said.
func ExampleServer_Next() {
	srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.NoTLS})
	defer srv.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	go notifier{srv.Addr()}.notify("customer@example.net")

	m, err := srv.Next(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("to", m.To)
	// Output: to [customer@example.net]
}

// Wait waits until all are there, and returns them.
func ExampleServer_Wait() {
	srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.NoTLS})
	defer srv.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	for _, to := range []string{"anna@example.net", "bela@example.net", "carl@example.net"} {
		go notifier{srv.Addr()}.notify(to)
	}

	all, err := srv.Wait(ctx, 3)
	fmt.Println(len(all), err)
	// Output: 3 <nil>
}

// Reset forgets what came in one part of a test before the next one begins.
func ExampleServer_Reset() {
	srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.NoTLS})
	defer srv.Close()
	n := notifier{srv.Addr()}

	n.notify("first@example.net")
	srv.Reset()
	n.notify("second@example.net")
	for _, m := range srv.Messages() {
		fmt.Println(m.To)
	}
	// Output: [second@example.net]
}

// The server crashes and comes back, on the same port.
func ExampleServer_Stop() {
	srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.NoTLS})
	defer srv.Close()
	n := notifier{srv.Addr()}

	srv.Stop()
	fmt.Println("sent while it is down:", n.notify("customer@example.net") == nil)
	srv.Start()
	fmt.Println("sent when it is up:", n.notify("customer@example.net") == nil)
	// Output:
	// sent while it is down: false
	// sent when it is up: true
}

// The server is a dialer itself: no socket, no port, no name to resolve.
func ExampleServer_DialContext() {
	srv := smtptest.NewServer(nil)
	defer srv.Close()

	client, err := submission.New("mail.test.example", &submission.Options{
		Dialer: srv, TLSConfig: srv.ClientTLSConfig(), From: "shop@example.org"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	_, err = client.Send(context.Background(), submission.Envelope{To: submission.To("customer@example.net")},
		strings.NewReader("Subject: hello\n\nIt is done.\n"))
	fmt.Println(err, len(srv.Messages()))
	// Output: <nil> 1
}

// A program is told by one string where to send, as whom, and whom to trust.
func ExampleServer_URL() {
	srv := smtptest.NewServer(&smtptest.Config{Accounts: map[string]string{"shop": "a secret"}})
	defer srv.Close()

	addr, options, err := submission.ParseURL(srv.URL())
	if err != nil {
		fmt.Println(err)
		return
	}
	client, err := submission.New(addr, options)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	fmt.Println(client.Ping(context.Background()))
	// Output: <nil>
}

// Another process trusts the server by a file.
func ExampleServer_CertificatePEM() {
	srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.ImplicitTLS})
	defer srv.Close()

	file, err := os.CreateTemp("", "*.pem")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.Remove(file.Name())
	file.Write(srv.CertificatePEM())
	file.Close()
	fmt.Println(srv.Certificate().DNSNames)
	// Output: [mail.test.example localhost]
}

// The transcript of a session that came to nothing.
func ExampleServer_Transcript() {
	srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.NoTLS, Hook: smtptest.On("EHLO", "", "421 4.3.2 too busy")})
	defer srv.Close()

	notifier{srv.Addr()}.notify("customer@example.net")
	fmt.Println(strings.Join(srv.Transcript(), "\n"))
	// Output:
	// [1] S: 220 mail.test.example ESMTP ready
	// [1] C: EHLO localhost
	// [1] S: 421 4.3.2 too busy
}

// What the reader sees: text, HTML, attachments.
func ExampleMessage_Parse() {
	srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.NoTLS})
	defer srv.Close()
	const letter = "From: =?utf-8?Q?J=C3=B6rg?= <shop@example.org>\r\nSubject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n" +
		"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nIt is done.\r\n--b\r\n" +
		"Content-Type: application/pdf\r\nContent-Disposition: attachment; filename=bill.pdf\r\n" +
		"Content-Transfer-Encoding: base64\r\n\r\nJVBERi0xLjQ=\r\n--b--\r\n"
	smtp.SendMail(srv.Addr(), nil, "shop@example.org", []string{"customer@example.net"}, []byte(letter))

	for _, m := range srv.Messages() {
		mail, err := m.Parse()
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s: %s: %s\n", mail.From[0].Name, mail.Subject, mail.Text)
		for _, part := range mail.Attachments {
			fmt.Printf("%s, %s: %s\n", part.Name, part.Type, part.Data)
		}
	}
	// Output:
	// Jörg: Grüße: It is done.
	// bill.pdf, application/pdf: %PDF-1.4
}
