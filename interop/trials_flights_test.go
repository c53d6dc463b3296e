//go:build linux

package interop

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fe022423/submission"
)

// trySharedFlights sends from several goroutines over one session, so that the envelope
// of a message goes out behind the one in front: good ones alone, and with refused ones
// of each kind among them.
func trySharedFlights(t *testing.T, s *subject) {
	const senders, each = 8, 6
	refused := refuseField + ": yes\r\n" + strings.Repeat("X-Padding: "+strings.Repeat("x", 100)+"\r\n", headerLimit/100)
	kinds := []struct {
		name    string
		refuses offer
		to      []string
		partial bool
		header  string
		sent    []string // who gets the message in the end
	}{
		{"none", yes(""), nil, false, "", nil},
		{"recipient", s.offers.refusedRecipient, []string{refusedAddr}, false, "", nil},
		{"recipient among others", s.offers.refusedRecipient, []string{bob, refusedAddr, carol}, false, "", nil},
		{"recipient among others, partial", s.offers.refusedRecipient, []string{bob, refusedAddr, carol}, true, "", []string{bob, carol}},
		{"message", s.offers.refusedMessage, []string{bob}, false, refused, nil},
	}
	for _, tr := range s.transfers() {
		for _, kind := range kinds {
			if !kind.refuses.given || s.offers.flightsDropped && kind.header != "" {
				continue // each takes the seconds in which the client notices
			}
			t.Run(tr.name+", refused "+kind.name, func(t *testing.T) {
				var resets atomic.Int64
				client := s.client(t, tr.options, func(o *submission.Options) {
					o.Pool.MaxSessions = 1
					o.Trace = &submission.Trace{Sent: func(_ context.Context, _ submission.SessionInfo, line string) {
						if line == "RSET" {
							resets.Add(1)
						}
					}}
				})
				bad := func(i, j int) bool { return kind.to != nil && (i+j)%3 == 0 }
				messages := make([][]message, senders)
				errs := make([][each]error, senders)
				var group sync.WaitGroup
				for i := range messages {
					for j := range each {
						header := ""
						if bad(i, j) {
							header = kind.header
						}
						messages[i] = append(messages[i], newSource(header+headers+"\r\n"+fmt.Sprintf("message %d of sender %d\r\n", j, i)))
					}
					group.Go(func() {
						for j, m := range messages[i] {
							env := submission.Envelope{To: submission.To(bob)}
							if bad(i, j) {
								env.To, env.Partial = submission.To(kind.to...), kind.partial
							}
							_, errs[i][j] = client.Send(limited(t), env, m.reader())
						}
					})
				}
				group.Wait()
				for i, list := range messages {
					for j, m := range list {
						err, to := errs[i][j], []string{bob}
						if bad(i, j) {
							var failed *submission.SendError
							if to = kind.sent; !errors.As(err, &failed) || failed.Outcome != outcome(to) {
								t.Errorf("sender %d, message %d: got %v, want %v", i, j, err, outcome(to))
							}
						} else if err != nil {
							t.Errorf("sender %d, message %d: %v", i, j, err)
						}
						s.expect(t, m, to...)
					}
				}
				if kind.to != nil {
					return
				}
				// Of good messages alone nothing but a shared flight has a RSET.
				n := resets.Load()
				switch pipelined := !slices.Contains(tr.disable, "PIPELINING"); {
				case pipelined && s.offers.flightsAlone != "": // the client sees it at once
					if n > 1 {
						t.Errorf("%d messages shared a flight", n)
					}
				case pipelined != (n > senders*each/2):
					t.Errorf("%d of %d messages shared a flight", n, senders*each)
				}
			})
		}
		if pipelined := !slices.Contains(tr.disable, "PIPELINING"); pipelined && s.words != nil {
			t.Run(tr.name+", what the log says", func(t *testing.T) {
				j := openQuietJournal(t, s.Dir)
				messages := shareSession(t, tr, func(set func(*submission.Options)) *submission.Client { return s.client(t, set) }, someOf)
				j.expectContent(t, s.words, 1)
				for i, m := range messages {
					s.expect(t, m, someOf(i)...)
				}
			})
		}
	}
}

// crowd is how many senders share a session.
const crowd = 64

// someOf are recipients of a message: one, or two.
func someOf(i int) []string { return [][]string{{bob}, {bob, carol}, {carol}}[i%3] }

// shareSession has a crowd send over one session of a Client, which open makes and which is
// closed in the end: message i to those that to returns. They must share flights where the
// transfer allows that.
func shareSession(t *testing.T, tr transfer, open func(set func(*submission.Options)) *submission.Client, to func(i int) []string) (messages []message) {
	t.Helper()
	var resets atomic.Int64
	client := open(func(o *submission.Options) {
		tr.options(o)
		o.Pool.MaxSessions = 1
		o.Trace = &submission.Trace{Sent: func(_ context.Context, _ submission.SessionInfo, line string) {
			if line == "RSET" {
				resets.Add(1)
			}
		}}
	})
	var group sync.WaitGroup
	for i := range crowd {
		m := newMessage(strings.Repeat(fmt.Sprintf(".line of message %d\r\n", i), 1+i*i%200))
		rcpts := to(i)
		messages = append(messages, m)
		group.Go(func() {
			res, err := client.Send(limited(t), submission.Envelope{To: submission.To(rcpts...), Partial: i%2 == 0}, m.reader())
			if err != nil {
				t.Errorf("message %d: %v", i, err)
				return
			}
			accepted(t, m, res, err)
		})
	}
	group.Wait()
	if err := client.Close(); err != nil {
		t.Error(err)
	}
	if n := client.Stats().Dials; n != 1 {
		t.Errorf("%d sessions, want 1", n)
	}
	// Of good messages alone nothing but a shared flight has a RSET.
	if n, shares := resets.Load(), !slices.Contains(tr.disable, "PIPELINING"); shares != (n > crowd/2) {
		t.Errorf("%d of %d messages shared a flight", n, crowd)
	}
	return messages
}
