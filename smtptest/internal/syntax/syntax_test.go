package syntax

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestEnvelope(t *testing.T) {
	tests := map[string]struct {
		path   string
		params []string
		ok     bool
	}{
		"FROM:<>":                {"", nil, true},
		"from:<a@b>":             {"a@b", nil, true},
		"FROM:<a@b> SIZE=1 X":    {"a@b", []string{"SIZE=1", "X"}, true},
		"FROM:<a@b>  X":          {"a@b", []string{"", "X"}, true},
		"FROM:<a@b> ":            {"a@b", []string{""}, true},
		`FROM:<"a> \">"@b> X`:    {`"a> \">"@b`, []string{"X"}, true},
		"FROM:<@x,@y:a@b>":       {"a@b", nil, true},
		"FROM:<not a mailbox> X": {"not a mailbox", []string{"X"}, true},
		"FROM:<@x>":              {},
		"FROM:<a@b>X":            {},
		"FROM:<a@b":              {},
		`FROM:<"a@b>`:            {},
		"FROM: <a@b>":            {},
		"FROM:a@b":               {},
		"TO:<a@b>":               {},
		"FROM":                   {},
		"":                       {},
	}
	for arg, want := range tests {
		path, params, ok := Envelope(arg, "FROM:")
		if path != want.path || !slices.Equal(params, want.params) || ok != want.ok {
			t.Errorf("%q: %q, %q, %v", arg, path, params, ok)
		}
	}
}

func TestValidMailbox(t *testing.T) {
	for s, want := range map[string]bool{
		"a@b":                                  true,
		"a.b+c@d-e.example":                    true,
		`"a b\""@c`:                            true,
		"ä@ö.example":                          true,
		"a@[127.0.0.1]":                        true,
		"a@[IPv6:::1]":                         true,
		strings.Repeat("a", 64) + "@b":         true,
		"":                                     false,
		"a":                                    false,
		"@b":                                   false,
		"a@":                                   false,
		"a@b@c":                                false,
		"a..b@c":                               false,
		"a b@c":                                false,
		`"a"b@c`:                               false,
		`"a\"@c`:                               false,
		"a@-b":                                 false,
		"a@b-":                                 false,
		"a@b..c":                               false,
		"a@b_c":                                false,
		"a@[::1]":                              false,
		"a@[IPv6:127.0.0.1]":                   false,
		"a@[IPv6:fe80::1%eth0]":                false,
		"a@[127.0.0.1":                         false,
		"\xff@b":                               false,
		"a@" + strings.Repeat("b", 64):         false,
		strings.Repeat("a", 65) + "@b":         false,
		"a@" + strings.Repeat("b.", 126) + "b": false,
	} {
		if got := ValidMailbox(s); got != want {
			t.Errorf("%q: %v", s, got)
		}
	}
}

func TestCheckParameters(t *testing.T) {
	offered := Keywords("250-mail.test.example\n250-SIZE 100\n250-dsn\n250 X-OWN a b")
	if len(offered) != 3 || offered["X-OWN"] != "a b" || offered["SIZE"] != "100" {
		t.Fatalf("keywords %q", offered)
	}
	for _, tt := range []struct{ mail, rcpt, want string }{
		{"SIZE=5 RET=hdrs ENVID=a+2Bb", "", ""},
		{"X-OWN x-own", "", "bad parameter x-own"},
		{"X-OWN=1", "X-OWN", ""},
		{"", "notify=success,delay ORCPT=utf-8;ä", ""},
		{"SIZE", "", "bad parameter SIZE"},
		{"SIZE=", "", "bad parameter SIZE="},
		{"SIZE=123456789012345678901", "", "bad parameter SIZE=123456789012345678901"},
		{"RET=ALL", "", "bad parameter RET=ALL"},
		{"ENVID=" + strings.Repeat("x", 101), "", "bad parameter ENVID=" + strings.Repeat("x", 101)},
		{"NOTIFY=NEVER", "", "NOTIFY is not offered"},
		{"BODY=7BIT", "", "BODY is not offered"},
		{"", "RET=FULL", "RET is not offered"},
		{"", "NOTIFY=NEVER,DELAY", "bad parameter NOTIFY=NEVER,DELAY"},
		{"", "ORCPT=a@b", "bad parameter ORCPT=a@b"},
	} {
		err := errors.Join(CheckMail(strings.Fields(tt.mail), offered), CheckRcpt(strings.Fields(tt.rcpt), offered))
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != tt.want || errors.Is(err, ErrNotOffered) != strings.HasSuffix(got, "not offered") {
			t.Errorf("MAIL %q, RCPT %q: %v, want %q", tt.mail, tt.rcpt, err, tt.want)
		}
	}
}

