package submission

import (
	"context"
	"crypto/tls"
	"log/slog"
	"time"

	"github.com/fe022423/submission/internal/link"
	"github.com/fe022423/submission/internal/transfer"
)

// Trace is a set of hooks on what a session does; every hook may be nil. They
// run on the goroutine that uses the session and must not use it themselves.
// Hooks of a Client's sessions may run at the same time.
type Trace struct {
	// Connected: a session is about to be used. reused tells one of the pool
	// from a fresh connection. addr is the server's, also through a proxy.
	Connected func(network, addr string, reused bool)
	// TLSDone: the handshake succeeded and the certificate is trusted.
	TLSDone func(tls.ConnectionState)
	// Sent: a command line was handed to the connection, without its CRLF.
	// Secrets in it are replaced by ***. Message octets never show.
	Sent func(line string)
	// Received: a reply came in. Secrets that the server repeats are replaced.
	Received func(Reply)
	// MessageSent: the last octet of a message was written, octets in all as
	// counted by Result.Bytes, took after its first.
	MessageSent func(octets int64, took time.Duration)
	// Closed: the session ended; nil after a QUIT of ours.
	Closed func(err error)
}

// linkConfig is what the link of a session needs to know.
func (s *Session) linkConfig() link.Config {
	t := &s.cfg.Timeouts
	c := link.Config{
		Panicked: s.cfg.logPanic,
		Limits: link.Limits{Greeting: t.Greeting, Command: t.Command, DataInit: t.DataInit,
			DataBlock: t.DataBlock, DataFinal: t.DataFinal, Quit: t.Quit},
		NoQuitWait: s.cfg.NoQuitWait,
		Clean:      s.secrets.Clean,
		CleanStart: s.secrets.CleanStart,
	}
	if trace := s.cfg.Trace; trace != nil && trace.Closed != nil {
		c.Closed = func(why *link.Failure) { trace.Closed(lostError(why)) }
	}
	if s.cfg.Logger != nil || s.cfg.Trace != nil {
		c.Sent, c.Received = s.showSent, s.showReceived
	}
	return c
}

func (s *Session) showSent(line string) {
	if t := s.cfg.Trace; t != nil && t.Sent != nil {
		t.Sent(line)
	}
	if l := s.cfg.Logger; l != nil {
		l.LogAttrs(context.Background(), slog.LevelDebug, "smtp sent", slog.String("line", line))
	}
}

func (s *Session) showReceived(kept link.Reply) {
	r := makeReply(kept)
	if t := s.cfg.Trace; t != nil && t.Received != nil {
		t.Received(r)
	}
	if l := s.cfg.Logger; l != nil {
		l.LogAttrs(context.Background(), slog.LevelDebug, "smtp received",
			slog.Int("code", r.Code), slog.String("reply", r.String()))
	}
}

// timeMessage has the trace told when the message of a transfer is written.
func (s *Session) timeMessage(t *transfer.Transfer) {
	if s.cfg.Logger != nil || s.cfg.Trace != nil {
		s.messageBegins()
		t.OnWritten(s.showWritten)
	}
}

// messageBegins notes when the first octet of a message may go out.
func (s *Session) messageBegins() { s.began = time.Now() }

func (s *Session) showWritten(octets int64) {
	took := time.Since(s.began)
	if t := s.cfg.Trace; t != nil && t.MessageSent != nil {
		t.MessageSent(octets, took)
	}
	if l := s.cfg.Logger; l != nil {
		l.Debug("smtp message", "octets", octets, "took", took)
	}
}
