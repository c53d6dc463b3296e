package smtptest

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"
)

// exchange is the server's side of a SASL mechanism.
type exchange interface {
	// next takes what the client said and returns the next challenge, or done.
	// The first call has a nil response if the client sent no initial one.
	next(response []byte) (challenge []byte, done bool, err error)
	// user is who authenticates, as far as it is known.
	user() string
}

var (
	// errCredentials refuses user, password or proof: 535.
	errCredentials = errors.New("user or password is wrong")
	// errInitial refuses an initial response where the server speaks first.
	errInitial = errors.New("the mechanism takes no initial response")
	// errResponse refuses a response that is none of the mechanism's.
	errResponse = errors.New("malformed response")
)

// newExchange returns the mechanism, nil for one the server does not speak.
func (s *session) newExchange(mechanism string) exchange {
	c := &s.srv.config
	switch mechanism {
	case "PLAIN":
		return &plainExchange{accounts: c.Accounts}
	case "LOGIN":
		return &loginExchange{accounts: c.Accounts}
	case "DIGEST-MD5":
		return newDigest(c.Accounts, c.Hostname)
	}
	return nil
}

// auth obeys AUTH (RFC 4954, 4).
func (s *session) auth(line, arg string) {
	mechanism, initial, hasInitial := strings.Cut(arg, " ")
	mechanism = strings.ToUpper(mechanism)
	ex := s.newExchange(mechanism)
	if hooked := s.ask("AUTH", line); hooked != nil {
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

// judgeAuth returns why no exchange can begin, or "".
func (s *session) judgeAuth(mechanism string, ex exchange) string {
	_, offered := s.offered["AUTH"]
	known := func(m string) bool { return strings.EqualFold(m, mechanism) }
	switch {
	case !s.greeted:
		return s.reply(503, "5.5.1", "EHLO first")
	case !offered:
		return s.reply(502, "5.5.1", "AUTH is not offered")
	case s.authenticated:
		return s.reply(503, "5.5.1", "already authenticated")
	case s.open:
		return s.reply(503, "5.5.1", "not within a transaction")
	case mechanism == "":
		return s.reply(501, "5.5.4", "syntax: AUTH mechanism [initial-response]")
	case ex == nil || !slices.ContainsFunc(s.srv.config.Mechanisms, known):
		return s.reply(504, "5.5.4", "mechanism is not supported")
	}
	return ""
}

// converse reads responses until the exchange has ended. The Hook sees each
// line first; what it answers the mechanism never sees. ex is nil when the Hook
// began the exchange and so has to carry it on.
func (s *session) converse(ex exchange) {
	for {
		line, ok := s.readLine()
		if !ok {
			return
		}
		if line == "*" {
			s.srv.log("C: *")
		} else {
			s.srv.log("C: ***")
		}
		a := s.ask("RESPONSE", line)
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

// respond gives the server's own answer to a response line.
func (s *session) respond(ex exchange, line string) *Answer {
	refusal := ""
	response, ok := decodeResponse(line)
	switch {
	case len(line)+len("\r\n") > commandLimit("RESPONSE"):
		refusal = s.reply(500, "5.5.6", "response too long")
	case line == "*":
		refusal = s.reply(501, "5.7.0", "cancelled")
	case ex == nil:
		refusal = s.reply(535, "5.7.8", errCredentials.Error())
	case !ok:
		refusal = s.reply(501, "5.5.2", "response is not base64")
	default:
		return s.step(ex, response)
	}
	a := &Answer{Reply: refusal}
	s.send(a)
	return a
}

// step gives response to the mechanism and sends what comes of it.
func (s *session) step(ex exchange, response []byte) *Answer {
	challenge, done, err := ex.next(response)
	a := &Answer{}
	switch {
	case errors.Is(err, errCredentials):
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

// sendAuth sends an answer of an exchange; 235 authenticates.
func (s *session) sendAuth(a *Answer, ex exchange) {
	if strings.HasPrefix(a.Reply, "235") {
		s.authenticated = true
		if ex != nil {
			s.user = ex.user()
		}
		s.msg.Auth = s.user
	}
	s.send(a)
}

// challenged says whether the client has to go on after a.
func (s *session) challenged(a *Answer) bool {
	return !s.over && strings.HasPrefix(a.Reply, "3")
}

// decodeResponse reads strict base64; "=" is the empty initial response. It
// never returns a nil slice with ok.
func decodeResponse(line string) (response []byte, ok bool) {
	if line == "=" {
		return []byte{}, true
	}
	response, err := base64.StdEncoding.Strict().DecodeString(line)
	return response, err == nil
}

// plainExchange is PLAIN (RFC 4616).
type plainExchange struct {
	accounts map[string]string
	name     string
	asked    bool
}

func (x *plainExchange) user() string { return x.name }

func (x *plainExchange) next(response []byte) (challenge []byte, done bool, err error) {
	if response == nil && !x.asked {
		x.asked = true
		return nil, false, nil
	}
	parts := strings.Split(string(response), "\x00")
	if len(parts) != 3 || parts[1] == "" || parts[2] == "" {
		return nil, false, errResponse
	}
	x.name = parts[1]
	if !mayLogIn(x.accounts, parts[1], parts[2]) || !mayActAs(x.accounts, parts[0]) {
		return nil, false, errCredentials
	}
	return nil, true, nil
}

// loginExchange is LOGIN (draft-murchison-sasl-login).
type loginExchange struct {
	accounts map[string]string
	name     string
	named    bool
	asked    bool
}

func (x *loginExchange) user() string { return x.name }

func (x *loginExchange) next(response []byte) (challenge []byte, done bool, err error) {
	switch {
	case response == nil && !x.asked:
		x.asked = true
		return []byte("Username:"), false, nil
	case !x.named:
		x.name, x.named = string(response), true
		return []byte("Password:"), false, nil
	case !mayLogIn(x.accounts, x.name, string(response)):
		return nil, false, errCredentials
	}
	return nil, true, nil
}

func mayLogIn(accounts map[string]string, user, password string) bool {
	want, ok := accounts[user]
	return ok && want == password
}

// mayActAs allows the authorization identities that are accounts.
func mayActAs(accounts map[string]string, identity string) bool {
	_, ok := accounts[identity]
	return ok || identity == ""
}
