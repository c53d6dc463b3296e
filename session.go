package submission

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/fe022423/submission/internal/smtpwire"
)

// Session is one SMTP session: connected, greeted, secured and authenticated,
// which it is from the moment it exists. It is ready for a message, or broken and
// never used again, which Usable tells. It is not safe for concurrent use.
type Session struct {
	c        *conn
	cfg      *config
	ext      Extensions
	tls      *tls.ConnectionState
	verified bool // the server's identity was checked
	dirty    bool // a transaction was left half done: RSET goes in front of the next
	open     *Transaction
	messages int // sent so far
	born     time.Time
	resting  time.Time // when it went into the pool
}

// NewSession makes a session over a connection of the caller's, which it owns
// from then on and closes when it fails. host is the server's name for TLS, for
// mechanisms that bind to it, and for errors. A *tls.Conn counts as secured:
// neither TLSImplicit nor STARTTLS is done again. The context bounds the
// handshake as a whole. Errors are *OptionError, *ConnectError, *TLSError and
// *AuthError.
func NewSession(ctx context.Context, nc net.Conn, host string, o *Options) (*Session, error) {
	port := 0
	if ap, err := netip.ParseAddrPort(nc.RemoteAddr().String()); err == nil {
		port = int(ap.Port())
	}
	cfg, err := newConfig(host, port, o)
	if err != nil {
		nc.Close()
		return nil, err
	}
	return newSession(ctx, nc, cfg)
}

