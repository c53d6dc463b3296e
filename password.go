package submission

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/emersion/go-sasl"
	"github.com/fe022423/submission/internal/mechanism"
)

// Password authenticates with a user name and a password. The zero values of
// all but Username and Password are right for most servers. It prints redacted
// under every verb.
type Password struct {
	Username string
	Password string
	Identity string // the authorization identity; "" means the user's own
	Realm    string // for DIGEST-MD5; "" takes the first the server names, else the host
	Domain   string // for NTLM
	// Mechanisms are those allowed, in order of preference. Nil is PLAIN,
	// LOGIN, DIGEST-MD5 under verified TLS, and DIGEST-MD5 first without.
	Mechanisms []string
}

// mechanisms maps names to constructors, and says which show the secret.
var passwordMechanisms = []struct {
	name string
	make func(mechanism.Credentials) (sasl.Client, error)
}{
	{"PLAIN", mechanism.NewPlain},
	{"LOGIN", mechanism.NewLogin},
	{"DIGEST-MD5", mechanism.NewDigestMD5},
}

// Without TLS a mechanism that hides the password goes first; under TLS one
// that lets the server keep a hash.
var (
	orderTLS   = []string{"PLAIN", "LOGIN", "DIGEST-MD5"}
	orderClear = []string{"DIGEST-MD5", "PLAIN", "LOGIN"}
)

// shows reports whether the mechanism sends a secret that anyone on the way
// could read and use.
func shows(mech string) bool {
	return slices.Contains([]string{"PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER"}, mech)
}

// errNoMechanism says that nothing offered is allowed; the caller of
// Mechanism adds both lists.
var errNoMechanism = errors.New("no mechanism in common")

// Mechanism picks the first allowed mechanism that the server offers.
func (p Password) Mechanism(_ context.Context, s ServerInfo) (sasl.Client, error) {
	order := p.order(s)
	hidden := false
	for _, name := range order {
		name = strings.ToUpper(name)
		if !slices.Contains(s.Mechanisms, name) {
			continue
		}
		if shows(name) && !s.mayShow {
			hidden = true
			continue
		}
		for _, m := range passwordMechanisms {
			if m.name == name {
				return m.make(p.credentials(s.Host))
			}
		}
		return nil, fmt.Errorf("mechanism %s takes no password", name)
	}
	if hidden {
		return nil, ErrInsecureAuth
	}
	return nil, fmt.Errorf("%w: allowed are %s", errNoMechanism, strings.Join(order, " "))
}

// order is the mechanisms that are allowed, in order of preference.
func (p Password) order(s ServerInfo) []string {
	switch {
	case p.Mechanisms != nil:
		return p.Mechanisms
	case s.verified:
		return orderTLS
	}
	return orderClear
}

func (p Password) credentials(host string) mechanism.Credentials {
	return mechanism.Credentials{
		Username: p.Username, Password: mechanism.NewSecret(p.Password), Identity: p.Identity,
		Realm: p.Realm, Domain: p.Domain, Host: host,
	}
}

// known tells the secret from the user name, which may show.
func (p Password) known() (secret, user string) { return p.Password, p.Username }

// String returns the user name, with *** for the password.
func (p Password) String() string { return fmt.Sprintf("Password{%q ***}", p.Username) }

// Format writes String, whatever the verb.
func (p Password) Format(f fmt.State, _ rune) { io.WriteString(f, p.String()) }

// LogValue is String, for slog.
func (p Password) LogValue() slog.Value { return slog.StringValue(p.String()) }

// MarshalText is String, for JSON and other encodings.
func (p Password) MarshalText() ([]byte, error) { return []byte(p.String()), nil }
