package address

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits of RFC 5321, 4.5.3.1 on addresses, in octets. A path has 256 octets
// with its angle brackets.
const (
	maxLocalPart = 64
	maxPath      = 254
)

// Mailbox is an address that was parsed by the grammar of RFC 5321, 4.1.2.
type Mailbox struct {
	Local  string // dot-string, or a quoted string where it must be one
	Domain string // in A-labels, or an address literal; "" only for Postmaster
}

// NeedsSMTPUTF8 reports whether the mailbox can only be named under SMTPUTF8.
func (m Mailbox) NeedsSMTPUTF8() bool { return !IsASCII(m.Local) }

// Append appends the mailbox as it stands in a path, without the brackets.
func (m Mailbox) Append(dst []byte) []byte {
	dst = append(dst, m.Local...)
	if m.Domain != "" {
		dst = append(append(dst, '@'), m.Domain...)
	}
	return dst
}

// Bare takes one pair of angle brackets off a path (RFC 5321, 4.1.2). Anything else it
// returns as it is.
func Bare(path string) string {
	if n := len(path); n >= 2 && path[0] == '<' && path[n-1] == '>' {
		return path[1 : n-1]
	}
	return path
}

// ParsePath is Parse for an address that may stand in one pair of angle brackets.
func ParsePath(path string) (Mailbox, error) { return Parse(Bare(path)) }

// Parse parses local-part "@" domain. An internationalized domain becomes
// A-labels. A local part loses quotes that it does not need, and gets quotes when
// only its dots are misplaced. Everything else that the grammar refuses is an
// error.
func Parse(addr string) (Mailbox, error) {
	if err := CheckText(addr); err != nil {
		return Mailbox{}, err
	}
	at := strings.LastIndexByte(addr, '@')
	if at < 0 {
		return Mailbox{}, errors.New("no @ in the address")
	}
	local, err := parseLocal(addr[:at])
	if err != nil {
		return Mailbox{}, err
	}
	domain, err := Domain(addr[at+1:])
	if err != nil {
		return Mailbox{}, err
	}
	if n := len(local) + 1 + len(domain); n > maxPath {
		return Mailbox{}, fmt.Errorf("address of %d octets, the limit is %d", n, maxPath)
	}
	return Mailbox{local, domain}, nil
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
				return "", errors.New("text after the quoted local part")
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
