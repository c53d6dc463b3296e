package submission

import (
	"fmt"
	"strings"

	"github.com/fe022423/submission/internal/address"
)

// DSN asks for delivery status notifications (RFC 3461). The zero value asks for
// nothing. When any field is set and the server does not offer DSN, the send fails
// with ErrUnsupported before anything of the message is sent.
type DSN struct {
	// Notify says when to report on a recipient. Recipient.Notify overrides it.
	Notify Notify
	// Return says how much of the message a report of failure contains.
	Return Return
	// EnvelopeID is repeated in every report. It is printable ASCII, of at most
	// 100 characters after encoding as xtext: "+", "=" and space take three.
	EnvelopeID string
}

// Notify is a set of events to report for a recipient, such as
// NotifyFailure|NotifyDelay. Zero leaves the choice to the server. NotifyNever
// cannot be combined with the others.
type Notify uint8

// The events of RFC 3461, 4.1.
const (
	NotifyNever   Notify = 1 << iota // no report at all
	NotifySuccess                    // delivered
	NotifyFailure                    // could not be delivered
	NotifyDelay                      // not delivered yet
)

// Return is how much of the message a report of failure contains.
type Return string

// The values of RET (RFC 3461, 4.3).
const (
	ReturnFull    Return = "FULL" // the whole message
	ReturnHeaders Return = "HDRS" // its header section only
)

// Limits of RFC 3461, 4.2 and 4.4 on the encoded values.
const (
	maxEnvelopeID = 100
	maxORCPT      = 500
)

// String returns the value of the NOTIFY parameter, "" for zero.
func (n Notify) String() string {
	names := make([]string, 0, 3)
	for i, name := range []string{"NEVER", "SUCCESS", "FAILURE", "DELAY"} {
		if n&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

func (n Notify) check() error {
	if n&NotifyNever != 0 && n != NotifyNever {
		return fmt.Errorf("NotifyNever cannot be combined with %v", n&^NotifyNever)
	}
	if n >= NotifyDelay<<1 {
		return fmt.Errorf("unknown Notify bits %#x", uint8(n))
	}
	return nil
}

func (d DSN) check() error {
	if err := d.Notify.check(); err != nil {
		return err
	}
	if d.Return != "" && d.Return != ReturnFull && d.Return != ReturnHeaders {
		return fmt.Errorf("unknown DSN.Return %q", string(d.Return))
	}
	if !printableASCII(d.EnvelopeID) {
		return fmt.Errorf("DSN.EnvelopeID %q is not printable ASCII", d.EnvelopeID)
	}
	if n := len(appendXtext(nil, d.EnvelopeID)); n > maxEnvelopeID {
		return fmt.Errorf("DSN.EnvelopeID has %d characters encoded, the limit is %d", n, maxEnvelopeID)
	}
	return nil
}

func printableASCII(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// appendXtext appends s as xtext (RFC 3461, 4): "+", "=", space, and each octet
// that is not printable ASCII, become "+" and two hexadecimal digits.
func appendXtext(dst []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	for i := range len(s) {
		if c := s[i]; c > ' ' && c <= '~' && c != '+' && c != '=' {
			dst = append(dst, c)
		} else {
			dst = append(dst, '+', hex[c>>4], hex[c&15])
		}
	}
	return dst
}

// appendORCPT appends the value of ORCPT: the address type, ";" and the address
// as xtext, or as utf-8-addr-xtext (RFC 6533, 3) for the type utf-8.
func appendORCPT(dst []byte, orcpt string) ([]byte, error) {
	kind, addr, ok := strings.Cut(orcpt, ";")
	if !ok {
		kind, addr = "rfc822", orcpt
		if !printableASCII(addr) {
			kind = "utf-8"
		}
	}
	if !address.IsKeyword(kind) {
		return dst, fmt.Errorf("ORCPT %q: the address type is not an atom", orcpt)
	}
	if addr == "" {
		return dst, fmt.Errorf("ORCPT %q: no address", orcpt)
	}
	if err := address.CheckText(addr); err != nil {
		return dst, fmt.Errorf("ORCPT %q: %w", orcpt, err)
	}
	start := len(dst)
	dst = append(append(dst, kind...), ';')
	switch {
	case strings.EqualFold(kind, "utf-8"):
		dst = appendUnicodeXtext(dst, addr)
	case !printableASCII(addr):
		return dst[:start], fmt.Errorf("ORCPT %q: an address that is not ASCII needs the type utf-8", orcpt)
	default:
		dst = appendXtext(dst, addr)
	}
	if len(dst)-start > maxORCPT {
		return dst[:start], fmt.Errorf("ORCPT has %d characters encoded, the limit is %d", len(dst)-start, maxORCPT)
	}
	return dst, nil
}

// appendUnicodeXtext appends s as utf-8-addr-xtext (RFC 6533, 3): "+", "=", "\",
// space, and what is not printable ASCII, become \x{HEX}. This form needs no
// SMTPUTF8 on the way.
func appendUnicodeXtext(dst []byte, s string) []byte {
	for _, r := range s {
		if r > ' ' && r <= '~' && r != '+' && r != '=' && r != '\\' {
			dst = append(dst, byte(r))
		} else {
			dst = fmt.Appendf(dst, `\x{%02X}`, r)
		}
	}
	return dst
}
