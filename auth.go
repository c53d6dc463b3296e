package submission

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/emersion/go-sasl"
	"github.com/fe022423/submission/internal/link"
	"github.com/fe022423/submission/internal/mechanism"
	"github.com/fe022423/submission/internal/redact"
	"github.com/fe022423/submission/internal/smtpwire"
)

// Auth picks the SASL mechanism for one session. It may block within ctx, for
// instance to fetch a token. When the server refuses a mechanism with 504 or 534,
// as unknown or too weak, Mechanism is called again with a ServerInfo that does
// not list it any more. An error ends the attempt. An Auth must be safe for
// concurrent use; the client it returns is used for one session.
//
// A client whose mechanism also authenticates the server should have a method
// Complete() error: a 235 from the server while it still returns an error is
// ErrServerProof. Mechanisms that show the secret (PLAIN, LOGIN, XOAUTH2,
// OAUTHBEARER) are only used where ServerInfo.MayShow allows it, also with a
// client of your own.
type Auth interface {
	Mechanism(ctx context.Context, s ServerInfo) (sasl.Client, error)
}

// AuthFunc is a function used as an Auth.
type AuthFunc func(ctx context.Context, s ServerInfo) (sasl.Client, error)

// Mechanism calls f.
func (f AuthFunc) Mechanism(ctx context.Context, s ServerInfo) (sasl.Client, error) { return f(ctx, s) }

// ServerInfo is what an Auth may know about the session.
type ServerInfo struct {
	Host       string               // the host that was dialed, in A-labels
	Port       int                  // 0 when it is not known
	Mechanisms []string             // offered and not yet refused, in upper case and the server's order
	TLS        *tls.ConnectionState // nil in clear text

	offered  []string    // as Mechanisms was at first
	tried    *authClient // whose mechanism was refused before, nil for none
	verified bool
	mayShow  bool
}

// MayShow reports whether a mechanism may send the secret in a form that can be
// read: over verified TLS, over a connection that does not leave this machine, or
// because Options.InsecureAuth allows it. For what counts as this machine see
// Options.InsecureAuth.
func (s ServerInfo) MayShow() bool { return s.mayShow }

// without returns s without a mechanism that was refused. Under TLS the mechanisms
// that would only show the same password again go with it.
func (s ServerInfo) without(refused *AuthError) ServerInfo {
	showing := []string{sasl.Plain, sasl.Login}
	again := s.TLS != nil && refused.shown && slices.Contains(showing, refused.Mechanism)
	s.Mechanisms = slices.DeleteFunc(slices.Clone(s.Mechanisms), func(m string) bool {
		return m == refused.Mechanism || again && slices.Contains(showing, m)
	})
	return s
}

// authClient is a sasl.Client with what its Auth knows. It comes through whatever
// is put around the Auth.
type authClient struct {
	sasl.Client
	secret redact.Secret
	public string // a response that is not secret: the user name
	// renew returns a client with another token, nil where there is no other.
	renew func(context.Context) (sasl.Client, error)
}

// Complete asks the mechanism whether success may be believed.
func (c *authClient) Complete() error { return mechanism.Complete(c.Client) }

// NextContext answers a challenge within ctx.
func (c *authClient) NextContext(ctx context.Context, challenge []byte) ([]byte, error) {
	return mechanism.Next(ctx, c.Client, challenge)
}

