package hint

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

// Greeting is what came in place of a greeting.
type Greeting struct {
	Server
	TLS  bool          // it was awaited under TLS
	Code int           // of the reply in its place
	Lost *link.Failure // why there is no reply, nil when there is one
}

// Hint says what to make of it, "" when that is not known.
func (g Greeting) Hint() string {
	if g.Lost == nil {
		if g.Code == 200 || g.Code == 201 { // RFC 3977, 5.1
			return g.wrongServer("perhaps an NNTP server")
		}
		return ""
	}
	var syntax *smtpwire.SyntaxError
	switch why := g.Lost; {
	case errors.As(why.Err, &syntax):
		return g.notGreetingHint(syntax)
	case why.Begun != "":
		return ""
	case why.Kind == link.TimedOut, why.Kind == link.Cancelled && errors.Is(why.Err, context.DeadlineExceeded):
		return g.implicitHint()
	case why.Kind == link.Ended, isReset(why):
		return alternatives(g.implicitHint(), tooMany)
	}
	return ""
}

// isReset reports whether the other end broke the connection off.
func isReset(why *link.Failure) bool {
	var op *net.OpError
	return why.Kind == link.Failed && errors.As(why.Err, &op) && !errors.Is(why.Err, net.ErrClosed)
}

// notGreetingHint says what a server is that begins with what is not a reply.
func (g Greeting) notGreetingHint(e *smtpwire.SyntaxError) string {
	if other := g.otherServer(e.Text); other != "" {
		return other
	}
	switch {
	case isTLSRecord(e.Text):
		return g.implicitHint()
	case e.Reason == smtpwire.ReplyChanges && e.Text[0] >= '4':
		hint := "the server broke off its greeting to refuse"
		switch {
		case strings.HasPrefix(e.Text, "421"):
			hint += ": " + tooMany
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
func (g Greeting) implicitHint() string {
	switch {
	case g.TLS:
		return ""
	case g.Port == portSubmissions:
		return "port 465 speaks TLS from the first byte: use TLSImplicit"
	}
	return "if " + g.placeName() + " speaks TLS from the first byte, use TLSImplicit"
}

// placeName names where the server listens.
func (s Server) placeName() string {
	if s.Socket {
		return "this socket"
	}
	return "this port"
}

// Hello is a refusal of EHLO, HELO or LHLO.
type Hello struct {
	Server
	EHLO     int    // the code of the reply to EHLO, when HELO was sent after it
	Code     int    // of the reply to the last of them
	Name     string // their argument
	Nameless bool   // the server perhaps refuses this machine because it gave no name
}

// Hint says what to make of the refusal, "" when that is not known.
func (h Hello) Hint() string {
	unknown := func(code int) bool { return code == 500 || code == 502 }
	if h.LMTP && unknown(h.Code) {
		return "the server does not know LHLO: perhaps an SMTP server: Options.LMTP is set"
	}
	if unknown(h.EHLO) && unknown(h.Code) {
		return "the server knows neither EHLO nor HELO: perhaps it is an LMTP server: Options.LMTP"
	}
	if h.Nameless {
		return "perhaps because it was greeted as " + h.Name + ": set LocalName to the name of this machine"
	}
	return ""
}

// NoStartTLS is a server that does not offer STARTTLS.
type NoStartTLS struct {
	Server
	HELO    bool     // Options.HELO
	Disable []string // Options.Disable
	Auth    bool     // there are credentials
	Offered []string // the keywords of the reply to EHLO
}

const startTLS = "STARTTLS"

// Hint says where TLS may be.
func (n NoStartTLS) Hint() string {
	switch {
	case n.HELO:
		return "Options.HELO greets with HELO, to which nothing is offered"
	case slices.ContainsFunc(n.Disable, func(d string) bool { return strings.EqualFold(d, startTLS) }):
		return "Options.Disable lists it"
	}
	implicit, without := "", ""
	removed := "something on the way may have removed it"
	switch {
	case n.Socket:
		removed = "" // there is nothing on the way
	case n.Port != portSubmissions && !n.LMTP:
		implicit = "perhaps the server has TLS on port 465: TLSImplicit"
	}
	if keyword := n.struckOut(); keyword != "" && removed != "" {
		removed += ", perhaps a firewall: the server offers " + printable.Text(keyword)
	}
	if !n.Auth {
		without = "for a server that is meant to have no TLS there is TLSNone"
	}
	return alternatives(implicit, removed, without)
}

// struckOut returns a keyword that was written over, as firewalls do with what they
// do not like, "" when there is none.
func (n NoStartTLS) struckOut() string {
	for _, keyword := range n.Offered {
		if len(keyword) == len(startTLS) && strings.HasPrefix(keyword, "XXXXXX") {
			return keyword
		}
	}
	return ""
}
