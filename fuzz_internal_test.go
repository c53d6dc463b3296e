package submission

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/fe022423/submission/internal/address"
	"github.com/fe022423/submission/internal/link"
	"github.com/fe022423/submission/internal/smtpwire"
)

// unxtext decodes what appendXtext encoded, strictly.
func unxtext(t *testing.T, s string) string {
	t.Helper()
	var out []byte
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c <= ' ' || c > '~' || c == '=':
			t.Fatalf("%q is not xtext", s)
		case c == '+':
			if i+2 >= len(s) || s[i+1:i+3] != strings.ToUpper(s[i+1:i+3]) {
				t.Fatalf("%q is not xtext", s)
			}
			n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
			if err != nil {
				t.Fatalf("%q is not xtext", s)
			}
			out = append(out, byte(n))
			i += 2
		default:
			out = append(out, c)
		}
	}
	return string(out)
}

func FuzzXtext(f *testing.F) {
	for _, s := range []string{"", "e=mc2+x", "a b", "+2B", "\r\n", "\x00\xff", "имя", "~!\"\\"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got := unxtext(t, string(appendXtext(nil, s))); got != s {
			t.Fatalf("%q came back as %q", s, got)
		}
	})
}

// unUnicodeXtext decodes what appendUnicodeXtext encoded, strictly (RFC 6533, 3).
func unUnicodeXtext(t *testing.T, s string) string {
	t.Helper()
	var out []rune
	for s != "" {
		c := s[0]
		if c <= ' ' || c > '~' || c == '+' || c == '=' {
			t.Fatalf("%q is not utf-8-addr-xtext", s)
		}
		if c != '\\' {
			out, s = append(out, rune(c)), s[1:]
			continue
		}
		digits, rest, ok := strings.Cut(s, "}")
		digits, found := strings.CutPrefix(digits, `\x{`)
		n, err := strconv.ParseUint(digits, 16, 32)
		if !ok || !found || err != nil || len(digits) < 2 || len(digits) > 6 || len(digits) > 2 && digits[0] == '0' || digits != strings.ToUpper(digits) {
			t.Fatalf("%q is not utf-8-addr-xtext", s)
		}
		out, s = append(out, rune(n)), rest
	}
	return string(out)
}

func FuzzORCPT(f *testing.F) {
	for _, s := range []string{"", "a@b", "rfc822;a@b", "rfc822;e=mc2+x@b", "utf-8;имя@тест", "имя@b", ";", "a;", "x y;z", "utf-8;a\\b", "\r\n", "utf-8;\x00", "\xff", "😀"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		prefix := []byte("prefix")
		out, err := appendORCPT(prefix, s)
		value, ok := strings.CutPrefix(string(out), "prefix")
		if !ok || err != nil && value != "" {
			t.Fatalf("%q: %q, %v", s, out, err)
		}
		if err != nil {
			return
		}
		kind, encoded, ok := strings.Cut(value, ";")
		if !ok || !address.IsKeyword(kind) || encoded == "" || len(value) > maxORCPT {
			t.Fatalf("%q gives %q", s, value)
		}
		var addr string
		if strings.EqualFold(kind, "utf-8") {
			addr = unUnicodeXtext(t, encoded)
		} else {
			addr = unxtext(t, encoded)
		}
		if s != addr && s != kind+";"+addr {
			t.Fatalf("%q came back as %q of type %q", s, addr, kind)
		}
		if strings.ContainsFunc(addr, unicode.IsControl) {
			t.Fatalf("%q: a control character", addr)
		}
	})
}

