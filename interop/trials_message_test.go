//go:build linux

package interop

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fe022423/submission"
)

// octetTests are messages that are hard to carry.
var octetTests = []struct {
	name  string
	rest  string
	eight bool // holds octets above 0x7f
}{
	{"dots", headers + "\r\n.\r\n..\r\n...\r\n.a\r\n..b\r\na.\r\n.", false},
	{"dot and commands", headers + "\r\n.\r\nRSET\r\nMAIL FROM:<mallory@test.example>\r\nQUIT\r\n", false},
	{"line of 998", headers + "\r\n" + strings.Repeat("a", 998) + "\r\n", false},
	{"line of 5000", headers + "\r\n" + strings.Repeat("b", 5000) + "\r\n", false},
	{"line of dots", headers + "\r\n" + strings.Repeat(".", 5000) + "\r\n", false},
	{"bare ends", headers + "\r\na\n.\nb\rc\r\n\n\rd\r\r\n", false},
	{"no final newline", headers + "\r\nno end", false},
	{"empty body", headers + "\r\n", false},
	{"blank lines at the end", headers + "\r\nx\r\n\r\n\r\n\r\n", false},
	{"white space", headers + "\r\n \r\n\t\r\n x \r\nx\t\r\n", false},
	{"From at the line start", headers + "\r\nFrom me\r\n>From you\r\n", false},
	{"8-bit", headers + "\r\ngrüße \xff\xfe\x80\r\n", true},
	{"100 KiB and more", headers + "\r\n" + strings.Repeat(strings.Repeat("0123456789", 7)+"\r\n..\r\n", 1600), false},
}

// refuseLongLines is what servers do that refuse the lines of 5000 octets.
func refuseLongLines(test string, canonical []byte) []byte {
	if test == "line of 5000" || test == "line of dots" {
		return nil
	}
	return canonical
}

// tryOctets compares what the server stored with what was sent.
func tryOctets(t *testing.T, s *subject) {
	for _, tr := range s.transfers() {
		t.Run(tr.name, func(t *testing.T) {
			client := s.client(t, tr.options)
			for _, c := range octetTests {
				t.Run(c.name, func(t *testing.T) {
					m := newSource(c.rest)
					res, err := client.Send(limited(t), submission.Envelope{To: submission.To(bob)}, m.reader())
					if c.eight && !s.offers.has("8BITMIME") {
						sendError(t, err, submission.NotSent)
						if !errors.Is(err, submission.ErrUnsupported) {
							t.Errorf("got %v, want ErrUnsupported", err)
						}
						s.expect(t, m)
						return
					}
					content := s.asStored(c.name, m)
					if content == nil {
						if failure := sendError(t, err, submission.NotSent); failure.Reply == nil || failure.Temporary() {
							t.Errorf("got %v, want a lasting refusal", err)
						}
						s.expect(t, m)
						s.deliver(t, client, newMessage("the next message\r\n"), bob)
						return
					}
					accepted(t, m, res, err)
					s.expectContent(t, m, content, bob)
				})
			}
		})
	}
}

// tryRefusedRecipient refuses a recipient, alone and among others. The next
// message through the same client goes out each time.
func tryRefusedRecipient(t *testing.T, s *subject) {
	s.tryRecipientLists(t, refusedAddr, false)
}

// tryBusyRecipient does the same with one who is refused for now.
func tryBusyRecipient(t *testing.T, s *subject) { s.tryRecipientLists(t, laterAddr, true) }

func (s *subject) tryRecipientLists(t *testing.T, bad string, temporary bool) {
	lists := [][]string{{bad}, {bad, bob, carol}, {bob, bad, carol}, {bob, carol, bad}, {bad, bad}}
	for _, tr := range s.transfers() {
		for _, partial := range []bool{false, true} {
			name := tr.name + " all or nothing"
			if partial {
				name = tr.name + " partial"
			}
			t.Run(name, func(t *testing.T) {
				client := s.client(t, tr.options)
				for _, to := range lists {
					m := newMessage("to " + strings.Join(to, " ") + "\r\n")
					_, err := client.Send(limited(t), submission.Envelope{To: submission.To(to...), Partial: partial}, m.reader())
					s.checkPart(t, m, to, bad, partial, err)
					if failure, ok := errors.AsType[*submission.SendError](err); ok && failure.Temporary() != temporary {
						t.Errorf("Temporary: got %v: %v", failure.Temporary(), err)
					}
					s.deliver(t, client, newMessage("the next message\r\n"), bob, carol)
				}
			})
		}
	}
}

