//go:build linux

package interop

import (
	"errors"
	"slices"
	"testing"

	"github.com/fe022423/submission"
)

// The configuration makes Postfix refuse these, and Dovecot pass that on.
const (
	refusedAddr = "refused@test.example" // 550
	laterAddr   = "later@test.example"   // 450
)

// TestRecipients sends to three recipients of which some are refused. What the
// error says must be what the mailbox shows, and the session must go on.
func TestRecipients(t *testing.T) {
	const bob, carol, dave = "bob@test.example", "carol@test.example", "dave@test.example"
	cases := []struct {
		name      string
		to        []string
		bad       []string
		temporary bool // what Temporary says when all or nothing is wanted
		// somewhat is what it says with Partial: may it help anyone?
		somewhat bool
	}{
		{"none refused", []string{bob, carol, dave}, nil, false, false},
		{"first refused", []string{refusedAddr, bob, carol}, []string{refusedAddr}, false, false},
		{"middle refused", []string{bob, refusedAddr, carol}, []string{refusedAddr}, false, false},
		{"last refused", []string{bob, carol, refusedAddr}, []string{refusedAddr}, false, false},
		{"one busy", []string{bob, laterAddr, carol}, []string{laterAddr}, true, true},
		{"one refused, one busy", []string{refusedAddr, bob, laterAddr}, []string{refusedAddr, laterAddr}, false, true},
		{"only one, refused", []string{refusedAddr}, []string{refusedAddr}, false, false},
		{"all refused", []string{refusedAddr, laterAddr}, []string{refusedAddr, laterAddr}, false, true},
	}
	eachServer(t, func(t *testing.T, s server) {
		for _, tr := range transfers {
			for _, partial := range []bool{false, true} {
				name := tr.name + " all or nothing"
				if partial {
					name = tr.name + " partial"
				}
				t.Run(name, func(t *testing.T) {
					session := s.dial(t, tr.options) // one for all cases
					for _, c := range cases {
						good := slices.DeleteFunc(slices.Clone(c.to), func(a string) bool { return slices.Contains(c.bad, a) })
						m := newMessage(c.name + "\r\n")
						env := submission.Envelope{To: submission.To(c.to...), Partial: partial}
						res, err := session.Send(limited(t), env, m.reader())
						switch {
						case len(c.bad) == 0:
							accepted(t, m, res, err)
						case partial && len(good) > 0:
							checkRefusal(t, c.to, c.bad, len(c.to), sendError(t, err, submission.PartlySent))
						default:
							good = nil
							// Where nobody gets the message once one is refused, no further
							// flight asks for the others; in lockstep each is one of its own.
							asked := len(c.to)
							if !partial && slices.Contains(tr.disable, "PIPELINING") {
								asked = slices.Index(c.to, c.bad[0]) + 1
							}
							checkRefusal(t, c.to, c.bad, asked, sendError(t, err, submission.NotSent))
						}
						if err != nil {
							temporary := c.temporary
							switch {
							case partial:
								temporary = c.somewhat
							case slices.Contains(tr.disable, "PIPELINING"):
								temporary = c.bad[0] == laterAddr // nobody else was asked
							}
							if failure := sendError(t, err, outcome(good)); failure.Temporary() != temporary {
								t.Errorf("%s: Temporary: got %v, want %v: %v", c.name, failure.Temporary(), temporary, err)
							}
						}
						s.expect(t, m, good...)
						if !session.Usable() {
							t.Fatalf("%s: the session is broken: %v", c.name, err)
						}
					}
				})
			}
		}
	})
}

func outcome(delivered []string) submission.Outcome {
	if len(delivered) > 0 {
		return submission.PartlySent
	}
	return submission.NotSent
}

// checkRefusal checks what an error says of each recipient, of whom the first ones
// were asked for.
func checkRefusal(t *testing.T, to, bad []string, asked int, failure *submission.SendError) {
	t.Helper()
	if len(failure.Recipients) != len(to) {
		t.Fatalf("%d recipients in %+v, want %d", len(failure.Recipients), failure, len(to))
	}
	for i, r := range failure.Recipients {
		want := submission.RecipientUnsent
		switch {
		case i >= asked:
		case r.Addr == refusedAddr:
			want = submission.RecipientInvalid
		case r.Addr == laterAddr: // a mailbox all the same
		case failure.Outcome == submission.PartlySent:
			want = submission.RecipientSent
		}
		if r.Addr != to[i] || r.Status != want {
			t.Errorf("recipient %d: got %s %v, want %s %v", i, r.Addr, r.Status, to[i], want)
		}
		code := 250
		switch {
		case i >= asked:
			code = 0
		case r.Addr == refusedAddr:
			code = 550
		case r.Addr == laterAddr:
			code = 450
		}
		if r.Reply.Code != code {
			t.Errorf("%s: got the reply %v, want a %d", r.Addr, r.Reply, code)
		}
	}
	address, ok := errors.AsType[*submission.AddressError](failure)
	if !ok || address.Addr != bad[0] || address.Reply == nil {
		t.Errorf("got %v, want an *AddressError for %s", failure, bad[0])
	}
}

// TestManyRecipients sends to more recipients than one batch of commands holds.
func TestManyRecipients(t *testing.T) {
	eachServer(t, func(t *testing.T, s server) {
		for _, tr := range transfers {
			t.Run(tr.name, func(t *testing.T) {
				var to []string
				for i := range 300 {
					to = append(to, "recipient-number-"+string(rune('a'+i%26))+"-"+string(rune('a'+i/26))+"@test.example")
				}
				m := newMessage("to many\r\n")
				res, err := s.client(t, tr.options).Send(limited(t), submission.Envelope{To: submission.To(to...)}, m.reader())
				accepted(t, m, res, err)
				s.expect(t, m, to...)
			})
		}
	})
}
