package submission_test

import (
	"crypto/tls"
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

// Every mechanism that takes a password logs in with the right one, and reports 535 with a
// wrong one. TLS 1.2 and 1.3 have different channel bindings.
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
				// The replies of the fake server contain neither the name nor the
				// password, so no part of them may be hidden.
				if text := err.Error(); strings.Contains(text, "wrong-password") || strings.Contains(strings.TrimPrefix(text, "submission: AUTH"), "***") {
					t.Errorf("the error shows the password, or hides what is not the password: %v", err)
				}
			})
		}
	}
}

// Which mechanism is used first, with and without TLS.
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

// When the server refuses a mechanism as unknown or too weak, the next one is tried, but only
// those in Password.Mechanisms.
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

// Credentials that no mechanism can send are refused before AUTH.
func TestCredentialsRefusedLocally(t *testing.T) {
	for name, set := range map[string]func(*submission.Password){
		"no user name":       func(p *submission.Password) { p.Username = "" },
		"NUL in Username":    func(p *submission.Password) { p.Username = "user\x00name" },
		"NUL in Password":    func(p *submission.Password) { p.Password = "pass\x00word" },
		"NUL in Identity":    func(p *submission.Password) { p.Identity = "\x00" },
		"NUL in Realm":       func(p *submission.Password) { p.Realm = "\x00" },
		"NUL in Domain":      func(p *submission.Password) { p.Domain = "\x00" },
		"no password, PLAIN": func(p *submission.Password) { p.Password, p.Mechanisms = "", []string{"PLAIN"} },
	} {
		for _, mech := range []string{"PLAIN", "LOGIN", "DIGEST-MD5"} {
			if strings.HasSuffix(name, ", PLAIN") && mech != "PLAIN" {
				continue
			}
			r := authRefusal{name: name + ", " + mech, auth: password(mechanisms(mech), set), script: offersAuth("PLAIN LOGIN DIGEST-MD5") + quit}
			r.run(t)
		}
	}
}