// checkPart checks what became of a message of whose recipients bad is refused.
func (s *subject) checkPart(t *testing.T, m message, to []string, bad string, partial bool, err error) {
	t.Helper()
	good := slices.DeleteFunc(slices.Clone(to), func(a string) bool { return a == bad })
	if !partial {
		good = nil
	}
	failure := sendError(t, err, outcome(good))
	for i, r := range failure.Recipients {
		want := submission.RecipientUnsent
		switch {
		case r.Addr == refusedAddr && r.Reply.Code != 0:
			want = submission.RecipientInvalid
		case r.Addr != bad && partial:
			want = submission.RecipientSent
		}
		if r.Addr != to[i] || r.Status != want {
			t.Errorf("recipient %d: got %s %v, want %s %v", i, r.Addr, r.Status, to[i], want)
		}
		// Once one is refused and all or nothing is wanted, nobody else is asked.
		asked := r.Reply.Code != 0 || partial
		if asked && (r.Addr == bad) == (r.Reply.Code/100 == 2) {
			t.Errorf("%s: got the reply %v", r.Addr, r.Reply)
		}
	}
	if !slices.ContainsFunc(failure.Recipients, func(r submission.RecipientResult) bool { return r.Addr == bad && r.Reply.Code != 0 }) {
		t.Errorf("no reply to %s: %+v", bad, failure.Recipients)
	}
	if address, ok := errors.AsType[*submission.AddressError](err); !ok || address.Addr != bad || address.Reply == nil {
		t.Errorf("got %v, want an *AddressError for %s", err, bad)
	}
	s.expect(t, m, good...)
}

// tryRefusedSender refuses the sender, on a fresh session and on a used one.
func tryRefusedSender(t *testing.T, s *subject) {
	for _, tr := range s.transfers() {
		t.Run(tr.name, func(t *testing.T) {
			client := s.client(t, tr.options)
			for range 2 {
				m := newMessage("of a refused sender\r\n")
				_, err := client.Send(limited(t), submission.Envelope{From: refusedSender, To: submission.To(bob)}, m.reader())
				failure := sendError(t, err, submission.NotSent)
				if failure.Temporary() {
					t.Errorf("temporary: %v", err)
				}
				if sender, ok := errors.AsType[*submission.SenderError](err); !ok || sender.Reply == nil {
					t.Errorf("got %v, want a *SenderError with the reply", err)
				}
				s.expect(t, m)
				s.deliver(t, client, newMessage("the next message\r\n"), bob, carol)
			}
		})
	}
}

// tryRefusedMessage sends messages whose content the server refuses, short ones and
// ones that are not held back.
func tryRefusedMessage(t *testing.T, s *subject) {
	field := refuseField + ": yes\r\n" + strings.Repeat("X-Padding: "+strings.Repeat("x", 100)+"\r\n", headerLimit/100)
	for _, tr := range s.transfers() {
		for _, lines := range []int{1, 2000} {
			for _, partial := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %d lines, partial %v", tr.name, lines, partial), func(t *testing.T) {
					client := s.client(t, tr.options)
					for range 2 {
						m := newSource(field + headers + "\r\n" + strings.Repeat("QUIT, or a line that is none of the commands\r\n", lines))
						_, err := client.Send(limited(t), submission.Envelope{To: submission.To(bob, carol), Partial: partial}, m.reader())
						failure := sendError(t, err, submission.NotSent)
						if failure.Reply == nil || !failure.Reply.Permanent() || failure.Temporary() {
							t.Errorf("got %v, want a lasting refusal", err)
						}
						s.expect(t, m)
						s.deliver(t, client, newMessage("the next message\r\n"), bob, carol)
					}
				})
			}
		}
	}
}

