package syntax

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrNotOffered is wrapped by the error of a parameter whose extension was not
// offered.
var ErrNotOffered = errors.New("not offered")

// Lengths of values (RFC 3461, 4.2 and 4.4, RFC 4954, 5, RFC 1870, 3).
const (
	maxENVID      = 100
	maxORCPT      = 500
	maxAUTH       = 500
	maxSizeDigits = 20
)

// parameter is a parameter of MAIL or RCPT.
type parameter struct {
	extensions []string                // each of these brings it
	valid      func(value string) bool // nil: it takes no value
}

// mailParameters are those of MAIL.
var mailParameters = map[string]parameter{
	"SIZE":       {[]string{"SIZE"}, validSize},
	"BODY":       {[]string{"8BITMIME", "BINARYMIME", "SMTPUTF8"}, oneOf("7BIT", "8BITMIME", "BINARYMIME")},
	"SMTPUTF8":   {[]string{"SMTPUTF8"}, nil},
	"RET":        {[]string{"DSN"}, oneOf("FULL", "HDRS")},
	"ENVID":      {[]string{"DSN"}, func(v string) bool { return len(v) <= maxENVID && validXtext(v) }},
	"AUTH":       {[]string{"AUTH"}, func(v string) bool { return len(v) <= maxAUTH && validXtext(v) }},
	"REQUIRETLS": {[]string{"REQUIRETLS"}, nil},

	"MT-PRIORITY": {[]string{"MT-PRIORITY"}, valid(ParsePriority)},
	"HOLDFOR":     {[]string{"FUTURERELEASE"}, valid(ParseInterval)},
	"HOLDUNTIL":   {[]string{"FUTURERELEASE"}, valid(ParseDateTime)},
	"BY":          {[]string{"DELIVERBY"}, valid(ParseDeliverBy)},
}

// rcptParameters are those of RCPT.
var rcptParameters = map[string]parameter{
	"NOTIFY": {[]string{"DSN"}, validNotify},
	"ORCPT":  {[]string{"DSN"}, validORCPT},
	"RRVS":   {[]string{"RRVS"}, valid(ParseValidSince)},
}

// CheckMail checks the parameters of MAIL and returns the error of the first one
// that is wrong. The keys of offered are the keywords of the EHLO reply, in upper
// case.
func CheckMail(params []string, offered map[string]string) error {
	return checkParameters(params, mailParameters, offered)
}

// CheckRcpt does the same for the parameters of RCPT.
func CheckRcpt(params []string, offered map[string]string) error {
	return checkParameters(params, rcptParameters, offered)
}

// checkParameters checks the parameters of a command. A parameter that neither MAIL
// nor RCPT knows needs an extension with its name.
func checkParameters(params []string, known map[string]parameter, offered map[string]string) error {
	var seen []string
	for _, param := range params {
		keyword, value, hasValue := strings.Cut(param, "=")
		keyword = strings.ToUpper(keyword)
		if !validKeyword(keyword) || hasValue && !validValue(value) || slices.Contains(seen, keyword) {
			return fmt.Errorf("bad parameter %s", param)
		}
		seen = append(seen, keyword)
		p, ok := known[keyword]
		if !ok && mailParameters[keyword].extensions == nil && rcptParameters[keyword].extensions == nil {
			p = parameter{extensions: []string{keyword}}
		}
		if !slices.ContainsFunc(p.extensions, func(e string) bool { _, ok := offered[e]; return ok }) {
			return fmt.Errorf("%s is %w", keyword, ErrNotOffered)
		}
		if ok && (hasValue != (p.valid != nil) || hasValue && !p.valid(value)) {
			return fmt.Errorf("bad parameter %s", param)
		}
	}
	return nil
}

// HasParameter says whether there is a parameter with that keyword and no value.
func HasParameter(params []string, keyword string) bool {
	return slices.ContainsFunc(params, func(p string) bool { return strings.EqualFold(p, keyword) })
}

// ParameterValue returns the value of the first parameter with that keyword and a
// value. The case of keywords does not count.
func ParameterValue(params []string, keyword string) (string, bool) {
	for _, p := range params {
		if k, v, ok := strings.Cut(p, "="); ok && strings.EqualFold(k, keyword) {
			return v, true
		}
	}
	return "", false
}

// validKeyword checks esmtp-keyword of RFC 5321, 4.1.2. The keyword is in upper case.
func validKeyword(s string) bool {
	return s != "" && s[0] != '-' && !strings.ContainsFunc(s, func(c rune) bool {
		return c != '-' && (c < '0' || c > '9') && (c < 'A' || c > 'Z')
	})
}

// validValue checks esmtp-value of RFC 5321, 4.1.2, as RFC 6531 widens it.
func validValue(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c == '=' || c == 0x7f })
}

// validSize checks size-value of RFC 1870, 3.
func validSize(s string) bool {
	return len(s) <= maxSizeDigits && isDigits(s)
}

func oneOf(values ...string) func(string) bool {
	return func(v string) bool {
		return slices.ContainsFunc(values, func(w string) bool { return strings.EqualFold(v, w) })
	}
}

// validXtext checks xtext of RFC 3461, 4. It accepts "<>" too, which AUTH allows
// beside xtext (RFC 4954, 5).
func validXtext(s string) bool {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c <= ' ', c >= 0x7f, c == '=':
			return false
		case c == '+':
			if i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2]) {
				return false
			}
			i += 2
		}
	}
	return s != ""
}

// isHex accepts the hexadecimal digits of xtext, which are upper case.
func isHex(c byte) bool { return c >= '0' && c <= '9' || c >= 'A' && c <= 'F' }

// validNotify checks NOTIFY of RFC 3461, 4.1.
func validNotify(s string) bool {
	if strings.EqualFold(s, "NEVER") {
		return true
	}
	var seen []string
	for word := range strings.SplitSeq(strings.ToUpper(s), ",") {
		if !oneOf("SUCCESS", "FAILURE", "DELAY")(word) || slices.Contains(seen, word) {
			return false
		}
		seen = append(seen, word)
	}
	return true
}

// validORCPT checks ORCPT of RFC 3461, 4.2. An address of the type utf-8 is encoded
// in another way, which allows UTF-8 as it is (RFC 6533, 3).
func validORCPT(s string) bool {
	kind, addr, ok := strings.Cut(s, ";")
	if !ok || kind == "" || len(s) > maxORCPT {
		return false
	}
	return strings.EqualFold(kind, "utf-8") && addr != "" || validXtext(addr)
}
