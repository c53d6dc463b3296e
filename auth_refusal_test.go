package submission_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// hangUps are the ways in which a server leaves with a refusal. One that waits reads
// one more command first.
var hangUps = map[string]smtptest.Answer{
	"closes":                 {Close: true},
	"resets":                 {Close: true, Reset: true},
	"says 421, closes":       {Raw: []byte("421 4.7.0 too many errors\r\n"), Close: true},
	"says 221, closes":       {Raw: []byte("221 bye\r\n"), Close: true},
	"says 421, stays":        {Raw: []byte("421 4.7.0 too many errors\r\n")},
	"waits, and then closes": {},
	"waits, and then resets": {},
}

// refuser is a Hook that gives refusal to the at-th AUTH command or response and
// hangs up like that.
func refuser(at int, refusal, how string) func(smtptest.Command) *smtptest.Answer {
	said := map[int]int{} // by session
	return func(c smtptest.Command) *smtptest.Answer {
		if c.Verb != "AUTH" && c.Verb != "RESPONSE" {
			return nil
		}
		said[c.Session]++
		switch n := said[c.Session]; {
		case n < at:
			return &smtptest.Answer{Reply: "334 "}
		case n == at:
			answer := hangUps[how]
			answer.Reply = refusal
			return &answer
		case strings.HasPrefix(how, "waits"):
			return &smtptest.Answer{Close: true, Reset: strings.HasSuffix(how, "resets")}
		}
		return nil
	}
}

// eachNetwork runs f with connections to srv over a pipe and over TCP.
func eachNetwork(t *testing.T, srv *smtptest.Server, f func(t *testing.T, dial func() net.Conn)) {
	t.Helper()
	t.Run("pipe", func(t *testing.T) { f(t, srv.Pipe) })
	t.Run("TCP", func(t *testing.T) {
		f(t, func() net.Conn {
			nc, err := net.Dial("tcp", srv.Addr())
			if err != nil {
				t.Fatal(err)
			}
			return nc
		})
	})
}

// TestRefusalAndHangUp has a server refuse a mechanism or the credentials and hang
// up: the refusal is the error, not the lost connection.
func TestRefusalAndHangUp(t *testing.T) {
	for how := range hangUps {
		for _, refusal := range []string{"535 5.7.8 wrong", "534 5.7.9 too weak", "504 5.5.4 what", "504-5.5.4 not\n504 5.5.4 that", "500 5.5.1 what", "550 5.7.1 no"} {
			for mechanism, at := range map[string]int{"PLAIN": 1, "LOGIN": 3} {
				t.Run(fmt.Sprint(refusal[:3], ", ", how, ", ", mechanism), func(t *testing.T) {
					srv := serve(t, &smtptest.Config{TLS: smtptest.NoTLS, Accounts: map[string]string{"x": "y"}, Mechanisms: []string{"PLAIN", "LOGIN"}, Hook: refuser(at, refusal, how)})
					other := map[string]string{"PLAIN": "LOGIN", "LOGIN": "PLAIN"}[mechanism]
					auth := password(mechanisms(mechanism, other))
					eachNetwork(t, srv, func(t *testing.T, dial func() net.Conn) {
						if strings.HasPrefix(how, "says") && !strings.HasSuffix(t.Name(), "pipe") {
							return // it may come too late to be seen before the next command
						}
						_, err := submission.NewSession(context.Background(), dial(), testHost, plainText(withAuthInClear(auth)))
						e := wantError[*submission.AuthError](t, err)
						if e.Reply == nil || fmt.Sprint(e.Reply.Code) != refusal[:3] || e.Temporary() || e.Mechanism != mechanism {
							t.Errorf("%v", err)
						}
					})
				})
			}
		}
	}
}

// TestNoRefusal has what is no hang-up after a refusal: the next mechanism counts
// then, and what becomes of it.
func TestNoRefusal(t *testing.T) {
	both := offersAuth("PLAIN LOGIN") + authPlain + "S: 504 5.5.4 what\n"
	tests := []authRefusal{
		{name: "EOF in the middle of the next", mechanism: "LOGIN", script: both + "C: AUTH LOGIN\nS: 334\n" + sendUser + "close\neof", temporary: true, is: io.EOF},
		{name: "421 to the next", mechanism: "LOGIN", script: both + "C: AUTH LOGIN\nS: 421 later\neof", code: 421, temporary: true},
		{name: "454 to the next", mechanism: "LOGIN", script: both + "C: AUTH LOGIN\nS: 454 later" + quit, code: 454, temporary: true},
		{name: "garbage to the next", mechanism: "LOGIN", script: both + "C: AUTH LOGIN\nS! what\neof", protocol: true},
	}
	for _, r := range tests {
		r.run(t)
	}
}

