package submission

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"

	"github.com/fe022423/submission/internal/link"
	"github.com/fe022423/submission/internal/printable"
	"github.com/fe022423/submission/internal/smtpwire"
)

// greetingHint says what to make of a greeting that is none: the reply in its place,
// or why there is no reply.
func (s *Session) greetingHint(r smtpwire.Reply, why *link.Failure) string {
	if why == nil {
		if r.Code == 200 || r.Code == 201 { // RFC 3977, 5.1
			return s.cfg.wrongServer("perhaps an NNTP server")
		}
		return ""
	}
	var syntax *smtpwire.SyntaxError
	switch {
	case errors.As(why.Err, &syntax):
		return s.notGreetingHint(syntax)
	case why.Begun != "":
		return ""
	case why.Kind == link.TimedOut, why.Kind == link.Cancelled && errors.Is(why.Err, context.DeadlineExceeded):
		return s.implicitHint()
	case why.Kind == link.Ended, isReset(why):
		return alternatives(s.implicitHint(), tooManyHint)
	}
	return ""
}

// isReset reports whether the other end broke the connection off.
func isReset(why *link.Failure) bool {
	return why.Kind == link.Failed && isType[*net.OpError](why.Err) && !errors.Is(why.Err, net.ErrClosed)
}

// notGreetingHint says what a server is that begins with what is not a reply.
func (s *Session) notGreetingHint(e *smtpwire.SyntaxError) string {
	if other := s.cfg.otherServerHint(e.Text); other != "" {
		return other
	}
	switch {
	case isTLSRecord(e.Text):
		return s.implicitHint()
	case e.Reason == smtpwire.ReplyChanges && e.Text[0] >= '4':
		hint := "the server broke off its greeting to refuse"
		switch {
		case strings.HasPrefix(e.Text, "421"):
			hint += ": " + tooManyHint
		case e.Text[0] == '5':
			hint += ": perhaps the address of this machine is on a block list"
		}
		return hint
	case e.Reason == smtpwire.BareLF:
		return "the fault is the server's, or of something on the way: lines of SMTP end in CR LF"
	}
	return ""
}

// implicitHint is the advice when a server perhaps waits for TLS; "" under TLS.
func (s *Session) implicitHint() string {
	switch {
	case s.tls != nil:
		return ""
	case s.cfg.port == portSubmissions:
		return "port 465 speaks TLS from the first byte: use TLSImplicit"
	}
	return "if " + s.cfg.placeName() + " speaks TLS from the first byte, use TLSImplicit"
}

// placeName names where the server listens.
func (c *config) placeName() string {
	if c.socket != "" {
		return "this socket"
	}
	return "this port"
}

// helloHint says what to make of refusals of EHLO, whose code is 0 when it was not
// sent, and of the last greeting: EHLO, HELO or LHLO.
func (s *Session) helloHint(ehlo int, last smtpwire.Reply) string {
	unknown := func(code int) bool { return code == 500 || code == 502 }
	if s.cfg.LMTP && unknown(last.Code) {
		return "the server does not know LHLO: perhaps an SMTP server: Options.LMTP is set"
	}
	if unknown(ehlo) && unknown(last.Code) {
		return "the server knows neither EHLO nor HELO: perhaps it is an LMTP server: Options.LMTP"
	}
	if s.namelessRefused(last) {
		return "perhaps because it was greeted as " + s.helloName() + ": set LocalName to the name of this machine"
	}
	return ""
}

// namelessRefused reports whether the server perhaps refuses this machine for the
// address that it was greeted with in place of a name. Before TLS it took that.
func (s *Session) namelessRefused(r smtpwire.Reply) bool {
	if s.cfg.local != "" || s.upgraded {
		return false
	}
	switch r.Code {
	case 421, 501, 504, 550:
		return true
	case 500, 502, 503, 530:
		return false
	}
	text := strings.ToLower(string(r.Text))
	return r.Code >= 400 && (strings.Contains(text, "helo") || strings.Contains(text, "ehlo"))
}

// noStartTLSHint says where TLS may be when STARTTLS is not offered.
func (s *Session) noStartTLSHint() string {
	switch {
	case s.cfg.HELO:
		return "Options.HELO greets with HELO, to which nothing is offered"
	case slices.ContainsFunc(s.cfg.Disable, func(d string) bool { return strings.EqualFold(d, extStartTLS) }):
		return "Options.Disable lists it"
	}
	implicit, without := "", ""
	removed := "something on the way may have removed it"
	switch {
	case s.cfg.socket != "":
		removed = "" // there is nothing on the way
	case s.cfg.port != portSubmissions && !s.cfg.LMTP:
		implicit = "perhaps the server has TLS on port 465: TLSImplicit"
	}
	if keyword := s.ext.struckOut(); keyword != "" && removed != "" {
		removed += ", perhaps a firewall: the server offers " + printable.Text(keyword)
	}
	if s.cfg.auth.IsZero() {
		without = "for a server that is meant to have no TLS there is TLSNone"
	}
	return alternatives(implicit, removed, without)
}

// struckOut returns a keyword that was written over, as firewalls do with what they
// do not like, "" when there is none.
func (e Extensions) struckOut() string {
	for _, x := range e.list {
		if len(x.keyword) == len(extStartTLS) && strings.HasPrefix(x.keyword, "XXXXXX") {
			return x.keyword
		}
	}
	return ""
}
