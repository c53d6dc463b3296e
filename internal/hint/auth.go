package hint

import (
	"slices"
	"strings"
)

// Auth is a failure of AUTH.
type Auth struct {
	Mechanism     string
	TakesPassword bool     // the mechanism needs a password
	Offered       []string // what the server offers
	Reply                  // the refusal
	Told          bool     // the server gave its reason within the mechanism
	Unsent        bool     // the mechanism would have shown a secret, which was not allowed
	Over          *Channel // nil when nothing is known of it, which forbids nothing
}

// Channel is what carries the secrets of AUTH.
type Channel struct {
	TLS            bool
	SkipsVerify    bool // by TLSConfig.InsecureSkipVerify
	MayShow        bool // a password may be shown
	Opportunistic  bool // the mode is TLSOpportunistic
	OffersStartTLS bool
}

// Hint says what to make of the failure, "" when that is not known.
func (a Auth) Hint() string {
	switch {
	case a.Unsent:
		return a.Over.insecureHint()
	case a.Told && !a.TakesPassword: // SCRAM names the cause
		return a.credentialsHint()
	case a.Code == 0:
		return ""
	}
	var hints []string
	for _, h := range []string{a.refusalHint(), a.alsoOffered()} {
		if h != "" {
			hints = append(hints, h)
		}
	}
	return strings.Join(hints, "; ")
}

// insecureHint says what to do where a secret is not sent because nobody knows who
// would read it.
func (c *Channel) insecureHint() string {
	switch {
	case c == nil:
		return ""
	case c.TLS && c.SkipsVerify:
		return "with TLSConfig.InsecureSkipVerify nobody knows who the server is: trust its key with PinnedKeys instead; " +
			"InsecureAuth sends the secret to whoever it is"
	case c.TLS:
		return "the TLS of this connection did not verify the server: trust its key with PinnedKeys; " +
			"InsecureAuth sends the secret to whoever it is"
	case c.Opportunistic && c.OffersStartTLS:
		return "the server refused STARTTLS; perhaps it has TLS on port 465: TLSImplicit"
	case c.Opportunistic:
		return "the server does not offer STARTTLS; perhaps it has TLS on port 465: TLSImplicit"
	}
	return "use TLSStartTLS or TLSImplicit"
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
func (a Auth) meaning() authMeaning {
	code, enhanced := a.Code, a.Enhanced
	if code == 454 {
		switch enhanced {
		case [3]int{}, [3]int{4, 7, 0}, [3]int{4, 7, 8}:
			return meansLater
		}
	}
	if enhanced != ([3]int{}) {
		return map[[3]int]authMeaning{
			{5, 7, 8}: meansCredentials, {5, 7, 9}: meansAnotherWay, {5, 7, 10}: meansTLS, {5, 7, 11}: meansTLS,
			{4, 7, 12}: meansNewPassword, {5, 7, 12}: meansNewPassword,
		}[enhanced]
	}
	return map[int]authMeaning{530: meansTLS, 534: meansAnotherWay, 535: meansCredentials, 538: meansTLS}[code]
}

// refusalHint says what the reply of the server is about.
func (a Auth) refusalHint() string {
	switch a.meaning() {
	case meansCredentials:
		return a.credentialsHint()
	case meansAnotherWay:
		hint := "the server wants another way to log in"
		if a.TakesPassword {
			hint += ", often an app password or OAuth 2.0"
		}
		return hint
	case meansTLS:
		if a.Over == nil || !a.Over.TLS {
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
func (a Auth) credentialsHint() string {
	switch {
	case a.Mechanism == "XOAUTH2" || a.Mechanism == "OAUTHBEARER":
		return "the token was refused: perhaps it is expired, or of another scope or user"
	case a.TakesPassword:
		return "user name or password wrong"
	}
	return ""
}

// showing are the mechanisms that show the password.
var showing = []string{"PLAIN", "LOGIN"}

// alsoOffered names the mechanisms that show the password, where one was refused
// for which the server must store the password in a form that it perhaps has not.
func (a Auth) alsoOffered() string {
	refused := a.meaning() == meansCredentials || a.meaning() == meansOther && a.Enhanced == [3]int{}
	if !refused || !a.permanent() || a.Over != nil && !a.Over.MayShow || !a.TakesPassword || slices.Contains(showing, a.Mechanism) {
		return ""
	}
	var others []string
	for _, m := range a.Offered {
		if slices.Contains(showing, m) {
			others = append(others, m)
		}
	}
	if others == nil {
		return ""
	}
	return "also offered: " + strings.Join(others, " ") + " (Password.Mechanisms)"
}
