package submission

import (
	"context"
	"errors"

	"github.com/fe022423/submission/internal/hint"
	"github.com/fe022423/submission/internal/link"
	"github.com/fe022423/submission/internal/printable"
	"github.com/fe022423/submission/internal/smtpwire"
)

// linkError says that the connection failed, or that the caller gave up. It says
// nothing about the message or about what the server decided.
type linkError struct {
	stage Stage
	text  string
	err   error
	reply *Reply // the one that ended the session
	ended bool   // the other end closed the connection, or it broke
}

func (e *linkError) Error() string { return prefix + e.stage.String() + ": " + e.detail() }

// detail leaves the stage out: the error around it has it.
func (e *linkError) detail() string {
	switch {
	case e.err == nil:
		return e.text
	case e.text == "":
		return detail(e.err)
	}
	return e.text + ": " + detail(e.err)
}

func (e *linkError) Unwrap() error   { return e.err }
func (e *linkError) Temporary() bool { return true }

// givenUp returns the error for a caller whose ctx is done. It wraps ctx.Err(), and
// the cause of ctx where that is another error.
func givenUp(stage Stage, ctx context.Context) *linkError {
	return &linkError{stage: stage, text: "given up by the caller", err: link.CauseOf(ctx)}
}

// lostError says in words why a link broke; nil when it did not.
func lostError(f *link.Failure) error {
	if f == nil {
		return nil
	}
	stage := stageOf(f.Step)
	switch f.Kind {
	case link.Malformed:
		return &ProtocolError{Stage: stage, Text: malformedText(f)}
	case link.Unasked:
		if makeReply(f.Reply).Temporary() { // the time of an idle session is over, for instance
			return &linkError{stage: stage, text: unaskedText(f)}
		}
		return &ProtocolError{Stage: stage, Text: unaskedText(f)}
	case link.OutOfStep:
		return &ProtocolError{Stage: stage, Text: "unexpected " + makeReply(f.Reply).String()}
	case link.Cancelled:
		return &linkError{stage: stage, text: noEnd(f) + "given up by the caller", err: f.Err}
	case link.TimedOut:
		return &linkError{stage: stage, text: noEnd(f) + "no answer within " + f.Limit.String(), err: f.Err}
	case link.Ended:
		return &linkError{stage: stage, text: noEnd(f) + "the server closed the connection", err: f.Err, ended: true}
	case link.Closing:
		return refusedLink(f, "the server ends the session")
	case link.Refused:
		return refusedLink(f, "refused")
	case link.GivenUp:
		if f.Err != nil {
			return f.Err
		}
		return &linkError{stage: stage, text: "the session was given up"}
	}
	text := "connection failed"
	if shown, ok := hint.ClearText(f.Err); ok {
		text = "clear text in the middle of TLS, beginning " + shown
	}
	return &linkError{stage: stage, text: noEnd(f) + text, err: f.Err, ended: true}
}

// noEnd says what the reply began with whose end did not come, for the front of a
// text; "" when nothing of it came.
func noEnd(f *link.Failure) string {
	if f.Begun == "" {
		return ""
	}
	return "no end of the reply that began " + excerpt(f.Begun) + ": "
}

// maxExcerpt is the most text of the server that is quoted in another, in octets.
const maxExcerpt = 200

// excerpt quotes the start of what the server said.
func excerpt(s string) string { return printable.Quoted(s[:min(len(s), maxExcerpt)]) }

// malformedText says what the server sent that is not a reply.
func malformedText(f *link.Failure) string {
	var syntax *smtpwire.SyntaxError
	if !errors.As(f.Err, &syntax) || syntax.Text == "" {
		return printable.Text(f.Err.Error())
	}
	switch {
	case syntax.Reason == smtpwire.ReplyTooLarge || syntax.Reason == smtpwire.ReplyTooLong:
		return syntax.Reason + ": no end of the reply that began " + excerpt(f.Begun)
	case f.Begun != "":
		return printable.Text(syntax.Reason+": "+syntax.Excerpt()) + ", in the reply that began " + excerpt(f.Begun)
	}
	return printable.Text(syntax.Reason + ": " + syntax.Excerpt())
}

// refusedLink is the error of a session that the server ended with a reply.
func refusedLink(f *link.Failure, text string) error {
	reply := makeReply(f.Reply)
	return &linkError{stage: stageOf(f.Step), text: text, err: errors.New(reply.String()), reply: &reply}
}

// unaskedText says what the server said although nothing was asked.
func unaskedText(f *link.Failure) string {
	text := "a reply that nothing asked for"
	if f.Step == link.Message {
		text = "a reply before the end of the message"
	}
	if f.Reply.Code != 0 {
		text += ": " + makeReply(f.Reply).String()
	}
	return text
}
