package submission

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"net/netip"
	"slices"
	"strings"

	"github.com/emersion/go-sasl"
	"github.com/fe022423/submission/internal/mechanism"
	"github.com/fe022423/submission/internal/smtpwire"
)

// Auth picks the SASL mechanism for one session. It may block, to fetch a token
// for instance, within ctx. When the server refuses a mechanism with 504 or 534,
// as unknown or too weak, Mechanism is called again with a ServerInfo that does
// not list it any more. An error ends the attempt. An Auth must be safe for
// concurrent use; the client it returns serves one session.
//
// A client that proves the server too should also have a method
// Complete() error: a 235 that comes before it returns nil is ErrServerProof.
// Mechanisms that show the secret (PLAIN, LOGIN, XOAUTH2, OAUTHBEARER) are only
// used where ServerInfo.MayShow allows it, whoever made the client.
type Auth interface {
	Mechanism(ctx context.Context, s ServerInfo) (sasl.Client, error)
}

// AuthFunc is a function that is an Auth.
type AuthFunc func(ctx context.Context, s ServerInfo) (sasl.Client, error)

// Mechanism calls f.
func (f AuthFunc) Mechanism(ctx context.Context, s ServerInfo) (sasl.Client, error) { return f(ctx, s) }

// ServerInfo is what an Auth may know about the session.
type ServerInfo struct {
	Host       string               // as the caller named it, in A-labels
	Port       int                  // 0 when the connection has none
	Mechanisms []string             // offered and not yet refused, upper case, the server's order
	TLS        *tls.ConnectionState // nil in clear text

	verified bool
	mayShow  bool
}

// MayShow reports whether the secret may be sent to the server readable: over
// verified TLS, to this machine, or by leave of Options.InsecureAuth.
func (s ServerInfo) MayShow() bool { return s.mayShow }

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
	order := p.Mechanisms
	if order == nil {
		order = orderClear
		if s.verified {
			order = orderTLS
		}
	}
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

// Limits on the exchange. The longest honest challenges are NTLM's and
// GSSAPI's, of some thousand octets in two or three rounds.
const (
	maxChallenge = 12288 // of a 334's text (RFC 4954, 4.1)
	maxRounds    = 16
)

// Codes of RFC 4954 that decide how to go on.
const (
	codeAuthenticated = 235
	codeContinue      = 334
	codeNoMechanism   = 504
	codeWeakMechanism = 534
)

// authenticate tries mechanisms until one is accepted or refused for good: 504
// and 534 are about the mechanism, anything else is about the credentials, which
// are not tried twice.
func (s *Session) authenticate(ctx context.Context, auth Auth) error {
	offered := s.ext.Mechanisms()
	info := ServerInfo{
		Host: s.cfg.host, Port: s.cfg.port, Mechanisms: slices.Clone(offered), TLS: s.tls,
		verified: s.verified, mayShow: s.verified || s.cfg.InsecureAuth || s.local(),
	}
	if !s.ext.Has(extAuth) {
		err := fmt.Errorf("%w: AUTH", ErrUnsupported)
		if s.tls == nil {
			err = fmt.Errorf("%w (perhaps only under TLS)", err)
		}
		return &AuthError{Err: err}
	}
	if p, ok := auth.(interface{ known() (secret, user string) }); ok {
		secret, user := p.known()
		s.c.hide(secret)
		s.c.plain = user
	}
	s.c.authing = true
	defer func() { s.c.authing = false }()
	var refused *AuthError
	for {
		client, err := auth.Mechanism(ctx, info)
		if err != nil {
			if refused != nil {
				return refused
			}
			if errors.Is(err, errNoMechanism) {
				err = fmt.Errorf("%w, offered are %s", err, cmp.Or(strings.Join(offered, " "), "none"))
			}
			return &AuthError{Offered: offered, Err: err}
		}
		err = s.exchange(client, info)
		if err == nil {
			return nil
		}
		failed := asAuthError(err)
		failed.Offered = offered
		if failed.Reply == nil || failed.Reply.Code != codeNoMechanism && failed.Reply.Code != codeWeakMechanism {
			return failed
		}
		refused = failed
		left := slices.DeleteFunc(slices.Clone(info.Mechanisms), func(m string) bool { return m == failed.Mechanism })
		if len(left) == len(info.Mechanisms) {
			return failed // one the server never listed: asking again cannot end
		}
		info.Mechanisms = left
	}
}

func asAuthError(err error) *AuthError {
	if e, ok := err.(*AuthError); ok {
		return e
	}
	return &AuthError{Err: err}
}

// local reports whether the connection does not leave this machine. What a
// dialer of the caller's returned may be a tunnel, so there the host must say it too.
func (s *Session) local() bool {
	addr := s.c.raw.RemoteAddr()
	switch addr.Network() {
	case "pipe", "unix":
		return true
	}
	ap, err := netip.ParseAddrPort(addr.String())
	if err != nil || !ap.Addr().Unmap().IsLoopback() {
		return false
	}
	if !s.cfg.foreign {
		return true
	}
	ip, err := netip.ParseAddr(s.cfg.host)
	return s.cfg.host == "localhost" || err == nil && ip.IsLoopback()
}

// exchange runs one mechanism (RFC 4954, 4).
func (s *Session) exchange(client sasl.Client, info ServerInfo) error {
	name, initial, err := client.Start()
	if err != nil {
		return &AuthError{Mechanism: name, Err: err}
	}
	name = strings.ToUpper(name)
	if shows(name) && !info.mayShow {
		return &AuthError{Mechanism: name, Err: ErrInsecureAuth}
	}
	if !isMechanism(name) {
		return &AuthError{Err: errors.New("the mechanism's name is malformed")}
	}
	x := &saslExchange{c: s.c, name: name, client: client}
	return x.run(initial)
}

