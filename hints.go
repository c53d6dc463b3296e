package submission

import (
	"errors"
	"slices"
	"strings"

	"github.com/fe022423/submission/internal/hint"
)

// Hints are read at night: each says what probably is wrong and the one thing to
// try, with the name of the option. A hint must never be wrong. Where the cause is
// not certain it says "perhaps", or there is none. It never advises to give up TLS
// first. The hints of each error type are in a file of their own.

// otherServers are servers that take no mail, by how they begin.
var otherServers = []struct{ begin, what string }{
	{"* OK", "an IMAP server"},
	{"* PREAUTH", "an IMAP server"},
	{"* BYE", "an IMAP server"},
	{"+OK", "a POP3 server"},
	{"-ERR", "a POP3 server"},
	{`"IMPLEMENTATION"`, "a ManageSieve server"},
	{"HTTP/", "an HTTP server"},
	{"<html", "an HTTP server"},
	{"<!doctype", "an HTTP server"},
	{"SSH-", "an SSH server"},
}

// shortestBegin is how much of a beginning has to be there, in octets.
const shortestBegin = 3

// otherServerHint names what speaks like this, "" when it is not known. said may be
// no more than the first octets.
func (c *config) otherServerHint(said string) string {
	for _, s := range otherServers {
		n := min(len(said), len(s.begin))
		if n >= shortestBegin && strings.EqualFold(said[:n], s.begin[:n]) {
			return c.wrongServer(s.what)
		}
	}
	return ""
}

// wrongServer says that a server is not one that takes mail.
func (c *config) wrongServer(what string) string {
	check := "check the host and the port; mail is usually submitted to port 587 or 465"
	switch {
	case c.socket != "":
		check = "check the path of the socket"
	case c.LMTP:
		check = "check the host and the port"
	}
	return "this is " + what + ": " + check
}

// isTLSRecord reports whether text begins like a record of TLS.
func isTLSRecord(text string) bool {
	return text != "" && text[0] >= 20 && text[0] <= 23 && (len(text) == 1 || text[1] == 3)
}

// alternatives joins hints of which each may be the one.
func alternatives(hints ...string) string {
	var given []string
	for _, h := range hints {
		if h != "" {
			given = append(given, h)
		}
	}
	return strings.Join(given, "; or ")
}

// tooManyHint is the advice when a server ends a connection at once.
const tooManyHint = "perhaps too many connections are open: PoolOptions.MaxSessions"

// noteAuth gives an error of AUTH what its hint says of the connection.
func (s *Session) noteAuth(err error) error {
	var e *AuthError
	if errors.As(err, &e) {
		e.over = &hint.Channel{
			TLS: s.tls != nil, SkipsVerify: s.cfg.tlsConfig.InsecureSkipVerify && !s.adopted,
			MayShow:       s.verified || s.cfg.InsecureAuth || s.local,
			Opportunistic: s.cfg.TLS == TLSOpportunistic, OffersStartTLS: s.ext.Has(extStartTLS),
		}
	}
	return err
}

// hint says what to make of a failure of AUTH, "" when that is not known.
func (e *AuthError) hint() string {
	facts := hint.Auth{
		Mechanism: e.Mechanism, TakesPassword: takesPassword(e.Mechanism), Offered: e.Offered,
		Told: e.told, Unsent: errors.Is(e.Err, ErrInsecureAuth), Over: e.over,
	}
	if e.Reply != nil {
		facts.Reply = e.Reply.facts()
	}
	return facts.Hint()
}

// hint says what to make of the refusal that e is about, "" when that is not known.
func (v *verdict) hint(e *SendError) string {
	if e.Reply == nil || v.attempt.refused != nil || e.Stage < StageMail || e.Stage > StageFinal {
		return ""
	}
	return hint.Send{
		Reply: e.Reply.facts(), Text: e.Reply.String(),
		ToMail: e.Stage == StageMail, ToRcpt: e.Stage == StageRcpt,
		Pipelining: v.attempt.Mode.Pipelining, EightBit: v.attempt.body == Body8BitMIME,
		MailParams: v.mailParams(), RcptParams: v.rcptParams(), Unasked: v.unaskedParams(),
	}.Hint()
}

// facts are what a hint needs to know of a reply.
func (r *Reply) facts() hint.Reply { return hint.Reply{Code: r.Code, Enhanced: r.Enhanced} }

// mailParams returns the parameters that MAIL was sent with.
func (v *verdict) mailParams() string {
	line := v.attempt.AppendMail(nil)
	return strings.TrimSpace(string(line[len(v.plan.at(v.plan.mail)):]))
}

// rcptParams returns the parameters that the recipient was asked for with whose
// refusal came first.
func (v *verdict) rcptParams() string {
	i := v.attempt.FirstRefused()
	if i < 0 {
		return ""
	}
	return strings.TrimSpace(string(v.plan.at(v.plan.rcpts[i].options)))
}

// unaskedParams returns the keywords of the parameters that MAIL was sent with although
// nobody asked for them.
func (v *verdict) unaskedParams() []string {
	var unasked []string
	if asked := v.plan.env.Body; v.attempt.body != "" && !slices.Contains([]BodyType{Body8BitMIME, BodyBinaryMIME}, asked) {
		unasked = append(unasked, ext8BitMIME)
	}
	if v.attempt.size > 0 {
		unasked = append(unasked, extSize)
	}
	return unasked
}
