package address

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/fe022423/submission/internal/smtpwire"
)

// checkPath wants what stands between angle brackets to be one mailbox: nothing
// outside of a quoted string that could end it or start something else.
func checkPath(t *testing.T, path string) {
	t.Helper()
	if _, err := smtpwire.AppendLine(nil, path); err != nil || !utf8.ValidString(path) {
		t.Fatalf("%q does not fit into a line: %v", path, err)
	}
	if len(path) > maxPath {
		t.Fatalf("%q has %d octets", path, len(path))
	}
	quoted, at := false, -1
	for i := 0; i < len(path); i++ {
		switch c := path[i]; {
		case c == '"' && !quoted:
			if i != 0 {
				t.Fatalf("%q: a quote at %d", path, i)
			}
			quoted = true
		case c == '"':
			quoted = false
			if i+1 < len(path) && path[i+1] != '@' {
				t.Fatalf("%q: text after the quoted string", path)
			}
		case c == '\\' && quoted:
			i++
		case quoted:
		case c == '@':
			if at >= 0 {
				t.Fatalf("%q: two @", path)
			}
			at = i
		case c <= ' ' || c == '<' || c == '>' || c == '(' || c == ')' || c == ',' || c == ';' || c == '\\':
			t.Fatalf("%q: an unquoted %q", path, c)
		}
	}
	if quoted {
		t.Fatalf("%q: an open quoted string", path)
	}
	if at < 0 && !strings.EqualFold(path, "Postmaster") || at > maxLocalPart {
		t.Fatalf("%q: no local part, or one of more than 64 octets", path)
	}
	if !IsASCII(path[at+1:]) {
		t.Fatalf("%q: a domain that is not ASCII", path)
	}
}

// Whatever parses is written as something that parses to the same.
func FuzzMailbox(f *testing.F) {
	for _, s := range []string{
		"user@test.example", `"a b"@c`, `"x> AUTH=<y"@z`, `"\"\\"@a`, "a..b@c", ".@x", "x@тест.example", "имя@тест.example", "x@[192.0.2.1]", "x@[IPv6:::1]", "x@[tag:y]",
		"a@b> ORCPT=x", "a\r\nb@c", "\"a\r\n\"@b", "@", "", "a@b@c", `""@a`, "x@faß.de", "x@。a", "ａ@ｂ", "x@xn--a", "x@\u00ad", "x@A.b", "Postmaster",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		box, err := Parse(s)
		if err != nil {
			if text := err.Error(); strings.ContainsFunc(text, unicode.IsControl) {
				t.Fatalf("%q", text)
			}
			return
		}
		path := string(box.Append(nil))
		checkPath(t, path)
		again, err := Parse(path)
		if err != nil || again != box {
			t.Fatalf("%q is written as %q, which parses to %+v, %v", s, path, again, err)
		}
		if box.NeedsSMTPUTF8() != !IsASCII(path) {
			t.Fatalf("%q: NeedsSMTPUTF8 is %v", path, box.NeedsSMTPUTF8())
		}
	})
}
