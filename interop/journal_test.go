//go:build linux

package interop

import (
	"maps"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// journal is what servers log below a directory, from a moment on.
type journal struct {
	dir  string
	from map[string]int64 // octets of each file that are older
}

// openJournal opens a journal now.
func openJournal(dir string) journal {
	j := journal{dir, make(map[string]int64)}
	for _, name := range logNames(dir) {
		if st, err := os.Stat(name); err == nil {
			j.from[name] = st.Size()
		}
	}
	return j
}

// quietTime is how long nothing was logged when all that came before is taken for over.
const quietTime = 300 * time.Millisecond

// openQuietJournal opens a journal once nothing more is logged of what came before.
func openQuietJournal(t *testing.T, dir string) journal {
	t.Helper()
	j := openJournal(dir)
	for deadline := time.Now().Add(journalTime); time.Now().Before(deadline); {
		time.Sleep(quietTime)
		before := j
		if j = openJournal(dir); maps.Equal(before.from, j.from) {
			return j
		}
	}
	t.Fatalf("something is logged all the time:\n%s", j.tails())
	return j
}

// tails returns the last lines of each file.
func (j journal) tails() string { return logTails(j.dir, j.from) }

// lines returns the lines of all files.
func (j journal) lines(t *testing.T) (list []string) {
	t.Helper()
	for _, name := range logNames(j.dir) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text[min(j.from[name], int64(len(text))):])) {
			list = append(list, strings.TrimSpace(line))
		}
	}
	return list
}

// logWords are the words of a server's log.
type logWords struct {
	// ended is in the line about the end of a session after its QUIT.
	ended *regexp.Regexp
	// complains is in each line that finds fault with a client.
	complains *regexp.Regexp
	// other is in those of them that are about something else: the probes of the tests
	// that hang up, and what the configuration is warned of.
	other *regexp.Regexp
}

var postfixWords = &logWords{
	ended: regexp.MustCompile(`smtpd\[\d+\]: disconnect from .* quit=1 `),
	// A command that was refused is counted as rcpt=1/2.
	complains: regexp.MustCompile(`smtpd\[.*(improper command pipelining|lost connection|protocol error|too many errors|timeout after|warning:|error:|fatal:|panic:|disconnect from .*=\d+/\d+)`),
	other:     regexp.MustCompile(`after CONNECT from|SSL_accept error|disconnect from \S+ commands=0/0$`),
}

var eximWords = &logWords{
	ended:     regexp.MustCompile(`SMTP connection from .* closed by QUIT`),
	complains: regexp.MustCompile(`synchronization error|protocol error|syntax error|dropped|lost|unexpected|incomplete|rejected|TLS error|panic`),
	other:     regexp.MustCompile(`TLS error on connection from \[127\.0\.0\.1\] \(gnutls_handshake\)`),
}

var dovecotWords = &logWords{
	ended:     regexp.MustCompile(`submission\(.*: Info: Disconnected: Logged out`),
	complains: regexp.MustCompile(`(Warning|Error|Fatal|Panic): |(submission|lmtp)\(.*: Info: Disconnect(ed| from \S+): (Connection|Remote|Too|Timeout|Disconnected)|smtpd\[.*(improper command pipelining|lost connection)`),
	other:     regexp.MustCompile(`\(state=GREETING\)|after CONNECT from`),
}

var lmtpWords = &logWords{
	ended:     regexp.MustCompile(`lmtp\(.*: Info: Disconnect from .*: Logged out`),
	complains: dovecotWords.complains,
	other:     dovecotWords.other,
}

// journalTime is how long a server may take to write its log.
const journalTime = 20 * time.Second

// await waits until so many lines match.
func (j journal) await(t *testing.T, line *regexp.Regexp, n int) {
	t.Helper()
	for deadline := time.Now().Add(journalTime); ; time.Sleep(5 * time.Millisecond) {
		found := 0
		for _, l := range j.lines(t) {
			if line.MatchString(l) {
				found++
			}
		}
		if found >= n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d lines like %q in the log, want %d:\n%s", found, line, n, j.tails())
		}
	}
}

// complaints returns the lines in which a server finds fault with its clients.
func (j journal) complaints(t *testing.T, words *logWords) (list []string) {
	t.Helper()
	for _, l := range j.lines(t) {
		if words.complains.MatchString(l) && !words.other.MatchString(l) {
			list = append(list, l)
		}
	}
	return list
}

// expectContent waits for the ends of so many sessions, each after its QUIT, and checks that
// the server had nothing to say against them.
func (j journal) expectContent(t *testing.T, words *logWords, sessions int) {
	t.Helper()
	j.await(t, words.ended, sessions)
	for _, l := range j.complaints(t, words) {
		t.Errorf("the server complains: %s", l)
	}
}
