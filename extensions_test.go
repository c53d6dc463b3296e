package submission_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fe022423/submission"
)

// A server may offer more to a client that is authenticated. When something seems to be
// missing, the client asks once more with EHLO after AUTH, and only then refuses.
func TestExtensionsBehindAuth(t *testing.T) {
	const script = `
		S: 220 mail.test.example
		C: EHLO client.test.example
		S: 250-mail.test.example
		S: 250-PIPELINING
		S: 250 AUTH PLAIN
		C: AUTH PLAIN AHVzZXIAcGFzc3dvcmQ=
		S: 235 welcome
	`
	const message = `
		C: RCPT TO:<b@test.example>
		C: DATA
		S: 250 ok
		S: 250 ok
		S: 354 go
		C: text
		C: .
		S: 250 taken
	`
	auth := func(o *submission.Options) {
		o.Auth = submission.Password{Username: "user", Password: "password"}
		o.InsecureAuth = true // the host is not this machine
	}
	env := submission.Envelope{From: "a@test.example", To: submission.To("b@test.example")}
	reported := env
	reported.DSN.Return = submission.ReturnHeaders
	send := func(t *testing.T, s *submission.Session, env submission.Envelope) error {
		t.Helper()
		_, err := s.Send(context.Background(), env, strings.NewReader("text\n"))
		return err
	}
	t.Run("offered then", func(t *testing.T) {
		s := openSession(t, play(t, "whole", script+`
			C: MAIL FROM:<a@test.example>`+message+`
			C: EHLO client.test.example
			S: 250-mail.test.example
			S: 250-PIPELINING
			S: 250 DSN
			C: MAIL FROM:<a@test.example> RET=HDRS`+message), plainText(auth))
		if err := send(t, s, env); err != nil {
			t.Fatal(err)
		}
		if err := send(t, s, reported); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("not then either", func(t *testing.T) {
		s := openSession(t, play(t, "whole", script+`
			C: EHLO client.test.example
			S: 250-mail.test.example
			S: 250 PIPELINING
			C: MAIL FROM:<a@test.example>`+message), plainText(auth))
		for range 2 { // EHLO is sent only once
			if err := send(t, s, reported); !errors.Is(err, submission.ErrUnsupported) {
				t.Fatal(err)
			}
		}
		if err := send(t, s, env); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("EHLO refused", func(t *testing.T) {
		s := openSession(t, play(t, "whole", script+`
			C: EHLO client.test.example
			S: 503 once is enough
			C: MAIL FROM:<a@test.example>`+message), plainText(auth))
		if err := send(t, s, reported); !errors.Is(err, submission.ErrUnsupported) {
			t.Fatal(err)
		}
		if err := send(t, s, env); err != nil {
			t.Fatal(err)
		}
	})
}

// What the methods of Extensions return for a reply to EHLO.
func TestExtensions(t *testing.T) {
	type params map[string]string
	const absent = "(absent)"
	tests := []struct {
		name    string
		reply   string
		disable []string
		want    params
		mechs   []string
	}{
		{name: "bare code", reply: "S: 250", want: params{"SIZE": absent, "": absent}},
		{name: "one line", reply: "S: 250 SIZE", want: params{"SIZE": absent}},
		{name: "the first line is not an extension", reply: "S: 250-SIZE 10\nS: 250 DSN", want: params{"SIZE": absent, "DSN": ""}},
		{name: "lower case", reply: "S: 250-hi\nS: 250-size 10\nS: 250-Pipelining\nS: 250 auth plain Login",
			want: params{"SIZE": "10", "size": "10", "PIPELINING": "", "AUTH": "plain Login"}, mechs: []string{"PLAIN", "LOGIN"}},
		{name: "white space", reply: "S: 250-hi\nS: 250-  SIZE   10 \nS: 250-\nS: 250-DSN ", want: params{"SIZE": "10", "DSN": ""}},
		{name: "several values", reply: "S: 250-hi\nS: 250 LIMITS RCPTMAX=20 MAILMAX=5", want: params{"LIMITS": "RCPTMAX=20 MAILMAX=5"}},
		{name: "duplicates", reply: "S: 250-hi\nS: 250-SIZE 10\nS: 250-DSN\nS: 250-SIZE 20\nS: 250 DSN", want: params{"SIZE": "10", "DSN": ""}},
		{name: "AUTH in many forms", reply: "S: 250-hi\nS: 250-AUTH PLAIN LOGIN\nS: 250-AUTH=LOGIN CRAM-MD5\nS: 250-auth digest-md5 plain\nS: 250 auth=NTLM",
			want: params{"AUTH=LOGIN": absent}, mechs: []string{"PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5", "NTLM"}},
		{name: "AUTH without mechanisms", reply: "S: 250-hi\nS: 250 AUTH", want: params{"AUTH": ""}},
		{name: "a prefix is another extension", reply: "S: 250-hi\nS: 250-XSIZE 10\nS: 250 SIZES", want: params{"SIZE": absent}},
		{name: "disabled", reply: "S: 250-hi\nS: 250-SIZE 10\nS: 250-AUTH PLAIN\nS: 250-AUTH=LOGIN\nS: 250-chunking\nS: 250 DSN",
			disable: []string{"size", "AUTH", "Chunking", "NONE"},
			want:    params{"SIZE": absent, "CHUNKING": absent, "AUTH": absent, "DSN": ""}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			eachDelivery(t, func(t *testing.T, delivery string) {
				reply := tt.reply
				if i := strings.LastIndex(reply, "S: 250-"); i > strings.LastIndex(reply, "S: 250 ") && i >= 0 {
					reply += "\nS: 250"
				}
				s := openSession(t, play(t, delivery, hello+reply+quit),
					plainText(func(o *submission.Options) { o.Disable = tt.disable }))
				defer s.Close()
				ext := s.Extensions()
				for keyword, want := range tt.want {
					got, ok := ext.Param(keyword)
					if ok != ext.Has(keyword) {
						t.Errorf("%s: Param says %v, Has says %v", keyword, ok, ext.Has(keyword))
					}
					if !ok {
						got = absent
					}
					if got != want {
						t.Errorf("%s: %q, want %q", keyword, got, want)
					}
				}
				mechs := ext.Mechanisms()
				if !slices.Equal(mechs, tt.mechs) {
					t.Errorf("mechanisms %q, want %q", mechs, tt.mechs)
				}
				for i := range mechs {
					mechs[i] = "SPOILT"
				}
				if again := ext.Mechanisms(); !slices.Equal(again, tt.mechs) {
					t.Errorf("a change of the returned slice changed the session's: %q", again)
				}
			})
		})
	}
}

// The limit of SIZE. 0 means that there is none.
func TestExtensionSize(t *testing.T) {
	for line, want := range map[string]int64{
		"SIZE 10485760":             10485760,
		"size 1":                    1,
		"SIZE":                      0,
		"SIZE 0":                    0,
		"SIZE -5":                   0,
		"SIZE ten":                  0,
		"SIZE 99999999999999999999": 0,
	} {
		t.Run(line, func(t *testing.T) {
			s := openSession(t, play(t, "whole", hello+"S: 250-hi\nS: 250 "+line+quit), plainText())
			defer s.Close()
			if got, ok := s.Extensions().Size(); got != want || !ok {
				t.Errorf("%d, %v; want %d", got, ok, want)
			}
		})
	}
	if n, ok := (submission.Extensions{}).Size(); n != 0 || ok {
		t.Errorf("zero Extensions: %d, %v", n, ok)
	}
}

// A reply to EHLO that is as long as it may be.
func TestManyExtensions(t *testing.T) {
	var b strings.Builder
	b.WriteString(hello + "S: 250-hi\n")
	for i := range 510 {
		fmt.Fprintf(&b, "S: 250-X%d %d\n", i, i)
	}
	b.WriteString("S: 250 SIZE 7" + quit)
	s := openSession(t, play(t, "joined", b.String()), plainText())
	defer s.Close()
	if p, _ := s.Extensions().Param("X509"); p != "509" {
		t.Errorf("X509 is %q", p)
	}
	if n, _ := s.Extensions().Size(); n != 7 {
		t.Errorf("SIZE is %d", n)
	}
}

// 12,000 mechanisms in an EHLO reply cost no time, and no room in an error. Those that
// come first count.
func TestManyMechanisms(t *testing.T) {
	var lines strings.Builder
	for i := range 400 {
		lines.WriteString("S: 250-AUTH")
		for j := range 30 {
			lines.WriteString(" " + strconv.FormatInt(int64(i*30+j), 36))
		}
		lines.WriteByte('\n')
	}
	start := time.Now()
	script := hello + "S: 250-mail\nS: 250-AUTH X-OWN PLAIN\n" + lines.String() + "S: 250 SIZE\n" + authPlain + "S: 504 no" + quit
	_, err := submission.NewSession(context.Background(), play(t, "whole", script), testHost, plainText(withAuthInClear(testPassword)))
	e := wantError[*submission.AuthError](t, err)
	if e.Reply == nil || e.Reply.Code != 504 || len(e.Offered) != 100 || e.Offered[0] != "X-OWN" || e.Offered[1] != "PLAIN" {
		t.Errorf("%d offered: %v", len(e.Offered), err)
	}
	script = hello + "S: 250-mail\n" + lines.String() + "S: 250 AUTH PLAIN" + quit
	_, err = submission.NewSession(context.Background(), play(t, "whole", script), testHost, plainText(withAuthInClear(testPassword)))
	if wantError[*submission.AuthError](t, err); len(err.Error()) > 2000 {
		t.Errorf("an error of %d octets", len(err.Error()))
	}
	if took := time.Since(start); took > 500*time.Millisecond {
		t.Errorf("took %v", took)
	}
}

// The limits of RFC 9422: a name that is not known, and a value that is none, are passed
// over.
func TestExtensionLimit(t *testing.T) {
	for param, want := range map[string]map[string]int{
		"":                             {},
		"MAILMAX=10":                   {"MAILMAX": 10, "mailmax": 10},
		"RCPTMAX=100 MAILMAX=5":        {"RCPTMAX": 100, "MAILMAX": 5},
		"RcptDomainMax=1":              {"RCPTDOMAINMAX": 1},
		"  MAILMAX=1   RCPTMAX=2  ":    {"MAILMAX": 1, "RCPTMAX": 2},
		"MAILMAX=999999":               {"MAILMAX": 999999},
		"MAILMAX=1000000":              {},
		"MAILMAX=0":                    {},
		"MAILMAX=01":                   {},
		"MAILMAX=":                     {},
		"MAILMAX":                      {},
		"MAILMAX=-1":                   {},
		"MAILMAX=+1":                   {},
		"MAILMAX=1x":                   {},
		"MAILMAX=1_0":                  {},
		"MAILMAX=1,RCPTMAX=2":          {},
		"MAILMAX=x MAILMAX=7":          {"MAILMAX": 7},
		"MAILMAX=8 MAILMAX=7":          {"MAILMAX": 8},
		"XMAILMAX=8 MAILMAXX=9 FOO=10": {"FOO": 10},
	} {
		s := openSession(t, play(t, "whole", "S: 220 hi\nC: EHLO client.test.example\nS: 250-hi\nS: 250 LIMITS "+param+"\nC: QUIT\nS: 221 bye\neof"), plainText())
		for _, name := range []string{"MAILMAX", "mailmax", "RCPTMAX", "RCPTDOMAINMAX", "FOO", ""} {
			n, ok := s.Extensions().Limit(name)
			if value, known := want[name]; known && (n != value || !ok) || !known && ok && want[strings.ToUpper(name)] != n {
				t.Errorf("%q, %s: %d, %v", param, name, n, ok)
			}
		}
		s.Close()
	}
	var none submission.Extensions
	if n, ok := none.Limit("MAILMAX"); n != 0 || ok {
		t.Errorf("not offered: %d, %v", n, ok)
	}
}
