//go:build linux

package interop

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/fe022423/submission"
)

// What Dovecot's LMTP does, seen with 2.3: it refuses a recipient without a mailbox
// at RCPT, with 550 5.1.1, and one whose mailbox is full after the message, with
// 552 5.2.2. It offers PIPELINING and CHUNKING.

// lmtpClient makes a Client for Dovecot's LMTP at addr.
func lmtpClient(t *testing.T, addr string, edits ...func(*submission.Options)) *submission.Client {
	t.Helper()
	o := &submission.Options{LMTP: true, TLS: submission.TLSNone, From: account}
	for _, edit := range edits {
		edit(o)
	}
	c, err := submission.New(addr, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// eachLMTP runs test for Dovecot's LMTP over a Unix socket and over TCP.
func eachLMTP(t *testing.T, test func(t *testing.T, l *lab, addr string)) {
	t.Helper()
	l, err := running()
	if err != nil {
		t.Fatal(err)
	}
	for name, addr := range map[string]string{"Unix socket": "unix:" + filepath.Join(l.Dir, "dovecot/lmtp"), "TCP": loopback(l.LMTP)} {
		t.Run(name, func(t *testing.T) {
			showLogs(t, l.Dir)
			test(t, l, addr)
		})
	}
}

// inMailbox counts the copies of m that LMTP delivered to addr.
func (l *lab) inMailbox(t *testing.T, addr string, m message) int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(l.Dir, "dovecot/home", addr, "Maildir/new/*"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, bytes.TrimSpace(bytes.ReplaceAll(m.canonical(), []byte("\r\n"), []byte("\n")))) {
			n++
		}
	}
	return n
}

// TestLMTP sends to three recipients: Dovecot takes one, refuses one at RCPT and one
// after the message. What the error says must be what the mailboxes show, and the
// session must go on.
func TestLMTP(t *testing.T) {
	const nobody = "nobody@test.example"
	eachLMTP(t, func(t *testing.T, l *lab, addr string) {
		for _, tr := range transfers {
			t.Run(tr.name, func(t *testing.T) {
				session, err := lmtpClient(t, addr, tr.options).Dial(limited(t))
				if err != nil {
					t.Fatal(err)
				}
				defer session.Close()
				m := newMessage("three recipients\r\n")
				env := submission.Envelope{To: submission.To(nobody, fullAccount, account), Partial: true}
				res, err := session.Send(limited(t), env, m.reader())
				failure := sendError(t, err, submission.PartlySent)
				want := []struct {
					status submission.RecipientStatus
					code   int
				}{{submission.RecipientInvalid, 550}, {submission.RecipientInvalid, 552}, {submission.RecipientSent, 250}}
				for i, r := range failure.Recipients {
					if r.Status != want[i].status || r.Reply.Code != want[i].code {
						t.Errorf("%s: %v with %v, want %v with %d", r.Addr, r.Status, r.Reply, want[i].status, want[i].code)
					}
				}
				if res == nil || res.Reply.Code != 250 || failure.Stage != submission.StageRcpt {
					t.Errorf("result %+v, at %v", res, failure.Stage)
				}
				if n := l.inMailbox(t, account, m); n != 1 {
					t.Errorf("%s has %d copies", account, n)
				}
				if n := l.inMailbox(t, fullAccount, m); n != 0 {
					t.Errorf("%s has %d copies", fullAccount, n)
				}

				m = newMessage("two recipients\r\n") // not partial, and yet some have it
				_, err = session.Send(limited(t), submission.Envelope{To: submission.To(account, fullAccount)}, m.reader())
				failure = sendError(t, err, submission.PartlySent)
				if failure.Stage != submission.StageFinal || failure.Reply == nil || failure.Reply.Code != 552 {
					t.Errorf("at %v, reply %v", failure.Stage, failure.Reply)
				}
				m = newMessage("all of them\r\n")
				res, err = session.Send(limited(t), submission.Envelope{To: submission.To(account, awkwardAccount)}, m.reader())
				accepted(t, m, res, err)
				for _, addr := range []string{account, awkwardAccount} {
					if n := l.inMailbox(t, addr, m); n != 1 {
						t.Errorf("%s has %d copies", addr, n)
					}
				}
				if !session.Usable() {
					t.Error("the session is broken")
				}
			})
		}
	})
}
