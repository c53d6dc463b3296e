//go:build linux

package interop

import (
	"bytes"
	"fmt"
	"os"
)

// courier is Courier, which delivers into a Maildir for each user.
var courier = peer{
	name:    "Courier",
	program: "Courier 1.0.16, Debian package courier-mta",
	needs: []need{
		unpacked("courier", "usr/sbin/courieresmtpd"),
		unpacked("courier", "usr/lib/courier/courier-authlib/authdaemond"),
		installed("/usr/bin/openssl", "openssl"),
	},
	offers: offers{
		clear: yes(""), startTLS: yes(""), implicitTLS: yes(""),
		mechanisms:   []string{"PLAIN", "LOGIN", "CRAM-MD5"},
		logins:       []string{"PLAIN", "LOGIN", "CRAM-MD5"},
		flightsAlone: "after one try envelopes go out by themselves", flightsDropped: true,
		extensions: []string{"XVERP=COURIER", "XEXDATA", "XSECURITY=NONE,STARTTLS", "PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE", "DSN"},
		sizeLimit:  1_000_000,
		sizeHidden: true,
		octets:     partly("addresses in the header are written anew"),
		altered: func(_ string, canonical []byte) []byte {
			return bytes.Replace(canonical, []byte("undisclosed-recipients:;"), []byte("undisclosed-recipients: ;"), 1)
		},

		refusedSender: yes(""), refusedRecipient: yes(""), refusedMessage: yes(""), tooLarge: yes(""), restart: yes(""),
		busyRecipient: no("it has no mailbox that is busy"),
		earlyData:     no("it does not offer CHUNKING"),

		sessions: yes("hangs up without a word"), recipients: yes("431 to RCPT"),
		messages:       no("it has no such limit"),
		idle:           no("its patience is fixed, and longer than a test can wait"),
		literal:        no("it takes any name"),
		greetPause:     no("it greets at once"),
		slowedRefusals: no("its delays grow, past what a test can wait"),
	},
	start: func(s *station) error {
		users := []string{"courier", "alice", "bob", "carol", "dave"}
		for i := range maxRecipients + 10 {
			users = append(users, fmt.Sprintf("r%d", i))
		}
		j, err := s.newJail("courier", users...)
		if err != nil {
			return err
		}
		if _, err := os.Stat(j.root("var/lib/courier")); err != nil {
			if err := copyTree(j.packages+"/var", j.root("var")); err != nil {
				return err
			}
		}
		if err := j.certificate("etc/courier", "courier"); err != nil {
			return err
		}
		if err := s.configure(map[string]string{"start.sh": "root/etc/courier/start.sh"}); err != nil {
			return err
		}
		return j.startInside("courier", "/bin/sh", "/etc/courier/start.sh")
	},
	stored: func(p place) ([]stored, error) { return maildir(p.below("root/home/*/Maildir/new/*")) },
	queued: []string{"root/var/lib/courier/msgq/*/*", "root/var/lib/courier/msgs/*/*"},
}
