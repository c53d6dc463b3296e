package relay

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/fe022423/submission"
)

var outboxEnvelope = submission.Envelope{From: "a@example.org", To: submission.To("b@example.net")}

// TestEncode: all text comes back, and is ASCII in between, or it is refused.
func TestEncode(t *testing.T) {
	for _, s := range []string{"", "abc", "ä", "𝄞", "\x00\x1f\x7f", `\`, `\\`, `\ufffd`, `\\ufffd`, "\ufffd", "\\\ufffd", "\u2028", "<&>", `"'`, "\xff", "a\xc3", "\\\xff", "\\\\\xff", "\xed\xa0\x80"} {
		text, err := encode(map[string]string{s: s})
		if (err == nil) != utf8.ValidString(s) {
			t.Errorf("%q: %s, %v", s, text, err)
		}
		if err != nil {
			continue
		}
		var back map[string]string
		if err := decode(text, &back); err != nil || back[s] != s || len(back) != 1 {
			t.Errorf("%q is %s is %q, %v", s, text, back, err)
		}
		if strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c > '~' && c != 0x7f }) {
			t.Errorf("%q is not ASCII: %q", s, text)
		}
	}
}

func TestBind(t *testing.T) {
	const query = "a = ? AND b = ? AND c = ?"
	for d, want := range map[Dialect]string{SQLite: query, MySQL: query, Postgres: "a = $1 AND b = $2 AND c = $3"} {
		if got := d.bind(query); got != want {
			t.Errorf("%d: %s", d, got)
		}
	}
}

func TestOneLine(t *testing.T) {
	if got := oneLine("ä\r\nb" + strings.Repeat("c", 1000)); len(got) != maxError || !strings.HasPrefix(got, "???bc") {
		t.Errorf("%q", got)
	}
}
