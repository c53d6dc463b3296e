package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// files writes a list of recipients and a message, and returns the arguments for them.
func files(t *testing.T, list ...string) []string {
	t.Helper()
	folder := t.TempDir()
	args := []string{filepath.Join(folder, "list"), filepath.Join(folder, "message")}
	for i, text := range []string{strings.Join(list, "\n"), demoMessage} {
		if err := os.WriteFile(args[i], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return args
}

func TestDemonstration(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), nil, "", &out); err != nil {
		t.Fatal(err)
	}
	want := `anna@example.net  sent     250 2.1.5 recipient ok
bea@example.net   sent     250 2.1.5 recipient ok
gone@example.net  invalid  550 5.1.1 no such user
carl@example.com  sent     250 2.1.5 recipient ok
full@example.com  unsent   452 4.2.2 the mailbox is full
dora@example.com  sent     250 2.1.5 recipient ok
emil@example.org  sent     250 2.1.5 recipient ok
5 sent, 1 refused for good (take them off the list), 1 unsent, 0 may have it or not
another try later may help 1 of them
The server has a message for [anna@example.net bea@example.net]
The server has a message for [carl@example.com dora@example.com]
The server has a message for [emil@example.org]
`
	if out.String() != want {
		t.Errorf("output:\n%s\nwant:\n%s", &out, want)
	}
}

// The report is true for every outcome.
func TestReport(t *testing.T) {
	for _, tt := range []struct {
		name    string
		hook    smtptest.Hook
		outcome submission.Outcome
		sent    bool // to everybody, and outcome does not count
		lines   []string
	}{
		{"all", nil, 0, true, []string{"2 sent, 0 refused", " 0 unsent, 0 may"}},
		{"some", smtptest.On("RCPT", "a@example.net", "550 5.1.1 gone"), submission.PartlySent, false, []string{"1 sent, 1 refused", "invalid  550 5.1.1 gone"}},
		{"nobody", smtptest.On("RCPT", "", "550 5.1.1 gone"), submission.NotSent, false, []string{"0 sent, 2 refused"}},
		{"later", smtptest.On("MAIL", "", "451 4.3.0 later"), submission.NotSent, false, []string{"0 sent, 0 refused", " 2 unsent", "may help 2 of them"}},
		{"never", smtptest.On("MESSAGE", "", "554 5.7.1 no"), submission.NotSent, false, []string{"0 sent, 0 refused", " 2 unsent, 0 may have it or not\n"}},
		{"hung up", func(c smtptest.Command) *smtptest.Answer {
			if c.Verb != "MESSAGE" {
				return nil
			}
			return &smtptest.Answer{Close: true}
		}, submission.Unknown, false, []string{" 2 may have it"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := smtptest.New(t, &smtptest.Config{Hook: tt.hook})
			var out strings.Builder
			err := run(t.Context(), files(t, "a@example.net", "b@example.net"), srv.URL()+"&from=news@example.org", &out)
			var failed *submission.SendError
			switch {
			case tt.sent && err != nil:
				t.Error(err)
			case !tt.sent && (!errors.As(err, &failed) || failed.Outcome != tt.outcome):
				t.Errorf("error %v, want outcome %v", err, tt.outcome)
			}
			for _, line := range tt.lines {
				if !strings.Contains(out.String(), line) {
					t.Errorf("no %q in\n%s", line, &out)
				}
			}
			if strings.Contains(out.String(), "may help") != (tt.name == "later") {
				t.Errorf("output:\n%s", &out)
			}
		})
	}
}

// A long list is one call, and everybody gets the message once.
func TestManyRecipients(t *testing.T) {
	srv := smtptest.New(t, &smtptest.Config{Extensions: append(smtptest.DefaultExtensions(), "LIMITS RCPTMAX=100")})
	var list []string
	for i := range 1000 {
		list = append(list, fmt.Sprintf("reader-%03d@example.net", i))
	}
	var out strings.Builder
	if err := run(t.Context(), files(t, list...), srv.URL()+"&from=news@example.org", &out); err != nil {
		t.Fatal(err)
	}
	var to []string
	all := srv.Messages()
	for _, m := range all {
		to = append(to, m.To...)
		if m.From != "news@example.org" || !strings.Contains(string(m.Data), "There is little to tell.") {
			t.Errorf("from %s:\n%s", m.From, m.Data)
		}
	}
	if len(all) != 10 || !slices.Equal(to, list) || !strings.Contains(out.String(), "\n1000 sent, 0 refused") {
		t.Errorf("%d messages to %d; output:\n%s", len(all), len(to), &out)
	}
}

func TestUsage(t *testing.T) {
	srv := smtptest.New(t, nil)
	good := files(t, "a@example.net")
	for _, tt := range []struct {
		url  string
		args []string
		text string
	}{
		{srv.URL(), nil, "usage"},
		{srv.URL(), good[:1], "usage"},
		{srv.URL(), []string{good[0] + "2", good[1]}, "list2"},
		{srv.URL(), []string{good[0], good[1] + "2"}, "message2"},
		{srv.URL() + "&from=a@b.example", files(t), "no recipients"},
		{srv.URL(), good, "no sender"},
		{"mail.example.org", good, "scheme"},
	} {
		err := run(t.Context(), tt.args, tt.url, new(strings.Builder))
		if err == nil || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s %q: error %v, want %q", tt.url, tt.args, err, tt.text)
		}
	}
	if n := len(srv.Messages()); n > 0 {
		t.Errorf("%d messages", n)
	}
}
