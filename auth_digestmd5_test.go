package submission_test

import (
	"context"
	"encoding/base64"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// DIGEST-MD5 with user names, passwords and realms of every kind.
func TestDigest(t *testing.T) {
	tests := []struct {
		name     string
		hostname string // of the server, which is also its realm
		accounts map[string]string
		password submission.Password
		code     int // 0 is success
	}{
		{name: "right", accounts: map[string]string{"username": "password"}, password: testPassword},
		{name: "wrong password", accounts: map[string]string{"username": "other"}, password: testPassword, code: 535},
		{name: "unknown user", accounts: map[string]string{"other": "password"}, password: testPassword, code: 535},
		{name: "quotes and backslashes", accounts: map[string]string{`a"b\c, d=e`: `p"q\r`},
			password: submission.Password{Username: `a"b\c, d=e`, Password: `p"q\r`}},
		{name: "quotes and backslashes in the realm", hostname: `re"al\m`, accounts: map[string]string{"username": "password"}, password: testPassword},
		{name: "ISO 8859-1", accounts: map[string]string{"josé": "sécret"}, password: submission.Password{Username: "josé", Password: "sécret"}},
		{name: "beyond ISO 8859-1", accounts: map[string]string{"тест": "пароль"}, password: submission.Password{Username: "тест", Password: "пароль"}},
		{name: "identity", accounts: map[string]string{"username": "password", "admin": "x"},
			password: password(func(p *submission.Password) { p.Identity = "admin" })},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			srv := serve(t, &smtptest.Config{TLS: smtptest.NoTLS, Hostname: tt.hostname, Accounts: tt.accounts, Mechanisms: []string{"DIGEST-MD5", "PLAIN", "LOGIN"}})
			p := tt.password
			p.Mechanisms = []string{"DIGEST-MD5", "PLAIN", "LOGIN"}
			s, err := submission.NewSession(context.Background(), srv.Pipe(), testHost, plainText(withAuth(p)))
			if tt.code == 0 {
				if err != nil {
					t.Fatal(err)
				}
				s.Close()
				wantCommands(t, srv, ehlo, "AUTH DIGEST-MD5", "***", "***", "QUIT")
				return
			}
			r := authRefusal{mechanism: "DIGEST-MD5", code: tt.code}
			r.checkError(t, err)
			wantCommands(t, srv, ehlo, "AUTH DIGEST-MD5", "***", "QUIT")
		})
	}
}

// In a response the charset has no quotes, and quotes and backslashes in quoted values are
// escaped (RFC 2831, 2.1.2).
func TestDigestForm(t *testing.T) {
	said := ""
	srv := serve(t, &smtptest.Config{TLS: smtptest.NoTLS, Mechanisms: []string{"DIGEST-MD5"}, Accounts: map[string]string{`a"b\c`: "secret"},
		Hook: func(c smtptest.Command) *smtptest.Answer {
			if b, err := base64.StdEncoding.DecodeString(c.Line); c.Verb == "RESPONSE" && said == "" && err == nil {
				said = string(b)
			}
			return nil
		}})
	openSession(t, srv.Pipe(), plainText(withAuth(submission.Password{Username: `a"b\c`, Password: "secret"}))).Close()
	for _, want := range []string{`username="a\"b\\c"`, "charset=utf-8"} {
		if !strings.Contains(said, want) {
			t.Errorf("%s is missing in the response %s", want, said)
		}
	}
}

