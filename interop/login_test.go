//go:build linux

package interop

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/fe022423/submission"
)

// TestMechanisms authenticates with each mechanism that both sides have, with
// and without TLS, and is refused with a wrong password.
func TestMechanisms(t *testing.T) {
	eachServer(t, func(t *testing.T, s server) {
		s.logins(t, "", "PLAIN", "LOGIN", "DIGEST-MD5", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256")
	})
}

// TestCyrusMechanisms does the same where Cyrus SASL judges. Postfix 3.7 with it was
// not seen to offer a mechanism ending in -PLUS, also when configured to.
func TestCyrusMechanisms(t *testing.T) {
	l, err := running()
	if err != nil {
		t.Fatal(err)
	}
	showLogs(t, l.Dir)
	s := server{l, "Cyrus", loopback(l.PostfixCyrus), ""}
	s.logins(t, "", "PLAIN", "LOGIN", "DIGEST-MD5", "CRAM-MD5", "NTLM", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512")
}

// logins tries passwords with each of the mechanisms; "" is the client's choice.
func (s server) logins(t *testing.T, mechanisms ...string) {
	for _, mechanism := range mechanisms {
		for _, mode := range []submission.TLSMode{submission.TLSNone, submission.TLSStartTLS} {
			name := mechanism
			if name == "" {
				name = "default"
			}
			t.Run(name+" "+mode.String(), func(t *testing.T) {
				var allowed []string
				if mechanism != "" {
					allowed = []string{mechanism}
				}
				ping := func(user, password string) error {
					return s.client(t, func(o *submission.Options) {
						o.TLS = mode
						o.Auth = submission.Password{Username: user, Password: password, Mechanisms: allowed}
					}).Ping(limited(t))
				}
				if err := ping(account, password); err != nil {
					t.Errorf("right password: %v", err)
				}
				// Cyrus widens octets for NTLM's hash where UTF-16 is due.
				if mechanism != "NTLM" {
					if err := ping(awkwardAccount, awkwardPassword); err != nil {
						t.Errorf("right password with odd characters: %v", err)
					}
				}
				refused(t, ping(account, "not-the-password"), mechanism)
				refused(t, ping("nobody@test.example", password), mechanism)
			})
		}
	}
}

// TestOAuth2 authenticates with a good token and a bad one, and with a good one
// that comes only when the client asks for a new one.
func TestOAuth2(t *testing.T) {
	eachServer(t, func(t *testing.T, s server) {
		for _, mechanism := range []string{"OAUTHBEARER", "XOAUTH2"} {
			for _, mode := range []submission.TLSMode{submission.TLSNone, submission.TLSStartTLS} {
				t.Run(mechanism+" "+mode.String(), func(t *testing.T) {
					ping := func(token string) error {
						return s.client(t, func(o *submission.Options) {
							o.TLS = mode
							o.Auth = only{mechanism, submission.OAuth2{
								Username: account,
								Token:    func(context.Context, bool) (string, error) { return token, nil },
							}}
						}).Ping(limited(t))
					}
					if err := ping(token); err != nil {
						t.Errorf("good token: %v", err)
					}
					refused(t, ping("not-the-token"), mechanism)
				})
			}
		}
		t.Run("renewed", func(t *testing.T) {
			asked := 0
			err := s.client(t, func(o *submission.Options) {
				o.Auth = submission.OAuth2{Username: account, Token: func(_ context.Context, renew bool) (string, error) {
					asked++
					if renew {
						return token, nil
					}
					return "stale-token", nil
				}}
			}).Ping(limited(t))
			if err != nil || asked != 2 {
				t.Errorf("got %v after %d tokens, want none after 2", err, asked)
			}
		})
	})
}

// only hides all other mechanisms from an Auth that would choose.
type only struct {
	mechanism string
	auth      submission.Auth
}

func (a only) Mechanism(ctx context.Context, s submission.ServerInfo) (sasl.Client, error) {
	if !slices.Contains(s.Mechanisms, a.mechanism) {
		return nil, errors.New("not offered: " + a.mechanism)
	}
	s.Mechanisms = []string{a.mechanism}
	return a.auth.Mechanism(ctx, s)
}
