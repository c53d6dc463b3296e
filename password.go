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
	"github.com/fe022423/submission/internal/redact"
)

// Password authenticates with a user name and a password. The other fields can
// stay empty for most servers. It prints without the password under every verb of
// package fmt, in slog and in JSON. One exception: package fmt calls no methods on
// an unexported field. If your own struct holds a Password in one, hold a *Password.
type Password struct {
	Username string
	Password string
	Identity string // the user to act as (authorization identity); "" means Username
	Realm    string // for DIGEST-MD5; "" takes the server's first realm, or the host when it names none
	Domain   string // for NTLM
	// Mechanisms are the allowed mechanisms in order of preference. Nil means, with
	// verified TLS: SCRAM (with channel binding where the connection has one, the
	// longest hash first), PLAIN, LOGIN, CRAM-MD5, DIGEST-MD5, NTLM. Without it:
	// SCRAM, DIGEST-MD5, CRAM-MD5, NTLM, and PLAIN and LOGIN only where
	// ServerInfo.MayShow allows them.
	Mechanisms []string
}

// passwordMechanisms are the mechanisms that need a password.
var passwordMechanisms = []struct {
	name string
	make func(mechanism.Credentials) (sasl.Client, error)
}{
	{mechanism.ScramSHA512Plus, mechanism.NewScramSHA512Plus},
	{mechanism.ScramSHA256Plus, mechanism.NewScramSHA256Plus},
	{mechanism.ScramSHA1Plus, mechanism.NewScramSHA1Plus},
	{mechanism.ScramSHA512, mechanism.NewScramSHA512},
	{mechanism.ScramSHA256, mechanism.NewScramSHA256},
	{mechanism.ScramSHA1, mechanism.NewScramSHA1},
	{sasl.Plain, mechanism.NewPlain},
	{sasl.Login, mechanism.NewLogin},
	{mechanism.CramMD5, mechanism.NewCramMD5},
	{mechanism.DigestMD5, mechanism.NewDigestMD5},
	{mechanism.NTLM, mechanism.NewNTLM},
}

// takesPassword reports whether a mechanism, in upper case, needs a password.
func takesPassword(mech string) bool {
	for _, m := range passwordMechanisms {
		if m.name == mech {
			return true
		}
	}
	return false
}

var orderSCRAM = []string{
	mechanism.ScramSHA512Plus, mechanism.ScramSHA256Plus, mechanism.ScramSHA1Plus,
	mechanism.ScramSHA512, mechanism.ScramSHA256, mechanism.ScramSHA1,
}

// Without TLS a mechanism that hides the password goes first; under TLS one
// that lets the server keep a hash.
var (
	orderTLS   = append(slices.Clone(orderSCRAM), sasl.Plain, sasl.Login, mechanism.CramMD5, mechanism.DigestMD5, mechanism.NTLM)
	orderClear = append(slices.Clone(orderSCRAM), mechanism.DigestMD5, mechanism.CramMD5, mechanism.NTLM, sasl.Plain, sasl.Login)
)

// errNoMechanism says that the server offers no mechanism that is allowed. The
// caller of Mechanism adds what is offered.
var errNoMechanism = errors.New("no mechanism in common")

// Mechanism picks the first allowed mechanism that the server offers, that may be
// used on this connection, and that supports the fields of p that are set.
func (p Password) Mechanism(_ context.Context, s ServerInfo) (sasl.Client, error) {
	if err := lineBreak(p.Username, p.Password); err != nil {
		return nil, err // New cannot see it inside another Auth
	}
	var first error // why the best one could not be used
	order, cred := p.order(s), p.credentials(s)
	for _, name := range order {
		name = strings.ToUpper(name)
		if !slices.Contains(s.Mechanisms, name) || strings.HasSuffix(name, "-PLUS") && cred.Binding.Type == "" {
			continue
		}
		client, err := passwordClient(name, cred)
		if mechanism.ShowsSecret(name) && !s.mayShow {
			err = ErrInsecureAuth
		}
		if err == nil {
			return &authClient{Client: client, secret: p.secret(), public: p.Username}, nil
		}
		if first == nil {
			first = err
		}
	}
	if first == nil {
		first = fmt.Errorf("%w: allowed are %s", errNoMechanism, strings.Join(order, " "))
	}
	return nil, first
}

func passwordClient(name string, cred mechanism.Credentials) (sasl.Client, error) {
	for _, m := range passwordMechanisms {
		if m.name == name {
			return m.make(cred)
		}
	}
	return nil, fmt.Errorf("mechanism %s takes no password", name)
}

// order returns the allowed mechanisms in order of preference.
func (p Password) order(s ServerInfo) []string {
	switch {
	case p.Mechanisms != nil:
		return p.Mechanisms
	case s.verified:
		return orderTLS
	}
	return orderClear
}

func (p Password) credentials(s ServerInfo) mechanism.Credentials {
	return mechanism.Credentials{
		Username: p.Username, Password: redact.Hide(p.Password), Identity: p.Identity,
		Realm: p.Realm, Domain: p.Domain, Host: s.Host, Port: s.Port,
		Binding: mechanism.ChannelBinding(s.TLS), Offered: slices.Concat(s.offered, s.Mechanisms),
	}
}

// secret returns what nobody may see.
func (p Password) secret() redact.Secret { return redact.Hide(p.Password) }

// String returns the user name, with *** for the password.
func (p Password) String() string { return fmt.Sprintf("Password{%q ***}", p.Username) }

// Format writes String, whatever the verb.
func (p Password) Format(f fmt.State, _ rune) { io.WriteString(f, p.String()) }

// LogValue returns String, for slog.
func (p Password) LogValue() slog.Value { return slog.StringValue(p.String()) }

// MarshalText returns String, for JSON and other encodings.
func (p Password) MarshalText() ([]byte, error) { return []byte(p.String()), nil }
