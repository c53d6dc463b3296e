//go:build linux

package interop

import (
	"bytes"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What the store does to a message, seen with Postfix 3.7 and Dovecot 2.3:
//
//   - Each server puts trace headers in front: Received by the submission
//     server, and when that is Dovecot, by the Postfix it relays to as well; then
//     virtual(8) of Postfix puts Return-Path, X-Original-To and Delivered-To on
//     top, one delivery for each recipient.
//   - Behind them nothing is changed. The Maildir holds lines that end in LF, POP3
//     gives them back with CRLF, so CRLF in is CRLF out. Overlong lines are cut
//     in Postfix's queue files and joined again on delivery (line_length_limit
//     shows in neither place; smtp_line_length_limit would, on relay by SMTP,
//     which does not happen here: Dovecot's relay client sends them whole).
//   - Headers that are missing (Date, Message-ID, From) would be added at the end
//     of the header for authenticated clients; main.cf switches that off.
//   - A bare CR or LF would not survive (Postfix takes a bare LF for a line end,
//     POP3 gives a bare LF as CRLF), so canonical() must have removed both.

// delivery is one copy of a message in the mailbox.
type delivery struct {
	to      string // Delivered-To
	trace   string // the headers that the servers put in front
	content []byte // from the marker on
}

const queueTime = time.Minute

// ready is the mode bit by which Postfix marks a queue file that it has accepted;
// one that is still being received lacks it (mail_queue.h).
const ready = 0o100

// awaitQueue waits until Postfix holds no accepted message any more. Every
// message that a server said it takes is then either in the mailbox or bounced.
func (l *lab) awaitQueue(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(queueTime)
	// Twice in a row: a report may enter the queue behind our back while the
	// message that it is about leaves in front of us.
	for empty := 0; empty < 2; {
		if l.queued(t) == 0 {
			empty++
			continue
		}
		empty = 0
		if time.Now().After(deadline) {
			t.Fatalf("the queue does not empty")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (l *lab) queued(t *testing.T) (n int) {
	t.Helper()
	// In the order in which a message goes through them: one that moves on
	// while we look is seen in the next.
	for _, dir := range []string{"incoming", "active", "deferred", "hold", "corrupt"} {
		err := filepath.WalkDir(filepath.Join(l.Dir, "postfix/queue", dir), func(_ string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return nil // a file may vanish at any moment
			}
			if st, err := d.Info(); err == nil && st.Mode()&ready != 0 {
				n++
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// collect takes every copy of the message with the marker out of the mailbox.
func (l *lab) collect(t *testing.T, m message) []delivery {
	t.Helper()
	var found []delivery
	l.sift(t, func(raw []byte) bool {
		i := bytes.Index(raw, m.line())
		if i < 0 || i > 0 && raw[i-1] != '\n' || bytes.Contains(raw[:i], []byte("\r\n\r\n")) {
			return false // perhaps a report that quotes it
		}
		trace := string(raw[:i])
		found = append(found, delivery{to: header(trace, "Delivered-To"), trace: trace, content: raw[i:]})
		return true
	})
	return found
}

// sift shows every message in the mailbox to take and deletes those that it
// takes. It waits for the queue first.
func (l *lab) sift(t *testing.T, take func(raw []byte) bool) {
	t.Helper()
	l.awaitQueue(t)
	p, err := dialPOP3(loopback(l.POP3), account, password)
	if err != nil {
		t.Fatal(err)
	}
	defer p.nc.Close()
	n, err := p.count()
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= n; i++ {
		raw, err := p.retrieve(i)
		if err != nil {
			t.Fatal(err)
		}
		if !take(raw) {
			continue
		}
		if err := p.remove(i); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.quit(); err != nil {
		t.Fatal(err)
	}
}

// header returns the value of the first header field of that name, "" if there
// is none.
func header(head, name string) string {
	if all := fields(head, name); len(all) > 0 {
		return all[0]
	}
	return ""
}

// fields returns the values of all header fields of that name.
func fields(head, name string) (values []string) {
	for line := range strings.SplitSeq(head, "\r\n") {
		if value, ok := strings.CutPrefix(line, name+": "); ok {
			values = append(values, value)
		}
	}
	return values
}

// expect checks that the mailbox holds the message exactly once for each of
// the recipients, octet for octet in canonical form, and takes it out. Without
// recipients it checks that the message was not delivered at all.
func (l *lab) expect(t *testing.T, m message, recipients ...string) []delivery {
	t.Helper()
	found := l.collect(t, m)
	checkDeliveries(t, found, m.canonical(), recipients)
	return found
}

// checkDeliveries checks that there is one delivery for each recipient, and what
// was delivered.
func checkDeliveries(t *testing.T, found []delivery, content []byte, recipients []string) {
	t.Helper()
	want := make(map[string]int)
	for _, r := range recipients {
		want[r]++
	}
	for _, d := range found {
		if want[d.to]--; want[d.to] < 0 {
			t.Errorf("delivered to %s, which was not to be", d.to)
		}
		compare(t, d.content, content)
	}
	for r, n := range want {
		if n > 0 {
			t.Errorf("not delivered to %s", r)
		}
	}
}

// compare points to the first octet that differs: messages are too long to print.
func compare(t *testing.T, got, want []byte) {
	t.Helper()
	if bytes.Equal(got, want) {
		return
	}
	i := 0
	for i < min(len(got), len(want)) && got[i] == want[i] {
		i++
	}
	around := func(b []byte) []byte { return b[max(0, i-40):min(len(b), i+40)] }
	t.Errorf("delivered message differs at octet %d of %d (want %d octets)\n got ...%q\nwant ...%q",
		i, len(got), len(want), around(got), around(want))
}