// tryTooLarge sends messages over the server's limit: the client knows it, or is
// told to forget it and leaves it to the server to refuse.
func tryTooLarge(t *testing.T, s *subject) {
	for _, tr := range s.transfers() {
		if s.offers.has("SIZE") && !s.offers.sizeHidden {
			t.Run("announced, "+tr.name, func(t *testing.T) {
				var w wire
				client := s.client(t, tr.options, w.trace)
				env := submission.Envelope{To: submission.To(bob), Size: s.offers.sizeLimit + 1}
				m := bigMessage(200_000)
				_, err := client.Send(limited(t), env, m.reader())
				if failure := sendError(t, err, submission.NotSent); failure.Temporary() || !errors.Is(err, submission.ErrTooLarge) {
					t.Errorf("got %v, want a lasting ErrTooLarge", err)
				}
				w.noMail(t)
				s.expect(t, m)
				s.deliver(t, client, newMessage("the next message\r\n"), bob)
			})
		}
		t.Run("SIZE disabled, "+tr.name, func(t *testing.T) {
			client := s.client(t, tr.options, disable("SIZE"))
			for _, over := range []int{10_000, 3_000_000} {
				m := bigMessage(int(s.offers.sizeLimit) + over)
				_, err := client.Send(limited(t), submission.Envelope{To: submission.To(bob)}, m.reader())
				failure := sendError(t, err, submission.NotSent)
				if failure.Reply == nil || !failure.Reply.Permanent() || failure.Temporary() {
					t.Errorf("%d octets over: got %v, want a lasting refusal", over, err)
				}
				s.expect(t, m)
				s.deliver(t, client, newMessage("the next message\r\n"), bob)
			}
		})
	}
}

// tryEarlyData sends envelope and message in one flight. The message is made of
// commands: a server that does not discard it after a refusal would obey them, and
// its answers must not be taken for those to the next message.
func tryEarlyData(t *testing.T, s *subject) {
	var events []string
	client := s.client(t, func(o *submission.Options) {
		o.EarlyData = true
		o.Trace = &submission.Trace{
			Sent: func(_ context.Context, _ submission.SessionInfo, line string) { events = append(events, line) },
			Received: func(_ context.Context, _ submission.SessionInfo, r submission.Reply) {
				events = append(events, "> "+r.String())
			},
		}
	})
	send := func(env submission.Envelope) (message, error) {
		m := newMessage("RSET\r\nMAIL FROM:<mallory@test.example>\r\nRCPT TO:<bob@test.example>\r\nDATA\r\n" +
			"Subject: not a message\r\n\r\nhello\r\n.\r\nNOOP\r\n")
		events = nil
		_, err := client.Send(limited(t), env, m.reader())
		return m, err
	}
	early := func() {
		t.Helper()
		mail := slices.IndexFunc(events, func(e string) bool { return strings.HasPrefix(e, "MAIL ") })
		bdat := slices.IndexFunc(events, func(e string) bool { return strings.HasPrefix(e, "BDAT ") })
		if mail < 0 || bdat < mail || slices.ContainsFunc(events[mail:bdat], func(e string) bool { return e[0] == '>' }) {
			t.Errorf("not in one flight: %q", events)
		}
	}
	good := func() {
		t.Helper()
		m, err := send(submission.Envelope{To: submission.To(bob)})
		if err != nil {
			t.Fatal(err)
		}
		early()
		s.expect(t, m, bob)
	}
	for range 2 {
		good()
		for _, c := range []struct {
			env     submission.Envelope
			offered offer
			good    []string
		}{
			{submission.Envelope{To: submission.To(refusedAddr)}, s.offers.refusedRecipient, nil},
			{submission.Envelope{To: submission.To(laterAddr)}, s.offers.busyRecipient, nil},
			{submission.Envelope{From: refusedSender, To: submission.To(bob)}, s.offers.refusedSender, nil},
			{submission.Envelope{To: submission.To(refusedAddr, refusedAddr), Partial: true}, s.offers.refusedRecipient, nil},
			{submission.Envelope{To: submission.To(bob, refusedAddr, carol), Partial: true}, s.offers.refusedRecipient, []string{bob, carol}},
		} {
			if !c.offered.given {
				continue
			}
			m, err := send(c.env)
			sendError(t, err, outcome(c.good))
			s.expect(t, m, c.good...)
			good()
		}
	}
}