// tokens is an OAuth2 whose tokens are first, and second after a refusal. It notes
// what it was asked.
type tokens struct {
	first, second string
	asked         []bool
}

func (k *tokens) auth() submission.OAuth2 {
	return submission.OAuth2{Username: "user", Token: func(_ context.Context, renew bool) (string, error) {
		k.asked = append(k.asked, renew)
		if renew {
			return k.second, nil
		}
		return k.first, nil
	}}
}

// arounds are what may be put around an Auth.
var arounds = map[string]func(submission.Auth) submission.Auth{
	"alone": func(a submission.Auth) submission.Auth { return a },
	"AuthFunc": func(a submission.Auth) submission.Auth {
		return submission.AuthFunc(a.Mechanism)
	},
	"two AuthFuncs": func(a submission.Auth) submission.Auth {
		return submission.AuthFunc(submission.AuthFunc(a.Mechanism).Mechanism)
	},
	"a choice": func(a submission.Auth) submission.Auth {
		return submission.AuthFunc(func(ctx context.Context, s submission.ServerInfo) (sasl.Client, error) {
			if len(s.Mechanisms) == 0 {
				return nil, errors.New("none")
			}
			return a.Mechanism(ctx, s)
		})
	},
}

// TestRefusedTokenAndHangUp has a server that refuses a token and hangs up: the
// renewed token is tried on a fresh connection.
func TestRefusedTokenAndHangUp(t *testing.T) {
	for _, name := range []string{"OAUTHBEARER", "XOAUTH2"} {
		for around, wrap := range arounds {
			for how := range hangUps {
				for _, outcome := range []string{"accepted", "refused", "refused, stays"} {
					t.Run(name+", "+around+", "+how+", "+outcome, func(t *testing.T) {
						k := &tokens{first: "stale-token-1", second: "fresh-token-2"}
						if outcome != "accepted" {
							k.second = "wrong-token-3"
						}
						refuse := refuser(1, "535 5.7.8 no", how)
						srv := serve(t, &smtptest.Config{TLS: smtptest.NoTLS, Accounts: map[string]string{"user": "fresh-token-2"}, Mechanisms: []string{name},
							Hook: func(c smtptest.Command) *smtptest.Answer {
								if c.Session == 1 || outcome == "refused" {
									return refuse(c)
								}
								return nil
							}})
						dials := 0
						o := plainText(withAuthInClear(wrap(k.auth())))
						o.Dialer = dialFunc(func(context.Context, string, string) (net.Conn, error) {
							dials++
							return srv.Pipe(), nil
						})
						c, err := submission.New(testHost, o)
						if err != nil {
							t.Fatal(err)
						}
						defer c.Close()
						err = c.Ping(context.Background())
						if dials != 2 || !slices.Equal(k.asked, []bool{false, true}) {
							t.Errorf("%d dials, asked for %v", dials, k.asked)
						}
						if outcome == "accepted" {
							if err != nil {
								t.Error(err)
							}
							return
						}
						if e := wantError[*submission.AuthError](t, err); e.Reply == nil || e.Reply.Code != 535 || e.Temporary() {
							t.Errorf("%v", err)
						}
					})
				}
			}
		}
	}
	t.Run("NewSession", func(t *testing.T) { // which cannot dial
		for how := range hangUps {
			k := &tokens{first: "stale-token-1", second: "fresh-token-2"}
			srv := serve(t, &smtptest.Config{TLS: smtptest.NoTLS, Accounts: map[string]string{"user": "fresh-token-2"}, Mechanisms: []string{"XOAUTH2"}, Hook: refuser(1, "535 5.7.8 no", how)})
			_, err := submission.NewSession(context.Background(), srv.Pipe(), testHost, plainText(withAuthInClear(k.auth())))
			if e := wantError[*submission.AuthError](t, err); e.Reply == nil || e.Reply.Code != 535 || e.Temporary() {
				t.Errorf("%s: %v", how, err)
			}
		}
	})
	t.Run("the second dial fails", func(t *testing.T) {
		k := &tokens{first: "stale-token-1", second: "fresh-token-2"}
		srv := serve(t, &smtptest.Config{TLS: smtptest.NoTLS, Accounts: map[string]string{"user": "fresh-token-2"}, Mechanisms: []string{"XOAUTH2"}, Hook: refuser(1, "535 5.7.8 no", "closes")})
		o := plainText(withAuthInClear(k.auth()))
		dials := 0
		o.Dialer = dialFunc(func(context.Context, string, string) (net.Conn, error) {
			if dials++; dials > 1 {
				return nil, io.ErrUnexpectedEOF
			}
			return srv.Pipe(), nil
		})
		c, err := submission.New(testHost, o)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if e := wantError[*submission.ConnectError](t, c.Ping(context.Background())); !e.Temporary() {
			t.Errorf("%v", e)
		}
	})
}

