//go:build linux

package interop

// smtpServer is nodemailer's smtp-server under a script that stores what comes.
var smtpServer = peer{
	name:    "smtp-server",
	program: "smtp-server 3.21 of nodemailer, npm package smtp-server",
	needs:   []need{modules("smtp-server"), installed("/usr/bin/node", "nodejs")},
	offers: offers{
		clear: yes(""), startTLS: yes(""), implicitTLS: yes(""),
		mechanisms: []string{"PLAIN", "LOGIN", "CRAM-MD5"},
		logins:     []string{"PLAIN", "LOGIN", "CRAM-MD5"},
		extensions: []string{"PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DSN", "REQUIRETLS", "SIZE"},
		sizeLimit:  1_000_000,
		octets:     yes(""),

		refusedSender: yes(""), refusedRecipient: yes(""), busyRecipient: yes(""), refusedMessage: yes(""),
		tooLarge: yes(""), restart: yes(""),
		earlyData: no("it does not offer CHUNKING"),

		sessions: yes("421 to the connection"), idle: yes("421"),
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
		if err := s.configure(map[string]string{"server.js": "server.js"}); err != nil {
			return err
		}
		return s.crew.start("smtp-server", "/usr/bin/node", s.below("server.js"))
	},
	stored: func(p place) ([]stored, error) { return spoolFiles(p.below("store/new/*")) },
}