// authenticate tries mechanisms until the server accepts one or refuses the
// credentials. A 504 or 534 is about the mechanism, so the next one is tried. Any
// other refusal is about the credentials, which are not tried twice: that could
// lock the user out. Where the server hangs up after a refusal, that is the error.
func (s *Session) authenticate(ctx context.Context, auth Auth) error {
	info := s.serverInfo()
	if !s.ext.Has(extAuth) {
		return s.noAuth(auth, info)
	}
	s.secrets.InAuth = true
	defer func() { s.secrets.InAuth = false }()
	var refused *AuthError
	for {
		client, err := s.nextClient(ctx, auth, info)
		if err != nil {
			return cmp.Or(refused, err)
		}
		failed := s.try(ctx, client, info)
		switch {
		case failed == nil:
			return nil
		case refused != nil && failed.unanswered:
			return refused
		case !failed.refusesMechanism() || s.hungUp():
			return failed
		}
		refused = failed
		left := info.without(failed)
		if len(left.Mechanisms) == len(info.Mechanisms) {
			return failed // the server never listed it: the loop would not end
		}
		info = left
		info.tried, _ = client.(*authClient)
	}
}

func (s *Session) serverInfo() ServerInfo {
	list := s.ext.Mechanisms()
	return ServerInfo{
		Host: s.cfg.serverName(), Port: s.cfg.port, Mechanisms: list, TLS: s.tls,
		offered: escapedAll(list), verified: s.verified, mayShow: s.verified || s.cfg.InsecureAuth || s.local,
	}
}

// noAuth is the error for a server that does not offer AUTH.
func (s *Session) noAuth(auth Auth, info ServerInfo) error {
	err := ErrUnsupported
	if s.tls == nil {
		err = fmt.Errorf("%w (perhaps only under TLS)", err)
	}
	if p, ok := auth.(interface{ order(ServerInfo) []string }); ok {
		err = fmt.Errorf("%w: allowed are %s, offered are none", err, strings.Join(p.order(info), " "))
	}
	return &AuthError{Err: err}
}

// nextClient returns the client to try next: one whose token was renewed when the
// connection before this one was lost, or the one that auth picks.
func (s *Session) nextClient(ctx context.Context, auth Auth, info ServerInfo) (sasl.Client, *AuthError) {
	if client := s.dialing.takeRenewed(); client != nil {
		return client, nil
	}
	client, err := auth.Mechanism(ctx, info)
	if err == nil && client == nil {
		err = errors.New("Options.Auth returned no client")
	}
	if errors.Is(err, errNoMechanism) {
		err = fmt.Errorf("%w, offered are %s", err, cmp.Or(strings.Join(info.offered, " "), "none"))
	}
	if err != nil {
		return nil, &AuthError{Offered: info.offered, Err: s.cleanedAuth(err, nil)}
	}
	return client, nil
}

// try runs one mechanism. A token that is refused is renewed and tried once more:
// here, or where this connection is gone on another one of the same Dial.
func (s *Session) try(ctx context.Context, client sasl.Client, info ServerInfo) *AuthError {
	failed := s.exchange(ctx, client, info)
	known, ok := client.(*authClient)
	if !ok || known.renew == nil || failed == nil || !failed.refusedForGood() {
		return failed
	}
	gone := s.hungUp()
	if gone && s.dialing == nil {
		return failed
	}
	renewed, err := known.renew(ctx)
	if err != nil {
		return &AuthError{Mechanism: failed.Mechanism, Offered: info.offered, Err: s.cleanedAuth(err, nil)}
	}
	if !gone {
		again := s.exchange(ctx, renewed, info)
		if again == nil || !again.unanswered {
			return again
		}
	}
	s.dialing.keepRenewed(renewed)
	return failed
}

// hungUp reports whether the server hung up after its last reply, or said that it
// does.
func (s *Session) hungUp() bool { return isHangUp(s.link.Look(link.Auth)) }

func isHangUp(why *link.Failure) bool {
	return why != nil && (why.Gone() || why.Kind == link.Closing)
}

// Codes that decide how to go on (RFC 4954, 4 and 6).
const (
	codeAuthenticated = 235
	codeNoMechanism   = 504
	codeWeakMechanism = 534
)

// refusesMechanism reports whether the server refused the mechanism, as unknown or
// too weak, and not the credentials.
func (e *AuthError) refusesMechanism() bool {
	return e.Reply != nil && (e.Reply.Code == codeNoMechanism || e.Reply.Code == codeWeakMechanism)
}

