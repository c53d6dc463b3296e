package submission

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/fe022423/submission/internal/address"
	"github.com/fe022423/submission/internal/link"
	"github.com/fe022423/submission/internal/redact"
)

// Session is one SMTP session. It is connected, greeted, secured and authenticated
// from the moment it exists. It is ready for a message, or broken and never used
// again; Usable tells which. It is not safe for concurrent use. While a Transaction is
// open, every method that sends a command, except Close, fails with ErrInTransaction; on a
// broken session it fails with ErrClosed.
type Session struct {
	link          *link.Link
	secrets       redact.Set // taken out of what the server says
	cfg           *config
	ext           Extensions
	tls           *tls.ConnectionState
	verified      bool // the server's identity was checked
	local         bool // the connection stays on this machine
	greeted       bool // the server said something
	upgraded      bool // by STARTTLS
	adopted       bool // TLS is that of a connection that was handed in
	mute          bool // the server did not answer the ClientHello of a handshake that failed
	answered      bool // it did
	helloOutdated bool // authenticated since the last EHLO: the server may offer more now
	open          *Transaction
	dialing       *dialing  // the Dial that it is opened for, nil when it is open
	unfit         bool      // the server said what speaks against the session: it is not lent again
	used          bool      // it had a transaction
	ride          *ride     // the envelope that is on its way after the message, nil for none
	ended         time.Time // when the end of its message was written, zero when the verdict is in
	unfollowed    bool      // no envelope follows it
	messages      int       // sent so far
	domains       domains   // of the recipients so far, where the server limits them
	mails         int       // MAIL commands so far, but for that of the open transaction
	born          time.Time
	resting       time.Time // when it went into the pool
	info          SessionInfo
	mechanism     string     // that was tried last
	watch         *watch     // on the call that uses it; see enter
	hooks         link.Hooks // that tell watch; nil as long as nobody wants to know
}

// NewSession makes a session over your own connection. The session owns the
// connection from then on, and NewSession closes it when it fails. host is the
// server's name for TLS, for mechanisms that bind to it, and for errors. A *tls.Conn
// counts as secured: neither TLSImplicit nor STARTTLS is done again. The context
// limits the handshake as a whole. Errors are *OptionError, *ConnectError, *TLSError
// and *AuthError.
//
// Before each message, and before its end, the session looks whether the server said
// something unasked. A socket is asked for that; any other connection is read for a
// millisecond, unless it has a method InputWaiting() (waiting, known bool), which
// reports whether a Read would return at once and whether that is known.
func NewSession(ctx context.Context, nc net.Conn, host string, o *Options) (*Session, error) {
	if nc == nil {
		return nil, &OptionError{"nc", errors.New("no connection")}
	}
	used := false
	defer func() { // also when code of the caller's panics
		if !used {
			nc.Close()
		}
	}()
	port := 0
	_, remote := addrParts(nc.RemoteAddr())
	if ap, err := netip.ParseAddrPort(remote); err == nil {
		port = int(ap.Port())
	}
	cfg, err := newConfig(host, port, o)
	if err != nil {
		return nil, err
	}
	cfg.callersConn = true
	cfg.watchIdle()
	opens := cfg.newOpening(cfg.watch(ctx))
	return opens.run(func() (*Session, error) {
		used = true
		return newSession(ctx, nc, &opens, nil)
	})
}

// Extensions returns what the server offers, as of its last EHLO reply.
func (s *Session) Extensions() Extensions { return s.ext }

// TLS returns the state of TLS; ok is false in clear text.
func (s *Session) TLS() (state tls.ConnectionState, ok bool) {
	if s.tls == nil {
		return tls.ConnectionState{}, false
	}
	return *s.tls, true
}

// Usable reports whether another command may be tried: the session is not
// closed, and nothing has failed on it. It does no I/O; see Noop.
func (s *Session) Usable() bool { return s.link.Usable() }

// Begin starts a transaction. It checks the envelope, also against what the server
// offers, and sends nothing of it. When the envelope needs an extension that the server
// did not offer before AUTH, Begin asks again with an EHLO. ctx governs the transaction
// until it is over. Errors are *SendError.
func (s *Session) Begin(ctx context.Context, env Envelope) (*Transaction, error) {
	t := s.begin(ctx, &env)
	if t.err != nil {
		return nil, t.err
	}
	if t.attempt.Lost = s.link.Look(link.Mail); t.over() {
		t.finish()
		return nil, t.err
	}
	return t, nil
}

// begin is Begin, but the transaction that it refuses is one that is over.
func (s *Session) begin(ctx context.Context, env *Envelope) *Transaction {
	t := newTransaction(ctx, s.cfg, env, nil)
	if t.err != nil {
		return t
	}
	if err := s.ready(); err != nil {
		t.refuse(err)
		return t
	}
	t.occupy(s)
	if t.admit(); t.over() {
		t.finish()
	}
	return t
}

// Send sends a message read from msg to its end. Line endings of any kind
// become CRLF. When msg fails, nothing is delivered and the session is closed.
// The error is a *SendError; with a partial envelope it may stand beside a
// Result, with Outcome PartlySent.
func (s *Session) Send(ctx context.Context, env Envelope, msg io.Reader) (*Result, error) {
	return s.begin(ctx, &env).readAll(msg)
}

