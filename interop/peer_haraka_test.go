//go:build linux

package interop

import (
	"bytes"
	"os"
)

// haraka is Haraka with a plugin of ours that stores what comes.
var haraka = peer{
	name:    "Haraka",
	program: "Haraka 3.3, npm package Haraka",
	needs:   []need{modules("Haraka"), installed("/usr/bin/node", "nodejs")},
	offers: offers{
		clear: yes(""), startTLS: yes(""), implicitTLS: yes(""),
		mechanisms: []string{"PLAIN", "LOGIN", "CRAM-MD5"},
		logins:     []string{"PLAIN", "LOGIN", "CRAM-MD5"},
		extensions: []string{"PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE"},
		sizeLimit:  1_000_000,
		octets:     partly("lines over 990 octets are wrapped"),
		altered:    harakaCuts,

		refusedSender: yes(""), refusedRecipient: yes(""), busyRecipient: yes(""), refusedMessage: yes(""),
		tooLarge: yes(""), restart: yes(""),
		earlyData:    no("it does not offer CHUNKING"),
		flightsAlone: "after one try envelopes go out by themselves",

		sessions: yes("450 to the connection, by a plugin"), messages: yes("450 to MAIL and a hang-up, by a plugin"),
		recipients: yes("450 to RCPT, by a plugin"), idle: yes("421"), literal: yes("550 to EHLO, by a plugin"),
		greetPause:     no("it greets at once"),
		slowedRefusals: no("it answers at once"),
	},
	start:  startHaraka,
	stored: func(p place) ([]stored, error) { return spoolFiles(p.below("store/new/*")) },
}

func startHaraka(s *station) error {
	if err := s.makeStore(); err != nil {
		return err
	}
	files := make(map[string]string)
	for _, name := range []string{"smtp.ini", "connection.ini", "tls.ini", "auth_flat_file.ini", "log.ini", "outbound.ini", "plugins"} {
		files["config/"+name] = "haraka/config/" + name
	}
	files["plugins/store.js"] = "haraka/plugins/store.js"
	if err := s.configure(files); err != nil {
		return err
	}
	for _, name := range []string{"cert.pem", "key.pem"} {
		text, err := os.ReadFile(s.below(name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(s.below("haraka/config/tls_"+name), text, 0o600); err != nil {
			return err
		}
	}
	return s.crew.start("haraka", "/usr/bin/node", modules("Haraka/bin/haraka").path, "-c", s.below("haraka"))
}

// harakaCuts is what Haraka makes of lines that are longer than its
// data_line_length, end and stuffed dot included: it wraps them.
func harakaCuts(_ string, canonical []byte) []byte {
	const longest = 992
	var cut []byte
	for line := range bytes.SplitAfterSeq(canonical, []byte("\r\n")) {
		dot := bytes.HasPrefix(line, []byte("."))
		if dot {
			line = append([]byte("."), line...)
		}
		var wrapped []byte
		for len(line) > longest {
			wrapped = append(append(wrapped, line[:longest-2]...), "\r\n"...)
			line = append([]byte(" "), line[longest-2:]...)
		}
		wrapped = append(wrapped, line...)
		if dot {
			wrapped = wrapped[1:]
		}
		cut = append(cut, wrapped...)
	}
	return cut
}
