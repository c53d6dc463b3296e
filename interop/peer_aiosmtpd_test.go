//go:build linux

package interop

// aiosmtpd is Python's aiosmtpd under a script that stores what comes.
var aiosmtpd = peer{
	name:    "aiosmtpd",
	program: "aiosmtpd 1.4.3, Debian package python3-aiosmtpd",
	needs:   []need{installed("/usr/lib/python3/dist-packages/aiosmtpd/smtp.py", "python3-aiosmtpd")},
	offers: offers{
		clear: yes(""), startTLS: yes(""), implicitTLS: yes(""),
		mechanisms: []string{"PLAIN", "LOGIN"},
		logins:     []string{"PLAIN", "LOGIN"},
		extensions: []string{"8BITMIME", "SMTPUTF8", "SIZE", "HELP"},
		sizeLimit:  1_000_000,
		octets:     partly("lines over 998 octets are refused with a 500"),
		altered:    refuseLongLines,

		refusedSender: yes(""), refusedRecipient: yes(""), busyRecipient: yes(""), refusedMessage: yes(""),
		tooLarge: yes(""), restart: yes(""),
		earlyData: no("it does not offer CHUNKING"),

		idle:           yes("without a word"),
		sessions:       no("it has no such limit"),
		messages:       no("it has no such limit"),
		recipients:     no("it has no such limit"),
		literal:        no("it takes any name"),
		greetPause:     no("it greets at once"),
		slowedRefusals: no("it answers at once"),
	},
	start: func(s *station) error {
		if err := s.makeStore(); err != nil {
			return err
		}
		if err := s.configure(map[string]string{"server.py": "server.py"}); err != nil {
			return err
		}
		return s.crew.start("aiosmtpd", "/usr/bin/python3", s.below("server.py"))
	},
	stored: func(p place) ([]stored, error) { return spoolFiles(p.below("store/new/*")) },
}
