package submission

import (
	"errors"
	"slices"
	"strings"

	"github.com/emersion/go-sasl"
	"github.com/fe022423/submission/internal/mechanism"
)

// authFacts is what a hint needs to know of the session. The zero value knows
// nothing and forbids nothing.
type authFacts struct {
	underTLS bool
	hides    bool   // a password must not be shown over this connection
	insecure string // what to do where a secret is not sent
}

// noteAuth gives an error of AUTH the facts for its hint.
func (s *Session) noteAuth(err error) error {
	var e *AuthError
	if errors.As(err, &e) {
		mayShow := s.verified || s.cfg.InsecureAuth || s.local
		e.facts = authFacts{underTLS: s.tls != nil, hides: !mayShow, insecure: s.insecureHint()}
	}
	return err
}

// insecureHint says what to do where a secret is not sent because nobody knows who
// would read it.
func (s *Session) insecureHint() string {
	switch {
	case s.tls != nil && s.cfg.tlsConfig.InsecureSkipVerify && !s.adopted:
		return "with TLSConfig.InsecureSkipVerify nobody knows who the server is: trust its key with PinnedKeys instead; " +
			"InsecureAuth sends the secret to whoever it is"
	case s.tls != nil:
		return "the TLS of this connection did not verify the server: trust its key with PinnedKeys; " +
			"InsecureAuth sends the secret to whoever it is"
	case s.cfg.TLS == TLSOpportunistic && s.ext.Has(extStartTLS):
		return "the server refused STARTTLS; perhaps it has TLS on port 465: TLSImplicit"
	case s.cfg.TLS == TLSOpportunistic:
		return "the server does not offer STARTTLS; perhaps it has TLS on port 465: TLSImplicit"
	}
	return "use TLSStartTLS or TLSImplicit"
}

// hint says what to make of a failure of AUTH, "" when that is not known.
func (e *AuthError) hint() string {
	switch {
	case errors.Is(e.Err, ErrInsecureAuth):
		return e.facts.insecure
	case e.told && !takesPassword(e.Mechanism): // SCRAM names the cause
		return credentialsHint(e.Mechanism)
	case e.Reply == nil:
		return ""
	}
	var hints []string
	for _, h := range []string{e.refusalHint(), e.alsoOffered()} {
		if h != "" {
			hints = append(hints, h)
		}
	}
	return strings.Join(hints, "; ")
}

// authMeaning is what a refusal of AUTH is about.
type authMeaning uint8

const (
	meansOther authMeaning = iota // only the server's words tell
	meansCredentials
	meansAnotherWay
	meansTLS
	meansNewPassword
	meansLater
)

// meaning says what a refusal of AUTH is about: by its enhanced code where it has
// one (RFC 5248, and RFC 4954, 6), or else by its code.
func (e *AuthError) meaning() authMeaning {
	code, enhanced := e.Reply.Code, e.Reply.Enhanced
	if code == 454 {
		switch enhanced {
		case EnhancedCode{}, EnhancedCode{4, 7, 0}, EnhancedCode{4, 7, 8}:
			return meansLater
		}
	}
	if enhanced != (EnhancedCode{}) {
		return map[EnhancedCode]authMeaning{
			{5, 7, 8}: meansCredentials, {5, 7, 9}: meansAnotherWay, {5, 7, 10}: meansTLS, {5, 7, 11}: meansTLS,
			{4, 7, 12}: meansNewPassword, {5, 7, 12}: meansNewPassword,
		}[enhanced]
	}
	return map[int]authMeaning{530: meansTLS, 534: meansAnotherWay, 535: meansCredentials, 538: meansTLS}[code]
}

func (e *AuthError) refusalHint() string {
	switch e.meaning() {
	case meansCredentials:
		return credentialsHint(e.Mechanism)
	case meansAnotherWay:
		hint := "the server wants another way to log in"
		if takesPassword(e.Mechanism) {
			hint += ", often an app password or OAuth 2.0"
		}
		return hint
	case meansTLS:
		if !e.facts.underTLS {
			return "the server wants TLS first: TLSStartTLS or TLSImplicit"
		}
	case meansNewPassword:
		return "the server wants the password changed first"
	case meansLater:
		return "a temporary failure of the server, or the credentials"
	}
	return ""
}

// credentialsHint says which credentials the server refused, "" where the
// mechanism does not tell.
func credentialsHint(mech string) string {
	switch {
	case mech == mechanism.XOAuth2 || mech == sasl.OAuthBearer:
		return "the token was refused: perhaps it is expired, or of another scope or user"
	case takesPassword(mech):
		return "user name or password wrong"
	}
	return ""
}

func takesPassword(mech string) bool {
	for _, m := range passwordMechanisms {
		if m.name == mech {
			return true
		}
	}
	return false
}

// alsoOffered names the mechanisms that show the password, where one was refused
// for which the server must store the password in a form that it perhaps has not.
func (e *AuthError) alsoOffered() string {
	refused := e.meaning() == meansCredentials || e.meaning() == meansOther && e.Reply.Enhanced == EnhancedCode{}
	if !refused || !e.Reply.Permanent() || e.facts.hides || !takesPassword(e.Mechanism) || mechanism.ShowsSecret(e.Mechanism) {
		return ""
	}
	var others []string
	for _, m := range e.Offered {
		if slices.Contains([]string{sasl.Plain, sasl.Login}, m) {
			others = append(others, m)
		}
	}
	if others == nil {
		return ""
	}
	return "also offered: " + strings.Join(others, " ") + " (Password.Mechanisms)"
}