// refusedForGood reports whether the server refused the credentials for good.
func (e *AuthError) refusedForGood() bool {
	return e.told || e.Reply != nil && e.Reply.Permanent() && !e.refusesMechanism()
}

// exchange runs one mechanism (RFC 4954, 4).
func (s *Session) exchange(ctx context.Context, client sasl.Client, info ServerInfo) *AuthError {
	x := mechanism.Exchange{Client: client, Server: saslServer{s.link}, Secrets: &s.secrets}
	if known, ok := client.(*authClient); ok {
		s.secrets.Add(known.secret.Reveal())
		s.cfg.usedSecret.Store(&known.secret)
		x.Public = known.public
	}
	name, initial, err := client.Start()
	x.Name = strings.ToUpper(name)
	s.mechanism = x.Name
	var failed *AuthError
	switch {
	case err != nil:
		failed = &AuthError{Mechanism: name, Err: s.cleanedAuth(err, client)}
	case mechanism.ShowsSecret(x.Name) && !info.mayShow:
		failed = &AuthError{Mechanism: x.Name, Err: ErrInsecureAuth}
	case !mechanism.IsName(x.Name):
		failed = &AuthError{Err: errors.New("the mechanism's name is malformed")}
	default:
		var ending mechanism.Ending
		if why := s.link.Glance(link.Auth); why != nil {
			ending.Err = lostError(why)
		} else {
			ending = x.Run(ctx, initial)
		}
		failed = s.judgeAuth(&x, ending)
	}
	if failed != nil {
		failed.Offered = info.offered
	}
	return failed
}

// saslServer is the server of a session to the exchange of a mechanism.
type saslServer struct{ link *link.Link }

// Say sends one line and reads the reply to it.
func (s saslServer) Say(shown, secret string) (int, []byte, error) {
	if why := s.link.Settled(link.Auth); why != nil {
		return 0, nil, lostError(why)
	}
	if err := s.link.SecretLine(shown, secret); err != nil {
		return 0, nil, err
	}
	s.link.Flush()
	r, why := s.link.Hear(link.Auth)
	return r.Code, r.Text, lostError(why)
}

// judgeAuth returns the error of an exchange that failed, nil for one that
// succeeded. It breaks the connection where the server cannot be believed.
func (s *Session) judgeAuth(x *mechanism.Exchange, ending mechanism.Ending) *AuthError {
	r, err := smtpwire.Reply{Code: ending.Code, Text: ending.Text}, ending.Err
	refused := (link.Reply{Code: r.Code}).Negative()
	if why := s.link.Cancelled(link.Auth); why != nil && ending.Cancelled {
		err = lostError(why) // the caller gave up, not the mechanism
	}
	switch {
	case r.Code == 0 || refused:
	case err != nil:
		s.link.Break(&link.Failure{Kind: link.GivenUp, Step: link.Auth, Err: err})
	case r.Code != codeAuthenticated:
		err = lostError(s.link.Break(&link.Failure{Kind: link.OutOfStep, Step: link.Auth, Reply: s.link.Keep(r)}))
	default:
		if err = lostError(s.link.Settled(link.Auth)); err == nil {
			return nil
		}
	}
	gone := isHangUp(s.link.Failure())
	told := ending.Reason != nil && gone
	if told { // the refusal, not what came of it
		err = ending.Reason
	}
	e := &AuthError{Mechanism: x.Name, Err: s.cleanedAuth(err, x.Client), shown: ending.Shown, told: told}
	var lost *linkError
	if refused && !ending.Cancelled {
		reply := makeReply(s.link.Keep(r))
		e.Reply = &reply
	} else if errors.As(err, &lost) {
		e.Reply = lost.reply
	}
	e.unanswered = e.Reply == nil && !ending.Challenged && gone
	return e
}
