package submission_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// A token is asked for once a session, and a new one when the server refused it.
func TestOAuth2(t *testing.T) {
	for _, name := range []string{"OAUTHBEARER", "XOAUTH2"} {
		t.Run(name, func(t *testing.T) {
			srv, o := mechanismServer(t, tls.VersionTLS13, name)
			var asked []bool
			tokens := func(first, second string) submission.OAuth2 {
				asked = nil
				return submission.OAuth2{Username: "user", Token: func(_ context.Context, renew bool) (string, error) {
					asked = append(asked, renew)
					if renew {
						return second, nil
					}
					return first, nil
				}}
			}
			if used, err := login(t, srv, o, tokens("right-password", "")); err != nil || used != name || !slices.Equal(asked, []bool{false}) {
				t.Errorf("fresh token: %s, %v, asked %v", used, err, asked)
			}
			if used, err := login(t, srv, o, tokens("wrong-stale", "right-password")); err != nil || used != name || !slices.Equal(asked, []bool{false, true}) {
				t.Errorf("stale token: %s, %v, asked %v", used, err, asked)
			}
			_, err := login(t, srv, o, tokens("wrong-stale", "wrong-again"))
			e := wantError[*submission.AuthError](t, err)
			if !slices.Equal(asked, []bool{false, true}) || e.Reply == nil || e.Reply.Code != 535 || e.Err == nil {
				t.Errorf("two refused tokens: asked %v, %+v", asked, e)
			}
			if text := err.Error(); !strings.Contains(text, "status") || strings.Contains(text, "wrong-") {
				t.Errorf("error %q, want the JSON of the server in it and no token", text)
			}
			cause := errors.New("no token today")
			_, err = login(t, srv, o, submission.OAuth2{Username: "user", Token: func(context.Context, bool) (string, error) { return "", cause }})
			if wantError[*submission.AuthError](t, err); !errors.Is(err, cause) {
				t.Errorf("%v", err)
			}
		})
	}
	t.Run("OAUTHBEARER first", func(t *testing.T) {
		srv, o := mechanismServer(t, tls.VersionTLS13, "XOAUTH2", "OAUTHBEARER")
		auth := submission.OAuth2{Username: "user", Token: func(context.Context, bool) (string, error) { return "right-password", nil }}
		if used, err := login(t, srv, o, auth); err != nil || used != "OAUTHBEARER" {
			t.Errorf("%s, %v", used, err)
		}
	})
	// What is refused is the mechanism, not the token: it is asked for once.
	t.Run("OAUTHBEARER unknown after all", func(t *testing.T) {
		for _, code := range []string{"504", "534"} {
			srv := serve(t, &smtptest.Config{
				Accounts: map[string]string{"user": "right-password"}, Mechanisms: []string{"XOAUTH2", "OAUTHBEARER"},
				Hook: func(c smtptest.Command) *smtptest.Answer {
					if c.Verb == "AUTH" && strings.Contains(c.Line, "OAUTHBEARER") {
						return &smtptest.Answer{Reply: code + " 5.5.4 unknown"}
					}
					return nil
				}})
			o := &submission.Options{TLSConfig: srv.ClientTLSConfig()}
			for _, around := range []bool{false, true} {
				var asked []bool
				tokens := []string{"wrong-stale", "right-password"}
				auth := submission.Auth(submission.OAuth2{Username: "user", Token: func(_ context.Context, renew bool) (string, error) {
					asked = append(asked, renew)
					return tokens[len(asked)-1], nil
				}})
				if inner := auth; around {
					auth = submission.AuthFunc(func(ctx context.Context, s submission.ServerInfo) (sasl.Client, error) {
						if verbs := fmt.Sprintf("%v %+v %#v", s, s, s); strings.Contains(verbs, "wrong-stale") {
							t.Errorf("ServerInfo shows the token: %s", verbs)
						}
						return inner.Mechanism(ctx, s)
					})
				}
				if used, err := login(t, srv, o, auth); err != nil || used != "XOAUTH2" || !slices.Equal(asked, []bool{false, true}) {
					t.Errorf("%s, around %v: %s, %v, asked %v", code, around, used, err, asked)
				}
			}
		}
	})
	t.Run("not in clear text", func(t *testing.T) {
		auth := submission.OAuth2{Username: "user", Token: func(context.Context, bool) (string, error) {
			t.Error("Token was called although a token must not be sent")
			return "", nil
		}}
		nc := away(play(t, "whole", "S: 220 x\nC: EHLO client.test.example\nS: 250-x\nS: 250 AUTH XOAUTH2\nC: QUIT\nS: 221 x\neof"))
		_, err := submission.NewSession(context.Background(), nc, testHost, plainText(func(o *submission.Options) { o.Auth = auth }))
		if !errors.Is(err, submission.ErrInsecureAuth) {
			t.Errorf("%v", err)
		}
	})
}
