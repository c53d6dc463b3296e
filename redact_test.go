package submission_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-sasl"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// No way of printing what holds a password prints the password.
func TestOptionsHideSecrets(t *testing.T) {
	p := submission.Password{Username: secretUser, Password: secretWord, Identity: "admin", Realm: "r", Domain: "d"}
	proxy, err := submission.SOCKS5("127.0.0.1:1080", url.UserPassword("proxyuser", secretWord), nil)
	if err != nil {
		t.Fatal(err)
	}
	o := submission.Options{Auth: p, Dialer: proxy, From: secretUser, Logger: slog.New(slog.DiscardHandler), Trace: &submission.Trace{}}
	client, err := submission.New(testHost, &o)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	srv := serve(t, &smtptest.Config{TLS: smtptest.NoTLS, Accounts: map[string]string{secretUser: secretWord, "admin": "x"}, Mechanisms: []string{"PLAIN"}})
	session := openSession(t, srv.Pipe(), plainText(withAuthInClear(p)))
	defer session.Close()
	pointed := o
	pointed.Auth = &p
	values := map[string]any{
		"Password": p, "*Password": &p, "Auth": submission.Auth(p), "[]Password": []submission.Password{p},
		"map": map[string]submission.Password{"a": p}, "struct": struct{ P submission.Password }{p}, "struct of any": &struct{ A any }{&p},
		"Options": o, "*Options": &o, "Options with a pointer": pointed, "Dialer": proxy, "Client": client, "Session": session,
	}
	for name, v := range values {
		for how, text := range renderings(v) {
			wantNoSecret(t, name+", "+how, text)
		}
	}
	for how, text := range renderings(p) {
		if how != "%T" && !strings.HasPrefix(how, "%") && !strings.Contains(text, "***") {
			t.Errorf("%s: %q without asterisks", how, text)
		}
	}
	if got := p.String(); !strings.Contains(got, secretUser) {
		t.Errorf("the user name is missing: %q", got)
	}
}

// watch collects everything that a session logs and traces.
type watch struct {
	text, js bytes.Buffer
	mu       sync.Mutex // a goodbye of the pool's may run beside a dial
	trace    []string   // lines, replies and ends
	told     []string   // what the other hooks were told
}

func (w *watch) saw(text ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trace = append(w.trace, text...)
}

func (w *watch) options(o *submission.Options) {
	o.Logger = slog.New(both{
		slog.NewTextHandler(&w.text, &slog.HandlerOptions{Level: slog.LevelDebug}),
		slog.NewJSONHandler(&w.js, &slog.HandlerOptions{Level: slog.LevelDebug}),
	})
	o.Trace = &submission.Trace{
		Sent: func(_ context.Context, _ submission.SessionInfo, line string) { w.saw("C: " + line) },
		Received: func(_ context.Context, _ submission.SessionInfo, r submission.Reply) {
			w.saw("S: "+r.String(), strings.Join(r.Lines, "\n"), fmt.Sprintf("%+v %#v", r, r))
		},
		Closed: func(_ submission.SessionInfo, err error) {
			if err != nil {
				w.saw("closed: " + err.Error())
			}
		},
	}
	// All other hooks, whatever they are told.
	v := reflect.ValueOf(o.Trace).Elem()
	for i := range v.NumField() {
		if v.Field(i).IsNil() {
			v.Field(i).Set(reflect.MakeFunc(v.Type().Field(i).Type, func(args []reflect.Value) []reflect.Value {
				for _, arg := range args {
					switch arg := arg.Interface().(type) {
					case context.Context, tls.ConnectionState: // certificates are the server's own
					default:
						w.mu.Lock()
						w.told = append(w.told, fmt.Sprintf("%v %+v", arg, arg))
						w.mu.Unlock()
					}
				}
				return nil
			}))
		}
	}
}

// both is a handler that calls two handlers.
type both [2]slog.Handler

func (b both) Enabled(context.Context, slog.Level) bool { return true }

func (b both) Handle(ctx context.Context, r slog.Record) error {
	return errors.Join(b[0].Handle(ctx, r.Clone()), b[1].Handle(ctx, r.Clone()))
}

func (b both) WithAttrs(a []slog.Attr) slog.Handler {
	return both{b[0].WithAttrs(a), b[1].WithAttrs(a)}
}

func (b both) WithGroup(name string) slog.Handler {
	return both{b[0].WithGroup(name), b[1].WithGroup(name)}
}

