package submission_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// Every way to send a secret, over every kind of connection: a mechanism that shows the
// secret is used only where Options.InsecureAuth says so, over verified TLS, and on
// connections that do not leave this machine.
func TestSecretsInTheClear(t *testing.T) {
	accounts := map[string]string{"username": "password"}
	insecure := func(_ *smtptest.Server, o *submission.Options) { o.InsecureAuth = true }
	tlsWith := func(change func(*tls.Config)) func(*smtptest.Server, *submission.Options) {
		return func(srv *smtptest.Server, o *submission.Options) {
			o.TLSConfig = srv.ClientTLSConfig()
			change(o.TLSConfig)
		}
	}
	connections := []struct {
		name    string
		server  smtptest.TLSMode
		mode    submission.TLSMode
		host    string // "" is testHost
		remote  string // "" is a pipe
		dialed  bool   // the connection comes from Options.Dialer
		options func(*smtptest.Server, *submission.Options)
		may     bool
	}{
		{name: "clear text", server: smtptest.NoTLS, mode: submission.TLSNone, remote: "192.0.2.25:587"},
		{name: "clear text over IPv6", server: smtptest.NoTLS, mode: submission.TLSNone, remote: "[2001:db8::25]:587"},
		{name: "clear text in a private network", server: smtptest.NoTLS, mode: submission.TLSNone, remote: "10.0.0.25:587"},
		{name: "link-local", server: smtptest.NoTLS, mode: submission.TLSNone, remote: "[fe80::1%eth0]:587"},
		{name: "unspecified address", server: smtptest.NoTLS, mode: submission.TLSNone, remote: "0.0.0.0:587"},
		{name: "not an IP address", server: smtptest.NoTLS, mode: submission.TLSNone, remote: "localhost:587"},
		{name: "localhost by name only", server: smtptest.NoTLS, mode: submission.TLSNone, host: "localhost", remote: "192.0.2.25:587"},
		{name: "opportunistic, nothing offered", server: smtptest.NoTLS, mode: submission.TLSOpportunistic, remote: "192.0.2.25:587"},
		{name: "clear text, InsecureAuth", server: smtptest.NoTLS, mode: submission.TLSNone, remote: "192.0.2.25:587", options: insecure, may: true},
		{name: "loopback", server: smtptest.NoTLS, mode: submission.TLSNone, host: "localhost", remote: "127.0.0.1:587", may: true},
		{name: "loopback net", server: smtptest.NoTLS, mode: submission.TLSNone, host: "localhost", remote: "127.1.2.3:587", may: true},
		{name: "loopback over IPv6", server: smtptest.NoTLS, mode: submission.TLSNone, host: "::1", remote: "[::1]:587", may: true},
		{name: "loopback, v4-mapped", server: smtptest.NoTLS, mode: submission.TLSNone, host: "127.0.0.1", remote: "[::ffff:127.0.0.1]:587", may: true},
		{name: "pipe", server: smtptest.NoTLS, mode: submission.TLSNone, host: "localhost", may: true},
		{name: "loopback, a tunnel perhaps", server: smtptest.NoTLS, mode: submission.TLSNone, remote: "127.0.0.1:587"},
		{name: "pipe, a tunnel perhaps", server: smtptest.NoTLS, mode: submission.TLSNone},
		{name: "own dialer to loopback, a tunnel perhaps", server: smtptest.NoTLS, mode: submission.TLSNone, remote: "127.0.0.1:587", dialed: true},
		{name: "own dialer to loopback, asked for it", server: smtptest.NoTLS, mode: submission.TLSNone, host: "127.0.0.1", remote: "127.0.0.1:587", dialed: true, may: true},
		{name: "own dialer to loopback, asked for ::1", server: smtptest.NoTLS, mode: submission.TLSNone, host: "[::1]", remote: "[::1]:587", dialed: true, may: true},
		{name: "own dialer to loopback, asked for localhost", server: smtptest.NoTLS, mode: submission.TLSNone, host: "localhost", remote: "127.0.0.1:587", dialed: true, may: true},
		{name: "own dialer, asked for localhost, got elsewhere", server: smtptest.NoTLS, mode: submission.TLSNone, host: "localhost", remote: "192.0.2.25:587", dialed: true},
		{name: "TLS", server: smtptest.ImplicitTLS, mode: submission.TLSImplicit, remote: "192.0.2.25:465", options: tlsWith(func(*tls.Config) {}), may: true},
		{name: "STARTTLS", server: smtptest.StartTLS, mode: submission.TLSStartTLS, remote: "192.0.2.25:587", options: tlsWith(func(*tls.Config) {}), may: true},
		{name: "opportunistic, offered", server: smtptest.StartTLS, mode: submission.TLSOpportunistic, remote: "192.0.2.25:587", options: tlsWith(func(*tls.Config) {}), may: true},
		{name: "TLS not verified", server: smtptest.ImplicitTLS, mode: submission.TLSImplicit, remote: "192.0.2.25:465",
			options: tlsWith(func(c *tls.Config) { c.InsecureSkipVerify = true })},
		{name: "STARTTLS not verified", server: smtptest.StartTLS, mode: submission.TLSStartTLS, remote: "192.0.2.25:587",
			options: tlsWith(func(c *tls.Config) { c.InsecureSkipVerify = true })},
		{name: "TLS not verified to loopback", server: smtptest.ImplicitTLS, mode: submission.TLSImplicit, host: "localhost", remote: "127.0.0.1:465",
			options: tlsWith(func(c *tls.Config) { c.InsecureSkipVerify = true }), may: true},
		{name: "TLS not verified, InsecureAuth", server: smtptest.ImplicitTLS, mode: submission.TLSImplicit, remote: "192.0.2.25:465", may: true,
			options: func(srv *smtptest.Server, o *submission.Options) {
				o.TLSConfig, o.InsecureAuth = &tls.Config{InsecureSkipVerify: true}, true
			}},
		{name: "TLS verified by the caller", server: smtptest.ImplicitTLS, mode: submission.TLSImplicit, remote: "192.0.2.25:465", may: true,
			options: tlsWith(func(c *tls.Config) {
				c.InsecureSkipVerify, c.VerifyConnection = true, func(tls.ConnectionState) error { return nil }
			})},
		{name: "TLS with a pin", server: smtptest.ImplicitTLS, mode: submission.TLSImplicit, remote: "192.0.2.25:465", may: true,
			options: func(srv *smtptest.Server, o *submission.Options) { o.PinnedKeys = [][32]byte{serverPin(t, srv)} }},
	}
	ways := []struct {
		name string
		auth submission.Auth
		sent string // the AUTH command, without the secret
	}{
		{"PLAIN", password(mechanisms("PLAIN")), "AUTH PLAIN ***"},
		{"LOGIN", password(mechanisms("LOGIN")), "AUTH LOGIN"},
		{"another PLAIN client", authWith(sasl.NewPlainClient("", "username", "password")), "AUTH PLAIN ***"},
		{"another LOGIN client", authWith(sasl.NewLoginClient("username", "password")), "AUTH LOGIN ***"},
		{"a bearer token", authWith(sasl.NewOAuthBearerClient(&sasl.OAuthBearerOptions{Username: "u", Token: "t"})), "AUTH OAUTHBEARER ***"},
		{"XOAUTH2", authWith(&scriptedSASL{name: "XOAUTH2", initial: []byte("user=u\x01auth=Bearer t\x01\x01")}), "AUTH XOAUTH2 ***"},
		{"lower case", authWith(&scriptedSASL{name: "plain", initial: []byte("\x00username\x00password")}), "AUTH PLAIN ***"},
	}
	for _, conn := range connections {
		for _, way := range ways {
			t.Run(conn.name+", "+way.name, func(t *testing.T) {
				srv := serve(t, &smtptest.Config{TLS: conn.server, Accounts: accounts,
					Mechanisms: []string{"PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER"},
					Hook: func(c smtptest.Command) *smtptest.Answer {
						if c.Verb == "AUTH" && c.Line != "AUTH LOGIN" {
							return &smtptest.Answer{Reply: "235 2.7.0 welcome"}
						}
						return nil
					}})
				o := plainText(withTLS(conn.mode), withAuth(way.auth))
				if conn.options != nil {
					conn.options(srv, o)
				}
				host := conn.host
				if host == "" {
					host = testHost
				}
				nc := srv.Pipe()
				if conn.remote != "" {
					nc = between(nc, "192.0.2.1:40000", conn.remote)
				}
				var s *submission.Session
				var err error
				if conn.dialed {
					o.Dialer = dialFunc(func(context.Context, string, string) (net.Conn, error) { return nc, nil })
					var c *submission.Client
					if c, err = submission.New(host, o); err != nil {
						t.Fatal(err)
					}
					defer c.Close()
					s, err = c.Dial(context.Background())
				} else {
					s, err = submission.NewSession(context.Background(), nc, strings.Trim(host, "[]"), o)
				}
				if conn.may {
					if err != nil {
						t.Fatal(err)
					}
					s.Close()
					if said := commands(srv); !slices.Contains(said, way.sent) {
						t.Errorf("the client said %q, want %q", said, way.sent)
					}
					return
				}
				if s != nil || !errors.Is(err, submission.ErrInsecureAuth) {
					t.Fatalf("%v, %v", s, err)
				}
				if e := wantError[*submission.AuthError](t, err); e.Temporary() || e.Reply != nil {
					t.Errorf("temporary %v, reply %v", e.Temporary(), e.Reply)
				}
				for _, line := range commands(srv) {
					if strings.HasPrefix(line, "AUTH") || line == "***" {
						t.Errorf("the client said %q", line)
					}
				}
			})
		}
	}
}

