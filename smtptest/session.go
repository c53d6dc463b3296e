package smtptest

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/fe022423/submission/internal/smtpwire"
	"github.com/fe022423/submission/smtptest/internal/saslserver"
	"github.com/fe022423/submission/smtptest/internal/syntax"
)

const (
	// inputBuffer is how much a session reads ahead: a whole flight of commands at
	// once, so that a read ends where the client's flight ends.
	inputBuffer = 64 << 10
	// maxLine bounds a line that is longer than any command may be: up to here the
	// server refuses the line, beyond it the session ends.
	maxLine = 64 << 10
)

// session is one SMTP session. One goroutine runs it; others only hang up on it.
type session struct {
	srv *Server
	id  int
	raw net.Conn      // the transport
	nc  net.Conn      // raw, or TLS over it
	in  *bufio.Reader // on source, which is nc
	r   *smtpwire.Reader
	w   *smtpwire.Writer

	encrypted     bool
	turnedAway    bool              // the greeting was not 220: only QUIT is allowed
	greeted       bool              // by EHLO, HELO or LHLO
	offered       map[string]string // EHLO keywords in upper case and their values; nil after HELO
	authenticated bool
	user          string
	sasl          saslserver.Session

	mails   int             // how many MAIL were accepted
	domains map[string]bool // of recipients that were accepted

	open   bool // MAIL was accepted
	chunks chunkState
	lines  syntax.LineCheck
	bits   syntax.EightBit
	msg    Message

	turn    turn
	hasty   mistake // of a client that sends more before it has the last reply
	early   bool    // what comes next was sent before the client had that reply
	replied int64   // octets that the server had written before that reply

	gone    chan struct{} // closed when the server hangs up on it
	stopped bool          // by Server.Stop; guarded by Server.mu

	over  bool // leave the command loop
	lost  bool // the client is gone: nothing to send to it or to read
	reset bool // end with a RST
}

func newSession(srv *Server, raw net.Conn, id int) *session {
	s := &session{srv: srv, id: id, raw: raw, gone: make(chan struct{})}
	s.sasl = saslserver.Session{
		Accounts:   srv.config.Accounts,
		Hostname:   srv.config.Hostname,
		Mechanisms: srv.config.Mechanisms,
	}
	s.turn.pipe, _ = raw.(*memConn)
	s.attach(raw)
	s.endTransaction()
	return s
}

// attach makes nc what the session speaks over.
func (s *session) attach(nc net.Conn) {
	s.nc = nc
	s.in = bufio.NewReaderSize(source{s}, inputBuffer)
	s.r = smtpwire.NewReader(s.in)
	s.w = smtpwire.NewWriter(nc)
}

// source is nc as the session reads from it: replies that were kept back are sent
// before a read, which may wait.
type source struct{ s *session }

func (src source) Read(p []byte) (int, error) {
	s := src.s
	n, err := s.look(p)
	early := n > 0
	s.flush()
	if n == 0 && err == nil {
		n, err = s.nc.Read(p)
		early = s.turn.pipe != nil && s.turn.known() <= s.replied
	}
	if s.r.Buffered() == 0 {
		s.early = early
	}
	if n > 0 && s.turn.hear() {
		s.srv.countRoundTrips(-1)
	}
	return n, err
}

// flush sends the replies that are kept back. It ignores errors: a client that has gone
// may have sent commands before, and the server obeys all of them, so that Messages
// has every message that the client has sent.
func (s *session) flush() { _ = s.w.Flush() }

// log adds a line of this session to the transcript.
func (s *session) log(format string, args ...any) {
	s.srv.log(s, fmt.Sprintf("[%d] "+format, append([]any{s.id}, args...)...))
}

