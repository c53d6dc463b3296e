package smtptest

import (
	"crypto/tls"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/fe022423/submission/internal/mechanism"
	hidden "github.com/fe022423/submission/internal/redact"
)

// clients are the client side of each mechanism that takes a password or token.
var clients = map[string]func(mechanism.Credentials) (sasl.Client, error){
	"PLAIN":              mechanism.NewPlain,
	"LOGIN":              mechanism.NewLogin,
	"DIGEST-MD5":         mechanism.NewDigestMD5,
	"CRAM-MD5":           mechanism.NewCramMD5,
	"NTLM":               mechanism.NewNTLM,
	"XOAUTH2":            mechanism.NewXOAuth2,
	"OAUTHBEARER":        mechanism.NewOAuthBearer,
	"SCRAM-SHA-1":        mechanism.NewScramSHA1,
	"SCRAM-SHA-1-PLUS":   mechanism.NewScramSHA1Plus,
	"SCRAM-SHA-256":      mechanism.NewScramSHA256,
	"SCRAM-SHA-256-PLUS": mechanism.NewScramSHA256Plus,
	"SCRAM-SHA-512":      mechanism.NewScramSHA512,
	"SCRAM-SHA-512-PLUS": mechanism.NewScramSHA512Plus,
}

var (
	bearers  = []string{"XOAUTH2", "OAUTHBEARER"}
	scrams   = []string{"SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"}
	provers  = append([]string{"DIGEST-MD5"}, scrams...) // the server has to prove itself too
	withName = append([]string{"PLAIN", "DIGEST-MD5"}, scrams...)
)

// authenticate runs a mechanism as a client session does and returns the final
// reply and what the mechanism says about it.
func (c *client) authenticate(m sasl.Client) (reply string, complete error) {
	c.t.Helper()
	name, initial, err := m.Start()
	if err != nil {
		c.t.Fatalf("Start: %v", err)
	}
	line := "AUTH " + name
	if initial != nil {
		line += " " + b64(string(initial)) // no mechanism here has an empty one
	}
	for {
		c.raw(line + "\r\n")
		reply = c.reply()
		text, more := strings.CutPrefix(reply, "334 ")
		if !more {
			return reply, m.(interface{ Complete() error }).Complete()
		}
		challenge, ok := decodeResponse(text)
		if !ok {
			c.t.Fatalf("challenge %q", text)
		}
		response, err := m.Next(challenge)
		if line = b64(string(response)); err != nil {
			c.do("*", "501 5.7.0 cancelled")
			return "", err
		}
	}
}

// crossServer starts a server for all mechanisms that speaks TLS of that version.
func crossServer(t *testing.T, accounts map[string]string, version uint16) *Server {
	t.Helper()
	return newServer(t, &Config{Accounts: accounts, Mechanisms: spoken, TLSConfig: &tls.Config{MaxVersion: version}, LenientClearText: true})
}

// TestCrossCheck has the client side of each mechanism log in with the right
// password, and fail with a wrong one and as a user that does not exist: in
// clear text, and over TLS with each binding that there is.
func TestCrossCheck(t *testing.T) {
	accounts := map[string]string{"user": "pencil", "other": "x"}
	ways := []struct {
		name    string
		version uint16
		binding int // its index, -1 for clear text
	}{
		{"clear text", 0, -1},
		{"TLS 1.2, end point", tls.VersionTLS12, 0},
		{"TLS 1.3, end point", tls.VersionTLS13, 0},
		{"TLS 1.3, exporter", tls.VersionTLS13, 1},
	}
	for _, way := range ways {
		s := crossServer(t, accounts, way.version)
		for name, create := range clients {
			if way.binding < 0 && strings.HasSuffix(name, "-PLUS") {
				continue
			}
			for kind, cred := range map[string]mechanism.Credentials{
				"right":   {Username: "user", Password: hidden.Hide("pencil")},
				"wrong":   {Username: "user", Password: hidden.Hide("Pencil")},
				"unknown": {Username: "nobody", Password: hidden.Hide("pencil")},
			} {
				t.Run(name+" "+kind+" "+way.name, func(t *testing.T) {
					cred.Host, cred.Port, cred.Offered = "localhost", 587, spoken
					var c *client
					if way.binding < 0 {
						c = piped(t, s)
					} else {
						var bindings []mechanism.Binding
						c, bindings = bound(t, s, nil)
						cred.Binding = bindings[way.binding]
					}
					m, err := create(cred)
					if err != nil {
						t.Fatal(err)
					}
					reply, complete := c.authenticate(m)
					if kind != "right" {
						checkRefused(t, name, reply, complete)
						return
					}
					if !strings.HasPrefix(reply, "235") || complete != nil {
						t.Fatalf("reply %q, Complete: %v", reply, complete)
					}
					if got := c.identified(s); got != "user" {
						t.Errorf("authenticated as %q", got)
					}
				})
			}
		}
	}
}

