package saslserver

import (
	"strings"
	"testing"
)

func TestCRAM(t *testing.T) {
	x := newCRAM(map[string]string{"tim": "tanstaaftanstaaf", "user": "pass"}, "h.example")
	for _, tt := range []struct{ challenge, response string }{
		{"<1896.697170952@postoffice.reston.mci.net>", "tim b913a602c7eda7a495b4e6e7334d3890"},
		{"<123456.1322876914@testserver>", "user 287eb355114cf5c471c26a875f1ca4ae"},
	} {
		x.asked, x.challenge = true, tt.challenge
		if _, done, err := x.Next([]byte(tt.response)); !done || err != nil {
			t.Errorf("%s: %v, %v", tt.response, done, err)
		}
		for _, wrong := range []string{tt.response[:len(tt.response)-1] + "f", "tin" + tt.response[3:]} {
			if _, _, err := x.Next([]byte(wrong)); err != ErrCredentials {
				t.Errorf("%s: %v", wrong, err)
			}
		}
		for _, malformed := range []string{"", "tim", strings.Fields(tt.response)[1], " " + strings.Fields(tt.response)[1],
			tt.response + " ", tt.response + "0", strings.Replace(tt.response, " ", "\x00", 1)} {
			if _, _, err := x.Next([]byte(malformed)); err != errResponse {
				t.Errorf("%q: %v", malformed, err)
			}
		}
		if _, _, err := x.Next([]byte(strings.Fields(tt.response)[0] + strings.ToUpper(tt.response[strings.IndexByte(tt.response, ' '):]))); err != ErrCredentials {
			t.Errorf("upper case: %v", err)
		}
	}
	a, _, _ := newCRAM(nil, "h.example").Next(nil)
	b, _, _ := newCRAM(nil, "h.example").Next(nil)
	if string(a) == string(b) || a[0] != '<' || !strings.HasSuffix(string(a), "@h.example>") {
		t.Errorf("challenges %q and %q", a, b)
	}
	if _, _, err := newCRAM(nil, "h").Next([]byte{}); err != errInitial {
		t.Errorf("initial response: %v", err)
	}
}
