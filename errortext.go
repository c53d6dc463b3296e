package submission

import (
	"errors"
	"fmt"
	"strings"

	"github.com/fe022423/submission/internal/hint"
	"github.com/fe022423/submission/internal/printable"
)

// prefix starts the text of every error of this package. It comes once.
const prefix = "submission: "

// detailed is implemented by the error types of this package. detail returns the
// text without prefix, for an error inside another.
type detailed interface{ detail() string }

func detail(err error) string {
	if d, ok := err.(detailed); ok {
		return d.detail()
	}
	return printable.Text(strings.TrimPrefix(err.Error(), prefix))
}

// within is the text of a cause inside an error of a stage, which names that stage
// already. It is "" for no cause.
func within(stage Stage, err error) string {
	return strings.TrimPrefix(causeText(err), stage.String()+": ")
}

// causeText is the text of a cause inside another error, "" for none.
func causeText(err error) string {
	if err == nil {
		return ""
	}
	return detail(err)
}

// hinted is a text with what the server said, the cause, and what to try.
func hinted(s string, reply *Reply, cause, hint string) string {
	if reply != nil {
		s += ": server says " + reply.String()
	}
	if cause != "" {
		s += ": " + cause
	}
	if hint != "" {
		s += " (" + hint + ")"
	}
	return s
}

// refusalText is the text of a refused address: by the server, or by err before
// anything was sent.
func refusalText(what, addr string, reply *Reply, err error) string {
	switch {
	case addr == "":
	case reply == nil && err != nil:
		what += " " + printable.Quoted(addr)
	default:
		what += " " + printable.Text(addr)
	}
	switch {
	case reply != nil:
		return what + " refused: server says " + reply.String()
	case err != nil:
		advice := ""
		if !isType[*fieldError](err) { // a list is not taken for one address
			advice = hint.Address(addr)
		}
		return hinted(what, nil, detail(err), advice)
	}
	return what + " refused"
}

// badAddress is the error of an option that is not an address.
type badAddress struct {
	addr string
	err  error
}

func (e *badAddress) Error() string { return prefix + e.detail() }

func (e *badAddress) detail() string {
	return hinted(printable.Quoted(e.addr), nil, detail(e.err), hint.Address(e.addr))
}

func (e *badAddress) Unwrap() error { return e.err }

// namesReply reports whether err's own text has the reply already.
func namesReply(err error) bool {
	var link *linkError
	return isType[*ConnectError](err) || isType[*AuthError](err) || errors.As(err, &link) && link.reply != nil
}

// joined is several causes, with a text of one line.
type joined []error

// maxNamed is how many causes of a kind the text of joined contains.
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

// detail counts refused addresses after the first few. Other causes are named: one
// of them may be what ended the session.
func (j joined) detail() string {
	var first, other []string
	more := 0
	for i, err := range j {
		switch _, refused := err.(*AddressError); {
		case i < maxNamed:
			first = append(first, detail(err))
		case !refused && len(other) < maxNamed:
			other = append(other, detail(err))
		default:
			more++
		}
	}
	if more > 0 {
		first = append(first, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(append(first, other...), "; ")
}

func (j joined) Unwrap() []error { return j }

// Temporary reports whether all causes are temporary.
func (j joined) Temporary() bool {
	_, all := temporary(j)
	return all
}

// temporary reports whether some, and whether all, of the causes in err are
// temporary. A cause of an unknown type counts as permanent.
func temporary(err error) (some, all bool) {
	var own interface {
		Temporary() bool
		detailed
	}
	if err == nil || !errors.As(err, &own) {
		return false, false
	}
	list, ok := own.(joined)
	if !ok {
		return own.Temporary(), own.Temporary()
	}
	all = true
	for _, e := range list {
		s, a := temporary(e)
		some, all = some || s, all && a
	}
	return some, all
}

func isType[T error](err error) bool {
	var t T
	return err != nil && errors.As(err, &t)
}

// escapedAll returns a list with each of its texts escaped.
func escapedAll(list []string) []string {
	var all []string
	for _, s := range list {
		all = append(all, printable.Text(s))
	}
	return all
}
