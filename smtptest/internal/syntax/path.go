package syntax

import (
	"net/netip"
	"strings"
	"unicode/utf8"
)

// Lengths of RFC 5321, 4.5.3.1.1 to 4.5.3.1.3, and of RFC 1035, 2.3.4.
const (
	maxLocalPart = 64
	maxDomain    = 255
	maxPath      = 254 // 256 with the brackets
	maxLabel     = 63
)

// Envelope splits the argument of MAIL or RCPT: prefix, which is "FROM:" or "TO:", a
// path in brackets and parameters. The path comes without its brackets and without
// a source route (RFC 5321, appendix C); Envelope does not check that it is a
// mailbox. A space separates the path and each parameter; an additional space makes
// an empty parameter. Without the prefix, the brackets or that space it is not ok.
func Envelope(arg, prefix string) (path string, params []string, ok bool) {
	if len(arg) < len(prefix) || !strings.EqualFold(arg[:len(prefix)], prefix) {
		return "", nil, false
	}
	return splitPath(arg[len(prefix):])
}

// splitPath splits `<path> parameters`.
func splitPath(s string) (path string, params []string, ok bool) {
	if !strings.HasPrefix(s, "<") {
		return "", nil, false
	}
	end := closingBracket(s)
	if end < 0 {
		return "", nil, false
	}
	path, rest := s[1:end], s[end+1:]
	if strings.HasPrefix(path, "@") {
		_, mailbox, found := strings.Cut(path, ":")
		if !found {
			return "", nil, false
		}
		path = mailbox
	}
	if rest == "" {
		return path, nil, true
	}
	if rest[0] != ' ' {
		return "", nil, false
	}
	return path, strings.Split(rest[1:], " "), true
}

// closingBracket finds the > that ends a path and ignores those in a quoted string.
func closingBracket(s string) int {
	quoted := false
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			quoted = !quoted
		case c == '\\' && quoted:
			i++
		case c == '>' && !quoted:
			return i
		}
	}
	return -1
}

// ValidMailbox checks Mailbox of RFC 5321, 4.1.2, as RFC 6531, 3.3 widens it.
func ValidMailbox(s string) bool {
	at := strings.LastIndexByte(s, '@')
	if at < 0 || len(s) > maxPath || !utf8.ValidString(s) {
		return false
	}
	return validLocalPart(s[:at]) && ValidDomain(s[at+1:])
}

func validLocalPart(s string) bool {
	if len(s) == 0 || len(s) > maxLocalPart {
		return false
	}
	if s[0] == '"' {
		return validQuotedString(s)
	}
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" || strings.ContainsFunc(atom, func(c rune) bool { return !isAtext(c) }) {
			return false
		}
	}
	return true
}

// validQuotedString accepts one quoted string and nothing else.
func validQuotedString(s string) bool {
	if len(s) < 2 || s[len(s)-1] != '"' {
		return false
	}
	inner := s[1 : len(s)-1]
	for i := 0; i < len(inner); i++ {
		switch c := inner[i]; {
		case c == '"', c < ' ', c == 0x7f:
			return false
		case c == '\\':
			if i++; i == len(inner) || inner[i] < ' ' || inner[i] > '~' {
				return false
			}
		}
	}
	return true
}

// ValidDomain accepts a domain or an address literal (RFC 5321, 4.1.2 and 4.1.3),
// both as RFC 6531, 3.3 widens them.
func ValidDomain(s string) bool {
	if len(s) == 0 || len(s) > maxDomain {
		return false
	}
	if s[0] == '[' {
		return validLiteral(s)
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > maxLabel || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		if strings.ContainsFunc(label, func(c rune) bool { return c != '-' && !isLetDig(c) }) {
			return false
		}
	}
	return true
}

// validLiteral checks address-literal of RFC 5321, 4.1.3. It knows IPv4 and the tag
// IPv6, the only one that is registered.
func validLiteral(s string) bool {
	if s[len(s)-1] != ']' {
		return false
	}
	inner := s[1 : len(s)-1]
	v6, tagged := strings.CutPrefix(inner, "IPv6:")
	addr, err := netip.ParseAddr(v6)
	return err == nil && addr.Zone() == "" && tagged == addr.Is6()
}

func isLetDig(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c >= utf8.RuneSelf
}

func isAtext(c rune) bool {
	return isLetDig(c) || strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", c)
}

// IsASCII says whether s needs no SMTPUTF8.
func IsASCII(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c >= utf8.RuneSelf })
}
