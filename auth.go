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

	verified bool
	mayShow  bool
	renew    bool // the token asked for before was refused
}

// MayShow reports whether a mechanism may send the secret in a form that can be
// read: over verified TLS, over a connection that does not leave this machine, or
// because Options.InsecureAuth allows it. For what counts as this machine see
// Options.InsecureAuth.
func (s ServerInfo) MayShow() bool { return s.mayShow }

// authenticate tries mechanisms until the server accepts one or refuses the
// credentials. A 504 or 534 is about the mechanism, so the next one is tried. Any
// other refusal is about the credentials, which are not tried twice: that could
// lock the user out.
func (s *Session) authenticate(ctx context.Context, auth Auth) error {
	offered := s.ext.Mechanisms()
	info := ServerInfo{
		Host: s.cfg.serverName(), Port: s.cfg.port, Mechanisms: slices.Clone(offered), TLS: s.tls,
		verified: s.verified, mayShow: s.verified || s.cfg.InsecureAuth || s.local,
	}
	if !s.ext.Has(extAuth) {
		err := fmt.Errorf("%w: AUTH", ErrUnsupported)
		if s.tls == nil {
			err = fmt.Errorf("%w (perhaps only under TLS)", err)
		}
		if p, ok := auth.(interface{ order(ServerInfo) []string }); ok {
			err = fmt.Errorf("%w: allowed are %s, offered are none", err, strings.Join(p.order(info), " "))
		}
		return &AuthError{Err: err}
	}
	public := "" // a response that is not secret
	if p, ok := auth.(interface{ secretAndUser() (secret, user string) }); ok {
		secret, user := p.secretAndUser()
		s.secrets.Add(secret)
		public = user
	}
	s.secrets.InAuth = true
	defer func() { s.secrets.InAuth = false }()
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
			return &AuthError{Offered: offered, Err: cleanedCause(err, &s.secrets)}
		}
		if client == nil {
			return &AuthError{Offered: offered, Err: errors.New("Options.Auth returned no client")}
		}
		failed := s.exchange(ctx, client, info, public)
		if failed == nil {
			return nil
		}
		failed.Offered = offered
		if r, ok := auth.(interface{ renewsToken() bool }); ok && r.renewsToken() && !info.renew && failed.refusedForGood() && s.link.Usable() {
			info.renew = true
			continue
		}
		if !failed.refusesMechanism() {
			return failed
		}
		refused = failed
		left := slices.DeleteFunc(slices.Clone(info.Mechanisms), func(m string) bool { return m == failed.Mechanism })
		if len(left) == len(info.Mechanisms) {
			return failed // the server never listed it: the loop would not end
		}
		info.Mechanisms = left
	}
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
	return e.Reply != nil && e.Reply.Permanent() && !e.refusesMechanism()
}

// exchange runs one mechanism (RFC 4954, 4). public is a response that is not
// secret.
func (s *Session) exchange(ctx context.Context, client sasl.Client, info ServerInfo, public string) *AuthError {
	name, initial, err := client.Start()
	if err != nil {
		return &AuthError{Mechanism: name, Err: cleanedCause(err, &s.secrets)}
	}
	name = strings.ToUpper(name)
	if mechanism.ShowsSecret(name) && !info.mayShow {
		return &AuthError{Mechanism: name, Err: ErrInsecureAuth}
	}
	if !mechanism.IsName(name) {
		return &AuthError{Err: errors.New("the mechanism's name is malformed")}
	}
	if why := s.link.Glance(link.Auth); why != nil {
		return s.judgeAuth(name, mechanism.Ending{Err: lostError(why)})
	}
	x := mechanism.Exchange{Name: name, Client: client, Server: saslServer{s.link}, Secrets: &s.secrets, Public: public}
	return s.judgeAuth(name, x.Run(ctx, initial))
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
func (s *Session) judgeAuth(name string, ending mechanism.Ending) *AuthError {
	r, err := smtpwire.Reply{Code: ending.Code, Text: ending.Text}, ending.Err
	refused := r.Code >= 400
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
	e := &AuthError{Mechanism: name, Err: cleanedCause(err, &s.secrets)}
	var lost *linkError
	if refused && !ending.Cancelled {
		reply := makeReply(s.link.Keep(r))
		e.Reply = &reply
	} else if errors.As(err, &lost) {
		e.Reply = lost.reply
	}
	return e
}
