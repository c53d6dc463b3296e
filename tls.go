package submission

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync/atomic"

	"github.com/fe022423/submission/internal/hint"
	"github.com/fe022423/submission/internal/link"
	"github.com/fe022423/submission/internal/smtpwire"
)

// TLSMode says when TLS starts and whether it must.
type TLSMode uint8

const (
	// TLSAuto is TLSImplicit on port 465 and TLSStartTLS on every other. Over a Unix
	// socket it is TLSNone.
	TLSAuto TLSMode = iota
	// TLSImplicit starts TLS with the first byte (RFC 8314, 3.3). Default port 465.
	TLSImplicit
	// TLSStartTLS requires STARTTLS (RFC 3207): without it there is no session.
	// Default port 587.
	TLSStartTLS
	// TLSOpportunistic uses STARTTLS when the server offers and grants it. When
	// not, the session continues in clear text, and credentials that anyone could
	// read are not sent. A handshake that fails is an error all the same. It does
	// not protect against an active attacker. Default port 587.
	TLSOpportunistic
	// TLSNone never uses TLS. Default port 25.
	TLSNone
)

// String returns the name of the constant.
func (m TLSMode) String() string {
	names := [...]string{"TLSAuto", "TLSImplicit", "TLSStartTLS", "TLSOpportunistic", "TLSNone"}
	if int(m) < len(names) {
		return names[m]
	}
	return fmt.Sprintf("TLSMode(%d)", uint8(m))
}

// defaultPort is the port of the mode for an address without a port.
func (m TLSMode) defaultPort() int {
	switch m {
	case TLSImplicit:
		return portSubmissions
	case TLSNone:
		return portSMTP
	}
	return portSubmission
}

// on returns the mode to use on a port, which TLSAuto depends on.
func (m TLSMode) on(port int) TLSMode {
	if m != TLSAuto {
		return m
	}
	if port == portSubmissions {
		return TLSImplicit
	}
	return TLSStartTLS
}

// startTLS runs STARTTLS, the TLS handshake, and EHLO again (RFC 3207, 4).
func (s *Session) startTLS(ctx context.Context, mode TLSMode) error {
	if !s.ext.Has(extStartTLS) {
		if mode == TLSOpportunistic {
			return nil
		}
		e := s.connectError(StageStartTLS, smtpwire.Reply{}, ErrUnsupported)
		e.Hint = hint.NoStartTLS{
			Server: s.cfg.reached(), HELO: s.cfg.HELO, Disable: s.cfg.Disable,
			Auth: !s.cfg.auth.IsZero(), Offered: s.ext.keywords(),
		}.Hint()
		return e
	}
	r, why := s.link.Exchange(link.StartTLS, "STARTTLS")
	if why != nil || r.Code != 220 {
		refused := why == nil && r.Code >= 400 && s.link.Usable()
		if refused && mode == TLSOpportunistic {
			return s.checkSettled(link.StartTLS)
		}
		return s.unexpected(link.StartTLS, r, why)
	}
	// Octets after the 220 were sent before the handshake, by anyone: an
	// attacker who puts replies there must not be believed under TLS.
	if s.link.Settled(link.StartTLS) != nil {
		return s.connectError(StageStartTLS, smtpwire.Reply{}, &ProtocolError{
			Stage: StageStartTLS, Text: "octets after the reply to STARTTLS, perhaps injected by an attacker, beginning " + excerpt(s.link.Unread())})
	}
	if err := s.secure(ctx); err != nil {
		return err
	}
	s.upgraded = true
	return s.hello()
}

// secure puts TLS on the connection and runs the handshake at once, so that a
// certificate that is not trusted is a TLSError, not a failure of the first
// command.
func (s *Session) secure(ctx context.Context) error {
	return s.shakeHands(ctx, func(ctx context.Context) error {
		nc, st, err := s.cfg.handshake(ctx, s.link.Conn(), s.dialing.tlsConfig(s.cfg))
		if err != nil {
			s.mute, s.answered = s.cfg.TLSClient == nil && st.Version == 0, st.Version != 0
			return err
		}
		s.link.Upgrade(nc)
		s.tls, s.verified = &st, s.cfg.verified(st)
		return nil
	})
}