// SendFunc is Send for a message that write produces. It is not buffered beyond
// the first 64 KiB; an error of write, also a panic, keeps the message from
// being delivered. The writer must not be used after write has returned.
func (s *Session) SendFunc(ctx context.Context, env Envelope, write func(io.Writer) error) (*Result, error) {
	return s.begin(ctx, &env).call(write)
}

// Noop asks the server whether the session lives: exactly 250 is a nil error. A
// 5yz leaves the session usable, anything else ends it.
func (s *Session) Noop(ctx context.Context) error { return s.noop(ctx, s.cfg.watch(ctx)) }

func (s *Session) noop(ctx context.Context, w *watch) error {
	r, err := s.run(ctx, w, link.Noop, "NOOP")
	if err != nil || r.Code == codeOK {
		return err
	}
	err = not250(StageNoop, r)
	if !r.Permanent() {
		s.link.Break(&link.Failure{Kind: link.GivenUp, Step: link.Noop, Err: err})
	}
	return err
}

// Reset sends RSET at once. You never need it: after a message that was refused, RSET
// goes out before the next one, without a round trip of its own. A server that refuses
// RSET ends the session.
func (s *Session) Reset(ctx context.Context) error { return s.reset(ctx, s.cfg.watch(ctx)) }

func (s *Session) reset(ctx context.Context, w *watch) error {
	r, err := s.run(ctx, w, link.Reset, "RSET")
	if err != nil || r.Code == codeOK {
		return err
	}
	err = not250(StageReset, r)
	s.link.Break(&link.Failure{Kind: link.GivenUp, Step: link.Reset, Err: err})
	return err
}

// codeOK is the one reply that NOOP, RSET, EHLO and HELO succeed with.
const codeOK = 250

// not250 is the error of a command that succeeds with 250 alone.
func not250(stage Stage, r Reply) error {
	return &linkError{stage: stage, text: "not 250", err: errors.New(r.String()), reply: &r}
}

// Verify asks with VRFY about an address or a name (RFC 5321, 3.5.1). Most
// servers answer 252, which says nothing. A refusal is a Reply with a nil error; errors
// are about the connection and the protocol. An addr that is empty or holds a control
// character is an *OptionError, and one that is not ASCII is ErrUnsupported where the
// server does not offer SMTPUTF8.
func (s *Session) Verify(ctx context.Context, addr string) (Reply, error) {
	if addr == "" || address.CheckText(addr) != nil {
		return Reply{}, &OptionError{"addr", errors.New("empty, or holds a control character")}
	}
	line := "VRFY " + addr
	if !address.IsASCII(addr) {
		if !s.ext.Has(extSMTPUTF8) {
			return Reply{}, unsupported(extSMTPUTF8, "an address that is not ASCII")
		}
		line += " SMTPUTF8" // RFC 6531, 3.7.4.2
	}
	return s.run(ctx, s.cfg.watch(ctx), link.Command, line)
}

// Command sends any other command that takes one line and one reply, such as
// EXPN or ETRN. A refusal is a Reply with a nil error; errors are about the
// connection and the protocol. A line that is empty or holds a control character is an
// *OptionError, and so are the commands that the Session sends itself, such as MAIL.
func (s *Session) Command(ctx context.Context, line string) (Reply, error) {
	verb, _, _ := strings.Cut(strings.ToUpper(strings.TrimSpace(line)), " ")
	switch verb {
	case "":
		return Reply{}, &OptionError{"line", errors.New("empty")}
	case "EHLO", "HELO", "LHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "QUIT":
		return Reply{}, &OptionError{"line", errors.New(verb + " is for the session itself to send")}
	}
	if i := strings.IndexFunc(line, func(r rune) bool { return r < ' ' || r == 0x7f }); i >= 0 {
		return Reply{}, &OptionError{"line", fmt.Errorf("control character at offset %d", i)}
	}
	return s.run(ctx, s.cfg.watch(ctx), link.Command, line)
}

// run exchanges one command between transactions.
func (s *Session) run(ctx context.Context, w *watch, step link.Step, line string) (Reply, error) {
	if err := s.ready(); err != nil {
		return Reply{}, err
	}
	if ctx.Err() != nil {
		return Reply{}, givenUp(stageOf(step), ctx)
	}
	s.enter(ctx, w)
	defer s.exit()
	r, why := s.link.Exchange(step, line)
	if why != nil {
		return Reply{}, lostError(why)
	}
	kept := s.link.Keep(r)
	if why := s.link.Settled(step); why != nil && !kept.Closing() {
		return makeReply(kept), lostError(why)
	}
	return makeReply(kept), nil
}

// ready says why no command can be sent now.
func (s *Session) ready() error {
	if s.open != nil {
		return ErrInTransaction
	}
	switch why := s.link.Failure(); {
	case s.link.Usable():
		return nil
	case why == nil, why.Kind == link.GivenUp && why.Step == link.Quit:
		return ErrClosed
	default:
		return join(ErrClosed, lostError(why))
	}
}

// Close ends the session with QUIT and waits for its reply, no longer than
// Timeouts.Quit. It undoes nothing: a message that was accepted stays accepted.
// The error is always nil. An open transaction is aborted. Close may be called
// more than once.
func (s *Session) Close() error {
	if s.open != nil {
		s.open.Abort()
	}
	s.link.Quit()
	return nil
}
