package link

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/fe022423/submission/internal/smtpwire"
)

// Kind is why a link broke.
type Kind uint8

// The reasons. Those from Malformed to Refused are things that the server said.
const (
	Failed    Kind = iota // the connection gave an error
	Ended                 // the server closed the connection
	TimedOut              // no answer within the limit
	Cancelled             // the caller's context is done
	Malformed             // the server sent something that is not a reply
	Unasked               // a reply that nothing asked for
	OutOfStep             // a reply whose code makes no sense where it came
	Closing               // 421, or a 221 that answers no QUIT (RFC 5321, 3.8)
	Refused               // a refusal after which the session cannot be trusted
	GivenUp               // this side gave the link up
)

// Failure is the fact that a link broke. It says nothing about any message.
type Failure struct {
	Kind  Kind
	Step  Step
	Reply Reply         // what the server said, when Kind is about a reply
	Limit time.Duration // how long was waited, when Kind is TimedOut
	Err   error         // the error of the connection, the context or the codec
	Rest  *Failure      // why what was owed after Reply did not come, nil when nothing was
	Begun string        // what the reply began with whose end did not come
}

// Error is for tests and for our own bugs: what callers read is made elsewhere.
func (f *Failure) Error() string {
	return fmt.Sprintf("link broken: kind %d at step %d, reply %d %q: %v", f.Kind, f.Step, f.Reply.Code, f.Reply.Text, f.Err)
}

func (f *Failure) Unwrap() error { return f.Err }

// Gone reports whether the connection is gone: a server that is only silent may still
// be busy with what it was sent.
func (f *Failure) Gone() bool {
	if f.Rest != nil {
		return f.Rest.Gone()
	}
	return f.Kind == Ended || f.Kind == Failed
}

// isTimeout reports whether a deadline passed. Not every connection says it in
// the words of package os.
func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

// Why finds out why an error of the connection came at step. limit is how long
// was waited.
func (l *Link) Why(step Step, err error, limit time.Duration) *Failure {
	f := &Failure{Kind: Failed, Step: step, Err: err}
	givenUp := l.givenUpFor()
	var syntax *smtpwire.SyntaxError
	switch {
	case errors.As(err, &syntax):
		f.Kind = Malformed
		if l.cfg.CleanStart != nil {
			f.Err = &smtpwire.SyntaxError{Reason: syntax.Reason, Text: l.cfg.CleanStart(syntax.Text)}
		}
	case givenUp != nil:
		f.Kind, f.Err = Cancelled, givenUp
	case isTimeout(err):
		f.Kind, f.Limit = TimedOut, limit
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		f.Kind = Ended
	}
	return f
}
