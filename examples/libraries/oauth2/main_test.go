package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
	"golang.org/x/oauth2"
)

func TestDemonstration(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), nil, func(string) string { return "" }, &out); err != nil {
		t.Fatal(err)
	}
	want := `The issuer was asked for refresh_token by refresh-1, and gave out token-1.
The issuer was asked for refresh_token by refresh-1, and gave out token-2.
The server took 163 bytes: 250 2.0.0 message accepted
Arrived for [you@example.net], submitted by me@example.org.
`
	if out.String() != want {
		t.Errorf("output:\n%s\nwant:\n%s", &out, want)
	}
}

// grants is an issuer that gives out tokens in their order, each by the refresh token that came
// with the one before, and notes what it was asked.
type grants struct {
	mu      sync.Mutex
	tokens  []string
	seconds int // for which a token is good
	asked   []url.Values
}

func (g *grants) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r.ParseForm()
	if id, secret, ok := r.BasicAuth(); ok {
		r.Form.Set("client_id", id)
		r.Form.Set("client_secret", secret)
	}
	g.asked = append(g.asked, r.Form)
	n := len(g.asked)
	w.Header().Set("Content-Type", "application/json")
	if n > len(g.tokens) || r.Form.Get("refresh_token") != fmt.Sprintf("refresh-%d", n) {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"error": "invalid_grant"}`)
		return
	}
	json.NewEncoder(w).Encode(map[string]any{
		"access_token": g.tokens[n-1], "token_type": "Bearer", "expires_in": g.seconds, "refresh_token": fmt.Sprintf("refresh-%d", n+1),
	})
}

// start starts the issuer and returns its URL.
func (g *grants) start(t *testing.T) string {
	srv := httptest.NewServer(g)
	t.Cleanup(srv.Close)
	return srv.URL
}

// setting is an environment for run, with a server that takes the token "good".
func setting(t *testing.T, g *grants, mechanisms ...string) (*smtptest.Server, map[string]string) {
	t.Helper()
	srv := smtptest.New(t, &smtptest.Config{Accounts: map[string]string{"me@example.org": "good"}, Mechanisms: mechanisms})
	u, err := url.Parse(srv.URL())
	if err != nil {
		t.Fatal(err)
	}
	u.User = nil
	return srv, map[string]string{
		"SUBMISSION_URL": u.String(), "MAIL_USER": "me@example.org", "OAUTH2_TOKEN_URL": g.start(t),
		"OAUTH2_CLIENT_ID": "id", "OAUTH2_CLIENT_SECRET": "client secret", "OAUTH2_REFRESH_TOKEN": "refresh-1",
	}
}

func send(t *testing.T, env map[string]string) (output string, err error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "message.eml")
	if err := os.WriteFile(file, []byte(demoMessage), 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	err = run(t.Context(), []string{file}, func(name string) string { return env[name] }, &out)
	return out.String(), err
}

// The server gets the token of the issuer: the first one or, when it refuses that, one more.
func TestTokens(t *testing.T) {
	for _, mechanisms := range [][]string{{"OAUTHBEARER"}, {"XOAUTH2"}, {"PLAIN", "XOAUTH2", "OAUTHBEARER"}} {
		for _, tokens := range [][]string{{"good"}, {"withdrawn", "good"}, {"withdrawn", "bad", "good"}} {
			g := &grants{tokens: tokens, seconds: 3600}
			srv, env := setting(t, g, mechanisms...)
			_, err := send(t, env)
			if len(tokens) == 3 { // it is renewed once, not again and again
				var refused *submission.AuthError
				if !errors.As(err, &refused) || len(srv.Messages()) > 0 || len(g.asked) != 2 {
					t.Errorf("%v: %v, %d messages, the issuer was asked %d times", mechanisms, err, len(srv.Messages()), len(g.asked))
				}
				continue
			}
			if err != nil {
				t.Errorf("%v, %v: %v", mechanisms, tokens, err)
				continue
			}
			m, err := srv.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if m.From != "me@example.org" || !slices.Equal(m.To, []string{"you@example.net"}) || m.Auth != "me@example.org" {
				t.Errorf("%v, %v: from %s to %v by %s", mechanisms, tokens, m.From, m.To, m.Auth)
			}
			if len(g.asked) != len(tokens) {
				t.Errorf("%v, %v: the issuer was asked %d times", mechanisms, tokens, len(g.asked))
			}
			for _, q := range g.asked {
				if q.Get("grant_type") != "refresh_token" || q.Get("client_id") != "id" || q.Get("client_secret") != url.QueryEscape("client secret") {
					t.Errorf("the issuer was asked %v", q)
				}
			}
		}
	}
}

// Without a token nothing is sent, and no error shows a secret.
func TestNoToken(t *testing.T) {
	g := &grants{}
	srv, env := setting(t, g, "OAUTHBEARER")
	output, err := send(t, env)
	var failed *submission.SendError
	if !errors.As(err, &failed) || failed.Outcome != submission.NotSent || !strings.Contains(err.Error(), "invalid_grant") {
		t.Errorf("error %v", err)
	}
	if text := output + fmt.Sprint(err); strings.Contains(text, "refresh-1") || strings.Contains(text, "client secret") || len(srv.Messages()) > 0 {
		t.Errorf("output %s, %d messages", text, len(srv.Messages()))
	}
}

// source returns tokens of an issuer.
func source(t *testing.T, g *grants) *tokens {
	return newTokens(&oauth2.Config{ClientID: "id", Endpoint: oauth2.Endpoint{TokenURL: g.start(t), AuthStyle: oauth2.AuthStyleInParams}}, "refresh-1")
}

// A token is fetched when there is none, when it is over, or when it must be a new one.
func TestCache(t *testing.T) {
	g := &grants{tokens: []string{"a", "b", "c", "d"}, seconds: 3600}
	s := source(t, g)
	for i, step := range []struct {
		renew bool
		want  string
	}{{false, "a"}, {false, "a"}, {true, "b"}, {false, "b"}, {true, "c"}, {true, "d"}, {false, "d"}} {
		if got, err := s.token(t.Context(), step.renew); err != nil || got != step.want {
			t.Errorf("step %d: %q, %v, want %q", i, got, err, step.want)
		}
	}
	if _, err := s.token(t.Context(), true); err == nil {
		t.Error("no error, though the issuer has no more")
	}
	if got, err := s.token(t.Context(), false); err != nil || got != "d" {
		t.Errorf("after a failure: %q, %v", got, err)
	}

	g = &grants{tokens: []string{"a", "b"}, seconds: 1} // so short that it is over at once
	s = source(t, g)
	for _, want := range []string{"a", "b"} {
		if got, err := s.token(t.Context(), false); err != nil || got != want {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
}

// Sessions that begin together share one token.
func TestTogether(t *testing.T) {
	g := &grants{tokens: []string{"a", "b"}, seconds: 3600}
	s := source(t, g)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if got, err := s.token(t.Context(), false); err != nil || got != "a" {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	all.Wait()
	if len(g.asked) != 1 {
		t.Errorf("the issuer was asked %d times", len(g.asked))
	}
}

// Nobody waits longer than its context lasts, neither for the issuer nor for others.
func TestContext(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		select {
		case <-answer:
		case <-r.Context().Done():
		}
	}))
	defer srv.Close()
	defer close(answer)
	s := newTokens(&oauth2.Config{ClientID: "id", Endpoint: oauth2.Endpoint{TokenURL: srv.URL, AuthStyle: oauth2.AuthStyleInParams}}, "refresh-1")
	first, endFirst := context.WithCancel(t.Context())
	defer endFirst()
	firstErr := make(chan error, 1)
	go func() {
		_, err := s.token(first, false)
		firstErr <- err
	}()
	<-asked
	second, endSecond := context.WithCancel(t.Context())
	endSecond()
	if _, err := s.token(second, false); !errors.Is(err, context.Canceled) {
		t.Errorf("who waits for another: %v", err)
	}
	endFirst()
	if err := <-firstErr; !errors.Is(err, context.Canceled) {
		t.Errorf("who waits for the issuer: %v", err)
	}
}

func TestUsage(t *testing.T) {
	g := &grants{tokens: []string{"good"}, seconds: 3600}
	srv, env := setting(t, g, "OAUTHBEARER")
	getenv := func(name string) string { return env[name] }
	for _, args := range [][]string{nil, {"a", "b"}} {
		if err := run(t.Context(), args, getenv, new(strings.Builder)); err == nil || !strings.Contains(err.Error(), "usage") {
			t.Errorf("%q: %v", args, err)
		}
	}
	if err := run(t.Context(), []string{"none.eml"}, getenv, new(strings.Builder)); err == nil || !strings.Contains(err.Error(), "none.eml") {
		t.Error(err)
	}
	for _, name := range []string{"MAIL_USER", "OAUTH2_TOKEN_URL", "OAUTH2_CLIENT_ID", "OAUTH2_REFRESH_TOKEN"} {
		was := env[name]
		env[name] = ""
		if _, err := send(t, env); err == nil || err.Error() != name+" is not set" {
			t.Errorf("without %s: %v", name, err)
		}
		env[name] = was
	}
	env["SUBMISSION_URL"] = "mail.example.org"
	if _, err := send(t, env); err == nil || !strings.Contains(err.Error(), "scheme") {
		t.Error(err)
	}
	if n := srv.Sessions(); n > 0 || len(g.asked) > 0 {
		t.Errorf("%d sessions, %d tokens", n, len(g.asked))
	}
}
