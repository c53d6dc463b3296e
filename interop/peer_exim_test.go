//go:build linux

package interop

import "os"

// exim is Exim as a submission server, which delivers into a Maildir.
var exim = peer{
	name:    "Exim",
	program: "Exim 4.96, Debian package exim4-daemon-heavy",
	needs:   []need{unpacked("exim", "usr/sbin/exim4")},
	offers: offers{
		clear: yes(""), startTLS: yes(""), implicitTLS: yes(""),
		mechanisms: []string{"PLAIN", "LOGIN", "CRAM-MD5", "NTLM"},
		logins:     []string{"PLAIN", "LOGIN", "CRAM-MD5"},
		extensions: []string{"SIZE", "8BITMIME", "DSN", "PIPELINING", "CHUNKING", "SMTPUTF8", "PIPECONNECT", "HELP"},
		sizeLimit:  1_000_000,
		octets:     yes(""),

		refusedSender: yes(""), refusedRecipient: yes(""), busyRecipient: yes(""), refusedMessage: yes(""),
		tooLarge: yes(""), earlyData: yes(""), restart: yes(""),

		sessions: yes("421 to the connection"), messages: yes("421 to MAIL"), recipients: yes("452 to RCPT"),
		idle: yes("421"), literal: yes("550 to EHLO"),
		greetPause:     no("it delays by its ACLs, which is not done here"),
		slowedRefusals: no("it delays by its ACLs, which is not done here"),
	},
	start: startExim,
	stored: func(p place) ([]stored, error) {
		all, err := maildir(p.below("root/store/new/*"))
		for i := range all {
			all[i].to = fields(string(all[i].raw), "Envelope-to")
		}
		return all, err
	},
	queued: []string{"root/var/spool/exim4/input/*", "root/store/tmp/*"},
	words:  eximWords,
}

func startExim(s *station) error {
	const user = "Debian-exim"
	j, err := s.newJail("exim", user)
	if err != nil {
		return err
	}
	for _, dir := range []string{"var/spool/exim4", "var/log", "store"} {
		if err := os.MkdirAll(j.root(dir), 0o755); err != nil {
			return err
		}
		if err := j.chown(user, dir); err != nil {
			return err
		}
	}
	if err := s.configure(map[string]string{"exim4.conf": "root/etc/exim4/exim4.conf"}); err != nil {
		return err
	}
	if err := j.certificate("etc/exim4", user); err != nil {
		return err
	}
	return j.startInside("exim", "/usr/sbin/exim4", "-bdf", "-q1m")
}
