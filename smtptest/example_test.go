package smtptest_test

import (
	"fmt"
	"net/smtp"
	"strings"
	"testing"

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
	srv := smtptest.NewServer(&smtptest.Config{
		TLS: smtptest.NoTLS,
		Hook: func(c smtptest.Command) *smtptest.Answer {
			if c.Verb == "RCPT" && strings.Contains(c.Line, "gone@") {
				return &smtptest.Answer{Reply: "550 5.1.1 no such user"}
			}
			return nil
		},
	})
	defer srv.Close()
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
