package submission

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/emersion/go-sasl"
	"github.com/fe022423/submission/internal/mechanism"
	"github.com/fe022423/submission/internal/redact"
)

// OAuth2 authenticates with a bearer token: with OAUTHBEARER (RFC 7628) when the
// server offers it, otherwise with XOAUTH2. Anyone on the way could read the token,
// so it is sent only where ServerInfo.MayShow allows it.
type OAuth2 struct {
	// Username is the mailbox or account that the token is for.
	Username string
	// Token returns an access token. It is called once for each session with renew
	// false, and once more with renew true when the server refused the token: a
	// token from a cache is too old then, get a new one. Where the server hung up
	// after its refusal, a Client tries the new one on a fresh connection. It may
	// block within ctx. An error ends the attempt.
	Token func(ctx context.Context, renew bool) (string, error)
}

// Mechanism asks for a token and picks the mechanism.
func (o OAuth2) Mechanism(ctx context.Context, s ServerInfo) (sasl.Client, error) {
	create := mechanism.NewOAuthBearer
	if !slices.Contains(s.Mechanisms, sasl.OAuthBearer) {
		create = mechanism.NewXOAuth2
		if !slices.Contains(s.Mechanisms, mechanism.XOAuth2) {
			return nil, fmt.Errorf("%w: allowed are %s %s", errNoMechanism, sasl.OAuthBearer, mechanism.XOAuth2)
		}
	}
	if !s.mayShow {
		return nil, ErrInsecureAuth // without asking for a token
	}
	if o.Token == nil {
		return nil, errors.New("OAuth2.Token is nil")
	}
	withSecret := func(token redact.Secret) (*authClient, error) {
		client, err := create(mechanism.Credentials{Username: o.Username, Password: token, Host: s.Host, Port: s.Port})
		return &authClient{Client: client, secret: token, public: o.Username}, err
	}
	withToken := func(ctx context.Context, renew bool) (*authClient, error) {
		token, err := o.Token(ctx, renew)
		if err != nil {
			return nil, fmt.Errorf("token: %w", err)
		}
		return withSecret(redact.Hide(token))
	}
	fetch := func() (*authClient, error) { return withToken(ctx, false) }
	if before := s.tried; before != nil && before.renew != nil && before.public == o.Username {
		fetch = func() (*authClient, error) { return withSecret(before.secret) }
	}
	client, err := fetch()
	if err != nil {
		return nil, err
	}
	client.renew = func(ctx context.Context) (sasl.Client, error) { return withToken(ctx, true) }
	return client, nil
}