// isMechanism checks a mechanism name (RFC 4422, 3.1).
func isMechanism(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isAlnum(c) && c != '-' && c != '_' {
			return false
		}
	}
	return s != "" && len(s) <= 20
}

// saslExchange is one AUTH command and what follows it.
type saslExchange struct {
	c      *conn
	name   string
	client sasl.Client
}

func (x *saslExchange) run(initial []byte) error {
	c := x.c
	if err := c.idle(StageAuth); err != nil {
		return x.fail(smtpwire.Reply{}, err)
	}
	shown, secret, withheld := "AUTH "+x.name, "", false
	if initial != nil {
		secret = "=" // RFC 4954, 4: an initial response of no octets
		if len(initial) > 0 {
			secret = c.hideResponse(initial)
		}
		if withheld = len(shown)+1+len(secret)+2 > smtpwire.MaxCommandLine; withheld {
			secret = ""
		} else {
			shown += " "
		}
	}
	r, err := x.say(shown, secret)
	for round := 1; err == nil && r.Code == codeContinue; round++ {
		if round > maxRounds {
			return x.cancel(fmt.Errorf("more than %d challenges", maxRounds))
		}
		challenge, cerr := decodeChallenge(r.Text)
		if cerr != nil {
			return x.cancel(cerr)
		}
		response := initial
		if !withheld {
			if response, cerr = x.client.Next(challenge); cerr != nil {
				return x.cancel(cerr)
			}
		}
		withheld = false
		r, err = x.say("", c.hideResponse(response))
	}
	if err == nil && r.Code == codeAuthenticated {
		err = x.complete(withheld)
	} else if err == nil && r.Code < 400 {
		err = c.breakUp(&ProtocolError{Stage: StageAuth, Text: "unexpected " + c.public(r).String()})
	}
	if err == nil && r.Code == codeAuthenticated {
		err = c.settled(StageAuth)
		if err == nil {
			return nil
		}
	}
	return x.fail(r, err)
}

// say sends one line of the exchange.
func (x *saslExchange) say(shown, secret string) (smtpwire.Reply, error) {
	if err := x.c.settled(StageAuth); err != nil {
		return smtpwire.Reply{}, err
	}
	if err := x.c.secretLine(shown, secret); err != nil {
		return smtpwire.Reply{}, err
	}
	x.c.flush()
	return x.c.reply(StageAuth, x.c.cfg.Timeouts.Command)
}

// complete asks the mechanism whether success may be believed. A server that
// claims it too early has not earned another octet.
func (x *saslExchange) complete(withheld bool) error {
	err := error(nil)
	if withheld {
		err = errors.New("the server accepted before it had the response")
	} else if m, ok := x.client.(interface{ Complete() error }); ok {
		err = m.Complete()
	}
	if err != nil {
		if !errors.Is(err, ErrServerProof) {
			err = fmt.Errorf("%w: %w", ErrServerProof, err)
		}
		x.c.breakUp(err)
	}
	return err
}

// cancel ends the exchange with "*" (RFC 4954, 4). The server owes a 501;
// whatever it says, the attempt has failed.
func (x *saslExchange) cancel(why error) error {
	r, err := x.say("*", "")
	if err == nil && r.Code < 400 {
		x.c.breakUp(why)
	}
	return x.fail(smtpwire.Reply{}, why)
}

// fail makes the AuthError. What a mechanism says of a challenge may repeat the
// secret that the server put there.
func (x *saslExchange) fail(r smtpwire.Reply, err error) error {
	e := &AuthError{Mechanism: x.name, Err: err}
	if err != nil {
		if text := err.Error(); x.c.scrub(text) != text {
			e.Err = errors.New(x.c.scrub(text))
		}
	}
	var link *linkError
	switch {
	case r.Code >= 400:
		reply := x.c.public(r)
		e.Reply = &reply
	case errors.As(err, &link):
		e.Reply = link.reply
	}
	return e
}

// decodeChallenge decodes the text of a 334: one line of base64, strictly.
func decodeChallenge(text []byte) ([]byte, error) {
	if len(text) > maxChallenge {
		return nil, fmt.Errorf("challenge of %d octets, the limit is %d", len(text), maxChallenge)
	}
	for _, c := range text {
		if c == '\n' || c == '\r' {
			return nil, errors.New("challenge of more than one line")
		}
	}
	challenge, err := base64.StdEncoding.Strict().DecodeString(string(text))
	if err != nil {
		return nil, errors.New("challenge is not base64")
	}
	return challenge, nil
}

// hideResponse encodes a response and sees to it that the server's repeating
// it, in any usual form, does not show it, nor the last field of it, where
// mechanisms that show the secret have it.
func (c *conn) hideResponse(response []byte) string {
	if text := string(response); text != c.plain {
		c.hide(text)
		fields := strings.FieldsFunc(text, func(r rune) bool { return r <= 1 })
		if n := len(fields); n > 1 {
			c.hide(strings.TrimPrefix(fields[n-1], "auth=Bearer "))
		}
	}
	return base64.StdEncoding.EncodeToString(response)
}

// hide adds a secret, and its usual encodings, to what scrub takes out.
func (c *conn) hide(secret string) {
	if secret == "" || slices.Contains(c.secrets, secret) {
		return
	}
	h := hex.EncodeToString([]byte(secret))
	c.secrets = append(c.secrets, secret, h, strings.ToUpper(h),
		base64.StdEncoding.EncodeToString([]byte(secret)),
		base64.RawStdEncoding.EncodeToString([]byte(secret)))
	// The longest first, or what contains another would show its rest.
	slices.SortFunc(c.secrets, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
}
