package saslserver

import (
	"strings"
	"unicode/utf8"

	"github.com/fe022423/submission/smtptest/internal/syntax"
)

const (
	// anonymousUser is the user of ANONYMOUS.
	anonymousUser = "anonymous"
	// maxTrace is how many characters a token may have (RFC 4505, 2).
	maxTrace = 255
)

// anonymous is ANONYMOUS (RFC 4505). The client's trace is a mail address, a token, or
// nothing.
type anonymous struct{ asked bool }

func (x *anonymous) User() string { return anonymousUser }

func (x *anonymous) Next(response []byte) (challenge []byte, done bool, err error) {
	if response == nil && !x.asked {
		x.asked = true
		return nil, false, nil
	}
	trace := string(response)
	isControl := func(c rune) bool { return c < ' ' || c == 0x7f }
	switch {
	case !utf8.ValidString(trace), strings.ContainsFunc(trace, isControl):
		return nil, false, errResponse
	case strings.Contains(trace, "@") && !syntax.ValidMailbox(trace):
		return nil, false, errResponse
	case utf8.RuneCountInString(trace) > maxTrace:
		return nil, false, errResponse
	}
	return nil, true, nil
}
