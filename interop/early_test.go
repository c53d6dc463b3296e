//go:build linux

package interop

import (
	"slices"
	"strings"
	"testing"

	"github.com/fe022423/submission"
)

// TestEarlyData sends messages in one flight with their envelopes, one of them
// for a recipient who is refused. The session ends with that one, because there are
// servers that read its chunk as commands.
func TestEarlyData(t *testing.T) {
	eachServer(t, func(t *testing.T, s server) {
		var w wire
		var session *submission.Session
		send := func(to string) (message, *submission.Result, error) {
			m := newMessage("early, for " + to + "\r\nQUIT\r\n.\r\n")
			w.sent = nil
			res, err := session.Send(limited(t), submission.Envelope{To: submission.To(to)}, m.reader())
			if !slices.ContainsFunc(w.sent, func(line string) bool { return strings.HasPrefix(line, "BDAT ") }) {
				t.Errorf("for %s no chunk was sent: %q", to, w.sent)
			}
			return m, res, err
		}
		for _, bad := range []string{refusedAddr, laterAddr} {
			session = s.dial(t, w.trace, func(o *submission.Options) { o.EarlyData = true })
			m, res, err := send("bob@test.example")
			accepted(t, m, res, err)
			s.expect(t, m, "bob@test.example")

			m, _, err = send(bad)
			failure := sendError(t, err, submission.NotSent)
			checkRefusal(t, []string{bad}, []string{bad}, 1, failure)
			s.expect(t, m)
			if session.Usable() {
				t.Errorf("the session goes on after %v", err)
			}
		}
	})
}
