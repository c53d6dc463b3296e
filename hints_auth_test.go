package submission_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// The enhanced code, where there is one, decides what a refusal of AUTH means. Of
// one that is not known only the server's words are given.
func TestHintAuthCode(t *testing.T) {
	const (
		password = "user name or password wrong"
		token    = "the token was refused: perhaps it is expired, or of another scope or user"
		other    = "wants another way to log in"
		appOr    = "often an app password or OAuth 2.0"
		change   = "wants the password changed"
		later    = "a temporary failure of the server, or the credentials"
		useTLS   = "wants TLS"
		all      = password + "|the token was refused|" + other + "|" + change + "|temporary failure|" + useTLS + "|app password"
	)
	for _, tt := range []struct{ mechanism, reply, has string }{
		{"PLAIN", "535 no", password},
		{"PLAIN", "535 5.7.8 no", password},
		{"LOGIN", "550 5.7.8 no", password},
		{"PLAIN", "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.", ""},
		{"PLAIN", "535 5.7.3 Authentication unsuccessful", ""},
		{"PLAIN", "535 5.7.0 no", ""},
		{"PLAIN", "535 5.5.4 no", ""},
		{"PLAIN", "535 4.7.8 no", password}, // the class contradicts the code: there is no enhanced code
		{"PLAIN", "534 no", other + "|" + appOr},
		{"PLAIN", "534 5.7.9 no", other + "|" + appOr},
		{"PLAIN", "535 5.7.9 no", other + "|" + appOr},
		{"PLAIN", "534 5.7.14 Please log in via your web browser", ""},
		{"XOAUTH2", "535 no", token},
		{"OAUTHBEARER", "535 5.7.8 no", token},
		{"XOAUTH2", "535 5.7.3 no", ""},
		{"XOAUTH2", "534 5.7.9 no", other},
		{"EXTERNAL", "535 5.7.8 no", ""},
		{"EXTERNAL", "534 5.7.9 no", other},
		{"X-OWN", "535 no", ""},
		{"PLAIN", "432 4.7.12 no", change},
		{"PLAIN", "432 no", ""},
		{"PLAIN", "432 4.3.2 Concurrent connections limit exceeded", ""},
		{"PLAIN", "454 no", later},
		{"PLAIN", "454 4.7.0 no", later},
		{"XOAUTH2", "454 4.7.0 no", later},
		{"PLAIN", "454 4.3.0 no", ""},
		{"PLAIN", "530 no", useTLS},
		{"PLAIN", "530 5.7.0 no", ""},
		{"PLAIN", "538 no", useTLS},
		{"PLAIN", "538 5.7.11 no", useTLS},
		{"PLAIN", "421 4.7.0 no", ""},
		{"PLAIN", "451 4.7.1 no", ""},
		{"PLAIN", "500 no", ""},
	} {
		code, text, _ := strings.Cut(tt.reply, " ")
		reply := &submission.Reply{Lines: []string{text}}
		fmt.Sscan(code, &reply.Code)
		fmt.Sscanf(text, "%d.%d.%d", &reply.Enhanced[0], &reply.Enhanced[1], &reply.Enhanced[2])
		if reply.Enhanced[0] != reply.Code/100 {
			reply.Enhanced = submission.EnhancedCode{}
		}
		err := &submission.AuthError{Mechanism: tt.mechanism, Offered: []string{tt.mechanism}, Reply: reply}
		has := words(tt.has)
		var hasNot []string
		for _, w := range words(all) {
			if !strings.Contains(tt.has, w) {
				hasNot = append(hasNot, w)
			}
		}
		t.Run(tt.mechanism+" "+tt.reply, func(t *testing.T) {
			wantSays(t, err, append(has, "server says "+tt.reply), hasNot)
			if tt.has == "" && strings.Contains(err.Error(), "(") {
				t.Errorf("a hint: %v", err)
			}
		})
	}
}

// Servers that store hashes offer SCRAM and cannot always do it. That PLAIN would
// be there too is said where the password may be sent so.
func TestHintAuthOthersOffered(t *testing.T) {
	const also = "also offered: "
	for _, tt := range []struct {
		mechanism, offered, reply string
		has, hasNot               string
	}{
		{"SCRAM-SHA-256", "SCRAM-SHA-256 PLAIN LOGIN", "535 5.7.8 no", also + "PLAIN LOGIN (Password.Mechanisms)|user name or password wrong", ""},
		{"SCRAM-SHA-1-PLUS", "SCRAM-SHA-1-PLUS LOGIN", "535 no", also + "LOGIN (Password.Mechanisms)", "PLAIN"},
		{"CRAM-MD5", "CRAM-MD5 PLAIN", "535 no", also + "PLAIN (Password.Mechanisms)", ""},
		{"DIGEST-MD5", "DIGEST-MD5 PLAIN", "535 no", also + "PLAIN (Password.Mechanisms)", ""},
		{"CRAM-MD5", "CRAM-MD5 XOAUTH2", "535 no", "user name or password wrong", also},
		{"CRAM-MD5", "CRAM-MD5 PLAIN", "535 5.7.139 disabled", "", also},
		{"CRAM-MD5", "CRAM-MD5 PLAIN", "534 5.7.9 another", "", also},
		{"CRAM-MD5", "CRAM-MD5 PLAIN", "454 4.7.0 later", "", also},
		{"CRAM-MD5", "CRAM-MD5 PLAIN", "501 what", also + "PLAIN", ""},
		{"PLAIN", "PLAIN LOGIN", "535 no", "", also},
		{"XOAUTH2", "XOAUTH2 PLAIN", "535 no", "", also},
		{"X-OWN", "X-OWN PLAIN", "535 no", "", also},
	} {
		code, text, _ := strings.Cut(tt.reply, " ")
		reply := &submission.Reply{Lines: []string{text}}
		fmt.Sscan(code, &reply.Code)
		fmt.Sscanf(text, "%d.%d.%d", &reply.Enhanced[0], &reply.Enhanced[1], &reply.Enhanced[2])
		err := &submission.AuthError{Mechanism: tt.mechanism, Offered: strings.Fields(tt.offered), Reply: reply}
		t.Run(fmt.Sprint(tt.mechanism, tt.reply), func(t *testing.T) { wantSays(t, err, words(tt.has), words(tt.hasNot)) })
	}
	err := &submission.AuthError{Mechanism: "SCRAM-SHA-256", Offered: []string{"SCRAM-SHA-256", "PLAIN"}, Err: submission.ErrServerProof}
	wantSays(t, err, nil, []string{also})

	for _, insecure := range []bool{false, true} {
		srv := serve(t, &smtptest.Config{TLS: smtptest.NoTLS, Accounts: map[string]string{"username": "another"}, Mechanisms: []string{"CRAM-MD5", "PLAIN"}})
		_, err := submission.NewSession(t.Context(), away(srv.Pipe()), testHost, plainText(withAuth(testPassword), func(o *submission.Options) { o.InsecureAuth = insecure }))
		if insecure {
			wantSays(t, err, []string{also + "PLAIN"}, nil)
		} else {
			wantSays(t, err, nil, []string{also})
		}
	}
}

