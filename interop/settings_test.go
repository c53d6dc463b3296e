//go:build linux

package interop

import (
	"crypto/rand"
	"embed"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
)

// Names and limits that configurations and tests share.
const (
	serverName = "mail.test.example"
	idnDomain  = "xn--e1aybc.example" // тест.example
	// sizeLimit is what Postfix and Dovecot take, in octets.
	sizeLimit = 40_000_000

	account  = "alice@test.example"
	password = "correct horse"
	// awkwardAccount has a password full of what mechanisms quote or encode. Its
	// euro sign lies outside ISO 8859-1, so DIGEST-MD5 hashes it as UTF-8. One of
	// Latin letters alone would have to be hashed as ISO 8859-1 (RFC 2831,
	// 2.1.2.1), which Dovecot does not do: it refuses such a password.
	awkwardAccount  = "bob@test.example"
	awkwardPassword = `a,b="c" \d €`

	// fullAccount is one whose mailbox takes no message by LMTP.
	fullAccount = "full@test.example"

	// token is the one that is good, for account.
	token = "ya29.good-token"

	proxyUser     = "proxyuser"
	proxyPassword = "proxypass"
)

// settings are what the configuration templates are filled with and what the
// tests need to know of the running servers.
type settings struct {
	ID  string // in the greetings, so that a run cannot mistake another's servers for its own
	Dir string
	CA  []byte // PEM

	Name, IDN                string
	User, Password           string
	ProxyUser, ProxyPassword string
	SizeLimit                int
	UID, GID                 int // who owns the mail

	Postfix, PostfixTLS, PostfixImpatient int
	PostfixCyrus, Tokens                  int
	Dovecot, DovecotTLS, POP3, LMTP       int
	SOCKS, SOCKSAuth, HTTPProxy, HTTPOpen int
}

// newSettings chooses an identity and ports. dir must be enterable by all.
func newSettings(dir string) (*settings, error) {
	s := &settings{
		ID: rand.Text(), Dir: dir, Name: serverName, IDN: idnDomain,
		User: account, Password: password, ProxyUser: proxyUser, ProxyPassword: proxyPassword,
		SizeLimit: sizeLimit, UID: nobody, GID: nobody,
	}
	taken := make(map[int]bool)
	for _, port := range []*int{&s.Postfix, &s.PostfixTLS, &s.PostfixImpatient, &s.PostfixCyrus, &s.Tokens,
		&s.Dovecot, &s.DovecotTLS, &s.POP3, &s.LMTP, &s.SOCKS, &s.SOCKSAuth, &s.HTTPProxy, &s.HTTPOpen} {
		p, err := freePort(taken)
		if err != nil {
			return nil, err
		}
		taken[p] = true
		*port = p
	}
	return s, nil
}

// Ports are drawn below Linux's ephemeral range, where no connection takes one
// between the check here and the server's bind.
const (
	lowestPort  = 10_000
	highestPort = 32_000
	portTries   = 1000
)

func freePort(taken map[int]bool) (int, error) {
	for range portTries {
		p := lowestPort + mathrand.IntN(highestPort-lowestPort)
		if taken[p] {
			continue
		}
		ln, err := net.Listen("tcp", loopback(p))
		if err != nil {
			continue
		}
		return p, ln.Close()
	}
	return 0, fmt.Errorf("no free port between %d and %d", lowestPort, highestPort)
}

// loopback is where all servers listen.
func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

//go:embed testdata
var templates embed.FS

// nobody owns the mail: the user of that name on Debian.
const nobody = 65534

// write makes the directories, certificates and configurations below s.Dir.
func (s *settings) write() error {
	for _, d := range []string{"postfix/conf", "postfix/queue", "postfix/data", "postfix/mail", "dovecot/run", "dovecot/state", "dovecot/home", "sasl", "postfix/conf/sasl"} {
		if err := os.MkdirAll(filepath.Join(s.Dir, d), 0o755); err != nil {
			return err
		}
	}
	postfix, err := userID("postfix")
	if err != nil {
		return err
	}
	if err := os.Chown(filepath.Join(s.Dir, "postfix/data"), postfix, -1); err != nil {
		return err
	}
	if err := os.Chown(filepath.Join(s.Dir, "postfix/mail"), s.UID, s.GID); err != nil {
		return err
	}
	if err := os.Chown(filepath.Join(s.Dir, "dovecot/home"), s.UID, s.GID); err != nil {
		return err
	}
	if s.CA, err = writeCertificates(s.Dir); err != nil {
		return err
	}
	accounts := fmt.Sprintf("%s:{PLAIN}%s\n%s:{PLAIN}%s\n", account, password, awkwardAccount, awkwardPassword)
	if err := os.WriteFile(filepath.Join(s.Dir, "users"), []byte(accounts), 0o644); err != nil {
		return err
	}
	mailboxes := fmt.Sprintf("%s:::::::\n%s:::::::\n%s:::::::userdb_quota_rule=*:bytes=1\n", account, awkwardAccount, fullAccount)
	if err := os.WriteFile(filepath.Join(s.Dir, "mailboxes"), []byte(mailboxes), 0o644); err != nil {
		return err
	}
	if err := writeSASLDB(filepath.Join(s.Dir, "sasl/sasldb2"), postfix, map[string]string{account: password, awkwardAccount: awkwardPassword}); err != nil {
		return err
	}
	for name, to := range map[string]string{
		"main.cf": "postfix/conf/main.cf", "master.cf": "postfix/conf/master.cf",
		"dovecot.conf": "dovecot/dovecot.conf", "dovecot-oauth2.conf": "dovecot/oauth2.conf",
		"smtpd.conf": "postfix/conf/sasl/smtpd.conf", "tinyproxy.conf": "tinyproxy.conf", "tinyproxy-open.conf": "tinyproxy-open.conf",
	} {
		if err := s.render(name, filepath.Join(s.Dir, to)); err != nil {
			return err
		}
	}
	return nil
}

// writeSASLDB makes a password file of Cyrus SASL, which Postfix reads as its own
// user.
func writeSASLDB(db string, owner int, passwords map[string]string) error {
	for name, secret := range passwords {
		user, realm, _ := strings.Cut(name, "@")
		cmd := exec.Command("/usr/sbin/saslpasswd2", "-p", "-c", "-f", db, "-u", realm, user)
		cmd.Stdin = strings.NewReader(secret)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("saslpasswd2: %w: %s", err, out)
		}
	}
	return os.Chown(db, owner, -1)
}

func (s *settings) render(name, to string) error { return render(name, s, to) }

// render fills a template of testdata.
func render(name string, data any, to string) error {
	t, err := template.ParseFS(templates, "testdata/"+name)
	if err != nil {
		return err
	}
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	if err := t.Execute(f, data); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