// run is the session, from the greeting until it hangs up.
func (s *session) run() {
	defer s.hangUp()
	if s.srv.config.TLS == ImplicitTLS {
		s.startTLS()
		if s.over {
			return
		}
	}
	s.turnedAway, s.hasty = true, s.hastyGreeting()
	s.answer("CONNECT", "", verdict{
		reply:   "220 " + s.srv.config.Hostname + " " + s.protocol() + " ready",
		success: "220",
		accept:  func(string) { s.turnedAway = false },
	})
	for !s.over {
		if line, ok := s.readLine(); ok {
			s.log("C: %s", redact(line))
			if !s.refuseEarly() {
				s.obey(line)
			}
		}
	}
}

// startTLS does the handshake, and forgets what the client said before (RFC 3207,
// 4.2).
func (s *session) startTLS() {
	s.await() // the client waits for the 220
	s.flush()
	cfg, err := s.srv.serverTLSConfig()
	if err == nil {
		nc := tls.Server(s.raw, cfg)
		if err = nc.Handshake(); err == nil {
			s.log("-- TLS")
			s.attach(nc)
			s.encrypted, s.greeted, s.offered = true, false, nil
			s.authenticated, s.user = false, ""
			s.learnTLS(nc.ConnectionState(), cfg)
			s.endTransaction()
			return
		}
	}
	s.log("-- TLS failed: %v", err)
	s.over, s.lost = true, true
}

// learnTLS keeps what SASL mechanisms need to know about the connection.
func (s *session) learnTLS(state tls.ConnectionState, cfg *tls.Config) {
	if len(state.PeerCertificates) > 0 {
		s.sasl.Certificate = state.PeerCertificates[0]
	}
	var own []byte
	if chosen := cfg.GetCertificate != nil || cfg.GetConfigForClient != nil; !chosen && len(cfg.Certificates) == 1 {
		own = cfg.Certificates[0].Certificate[0]
	}
	s.sasl.Bindings = saslserver.Bindings(state, own)
}

// hangUp sends what is left and closes. A socket that is closed with unread input
// destroys replies that are on their way. So hangUp discards input until the client
// closes too, or the server is closed.
func (s *session) hangUp() {
	defer s.raw.Close()
	if !s.lost {
		s.flush()
	}
	switch raw := s.raw.(type) {
	case interface{ SetLinger(int) error }:
		if s.reset {
			_ = raw.SetLinger(0)
			return
		}
	case *memConn:
		if s.reset {
			raw.reset()
			return
		}
	}
	if s.reset {
		return // a Unix socket knows no more than that
	}
	if s.lost {
		return
	}
	if nc, ok := s.nc.(*tls.Conn); ok {
		_ = nc.CloseWrite()
	}
	if raw, ok := s.raw.(interface{ CloseWrite() error }); ok {
		_ = raw.CloseWrite()
		_, _ = io.Copy(io.Discard, s.raw)
	}
}

// await counts a round trip if the session is about to wait for the client and has
// answered all of its input.
func (s *session) await() {
	if s.r.Buffered() == 0 && s.in.Buffered() == 0 && s.turn.wait() {
		s.srv.countRoundTrips(1)
	}
}

// readLine reads a line of the client. Not ok means that the session is over.
func (s *session) readLine() (line string, ok bool) {
	err := s.listen()
	var b []byte
	if err == nil {
		b, err = s.r.ReadLine(maxLine)
	}
	if err != nil {
		s.breakOff(err)
		return "", false
	}
	return string(b), true
}

// breakOff ends the session after a read failed. If the client broke the grammar, it
// gets a reply; the server cannot go on, because it does not know where the next
// command begins.
func (s *session) breakOff(err error) {
	s.over = true
	var syntax *smtpwire.SyntaxError
	switch {
	case !errors.As(err, &syntax):
		s.lost = true
	case s.r.Buffered() >= maxLine:
		s.send(&Answer{Reply: s.reply(500, "5.5.2", "line too long")})
	default:
		s.send(&Answer{Reply: s.reply(554, "5.5.2", syntax.Reason)})
	}
}