// adopt uses the TLS of a connection that the caller made. Its configuration is
// not known here, so only what its state shows as verified counts as verified.
func (s *Session) adopt(ctx context.Context, t *tls.Conn) error {
	s.adopted = true
	return s.shakeHands(ctx, func(ctx context.Context) error {
		if err := t.HandshakeContext(ctx); err != nil {
			return err
		}
		st := t.ConnectionState()
		s.tls, s.verified = &st, len(st.VerifiedChains) > 0 || len(s.cfg.PinnedKeys) > 0
		return s.cfg.checkPin(st)
	})
}

// shakeHands runs a TLS handshake within Timeouts.TLS.
func (s *Session) shakeHands(ctx context.Context, handshake func(context.Context) error) error {
	limit := s.cfg.Timeouts.TLS
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	// The limit is also for a TLSClient that forgets its context.
	err := s.link.Handshake(limit, func() error { return handshake(limited) })
	if err != nil {
		if limited.Err() != nil && ctx.Err() == nil {
			err = os.ErrDeadlineExceeded
		}
		why := &link.Failure{Kind: link.GivenUp, Step: link.TLS, Err: err}
		if linkLost(err) || ctx.Err() != nil {
			why = s.link.Why(link.TLS, err, limit)
		}
		s.link.Break(why)
		return s.tlsError(s.secrets.CleanTLSError(lostError(why)))
	}
	s.watch.tlsDone(s)
	return nil
}

// handshake puts TLS on nc. After an error nc is not used again.
func (c *config) handshake(ctx context.Context, nc net.Conn, cfg *tls.Config) (net.Conn, tls.ConnectionState, error) {
	if c.TLSClient != nil {
		secured, err := c.TLSClient(ctx, nc, cfg)
		if err != nil {
			return nil, tls.ConnectionState{}, err
		}
		st, err := c.checkSecured(ctx, secured, nc)
		return secured, st, err
	}
	t := tls.Client(nc, cfg)
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, t.ConnectionState(), err // of which the version is what has come
	}
	return t, t.ConnectionState(), nil
}

// ticketCache is the session cache of one Dial over that of its config. It knows
// whether a session ticket was offered: servers exist that fail then.
type ticketCache struct {
	tls.ClientSessionCache
	offered atomic.Pointer[string] // the key of the session that was offered
	off     bool                   // offers none
}

// tlsConfig returns the configuration for a handshake of the Dial.
func (d *dialing) tlsConfig(c *config) *tls.Config {
	if d == nil {
		return c.tlsConfig
	}
	cfg := c.tlsConfig.Clone()
	d.tickets.ClientSessionCache = cfg.ClientSessionCache
	cfg.ClientSessionCache = &d.tickets
	return cfg
}

// Get returns the session to resume.
func (t *ticketCache) Get(key string) (*tls.ClientSessionState, bool) {
	if t.off {
		return nil, false
	}
	st, ok := t.ClientSessionCache.Get(key)
	if ok && st != nil {
		t.offered.Store(&key)
	}
	return st, ok
}

// giveUp reports whether a connection that failed had offered a ticket. The next
// one offers none: resumption is our own idea and may cost nobody a send.
func (t *ticketCache) giveUp(failed bool) bool {
	key := t.offered.Load()
	if !failed || t.off || key == nil {
		return false
	}
	t.off = true
	t.Put(*key, nil)
	return true
}

// asTLSError makes a TLSError of a ConnectError that was caused by a TLS alert of
// the server. In TLS 1.3 the server checks the client's certificate after the
// client's part of the handshake has ended (RFC 8446, 4.4.2.4).
func (s *Session) asTLSError(err error) error {
	if alert := alertIn(err); s.tls != nil && isType[*ConnectError](err) && alert != nil {
		return s.tlsError(alert)
	}
	return err
}

// opAlert is the Op of the *net.OpError in which crypto/tls wraps an alert that
// came in.
const opAlert = "remote error"

// alertIn returns the error in err that is an alert of the server, nil when there is
// none.
func alertIn(err error) *net.OpError {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == opAlert {
		return op
	}
	return nil
}

// linkLost reports whether the connection failed, not the handshake. An alert of
// either side is a *net.OpError too.
func linkLost(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Op == "read" || op.Op == "write"
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded)
}

// clearReply returns the code that the server answered in clear text where TLS was to
// begin, nil when it did not. Servers turn clients away so who are too many.
func clearReply(err error) *Reply {
	var header tls.RecordHeaderError
	if !errors.As(err, &header) {
		return nil
	}
	said := header.RecordHeader
	code, err := strconv.Atoi(string(said[:3]))
	if err != nil || code < 200 || code > 599 || said[3] != ' ' && said[3] != '-' {
		return nil
	}
	return &Reply{Code: code}
}
