package draw

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// fault is a column: what the server does instead of what it should.
type fault struct {
	name, note string
	answer     func(*stage) *smtptest.Answer
}

var faults = []fault{
	{"lost", "the connection", func(*stage) *smtptest.Answer { return &smtptest.Answer{Close: true} }},
	{"silence", "time runs out", func(*stage) *smtptest.Answer { return &smtptest.Answer{Delay: 24 * time.Hour} }},
	{"garbage", "not a reply", func(*stage) *smtptest.Answer { return &smtptest.Answer{Raw: []byte("what?\r\n")} }},
	{"421", "goes down", func(*stage) *smtptest.Answer {
		return &smtptest.Answer{Reply: "421 4.3.2 going down", Close: true}
	}},
	{"4yz", "not now", func(s *stage) *smtptest.Answer { return &smtptest.Answer{Reply: s.later} }},
	{"5yz", "no", func(s *stage) *smtptest.Answer { return &smtptest.Answer{Reply: s.never} }},
}

// The faults by their place in the list.
const (
	lost = iota
	silent
	garbled
	closing
	deferring
	refusing
)

// stage is a row: where the fault happens.
type stage struct {
	name, note   string
	verb         string // that the fault is the answer to, as smtptest.Command has it
	nth          int32  // of the commands with the verb, from 1
	later, never string // the replies 4yz and 5yz
	none         []int  // the faults that cannot happen here
	bdat         bool   // the message goes out in chunks
	rig          func(r *rig)
}

const (
	later = "451 4.3.0 later"
	never = "554 5.7.1 no"
	chunk = 1000 // octets
)

var stages = []stage{
	{name: "dial", note: "connecting", none: []int{garbled, closing, deferring, refusing}, rig: rigDial},
	{name: "greeting", note: "220 is due", verb: "CONNECT", later: later, never: never},
	{name: "EHLO", verb: "EHLO", later: later, never: never},
	{name: "STARTTLS", verb: "STARTTLS", later: "454 4.7.0 later", never: never},
	{name: "TLS", note: "the handshake", none: []int{closing, deferring}, rig: rigTLS},
	{name: "AUTH", verb: "AUTH", later: "454 4.7.0 later", never: "535 5.7.8 no"},
	{name: "MAIL", verb: "MAIL", later: later, never: never},
	{name: "RCPT", verb: "RCPT", later: later, never: never},
	{name: "DATA", verb: "DATA", later: later, never: never},
	{name: "message", note: "amid its bytes", verb: "BDAT", nth: 2, later: later, never: never, bdat: true},
	{name: "final reply", note: "all bytes are out", verb: "MESSAGE", later: later, never: never},
	{name: "QUIT", note: "the reply was 250", verb: "QUIT", later: later, never: never},
}

// rig is a server with one fault in its first session, and the client's options.
type rig struct {
	stage   stage
	fault   int
	config  smtptest.Config
	options submission.Options
	trust   bool // the client trusts the server's certificate

	srv  *smtptest.Server
	dial func(context.Context) (net.Conn, error)
	conn *watched     // the first
	seen atomic.Int32 // commands with the stage's verb
	quit atomic.Bool  // the client said QUIT
}

// newRig returns a server that is secured by STARTTLS and wants a password.
func newRig(s *stage, fault int) *rig {
	r := &rig{stage: *s, fault: fault, trust: true}
	r.config = smtptest.Config{Accounts: map[string]string{user: password}, Hook: r.hook}
	r.config.Extensions = slices.DeleteFunc(smtptest.DefaultExtensions(), func(x string) bool { return x == "CHUNKING" && !s.bdat })
	r.options = submission.Options{
		TLS: submission.TLSStartTLS, LocalName: greeter, Dialer: r, ChunkSize: chunk,
		Auth: submission.Password{Username: user, Password: password},
	}
	r.dial = func(context.Context) (net.Conn, error) { return r.srv.Pipe(), nil }
	if s.rig != nil {
		s.rig(r)
	}
	r.srv = smtptest.NewServer(&r.config)
	if r.options.TLSConfig = r.srv.ClientTLSConfig(); !r.trust {
		r.options.TLSConfig = &tls.Config{RootCAs: x509.NewCertPool()}
	}
	return r
}

// hook answers the command that the fault is for, once.
func (r *rig) hook(c smtptest.Command) *smtptest.Answer {
	if c.Verb == "QUIT" {
		r.quit.Store(true)
	}
	if c.Verb != r.stage.verb || r.seen.Add(1) != max(1, r.stage.nth) {
		return nil
	}
	return faults[r.fault].answer(&r.stage)
}

// DialContext gives the client a connection that is watched.
func (r *rig) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	nc, err := r.dial(ctx)
	if err != nil {
		return nil, err
	}
	w := &watched{Conn: nc}
	if r.conn == nil {
		r.conn = w
	}
	return w, nil
}

// rigDial is a host that refuses connections, or never answers.
func rigDial(r *rig) {
	r.dial = func(ctx context.Context) (net.Conn, error) {
		if r.fault == silent {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	}
}

// rigTLS fails after the first octet of the handshake, shows a certificate that is not
// trusted, or speaks in clear text.
func rigTLS(r *rig) {
	r.config.TLS, r.options.TLS = smtptest.ImplicitTLS, submission.TLSImplicit
	broken := smtptest.Fault{Read: smtptest.After(1)}
	switch r.fault {
	case silent:
		broken.Mode = smtptest.Stall
	case garbled:
		r.config.TLS, r.stage.verb = smtptest.NoTLS, "CONNECT"
		return
	case refusing:
		r.trust = false
		return
	}
	r.dial = func(context.Context) (net.Conn, error) { return broken.Wrap(r.srv.Pipe()), nil }
}

// watched is a connection that knows whether it was closed.
type watched struct {
	net.Conn
	closed atomic.Bool
}

// NetConn returns what the library asks whether the server said something unasked.
func (w *watched) NetConn() net.Conn { return w.Conn }

func (w *watched) Close() error {
	w.closed.Store(true)
	return w.Conn.Close()
}
