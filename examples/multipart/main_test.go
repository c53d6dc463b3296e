package main

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/fe022423/submission/smtptest"
)

func TestDemonstration(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), nil, "", &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"The server took ", "Content-Type: multipart/alternative", `Arrived: "Your file invoice.csv", with text, HTML and invoice.csv of 23 bytes`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
}

// A file of any size arrives as it is, beside text and HTML.
func TestFile(t *testing.T) {
	for _, size := range []int{0, 1, 56, 57, 58, 57 * 2, 100_000} {
		content := make([]byte, size)
		rand.NewChaCha8([32]byte{1}).Read(content)
		file := filepath.Join(t.TempDir(), "report.bin")
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		srv := smtptest.New(t, nil)
		var out strings.Builder
		if err := run(t.Context(), []string{"Jürgen Groß <you@example.net>", file}, srv.URL()+"&from=me@example.org", &out); err != nil {
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
		if m.From != "me@example.org" || !slices.Equal(m.To, []string{"you@example.net"}) || got.To[0].Name != "Jürgen Groß" {
			t.Errorf("from %s to %q, To: %v", m.From, m.To, got.To)
		}
		if !strings.HasPrefix(got.Text, "Hello,\n") || !strings.HasPrefix(got.HTML, "<p>Hello,</p>\n") {
			t.Errorf("text %q, HTML %q", got.Text, got.HTML)
		}
		if len(got.Attachments) != 1 || got.Attachments[0].Name != "report.bin" || !bytes.Equal(got.Attachments[0].Data, content) {
			t.Errorf("%d bytes: attachments %.100q", size, got.Attachments)
		}
		for line := range bytes.Lines(m.Data) {
			if len(line) > 78+2 && !bytes.HasPrefix(line, []byte("Content-Type: multipart/")) {
				t.Errorf("line of %d bytes: %q", len(line), line)
			}
		}
		if !strings.HasPrefix(out.String(), "The server took ") {
			t.Errorf("output %q", out.String())
		}
	}
}

// Whatever stands in a name or a subject, it stays what it is: no field is added, no
// boundary broken, nothing lost.
func TestHostileText(t *testing.T) {
	for _, text := range []string{
		"plain", "", "Grüße", "日本語の件名", `quoted "name" \ here`, "a;b=c,d", "inj\r\nBcc: spy@example.com", "inj\nX: y", "\x00\x01", "=?utf-8?q?no?=",
		strings.Repeat("long ", 100) + "end", strings.Repeat("ü", 200),
	} {
		l := &letter{
			From: &mail.Address{Name: text, Address: "me@example.org"}, To: &mail.Address{Name: text, Address: "you@example.net"},
			Subject: text, Text: text + "\n.\n--\n", HTML: text, FileName: text + ".csv", File: strings.NewReader(text),
		}
		var data bytes.Buffer
		if err := l.writeTo(&data); err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		got, err := smtptest.Message{Data: data.Bytes()}.Parse()
		if err != nil {
			t.Errorf("%q: %v\n%s", text, err, &data)
			continue
		}
		for _, field := range []string{"Bcc", "X"} {
			if got.Header.Get(field) != "" {
				t.Errorf("%q: a field %s", text, field)
			}
		}
		if len(got.Attachments) != 1 || string(got.Attachments[0].Data) != text {
			t.Errorf("%q: attachments %q", text, got.Attachments)
		}
		if want := strings.ReplaceAll(text, "\r\n", "\n"); got.HTML != want || got.Text != want+"\n.\n--\n" {
			t.Errorf("%q: text %q, HTML %q", text, got.Text, got.HTML)
		}
		if strings.ContainsAny(text, "\r\n\x00=") {
			continue // no reader has to show these as they were
		}
		if got.Subject != text || got.From[0].Name != text || got.Attachments[0].Name != text+".csv" {
			t.Errorf("%q: subject %q, from %q, file %q", text, got.Subject, got.From[0].Name, got.Attachments[0].Name)
		}
	}
}

// A failure of the file or of the connection is the error.
func TestFailures(t *testing.T) {
	broken := errors.New("broken")
	for _, l := range []*letter{
		{File: iotest.ErrReader(broken)},
		{File: io.MultiReader(strings.NewReader("half"), iotest.ErrReader(broken))},
	} {
		l.From, l.To = &mail.Address{Address: "a@b.example"}, &mail.Address{Address: "c@d.example"}
		if err := l.writeTo(io.Discard); !errors.Is(err, broken) {
			t.Errorf("error %v", err)
		}
	}
	l := &letter{From: &mail.Address{Address: "a@b.example"}, To: &mail.Address{}, File: strings.NewReader("")}
	r, w := io.Pipe()
	r.CloseWithError(broken)
	if err := l.writeTo(w); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
}

// Nothing arrives when something is wrong.
func TestNothingArrives(t *testing.T) {
	srv := smtptest.New(t, nil)
	srv.SetHook(smtptest.On("RCPT", "gone@example.net", "550 5.1.1 no such user"))
	sender := "&from=me@example.org"
	for _, tt := range []struct {
		name, url string
		args      []string
		text      string
	}{
		{"no arguments", srv.URL() + sender, nil, "usage"},
		{"one argument", srv.URL() + sender, []string{"you@example.net"}, "usage"},
		{"no address", srv.URL() + sender, []string{"you", "main.go"}, "recipient"},
		{"no file", srv.URL() + sender, []string{"you@example.net", "none.go"}, "none.go"},
		{"a folder", srv.URL() + sender, []string{"you@example.net", "."}, "not sent"},
		{"no sender", srv.URL(), []string{"you@example.net", "main.go"}, "?from="},
		{"bad URL", "mail.example.org", []string{"you@example.net", "main.go"}, "scheme"},
		{"refused", srv.URL() + sender, []string{"gone@example.net", "main.go"}, "550 5.1.1"},
	} {
		err := run(t.Context(), tt.args, tt.url, io.Discard)
		if err == nil || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: error %v", tt.name, err)
		}
	}
	if all := srv.Messages(); len(all) > 0 {
		t.Errorf("messages %+v", all)
	}
}