// The response names the host that was dialed, and the realm of Password or else of the server.
func TestDigestNamesHostAndRealm(t *testing.T) {
	for _, tt := range []struct{ addr, realm, want string }{
		{"тест.example", "", `realm="mail.test.example",digest-uri="smtp/xn--e1aybc.example"`},
		{testHost, "", `realm="mail.test.example",digest-uri="smtp/mail.test.example"`},
		{testHost + ":587", "", `realm="mail.test.example",digest-uri="smtp/mail.test.example"`},
		{"192.0.2.25", "", `realm="mail.test.example",digest-uri="smtp/192.0.2.25"`},
		{"[fe80::1%eth0]:587", "", `realm="mail.test.example",digest-uri="smtp/fe80::1"`},
		{testHost + ".", "", `realm="mail.test.example",digest-uri="smtp/mail.test.example"`},
		{testHost, `an"other`, `realm="an\"other",digest-uri="smtp/mail.test.example"`},
	} {
		said := ""
		srv := serve(t, &smtptest.Config{TLS: smtptest.NoTLS, Accounts: map[string]string{"username": "password"}, Hook: func(c smtptest.Command) *smtptest.Answer {
			if c.Verb == "RESPONSE" && said == "" {
				b, _ := base64.StdEncoding.DecodeString(c.Line)
				said = string(b)
			}
			return nil
		}})
		o := plainText(withAuth(password(func(p *submission.Password) { p.Realm = tt.realm })))
		o.Dialer = dialFunc(func(context.Context, string, string) (net.Conn, error) { return srv.Pipe(), nil })
		c, err := submission.New(tt.addr, o)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Ping(context.Background()); (err != nil) != (tt.realm != "") {
			t.Error(err)
		}
		c.Close()
		srv.Close()
		for want := range strings.SplitSeq(tt.want, ",") {
			if !strings.Contains(said, want) {
				t.Errorf("%s: the response is %q, want %s in it", tt.addr, said, want)
			}
		}
	}
}

