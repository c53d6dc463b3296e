//go:build linux

package interop

import (
	"fmt"
	"os"
	"strings"
)

// sendmail is Sendmail with passwords from Cyrus SASL. Its local mailer is a script
// that writes what comes.
var sendmail = peer{
	name:    "Sendmail",
	program: "Sendmail 8.17.1, Debian package sendmail-bin",
	needs: []need{
		unpacked("sendmail", "usr/libexec/sendmail/sendmail"),
		unpacked("sendmail", "usr/share/sendmail/cf/m4/cf.m4"),
		installed("/usr/bin/m4", "m4"),
		installed("/usr/sbin/saslpasswd2", "sasl2-bin"),
	},
	offers: offers{
		clear: yes(""), startTLS: yes(""), implicitTLS: yes(""),
		mechanisms: []string{"PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"},
		logins:     []string{"PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"},
		extensions: []string{"ENHANCEDSTATUSCODES", "PIPELINING", "8BITMIME", "SIZE", "DSN", "DELIVERBY", "EXPN", "VERB", "HELP"},
		sizeLimit:  1_000_000,
		octets:     yes(""),

		refusedSender: yes(""), refusedRecipient: yes(""), busyRecipient: yes(""), refusedMessage: yes(""),
		tooLarge: yes(""), restart: yes(""),
		earlyData: no("it does not offer CHUNKING"),

		sessions: yes("421 to the connection"), recipients: yes("452 to RCPT"), idle: yes("421"),
		greetPause: yes("554 to those who speak first"), slowedRefusals: yes("a second each"),
		messages: no("it counts none"),
		literal:  no("it takes any name"),
	},
	start: startSendmail,
	stored: func(p place) ([]stored, error) {
		return maildir(p.below("root/store/new/*"))
	},
	queued: []string{"root/var/spool/mqueue/*f*", "root/store/tmp/*"},
}

func startSendmail(s *station) error {
	users := []string{"mail", "smmta", "smmsp", "alice", "bob", "carol", "dave", "later"}
	for i := range maxRecipients + 10 {
		users = append(users, fmt.Sprintf("r%d", i))
	}
	j, err := s.newJail("sendmail", users...)
	if err != nil {
		return err
	}
	for _, dir := range []string{"var/spool/mqueue", "store/tmp", "store/new", "etc/mail/sasl"} {
		if err := os.MkdirAll(j.root(dir), 0o755); err != nil {
			return err
		}
	}
	for _, dir := range []string{"store/tmp", "store/new"} {
		if err := os.Chmod(j.root(dir), 0o777); err != nil {
			return err
		}
	}
	if err := s.configure(map[string]string{
		"sendmail.mc": "root/etc/mail/sendmail.mc", "access": "root/etc/mail/access",
		"store.sh": "root/etc/mail/store.sh", "Sendmail.conf": "root/etc/sasl2/Sendmail.conf",
	}); err != nil {
		return err
	}
	if err := os.Chmod(j.root("etc/mail/store.sh"), 0o755); err != nil {
		return err
	}
	if err := j.certificate("etc/mail/tls", "root"); err != nil {
		return err
	}
	user, realm, _ := strings.Cut(account, "@")
	for _, script := range []string{
		"cd /etc/mail && m4 -D_CF_DIR_=/usr/share/sendmail/cf/ /usr/share/sendmail/cf/m4/cf.m4 sendmail.mc >sendmail.cf",
		"cd /etc/mail && /usr/libexec/sendmail/makemap hash access <access",
		"echo 'postmaster: root' >/etc/mail/aliases && /usr/libexec/sendmail/sendmail -bi",
		fmt.Sprintf("printf %%s %q | saslpasswd2 -p -c -f /etc/mail/sasldb2 -u %s %s", password, realm, user),
	} {
		if err := j.do("/bin/sh", "-c", script); err != nil {
			return err
		}
	}
	return j.startInside("sendmail", "/usr/libexec/sendmail/sendmail", "-bD", "-q1m", "-X", "/var/log/traffic-log")
}