// TestReasonAndHangUp has a server that gives its reason within the exchange and hangs
// up without a final reply: the reason is the error, and a token is renewed for it as
// after a final reply.
func TestReasonAndHangUp(t *testing.T) {
	for _, tt := range []struct {
		mechanism, reason, has string
		at                     int // the AUTH command or response that the reason answers
	}{
		{"XOAUTH2", `{"status":"401"}`, `the server refused: {"status":"401"}|perhaps it is expired`, 1},
		{"OAUTHBEARER", `{"status":"invalid_token"}`, `the server refused: {"status":"invalid_token"}|perhaps it is expired`, 1},
		{"SCRAM-SHA-256", "e=invalid-proof", "the server refused: invalid-proof", 2},
		{"SCRAM-SHA-1", "e=unknown-user", "the server refused: unknown-user", 1},
	} {
		for how, end := range map[string]smtptest.Answer{"closes at once": {}, "closes": {Close: true}, "resets": {Close: true, Reset: true}} {
			t.Run(tt.mechanism+", "+how, func(t *testing.T) {
				said := 0
				srv := serve(t, &smtptest.Config{TLS: smtptest.NoTLS, Accounts: map[string]string{"user": "fresh-token-2"}, Mechanisms: []string{tt.mechanism},
					Hook: func(c smtptest.Command) *smtptest.Answer {
						if c.Session > 2 || c.Verb != "AUTH" && c.Verb != "RESPONSE" {
							return nil
						}
						switch said++; {
						case said == tt.at:
							return &smtptest.Answer{Reply: "334 " + b64(tt.reason), Close: how == "closes at once"}
						case said > tt.at:
							return &end
						}
						return nil
					}})
				k := &tokens{first: "stale-token-1", second: "fresh-token-2"}
				auth := submission.Auth(k.auth())
				if strings.HasPrefix(tt.mechanism, "SCRAM") {
					auth = submission.Password{Username: "user", Password: "wrong-password"}
				}
				o := plainText(withAuthInClear(auth))
				_, err := submission.NewSession(context.Background(), srv.Pipe(), testHost, o)
				wantSays(t, err, words(tt.has), []string{"closed the connection"})
				if e := wantError[*submission.AuthError](t, err); e.Temporary() || e.Mechanism != tt.mechanism {
					t.Errorf("%v", err)
				}
				said, k.asked = 0, nil
				o.Dialer = dialFunc(func(context.Context, string, string) (net.Conn, error) { return srv.Pipe(), nil })
				c, err := submission.New(testHost, o)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				err = c.Ping(context.Background())
				if _, isToken := auth.(submission.OAuth2); isToken {
					if err != nil || !slices.Equal(k.asked, []bool{false, true}) {
						t.Errorf("asked for %v, %v", k.asked, err)
					}
				} else {
					wantSays(t, err, words(tt.has), []string{"closed the connection"})
				}
			})
		}
	}
}

// TestRenewalAroundAuth has a refused token renewed on the same connection, whatever
// is put around the OAuth2.
func TestRenewalAroundAuth(t *testing.T) {
	for around, wrap := range arounds {
		for _, name := range []string{"OAUTHBEARER", "XOAUTH2"} {
			srv := serve(t, &smtptest.Config{TLS: smtptest.NoTLS, Accounts: map[string]string{"user": "fresh-token-2"}, Mechanisms: []string{name}})
			k := &tokens{first: "stale-token-1", second: "fresh-token-2"}
			s, err := submission.NewSession(context.Background(), srv.Pipe(), testHost, plainText(withAuthInClear(wrap(k.auth()))))
			if err != nil || !slices.Equal(k.asked, []bool{false, true}) {
				t.Errorf("%s, %s: asked %v, %v", around, name, k.asked, err)
				continue
			}
			s.Close()
		}
	}
}