// Servers that do not know the password, or do not know the mechanism. No other mechanism is
// tried after that.
func TestDigestHostile(t *testing.T) {
	const good = `realm="r",nonce="OA6MG9tEQGm2hh",qop="auth",algorithm=md5-sess,charset=utf-8`
	challenge := func(s string) string { return "334 " + b64(s) }
	const response = "(a response)"
	tests := []struct {
		name    string
		replies []string // to AUTH and to each response
		said    []string // by the client after AUTH
		proof   bool     // ErrServerProof
	}{
		{name: "235 at once", replies: []string{"235 welcome"}, proof: true},
		{name: "235 without rspauth", replies: []string{challenge(good), "235 welcome"}, said: []string{response}, proof: true},
		{name: "wrong rspauth", replies: []string{challenge(good), challenge("rspauth=" + strings.Repeat("0", 32)), "501 cancelled"}, said: []string{response, "*", "QUIT"}, proof: true},
		{name: "wrong rspauth, 235 to the *", replies: []string{challenge(good), challenge("rspauth=" + strings.Repeat("0", 32)), "235 welcome"}, said: []string{response, "*"}, proof: true},
		{name: "short rspauth", replies: []string{challenge(good), challenge("rspauth=0"), "501 cancelled"}, said: []string{response, "*", "QUIT"}, proof: true},
		{name: "empty rspauth", replies: []string{challenge(good), challenge(`rspauth=""`), "501 cancelled"}, said: []string{response, "*", "QUIT"}, proof: true},
		{name: "two rspauth", replies: []string{challenge(good), challenge("rspauth=0,rspauth=1"), "501 cancelled"}, said: []string{response, "*", "QUIT"}, proof: true},
		{name: "no rspauth", replies: []string{challenge(good), challenge("x=y"), "501 cancelled"}, said: []string{response, "*", "QUIT"}, proof: true},
		{name: "empty second challenge", replies: []string{challenge(good), "334 ", "501 cancelled"}, said: []string{response, "*", "QUIT"}, proof: true},
		{name: "the challenge again", replies: []string{challenge(good), challenge(good), "501 cancelled"}, said: []string{response, "*", "QUIT"}, proof: true},
		{name: "535", replies: []string{challenge(good), "535 wrong"}, said: []string{response, "QUIT"}},

		{name: "empty challenge", replies: []string{"334 ", "501 cancelled"}, said: []string{"*", "QUIT"}},
		{name: "no nonce", replies: []string{challenge(`realm="r",qop="auth",algorithm=md5-sess`), "501 cancelled"}, said: []string{"*", "QUIT"}},
		{name: "two nonces", replies: []string{challenge(good + `,nonce="x"`), "501 cancelled"}, said: []string{"*", "QUIT"}},
		{name: "no algorithm", replies: []string{challenge(`nonce="x",qop="auth"`), "501 cancelled"}, said: []string{"*", "QUIT"}},
		{name: "two algorithms", replies: []string{challenge(good + `,algorithm=md5-sess`), "501 cancelled"}, said: []string{"*", "QUIT"}},
		{name: "another algorithm", replies: []string{challenge(`nonce="x",algorithm=md5`), "501 cancelled"}, said: []string{"*", "QUIT"}},
		{name: "another charset", replies: []string{challenge(`nonce="x",algorithm=md5-sess,charset=latin1`), "501 cancelled"}, said: []string{"*", "QUIT"}},
		{name: "qop without auth", replies: []string{challenge(`nonce="x",qop="auth-int,auth-conf",algorithm=md5-sess`), "501 cancelled"}, said: []string{"*", "QUIT"}},
		{name: "string without an end", replies: []string{challenge(`nonce="x,algorithm=md5-sess`), "501 cancelled"}, said: []string{"*", "QUIT"}},
		{name: "too long", replies: []string{challenge(good + `,x="` + strings.Repeat("x", 2048-len(good)-5) + `"`), "501 cancelled"}, said: []string{"*", "QUIT"}},
		{name: "too long, 235 to the *", replies: []string{challenge(good + `,x="` + strings.Repeat("x", 2048) + `"`), "235 welcome"}, said: []string{"*"}},
		{name: "not text", replies: []string{challenge("\x00\xff"), "501 cancelled"}, said: []string{"*", "QUIT"}},

		{name: "unquoted strings", replies: []string{challenge(`realm=r,nonce=abc,qop=auth,algorithm="md5-sess",charset=utf-8`), "535 wrong"}, said: []string{response, "QUIT"}},
		{name: "several realms and white space", replies: []string{challenge(" realm=\"r\" ,\trealm=\"s\", nonce = \"x\",,algorithm=MD5-sess"), "535 wrong"}, said: []string{response, "QUIT"}},
		{name: "as long as it may be", replies: []string{challenge(good + `,x="` + strings.Repeat("x", 2047-len(good)-5) + `"`), "535 wrong"}, said: []string{response, "QUIT"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var said []string
			answered := 0
			srv := serve(t, &smtptest.Config{TLS: smtptest.NoTLS, Accounts: map[string]string{"username": "password"},
				Hook: func(c smtptest.Command) *smtptest.Answer {
					switch {
					case c.Verb == "AUTH" && answered == 0 && c.Line == "AUTH DIGEST-MD5":
					case c.Verb == "RESPONSE" && c.Line == "*":
						said = append(said, "*")
					case c.Verb == "RESPONSE":
						said = append(said, response)
					case c.Verb == "EHLO" || c.Verb == "CONNECT":
						return nil
					default:
						said = append(said, c.Line)
						return nil
					}
					answered++
					return &smtptest.Answer{Reply: tt.replies[answered-1]}
				}})
			_, err := submission.NewSession(context.Background(), srv.Pipe(), testHost, plainText(withAuth(testPassword)))
			srv.Close()
			if !slices.Equal(said, tt.said) {
				t.Errorf("after AUTH the client said %q, want %q", said, tt.said)
			}
			if e := wantError[*submission.AuthError](t, err); e.Mechanism != "DIGEST-MD5" || e.Temporary() {
				t.Errorf("%v", err)
			}
			if errors.Is(err, submission.ErrServerProof) != tt.proof {
				t.Errorf("the error wraps ErrServerProof: %v, want %v: %v", !tt.proof, tt.proof, err)
			}
		})
	}
}