// newSession runs the handshake from top to bottom.
func newSession(ctx context.Context, nc net.Conn, cfg *config) (_ *Session, err error) {
	s := &Session{c: newConn(cfg, nc), cfg: cfg, born: time.Now()}
	c := s.c
	c.begin(ctx)
	defer func() {
		if err != nil {
			c.goodbye()
		}
		c.end()
		if err == nil {
			err = c.err // cancelled at the very end
		}
	}()
	if t := cfg.Trace; t != nil && t.Connected != nil {
		t.Connected(nc.RemoteAddr().Network(), cfg.addr(), false)
	}
	mode := cfg.TLS.on(cfg.port)
	if t, ok := nc.(*tls.Conn); ok {
		if err := s.adopt(ctx, t); err != nil {
			return nil, err
		}
	} else if mode == TLSImplicit {
		if err := s.secure(ctx); err != nil {
			return nil, err
		}
	}
	if err := s.greet(); err != nil {
		return nil, err
	}
	if err := s.hello(); err != nil {
		return nil, err
	}
	if s.tls == nil && mode != TLSNone {
		if err := s.startTLS(ctx, mode); err != nil {
			return nil, err
		}
	}
	if cfg.Auth != nil {
		if err := s.authenticate(ctx, cfg.Auth); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// announce tells the trace that a session is used again.
func (s *Session) announce() {
	if t := s.cfg.Trace; t != nil && t.Connected != nil {
		t.Connected(s.c.raw.RemoteAddr().Network(), s.cfg.addr(), true)
	}
}

// failed makes a ConnectError of a reply that refused or an error at stage.
func (s *Session) failed(stage Stage, r smtpwire.Reply, err error) *ConnectError {
	e := &ConnectError{Addr: s.cfg.addr(), Stage: stage, Err: err}
	var link *linkError
	if r.Code != 0 {
		reply := s.c.public(r)
		e.Reply = &reply
	} else if errors.As(err, &link) {
		e.Reply = link.reply
	}
	return e
}

// greet reads the greeting. Exactly 220 goes on (RFC 5321, 4.2).
func (s *Session) greet() error {
	r, err := s.c.reply(StageGreeting, s.cfg.Timeouts.Greeting)
	if err == nil && r.Code == 220 {
		return s.settle(StageGreeting)
	}
	if err == nil && r.Code < 400 {
		err = s.c.breakUp(&ProtocolError{Stage: StageGreeting, Text: "unexpected " + s.c.public(r).String()})
	}
	e := s.failed(StageGreeting, r, err)
	if s.tls == nil && err != nil {
		e.Hint = s.cfg.clearHint()
	}
	return e
}

// settle is conn.settled with the error of a handshake.
func (s *Session) settle(stage Stage) error {
	if err := s.c.settled(stage); err != nil {
		return s.failed(stage, smtpwire.Reply{}, err)
	}
	return nil
}

// hello sends EHLO, and HELO where the server knows no EHLO and nothing that
// was asked for needs an extension.
func (s *Session) hello() error {
	name := s.cfg.local
	if name == "" {
		name = literal(s.c.raw.LocalAddr())
	}
	s.ext = Extensions{}
	if !s.cfg.HELO {
		r, err := s.c.exchange(StageHello, "EHLO "+name)
		if err != nil {
			return s.failed(StageHello, r, err)
		}
		if r.Code == 250 {
			s.ext = parseExtensions(strings.Split(string(r.Text), "\n"), s.cfg.Disable)
			return s.settle(StageHello)
		}
		if e := s.noHello(r); e != nil {
			return e
		}
	}
	r, err := s.c.exchange(StageHello, "HELO "+name)
	if err == nil && r.Code == 250 {
		return s.settle(StageHello)
	}
	return s.unexpected(StageHello, r, err)
}

// noHello says why HELO cannot stand in for an EHLO that was refused with r, nil
// when it can.
func (s *Session) noHello(r smtpwire.Reply) error {
	if !slices.Contains([]int{500, 501, 502, 504}, r.Code) {
		return s.unexpected(StageHello, r, nil)
	}
	mode := s.cfg.TLS.on(s.cfg.port)
	if s.cfg.Auth != nil || s.tls == nil && (mode == TLSStartTLS) {
		return s.failed(StageHello, r, fmt.Errorf("%w: STARTTLS and AUTH need EHLO", ErrUnsupported))
	}
	return nil
}

// unexpected is the error for a reply that does not go on: a refusal as it is,
// anything else as a breach of the protocol.
func (s *Session) unexpected(stage Stage, r smtpwire.Reply, err error) error {
	if err == nil && r.Code < 400 {
		err = s.c.breakUp(&ProtocolError{Stage: stage, Text: "unexpected " + s.c.public(r).String()})
	}
	return s.failed(stage, r, err)
}

// literal is the address literal of a local address (RFC 5321, 4.1.3).
func literal(addr net.Addr) string {
	ip := netip.IPv6Unspecified()
	if ap, err := netip.ParseAddrPort(addr.String()); err == nil {
		ip = ap.Addr().Unmap().WithZone("")
	} else {
		ip = netip.AddrFrom4([4]byte{127, 0, 0, 1}) // a pipe: this machine
	}
	if ip.Is4() {
		return "[" + ip.String() + "]"
	}
	return "[IPv6:" + ip.String() + "]"
}

// startTLS runs STARTTLS and EHLO again (RFC 3207, 4).
func (s *Session) startTLS(ctx context.Context, mode TLSMode) error {
	if !s.ext.Has(extStartTLS) {
		if mode == TLSOpportunistic {
			return nil
		}
		e := s.failed(StageStartTLS, smtpwire.Reply{}, fmt.Errorf("%w: STARTTLS", ErrUnsupported))
		e.Hint = "if the server is not meant to have TLS, say so with TLSNone"
		return e
	}
	r, err := s.c.exchange(StageStartTLS, "STARTTLS")
	if err != nil || r.Code != 220 {
		refused := err == nil && r.Code >= 400 && s.c.usable()
		if refused && mode == TLSOpportunistic {
			return s.settle(StageStartTLS)
		}
		return s.unexpected(StageStartTLS, r, err)
	}
	// Octets behind the 220 were sent before the handshake, by anyone: an
	// attacker who puts replies there must not be believed under TLS.
	if s.c.r.Buffered() > 0 {
		return s.failed(StageStartTLS, smtpwire.Reply{}, s.c.breakUp(&ProtocolError{
			Stage: StageStartTLS, Text: "octets behind the reply to STARTTLS, perhaps injected by an attacker"}))
	}
	if err := s.secure(ctx); err != nil {
		return err
	}
	return s.hello()
}

// secure puts TLS on the connection, now, so that a certificate that is not
// trusted is an error of its own.
func (s *Session) secure(ctx context.Context) error {
	c := s.c
	limited, cancel := context.WithTimeout(ctx, s.cfg.Timeouts.TLS)
	defer cancel()
	c.nc.SetDeadline(never) // what is left of the clear stages
	nc, st, err := s.cfg.handshake(limited, c.nc)
	if err != nil {
		if limited.Err() != nil && ctx.Err() == nil {
			err = os.ErrDeadlineExceeded
		}
		if linkLost(err) || ctx.Err() != nil {
			err = c.cause(StageTLS, err, s.cfg.Timeouts.TLS)
		}
		return s.cfg.tlsError(c.breakUp(err))
	}
	c.upgrade(nc)
	s.secured(st)
	return nil
}

// linkLost tells a connection that failed from a handshake that did: an alert
// of either side is a *net.OpError too.
func linkLost(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Op == "read" || op.Op == "write"
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded)
}

// adopt takes a TLS connection that the caller made.
func (s *Session) adopt(ctx context.Context, t *tls.Conn) error {
	if err := t.HandshakeContext(ctx); err != nil {
		return s.cfg.tlsError(s.c.breakUp(err))
	}
	s.secured(t.ConnectionState())
	return nil
}

func (s *Session) secured(st tls.ConnectionState) {
	s.tls, s.verified = &st, s.cfg.verified(st)
	if t := s.cfg.Trace; t != nil && t.TLSDone != nil {
		t.TLSDone(st)
	}
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
func (s *Session) Usable() bool { return s.c.usable() }

// Noop asks the server whether the session lives: exactly 250 is a nil error. A
// 5yz leaves the session usable, anything else ends it.
func (s *Session) Noop(ctx context.Context) error {
	r, err := s.run(ctx, StageNoop, "NOOP")
	if err == nil && r.Code != 250 {
		err = &linkError{stage: StageNoop, text: "not 250", err: errors.New(r.String()), reply: &r}
		if !r.Permanent() {
			s.c.breakUp(err)
		}
	}
	return err
}

// Reset sends RSET, now. There is never a need to: what a failed message leaves
// behind is reset in front of the next one. A server that refuses ends the session.
func (s *Session) Reset(ctx context.Context) error {
	r, err := s.run(ctx, StageReset, "RSET")
	if err == nil && r.Code != 250 {
		return s.c.breakUp(&linkError{stage: StageReset, text: "not 250", err: errors.New(r.String()), reply: &r})
	}
	if err == nil {
		s.dirty = false
	}
	return err
}

// Verify asks with VRFY about an address or a name (RFC 5321, 3.5.1). Most
// servers answer 252, which says nothing. The error is about the session only:
// a refusal is a Reply.
func (s *Session) Verify(ctx context.Context, addr string) (Reply, error) {
	if addr == "" || checkText(addr) != nil {
		return Reply{}, &OptionError{"addr", errors.New("empty, or holds a control character")}
	}
	line := "VRFY " + addr
	if !isASCII(addr) {
		if !s.ext.Has(extSMTPUTF8) {
			return Reply{}, unsupported(extSMTPUTF8, "an address that is not ASCII")
		}
		line += " SMTPUTF8" // RFC 6531, 3.7.4.2
	}
	return s.run(ctx, StageCommand, line)
}

// Command sends any other command that takes one line and one reply, such as
// EXPN or ETRN. A refusal is a Reply with a nil error; errors are about the
// connection and the protocol. A line with a control character is refused, and
// so are the commands that the Session sends itself and whose state it keeps.
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
	return s.run(ctx, StageCommand, line)
}

// run exchanges one command between transactions.
func (s *Session) run(ctx context.Context, stage Stage, line string) (Reply, error) {
	if err := s.ready(); err != nil {
		return Reply{}, err
	}
	if ctx.Err() != nil {
		return Reply{}, givenUp(stage, ctx)
	}
	s.c.begin(ctx)
	defer s.c.end()
	r, err := s.c.exchange(stage, line)
	if err != nil {
		return Reply{}, err
	}
	reply := s.c.public(r)
	if err := s.c.settled(stage); err != nil && r.Code != codeClosing {
		return reply, err
	}
	return reply, nil
}

// ready says why no command can be sent now.
func (s *Session) ready() error {
	if s.open != nil {
		return ErrInTransaction
	}
	switch err := s.c.err; {
	case err == nil && s.c.writeErr == nil:
		return nil
	case err == nil:
		return join(ErrClosed, s.c.writeErr)
	case errors.Is(err, ErrClosed):
		return ErrClosed
	default:
		return join(ErrClosed, err)
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
	s.c.goodbye()
	return nil
}
