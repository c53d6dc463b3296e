package submission_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fe022423/submission"
)

// What must be true of a schedule of shared flights when it is over.

// contradictions returns what the client said and the server knows better.
func (s *rideSchedule) contradictions(c *submission.Client) (wrong []string) {
	w := s.world
	w.mu.Lock()
	defer w.mu.Unlock()
	hit := 0
	count := map[string]uint64{}
	for _, m := range s.messages {
		count[m.outcome()]++
		for _, text := range m.contradictions(w.accepted[m.n], w.out[m.n]) {
			wrong = append(wrong, fmt.Sprintf("%v, %s, accepted %q: %s: %v", m, m.outcome(), w.accepted[m.n], text, m.err))
		}
		if m.err != nil && !m.deserved() {
			hit++
		}
	}
	if hit > w.faults {
		wrong = append(wrong, fmt.Sprintf("%d messages failed, of which each has to do with a fault, and there were %d faults: %v", hit, w.faults, s.errors()))
	}
	st := c.Stats()
	if st.Open != 0 || st.Idle != 0 || st.InUse != 0 || st.Waiting != 0 {
		wrong = append(wrong, fmt.Sprintf("after Close: %+v", st))
	}
	if st.Sent != count["sent"] || st.PartlySent != count[submission.PartlySent.String()] || st.NotSent != count[submission.NotSent.String()] || st.Unknown != count[submission.Unknown.String()] {
		wrong = append(wrong, fmt.Sprintf("the Client counted %+v, the senders %v", st, count))
	}
	if int(st.Dials) < w.dials {
		wrong = append(wrong, fmt.Sprintf("the Client counted %d dials, the server %d", st.Dials, w.dials))
	}
	if open, most := w.connections(); open != 0 || most > s.options.Pool.MaxSessions {
		wrong = append(wrong, fmt.Sprintf("%d connections are open, and %d were, of %d", open, most, s.options.Pool.MaxSessions))
	}
	return wrong
}

// errors returns what went wrong, for the eye.
func (s *rideSchedule) errors() error {
	var list []error
	for _, m := range s.messages {
		if m.err != nil && !m.deserved() {
			list = append(list, fmt.Errorf("message %d: %w", m.n, m.err))
		}
	}
	return errors.Join(list...)
}

func (m *rideMessage) String() string {
	return fmt.Sprintf("message %d (%d octets in way %d to %d, partial %v)", m.n, len(m.text), m.way, len(m.env.To), m.env.Partial)
}

// outcome is what the client said of the message.
func (m *rideMessage) outcome() string {
	var e *submission.SendError
	switch {
	case m.err == nil:
		return "sent"
	case errors.As(m.err, &e):
		return e.Outcome.String()
	}
	return "no SendError"
}

// deserved reports whether the message failed by what its sender did.
func (m *rideMessage) deserved() bool {
	return m.refused || m.fails || !m.gaveUp.IsZero() || errors.Is(m.err, submission.ErrClosed)
}

// contradictions returns what is wrong about a message of which the server has accepted
// this, when the write that carries its last octet was begun, or not.
func (m *rideMessage) contradictions(accepted []string, out bool) (wrong []string) {
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if m.returned.IsZero() {
		say("it never ended")
		return wrong
	}
	if late := m.returned.Sub(m.gaveUp); !m.gaveUp.IsZero() && late > 2*time.Second {
		say("given up, it took %v more", late)
	}
	if len(accepted) > 1 {
		say("accepted more than once")
	}
	got := map[string]bool{}
	for _, numbers := range accepted {
		for _, number := range strings.Fields(numbers) {
			got[number] = true
		}
	}
	rcpts, last := []submission.RecipientResult(nil), (*submission.Reply)(nil)
	var e *submission.SendError
	switch {
	case m.err == nil && m.res == nil:
		say("neither a result nor an error")
		return wrong
	case m.err == nil:
		rcpts, last = m.res.Recipients, &m.res.Reply
	case !errors.As(m.err, &e):
		say("%T", m.err)
		return wrong
	default:
		rcpts, last = e.Recipients, e.Reply
		if e.Outcome == submission.Unknown && !out {
			say("its last octet did not go out")
		}
		if e.Outcome == submission.NotSent && len(accepted) > 0 {
			say("it was accepted")
		}
	}
	if m.fails && m.err == nil {
		say("its source failed")
	}
	if last != nil && !m.owns(*last, -1) {
		say("the reply to another message: %v", last)
	}
	if len(rcpts) != len(m.env.To) {
		say("%d recipients", len(rcpts))
		return wrong
	}
	return append(wrong, m.aboutRecipients(rcpts, got)...)
}

// aboutRecipients is contradictions about the recipients, of whom the server has accepted
// the message for some.
func (m *rideMessage) aboutRecipients(rcpts []submission.RecipientResult, got map[string]bool) (wrong []string) {
	unknown := m.outcome() == submission.Unknown.String()
	for i, r := range rcpts {
		number := fmt.Sprintf("%d.%d", m.n, i)
		text := ""
		switch sent := r.Status == submission.RecipientSent; {
		case !m.owns(r.Reply, i):
			text = "the reply to another one"
		case sent && !got[number]:
			text = "not accepted"
		case !sent && got[number] && !(unknown && r.Status == submission.RecipientUncertain):
			text = "accepted"
		case r.Status == submission.RecipientUncertain && !unknown, m.err == nil && !sent,
			r.Status == submission.RecipientInvalid && r.Reply.Code/100 != 5:
			text = "why"
		default:
			continue
		}
		wrong = append(wrong, fmt.Sprintf("recipient %d: %v, %s: %v", i, r.Status, text, r.Reply))
	}
	return wrong
}

// owns reports whether a reply is one to this message, or to its recipient i; to no
// message at all is as good. A final reply under LMTP names a recipient too.
func (m *rideMessage) owns(r submission.Reply, i int) bool {
	_, after, found := strings.Cut(r.String(), "[")
	tag, _, _ := strings.Cut(after, "]")
	if !found || tag == "-" {
		return i < 0 || r.Code == 0
	}
	if i >= 0 {
		return tag == fmt.Sprintf("%d.%d", m.n, i)
	}
	own := []string{fmt.Sprint(m.n)}
	for j := range m.env.To {
		own = append(own, fmt.Sprintf("%d.%d", m.n, j))
	}
	return slices.Contains(own, tag)
}

// count adds what happened.
func (s *rideSchedule) count(all *rideTotals) {
	all.Schedules++
	all.Messages += len(s.messages)
	all.Shared += s.world.shared
	all.Chained += s.world.chains
	all.Faults += s.world.faults
	for _, m := range s.messages {
		if !m.gaveUp.IsZero() {
			all.GaveUp++
		}
		switch m.outcome() {
		case "sent":
			all.Sent++
		case submission.PartlySent.String():
			all.PartlySent++
		case submission.NotSent.String():
			all.NotSent++
		default:
			all.Unknown++
		}
	}
}
