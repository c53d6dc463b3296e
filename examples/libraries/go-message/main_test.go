package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fe022423/submission/smtptest"
)

func TestDemonstration(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), nil, "", &out); err != nil {
		t.Fatal(err)
	}
	want := `Arrived for [anna@example.net]: "Ihre Datei für März", with text, HTML and invoice.csv of 23 bytes`
	if !strings.Contains(out.String(), want) {
		t.Errorf("no %q in\n%s", want, &out)
	}
}

// What go-message wrote arrives, as it was meant.
func TestMessage(t *testing.T) {
	content := bytes.Repeat([]byte{0, 1, 0xff, '\r', '\n', '.', '\n', '\r'}, 20_000) // more than the client holds back
	file := filepath.Join(t.TempDir(), "report.bin")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	srv := smtptest.New(t, nil)
	if err := run(t.Context(), []string{"Jürgen Groß <you@example.net>", file}, srv.URL()+"&from=me@example.org", io.Discard); err != nil {
		t.Fatal(err)
	}
	m, err := srv.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, err := m.Parse()
	if err != nil {
		t.Fatal(err)
	}
	if m.From != "me@example.org" || !slices.Equal(m.To, []string{"you@example.net"}) {
		t.Errorf("from %s to %v", m.From, m.To)
	}
	if id := got.Header.Get("Message-Id"); !strings.HasSuffix(id, "@example.org>") || got.Header.Get("Date") == "" {
		t.Errorf("Message-ID %s, Date %s", id, got.Header.Get("Date"))
	}
	if len(got.To) != 1 || got.To[0].Name != "Jürgen Groß" || got.Subject != "Ihre Datei für März" {
		t.Errorf("header section %v", got.Header)
	}
	if !strings.HasPrefix(got.Text, "Hello,\n") || !strings.Contains(got.HTML, "<b>file</b>") {
		t.Errorf("text %q, HTML %q", got.Text, got.HTML)
	}
	if len(got.Attachments) != 1 || got.Attachments[0].Name != "report.bin" || !bytes.Equal(got.Attachments[0].Data, content) {
		t.Errorf("%d attachments", len(got.Attachments))
	}
}

// Nothing arrives when something is wrong.
func TestNothingArrives(t *testing.T) {
	srv := smtptest.New(t, nil)
	srv.SetHook(smtptest.On("RCPT", "gone@example.net", "550 5.1.1 no such user"))
	url := srv.URL() + "&from=me@example.org"
	for _, tt := range []struct {
		name, url string
		args      []string
		text      string
	}{
		{"no arguments", url, nil, "usage"},
		{"no address", url, []string{"you", "main.go"}, "recipient"},
		{"no file", url, []string{"you@example.net", "none.go"}, "none.go"},
		{"a folder", url, []string{"you@example.net", "."}, "not sent"},
		{"no sender", srv.URL(), []string{"you@example.net", "main.go"}, "?from="},
		{"bad URL", "mail.example.org", []string{"you@example.net", "main.go"}, "scheme"},
		{"refused", url, []string{"gone@example.net", "main.go"}, "550 5.1.1"},
	} {
		err := run(t.Context(), tt.args, tt.url, io.Discard)
		if err == nil || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.text)
		}
	}
	if all := srv.Messages(); len(all) > 0 {
		t.Errorf("messages %+v", all)
	}
}
