package smtptest

import (
	"strings"

	"github.com/fe022423/submission/smtptest/internal/syntax"
)

// checkDelivery checks what MAIL asks of the delivery: that it does not contradict
// itself, and the limits that were offered. A limit that makes no sense is none. It
// returns the reply if MAIL is refused, or "".
func (s *session) checkDelivery(params []string) string {
	interval, until, _ := strings.Cut(s.offered["FUTURERELEASE"], " ")
	holdFor, isFor := syntax.ParameterValue(params, "HOLDFOR")
	holdUntil, isUntil := syntax.ParameterValue(params, "HOLDUNTIL")
	switch {
	case isFor && isUntil: // RFC 4865, 4
		return s.reply(501, "5.5.4", "HOLDFOR and HOLDUNTIL exclude each other")
	case isFor:
		d, _ := syntax.ParseInterval(holdFor)
		if limit, ok := syntax.ParseInterval(interval); ok && d > limit {
			return s.reply(554, "5.5.4", "HOLDFOR is more than "+interval+" seconds")
		}
	case isUntil:
		t, _ := syntax.ParseDateTime(holdUntil)
		if limit, ok := syntax.ParseDateTime(until); ok && t.After(limit) {
			return s.reply(554, "5.5.4", "HOLDUNTIL is after "+until)
		}
	}
	if by, ok := syntax.ParameterValue(params, "BY"); ok {
		d, _ := syntax.ParseDeliverBy(by)
		minimum := s.offered["DELIVERBY"]
		if limit, ok := syntax.ParseMinimum(minimum); ok && d.Return && d.Within < limit {
			return s.reply(555, "5.5.4", "BY is less than "+minimum+" seconds")
		}
	}
	return ""
}

// noteMail keeps what MAIL asks of the delivery.
func (m *Message) noteMail(params []string) {
	if v, ok := syntax.ParameterValue(params, "MT-PRIORITY"); ok {
		m.Priority, _ = syntax.ParsePriority(v)
	}
	if v, ok := syntax.ParameterValue(params, "HOLDFOR"); ok {
		m.HoldFor, _ = syntax.ParseInterval(v)
	}
	if v, ok := syntax.ParameterValue(params, "HOLDUNTIL"); ok {
		m.HoldUntil, _ = syntax.ParseDateTime(v)
	}
	if v, ok := syntax.ParameterValue(params, "BY"); ok {
		by, _ := syntax.ParseDeliverBy(v)
		m.DeliverBy = DeliverBy(by)
	}
}

// noteRcpt keeps what RCPT asks of the delivery.
func (m *Message) noteRcpt(params []string) {
	v, _ := syntax.ParameterValue(params, "RRVS")
	since, _ := syntax.ParseValidSince(v)
	m.ValidSince = append(m.ValidSince, since)
}
