//go:build linux

package interop

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/fe022423/submission"
)

const bob, carol, dave = "bob@test.example", "carol@test.example", "dave@test.example"

// deliver sends a message to the recipients, none of whom is refused, and checks
// what the server has stored.
func (s *subject) deliver(t *testing.T, client *submission.Client, m message, to ...string) {
	t.Helper()
	res, err := client.Send(limited(t), submission.Envelope{To: submission.To(to...)}, m.reader())
	accepted(t, m, res, err)
	s.expect(t, m, to...)
}

func tryClear(t *testing.T, s *subject)       { s.tryMode(t, submission.TLSNone) }
func tryStartTLS(t *testing.T, s *subject)    { s.tryMode(t, submission.TLSStartTLS) }
func tryImplicitTLS(t *testing.T, s *subject) { s.tryMode(t, submission.TLSImplicit) }

// tryMode sends two messages over one connection that is secured in this way, and
// closes it.
func (s *subject) tryMode(t *testing.T, mode submission.TLSMode) {
	var d dials
	client := s.client(t, d.trace, func(o *submission.Options) { o.TLS = mode })
	s.deliver(t, client, newMessage("one\r\n"), bob)
	s.deliver(t, client, newMessage("two\r\n"), carol, dave)
	d.expect(t, 1, 1)

	session, err := client.Dial(limited(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, secured := session.TLS(); secured != (mode != submission.TLSNone) {
		t.Errorf("TLS: got %v in mode %v", secured, mode)
	}
	if err := session.Noop(limited(t)); err != nil {
		t.Errorf("Noop: %v", err)
	}
	if err := session.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// tryLogins authenticates by every mechanism that both sides know, with the right
// password and a wrong one.
func tryLogins(t *testing.T, s *subject) {
	t.Run("offer", func(t *testing.T) {
		session, err := s.client(t).Dial(limited(t))
		if err != nil {
			t.Fatal(err)
		}
		defer session.Close()
		sameWords(t, session.Extensions().Mechanisms(), s.offers.mechanisms)
	})
	for _, mechanism := range append([]string{""}, s.offers.logins...) {
		name := mechanism
		if name == "" {
			name = "default"
		}
		t.Run(name, func(t *testing.T) {
			ping := func(password string) error {
				return s.client(t, func(o *submission.Options) {
					auth := submission.Password{Username: account, Password: password}
					if mechanism != "" {
						auth.Mechanisms = []string{mechanism}
					}
					o.Auth = auth
				}).Ping(limited(t))
			}
			if err := ping(password); err != nil {
				t.Errorf("right password: %v", err)
			}
			refused(t, ping("not-the-password"), mechanism)
		})
	}
	for _, mechanism := range s.offers.mechanisms {
		if !slices.Contains(s.offers.logins, mechanism) {
			t.Run(mechanism, func(t *testing.T) { s.tryForeignMechanism(t, mechanism) })
		}
	}
}

// tryForeignMechanism asks for a mechanism of which the server knows another kind than
// the client: that is to be told, not that the password is wrong.
func (s *subject) tryForeignMechanism(t *testing.T, mechanism string) {
	err := s.client(t, func(o *submission.Options) {
		o.Auth = submission.Password{Username: account, Password: password, Mechanisms: []string{mechanism}}
	}).Ping(limited(t))
	if failure, ok := errors.AsType[*submission.AuthError](err); !ok || failure.Reply != nil {
		t.Errorf("got %v, want an *AuthError without a reply", err)
	}
}

// tryExtensions compares the EHLO reply with what is declared.
func tryExtensions(t *testing.T, s *subject) {
	var keywords []string
	var hello bool
	client := s.client(t, func(o *submission.Options) {
		o.Trace = &submission.Trace{
			Sent: func(_ context.Context, _ submission.SessionInfo, line string) {
				hello = strings.HasPrefix(line, "EHLO ")
			},
			Received: func(_ context.Context, _ submission.SessionInfo, r submission.Reply) {
				if !hello {
					return
				}
				keywords = nil
				for _, line := range r.Lines[1:] {
					keyword, _, _ := strings.Cut(strings.ToUpper(line), " ")
					if keyword != "STARTTLS" && keyword != "AUTH" && !strings.HasPrefix(keyword, "AUTH=") {
						keywords = append(keywords, keyword)
					}
				}
			},
		}
	})
	session, err := client.Dial(limited(t))
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	sameWords(t, keywords, s.offers.extensions)
	want := s.offers.sizeLimit
	if s.offers.sizeHidden {
		want = 0
	}
	if limit, _ := session.Extensions().Size(); limit != want {
		t.Errorf("SIZE: got %d, want %d", limit, want)
	}
}

// sameWords compares lists whose order does not matter.
func sameWords(t *testing.T, got, want []string) {
	t.Helper()
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		t.Errorf("the server lists %q, declared are %q", got, want)
	}
}

// tryRestart restarts the server while a session of the pool is idle.
func tryRestart(t *testing.T, s *subject) {
	var d dials
	client := s.client(t, d.trace)
	s.deliver(t, client, newMessage("before\r\n"), bob)
	for range 2 {
		s.restart(t)
		s.deliver(t, client, newMessage("after\r\n"), bob)
	}
	if n := d.fresh.Load(); n != 3 {
		t.Errorf("%d connections, want 3", n)
	}
}

// tryLiteral greets with the address literal that is the client's default, which
// this server does not like, and then with a name.
func tryLiteral(t *testing.T, s *subject) {
	err := s.client(t, func(o *submission.Options) { o.LocalName = "" }).Ping(limited(t))
	failure, ok := errors.AsType[*submission.ConnectError](err)
	if !ok || failure.Stage != submission.StageHello || failure.Reply == nil || failure.Temporary() {
		t.Errorf("got %v, want a lasting *ConnectError of EHLO with the reply", err)
	}
	if err != nil && !strings.Contains(err.Error(), "LocalName") {
		t.Errorf("the error does not name the option that helps: %v", err)
	}
	s.deliver(t, s.client(t), newMessage("by name\r\n"), bob)
}

// sendAll sends the messages to bob from as many goroutines as there are lists, and
// checks that the server has those that were sent.
func (s *subject) sendAll(t *testing.T, client *submission.Client, lists [][]message) {
	t.Helper()
	ctx := limited(t)
	sent := make([][]bool, len(lists))
	var group sync.WaitGroup
	for i, list := range lists {
		sent[i] = make([]bool, len(list))
		group.Go(func() {
			for j, m := range list {
				_, err := client.Send(ctx, submission.Envelope{To: submission.To(bob)}, m.reader())
				if err != nil {
					t.Errorf("sender %d, message %d: %v", i, j, err)
				}
				sent[i][j] = err == nil
			}
		})
	}
	group.Wait()
	for i, list := range lists {
		for j, m := range list {
			if sent[i][j] {
				s.expect(t, m, bob)
			} else {
				s.expect(t, m)
			}
		}
	}
}