// Over clear text to another machine DIGEST-MD5 is used and PLAIN is not.
func TestDigestHidesThePassword(t *testing.T) {
	for _, tt := range []struct {
		name  string
		mechs []string
		want  []string
	}{
		{"default order", nil, []string{ehlo, "AUTH DIGEST-MD5", "***", "***", "QUIT"}},
		{"PLAIN preferred", []string{"PLAIN", "LOGIN", "DIGEST-MD5"}, []string{ehlo, "AUTH DIGEST-MD5", "***", "***", "QUIT"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := serve(t, &smtptest.Config{TLS: smtptest.NoTLS, Accounts: map[string]string{"username": "password"}})
			s := openSession(t, away(srv.Pipe()), plainText(withAuth(password(mechanisms(tt.mechs...)))))
			s.Close()
			wantCommands(t, srv, tt.want...)
		})
	}
	t.Run("504 to DIGEST-MD5", func(t *testing.T) {
		srv := serve(t, &smtptest.Config{TLS: smtptest.NoTLS, Accounts: map[string]string{"username": "password"},
			Hook: func(c smtptest.Command) *smtptest.Answer {
				if c.Verb == "AUTH" {
					return &smtptest.Answer{Reply: "504 what"}
				}
				return nil
			}})
		_, err := submission.NewSession(context.Background(), away(srv.Pipe()), testHost, plainText(withAuth(testPassword)))
		wantError[*submission.AuthError](t, err)
		wantCommands(t, srv, ehlo, "AUTH DIGEST-MD5", "QUIT")
	})
	t.Run("a local server", func(t *testing.T) { // PLAIN is allowed, but DIGEST-MD5 comes first
		srv := serve(t, &smtptest.Config{TLS: smtptest.NoTLS, Accounts: map[string]string{"username": "password"}})
		s := openSession(t, srv.Pipe(), plainText(withAuth(testPassword)))
		s.Close()
		wantCommands(t, srv, ehlo, "AUTH DIGEST-MD5", "***", "***", "QUIT")
	})
	t.Run("under TLS", func(t *testing.T) {
		srv := serve(t, &smtptest.Config{TLS: smtptest.ImplicitTLS, Accounts: map[string]string{"username": "password"}, Mechanisms: []string{"DIGEST-MD5", "LOGIN", "PLAIN"}})
		o := plainText(withTLS(submission.TLSImplicit), withAuth(testPassword))
		o.TLSConfig = srv.ClientTLSConfig()
		s := openSession(t, away(srv.Pipe()), o)
		s.Close()
		wantCommands(t, srv, "-- TLS", ehlo, "AUTH PLAIN ***", "QUIT")
	})
}

// addrless is a connection that does not know its addresses.
type addrless struct{ net.Conn }

func (addrless) LocalAddr() net.Addr { return nil }

func (addrless) RemoteAddr() net.Addr { return nil }

// A connection without addresses does not count as local, and ServerInfo.Port is 0.
func TestConnectionWithoutAddresses(t *testing.T) {
	script := "S: 220 hi\nC: EHLO client.test.example\nS: 250-mail\nS: 250 AUTH PLAIN" + quit
	_, err := submission.NewSession(context.Background(), addrless{play(t, "whole", script)}, testHost, plainText(withAuth(testPassword)))
	if !errors.Is(err, submission.ErrInsecureAuth) {
		t.Errorf("%v", err)
	}
	var port = -1
	auth := submission.AuthFunc(func(_ context.Context, s submission.ServerInfo) (sasl.Client, error) {
		port = s.Port
		return nil, errors.New("no")
	})
	submission.NewSession(context.Background(), addrless{play(t, "whole", script)}, testHost, plainText(withAuth(auth)))
	if port != 0 {
		t.Errorf("the port is %d, want 0", port)
	}
}
