//go:build linux

package interop

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fe022423/submission"
)

// dials counts the connections that a client makes and those it takes again.
type dials struct{ fresh, reused atomic.Int64 }

func (d *dials) trace(o *submission.Options) {
	o.Trace = &submission.Trace{
		DialStart: func(context.Context, string) { d.fresh.Add(1) },
		Reused:    func(context.Context, submission.SessionInfo) { d.reused.Add(1) },
	}
}

func (d *dials) expect(t *testing.T, fresh, reused int64) {
	t.Helper()
	if d.fresh.Load() != fresh || d.reused.Load() != reused {
		t.Errorf("got %d new connections and %d reused ones, want %d and %d", d.fresh.Load(), d.reused.Load(), fresh, reused)
	}
}

// TestWarmSession sends several messages over one connection, a refused one
// among them.
func TestWarmSession(t *testing.T) {
	eachServer(t, func(t *testing.T, s server) {
		for _, tr := range transfers {
			t.Run(tr.name, func(t *testing.T) {
				var d dials
				client := s.client(t, tr.options, d.trace)
				for i := range 5 {
					m := newMessage(fmt.Sprintf("message %d\r\n", i))
					res, err := client.Send(limited(t), submission.Envelope{To: submission.To("bob@test.example")}, m.reader())
					accepted(t, m, res, err)
					s.expect(t, m, "bob@test.example")

					m = newMessage("not this one\r\n")
					_, err = client.Send(limited(t), submission.Envelope{To: submission.To(refusedAddr)}, m.reader())
					sendError(t, err, submission.NotSent)
				}
				d.expect(t, 1, 9)
			})
		}
	})
}

// TestIdleSessionClosed lets the server end a session that waits in the pool:
// the next message must go out over another one, without an error.
func TestIdleSessionClosed(t *testing.T) {
	eachServer(t, func(t *testing.T, s server) {
		addr, end := s.clear, s.kick()
		if s.name == "Postfix" {
			addr, end = loopback(s.PostfixImpatient), s.patience()
		}
		for _, tr := range transfers {
			t.Run(tr.name, func(t *testing.T) {
				var d dials
				client := s.clientOf(t, addr, tr.options, d.trace)
				send := func() {
					m := newMessage("over a session that will be closed\r\n")
					res, err := client.Send(limited(t), submission.Envelope{To: submission.To("bob@test.example")}, m.reader())
					accepted(t, m, res, err)
					s.expect(t, m, "bob@test.example")
				}
				before := end.count(t)
				send()
				end.await(t, before)
				send()
				if n := d.fresh.Load(); n != 2 {
					t.Errorf("%d connections, want 2", n)
				}
			})
		}
	})
}

// ending is a way in which a server ends idle sessions, and the line by which its
// log shows that it did.
type ending struct {
	log       string
	who, what string
	act       func(t *testing.T) // nil: it comes by itself
}

// patience is Postfix's, which ends with a 421 that nobody asked for.
func (s server) patience() ending {
	return ending{log: filepath.Join(s.Dir, "postfix/maillog"), who: "postfix/impatient/smtpd", what: ": timeout after END-OF-MESSAGE"}
}

// kick makes Dovecot end all sessions of the user, which it does with a 421 too.
func (s server) kick() ending {
	return ending{
		log: filepath.Join(s.Dir, "dovecot/log"), who: "submission(" + account + ")", what: "Disconnected: Shutting down",
		act: func(t *testing.T) {
			t.Helper()
			conf := filepath.Join(s.Dir, "dovecot/dovecot.conf")
			out, err := exec.Command("/usr/bin/doveadm", "-c", conf, "kick", account).CombinedOutput()
			if err != nil {
				t.Fatalf("doveadm kick: %v: %s", err, out)
			}
		},
	}
}

// count counts the log's lines of sessions that ended this way.
func (e ending) count(t *testing.T) (n int) {
	t.Helper()
	text, err := os.ReadFile(e.log)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, e.who) && strings.Contains(line, e.what) {
			n++
		}
	}
	return n
}

// await makes the session end and waits until there are more such lines than
// before.
func (e ending) await(t *testing.T, before int) {
	t.Helper()
	if e.act != nil {
		e.act(t)
	}
	for deadline := time.Now().Add(time.Minute); e.count(t) <= before; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no line with %q and %q in %s", e.who, e.what, e.log)
		}
	}
}

// TestManySenders sends from many goroutines through one client: each message
// arrives once, over no more connections than allowed.
func TestManySenders(t *testing.T) {
	const senders, each, sessions = 20, 10, 4
	eachServer(t, func(t *testing.T, s server) {
		for _, tr := range transfers {
			t.Run(tr.name, func(t *testing.T) {
				var d dials
				client := s.client(t, tr.options, d.trace, func(o *submission.Options) {
					o.Pool.MaxSessions, o.Pool.MaxIdle = sessions, sessions
				})
				ctx := limited(t)
				messages := make([]message, senders*each)
				for i := range messages {
					messages[i] = newMessage(strings.Repeat(fmt.Sprintf("message %d\r\n.", i), 1+i*10))
				}
				var group sync.WaitGroup
				for i := range senders {
					group.Go(func() {
						for _, m := range messages[i*each : (i+1)*each] {
							if _, err := client.Send(ctx, submission.Envelope{To: submission.To("bob@test.example")}, m.reader()); err != nil {
								t.Error(err)
							}
						}
					})
				}
				group.Wait()
				if n := d.fresh.Load(); n > sessions {
					t.Errorf("%d connections, want at most %d", n, sessions)
				}
				s.expectAll(t, messages, "bob@test.example")
			})
		}
	})
}

// expectAll is expect for many messages to one recipient, in one pass over the
// mailbox.
func (l *lab) expectAll(t *testing.T, messages []message, to string) {
	t.Helper()
	left := make(map[string]message)
	for _, m := range messages {
		left[m.marker] = m
	}
	l.sift(t, func(raw []byte) bool {
		head, _, _ := strings.Cut(string(raw), "\r\n\r\n")
		marker := header(head, strings.TrimSuffix(markerField, ": "))
		m, ok := left[marker]
		if !ok {
			for _, other := range messages {
				if other.marker == marker {
					t.Errorf("%s was delivered twice", marker)
				}
			}
			return false
		}
		delete(left, marker)
		if got := header(head, "Delivered-To"); got != to {
			t.Errorf("delivered to %q, want %q", got, to)
		}
		compare(t, raw[strings.Index(string(raw), string(m.line())):], m.canonical())
		return true
	})
	if len(left) > 0 {
		t.Errorf("%d messages were not delivered", len(left))
	}
}