// Where TLS runs, the server does not want TLS.
func TestHintAuthUnderTLS(t *testing.T) {
	hook := func(c smtptest.Command) *smtptest.Answer {
		if c.Verb == "AUTH" {
			return &smtptest.Answer{Reply: "538 no"}
		}
		return nil
	}
	config := func(mode smtptest.TLSMode) *smtptest.Config {
		return &smtptest.Config{TLS: mode, Hook: hook, Accounts: map[string]string{"username": "password"}, Mechanisms: []string{"PLAIN"}}
	}
	srv := serve(t, config(smtptest.ImplicitTLS))
	o := plainText(withTLS(submission.TLSImplicit), withAuth(testPassword))
	o.TLSConfig = srv.ClientTLSConfig()
	_, err := submission.NewSession(t.Context(), srv.Pipe(), testHost, o)
	wantSays(t, err, []string{"538 no"}, []string{"wants TLS"})
	srv = serve(t, config(smtptest.NoTLS))
	_, err = submission.NewSession(t.Context(), srv.Pipe(), testHost, plainText(withAuthInClear(testPassword)))
	wantSays(t, err, []string{"538 no", "wants TLS"}, nil)
}

// Why the password is not sent, and what to do about it. To allow it without
// trust is never the first advice.
func TestHintInsecureAuth(t *testing.T) {
	skip := func(o *submission.Options) { o.TLSConfig.InsecureSkipVerify = true }
	for _, tt := range []struct {
		name        string
		server      smtptest.TLSMode
		mode        submission.TLSMode
		set         func(*submission.Options)
		adopt       bool
		has, hasNot string
	}{
		{name: "InsecureSkipVerify", server: smtptest.ImplicitTLS, mode: submission.TLSImplicit, set: skip, has: "InsecureSkipVerify|PinnedKeys|InsecureAuth", hasNot: "TLSStartTLS"},
		{name: "InsecureSkipVerify, STARTTLS", server: smtptest.StartTLS, mode: submission.TLSStartTLS, set: skip, has: "InsecureSkipVerify|PinnedKeys|InsecureAuth", hasNot: "TLSStartTLS"},
		{name: "clear text", server: smtptest.NoTLS, mode: submission.TLSNone, has: "TLSStartTLS|TLSImplicit", hasNot: "InsecureSkipVerify|PinnedKeys"},
		{name: "clear text, opportunistic", server: smtptest.NoTLS, mode: submission.TLSOpportunistic, has: "does not offer STARTTLS|TLSImplicit", hasNot: "InsecureSkipVerify|PinnedKeys"},
		{name: "a connection of the caller's", server: smtptest.ImplicitTLS, mode: submission.TLSNone, adopt: true, has: "PinnedKeys|InsecureAuth", hasNot: "TLSStartTLS|Options.TLSConfig"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := serve(t, &smtptest.Config{TLS: tt.server, Accounts: map[string]string{"username": "password"}, Mechanisms: []string{"PLAIN"}})
			for name, auth := range map[string]submission.Auth{"Password": testPassword, "AuthFunc": ownPlain} {
				o := plainText(withTLS(tt.mode), withAuth(auth))
				o.TLSConfig = srv.ClientTLSConfig()
				if tt.set != nil {
					tt.set(o)
				}
				var nc net.Conn = away(srv.Pipe())
				if tt.adopt {
					nc = tlsOver(nc, &tls.Config{InsecureSkipVerify: true})
				}
				_, err := submission.NewSession(t.Context(), nc, testHost, o)
				if wantError[*submission.AuthError](t, err); !errors.Is(err, submission.ErrInsecureAuth) {
					t.Errorf("%s: %v", name, err)
				}
				wantSays(t, err, words(tt.has), words(tt.hasNot))
				text := err.Error()
				if i := strings.Index(text, "InsecureAuth"); i >= 0 && i < strings.Index(text, "PinnedKeys") {
					t.Errorf("InsecureAuth first: %v", err)
				}
			}
		})
	}
}

// ownPlain is an Auth of a caller's that does not ask whether PLAIN may be used.
var ownPlain = submission.AuthFunc(func(context.Context, submission.ServerInfo) (sasl.Client, error) {
	return sasl.NewPlainClient("", "username", "password"), nil
})
