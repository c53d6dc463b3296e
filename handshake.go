package submission

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/fe022423/submission/internal/address"
	"github.com/fe022423/submission/internal/hint"
	"github.com/fe022423/submission/internal/link"
	"github.com/fe022423/submission/internal/smtpwire"
)

// newSession opens a session over nc: greeting, EHLO, TLS, AUTH. d is the Dial that nc
// was made for, nil when it was handed to NewSession.
func newSession(ctx context.Context, nc net.Conn, o *opening, d *dialing) (ready *Session, err error) {
	s, cfg := o.linkedTo(nc, d), o.cfg
	s.enter(ctx, o.watch)
	defer func() {
		func() {
			defer s.exit()
			switch {
			case err != nil:
				s.link.Quit()
				err = cleaned(s.asTLSError(err), &s.secrets)
				d.judge(s, err)
			case ready == nil: // an Auth or a Trace of the caller's panics
				s.link.Break(&link.Failure{Kind: link.GivenUp, Step: link.Quit})
			}
		}()
		s.dialing = nil
		if err == nil && !s.link.Usable() { // cancelled at the very end
			ready, err = nil, s.connectError(StageHello, smtpwire.Reply{}, givenUp(StageHello, ctx))
		}
	}()
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
		if err := s.logIn(ctx); err != nil {
			return nil, err
		}
		s.helloOutdated = !cfg.helloSaysAll.Load()
	}
	return s, nil
}

// logIn authenticates the session.
func (s *Session) logIn(ctx context.Context) error {
	err := s.authenticate(ctx, s.cfg.auth.Reveal())
	name := s.mechanism
	if err != nil {
		err = cleaned(s.noteAuth(err), &s.secrets)
		if e, ok := err.(*AuthError); ok {
			name = e.Mechanism
		}
	}
	s.watch.authDone(s, name, err)
	return err
}

// connectError makes a ConnectError of a reply that refused or an error at stage.
func (s *Session) connectError(stage Stage, r smtpwire.Reply, err error) *ConnectError {
	e := &ConnectError{Addr: s.cfg.addr(), Stage: stage, Err: err}
	var lost *linkError
	if r.Code != 0 {
		reply := makeReply(s.link.Keep(r))
		e.Reply = &reply
	} else if errors.As(err, &lost) {
		e.Reply = lost.reply
	}
	return e
}

// greet reads the greeting. Only a 220 is accepted (RFC 5321, 4.2).
func (s *Session) greet() error {
	r, why := s.link.Hear(link.Greeting)
	s.greeted = r.Code != 0
	if why == nil && r.Code == 220 {
		return s.checkSettled(link.Greeting)
	}
	e := s.unexpected(link.Greeting, r, why)
	e.Hint = hint.Greeting{Server: s.cfg.reached(), TLS: s.tls != nil, Code: r.Code, Lost: why}.Hint()
	if e.Reply == nil {
		e.Reply = refusalWithin(why)
	}
	return e
}

// refusalWithin returns the refusal for which a server broke off a reply that had begun
// as another, nil when it did not. Servers that make clients wait for the end of their
// greeting do.
func refusalWithin(why *link.Failure) *Reply {
	var syntax *smtpwire.SyntaxError
	if why == nil || !errors.As(why.Err, &syntax) || syntax.Reason != smtpwire.ReplyChanges {
		return nil
	}
	code, err := strconv.Atoi(syntax.Text[:min(3, len(syntax.Text))])
	if err != nil || code < 400 {
		return nil
	}
	reply := makeReply(link.Reply{Code: code, Text: syntax.Text[min(4, len(syntax.Text)):]})
	return &reply
}

// checkSettled is Link.Settled with the error of a handshake.
func (s *Session) checkSettled(step link.Step) error {
	if why := s.link.Settled(step); why != nil {
		return s.connectError(stageOf(step), smtpwire.Reply{}, lostError(why))
	}
	return nil
}

