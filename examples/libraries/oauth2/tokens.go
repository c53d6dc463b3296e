package main

import (
	"context"

	"golang.org/x/oauth2"
)

// tokens keeps an access token for all sessions of a client, and fetches another one when it is
// over, or when the server refuses it.
type tokens struct {
	config *oauth2.Config
	last   chan *oauth2.Token // holds one: who has taken it out is fetching
}

// newTokens returns tokens that begin with a refresh token, which the user's consent has brought.
func newTokens(config *oauth2.Config, refresh string) *tokens {
	t := &tokens{config, make(chan *oauth2.Token, 1)}
	t.last <- &oauth2.Token{RefreshToken: refresh}
	return t
}

// token returns an access token: with renew a new one, whatever the last one says of itself. It
// is submission.OAuth2.Token. Sessions that begin together wait for one token, each within
// its own ctx.
func (t *tokens) token(ctx context.Context, renew bool) (string, error) {
	var last *oauth2.Token
	select {
	case last = <-t.last:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	defer func() { t.last <- last }()
	if last.Valid() && !renew {
		return last.AccessToken, nil
	}
	// A source that knows only the refresh token has no cache. ctx is that of this session, so the
	// source must not outlive it.
	next, err := t.config.TokenSource(ctx, &oauth2.Token{RefreshToken: last.RefreshToken}).Token()
	if err != nil {
		return "", err
	}
	last = next // with the refresh token that comes after, where the issuer changes it
	return last.AccessToken, nil
}
