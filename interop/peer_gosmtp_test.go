//go:build linux

package interop

import "strconv"

// goSMTP is a server on github.com/emersion/go-smtp (gosmtp/main.go).
var goSMTP = goSMTPOf("go-smtp", "v0.25.1", "go.mod")

// goSMTPOld is the same on a version that reads a chunk after a refused recipient
// as commands (emersion/go-smtp, issue 315; not so from 0.25.1 on).
var goSMTPOld = goSMTPOf("go-smtp 0.24", "v0.24.0", "v0.24.0.mod")

func goSMTPOf(name, version, mod string) peer {
	return peer{
		name:    name,
		program: "go-smtp " + version + ", Go module github.com/emersion/go-smtp",
		offers: offers{
			clear: yes(""), startTLS: yes(""), implicitTLS: yes(""),
			mechanisms: []string{"PLAIN"},
			logins:     []string{"PLAIN"},
			extensions: []string{"PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "CHUNKING", "SMTPUTF8", "REQUIRETLS", "BINARYMIME", "DSN", "SIZE", "LIMITS"},
			sizeLimit:  1_000_000,
			octets:     partly("lines over 2000 octets are refused: DATA with a 554, BDAT with a 500 and a hang-up"),
			altered:    refuseLongLines,

			refusedSender: yes(""), refusedRecipient: yes(""), busyRecipient: yes(""), refusedMessage: yes(""),
			tooLarge: yes(""), earlyData: yes(""), restart: yes(""),

			recipients: yes("452 to RCPT"), idle: yes("421"),
			sessions:       no("it has no such limit"),
			messages:       no("it has no such limit"),
			literal:        no("it takes any name"),
			greetPause:     no("it greets at once"),
			slowedRefusals: no("it answers at once"),
		},
		build: func(p place) error { return goBuild("gosmtp", mod, ".", p.below("gosmtp")) },
		start: func(s *station) error {
			if err := s.makeStore(); err != nil {
				return err
			}
			v := s.values(s.peer)
			return s.crew.start("gosmtp", s.below("gosmtp"), "-dir", s.Dir, "-name", serverName,
				"-addr", loopback(s.Port), "-tlsaddr", loopback(s.TLSPort), "-user", account, "-password", password,
				"-refused-sender", refusedSender, "-refused", refusedAddr, "-later", laterAddr, "-refuse-field", refuseField,
				"-size", strconv.FormatInt(v.SizeLimit, 10), "-recipients", strconv.Itoa(v.MaxRecipients),
				"-idle", v.Idle.String())
		},
		stored: func(p place) ([]stored, error) { return spoolFiles(p.below("store/new/*")) },
	}
}