// check looks for the secret in everything that was collected, and in err.
func (w *watch) check(t *testing.T, err error) {
	t.Helper()
	if w.text.Len() == 0 || w.js.Len() == 0 || len(w.trace) == 0 {
		t.Error("nothing was logged")
	}
	wantNoSecret(t, "text log", w.text.String())
	wantNoSecret(t, "JSON log", w.js.String())
	// A JSON log has escapes for < and >.
	var plain strings.Builder
	for line := range strings.Lines(w.js.String()) {
		var fields map[string]any
		if json.Unmarshal([]byte(line), &fields) == nil {
			fmt.Fprintln(&plain, fields)
		}
	}
	wantNoSecret(t, "JSON log, read", plain.String())
	wantNoSecret(t, "trace", strings.Join(w.trace, "\n"))
	if len(w.told) == 0 {
		t.Error("the other hooks were told nothing")
	}
	wantNoSecret(t, "the other hooks", strings.Join(w.told, "\n"))
	wantNoSecretInError(t, err)
}

// wantNoSecretInError looks for the secret in err, printed in every way, and in the reply in
// it.
func wantNoSecretInError(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	for how, text := range renderings(err) {
		wantNoSecret(t, fmt.Sprintf("%T, %s", err, how), text)
		if t.Failed() {
			return // the other ways print the same
		}
	}
	var auth *submission.AuthError
	if errors.As(err, &auth) {
		for how, text := range renderings(*auth) {
			wantNoSecret(t, "AuthError, "+how, text)
		}
		if auth.Reply != nil {
			wantNoSecret(t, "reply", auth.Reply.String()+strings.Join(auth.Reply.Lines, "\n"))
		}
		if auth.Err != nil {
			for how, text := range renderings(auth.Err) {
				wantNoSecret(t, "AuthError.Err, "+how, text)
			}
		}
	}
}

// echoes are texts with the secret in them.
func echoes(secret string) map[string]string {
	plain := "\x00" + secretUser + "\x00" + secret
	return map[string]string{
		"plain":             secret,
		"in a sentence":     "your password " + secret + " is wrong",
		"twice":             secret + secret,
		"in brackets":       "<" + secret + ">",
		"base64":            b64(secret),
		"base64 unpadded":   strings.TrimRight(b64(secret), "="),
		"base64url":         base64.URLEncoding.EncodeToString([]byte(secret)),
		"hex":               hex.EncodeToString([]byte(secret)),
		"upper hex":         strings.ToUpper(hex.EncodeToString([]byte(secret))),
		"the response":      b64(plain),
		"the response, raw": strings.ReplaceAll(plain, "\x00", " "),
		"the response, hex": hex.EncodeToString([]byte(plain)),
		"base64 of more":    b64("is " + secret + " right?"),
		"base64 of more, 1": b64("is it " + secret + " right?"),
		"base64 of more, 2": b64("it is " + secret + secret),
	}
}

// Servers that repeat the secret in a reply to AUTH, as it is or encoded.
func TestEchoedSecrets(t *testing.T) {
	p := submission.Password{Username: secretUser, Password: secretWord}
	only := func(mech string) submission.Password {
		q := p
		q.Mechanisms = []string{mech}
		return q
	}
	auths := map[string]submission.Auth{
		"PLAIN":             only("PLAIN"),
		"LOGIN":             only("LOGIN"),
		"DIGEST-MD5":        only("DIGEST-MD5"),
		"PLAIN, own client": authWith(sasl.NewPlainClient("", secretUser, secretWord)),
		"a token": authWith(sasl.NewOAuthBearerClient(&sasl.OAuthBearerOptions{
			Username: secretUser, Token: secretWord, Host: testHost, Port: 587})),
		"an older token": authWith(&scriptedSASL{name: "XOAUTH2",
			initial: []byte("user=" + secretUser + "\x01auth=Bearer " + secretWord + "\x01\x01"), responses: [][]byte{nil}}),
	}
	places := map[string]func(echo string, response bool) string{
		"535":           func(echo string, _ bool) string { return "535 5.7.8 " + echo },
		"535 in lines":  func(echo string, _ bool) string { return "535-5.7.8 no\n535-5.7.8 " + echo + "\n535 5.7.8 no" },
		"454":           func(echo string, _ bool) string { return "454 " + echo },
		"504":           func(echo string, _ bool) string { return "504 " + echo },
		"421":           func(echo string, _ bool) string { return "421 " + echo },
		"250":           func(echo string, _ bool) string { return "250 " + echo },
		"235":           func(echo string, _ bool) string { return "235 2.7.0 " + echo },
		"garbage":       func(echo string, _ bool) string { return echo },
		"mixed codes":   func(echo string, _ bool) string { return "235-hi\n535 " + echo },
		"334":           func(echo string, _ bool) string { return "334 " + echo },
		"334 in base64": func(echo string, _ bool) string { return "334 " + b64(echo) },
		"334 in lines":  func(echo string, _ bool) string { return "334-a\n334 " + echo },
		"501 after a 334?": func(echo string, response bool) string {
			return map[bool]string{false: "334 ?", true: "501 " + echo}[response]
		},
		"535 after a 334": func(echo string, response bool) string {
			return map[bool]string{false: "334 ", true: "535 " + echo}[response]
		},
	}
	for authName, auth := range auths {
		for placeName, place := range places {
			t.Run(authName+", "+placeName, func(t *testing.T) {
				all := slices.Sorted(maps.Values(echoes(secretWord)))
				srv := serve(t, &smtptest.Config{TLS: smtptest.NoTLS, Accounts: map[string]string{"x": "y"},
					Mechanisms: []string{"PLAIN", "LOGIN", "DIGEST-MD5", "XOAUTH2", "OAUTHBEARER"},
					Hook: func(c smtptest.Command) *smtptest.Answer {
						echo := all[c.Session-1]
						switch c.Verb {
						case "AUTH", "RESPONSE":
							return &smtptest.Answer{Reply: place(echo, c.Verb == "RESPONSE")}
						case "NOOP":
							return &smtptest.Answer{Reply: "250 " + echo}
						case "QUIT":
							return &smtptest.Answer{Reply: "221 " + echo}
						}
						return nil
					}})
				for range all {
					var w watch
					s, err := submission.NewSession(context.Background(), srv.Pipe(), testHost, plainText(withAuthInClear(auth), w.options))
					if err == nil {
						if err := s.Noop(context.Background()); err != nil {
							t.Error(err)
						}
						s.Close()
					}
					w.check(t, err)
				}
			})
		}
	}
}

