package migration

import (
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/fe022423/submission/smtptest"
)

// The account of the programs.
const (
	user     = "shop"
	password = "a secret"
)

// serve starts a server with STARTTLS and PLAIN alone, whose certificate is of a CA that
// nobody knows, and returns the environment of a program that is to send to it.
func serve(t *testing.T) (*smtptest.Server, []string) {
	t.Helper()
	srv := smtptest.New(t, &smtptest.Config{
		Accounts:    map[string]string{user: password},
		Mechanisms:  []string{"PLAIN"},
		RequireAuth: true,
	})
	_, ca := pem.Decode(srv.CertificatePEM()) // after the server's own certificate
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, ca, 0o600); err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(srv.Addr())
	if err != nil {
		t.Fatal(err)
	}
	return srv, []string{"MAIL_ADDR=" + net.JoinHostPort("localhost", port), "MAIL_USER=" + user, "MAIL_PASSWORD=" + password, "MAIL_CA=" + file}
}
