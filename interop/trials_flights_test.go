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
			if !kind.refuses.given || s.offers.flightsAlone != "" && kind.header != "" {
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
	}
}
