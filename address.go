package submission

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Limits of RFC 5321, 4.5.3.1 on addresses, in octets. A path has 256 octets
// with its angle brackets.
const (
	maxLocalPart = 64
	maxPath      = 254
	maxDomain    = 255
	maxLabel     = 63
)

var (
	errNotUTF8 = errors.New("not valid UTF-8")
	errControl = errors.New("control character")
)

// mailbox is an address that was parsed by the grammar of RFC 5321, 4.1.2 and
// can be written into a command as it stands.
type mailbox struct {
	local  string // dot-string, or a quoted string where it must be one
	domain string // in A-labels, or an address literal; "" only for Postmaster
}

// utf8 reports whether the mailbox can only be named under SMTPUTF8.
func (m mailbox) utf8() bool { return !isASCII(m.local) }

// append appends the mailbox as it stands in a path, without the brackets.
func (m mailbox) append(dst []byte) []byte {
	dst = append(dst, m.local...)
	if m.domain != "" {
		dst = append(append(dst, '@'), m.domain...)
	}
	return dst
}

// parseMailbox parses local-part "@" domain. An internationalized domain is
// turned into A-labels, and a local part that is quoted without need, or lacks
// quotes only around misplaced dots, is put into the form the grammar wants.
// Everything else that the grammar refuses is an error.
func parseMailbox(addr string) (mailbox, error) {
	if err := checkText(addr); err != nil {
		return mailbox{}, err
	}
	at := strings.LastIndexByte(addr, '@')
	if at < 0 {
		return mailbox{}, errors.New("no @ in the address")
	}
	local, err := parseLocal(addr[:at])
	if err != nil {
		return mailbox{}, err
	}
	domain, err := parseDomain(addr[at+1:])
	if err != nil {
		return mailbox{}, err
	}
	if n := len(local) + 1 + len(domain); n > maxPath {
		return mailbox{}, fmt.Errorf("address of %d octets, the limit is %d", n, maxPath)
	}
	return mailbox{local, domain}, nil
}

// parseLocal returns the local part in the form to be sent.
func parseLocal(s string) (string, error) {
	if s == "" {
		return "", errors.New("empty local part")
	}
	text := s
	if s[0] == '"' {
		var err error
		if text, err = unquote(s); err != nil {
			return "", err
		}
	} else if i := strings.IndexFunc(s, func(r rune) bool { return r != '.' && !isAtext(r) }); i >= 0 {
		r, _ := utf8.DecodeRuneInString(s[i:])
		return "", fmt.Errorf("%q in the local part needs quotes around it", r)
	}
	if !isDotString(text) {
		text = quote(text)
	}
	if len(text) > maxLocalPart {
		return "", fmt.Errorf("local part of %d octets, the limit is %d", len(text), maxLocalPart)
	}
	return text, nil
}

// unquote returns the content of a quoted string, which must be all of s.
func unquote(s string) (string, error) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; c {
		case '"':
			if i != len(s)-1 {
				return "", errors.New("text behind the quoted local part")
			}
			return b.String(), nil
		case '\\':
			// A quoted pair covers one ASCII character (RFC 5321, 4.1.2).
			if i++; i == len(s) || s[i] >= utf8.RuneSelf {
				return "", errors.New("backslash without a character to quote")
			}
			b.WriteByte(s[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", errors.New("quoted local part without an end")
}

func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
	return b.String()
}

func isAtext(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' ||
		r >= utf8.RuneSelf || strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r)
}

func isDotString(s string) bool {
	for i, r := range s {
		if r == '.' && (i == 0 || i == len(s)-1 || s[i-1] == '.') || r != '.' && !isAtext(r) {
			return false
		}
	}
	return s != ""
}

// parseDomain returns a domain in A-labels or an address literal.
func parseDomain(s string) (string, error) {
	if strings.HasPrefix(s, "[") {
		return s, checkLiteral(s)
	}
	if !isASCII(s) {
		a, err := idna.Lookup.ToASCII(s)
		if err != nil {
			return "", fmt.Errorf("domain %q: %w", s, err)
		}
		s = a
	}
	return s, checkDomain(s)
}

// checkDomain checks a domain of RFC 5321, 4.1.2: letters, digits and inner
// hyphens in labels.
func checkDomain(s string) error {
	if s == "" {
		return errors.New("empty domain")
	}
	if len(s) > maxDomain {
		return fmt.Errorf("domain of %d octets, the limit is %d", len(s), maxDomain)
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > maxLabel || label[0] == '-' || label[len(label)-1] == '-' {
			return fmt.Errorf("domain %q: bad label %q", s, label)
		}
		for i := range len(label) {
			if c := label[i]; !isAlnum(c) && c != '-' {
				return fmt.Errorf("domain %q: %q is no character of a domain", s, c)
			}
		}
	}
	return nil
}

// checkLiteral checks an address literal (RFC 5321, 4.1.3): an IPv4 address,
// "IPv6:" and an address, or a tag with printable content.
func checkLiteral(s string) error {
	inner, ok := strings.CutSuffix(s[1:], "]")
	if !ok || len(s) > maxDomain {
		return fmt.Errorf("bad address literal %q", s)
	}
	tag, rest, tagged := strings.Cut(inner, ":")
	switch {
	case !tagged:
		ip, err := netip.ParseAddr(inner)
		ok = err == nil && ip.Is4()
	case strings.EqualFold(tag, "IPv6"):
		ip, err := netip.ParseAddr(rest)
		ok = err == nil && ip.Is6() && ip.Zone() == ""
	default:
		// An IPv6 address without its tag would pass for one.
		_, err := netip.ParseAddr(inner)
		ok = err != nil && isKeyword(tag) && rest != ""
		for i := range len(rest) {
			c := rest[i]
			ok = ok && c > ' ' && c <= '~' && c != '[' && c != ']' && c != '\\' && c != '<' && c != '>'
		}
	}
	if !ok {
		return fmt.Errorf("bad address literal %q", s)
	}
	return nil
}

func isAlnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// isKeyword checks an esmtp-keyword (RFC 5321, 4.1.2).
func isKeyword(s string) bool {
	for i := range len(s) {
		if !isAlnum(s[i]) && (i == 0 || s[i] != '-') {
			return false
		}
	}
	return s != ""
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
