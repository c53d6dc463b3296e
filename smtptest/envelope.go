package smtptest

import (
	"errors"
	"strconv"
	"strings"

	"github.com/fe022423/submission/smtptest/internal/syntax"
)

// judgeMail answers MAIL.
func (s *session) judgeMail(arg string) verdict {
	path, params, ok := syntax.Envelope(arg, "FROM:")
	v := verdict{addr: path, accept: func(string) {
		s.endTransaction()
		s.mails++
		s.open, s.msg.From, s.msg.Params = true, path, params
		s.msg.noteMail(params)
	}}
	switch {
	case !s.greeted:
		v.reply = s.reply(503, "5.5.1", s.greeting()+" first")
	case s.srv.config.RequireAuth && !s.authenticated:
		v.reply = s.reply(530, "5.7.0", "authentication required")
	case s.open:
		v.reply = s.reply(503, "5.5.1", "a transaction has begun")
	case !ok:
		v.reply = s.reply(501, "5.5.4", "syntax: MAIL FROM:<address> [parameters]")
	case path != "" && !syntax.ValidMailbox(path):
		v.reply = s.reply(501, "5.1.7", "not a mailbox")
	default:
		v.reply = s.refuseParameters(syntax.CheckMail(params, s.offered))
	}
	if v.reply == "" {
		v.reply = s.checkMail(path, params)
	}
	if v.reply == "" {
		v.reply = s.beyondMailLimit()
	}
	if v.reply == "" {
		v.reply = s.reply(250, "2.1.0", "sender ok")
	}
	return v
}

// checkMail checks what the parameters say about the message. It returns the reply if
// they are refused, or "".
func (s *session) checkMail(path string, params []string) string {
	if !syntax.IsASCII(path) && !syntax.HasParameter(params, "SMTPUTF8") {
		return s.reply(553, "5.6.7", "SMTPUTF8 needed")
	}
	if body, ok := syntax.ParameterValue(params, "BODY"); ok {
		_, binary := s.offered["BINARYMIME"]
		if isBinary := strings.EqualFold(body, "BINARYMIME"); isBinary && !binary || !isBinary && !s.offersEightBit() {
			return s.reply(555, "5.5.4", "BODY="+body+" is not offered")
		}
	}
	if size, ok := syntax.ParameterValue(params, "SIZE"); ok && s.sizeLimit() > 0 {
		// A number that does not fit into an int64 is larger than any limit.
		if n, err := strconv.ParseInt(size, 10, 64); err != nil || n > s.sizeLimit() {
			return s.reply(552, "5.3.4", "message too large")
		}
	}
	return s.checkDelivery(params)
}

// offersEightBit says whether 8BITMIME was offered. SMTPUTF8 brings it with it
// (RFC 6531, 3.1).
func (s *session) offersEightBit() bool {
	_, eight := s.offered["8BITMIME"]
	_, utf8 := s.offered["SMTPUTF8"]
	return eight || utf8
}

// judgeRcpt answers RCPT.
func (s *session) judgeRcpt(arg string) verdict {
	path, params, ok := syntax.Envelope(arg, "TO:")
	v := verdict{addr: path, accept: func(string) {
		s.msg.To = append(s.msg.To, path)
		s.msg.RcptParams = append(s.msg.RcptParams, params)
		s.msg.noteRcpt(params)
		s.noteDomain(domainOf(path))
	}}
	switch {
	case !s.open:
		v.reply = s.reply(503, "5.5.1", "MAIL first")
	case s.chunks != noChunks:
		v.reply = s.reply(503, "5.5.1", "BDAT has begun")
	case !ok:
		v.reply = s.reply(501, "5.5.4", "syntax: RCPT TO:<address> [parameters]")
	case !syntax.ValidMailbox(path) && !strings.EqualFold(path, "Postmaster"):
		v.reply = s.reply(501, "5.1.3", "not a mailbox")
	case !syntax.IsASCII(path) && !syntax.HasParameter(s.msg.Params, "SMTPUTF8"):
		v.reply = s.reply(553, "5.6.7", "SMTPUTF8 needed")
	default:
		v.reply = s.refuseParameters(syntax.CheckRcpt(params, s.offered))
	}
	if v.reply == "" {
		v.reply = s.beyondRcptLimit(domainOf(path))
	}
	if v.reply == "" {
		v.reply = s.reply(250, "2.1.5", "recipient ok")
	}
	return v
}

// endTransaction forgets the envelope and the message (RFC 5321, 4.1.4).
func (s *session) endTransaction() {
	s.open, s.chunks = false, noChunks
	s.lines, s.bits = syntax.LineCheck{}, syntax.EightBit{}
	s.msg = Message{Session: s.id, TLS: s.encrypted, Auth: s.user}
}

// sizeLimit returns the SIZE that was offered, 0 for none (RFC 1870, 3).
func (s *session) sizeLimit() int64 {
	n, err := strconv.ParseInt(s.offered["SIZE"], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// refuseParameters returns the reply to parameters with that error, "" for none.
func (s *session) refuseParameters(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, syntax.ErrNotOffered):
		return s.reply(555, "5.5.4", err.Error())
	}
	return s.reply(501, "5.5.4", err.Error())
}
