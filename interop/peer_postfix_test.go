//go:build linux

package interop

import (
	"os"
)

// postfix is Postfix with passwords from Cyrus SASL and a limit of connections.
var postfix = peer{
	name:    "Postfix",
	program: "Postfix 3.7, Debian package postfix",
	needs: []need{
		installed("/usr/sbin/postfix", "postfix"),
		installed("/usr/sbin/saslpasswd2", "sasl2-bin"),
	},
	offers: offers{
		clear: yes(""), startTLS: yes(""), implicitTLS: yes(""),
		mechanisms: []string{"PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5", "NTLM", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"},
		logins:     []string{"PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5", "NTLM", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"},
		extensions: []string{"PIPELINING", "SIZE", "VRFY", "ETRN", "ENHANCEDSTATUSCODES", "8BITMIME", "DSN", "SMTPUTF8", "CHUNKING"},
		sizeLimit:  1_000_000,
		octets:     yes(""),

		refusedSender: yes(""), refusedRecipient: yes(""), busyRecipient: yes(""), refusedMessage: yes(""),
		tooLarge: yes(""), earlyData: yes(""), restart: yes(""),

		sessions: yes("421 to the connection"), recipients: yes("452 to RCPT"), idle: yes("421"),
		literal: yes("550 to EHLO"), slowedRefusals: yes("a second each"),
		messages:   no("it limits them by time, not by session"),
		greetPause: no("postscreen does it, for port 25"),
	},
	start:      startPostfix,
	stored:     func(p place) ([]stored, error) { return maildir(p.below("store/inbox/new/*")) },
	queued:     []string{"queue/incoming/*", "queue/active/*", "queue/deferred/*/*"},
	queuedMode: ready,
	words:      postfixWords,
}

func startPostfix(s *station) error {
	for _, dir := range []string{"conf/sasl", "queue", "data", "store"} {
		if err := os.MkdirAll(s.below(dir), 0o755); err != nil {
			return err
		}
	}
	owner, err := userID("postfix")
	if err != nil {
		return err
	}
	if err := os.Chown(s.below("data"), owner, -1); err != nil {
		return err
	}
	if err := os.Chown(s.below("store"), nobody, nobody); err != nil {
		return err
	}
	if err := s.configure(map[string]string{
		"main.cf": "conf/main.cf", "master.cf": "conf/master.cf", "smtpd.conf": "conf/sasl/smtpd.conf",
	}); err != nil {
		return err
	}
	if err := writeSASLDB(s.below("sasldb2"), owner, map[string]string{account: password}); err != nil {
		return err
	}
	return s.crew.start("postfix", "/usr/sbin/postfix", "-c", s.below("conf"), "start-fg")
}
