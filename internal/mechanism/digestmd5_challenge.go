package mechanism

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxDigestChallenge is where a challenge is too long (RFC 2831, 2.1.1).
const maxDigestChallenge = 2048

// digestChallenge is what the client needs of a digest-challenge.
type digestChallenge struct {
	realms []string // in the server's order, as UTF-8
	nonce  string   // raw octets
	utf8   bool     // the server takes names in UTF-8, not only in ISO 8859-1
}

func parseDigestChallenge(b []byte) (*digestChallenge, error) {
	list, err := parseDirectives(b)
	if err != nil {
		return nil, err
	}
	var c digestChallenge
	seen := make(map[string]int)
	auth := false
	for _, d := range list {
		seen[d.name]++
		switch d.name {
		case "realm":
			c.realms = append(c.realms, d.value)
		case "nonce":
			c.nonce = d.value
		case "qop":
			auth = auth || listHolds(d.value, "auth")
		case "charset":
			c.utf8 = true
			if !strings.EqualFold(d.value, "utf-8") {
				return nil, errors.New("the challenge has a charset other than utf-8")
			}
		case "algorithm":
			if !strings.EqualFold(d.value, "md5-sess") {
				return nil, errors.New("the challenge has an algorithm other than md5-sess")
			}
		}
	}
	if err := checkCounts(seen); err != nil {
		return nil, err
	}
	if c.nonce == "" {
		return nil, errors.New("the challenge has an empty nonce")
	}
	if seen["qop"] > 0 && !auth {
		return nil, errors.New("the server offers no qop=auth")
	}
	return &c, c.decodeRealms()
}

// checkCounts applies the rules of RFC 2831, 2.1.1 on repeated directives.
// Those which have no rule there may repeat.
func checkCounts(seen map[string]int) error {
	for _, name := range []string{"nonce", "algorithm"} {
		if seen[name] != 1 {
			return fmt.Errorf("the challenge has %d %s directives, not one", seen[name], name)
		}
	}
	for _, name := range []string{"charset", "stale", "maxbuf"} {
		if seen[name] > 1 {
			return fmt.Errorf("the challenge has %d %s directives", seen[name], name)
		}
	}
	return nil
}

// decodeRealms brings the realms into UTF-8 from the challenge's own charset.
func (c *digestChallenge) decodeRealms() error {
	for i, r := range c.realms {
		switch {
		case !c.utf8:
			c.realms[i] = fromLatin1(r)
		case !utf8.ValidString(r):
			return errors.New("the challenge has a realm that is not in its charset")
		}
	}
	return nil
}

// listHolds reports whether a comma-separated list within a quoted string has
// the element.
func listHolds(list, element string) bool {
	for e := range strings.SplitSeq(list, ",") {
		if strings.EqualFold(strings.Trim(e, " \t"), element) {
			return true
		}
	}
	return false
}

// directive is one name=value; the name is in lower case, the value without
// quotes and quoted-pairs.
type directive struct{ name, value string }

func malformed(reason string) error {
	return errors.New("malformed DIGEST-MD5 challenge: " + reason)
}

// parseDirectives reads the 1#( name "=" value ) of RFC 2831, 7.1, which lets
// elements be empty and white space stand between any two words.
func parseDirectives(b []byte) ([]directive, error) {
	if len(b) >= maxDigestChallenge {
		return nil, fmt.Errorf("a DIGEST-MD5 challenge of %d octets; the limit is %d", len(b), maxDigestChallenge-1)
	}
	var list []directive
	rest := string(b)
	for {
		rest = skipLWS(rest)
		if rest == "" {
			return list, nil
		}
		if rest[0] == ',' {
			rest = rest[1:]
			continue
		}
		var d directive
		var err error
		if d, rest, err = parseDirective(rest); err != nil {
			return nil, err
		}
		list = append(list, d)
		if rest = skipLWS(rest); rest != "" && rest[0] != ',' {
			return nil, malformed("no comma after a value")
		}
	}
}

func parseDirective(s string) (directive, string, error) {
	name, rest := span(s, isTokenOctet)
	if name == "" {
		return directive{}, "", malformed("no directive name where one should be")
	}
	rest, ok := strings.CutPrefix(skipLWS(rest), "=")
	if !ok {
		return directive{}, "", malformed("no = after a directive name")
	}
	rest = skipLWS(rest)
	var value string
	if strings.HasPrefix(rest, `"`) {
		var err error
		if value, rest, err = parseQuoted(rest[1:]); err != nil {
			return directive{}, "", err
		}
	} else if value, rest = span(rest, isBareOctet); value == "" {
		return directive{}, "", malformed("no value after =")
	}
	return directive{strings.ToLower(name), value}, rest, nil
}

// parseQuoted reads a quoted-string after its opening quote. White space that
// is more than spaces becomes one space, as RFC 2831, 7.2 allows, and other
// control characters are refused, so that none can get into the response.
func parseQuoted(s string) (value, rest string, err error) {
	var b strings.Builder
	for s != "" {
		switch o := s[0]; {
		case o == '"':
			return b.String(), s[1:], nil
		case o == '\\':
			if len(s) < 2 || s[1] < ' ' || s[1] >= 0x7f {
				return "", "", malformed("a backslash before an octet that is no character")
			}
			b.WriteByte(s[1])
			s = s[2:]
		case o == '\t' || o == '\r':
			if rest = skipLWS(s); len(rest) == len(s) {
				return "", "", malformed("a bare CR in a quoted string")
			}
			b.WriteByte(' ')
			s = rest
		case o < ' ' || o == 0x7f:
			return "", "", malformed("a control character in a quoted string")
		default:
			b.WriteByte(o)
			s = s[1:]
		}
	}
	return "", "", malformed("a quoted string without its end")
}

// skipLWS drops leading linear white space: [CRLF] 1*( SP | HT ), repeated.
func skipLWS(s string) string {
	for {
		t := strings.TrimLeft(s, " \t")
		if !strings.HasPrefix(t, "\r\n ") && !strings.HasPrefix(t, "\r\n\t") {
			return t
		}
		s = t[2:]
	}
}

func span(s string, in func(byte) bool) (head, rest string) {
	n := 0
	for n < len(s) && in(s[n]) {
		n++
	}
	return s[:n], s[n:]
}

func isTokenOctet(o byte) bool {
	return o > ' ' && o < 0x7f && !strings.ContainsRune(`()<>@,;:\"/[]?={}`, rune(o))
}

// isBareOctet is what a value without quotes may hold. It is wider than a
// token: servers forget the quotes around base64 and around host names.
func isBareOctet(o byte) bool {
	return o > ' ' && o < 0x7f && o != ',' && o != '"' && o != '\\'
}