// MAIL and RCPT have the parameters that the envelope asks for and no others, whatever the
// values contain.
func FuzzLines(f *testing.F) {
	f.Add("a@b", "c@d", "rfc822;e@f", "id", "s@t", "X=1", "Y")
	f.Add(`"x> AUTH=<y"@z`, `" "@b`, "имя", "a b+c=d", "<>", "X=>", "Y=<")
	f.Add("<>", "Postmaster", "utf-8;a b", "+", `" a"@b`, "X-Y=;", "Z=+")
	f.Fuzz(func(t *testing.T, from, to, orcpt, id, submitter, mailParam, rcptParam string) {
		env := Envelope{
			From: from, To: []Recipient{{Addr: to, ORCPT: orcpt, Params: []string{rcptParam}}},
			DSN: DSN{EnvelopeID: id}, Submitter: submitter, Params: []string{mailParam},
		}
		var p plan
		if p.write(&env, "", newMemory().(*memory)) != nil {
			return
		}
		a := attempt{plan: &p, size: 5, body: Body8BitMIME}
		for n, line := range []string{string(a.AppendMail(nil)), string(a.AppendRcpt(nil, 0))} {
			if _, err := smtpwire.AppendLine(nil, line); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			addr := []string{from, to}[n]
			box, _ := address.Parse(addr)
			if n == 1 && strings.EqualFold(addr, "Postmaster") {
				box.Local = addr
			}
			path := string(box.Append(nil))
			prefix := []string{"MAIL FROM:<", "RCPT TO:<"}[n]
			rest, ok := strings.CutPrefix(line, prefix+path+">")
			if !ok {
				t.Fatalf("%q does not begin with the path %q", line, path)
			}
			// What a path may contain, FuzzMailbox in package address checks.
			if again, err := address.Parse(path); path != "" && !strings.EqualFold(path, "Postmaster") && (err != nil || again != box) {
				t.Fatalf("the path %q parses to %+v, %v", path, again, err)
			}
			var keys []string
			for _, param := range strings.Split(rest, " ")[1:] {
				key, value, _ := strings.Cut(param, "=")
				if !address.IsKeyword(key) || strings.Contains(value, "=") {
					t.Fatalf("%q: parameter %q", line, param)
				}
				keys = append(keys, key)
			}
			var want []string
			if n == 0 {
				want = []string{"SIZE", "BODY"}
				if a.utf8() {
					want = append(want, "SMTPUTF8")
				}
				if id != "" {
					want = append(want, "ENVID")
				}
				if submitter != "" {
					want = append(want, "AUTH")
				}
				want = append(want, strings.Split(mailParam, "=")[0])
			} else {
				if orcpt != "" {
					want = append(want, "ORCPT")
				}
				want = append(want, strings.Split(rcptParam, "=")[0])
			}
			if !slices.Equal(keys, want) {
				t.Fatalf("%q has the parameters %q, want %q", line, keys, want)
			}
		}
	})
}

// Whatever a server replies to EHLO: each keyword is there once, in upper case, except those
// that are disabled.
func FuzzExtensions(f *testing.F) {
	for _, s := range []string{
		"", "host", "host\nSIZE 1000\nAUTH PLAIN LOGIN\nAUTH=LOGIN X", "h\nsize\nSIZE 5\nSize 6", "h\n AUTH  plain\tlogin ", "h\nDSN\n\n \nAUTH", "h\nSIZE 99999999999999999999",
		"h\nSIZE -1", "h\nAUTH=\nAUTH=A", "h\nſize", "h\n\xff\x00", "h\nK K K",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, reply string) {
		lines := strings.Split(reply, "\n")
		e := parseExtensions(lines, []string{"dsn"})
		seen := map[string]bool{}
		for _, x := range e.list {
			if x.keyword == "" || seen[x.keyword] || strings.Contains(x.keyword, " ") {
				t.Fatalf("keyword %q in %q", x.keyword, e.list)
			}
			seen[x.keyword] = true
			if !e.Has(x.keyword) || !e.Has(strings.ToLower(x.keyword)) && address.IsASCII(x.keyword) {
				t.Fatalf("%q is not found", x.keyword)
			}
			if param, ok := e.Param(x.keyword); !ok || param != strings.TrimSpace(param) {
				t.Fatalf("%q: %q, %v", x.keyword, param, ok)
			}
		}
		if e.Has("DSN") {
			t.Fatal("a disabled extension is offered")
		}
		if limit, _ := e.Size(); limit < 0 {
			t.Fatalf("SIZE is %d", limit)
		}
		var mechanisms []string
		for _, m := range e.Mechanisms() {
			if m == "" || slices.Contains(mechanisms, m) || strings.ContainsFunc(m, unicode.IsSpace) {
				t.Fatalf("mechanisms %q", e.Mechanisms())
			}
			mechanisms = append(mechanisms, m)
		}
	})
}

// Reply.String returns text that does nothing to a terminal or a log, whatever the server says.
func FuzzReplyString(f *testing.F) {
	for _, s := range []string{"", "5.1.1 no", "\x1b[31m", "a\nb", "\u202e", "\xff", strings.Repeat("x", 5000), strings.Repeat("\x00", 5000), "5.1.1", "5.1.1\nx", "\ufffd"} {
		f.Add(550, s)
	}
	f.Fuzz(func(t *testing.T, code int, text string) {
		r := makeReply(link.Reply{Code: code, Text: text})
		s := r.String()
		if !utf8.ValidString(s) {
			t.Fatalf("not UTF-8: %q", s)
		}
		for _, c := range s {
			if !unicode.IsPrint(c) {
				t.Fatalf("%U in %q", c, s)
			}
		}
		if e := r.Enhanced; e != (EnhancedCode{}) && (e[0] != code/100 || !strings.HasPrefix(text, strconv.Itoa(e[0])+".")) {
			t.Fatalf("%d %q has the enhanced code %v", code, text, e)
		}
	})
}
