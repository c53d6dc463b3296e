package submission

import (
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/fe022423/submission/internal/hint"
	"github.com/fe022423/submission/internal/smtpwire"
)

// What an error advises is worded in internal/hint. Here are the facts that it is given,
// where they are not put together beside the error.

// reached is how the server is reached.
func (c *config) reached() hint.Server {
	return hint.Server{Port: c.port, Socket: c.socket != "", LMTP: c.LMTP}
}

// helloHint says what to make of refusals of EHLO, whose code is 0 when HELO was not
// sent after it, and of the last greeting: EHLO, HELO or LHLO.
func (s *Session) helloHint(name string, ehlo int, last smtpwire.Reply) string {
	return hint.Hello{Server: s.cfg.reached(), EHLO: ehlo, Code: last.Code, Name: name, Nameless: s.namelessRefused(last)}.Hint()
}

// tlsError wraps a failed handshake and says what to do about it.
func (s *Session) tlsError(err error) error {
	var lost *linkError
	facts := hint.TLS{
		Server: s.cfg.reached(), Config: s.cfg.tlsConfig, Err: err, NoPin: errors.Is(err, errPin),
		Greeted: s.greeted, Mute: s.mute, Answered: s.answered, Adopted: s.adopted,
		Ended: errors.As(err, &lost) && lost.ended, NoRoots: noRoots, Now: time.Now,
	}
	if alert := alertIn(err); alert != nil {
		facts.Alert = alert.Err
	}
	if clock := s.cfg.tlsConfig.Time; clock != nil {
		facts.Now = clock
	}
	return &TLSError{Host: s.cfg.host, addr: s.cfg.addr(), Hint: facts.Hint(), Err: err}
}

// noRoots reports whether this machine has no CA certificates.
func noRoots() bool {
	system, err := x509.SystemCertPool()
	return err != nil || system.Equal(x509.NewCertPool())
}

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
