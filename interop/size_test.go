//go:build linux

package interop

import (
	"errors"
	"strings"
	"testing"

	"github.com/fe022423/submission"
)

// What the servers say to a message over their limit when its size was not
// declared, seen with Postfix 3.7 and Dovecot 2.3. DATA: both read to the dot and
// then say 552; but Dovecot hangs up in the middle, without a reply, once the
// message is about a megabyte over. BDAT: both say 552 to the chunk that goes over.
// Postfix discards further chunks with a 551, Dovecot answers them with a 503,
// until RSET.

// bigMessage has a body of that many octets in lines of 100, some of which
// begin with a dot.
func bigMessage(octets int) message {
	lines := "." + strings.Repeat("x", 97) + "\r\n" + strings.Repeat(strings.Repeat("y", 98)+"\r\n", 9)
	return newMessage(strings.Repeat(lines, octets/len(lines)))
}

// TestLargeMessage sends 30 MB, which must arrive whole. The client cannot know
// the size before and holds only a small part.
func TestLargeMessage(t *testing.T) {
	eachServer(t, func(t *testing.T, s server) {
		for _, tr := range bodies {
			t.Run(tr.name, func(t *testing.T) {
				m := bigMessage(30_000_000)
				res, err := s.client(t, tr.options).Send(limited(t), submission.Envelope{To: submission.To("bob@test.example")}, m.reader())
				accepted(t, m, res, err)
				s.expect(t, m, "bob@test.example")
			})
		}
	})
}

// TestDeclaredTooLarge declares a size over the limit for a message that is too
// long to be held back: none of it may be sent, not even its envelope.
func TestDeclaredTooLarge(t *testing.T) {
	eachServer(t, func(t *testing.T, s server) {
		for _, tr := range bodies {
			t.Run(tr.name, func(t *testing.T) {
				var w wire
				session := s.dial(t, tr.options, w.trace)
				if limit, ok := session.Extensions().Size(); !ok || limit != sizeLimit {
					t.Fatalf("SIZE: got %d, %v, want %d", limit, ok, sizeLimit)
				}
				m := bigMessage(1_000_000)
				env := submission.Envelope{To: submission.To("bob@test.example"), Size: sizeLimit + 1}
				_, err := session.Send(limited(t), env, m.reader())
				failure := sendError(t, err, submission.NotSent)
				if !errors.Is(err, submission.ErrTooLarge) || failure.Temporary() {
					t.Errorf("got %v, want a lasting ErrTooLarge", err)
				}
				w.noMail(t)
				s.expect(t, m)
				if !session.Usable() {
					t.Errorf("the session is broken: %v", err)
				}
			})
		}
	})
}

// TestTooLarge sends a message over the limit with a client that does not know
// its size, or takes no notice of the limit and leaves it to the server to refuse.
// Nobody may get anything.
func TestTooLarge(t *testing.T) {
	eachServer(t, func(t *testing.T, s server) {
		for _, tr := range bodies {
			for _, c := range []struct {
				name    string
				disable []string
			}{{"size unknown", nil}, {"SIZE disabled", []string{"SIZE"}}} {
				t.Run(c.name+" "+tr.name, func(t *testing.T) {
					for _, over := range []int{100_000, 20_000_000} {
						m := bigMessage(sizeLimit + over)
						client := s.client(t, tr.options, disable(c.disable...))
						_, err := client.Send(limited(t), submission.Envelope{To: submission.To("bob@test.example")}, m.reader())
						failure := sendError(t, err, submission.NotSent)
						switch {
						case c.disable == nil:
							// The limit is known, and passed on the way.
							if !errors.Is(err, submission.ErrTooLarge) || failure.Temporary() {
								t.Errorf("%d octets over: got %v, want a lasting ErrTooLarge", over, err)
							}
						case failure.Reply == nil && s.name == "Dovecot":
							t.Logf("%d octets over: Dovecot hung up: %v", over, err)
						case failure.Reply == nil || failure.Reply.Code != 552 || failure.Temporary():
							t.Errorf("%d octets over: got the reply %v, want a lasting 552: %v", over, failure.Reply, err)
						}
						s.expect(t, m)

						// The client is none the worse for it.
						small := newMessage("after it\r\n")
						res, err := client.Send(limited(t), submission.Envelope{To: submission.To("bob@test.example")}, small.reader())
						accepted(t, small, res, err)
						s.expect(t, small, "bob@test.example")
					}
				})
			}
		}
	})
}
