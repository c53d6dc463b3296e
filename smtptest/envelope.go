package smtptest

import (
	"slices"
	"strconv"
	"strings"
)

// parameter says which extensions bring a parameter of MAIL or RCPT and what
// its value may be; without a value check it takes none.
type parameter struct {
	extensions []string
	valid      func(value string) bool
}

var mailParameters = map[string]parameter{
	"SIZE":       {[]string{"SIZE"}, validSize},
	"BODY":       {[]string{"8BITMIME", "BINARYMIME"}, oneOf("7BIT", "8BITMIME", "BINARYMIME")},
	"SMTPUTF8":   {[]string{"SMTPUTF8"}, nil},
	"RET":        {[]string{"DSN"}, oneOf("FULL", "HDRS")},
	"ENVID":      {[]string{"DSN"}, func(v string) bool { return len(v) <= 100 && validXtext(v) }},
	"AUTH":       {[]string{"AUTH"}, func(v string) bool { return len(v) <= 500 && validXtext(v) }},
	"REQUIRETLS": {[]string{"REQUIRETLS"}, nil},
}

var rcptParameters = map[string]parameter{
	"NOTIFY": {[]string{"DSN"}, validNotify},
	"ORCPT":  {[]string{"DSN"}, validORCPT},
}

// judgeMail answers MAIL.
func (s *session) judgeMail(arg string) verdict {
	path, params, ok := envelopeArgument(arg, "FROM:")
	v := verdict{accept: func(string) {
		s.endTransaction()
		s.open, s.msg.From, s.msg.Params = true, path, params
	}}
	switch {
	case !s.greeted:
		v.reply = s.reply(503, "5.5.1", "EHLO first")
	case s.srv.config.RequireAuth && !s.authenticated:
		v.reply = s.reply(530, "5.7.0", "authentication required")
	case s.open:
		v.reply = s.reply(503, "5.5.1", "a transaction is under way")
	case !ok:
		v.reply = s.reply(501, "5.5.4", "syntax: MAIL FROM:<address> [parameters]")
	case path != "" && !validMailbox(path):
		v.reply = s.reply(501, "5.1.7", "not a mailbox")
	default:
		v.reply = s.checkParameters(params, mailParameters)
	}
	if v.reply == "" {
		v.reply = s.checkMail(path, params)
	}
	if v.reply == "" {
		v.reply = s.reply(250, "2.1.0", "sender ok")
	}
	return v
}

// checkMail checks what the parameters say of the message; "" is fine.
func (s *session) checkMail(path string, params []string) string {
	if !isASCII(path) && !hasParameter(params, "SMTPUTF8") {
		return s.reply(553, "5.6.7", "SMTPUTF8 needed")
	}
	if body, ok := valueOf(params, "BODY"); ok {
		_, binary := s.offered["BINARYMIME"]
		_, eight := s.offered["8BITMIME"]
		if isBinary := strings.EqualFold(body, "BINARYMIME"); isBinary && !binary || !isBinary && !eight {
			return s.reply(555, "5.5.4", "BODY="+body+" is not offered")
		}
	}
	if size, ok := valueOf(params, "SIZE"); ok && s.sizeLimit() > 0 {
		// A number that does not even fit is larger than any limit.
		if n, err := strconv.ParseInt(size, 10, 64); err != nil || n > s.sizeLimit() {
			return s.reply(552, "5.3.4", "message too large")
		}
	}
	return ""
}

// judgeRcpt answers RCPT.
func (s *session) judgeRcpt(arg string) verdict {
	path, params, ok := envelopeArgument(arg, "TO:")
	v := verdict{accept: func(string) {
		s.msg.To = append(s.msg.To, path)
		s.msg.RcptParams = append(s.msg.RcptParams, params)
	}}
	switch {
	case !s.open:
		v.reply = s.reply(503, "5.5.1", "MAIL first")
	case s.chunks != noChunks:
		v.reply = s.reply(503, "5.5.1", "BDAT was begun")
	case !ok:
		v.reply = s.reply(501, "5.5.4", "syntax: RCPT TO:<address> [parameters]")
	case !validMailbox(path) && !strings.EqualFold(path, "Postmaster"):
		v.reply = s.reply(501, "5.1.3", "not a mailbox")
	case !isASCII(path) && !hasParameter(s.msg.Params, "SMTPUTF8"):
		v.reply = s.reply(553, "5.6.7", "SMTPUTF8 needed")
	default:
		v.reply = s.checkParameters(params, rcptParameters)
	}
	if v.reply == "" {
		v.reply = s.reply(250, "2.1.5", "recipient ok")
	}
	return v
}

