package submission

import (
	"context"
	"crypto/tls"
	"log/slog"
	"time"
)

// Trace is a set of hooks on what a session does; every hook may be nil. They
// run on the goroutine that uses the session and must not use it themselves.
// Hooks of a Client's sessions may run at the same time.
type Trace struct {
	// Connected: a session is about to be used. reused tells one of the pool
	// from a fresh connection. addr is the server's, also behind a proxy.
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

// messageBegins and messageSent time a message for the trace.
func (c *conn) messageBegins() { c.began = time.Now() }

func (c *conn) messageSent(octets int64) {
	took := time.Since(c.began)
	if t := c.cfg.Trace; t != nil && t.MessageSent != nil {
		t.MessageSent(octets, took)
	}
	if l := c.cfg.Logger; l != nil {
		l.Debug("smtp message", "octets", octets, "took", took)
	}
}

// observed reports whether anyone looks at the protocol lines.
func (c *conn) observed() bool { return c.cfg.Trace != nil || c.cfg.Logger != nil }

func (c *conn) sent(line string) {
	if t := c.cfg.Trace; t != nil && t.Sent != nil {
		t.Sent(line)
	}
	if l := c.cfg.Logger; l != nil {
		l.LogAttrs(context.Background(), slog.LevelDebug, "smtp sent", slog.String("line", line))
	}
}

func (c *conn) received(r Reply) {
	if t := c.cfg.Trace; t != nil && t.Received != nil {
		t.Received(r)
	}
	if l := c.cfg.Logger; l != nil {
		l.LogAttrs(context.Background(), slog.LevelDebug, "smtp received",
			slog.Int("code", r.Code), slog.String("reply", r.String()))
	}
}
