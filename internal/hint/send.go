package hint

import (
	"strings"

	"github.com/fe022423/submission/internal/printable"
)

// Send is the refusal of a message by a reply to MAIL or to what follows it.
type Send struct {
	Reply
	Text       string   // the reply, in one line
	ToMail     bool     // it answers MAIL
	ToRcpt     bool     // it answers RCPT
	Pipelining bool     // several commands went out in one flight
	EightBit   bool     // MAIL had BODY=8BITMIME
	MailParams string   // the parameters of MAIL
	RcptParams string   // those of the RCPT that was refused first
	Unasked    []string // the keywords of the parameters of MAIL that the envelope does not ask for
}

// Hint says what to make of the refusal: of parameters or of a flight that were
// offered and then refused. "" when that is not what it is.
func (s Send) Hint() string {
	text := strings.ToLower(s.Text)
	says := func(word string) bool { return strings.Contains(text, word) }
	switch code := s.Enhanced; {
	case s.Pipelining && (says("pipelining") || says("synchronization")):
		return "several commands went out in one flight: put PIPELINING into Options.Disable"
	case s.EightBit && code[1] == 6 && (code[2] == 1 || code[2] == 3): // RFC 3463, 3.7
		return "sent with " + printable.Text(s.MailParams) + ": encode the message as 7-bit, and put 8BITMIME into Options.Disable"
	case s.ToMail && (s.refusesParams() || s.EightBit && says("8bitmime")):
		return s.mailParamsHint()
	case s.ToRcpt && s.refusesParams():
		return askedParamsHint(s.RcptParams)
	}
	return ""
}

// refusesParams reports whether a reply is about parameters (RFC 5321, 4.2.2 and
// 4.1.1.11; RFC 3463, 3.6).
func (r Reply) refusesParams() bool {
	return r.Code == 555 || r.Code == 504 || r.Enhanced[1] == 5 && r.Enhanced[2] == 4
}

// mailParamsHint shows the parameters of MAIL, and how to do without those that
// nobody asked for.
func (s Send) mailParamsHint() string {
	if s.Unasked == nil {
		return askedParamsHint(s.MailParams)
	}
	return "sent with " + printable.Text(s.MailParams) + ": perhaps put " + strings.Join(s.Unasked, " or ") + " into Options.Disable"
}

// askedParamsHint shows parameters that the envelope asks for.
func askedParamsHint(params string) string {
	if params == "" {
		return ""
	}
	return "sent with " + printable.Text(params) + ", which the server perhaps cannot do although it offers it"
}