// endTransaction forgets the envelope and the message (RFC 5321, 4.1.4).
func (s *session) endTransaction() {
	s.open, s.chunks, s.lines = false, noChunks, lineCheck{}
	s.msg = Message{Session: s.id, TLS: s.encrypted, Auth: s.user}
}

// sizeLimit is the SIZE that was offered, 0 for none (RFC 1870, 3).
func (s *session) sizeLimit() int64 {
	n, err := strconv.ParseInt(s.offered["SIZE"], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// envelopeArgument takes the argument of MAIL or RCPT apart.
func envelopeArgument(arg, prefix string) (path string, params []string, ok bool) {
	if len(arg) < len(prefix) || !strings.EqualFold(arg[:len(prefix)], prefix) {
		return "", nil, false
	}
	return splitPath(arg[len(prefix):])
}

// checkParameters returns the refusal of the first parameter that is wrong, or
// "". A parameter nobody knows here needs an extension of its own name.
func (s *session) checkParameters(params []string, known map[string]parameter) string {
	var seen []string
	for _, param := range params {
		keyword, value, hasValue := strings.Cut(param, "=")
		keyword = strings.ToUpper(keyword)
		if !validKeyword(keyword) || hasValue && !validValue(value) || slices.Contains(seen, keyword) {
			return s.reply(501, "5.5.4", "bad parameter "+param)
		}
		seen = append(seen, keyword)
		p, ok := known[keyword]
		if !ok && mailParameters[keyword].extensions == nil && rcptParameters[keyword].extensions == nil {
			p = parameter{extensions: []string{keyword}}
		}
		if !slices.ContainsFunc(p.extensions, func(e string) bool { _, ok := s.offered[e]; return ok }) {
			return s.reply(555, "5.5.4", keyword+" is not offered")
		}
		if ok && (hasValue != (p.valid != nil) || hasValue && !p.valid(value)) {
			return s.reply(501, "5.5.4", "bad parameter "+param)
		}
	}
	return ""
}

func hasParameter(params []string, keyword string) bool {
	return slices.ContainsFunc(params, func(p string) bool { return strings.EqualFold(p, keyword) })
}

func valueOf(params []string, keyword string) (string, bool) {
	for _, p := range params {
		if k, v, ok := strings.Cut(p, "="); ok && strings.EqualFold(k, keyword) {
			return v, true
		}
	}
	return "", false
}

// validKeyword checks esmtp-keyword of RFC 5321, 4.1.2, in upper case.
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
	return len(s) <= 20 && !strings.ContainsFunc(s, func(c rune) bool { return c < '0' || c > '9' })
}

func oneOf(values ...string) func(string) bool {
	return func(v string) bool {
		return slices.ContainsFunc(values, func(w string) bool { return strings.EqualFold(v, w) })
	}
}

// validXtext checks xtext of RFC 3461, 4; "<>" is AUTH's own (RFC 4954, 5) but
// is made of octets that xtext allows.
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

// isHex knows the digits of xtext, which are upper case.
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

// validORCPT checks ORCPT of RFC 3461, 4.2; the utf-8 type has an encoding of
// its own, in which UTF-8 may stand as it is (RFC 6533, 3).
func validORCPT(s string) bool {
	kind, addr, ok := strings.Cut(s, ";")
	if !ok || kind == "" || len(s) > 500 {
		return false
	}
	return strings.EqualFold(kind, "utf-8") && addr != "" || validXtext(addr)
}
