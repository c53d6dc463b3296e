package smtptest

import (
	"fmt"
	"strings"

	"github.com/fe022423/submission/smtptest/internal/syntax"
)

// commandLimit returns how long a command line may be, including its CRLF: RFC 5321,
// 4.5.3.1.4, and what the extensions add to MAIL (RFC 1870: 26, RFC 3030: 16,
// RFC 6531: 10, RFC 4954: 500, RFC 3461: RET and ENVID, the parameters of RFC 6710,
// RFC 4865 and RFC 2852) and to RCPT (RFC 3461: NOTIFY and ORCPT, RFC 7293: RRVS), and
// RFC 4954, 4 for AUTH.
func commandLimit(verb string) int {
	const plain = 512
	switch verb {
	case "MAIL":
		return plain + 26 + 16 + 10 + 500 + len(" RET=HDRS ENVID=") + 100 +
			len(" MT-PRIORITY=-9 HOLDUNTIL=2030-01-01T00:00:00+00:00 BY=+999999999;RT")
	case "RCPT":
		return plain + len(" NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=") + 500 + len(" RRVS=2014-04-03T23:01:00+00:00;C")
	case "AUTH", "RESPONSE":
		return 12288
	}
	return plain
}

// reply makes a reply of one line. It has the enhanced code if those were offered
// (RFC 2034, 4).
func (s *session) reply(code int, enhanced, text string) string {
	if _, ok := s.offered["ENHANCEDSTATUSCODES"]; ok {
		return fmt.Sprintf("%d %s %s", code, enhanced, text)
	}
	return fmt.Sprintf("%d %s", code, text)
}

// obey carries out one command line.
func (s *session) obey(line string) {
	verb, arg, hasArg := strings.Cut(line, " ")
	verb = strings.ToUpper(verb)
	s.hasty = s.hastyAfter(verb)
	switch {
	case s.turnedAway && verb != "QUIT":
		s.answer(verb, line, verdict{reply: "503 session refused, only QUIT is allowed"})
	case len(line)+len("\r\n") > commandLimit(verb):
		s.answer(verb, line, verdict{reply: s.reply(500, "5.5.2", "line too long")})
	case strings.ContainsFunc(line, func(c rune) bool { return c < ' ' || c == 0x7f }):
		s.answer(verb, line, verdict{reply: s.reply(500, "5.5.2", "control character in command")})
	case verb == "BDAT":
		s.bdat(line, arg)
	case verb == "AUTH":
		s.auth(line, arg)
	case hasArg && (verb == "DATA" || verb == "RSET" || verb == "QUIT" || verb == "STARTTLS"):
		s.answer(verb, line, verdict{reply: s.reply(501, "5.5.4", verb+" takes no argument")})
	default:
		s.answer(verb, line, s.judge(verb, arg))
	}
}

// judge returns the server's own answer to a command.
func (s *session) judge(verb, arg string) verdict {
	switch verb {
	case "EHLO", "HELO", "LHLO":
		if lmtp := verb == "LHLO"; lmtp == s.srv.config.LMTP { // RFC 2033, 4.1: the others are not known
			return s.judgeHello(verb, arg)
		}
	case "STARTTLS":
		return s.judgeStartTLS()
	case "MAIL":
		return s.judgeMail(arg)
	case "RCPT":
		return s.judgeRcpt(arg)
	case "DATA":
		return s.judgeData()
	case "RSET":
		return verdict{
			reply:  s.reply(250, "2.0.0", "forgotten"),
			accept: func(string) { s.endTransaction() },
		}
	case "NOOP":
		return verdict{reply: s.reply(250, "2.0.0", "still here")}
	case "QUIT":
		return verdict{
			reply: s.reply(221, "2.0.0", s.srv.config.Hostname+" closing"),
			after: func() { s.over = true },
		}
	case "VRFY":
		if arg == "" {
			return verdict{reply: s.reply(501, "5.5.4", "VRFY whom?")}
		}
		return verdict{reply: s.reply(252, "2.5.0", "cannot tell, send and see")}
	case "HELP":
		return verdict{reply: s.reply(214, "2.0.0", "see RFC 5321")}
	case "EXPN", "TURN", "ETRN", "ATRN", "SEND", "SOML", "SAML":
		return verdict{reply: s.reply(502, "5.5.1", verb+" is not implemented")}
	}
	return verdict{reply: s.reply(500, "5.5.1", "unknown command")}
}

// judgeHello answers EHLO, HELO and LHLO; each ends a transaction (RFC 5321, 4.1.4).
func (s *session) judgeHello(verb, arg string) verdict {
	host := s.srv.config.Hostname
	v := verdict{reply: "250 " + host, success: "250"}
	v.accept = func(reply string) {
		s.endTransaction()
		s.greeted, s.offered = true, nil
		if verb != "HELO" {
			s.offered = syntax.Keywords(reply)
		}
	}
	if !syntax.ValidDomain(arg) || !syntax.IsASCII(arg) {
		v.reply = s.reply(501, "5.5.4", verb+" needs a domain or an address literal")
		return v
	}
	if verb == "HELO" {
		return v
	}
	lines := append([]string{host + " greets " + arg}, s.extensions()...)
	for i, line := range lines {
		lines[i] = "250-" + line
	}
	lines[len(lines)-1] = "250 " + lines[len(lines)-1][len("250-"):]
	v.reply = strings.Join(lines, "\n")
	return v
}

// extensions returns the lines of the EHLO reply in the state of the session.
func (s *session) extensions() []string {
	c := &s.srv.config
	var lines []string
	for _, line := range c.Extensions {
		keyword, _, _ := strings.Cut(line, " ")
		if s.encrypted || !strings.EqualFold(keyword, "REQUIRETLS") {
			lines = append(lines, line)
		}
	}
	if c.TLS == StartTLS && !s.encrypted {
		lines = append(lines, "STARTTLS")
	}
	if mechanisms := s.sasl.Offered(); len(mechanisms) > 0 {
		lines = append(lines, "AUTH "+strings.Join(mechanisms, " "))
	}
	return lines
}

// judgeStartTLS answers STARTTLS. A session ends if the client sent more in clear text
// after it: the server must not obey that under TLS.
func (s *session) judgeStartTLS() verdict {
	v := verdict{success: "220", after: s.startTLS}
	_, offered := s.offered["STARTTLS"]
	switch {
	case s.encrypted:
		v.reply = s.reply(503, "5.5.1", "TLS is active")
	case !offered && s.srv.config.TLS != StartTLS:
		v.reply = s.reply(502, "5.5.1", "STARTTLS is not offered")
	case !offered:
		v.reply = s.reply(503, "5.5.1", s.greeting()+" first")
	case s.r.Buffered() > 0 || s.in.Buffered() > 0:
		v.reply, v.final = s.reply(554, "5.5.1", "input after STARTTLS"), true
	default:
		v.reply = s.reply(220, "2.0.0", "go ahead")
	}
	return v
}

// redact returns a command line as the transcript shows it.
func redact(line string) string {
	verb, rest, _ := strings.Cut(line, " ")
	mechanism, response, _ := strings.Cut(rest, " ")
	if strings.EqualFold(verb, "AUTH") && response != "" {
		return verb + " " + mechanism + " ***"
	}
	return line
}
