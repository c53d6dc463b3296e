package submission

import (
	"slices"
	"strings"

	"github.com/fe022423/submission/internal/printable"
)

// hint says what to make of the refusal that e is about: of parameters or of a
// flight that were offered and then refused. "" when that is not what it is.
func (v *verdict) hint(e *SendError) string {
	if e.Reply == nil || v.attempt.refused != nil || e.Stage < StageMail || e.Stage > StageFinal {
		return ""
	}
	text := strings.ToLower(e.Reply.String())
	says := func(word string) bool { return strings.Contains(text, word) }
	body := v.attempt.body == Body8BitMIME
	switch code := e.Reply.Enhanced; {
	case v.attempt.Mode.Pipelining && (says("pipelining") || says("synchronization")):
		return "several commands went out in one flight: put PIPELINING into Options.Disable"
	case body && code[1] == 6 && (code[2] == 1 || code[2] == 3): // RFC 3463, 3.7
		return "sent with " + v.mailParams() + ": encode the message as 7-bit, and put 8BITMIME into Options.Disable"
	case e.Stage == StageMail && (refusesParams(e.Reply) || body && says("8bitmime")):
		return v.mailParamsHint()
	case e.Stage == StageRcpt && refusesParams(e.Reply):
		return userParamsHint(v.rcptParams())
	}
	return ""
}

// refusesParams reports whether a reply is about parameters (RFC 5321, 4.2.2 and
// 4.1.1.11; RFC 3463, 3.6).
func refusesParams(r *Reply) bool {
	return r.Code == 555 || r.Code == 504 || r.Enhanced[1] == 5 && r.Enhanced[2] == 4
}

// mailParams returns the parameters that MAIL was sent with.
func (v *verdict) mailParams() string {
	line := v.attempt.AppendMail(nil)
	return printable.Text(strings.TrimSpace(string(line[len(v.plan.at(v.plan.mail)):])))
}

// rcptParams returns the parameters that the recipient was asked for with whose
// refusal came first.
func (v *verdict) rcptParams() string {
	i := v.attempt.FirstRefused()
	if i < 0 {
		return ""
	}
	return printable.Text(strings.TrimSpace(string(v.plan.at(v.plan.rcpts[i].options))))
}

// mailParamsHint shows the parameters of MAIL, and how to do without those that
// nobody asked for.
func (v *verdict) mailParamsHint() string {
	var unasked []string
	if asked := v.plan.env.Body; v.attempt.body != "" && !slices.Contains([]BodyType{Body8BitMIME, BodyBinaryMIME}, asked) {
		unasked = append(unasked, ext8BitMIME)
	}
	if v.attempt.size > 0 {
		unasked = append(unasked, extSize)
	}
	if unasked == nil {
		return userParamsHint(v.mailParams())
	}
	return "sent with " + v.mailParams() + ": perhaps put " + strings.Join(unasked, " or ") + " into Options.Disable"
}

// userParamsHint shows parameters that the envelope asks for.
func userParamsHint(params string) string {
	if params == "" {
		return ""
	}
	return "sent with " + params + ", which the server perhaps cannot do although it offers it"
}
