package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/fe022423/submission/smtptest"
)

const demoMessage = `From: Me <me@example.org>
To: you@example.net
Subject: Hello
Date: Wed, 25 Nov 2026 12:00:00 +0000
Message-ID: <hello-1@example.org>

No password was sent.
`

// issuer is a fake issuer of tokens: it gives out token-1, token-2 and so on.
type issuer struct {
	*httptest.Server
	issued atomic.Int64
}

// startIssuer starts one, which says on out what it does.
func startIssuer(out io.Writer) *issuer {
	i := &issuer{}
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := fmt.Sprintf("token-%d", i.issued.Add(1))
		fmt.Fprintf(out, "The issuer was asked for %s by %s, and gave out %s.\n", r.FormValue("grant_type"), r.FormValue("refresh_token"), token)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token": %q, "token_type": "Bearer", "expires_in": 3600}`, token)
	}))
	return i
}

// demonstrate sends to a fake server that does not take the first token: somebody has withdrawn it.
func demonstrate(ctx context.Context, out io.Writer) error {
	srv := smtptest.NewServer(&smtptest.Config{
		Accounts:   map[string]string{"me@example.org": "token-2"},
		Mechanisms: []string{"OAUTHBEARER", "XOAUTH2"},
	})
	defer srv.Close()
	issuer := startIssuer(out)
	defer issuer.Close()
	folder, err := os.MkdirTemp("", "oauth2")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	file := filepath.Join(folder, "message.eml")
	if err := os.WriteFile(file, []byte(demoMessage), 0o600); err != nil {
		return err
	}
	u, err := url.Parse(srv.URL())
	if err != nil {
		return err
	}
	u.User = nil // which would be the token
	env := map[string]string{
		"SUBMISSION_URL": u.String(), "MAIL_USER": "me@example.org",
		"OAUTH2_TOKEN_URL": issuer.URL, "OAUTH2_CLIENT_ID": "example", "OAUTH2_REFRESH_TOKEN": "refresh-1",
	}
	if err := run(ctx, []string{file}, func(name string) string { return env[name] }, out); err != nil {
		return err
	}
	for _, m := range srv.Messages() {
		fmt.Fprintf(out, "Arrived for %v, submitted by %s.\n", m.To, m.Auth)
	}
	return nil
}
