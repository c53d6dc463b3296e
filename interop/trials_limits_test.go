//go:build linux

package interop

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fe022423/submission"
)

// senders is how many goroutines send at once where maxSessions are let in.
const senders = 4 * maxSessions

// trySessions sends from more goroutines than the server lets connections in:
// none fails.
func trySessions(t *testing.T, s *subject) {
	const each = 3
	t.Run("the limit", func(t *testing.T) {
		client := s.client(t)
		for range maxSessions {
			session := s.dialPatiently(t, client)
			defer session.Close()
		}
		_, err := client.Dial(limited(t))
		if failure, ok := errors.AsType[*submission.ConnectError](err); !ok || !failure.Temporary() {
			t.Errorf("got %v, want a temporary *ConnectError", err)
		}
	})
	for _, tr := range s.transfers() {
		t.Run(tr.name, func(t *testing.T) {
			client := s.client(t, tr.options, func(o *submission.Options) {
				o.Pool.MaxSessions, o.Pool.MaxIdle = senders, senders
			})
			time.Sleep(500 * time.Millisecond) // the server sees that former sessions are closed
			messages := make([][]message, senders)
			for i := range messages {
				for j := range each {
					messages[i] = append(messages[i], newMessage(fmt.Sprintf("message %d of sender %d\r\n", j, i)))
				}
			}
			s.sendAll(t, client, messages)
			client.Close()
		})
	}
}

// dialPatiently opens a session. A server may need a moment to see that former
// ones are closed.
func (s *subject) dialPatiently(t *testing.T, client *submission.Client) *submission.Session {
	t.Helper()
	ctx := limited(t)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(probePause) {
		session, err := client.Dial(ctx)
		if err == nil {
			return session
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// tryMessages sends more messages than the server takes over one session: none
// fails.
func tryMessages(t *testing.T, s *subject) {
	for _, tr := range s.transfers() {
		t.Run(tr.name, func(t *testing.T) {
			session, err := s.client(t, tr.options).Dial(limited(t))
			if err != nil {
				t.Fatal(err)
			}
			defer session.Close()
			for i := range maxMessages + 1 {
				m := newMessage("over your own session\r\n")
				res, err := session.Send(limited(t), submission.Envelope{To: submission.To(bob)}, m.reader())
				if i < maxMessages {
					accepted(t, m, res, err)
					s.expect(t, m, bob)
				} else if failure := sendError(t, err, submission.NotSent); !failure.Temporary() {
					t.Errorf("not temporary: %v", err)
				}
			}
			var d dials
			client := s.client(t, tr.options, d.trace, func(o *submission.Options) { o.Pool.MaxSessions = 1 })
			const sessions = 3
			for range sessions * maxMessages {
				s.deliver(t, client, newMessage("over a session of the pool\r\n"), bob)
			}
			if n := d.fresh.Load(); n != sessions {
				t.Errorf("%d connections, want %d", n, sessions)
			}
		})
	}
}

// tryRecipients names more recipients than the server takes for one message (RFC 5321,
// 4.5.3.1.10). It is a refusal for now where all or nothing is wanted; else each gets the
// message in one of several.
func tryRecipients(t *testing.T, s *subject) {
	to := mailboxes(2 * maxRecipients)
	for _, tr := range s.transfers() {
		t.Run(tr.name, func(t *testing.T) {
			client := s.client(t, tr.options)
			m := newMessage("all or nothing\r\n")
			_, err := client.Send(limited(t), submission.Envelope{To: submission.To(to...)}, m.reader())
			if failure, ok := errors.AsType[*submission.SendError](err); !ok || failure.Outcome != submission.NotSent ||
				!failure.Temporary() && !errors.Is(err, submission.ErrOutOfRange) {
				t.Errorf("got %v, want it not sent for now, or beyond the limit that the server names", err)
			}
			s.expect(t, m)
			s.deliver(t, client, newMessage("after it\r\n"), bob)

			m = newMessage("partial\r\n")
			res, err := client.Send(limited(t), submission.Envelope{To: submission.To(to...), Partial: true}, m.reader())
			accepted(t, m, res, err)
			s.expect(t, m, to...)
			s.deliver(t, client, newMessage("after it\r\n"), bob)
		})
	}
}

// mailboxes are so many that the server takes mail for.
func mailboxes(n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf("r%d@test.example", i))
	}
	return list
}

// TestRanges sends to 250 recipients where the server takes 1, 50 or 100 for a
// message: short messages, and long ones that are read again.
func TestRanges(t *testing.T) {
	to := mailboxes(250)
	for _, p := range []*peer{&postfix, &goSMTP} {
		for _, limit := range []int{1, 50, 100} {
			t.Run(fmt.Sprintf("%s/%d", p.name, limit), func(t *testing.T) {
				s := launchAt(t, p, place{MaxRecipients: limit})
				showLogs(t, s.Dir)
				for _, body := range []string{"short\r\n", strings.Repeat("long\r\n", 20_000)} {
					client := s.client(t, func(o *submission.Options) { o.Pool.MaxMessages = 1000 })
					m := newMessage(body)
					res, err := client.Send(limited(t), submission.Envelope{To: submission.To(to...), Partial: true}, bytes.NewReader(m.source))
					accepted(t, m, res, err)
					s.expect(t, m, to...)
					if st := client.Stats(); st.Dials != 1 || st.Sent != 1 {
						t.Errorf("%+v", st)
					}
				}
				s.expectNothing(t)
			})
		}
	}
}

// tryIdle sends after pauses of several lengths: as long as the server's patience,
// so that its goodbye and the message may meet, and longer.
func tryIdle(t *testing.T, s *subject) {
	session, err := s.client(t).Dial(limited(t))
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	pauses := []time.Duration{idleTime, idleTime + 2*time.Second}
	var clients []*submission.Client
	for range pauses {
		client := s.client(t)
		s.deliver(t, client, newMessage("before the pause\r\n"), bob)
		clients = append(clients, client)
	}
	var slept time.Duration
	for i, pause := range pauses {
		time.Sleep(pause - slept)
		slept = pause
		s.deliver(t, clients[i], newMessage("after the pause\r\n"), bob)
	}
	if err := session.Noop(limited(t)); err == nil {
		t.Errorf("the server did not hang up in %v", slept)
	}
}

// tryGreetPause connects to a server that wants to see whether the client waits.
func tryGreetPause(t *testing.T, s *subject) {
	for _, tr := range s.transfers() {
		client := s.client(t, tr.options)
		began := time.Now()
		s.deliver(t, client, newMessage("patient\r\n"), bob)
		if took := time.Since(began); took < greetPause {
			t.Errorf("it took only %v", took)
		}
	}
}

// trySlowedRefusals names recipients who are refused, some more than the server
// answers at once.
func trySlowedRefusals(t *testing.T, s *subject) {
	to := []string{bob}
	for range slowRefusalsAfter + 2 {
		to = append(to, refusedAddr)
	}
	for _, partial := range []bool{false, true} {
		client := s.client(t)
		m := newMessage("slow\r\n")
		began := time.Now()
		_, err := client.Send(limited(t), submission.Envelope{To: submission.To(to...), Partial: partial}, m.reader())
		if took := time.Since(began); took < time.Second {
			t.Errorf("it took only %v", took)
		}
		if partial {
			sendError(t, err, submission.PartlySent)
			s.expect(t, m, bob)
		} else {
			sendError(t, err, submission.NotSent)
			s.expect(t, m)
		}
		s.deliver(t, client, newMessage("after it\r\n"), bob)
	}
}
