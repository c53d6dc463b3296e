package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

func TestDemonstration(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), []string{"-wait", "0"}, "", &out); err != nil {
		t.Fatal(err)
	}
	want := `attempt 1: submission: greeting: not sent: ADDR: server says 421 4.3.2 restarting
  once more in 0s
attempt 2: submission: RCPT: partly sent: recipient bea@example.net refused: server says 450 4.2.1 the mailbox is locked
  once more in 0s
anna@example.net: sent, 250 2.1.5 recipient ok
bea@example.net: sent, 250 2.1.5 recipient ok
archive@example.org: sent, 250 2.1.5 recipient ok
The server has a message for [anna@example.net archive@example.org]
The server has a message for [bea@example.net]
`
	if got := regexp.MustCompile(`127\.0\.0\.1:\d+`).ReplaceAllString(out.String(), "ADDR"); got != want {
		t.Errorf("output:\n%s\nwant:\n%s", got, want)
	}
}

// write writes a message of more than the client holds back, and returns its name.
func write(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "message.eml")
	if err := os.WriteFile(file, []byte(demoMessage+strings.Repeat("more text\n", 20_000)), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// Each attempt sends the whole message, and leaves Bcc out.
func TestWholeMessage(t *testing.T) {
	for _, verb := range []string{"CONNECT", "MAIL", "RCPT", "BDAT", "MESSAGE"} {
		srv := smtptest.New(t, nil)
		srv.SetHook(smtptest.Times(2, smtptest.On(verb, "", "451 4.3.0 later")))
		file := write(t)
		var out strings.Builder
		if err := run(t.Context(), []string{"-wait", "0", "-attempts", "4", file}, srv.URL(), &out); err != nil {
			t.Errorf("%s: %v", verb, err)
			continue
		}
		all := srv.Messages()
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want := bytes.ReplaceAll(bytes.Replace(content, []byte("Bcc: archive@example.org\n"), nil, 1), []byte("\n"), []byte("\r\n"))
		for _, m := range all {
			if !bytes.Equal(m.Data, want) {
				t.Errorf("%s: %d bytes, want %d", verb, len(m.Data), len(want))
			}
		}
		if to := []string{"anna@example.net", "bea@example.net", "archive@example.org"}; verb != "RCPT" && (len(all) != 1 || !slices.Equal(all[0].To, to)) {
			t.Errorf("%s: messages %+v", verb, all)
		}
		if !strings.Contains(out.String(), "attempt 1: ") {
			t.Errorf("%s: output:\n%s", verb, &out)
		}
	}
}

// What no other attempt can mend, or what may have arrived, is not tried again.
func TestNoFurtherAttempt(t *testing.T) {
	for _, tt := range []struct {
		name     string
		hook     smtptest.Hook
		outcome  submission.Outcome
		attempts int // that were followed by another one
	}{
		{"refused for good", smtptest.On("MAIL", "", "550 5.7.1 no"), submission.NotSent, 0},
		{"one refused for good", smtptest.On("RCPT", "bea@example.net", "550 5.1.1 who"), submission.PartlySent, 0},
		{"unknown", func(c smtptest.Command) *smtptest.Answer {
			if c.Verb != "MESSAGE" {
				return nil
			}
			return &smtptest.Answer{Close: true}
		}, submission.Unknown, 0},
		{"never accepted", smtptest.On("MAIL", "", "451 4.3.0 later"), submission.NotSent, 2},
	} {
		srv := smtptest.New(t, &smtptest.Config{Hook: tt.hook})
		var out strings.Builder
		err := run(t.Context(), []string{"-wait", "0", write(t)}, srv.URL(), &out)
		var failed *submission.SendError
		if !errors.As(err, &failed) || failed.Outcome != tt.outcome {
			t.Errorf("%s: error %v, want it %v", tt.name, err, tt.outcome)
		}
		if n := strings.Count(out.String(), "once more"); n != tt.attempts {
			t.Errorf("%s: output:\n%s", tt.name, &out)
		}
	}
}

// Each wait is twice as long as the one before.
func TestWait(t *testing.T) {
	srv := smtptest.New(t, &smtptest.Config{Hook: smtptest.On("MAIL", "", "451 4.3.0 later")})
	var out strings.Builder
	if err := run(t.Context(), []string{"-wait", "1ns", "-attempts", "14", write(t)}, srv.URL(), &out); err == nil {
		t.Error("no error")
	}
	var waits []string
	for line := range strings.Lines(out.String()) {
		if wait, ok := strings.CutPrefix(line, "  once more in "); ok {
			waits = append(waits, strings.TrimSpace(wait))
		}
	}
	want := []string{"1ns", "2ns", "4ns", "8ns", "16ns", "32ns", "64ns", "128ns", "256ns", "512ns", "1.024µs", "1.024µs", "1.024µs"}
	if !slices.Equal(waits, want) {
		t.Errorf("waits %q, want %q", waits, want)
	}
}

// The end of the context ends a wait.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	srv := smtptest.New(t, &smtptest.Config{Hook: smtptest.On("MAIL", "", "451 4.3.0 later")})
	err := run(ctx, []string{"-wait", "1h", write(t)}, srv.URL(), writer(func(text string) {
		if strings.Contains(text, "once more in 1h0m0s") {
			cancel()
		}
	}))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// writer is a function that is called for what is written.
type writer func(text string)

func (w writer) Write(p []byte) (int, error) { w(string(p)); return len(p), nil }

// Nothing is sent when something is wrong.
func TestUsage(t *testing.T) {
	srv := smtptest.New(t, nil)
	folder := t.TempDir()
	nobody := filepath.Join(folder, "nobody.eml")
	if err := os.WriteFile(nobody, []byte("From: a@b.example\n\nhello\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		url  string
		args []string
		text string
	}{
		{srv.URL(), nil, "usage"},
		{srv.URL(), []string{"a", "b"}, "usage"},
		{srv.URL(), []string{"none.eml"}, "none.eml"},
		{srv.URL(), []string{nobody}, "no address in To, Cc and Bcc"},
		{srv.URL(), []string{"-attempts", "-1", write(t)}, "Attempts"},
		{"mail.example.org", []string{write(t)}, "scheme"},
	} {
		err := run(t.Context(), tt.args, tt.url, new(strings.Builder))
		if err == nil || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s %q: error %v, want %q", tt.url, tt.args, err, tt.text)
		}
	}
	if n := srv.Sessions(); n > 0 {
		t.Errorf("%d sessions", n)
	}
}
