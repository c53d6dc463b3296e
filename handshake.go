package submission

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/fe022423/submission/internal/address"
	"github.com/fe022423/submission/internal/smtpwire"
)

// newSession opens a session: greeting, EHLO, TLS, AUTH.
func newSession(ctx context.Context, nc net.Conn, cfg *config) (ready *Session, err error) {
	s := &Session{c: newConn(cfg, nc), cfg: cfg, born: time.Now()}
	c := s.c
	c.begin(ctx)
	defer func() {
		switch {
		case err != nil:
			c.goodbye()
			err = s.asTLSError(err)
		case ready == nil: // Options.Auth or Options.Trace panics
			c.breakUp(ErrClosed)
		}
		c.end()
		if err == nil && c.err != nil { // cancelled at the very end
			ready, err = nil, s.connectError(StageHello, smtpwire.Reply{}, givenUp(StageHello, ctx))
		}
	}()
	s.announce(false)
	mode := cfg.TLS.on(cfg.port)
	// A *tls.Conn from Options.Dialer is a tunnel: its TLS is not with the server.
	if t, ok := nc.(*tls.Conn); ok && cfg.callersConn {
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
	if !cfg.auth.IsZero() {
		if err := s.authenticate(ctx, cfg.auth.Reveal()); err != nil {
			return nil, err
		}
		s.helloOutdated = true
	}
	return s, nil
}

// connectError makes a ConnectError of a reply that refused or an error at stage.
func (s *Session) connectError(stage Stage, r smtpwire.Reply, err error) *ConnectError {
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

// greet reads the greeting. Only a 220 is accepted (RFC 5321, 4.2).
func (s *Session) greet() error {
	r, err := s.c.reply(StageGreeting, s.cfg.Timeouts.Greeting)
	if err == nil && r.Code == 220 {
		return s.checkSettled(StageGreeting)
	}
	e := s.unexpected(StageGreeting, r, err)
	if s.tls == nil && e.Err != nil {
		e.Hint = s.cfg.clearHint()
	}
	return e
}

// checkSettled is conn.settled with a ConnectError.
func (s *Session) checkSettled(stage Stage) error {
	if err := s.c.settled(stage); err != nil {
		return s.connectError(stage, smtpwire.Reply{}, err)
	}
	return nil
}

// hello sends EHLO. It sends HELO when the server does not know EHLO and the
// options need no extension.
func (s *Session) hello() error {
	name := s.helloName()
	s.ext = Extensions{}
	if !s.cfg.HELO {
		r, err := s.c.exchange(StageHello, "EHLO "+name)
		if err != nil {
			return s.connectError(StageHello, r, err)
		}
		if r.Code == 250 {
			s.learn(r)
			return s.checkSettled(StageHello)
		}
		if e := s.whyNoHELO(r); e != nil {
			return e
		}
	}
	r, err := s.c.exchange(StageHello, "HELO "+name)
	if err == nil && r.Code == 250 {
		return s.checkSettled(StageHello)
	}
	return s.unexpected(StageHello, r, err)
}

// helloName returns the argument of EHLO and HELO.
func (s *Session) helloName() string {
	if s.cfg.local != "" {
		return s.cfg.local
	}
	return literal(s.c.raw.LocalAddr())
}

// learn reads what the server offers from its reply to EHLO.
func (s *Session) learn(r smtpwire.Reply) {
	s.ext = parseExtensions(strings.Split(string(r.Text), "\n"), s.cfg.Disable)
}

// relearn sends EHLO again, for what the server offers now. A refusal changes
// nothing.
func (s *Session) relearn() error {
	s.helloOutdated = false
	r, err := s.c.exchange(StageHello, "EHLO "+s.helloName())
	if err != nil {
		return err
	}
	if r.Code == 250 {
		s.learn(r)
		s.dirty = false // RFC 5321, 4.1.4: EHLO is a RSET too
	}
	return s.c.settled(StageHello)
}

// whyNoHELO returns why HELO cannot replace an EHLO that was refused with r, nil
// when it can.
func (s *Session) whyNoHELO(r smtpwire.Reply) error {
	if !slices.Contains([]int{500, 501, 502, 504}, r.Code) {
		return s.unexpected(StageHello, r, nil)
	}
	mode := s.cfg.TLS.on(s.cfg.port)
	if !s.cfg.auth.IsZero() || s.tls == nil && mode == TLSStartTLS {
		return s.connectError(StageHello, r, fmt.Errorf("%w: STARTTLS and AUTH need EHLO", ErrUnsupported))
	}
	if s.upgraded {
		return s.connectError(StageHello, r, nil) // it accepted EHLO before TLS: something is wrong
	}
	return nil
}

// unexpected returns the error for a reply that ends the handshake: a refusal, or
// a code that makes no sense, which breaks the protocol.
func (s *Session) unexpected(stage Stage, r smtpwire.Reply, err error) *ConnectError {
	if err == nil && r.Code < 400 {
		err = s.c.unexpected(stage, r)
	}
	return s.connectError(stage, r, err)
}

// addrParts returns the parts of an address. It may be nil: not every net.Conn has
// one.
func addrParts(addr net.Addr) (network, text string) {
	if addr == nil {
		return "", ""
	}
	return addr.Network(), addr.String()
}

// literal returns the address literal of a local address (RFC 5321, 4.1.3).
func literal(addr net.Addr) string {
	_, text := addrParts(addr)
	if ap, err := netip.ParseAddrPort(text); err == nil {
		return address.Literal(ap.Addr())
	}
	return address.Literal(netip.AddrFrom4([4]byte{127, 0, 0, 1})) // a pipe has no IP address
}