// The server repeats the password later, in a reply that the caller gets.
func TestEchoedSecretsLater(t *testing.T) {
	for name, echo := range echoes(secretWord) {
		t.Run(name, func(t *testing.T) {
			srv := serve(t, &smtptest.Config{TLS: smtptest.NoTLS, Accounts: map[string]string{secretUser: secretWord}, Mechanisms: []string{"PLAIN"},
				Hook: func(c smtptest.Command) *smtptest.Answer {
					switch c.Verb {
					case "RCPT":
						return &smtptest.Answer{Reply: "550 5.7.1 " + echo}
					case "EXPN":
						return &smtptest.Answer{Reply: "250-" + echo + "\n250 " + echo}
					}
					return nil
				}})
			var w watch
			s := openSession(t, srv.Pipe(), plainText(withAuthInClear(submission.Password{Username: secretUser, Password: secretWord}), w.options))
			defer s.Close()
			r, err := s.Command(context.Background(), "EXPN list")
			if err != nil {
				t.Error(err)
			}
			wantNoSecret(t, "reply", r.String()+strings.Join(r.Lines, ""))
			_, err = s.Send(context.Background(), submission.Envelope{From: "a@test.example", To: submission.To("b@test.example")}, strings.NewReader("x\n"))
			e := wantError[*submission.SendError](t, err)
			for _, rr := range e.Recipients {
				wantNoSecret(t, "recipient's reply", rr.Reply.String())
			}
			w.check(t, err)
		})
	}
}

// What is traced instead of secrets.
func TestTranscriptOfAuth(t *testing.T) {
	tests := []struct {
		name, script string
		auth         submission.Auth
		want         []string
	}{
		{"PLAIN", offersAuth("PLAIN") + authPlain + "S: 235 ok" + quit, testPassword,
			[]string{"S: 220 hi", "C: EHLO client.test.example", "S: 250 mail; AUTH PLAIN", "C: AUTH PLAIN ***", "S: 235 ok", "C: QUIT", "S: 221 bye"}},
		{"LOGIN", offersAuth("LOGIN") + authLogin + "S: 235 ok" + quit, testPassword,
			[]string{"S: 220 hi", "C: EHLO client.test.example", "S: 250 mail; AUTH LOGIN", "C: AUTH LOGIN", "S: 334 VXNlcm5hbWU6", "C: ***", "S: 334 UGFzc3dvcmQ6", "C: ***", "S: 235 ok", "C: QUIT", "S: 221 bye"}},
		{"cancelled", offersAuth("LOGIN") + "C: AUTH LOGIN\nS: 334 ?\nC: *\nS: 501 ok" + quit, testPassword,
			[]string{"S: 220 hi", "C: EHLO client.test.example", "S: 250 mail; AUTH LOGIN", "C: AUTH LOGIN", "S: 334 ?", "C: *", "S: 501 ok", "C: QUIT", "S: 221 bye"}},
		{"empty responses", offersAuth("X") + "C: AUTH X =\nS: 334\nC: \nS: 235 ok" + quit, authWith(&scriptedSASL{name: "X", initial: []byte{}, responses: [][]byte{{}}}),
			[]string{"S: 220 hi", "C: EHLO client.test.example", "S: 250 mail; AUTH X", "C: AUTH X ***", "S: 334", "C: ", "S: 235 ok", "C: QUIT", "S: 221 bye"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			o := plainText(withAuthInClear(tt.auth), func(o *submission.Options) {
				o.Trace = &submission.Trace{
					Sent: func(_ context.Context, _ submission.SessionInfo, line string) { got = append(got, "C: "+line) },
					Received: func(_ context.Context, _ submission.SessionInfo, r submission.Reply) {
						got = append(got, "S: "+r.String())
					},
				}
			})
			if s, err := submission.NewSession(context.Background(), play(t, "whole", tt.script), testHost, o); err == nil {
				s.Close()
			}
			if strings.Join(got, "\n") != strings.Join(tt.want, "\n") {
				t.Errorf("got %q\nwant %q", got, tt.want)
			}
		})
	}
}