// TestRedactionAroundAuth has a server repeat what an Auth knows and never sends as
// it is, whatever is put around the Auth.
func TestRedactionAroundAuth(t *testing.T) {
	for around, wrap := range arounds {
		for _, name := range []string{"SCRAM-SHA-256", "DIGEST-MD5", "CRAM-MD5", "NTLM", "PLAIN", "LOGIN"} {
			t.Run(around+", "+name, func(t *testing.T) {
				for echoName, echo := range echoes(secretWord) {
					srv := serve(t, &smtptest.Config{TLS: smtptest.NoTLS, Accounts: map[string]string{secretUser: secretWord}, Mechanisms: []string{name},
						Hook: func(c smtptest.Command) *smtptest.Answer {
							switch c.Verb {
							case "AUTH":
								if c.Session == 1 {
									return &smtptest.Answer{Reply: "535 " + echo}
								}
							case "NOOP":
								return &smtptest.Answer{Reply: "250 " + echo}
							}
							return nil
						}})
					auth := wrap(submission.Password{Username: secretUser, Password: secretWord})
					for range 2 {
						var w watch
						s, err := submission.NewSession(context.Background(), srv.Pipe(), testHost, plainText(withAuthInClear(auth), w.options))
						if err == nil {
							if err := s.Noop(context.Background()); err != nil {
								t.Error(err)
							}
							s.Close()
						}
						if w.check(t, err); t.Failed() {
							t.Fatal(echoName)
						}
					}
				}
			})
		}
	}
}

// TestPublicAroundAuth has the server speak of a user name, which is not a secret,
// whatever is put around the Auth that sends it.
func TestPublicAroundAuth(t *testing.T) {
	const name = "alice-1@test.example"
	for around, wrap := range arounds {
		for _, tt := range []struct {
			offered string
			auth    submission.Auth
			script  string
		}{
			{"EXTERNAL", submission.External(name), "C: AUTH EXTERNAL " + b64(name)},
			{"ANONYMOUS", submission.Anonymous(name), "C: AUTH ANONYMOUS " + b64(name)},
			{"LOGIN", submission.Password{Username: name, Password: secretWord}, "C: AUTH LOGIN\nS: 334\nC: " + b64(name) + "\nS: 334\nC: " + b64(secretWord)},
			{"LOGIN", authWith(sasl.NewLoginClient(name, secretWord)), "C: AUTH LOGIN " + b64(name) + "\nS: 334 " + b64("Password:") + "\nC: " + b64(secretWord)},
			{"LOGIN", authWith(&scriptedSASL{name: "LOGIN", responses: [][]byte{[]byte(name), []byte(secretWord)}}),
				"C: AUTH LOGIN\nS: 334\nC: " + b64(name) + "\nS: 334\nC: " + b64(secretWord)},
		} {
			var last submission.Reply
			script := offersAuth(tt.offered) + tt.script + "\n" + authOK + "\nC: NOOP\nS: 250 hello " + name + quit
			s := openSession(t, play(t, "whole", script), plainText(withAuthInClear(wrap(tt.auth)), func(o *submission.Options) {
				o.Trace = &submission.Trace{Received: func(_ context.Context, _ submission.SessionInfo, r submission.Reply) { last = r }}
			}))
			if err := s.Noop(context.Background()); err != nil || last.String() != "250 hello "+name {
				t.Errorf("%s, %s: %v, %v", around, tt.offered, last, err)
			}
			s.Close()
		}
	}
}

