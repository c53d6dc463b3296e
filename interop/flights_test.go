//go:build linux

package interop

import (
	"encoding/base64"
	"io"
	"net"
	"net/textproto"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fe022423/submission"
)

// TestSharedFlights has a crowd share one session of Postfix with Dovecot's SASL, and of
// Dovecot's submission service, which relays to that Postfix: every message arrives once,
// and neither has anything to say against it.
func TestSharedFlights(t *testing.T) {
	eachServer(t, func(t *testing.T, s server) {
		words := map[string]*logWords{"Postfix": postfixWords, "Dovecot": dovecotWords}[s.name]
		for _, tr := range transfers {
			t.Run(tr.name, func(t *testing.T) {
				j := openQuietJournal(t, s.Dir)
				messages := shareSession(t, tr, func(set func(*submission.Options)) *submission.Client { return s.client(t, set) }, someOf)
				j.expectContent(t, words, 1)
				for i, m := range messages {
					s.expect(t, m, someOf(i)...)
				}
			})
		}
	})
}

// TestSharedFlightsLMTP is the same for Dovecot's LMTP.
func TestSharedFlightsLMTP(t *testing.T) {
	eachLMTP(t, func(t *testing.T, l *lab, addr string) {
		for _, tr := range transfers {
			t.Run(tr.name, func(t *testing.T) {
				j := openQuietJournal(t, l.Dir)
				messages := shareSession(t, tr, func(set func(*submission.Options)) *submission.Client { return lmtpClient(t, addr, set) },
					func(int) []string { return []string{account} })
				j.expectContent(t, lmtpWords, 1)
				for i, m := range messages {
					if n := l.inMailbox(t, account, m); n != 1 {
						t.Errorf("message %d: %d copies", i, n)
					}
				}
			})
		}
	})
}

// TestJournalComplains holds the look into a log against clients that do what they must
// not: what the server says of that is found.
func TestJournalComplains(t *testing.T) {
	l, err := running()
	if err != nil {
		t.Fatal(err)
	}
	ownPostfix, ownExim := launchPeer(t, &postfix, false), launchPeer(t, &exim, false)
	hello := "EHLO client.test.example\r\n"
	login := "AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00"+account+"\x00"+password)) + "\r\n"
	mail, rcpt := "MAIL FROM:<"+account+">\r\n", "RCPT TO:<"+account+">\r\n"
	left := []string{hello, login, mail, rcpt, "DATA\r\n"}
	early := []string{hello + mail, "QUIT\r\n"}
	for _, tc := range []struct {
		name, addr, dir string
		words           *logWords
		writes          []string // a reply is waited for after each
		want            string
	}{
		{"Postfix, MAIL together with EHLO", loopback(ownPostfix.Port), ownPostfix.Dir, postfixWords, early, "improper command pipelining after EHLO"},
		{"Postfix, the message together with DATA", loopback(ownPostfix.Port), ownPostfix.Dir, postfixWords,
			[]string{hello, login, mail, rcpt, "DATA\r\ntoo early\r\n.\r\n", "QUIT\r\n"}, "improper command pipelining after DATA"},
		{"Postfix, left", loopback(ownPostfix.Port), ownPostfix.Dir, postfixWords, left, "lost connection after DATA"},
		{"Exim, MAIL and RCPT together after HELO", loopback(ownExim.Port), ownExim.Dir, eximWords,
			[]string{"HELO client.test.example\r\n", mail + rcpt}, "synchronization error"},
		{"Exim, EHLO and MAIL together with the end of a message", loopback(ownExim.Port), ownExim.Dir, eximWords,
			[]string{hello, login, mail, rcpt, "DATA\r\n", "text\r\n.\r\n" + hello + mail}, "synchronization error"},
		{"Exim, left", loopback(ownExim.Port), ownExim.Dir, eximWords, left, "lost"},
		{"Dovecot, left", loopback(l.Dovecot), l.Dir, dovecotWords, left, "state=DATA"},
		{"Dovecot's LMTP, left", loopback(l.LMTP), l.Dir, lmtpWords, []string{"LHLO client.test.example\r\n", mail, rcpt, "DATA\r\n"}, "state=DATA"},
		{"Postfix behind Dovecot, MAIL together with EHLO", loopback(l.Postfix), l.Dir, dovecotWords, early, "improper command pipelining"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			j := openQuietJournal(t, tc.dir)
			writeEach(t, tc.addr, tc.writes)
			j.await(t, regexp.MustCompile(tc.want), 1)
			list := j.complaints(t, tc.words)
			if !slices.ContainsFunc(list, func(l string) bool { return strings.Contains(l, tc.want) }) {
				t.Errorf("complaints %q, want %q", list, tc.want)
			}
		})
	}
}

// writeEach writes to a server, waits for a reply after each write, and hangs up.
func writeEach(t *testing.T, addr string, writes []string) {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(time.Minute))
	in := textproto.NewConn(nc)
	for _, text := range append([]string{""}, writes...) {
		if _, err := io.WriteString(nc, text); err != nil {
			return // it has heard enough
		}
		if _, _, err := in.ReadResponse(0); err != nil {
			return
		}
	}
}