// A password that is so short that many texts contain it. Replies after AUTH are still
// readable.
func TestShortSecrets(t *testing.T) {
	script := hello + "S: 250-mail\nS: 250 AUTH PLAIN\nC: AUTH PLAIN " + b64("\x00u\x00e") + "\nS: 235 welcome\nC: NOOP\nS: 250 everyone sees me" + quit
	var last submission.Reply
	s := openSession(t, play(t, "whole", script), plainText(withAuthInClear(submission.Password{Username: "u", Password: "e"}), func(o *submission.Options) {
		o.Trace = &submission.Trace{Received: func(_ context.Context, _ submission.SessionInfo, r submission.Reply) {
			if r.Code == 250 {
				last = r
			}
		}}
	}))
	defer s.Close()
	if err := s.Noop(context.Background()); err != nil || last.String() != "250 everyone sees me" {
		t.Errorf("%v, %q", err, last)
	}
}

// The server repeats a password of two letters in base64 and in hex, in a reply to AUTH.
func TestShortSecretInDisguise(t *testing.T) {
	p := submission.Password{Username: "user", Password: "ab"}
	nc := play(t, "whole", offersAuth("PLAIN")+"C: AUTH PLAIN "+b64("\x00user\x00ab")+"\nS: 535 not YWI= nor 6162"+quit)
	_, err := submission.NewSession(context.Background(), nc, testHost, plainText(withAuthInClear(p)))
	e := wantError[*submission.AuthError](t, err)
	if want := "535 not *** nor ***"; e.Reply.String() != want {
		t.Errorf("reply %q, want %q", e.Reply, want)
	}
}

// A password that is a word of an error text of this package. errors.Is still finds the error.
func TestServerProofSurvivesRedaction(t *testing.T) {
	for _, word := range []string{"password", "server", "prove", "not", "e"} {
		p := submission.Password{Username: "username", Password: word, Mechanisms: []string{"LOGIN"}}
		_, err := submission.NewSession(context.Background(), play(t, "whole", offersAuth("LOGIN")+"C: AUTH LOGIN\nS: 235 ok\neof"), testHost, plainText(withAuthInClear(p)))
		if !errors.Is(err, submission.ErrServerProof) {
			t.Errorf("%s: %v", word, err)
		}
	}
}

// The error of a sasl.Client contains the secret that it sent.
func TestSecretInErrorOfAuth(t *testing.T) {
	client := &scriptedSASL{name: "PLAIN", initial: []byte("\x00" + secretUser + "\x00" + secretWord), nextErr: fmt.Errorf("no second round for %s", secretWord)}
	srv := serve(t, &smtptest.Config{TLS: smtptest.NoTLS, Accounts: map[string]string{"x": "y"}, Hook: func(c smtptest.Command) *smtptest.Answer {
		switch {
		case c.Verb == "AUTH":
			return &smtptest.Answer{Reply: "334 "}
		case c.Verb == "RESPONSE":
			return &smtptest.Answer{Reply: "501 cancelled"}
		}
		return nil
	}})
	var w watch
	_, err := submission.NewSession(context.Background(), srv.Pipe(), testHost, plainText(withAuthInClear(authWith(client)), w.options))
	wantError[*submission.AuthError](t, err)
	if !errors.Is(err, client.nextErr) {
		t.Errorf("the error does not wrap the cause: %v", err)
	}
	w.check(t, err)
}
