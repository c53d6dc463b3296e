package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fe022423/submission/internal/smtpwire"
)

// timeout is a time-out that does not say so in the words of package os.
type timeout struct{}

func (timeout) Error() string   { return "slow" }
func (timeout) Timeout() bool   { return true }
func (timeout) Temporary() bool { return true }

var errReset = errors.New("connection reset by peer")

func TestWhy(t *testing.T) {
	done, cancel := context.WithCancel(context.Background())
	cancel()
	expired, cancelExpired := context.WithTimeout(context.Background(), -1)
	defer cancelExpired()
	running := context.Background()
	syntax := &smtpwire.SyntaxError{Reason: "not a reply", Text: "a secret"}
	for _, tc := range []struct {
		name string
		ctx  context.Context
		err  error
		kind Kind
		is   error
	}{
		{"EOF", nil, io.EOF, Ended, io.EOF},
		{"EOF within a reply", running, io.ErrUnexpectedEOF, Ended, io.ErrUnexpectedEOF},
		{"EOF, wrapped", running, &net.OpError{Op: "read", Err: io.EOF}, Ended, io.EOF},
		{"reset", running, &net.OpError{Op: "read", Err: errReset}, Failed, errReset},
		{"closed", running, net.ErrClosed, Failed, net.ErrClosed},
		{"deadline", running, &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, TimedOut, os.ErrDeadlineExceeded},
		{"deadline in other words", nil, fmt.Errorf("read: %w", timeout{}), TimedOut, timeout{}},
		{"syntax", running, syntax, Malformed, nil},
		{"cancelled", done, net.ErrClosed, Cancelled, context.Canceled},
		{"cancelled, seen as an end", done, io.EOF, Cancelled, context.Canceled},
		{"cancelled, seen as a deadline", done, os.ErrDeadlineExceeded, Cancelled, context.Canceled},
		{"the caller's deadline", expired, os.ErrDeadlineExceeded, Cancelled, context.DeadlineExceeded},
		// What the server said counts, whatever the caller did meanwhile.
		{"cancelled, with garbage", done, syntax, Malformed, nil},
	} {
		l := New(newWire(), Config{Limits: limits, CleanStart: func(s string) string { return strings.ReplaceAll(s, "secret", "***") }})
		l.ctx = tc.ctx
		f := l.Why(Data, tc.err, time.Minute)
		if f.Kind != tc.kind || f.Step != Data || tc.is != nil && !errors.Is(f, tc.is) {
			t.Errorf("%s: %v, want kind %d", tc.name, f, tc.kind)
		}
		if want := time.Minute; (f.Limit == want) != (tc.kind == TimedOut) {
			t.Errorf("%s: limit %v", tc.name, f.Limit)
		}
		if l.Failure() != nil {
			t.Errorf("%s: Why breaks the link", tc.name)
		}
		if tc.kind == Malformed && (strings.Contains(f.Err.Error(), "secret") || !strings.Contains(f.Err.Error(), "***")) {
			t.Errorf("%s: %v", tc.name, f.Err)
		}
	}
	if syntax.Text != "a secret" {
		t.Error("the error that was given was changed")
	}
}

// A connection that ended or failed is gone; a server that says nothing is not.
func TestGone(t *testing.T) {
	for kind := Failed; kind <= GivenUp; kind++ {
		f := &Failure{Kind: kind}
		if want := kind == Failed || kind == Ended; f.Gone() != want {
			t.Errorf("kind %d: gone %v", kind, f.Gone())
		}
		for rest, want := range map[Kind]bool{Ended: true, Failed: true, TimedOut: false, Cancelled: false, Malformed: false} {
			f.Rest = &Failure{Kind: rest}
			if f.Gone() != want {
				t.Errorf("kind %d, the rest %d: gone %v", kind, rest, f.Gone())
			}
		}
	}
}
