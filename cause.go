package submission

import (
	"context"
	"errors"
	"os"
)

// linkError is a failure of the connection, or a caller who gave up: it says
// nothing about the message or the server's will.
type linkError struct {
	stage Stage
	text  string
	err   error
	reply *Reply // the 421 that ended the session
}

func (e *linkError) Error() string { return prefix + e.stage.String() + ": " + e.detail() }

// detail leaves the stage out: the error around it has it.
func (e *linkError) detail() string {
	if e.text == "" {
		return detail(e.err)
	}
	return e.text + ": " + detail(e.err)
}

// givenUp is the error of a caller whose ctx is done. It is found as
// ctx.Err(), and as its cause where that is another.
func givenUp(stage Stage, ctx context.Context) *linkError {
	err, cause := ctx.Err(), context.Cause(ctx)
	if !errors.Is(cause, err) {
		err = errors.Join(err, cause)
	}
	return &linkError{stage: stage, text: "given up by the caller", err: err}
}

// late reports whether time ran out: the server may be busy with what it was
// sent, which a connection that is gone cannot be.
func (e *linkError) late() bool { return errors.Is(e.err, os.ErrDeadlineExceeded) }

func (e *linkError) Unwrap() error   { return e.err }
func (e *linkError) Temporary() bool { return true }
