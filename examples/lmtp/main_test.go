package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// message writes a message and returns its name.
func message(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "message.eml")
	if err := os.WriteFile(file, []byte(demoMessage), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestDemonstration(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), nil, "", &out); err != nil {
		t.Fatal(err)
	}
	want := `anna@example.net: delivered: 250 2.0.0 message accepted
gone@example.net: report to the sender: 550 5.1.1 no such mailbox
full@example.net: keep it in the queue: 452 4.2.2 the mailbox is full
strict@example.net: report to the sender: 550 5.7.1 no mail from shops
bea@example.net: delivered: 250 2.0.0 message accepted
The server delivered to [anna@example.net bea@example.net]
`
	if out.String() != want {
		t.Errorf("output:\n%s\nwant:\n%s", &out, want)
	}
}

// Each mailbox has its own verdict, whatever happens, and what is said of it is true.
func TestVerdicts(t *testing.T) {
	hangUp := func(addr string) smtptest.Hook {
		return func(c smtptest.Command) *smtptest.Answer {
			if c.Verb != "MESSAGE" || c.Addr != addr {
				return nil
			}
			return &smtptest.Answer{Close: true}
		}
	}
	for _, tt := range []struct {
		name      string
		hook      smtptest.Hook
		anna, bea string // what is said of them
		to        []string
	}{
		{"all", nil, "delivered: 250", "delivered: 250", []string{"anna@example.net", "bea@example.net"}},
		{"no mailbox", smtptest.On("RCPT", "bea@example.net", "550 5.1.1 who"), "delivered: 250", "report to the sender: 550", []string{"anna@example.net"}},
		{"locked", smtptest.On("RCPT", "bea@example.net", "450 4.2.1 locked"), "delivered: 250", "keep it in the queue: 450", []string{"anna@example.net"}},
		{"full", smtptest.On("MESSAGE", "anna@example.net", "452 4.2.2 full"), "keep it in the queue: 452", "delivered: 250", []string{"bea@example.net"}},
		{"both full", smtptest.On("MESSAGE", "", "452 4.2.2 full"), "keep it in the queue: 452", "keep it in the queue: 452", nil},
		{"server out of order", smtptest.On("MAIL", "", "451 4.3.0 later"), "keep it in the queue: no reply", "keep it in the queue: no reply", nil},
		{"sender refused", smtptest.On("MAIL", "", "550 5.7.1 no"), "report to the sender: no reply", "report to the sender: no reply", nil},
		{"lost before the second verdict", hangUp("bea@example.net"), "delivered: 250", "may have it", []string{"anna@example.net"}},
		{"lost before the first verdict", hangUp("anna@example.net"), "may have it", "may have it", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := smtptest.New(t, &smtptest.Config{LMTP: true, Network: "unix", TLS: smtptest.NoTLS, Hook: tt.hook})
			var out strings.Builder
			err := run(t.Context(), []string{message(t), "<>", "anna@example.net", "bea@example.net"}, srv.URL(), &out)
			if (err == nil) != (tt.name == "all") {
				t.Errorf("error %v", err)
			}
			anna, bea, _ := strings.Cut(out.String(), "\n")
			if !strings.HasPrefix(anna, "anna@example.net: "+tt.anna) || !strings.HasPrefix(bea, "bea@example.net: "+tt.bea) {
				t.Errorf("output:\n%s", &out)
			}
			var to []string
			for _, m := range srv.Messages() {
				if to = append(to, m.To...); m.From != "" || string(m.Data) != strings.ReplaceAll(demoMessage, "\n", "\r\n") {
					t.Errorf("from %q:\n%s", m.From, m.Data)
				}
			}
			if !slices.Equal(to, tt.to) {
				t.Errorf("the server delivered to %q, want %q", to, tt.to)
			}
		})
	}
}

// A server over TCP is told by its host.
func TestTCP(t *testing.T) {
	srv := smtptest.New(t, &smtptest.Config{LMTP: true, TLS: smtptest.NoTLS})
	if err := run(t.Context(), []string{message(t), "me@example.org", "anna@example.net"}, srv.URL(), new(strings.Builder)); err != nil {
		t.Error(err)
	}
	if m, err := srv.Next(t.Context()); err != nil || m.From != "me@example.org" {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestUsage(t *testing.T) {
	for _, tt := range []struct {
		url  string
		args []string
		text string
	}{
		{"lmtp:///run/lmtp", nil, "usage"},
		{"lmtp:///run/lmtp", []string{message(t), "<>"}, "usage"},
		{"lmtp:///run/lmtp", []string{"none.eml", "<>", "a@example.net"}, "none.eml"},
		{"smtp://mail.example.org", []string{message(t), "<>", "a@example.net"}, "lmtp:"},
		{"unix:/run/lmtp", []string{message(t), "<>", "a@example.net"}, "//"},
	} {
		err := run(t.Context(), tt.args, tt.url, new(strings.Builder))
		if err == nil || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s %q: error %v, want %q", tt.url, tt.args, err, tt.text)
		}
	}
	// No server at this socket: nothing is lost, the message stays in the queue.
	var out strings.Builder
	err := run(t.Context(), []string{message(t), "<>", "a@example.net"}, "lmtp://"+filepath.ToSlash(filepath.Join(t.TempDir(), "none")), &out)
	var failed *submission.SendError
	if !errors.As(err, &failed) || failed.Outcome != submission.NotSent || !strings.HasPrefix(out.String(), "a@example.net: keep it in the queue") {
		t.Errorf("error %v, output:\n%s", err, &out)
	}
}