// TestPlusRefused has a server that lists -PLUS mechanisms and does not know them:
// what it listed decides what SCRAM claims afterwards, not what is left.
func TestPlusRefused(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, listed := range [][]string{
			{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"}, {"SCRAM-SHA-1-PLUS", "SCRAM-SHA-256"},
			{"SCRAM-SHA-512-PLUS", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-1"},
		} {
			for _, code := range []string{"504", "534"} {
				for around, wrap := range arounds {
					var firsts []string
					srv := serve(t, &smtptest.Config{Accounts: map[string]string{"user": "right-password"}, Mechanisms: listed, TLSConfig: &tls.Config{MaxVersion: version},
						Hook: func(c smtptest.Command) *smtptest.Answer {
							if c.Verb != "AUTH" {
								return nil
							}
							if strings.Contains(c.Line, "-PLUS") {
								return &smtptest.Answer{Reply: code + " no"}
							}
							firsts = append(firsts, c.Line)
							return nil
						}})
					o := &submission.Options{TLSConfig: srv.ClientTLSConfig()}
					if _, err := login(t, srv, o, wrap(submission.Password{Username: "user", Password: "right-password"})); err != nil {
						t.Errorf("%v, %s, %s: %v", listed, code, around, err)
					}
					srv.Close()
					if len(firsts) != 1 || !strings.HasPrefix(firsts[0], "AUTH "+listed[len(listed)-1]+" "+b64("n,,")) {
						t.Errorf("%v, %s, %s: said %q", listed, code, around, firsts)
					}
				}
			}
		}
	}
}

// TestPasswordIsNotShownAgain has a server refuse the mechanism after it has seen
// the password: under TLS no mechanism shows it that is no stronger.
func TestPasswordIsNotShownAgain(t *testing.T) {
	long := strings.Repeat("x", 400)
	tests := []struct {
		name     string
		offered  []string
		allowed  []string
		password string
		refuse   string // what is refused: the mechanism, and after which response
		tried    []string
	}{
		{name: "PLAIN, then LOGIN", offered: []string{"PLAIN", "LOGIN"}, refuse: "PLAIN", tried: []string{"PLAIN"}},
		{name: "LOGIN, then PLAIN", offered: []string{"PLAIN", "LOGIN"}, allowed: []string{"LOGIN", "PLAIN"}, refuse: "LOGIN 2", tried: []string{"LOGIN"}},
		{name: "LOGIN refused at once", offered: []string{"PLAIN", "LOGIN"}, allowed: []string{"LOGIN", "PLAIN"}, refuse: "LOGIN", tried: []string{"LOGIN", "PLAIN"}},
		{name: "LOGIN refused at the user name", offered: []string{"PLAIN", "LOGIN"}, allowed: []string{"LOGIN", "PLAIN"}, refuse: "LOGIN 1", tried: []string{"LOGIN", "PLAIN"}},
		{name: "PLAIN held back", offered: []string{"PLAIN", "LOGIN"}, password: long, refuse: "PLAIN", tried: []string{"PLAIN", "LOGIN"}},
		{name: "PLAIN held back and sent", offered: []string{"PLAIN", "LOGIN"}, password: long, refuse: "PLAIN 1", tried: []string{"PLAIN"}},
		{name: "a stronger one is left", offered: []string{"PLAIN", "LOGIN", "CRAM-MD5"}, refuse: "PLAIN", tried: []string{"PLAIN", "CRAM-MD5"}},
		{name: "one that shows nothing comes first", offered: []string{"PLAIN", "LOGIN", "SCRAM-SHA-256"}, refuse: "SCRAM-SHA-256", tried: []string{"SCRAM-SHA-256", "PLAIN"}},
	}
	for _, tt := range tests {
		for _, code := range []string{"504 no", "534 no"} {
			for around, wrap := range arounds {
				t.Run(tt.name+", "+code+", "+around, func(t *testing.T) {
					word := tt.password
					if word == "" {
						word = "right-password"
					}
					var tried []string
					responses := 0
					srv := serve(t, &smtptest.Config{TLS: smtptest.ImplicitTLS, Accounts: map[string]string{"user": word}, Mechanisms: tt.offered,
						Hook: func(c smtptest.Command) *smtptest.Answer {
							switch c.Verb {
							case "AUTH":
								tried, responses = append(tried, strings.Fields(c.Line)[1]), 0
							case "RESPONSE":
								responses++
							default:
								return nil
							}
							now := tried[len(tried)-1]
							if responses > 0 {
								now += fmt.Sprint(" ", responses)
							}
							if now == tt.refuse {
								return &smtptest.Answer{Reply: code}
							}
							if strings.HasPrefix(tt.refuse, tried[len(tried)-1]+" ") {
								return &smtptest.Answer{Reply: "334 "}
							}
							return nil
						}})
					o := plainText(withTLS(submission.TLSImplicit), withAuth(wrap(submission.Password{Username: "user", Password: word, Mechanisms: tt.allowed})))
					o.TLSConfig = srv.ClientTLSConfig()
					s, err := submission.NewSession(context.Background(), srv.Pipe(), testHost, o)
					if err == nil {
						s.Close()
					} else if e := wantError[*submission.AuthError](t, err); e.Reply == nil || !strings.HasPrefix(code, fmt.Sprint(e.Reply.Code)) {
						t.Errorf("%v", err)
					}
					srv.Close()
					if !slices.Equal(tried, tt.tried) || (err == nil) != (len(tt.tried) > 1) {
						t.Errorf("tried %q, want %q; %v", tried, tt.tried, err)
					}
				})
			}
		}
	}
}