// TestLineCheck cuts each message into two pieces at every place.
func TestLineCheck(t *testing.T) {
	for message, want := range map[string]bool{
		"": false, "a": false, "a\r\nb\r\n": false, "\r\n\r\n": false,
		"a\nb": true, "\n": true, "a\rb": true, "\r\r\n": true, "\r\n\n": true, "a\r\n\r": true,
	} {
		for cut := range len(message) + 1 {
			var l LineCheck
			l.Add([]byte(message[:cut]))
			l.Add([]byte(message[cut:]))
			if got := l.Bare(true); got != want {
				t.Errorf("%q and %q: %v", message[:cut], message[cut:], got)
			}
		}
	}
	l := LineCheck{}
	if l.Add([]byte("a\r")); l.Bare(false) || !l.Bare(true) {
		t.Error("a CR at the end of a piece")
	}
}

// FuzzEnvelope: what Envelope accepts is made of what it returns.
// TestEightBit gives each message whole and octet by octet.
func TestEightBit(t *testing.T) {
	long := strings.Repeat("x", 100)
	for message, want := range map[string]struct{ header, any bool }{
		"":                                 {},
		"A: b\r\n\r\nc\r\n":                {},
		"A: ä\r\n\r\nc\r\n":                {true, true},
		"A: b\r\n ä\r\n\r\nc\r\n":          {true, true},
		"A: b\r\n\tä\r\nC: d\r\n":          {true, true},
		"A: b\r\nC : ä\r\n":                {true, true},
		"A:\r\nB: " + long + "\xff\r\n":    {true, true},
		"A: b\r\n\r\nä: c\r\n":             {false, true},
		"A: b\r\n\r\n" + long + "ä\r\n":    {false, true},
		"A: b\r\n\r\n" + long + "\r\n":     {},
		"\r\nA: ä\r\n":                     {false, true},
		"Grüße\r\n":                        {false, true},
		"no field\r\nA: ä\r\n":             {false, true},
		" no continuation: ä\r\n":          {false, true},
		"A: b\r\nä: no name\r\n":           {false, true},
		"A: b\r\n: ä\r\n":                  {false, true},
		"A: b\r\n\r\n" + long[:8] + "\x80": {false, true},
		"A: b\r\n\r\n\x80" + long[:8]:      {false, true},
	} {
		var whole, single EightBit
		whole.Add([]byte(message))
		for i := range len(message) {
			single.Add([]byte{message[i]})
		}
		for name, e := range map[string]EightBit{"whole": whole, "octet by octet": single} {
			if e.Header() != want.header || e.Any() != want.any {
				t.Errorf("%q, %s: header %v, any %v", message, name, e.Header(), e.Any())
			}
		}
	}
}

func FuzzEnvelope(f *testing.F) {
	f.Add(`FROM:<@x:"a>b"@c> SIZE=3 BODY=8BITMIME`)
	f.Fuzz(func(t *testing.T, arg string) {
		path, params, ok := Envelope(arg, "FROM:")
		if !ok {
			return
		}
		end := path + ">"
		for _, p := range params {
			end += " " + p
		}
		if !strings.HasSuffix(arg, end) {
			t.Errorf("%q: %q, %q", arg, path, params)
		}
		if again, _, ok := Envelope("FROM:<"+path+">", "FROM:"); ValidMailbox(path) && (!ok || again != path) {
			t.Errorf("%q is a mailbox, but its path is %q, %v", path, again, ok)
		}
	})
}

// FuzzBDAT: a size is never negative.
func FuzzBDAT(f *testing.F) {
	f.Add("86 LAST")
	f.Fuzz(func(t *testing.T, arg string) {
		if size, last, ok := BDAT(arg); ok && (size < 0 || last != strings.HasSuffix(strings.ToUpper(arg), " LAST")) {
			t.Errorf("%q: %d, %v", arg, size, last)
		}
	})
}
