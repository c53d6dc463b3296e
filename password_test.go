package submission_test

import (
	"context"
	"crypto/tls"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

var everyPassword = []string{
	"SCRAM-SHA-512-PLUS", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1",
	"PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5", "NTLM",
}

// Every mechanism that takes a password logs in with the right one and reports
// 535 with a wrong one, over TLS 1.2 and 1.3, which bind differently.
func TestPasswordMechanisms(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, name := range everyPassword {
			t.Run(tls.VersionName(version)+" "+name, func(t *testing.T) {
				srv, o := mechanismServer(t, version, name)
				used, err := login(t, srv, o, submission.Password{Username: "user", Password: "right-password"})
				if err != nil || used != name {
					t.Errorf("%s: %v", used, err)
				}
				used, err = login(t, srv, o, submission.Password{Username: "user", Password: "wrong-password"})
				e := wantError[*submission.AuthError](t, err)
				if used != name || e.Mechanism != name || e.Reply == nil || e.Reply.Code != 535 || e.Temporary() {
					t.Errorf("%s: %+v", used, e)
				}
				// The fake server's words have neither the name nor the password
				// in them, so nothing may be missing from them either.
				if text := err.Error(); strings.Contains(text, "wrong-password") || strings.Contains(strings.TrimPrefix(text, "submission: AUTH"), "***") {
					t.Errorf("the error shows the password, or hides what is none: %v", err)
				}
			})
		}
	}
}

// The order in which the mechanisms are preferred, with and without TLS.
func TestMechanismOrder(t *testing.T) {
	shuffled := []string{"NTLM", "LOGIN", "SCRAM-SHA-1", "DIGEST-MD5", "PLAIN", "SCRAM-SHA-256-PLUS", "CRAM-MD5",
		"SCRAM-SHA-512", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-512-PLUS"}
	password := submission.Password{Username: "user", Password: "right-password"}
	t.Run("TLS", func(t *testing.T) {
		for offered := shuffled; len(offered) > 0; {
			srv, o := mechanismServer(t, tls.VersionTLS13, offered...)
			want := everyPassword[slices.IndexFunc(everyPassword, func(m string) bool { return slices.Contains(offered, m) })]
			used, err := login(t, srv, o, password)
			if err != nil || used != want {
				t.Errorf("of %v: %s, %v, want %s", offered, used, err, want)
			}
			offered = slices.DeleteFunc(slices.Clone(offered), func(m string) bool { return m == want })
		}
	})
	t.Run("clear", func(t *testing.T) {
		order := []string{"SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1", "DIGEST-MD5", "CRAM-MD5", "NTLM", "PLAIN", "LOGIN"}
		for i, want := range order {
			srv := smtptest.NewServer(&smtptest.Config{
				TLS: smtptest.NoTLS, Accounts: map[string]string{"user": "right-password"},
				Mechanisms: slices.Sorted(slices.Values(order[i:])),
			})
			used, err := login(t, srv, &submission.Options{TLS: submission.TLSNone}, password)
			if err != nil || used != want {
				t.Errorf("of %v: %s, %v, want %s", order[i:], used, err, want)
			}
			srv.Close()
		}
	})
}

// A mechanism that the server takes back, as unknown or too weak, makes way for
// the next; what the caller lists is all that is tried.
func TestMechanismFallback(t *testing.T) {
	srv := smtptest.NewServer(&smtptest.Config{
		Accounts:   map[string]string{"user": "right-password"},
		Mechanisms: []string{"SCRAM-SHA-256", "CRAM-MD5", "PLAIN"},
		Hook: func(c smtptest.Command) *smtptest.Answer {
			if c.Verb == "AUTH" && strings.Contains(c.Line, "SCRAM") {
				return &smtptest.Answer{Reply: "534 5.7.9 too weak"}
			}
			return nil
		},
	})
	defer srv.Close()
	o := &submission.Options{TLSConfig: srv.ClientTLSConfig()}
	used, err := login(t, srv, o, submission.Password{Username: "user", Password: "right-password", Mechanisms: []string{"SCRAM-SHA-256", "cram-md5"}})
	if err != nil || used != "CRAM-MD5" {
		t.Errorf("%s, %v", used, err)
	}
	_, err = login(t, srv, o, submission.Password{Username: "user", Password: "right-password", Mechanisms: []string{"SCRAM-SHA-256"}})
	if e := wantError[*submission.AuthError](t, err); e.Reply == nil || e.Reply.Code != 534 {
		t.Errorf("%+v", e)
	}
}

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
				t.Errorf("error %q, want the server's JSON and no token", text)
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
	t.Run("not in clear", func(t *testing.T) {
		auth := submission.OAuth2{Username: "user", Token: func(context.Context, bool) (string, error) {
			t.Error("a token was asked for that could not be sent")
			return "", nil
		}}
		nc := away(smtptest.Play(t, "S: 220 x\nC: EHLO client.test.example\nS: 250-x\nS: 250 AUTH XOAUTH2\nC: QUIT\nS: 221 x\neof"))
		_, err := submission.NewSession(context.Background(), nc, testHost, plainText(func(o *submission.Options) { o.Auth = auth }))
		if !errors.Is(err, submission.ErrInsecureAuth) {
			t.Errorf("%v", err)
		}
	})
}

func TestExternal(t *testing.T) {
	srv, o := mechanismServer(t, tls.VersionTLS13, "EXTERNAL")
	o.TLSConfig.Certificates = []tls.Certificate{selfSigned()}
	for identity, ok := range map[string]bool{"user": true, "stranger": false} {
		used, err := login(t, srv, o, submission.External(identity))
		if ok != (err == nil) || used != "EXTERNAL" {
			t.Errorf("%s: %s, %v", identity, used, err)
		}
	}
	nc := smtptest.Play(t, "S: 220 x\nC: EHLO client.test.example\nS: 250-x\nS: 250 AUTH EXTERNAL\nC: AUTH EXTERNAL =\nS: 235 ok")
	if _, err := submission.NewSession(context.Background(), nc, testHost, plainText(func(o *submission.Options) { o.Auth = submission.External("") })); err != nil {
		t.Error(err)
	}
}

func TestAnonymous(t *testing.T) {
	srv, o := mechanismServer(t, tls.VersionTLS13, "ANONYMOUS")
	if used, err := login(t, srv, o, submission.Anonymous("sirhc")); err != nil || used != "ANONYMOUS" {
		t.Errorf("%s, %v", used, err)
	}
	if _, err := login(t, srv, o, submission.Anonymous("a\nb")); err == nil {
		t.Error("a trace with a line end was sent")
	}
	srv, o = mechanismServer(t, tls.VersionTLS13, "PLAIN")
	_, err := login(t, srv, o, submission.Anonymous(""))
	if e := wantError[*submission.AuthError](t, err); e.Mechanism != "" || !strings.Contains(err.Error(), "PLAIN") || !strings.Contains(err.Error(), "ANONYMOUS") {
		t.Errorf("%v", err)
	}
}
