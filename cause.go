package submission

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
)

// prefix begins the text of every error of this package, once.
const prefix = "submission: "

// detailed is implemented by the error types here: their text without prefix,
// so that one inside another does not repeat it.
type detailed interface{ detail() string }

func detail(err error) string {
	if d, ok := err.(detailed); ok {
		return d.detail()
	}
	return escaped(strings.TrimPrefix(err.Error(), prefix))
}

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

// joined is several causes on one line.
type joined []error

// maxNamed bounds the causes that the text of joined spells out.
const maxNamed = 3

func join(errs ...error) error {
	var list joined
	for _, err := range errs {
		if err != nil {
			list = append(list, err)
		}
	}
	switch len(list) {
	case 0:
		return nil
	case 1:
		return list[0]
	}
	return list
}

func (j joined) Error() string { return prefix + j.detail() }

func (j joined) detail() string {
	var parts []string
	for i, err := range j {
		if i == maxNamed {
			parts = append(parts, fmt.Sprintf("and %d more", len(j)-i))
			break
		}
		parts = append(parts, detail(err))
	}
	return strings.Join(parts, "; ")
}

func (j joined) Unwrap() []error { return j }

// temporary reports whether some, and whether all, of the causes in err may
// pass. A cause of no known kind counts as lasting.
func temporary(err error) (some, all bool) {
	if err == nil {
		return false, false
	}
	if list, ok := err.(joined); ok {
		all = true
		for _, e := range list {
			s, a := temporary(e)
			some, all = some || s, all && a
		}
		return some, all
	}
	t, ok := err.(interface {
		Temporary() bool
		detailed
	})
	if ok {
		return t.Temporary(), t.Temporary()
	}
	if inner := errors.Unwrap(err); inner != nil {
		return temporary(inner)
	}
	return false, false
}

func isType[T error](err error) bool {
	var t T
	return err != nil && errors.As(err, &t)
}
