//go:build linux

package interop

import (
	"context"
	"crypto/tls"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fe022423/submission"
)

// server is a submission server under test.
type server struct {
	*lab
	name   string
	clear  string // address of the port that begins in clear and offers STARTTLS
	secure string // address of the port with implicit TLS
}

// eachServer runs test for Postfix and for Dovecot.
func eachServer(t *testing.T, test func(t *testing.T, s server)) {
	t.Helper()
	l, err := running()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []server{
		{l, "Postfix", loopback(l.Postfix), loopback(l.PostfixTLS)},
		{l, "Dovecot", loopback(l.Dovecot), loopback(l.DovecotTLS)},
	} {
		t.Run(s.name, func(t *testing.T) {
			showLogs(t, l.Dir)
			test(t, s)
		})
	}
}

// showLogs prints what the servers log during a test, if it fails.
func showLogs(t *testing.T, dir string) {
	j := openJournal(dir)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(j.tails())
		}
	})
}

// options are those of a client that does everything right.
func (s server) options() *submission.Options {
	return &submission.Options{
		TLSConfig: &tls.Config{RootCAs: roots(s.CA)},
		Auth:      submission.Password{Username: account, Password: password},
		From:      account,
	}
}

// client makes a Client for the port that begins in clear, over STARTTLS.
func (s server) client(t *testing.T, edits ...func(*submission.Options)) *submission.Client {
	t.Helper()
	return s.clientOf(t, s.clear, edits...)
}

func (s server) clientOf(t *testing.T, addr string, edits ...func(*submission.Options)) *submission.Client {
	t.Helper()
	o := s.options()
	for _, edit := range edits {
		edit(o)
	}
	c, err := submission.New(addr, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return c
}

// dial opens a session of its own over STARTTLS.
func (s server) dial(t *testing.T, edits ...func(*submission.Options)) *submission.Session {
	t.Helper()
	session, err := s.client(t, edits...).Dial(limited(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { session.Close() })
	return session
}

// disable switches extensions off.
func disable(keywords ...string) func(*submission.Options) {
	return func(o *submission.Options) { o.Disable = append(o.Disable, keywords...) }
}

// limited is a context that ends a test which hangs.
func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// sendError checks that err is a *SendError of the outcome.
func sendError(t *testing.T, err error, want submission.Outcome) *submission.SendError {
	t.Helper()
	failure, ok := errors.AsType[*submission.SendError](err)
	if !ok {
		t.Fatalf("got %v, want a *SendError", err)
	}
	if failure.Outcome != want {
		t.Fatalf("outcome: got %v, want %v: %v", failure.Outcome, want, err)
	}
	return failure
}

// accepted checks the result of a message that all recipients get.
func accepted(t *testing.T, m message, res *submission.Result, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range res.Recipients {
		if r.Status != submission.RecipientSent {
			t.Errorf("%s: %v", r.Addr, r.Status)
		}
	}
	if want := int64(len(m.canonical())); res.Bytes != want {
		t.Errorf("Bytes: got %d, want %d", res.Bytes, want)
	}
}

// wire keeps the commands that a session sent.
type wire struct{ sent []string }

func (w *wire) trace(o *submission.Options) {
	o.Trace = &submission.Trace{Sent: func(_ context.Context, _ submission.SessionInfo, line string) { w.sent = append(w.sent, line) }}
}

// noMail checks that no transaction was begun.
func (w *wire) noMail(t *testing.T) {
	t.Helper()
	if len(w.sent) == 0 {
		t.Errorf("no command was traced")
	}
	for _, line := range w.sent {
		if strings.HasPrefix(line, "MAIL ") {
			t.Errorf("the server was sent %q", line)
		}
	}
}

// transfer is a way to hand a message over.
type transfer struct {
	name    string
	disable []string
}

func (tr transfer) options(o *submission.Options) { disable(tr.disable...)(o) }

// bodies are the two commands that carry a message; both servers offer both.
var bodies = []transfer{
	{"BDAT", nil},
	{"DATA", []string{"CHUNKING"}},
}

// transfers are bodies with and without pipelining.
var transfers = []transfer{
	{"BDAT pipelined", nil},
	{"BDAT in lockstep", []string{"PIPELINING"}},
	{"DATA pipelined", []string{"CHUNKING"}},
	{"DATA in lockstep", []string{"CHUNKING", "PIPELINING"}},
}