// checkRefused checks that the reply is 535, and that a mechanism which can say more
// about a refusal does so.
func checkRefused(t *testing.T, name, reply string, complete error) {
	t.Helper()
	if !strings.HasPrefix(reply, "535 5.7.8") {
		t.Errorf("reply %q", reply)
	}
	var reason *mechanism.RefusalError
	if slices.Contains(bearers, name) != errors.As(complete, &reason) || reason != nil && !strings.Contains(reason.Reason, `{"status":`) {
		t.Errorf("Complete: %v", complete)
	}
	if proves := slices.Contains(provers, strings.TrimSuffix(name, "-PLUS")); proves != errors.Is(complete, mechanism.ErrServerProof) {
		t.Errorf("Complete: %v", complete)
	}
}

// TestCrossCheckNames uses unusual names and passwords. The table knows which client
// refuses which credentials.
func TestCrossCheckNames(t *testing.T) {
	accounts := map[string]string{
		"user@example.com": "pass word", "a,b=c": "x,y=z", `q"\u`: `p"\w`, "josé": "sécret", "日本": "語", "IX": "roman",
		"two words": "x", "ªb": "Ⅸ", "key": "🔑", "long": strings.Repeat("p", 200), "latin": "ÿ",
	}
	refused := map[string][]string{
		// A token is visible ASCII.
		"user@example.com": bearers, "josé": bearers, "日本": bearers, "ªb": bearers, "key": bearers, "latin": bearers,
	}
	s := crossServer(t, accounts, tls.VersionTLS13)
	for name, create := range clients {
		for user, password := range accounts {
			t.Run(name+" "+user, func(t *testing.T) {
				c, bindings := bound(t, s, nil)
				m, err := create(mechanism.Credentials{Username: user, Password: hidden.Hide(password),
					Host: "localhost", Binding: bindings[0], Offered: spoken})
				if slices.Contains(refused[user], name) {
					if err == nil {
						t.Error("the client takes the credentials")
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				reply, complete := c.authenticate(m)
				if !strings.HasPrefix(reply, "235") || complete != nil {
					t.Fatalf("reply %q, Complete: %v", reply, complete)
				}
				if got := c.identified(s); got != user {
					t.Errorf("authenticated as %q", got)
				}
			})
		}
	}
}

// TestCrossCheckIdentity: a mechanism sends the authorization identity if it has a place
// for it, and the server checks it.
func TestCrossCheckIdentity(t *testing.T) {
	accounts := map[string]string{"user": "pencil", "other,one=1": "x"}
	s := crossServer(t, accounts, tls.VersionTLS13)
	for name, create := range clients {
		for identity, want := range map[string]string{"other,one=1": "235", "nobody": "535"} {
			c, bindings := bound(t, s, nil)
			m, err := create(mechanism.Credentials{Username: "user", Password: hidden.Hide("pencil"), Identity: identity,
				Host: "localhost", Binding: bindings[0], Offered: spoken})
			if carries := slices.Contains(withName, strings.TrimSuffix(name, "-PLUS")); carries != (err == nil) {
				t.Errorf("%s: %v", name, err)
			}
			if err != nil {
				continue
			}
			if reply, _ := c.authenticate(m); !strings.HasPrefix(reply, want) {
				t.Errorf("%s as %s: %q", name, identity, reply)
			}
		}
	}
}

// TestCrossCheckNTLMDomain sends the domain, given as Domain or in the user name.
func TestCrossCheckNTLMDomain(t *testing.T) {
	s := crossServer(t, map[string]string{`CORP\user`: "one", "user": "two"}, 0)
	for _, tt := range []struct{ user, domain, password, want string }{
		{"user", "CORP", "one", `CORP\user`},
		{`corp\User`, "", "one", `CORP\user`},
		{`CORP\user`, "corp", "one", `CORP\user`},
		{"user", "LAB", "two", "user"},
		{"user", "", "two", "user"},
		{"user", "", "one", ""},
		{"user", "LAB", "one", ""},
	} {
		c := piped(t, s)
		m, err := mechanism.NewNTLM(mechanism.Credentials{Username: tt.user, Domain: tt.domain, Password: hidden.Hide(tt.password)})
		if err != nil {
			t.Fatal(err)
		}
		reply, complete := c.authenticate(m)
		if ok := strings.HasPrefix(reply, "235"); ok != (tt.want != "") || complete != nil {
			t.Errorf("%+v: %q, Complete: %v", tt, reply, complete)
		} else if ok {
			if got := c.identified(s); got != tt.want {
				t.Errorf("%+v: authenticated as %q", tt, got)
			}
		}
	}
}
