package address

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/net/idna"
)

// Limits of RFC 5321, 4.5.3.1.2 and RFC 1035, 2.3.4 on domains, in octets.
const (
	maxDomain = 255
	maxLabel  = 63
)

// Domain checks a domain or an address literal (RFC 5321, 4.1.2) and returns it
// in the form to be sent: an internationalized domain becomes A-labels.
func Domain(s string) (string, error) {
	if err := CheckNoCredentials(s); err != nil {
		return "", err
	}
	if strings.HasPrefix(s, "[") {
		return s, checkLiteral(s)
	}
	s, err := toASCII(s)
	if err != nil {
		return "", fmt.Errorf("domain %q: %w", s, err)
	}
	return s, checkDomain(s)
}

// toASCII turns an internationalized name into A-labels. With an error it
// returns s.
func toASCII(s string) (string, error) {
	if IsASCII(s) {
		return s, nil
	}
	a, err := idna.Lookup.ToASCII(s)
	if err != nil {
		return s, err
	}
	return a, nil
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
				return fmt.Errorf("domain %q: %q is not allowed in a domain", s, c)
			}
		}
	}
	return nil
}

// Literal returns the address literal of ip (RFC 5321, 4.1.3), without a zone.
func Literal(ip netip.Addr) string {
	ip = ip.Unmap().WithZone("")
	if ip.Is4() {
		return "[" + ip.String() + "]"
	}
	return "[IPv6:" + ip.String() + "]"
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
		// An IPv6 address without its tag must not pass as another kind of literal.
		_, err := netip.ParseAddr(inner)
		ok = err != nil && IsKeyword(tag) && rest != ""
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
