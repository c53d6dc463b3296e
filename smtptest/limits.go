package smtptest

import (
	"strconv"
	"strings"
)

// A Server keeps to the limits that it offers with LIMITS (RFC 9422).

// limit returns a limit that was offered: a number of up to six digits that does not begin
// with 0. It is 0 for none.
func (s *session) limit(name string) int {
	for limit := range strings.FieldsSeq(s.offered["LIMITS"]) {
		key, value, _ := strings.Cut(limit, "=")
		n, err := strconv.ParseUint(value, 10, 32)
		if err == nil && value[0] != '0' && len(value) <= 6 && strings.EqualFold(key, name) {
			return int(n)
		}
	}
	return 0
}

// beyondMailLimit returns the reply to a MAIL of which there are too many, or "".
func (s *session) beyondMailLimit() string {
	if limit := s.limit("MAILMAX"); limit > 0 && s.mails >= limit {
		return s.reply(452, "4.5.0", "no more than "+strconv.Itoa(limit)+" messages over this session")
	}
	return ""
}

// beyondRcptLimit returns the reply to a recipient in a domain, if there are too many of
// them, or "".
func (s *session) beyondRcptLimit(domain string) string {
	if limit := s.limit("RCPTMAX"); limit > 0 && len(s.msg.To) >= limit {
		return s.reply(452, "4.5.3", "too many recipients")
	}
	limit := s.limit("RCPTDOMAINMAX")
	if known := s.domains[domain]; limit > 0 && !known && len(s.domains) >= limit {
		return s.reply(452, "4.5.3", "too many domains")
	}
	return ""
}

// noteDomain counts the domain of a recipient that was accepted.
func (s *session) noteDomain(domain string) {
	if s.domains == nil {
		s.domains = map[string]bool{}
	}
	s.domains[domain] = true
}

// domainOf returns the domain of a path in lower case.
func domainOf(path string) string {
	return strings.ToLower(path[strings.LastIndexByte(path, '@')+1:])
}
