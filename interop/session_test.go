//go:build linux

package interop

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/fe022423/submission"
)

// TestSessionCommands mixes the commands beside a transaction with messages.
func TestSessionCommands(t *testing.T) {
	eachServer(t, func(t *testing.T, s server) {
		for _, tr := range transfers {
			t.Run(tr.name, func(t *testing.T) {
				session := s.dial(t, tr.options)
				for range 2 {
					if err := session.Noop(limited(t)); err != nil {
						t.Errorf("Noop: %v", err)
					}
					if err := session.Reset(limited(t)); err != nil {
						t.Errorf("Reset: %v", err)
					}
					// Dovecot takes no address here, only a local part.
					reply, err := session.Verify(limited(t), "bob")
					if err != nil || reply.Code != 252 {
						t.Errorf("Verify: got %v, %v, want a 252", reply, err)
					}
					reply, err = session.Command(limited(t), "NONSENSE")
					if err != nil || !reply.Permanent() {
						t.Errorf("Command: got %v, %v, want a refusal", reply, err)
					}
					m := newMessage("between commands\r\n")
					res, err := session.Send(limited(t), submission.Envelope{To: submission.To("bob@test.example")}, m.reader())
					accepted(t, m, res, err)
					s.expect(t, m, "bob@test.example")
				}
				if err := session.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
				if session.Usable() {
					t.Errorf("usable after Close")
				}
			})
		}
	})
}

// TestGivenUp aborts messages and cancels them, before and after the first
// octets have reached the server: they must not be delivered.
func TestGivenUp(t *testing.T) {
	eachServer(t, func(t *testing.T, s server) {
		for _, tr := range transfers {
			for _, size := range []int{1000, 5_000_000} {
				name := tr.name + " short"
				if size > 1000 {
					name = tr.name + " long"
				}
				t.Run(name, func(t *testing.T) {
					env := submission.Envelope{To: submission.To("bob@test.example")}
					m := newMessage(strings.Repeat("0123456789abcd\r\n", size/16))

					session := s.dial(t, tr.options)
					transaction, err := session.Begin(limited(t), env)
					if err != nil {
						t.Fatal(err)
					}
					if _, err := transaction.Write(m.source); err != nil {
						t.Fatal(err)
					}
					if err := transaction.Abort(); err != nil {
						t.Errorf("Abort: %v", err)
					}
					if _, err := transaction.Commit(); err == nil {
						t.Errorf("Commit after Abort succeeded")
					}
					s.expect(t, m)

					ctx, cancel := context.WithCancel(limited(t))
					client := s.client(t, tr.options)
					_, err = client.SendFunc(ctx, env, func(w io.Writer) error {
						_, err := w.Write(m.source)
						cancel()
						return err
					})
					sendError(t, err, submission.NotSent)
					if !errors.Is(err, context.Canceled) {
						t.Errorf("got %v, want context.Canceled", err)
					}
					s.expect(t, m)

					res, err := client.Send(limited(t), env, m.reader())
					accepted(t, m, res, err)
					s.expect(t, m, "bob@test.example")
				})
			}
		}
	})
}
