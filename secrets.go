package submission

import (
	"net"
	"slices"

	"github.com/emersion/go-sasl"
	"github.com/fe022423/submission/internal/redact"
)

// knower is an Auth that knows its secret before it is asked for a mechanism.
type knower interface{ secret() redact.Secret }

// knownSecrets returns what an Auth knows from the start: a server may repeat it
// with its first octet.
func knownSecrets(auth Auth) redact.Set {
	var s redact.Set
	if k, ok := auth.(knower); ok {
		s.Add(k.secret().Reveal())
	}
	return s
}

// secretsOver returns what is known from the start of a session over nc: also what
// the server knows from the session before, and what a proxy on the way was told.
func (c *config) secretsOver(nc net.Conn) redact.Set {
	s := knownSecrets(c.auth.Reveal())
	if before := c.usedSecret.Load(); before != nil {
		s.Add(before.Reveal())
	}
	for ; nc != nil; nc = below(nc) {
		if k, ok := nc.(interface{ Secrets() redact.Set }); ok {
			s.AddAll(k.Secrets())
		}
	}
	return s
}

// cleaned takes secrets out of an error of New, NewSession or Dial, which repeats
// options: the host, a name, a list of mechanisms.
func cleaned(err error, secrets *redact.Set) error {
	switch e := err.(type) {
	case *OptionError:
		e.Err = secrets.CleanError(e.Err)
	case *ConnectError:
		e.Addr, e.Hint, e.Err = secrets.Clean(e.Addr), secrets.Clean(e.Hint), cleanedCause(e.Err, secrets)
	case *TLSError:
		e.Host, e.addr, e.Hint = secrets.Clean(e.Host), secrets.Clean(e.addr), secrets.Clean(e.Hint)
		e.Err = cleanedCause(e.Err, secrets)
	case *AuthError:
		e.Err = cleanedCause(e.Err, secrets)
	}
	return err
}

// cleanedCause takes secrets out of the cause of an error.
func cleanedCause(err error, secrets *redact.Set) error {
	switch e := err.(type) {
	case *linkError:
		clean := *e
		clean.err = cleanedCause(e.err, secrets)
		return &clean
	case joined:
		list := slices.Clone(e)
		for i := range list {
			list[i] = cleanedCause(list[i], secrets)
		}
		return list
	}
	return secrets.CleanError(err)
}

// cleanedAuth is cleanedCause for an error of AUTH, with client or before there is one
// (nil). Where its text is this side's, a weak secret stands there by chance, as it
// does outside of AUTH: what the server said in it was cleaned when it came. A client
// of the caller's may repeat a challenge.
func (s *Session) cleanedAuth(err error, client sasl.Client) error {
	secrets := s.secrets
	_, own := client.(*authClient)
	secrets.InAuth = client != nil && !own
	return cleanedCause(err, &secrets)
}

// refused is err, an error of New or NewSession, without the secrets of o.
func (o *Options) refused(err error) error {
	if o == nil {
		return err
	}
	secrets := knownSecrets(o.Auth)
	return cleaned(err, &secrets)
}
