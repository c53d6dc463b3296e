package smtptest

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"

	"github.com/fe022423/submission/smtptest/internal/saslserver"
)

// auth answers AUTH (RFC 4954, 4) and runs the exchange.
func (s *session) auth(line, arg string) {
	mechanism, initial, hasInitial := strings.Cut(arg, " ")
	mechanism = strings.ToUpper(mechanism)
	ex := s.sasl.New(mechanism)
	if hooked := s.ask("AUTH", line, ""); hooked != nil {
		s.sendAuth(hooked, nil)
		if s.challenged(hooked) {
			s.converse(nil)
		}
		return
	}
	if refusal := s.judgeAuth(mechanism, ex); refusal != "" {
		s.send(&Answer{Reply: refusal})
		return
	}
	var response []byte
	if hasInitial {
		var ok bool
		if response, ok = decodeResponse(initial); !ok {
			s.send(&Answer{Reply: s.reply(501, "5.5.2", "initial response is not base64")})
			return
		}
	}
	if a := s.step(ex, response); s.challenged(a) {
		s.converse(ex)
	}
}

// judgeAuth returns the reply if no exchange can begin, or "".
func (s *session) judgeAuth(mechanism string, ex saslserver.Exchange) string {
	_, offered := s.offered["AUTH"]
	listed := func(m string) bool { return strings.EqualFold(m, mechanism) }
	switch {
	case !s.greeted:
		return s.reply(503, "5.5.1", s.greeting()+" first")
	case !offered:
		return s.reply(502, "5.5.1", "AUTH is not offered")
	case s.authenticated:
		return s.reply(503, "5.5.1", "already authenticated")
	case s.open:
		return s.reply(503, "5.5.1", "not within a transaction")
	case mechanism == "":
		return s.reply(501, "5.5.4", "syntax: AUTH mechanism [initial-response]")
	case ex == nil || !slices.ContainsFunc(s.sasl.Offered(), listed):
		return s.reply(504, "5.5.4", "mechanism is not supported")
	}
	if m := s.checkClearText(mechanism); m != (mistake{}) {
		return s.blame(m)
	}
	return ""
}

// converse reads responses until the exchange has ended. The Hook sees each line
// first; the mechanism does not see a line that the Hook answers. ex is nil if the
// Hook began the exchange: then the Hook has to answer all of it.
func (s *session) converse(ex saslserver.Exchange) {
	for {
		line, ok := s.readLine()
		if !ok {
			return
		}
		if line == "*" {
			s.log("C: *")
		} else {
			s.log("C: ***")
		}
		if s.refuseEarly() {
			return
		}
		a := s.ask("RESPONSE", line, "")
		if a == nil {
			a = s.respond(ex, line)
		} else {
			s.sendAuth(a, ex)
		}
		if !s.challenged(a) {
			return
		}
	}
}

// respond sends the server's own answer to a response line.
func (s *session) respond(ex saslserver.Exchange, line string) *Answer {
	refusal := ""
	response, ok := decodeResponse(line)
	switch {
	case len(line)+len("\r\n") > commandLimit("RESPONSE"):
		refusal = s.reply(500, "5.5.6", "response too long")
	case line == "*":
		refusal = s.reply(501, "5.7.0", "cancelled")
	case ex == nil:
		refusal = s.reply(535, "5.7.8", saslserver.ErrCredentials.Error())
	case !ok:
		refusal = s.reply(501, "5.5.2", "response is not base64")
	default:
		return s.step(ex, response)
	}
	a := &Answer{Reply: refusal}
	s.send(a)
	return a
}

// step gives response to the mechanism and sends the result.
func (s *session) step(ex saslserver.Exchange, response []byte) *Answer {
	challenge, done, err := ex.Next(response)
	a := &Answer{}
	switch {
	case errors.As(err, new(saslserver.Refusal)):
		a.Reply = s.reply(535, "5.7.8", err.Error())
	case err != nil:
		a.Reply = s.reply(501, "5.5.2", err.Error())
	case done:
		a.Reply = s.reply(235, "2.7.0", "authenticated")
	default:
		a.Reply = "334 " + base64.StdEncoding.EncodeToString(challenge)
	}
	s.sendAuth(a, ex)
	return a
}

// sendAuth sends an answer in an exchange. 235 authenticates the client.
func (s *session) sendAuth(a *Answer, ex saslserver.Exchange) {
	if strings.HasPrefix(a.Reply, "235") {
		s.authenticated = true
		if ex != nil {
			s.user = ex.User()
		}
		s.msg.Auth = s.user
	}
	s.send(a)
}

// challenged says whether the client has to respond to a.
func (s *session) challenged(a *Answer) bool {
	return !s.over && strings.HasPrefix(a.Reply, "3")
}

// decodeResponse decodes strict base64. "=" is the empty initial response. If it is ok,
// the response is not nil.
func decodeResponse(line string) (response []byte, ok bool) {
	if line == "=" {
		return []byte{}, true
	}
	response, err := base64.StdEncoding.Strict().DecodeString(line)
	return response, err == nil
}