// hello sends EHLO. It sends HELO when the server does not know EHLO and the
// options need no extension. LMTP has LHLO and nothing else.
func (s *Session) hello() error {
	name := s.helloName()
	s.ext = Extensions{}
	refusal := 0 // of EHLO
	if !s.cfg.HELO {
		r, why := s.link.Exchange(link.Hello, s.cfg.greeting()+" "+name)
		if why != nil {
			return s.connectError(StageHello, r, lostError(why))
		}
		if r.Code == codeOK {
			s.learn(r)
			return s.checkSettled(link.Hello)
		}
		if e := s.whyNoHELO(r); e != nil {
			e.Hint = s.helloHint(name, 0, r)
			return e
		}
		refusal = r.Code
	}
	r, why := s.link.Exchange(link.Hello, "HELO "+name)
	if why == nil && r.Code == codeOK {
		return s.checkSettled(link.Hello)
	}
	e := s.unexpected(link.Hello, r, why)
	e.Hint = s.helloHint(name, refusal, r)
	return e
}

// helloName returns the argument of EHLO, HELO and LHLO.
func (s *Session) helloName() string {
	near := s.link.Raw().LocalAddr()
	network, _ := addrParts(near)
	switch {
	case s.cfg.local != "":
		return s.cfg.local
	case s.cfg.socket != "", network == "unix":
		return unixHost // there is no IP address to show
	}
	return literal(near)
}

// learn reads what the server offers from its reply to EHLO. It is shown to the
// caller, and in errors, so it holds no secret.
func (s *Session) learn(r smtpwire.Reply) {
	s.ext = parseExtensions(strings.Split(s.link.Keep(r).Text, "\n"), s.cfg.Disable)
}

// relearn asks again what the server offers. A refusal changes nothing. A server that
// offers no more than before has perhaps forgotten the login: the session is not lent
// again, and no other one asks.
func (s *Session) relearn() *link.Failure {
	s.helloOutdated = false
	before := s.ext
	r, why := s.link.Exchange(link.Hello, s.cfg.greeting()+" "+s.helloName())
	if why != nil {
		return why
	}
	if r.Code == codeOK {
		s.learn(r)
	}
	if !s.ext.exceeds(before) {
		s.unfit = true
		if s.link.Usable() {
			s.cfg.helloSaysAll.Store(true)
		}
	}
	return s.link.Settled(link.Hello)
}

// whyNoHELO returns why HELO cannot replace an EHLO that was refused with r, nil
// when it can.
func (s *Session) whyNoHELO(r smtpwire.Reply) *ConnectError {
	if s.cfg.LMTP || !slices.Contains([]int{500, 501, 502, 504}, r.Code) {
		return s.unexpected(link.Hello, r, nil)
	}
	mode := s.cfg.TLS.on(s.cfg.port)
	if !s.cfg.auth.IsZero() || s.tls == nil && mode == TLSStartTLS {
		if s.namelessRefused(r) {
			return s.connectError(StageHello, r, nil) // not EHLO but what it says
		}
		return s.connectError(StageHello, r, fmt.Errorf("%w: STARTTLS and AUTH need EHLO", ErrUnsupported))
	}
	if s.upgraded {
		return s.connectError(StageHello, r, nil) // it accepted EHLO before TLS: something is wrong
	}
	return nil
}

// namelessRefused reports whether the server perhaps refuses this machine for the
// address that it was greeted with in place of a name. Before TLS it took that.
func (s *Session) namelessRefused(r smtpwire.Reply) bool {
	if s.cfg.local != "" || s.upgraded {
		return false
	}
	switch r.Code {
	case 421, 501, 504, 550:
		return true
	case 500, 502, 503, 530:
		return false
	}
	text := strings.ToLower(string(r.Text))
	return r.Code >= 400 && (strings.Contains(text, "helo") || strings.Contains(text, "ehlo"))
}

// unexpected is the error for a reply that does not go on: a refusal as it is,
// anything else as a breach of the protocol.
func (s *Session) unexpected(step link.Step, r smtpwire.Reply, why *link.Failure) *ConnectError {
	if why == nil && r.Code < 400 {
		why = s.link.Break(&link.Failure{Kind: link.OutOfStep, Step: step, Reply: s.link.Keep(r)})
	}
	return s.connectError(stageOf(step), r, lostError(why))
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
