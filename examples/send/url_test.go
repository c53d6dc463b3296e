package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fe022423/submission/smtptest"
)

// Without -addr the server is that of SUBMISSION_URL, and each flag goes before it.
func TestURL(t *testing.T) {
	accounts := map[string]string{"anna": "a secret", "me": "a secret"}
	other := strings.Repeat("0", 64)
	for _, tt := range []struct {
		name       string
		config     smtptest.Config
		more       string // is appended to the URL
		flags      []string
		status     int
		text       string // among the errors
		from, user string
	}{
		{"all by URL", smtptest.Config{Accounts: accounts}, "&from=shop@example.org", []string{"-to", "you@example.net"}, 0, "", "shop@example.org", "anna"},
		{"-t", smtptest.Config{Accounts: accounts}, "", []string{"-t"}, 0, "", "shop@example.org", "anna"},
		{"-t, sender by URL", smtptest.Config{Accounts: accounts}, "&from=url@example.org", []string{"-t"}, 0, "", "shop@example.org", "anna"},
		{"-from", smtptest.Config{Accounts: accounts}, "&from=shop@example.org", []string{"-from", "me@example.org", "-to", "you@example.net"}, 0, "", "me@example.org", "anna"},
		{"-user", smtptest.Config{Accounts: accounts}, "", []string{"-user", "me", "-t"}, 0, "", "shop@example.org", "me"},
		{"-name", smtptest.Config{}, "&name=url.example.org", []string{"-name", "client.example.org", "-t"}, 0, "", "shop@example.org", ""},
		{"implicit TLS", smtptest.Config{TLS: smtptest.ImplicitTLS}, "", []string{"-t"}, 0, "", "shop@example.org", ""},
		{"no TLS", smtptest.Config{TLS: smtptest.NoTLS}, "", []string{"-t"}, 0, "", "shop@example.org", ""},
		{"-tls", smtptest.Config{TLS: smtptest.NoTLS}, "", []string{"-tls", "starttls", "-t"}, exitNotSent, "STARTTLS", "", ""},
		{"-tls auto", smtptest.Config{TLS: smtptest.NoTLS}, "", []string{"-tls", "auto", "-t"}, exitNotSent, "STARTTLS", "", ""},
		{"-pin", smtptest.Config{}, "", []string{"-pin", other, "-t"}, exitNotSent, "PinnedKeys", "", ""},
		{"LMTP", smtptest.Config{LMTP: true, TLS: smtptest.NoTLS}, "", []string{"-t"}, 0, "", "shop@example.org", ""},
		{"-lmtp=false", smtptest.Config{LMTP: true, TLS: smtptest.NoTLS}, "", []string{"-lmtp=false", "-t"}, exitNotSent, "EHLO", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := smtptest.New(t, &tt.config)
			sendByURL(t, srv.URL()+tt.more, letter, tt.flags...).want(t, tt.status, tt.text)
			all := srv.Messages()
			if tt.status != 0 {
				if len(all) > 0 {
					t.Errorf("messages %+v", all)
				}
				return
			}
			if len(all) != 1 || all[0].From != tt.from || all[0].Auth != tt.user || !slices.Equal(all[0].To, []string{"you@example.net"}) {
				t.Errorf("messages %+v", all)
			}
			if tt.name == "-name" && !slices.Contains(srv.Transcript(), "[1] C: EHLO client.example.org") {
				t.Errorf("transcript %q", srv.Transcript())
			}
		})
	}
}

// -ca trusts a server whose key is not pinned.
func TestURLAuthority(t *testing.T) {
	srv := smtptest.New(t, nil)
	url, _, _ := strings.Cut(srv.URL(), "&pin=")
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, srv.CertificatePEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	sendByURL(t, url, letter, "-t").want(t, exitNotSent, "certificate")
	sendByURL(t, url, letter, "-t", "-ca", file).want(t, 0, "")
	sendByURL(t, url+"&ca="+file, letter, "-t").want(t, 0, "")
}

// Only a server that is named gets anything, and no error repeats the URL.
func TestURLUsage(t *testing.T) {
	srv := server(t, nil)
	for _, tt := range []struct {
		name, url string
		flags     []string
		text      string
	}{
		{"no flags", srv.URL(), nil, "-to"},
		{"-quiet", srv.URL(), []string{"-quiet"}, "-to"},
		{"no recipients", srv.URL(), []string{"-from", "me@example.org"}, "-to"},
		{"empty -addr", srv.URL(), []string{"-addr", "", "-t"}, "no -addr"},
		{"no URL", "", []string{"-t"}, "no -addr"},
		{"scheme", "http://me:hunter2@mail.example.org", []string{"-t"}, "scheme"},
		{"malformed", "smtp://me:hunter2%@mail.example.org", []string{"-t"}, "malformed"},
		{"key", "smtp://me:hunter2@mail.example.org?password=hunter2", []string{"-t"}, "password"},
		{"empty message", srv.URL(), []string{"-to", "you@example.net"}, "the message is empty"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := sendByURL(t, tt.url, "", tt.flags...)
			got.want(t, exitUsage, tt.text)
			if strings.Contains(got.out, "Arrived") || strings.Contains(got.errors, "hunter2") {
				t.Errorf("output:\n%s\nerrors:\n%s", got.out, got.errors)
			}
		})
	}
	if n := srv.Sessions(); n > 0 {
		t.Errorf("%d sessions", n)
	}
}

// -addr goes before SUBMISSION_URL, of which nothing is used then.
func TestAddrBeforeURL(t *testing.T) {
	srv, elsewhere := server(t, nil), server(t, nil)
	url := strings.Replace(elsewhere.URL(), "me:a%20secret@", "me:wrong@", 1)
	if url == elsewhere.URL() {
		t.Fatalf("URL %s", url)
	}
	for _, url := range []string{url, "nonsense"} {
		sendByURL(t, url, letter, toServer(srv)...).want(t, 0, "")
	}
	if n := len(srv.Messages()); n != 2 || elsewhere.Sessions() > 0 {
		t.Errorf("%d messages, %d sessions elsewhere", n, elsewhere.Sessions())
	}
}

func TestHelpNamesURL(t *testing.T) {
	if got := send(t, "", "-help"); !strings.Contains(got.errors, "SUBMISSION_URL") || !strings.Contains(got.errors, "smtps://") {
		t.Errorf("help:\n%s", got.errors)
	}
}
