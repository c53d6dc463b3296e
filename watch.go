package submission

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/fe022423/submission/internal/link"
)

// watch is who looks on at one call: traces and the Logger. A nil watch is nobody, which
// costs a comparison for each thing that happens.
type watch struct {
	ctx    context.Context // of the call
	traces []*Trace        // in the order in which they are told
	logger *slog.Logger
	server string // what the Logger calls the server

	// Whether anyone wants to know of lines, of replies, of ends, and what a send took.
	lines, replies, closes, sends bool

	waited bool // Wait was called
	send   SendInfo
	phase  phase
	since  time.Time // when the phase began
}

// watch returns who looks on at a call under ctx.
func (c *config) watch(ctx context.Context) *watch {
	inner := tracesIn(ctx)
	idle := c.idleWatch
	if inner == nil && idle == nil {
		return nil
	}
	w := &watch{ctx: ctx, logger: c.Logger, server: c.shownAddr, traces: inner}
	switch {
	case inner == nil:
		w.traces = idle.traces
	case c.Trace != nil:
		w.traces = append(inner[:len(inner):len(inner)], c.Trace)
	}
	// Asked once: a Logger for what is above Debug must not cost a text for each line.
	w.lookFor(c.Logger != nil && c.Logger.Enabled(ctx, slog.LevelDebug))
	return w
}

// watchIdle makes what a watch needs to know of the server, and the watch on what nobody
// has called for.
func (c *config) watchIdle() {
	secrets := knownSecrets(c.auth.Reveal())
	c.shownAddr = secrets.Clean(c.addr())
	if c.Trace == nil && c.Logger == nil {
		return
	}
	c.idleWatch = &watch{ctx: context.Background(), logger: c.Logger, server: c.shownAddr}
	if c.Trace != nil {
		c.idleWatch.traces = []*Trace{c.Trace}
	}
	c.idleWatch.lookFor(c.Logger != nil) // its level may change
}

// lookFor notes what anyone wants to know; logged says that lines are logged.
func (w *watch) lookFor(logged bool) {
	w.lines, w.replies, w.sends = logged, logged, w.logger != nil
	for _, t := range w.traces {
		w.lines = w.lines || t.Sent != nil
		w.replies = w.replies || t.Received != nil
		w.closes = w.closes || t.Closed != nil
		w.sends = w.sends || t.Done != nil
	}
}

// enter puts the session under a call that w looks on at, until exit: when ctx is done, its
// connection is closed. Calls do not nest.
func (s *Session) enter(ctx context.Context, w *watch) {
	s.showTo(w)
	s.link.Begin(ctx)
}

// exit takes the session out of the call. What nobody has called for may follow.
func (s *Session) exit() {
	defer s.showTo(s.cfg.idleWatch) // also when a hook panics
	s.link.End()
}

// showTo shows what passes over the session to w from now on.
func (s *Session) showTo(w *watch) {
	s.watch = w
	var h link.Hooks
	if w == nil {
		s.link.Show(h)
		return
	}
	if w.lines {
		if s.hooks.Sent == nil {
			s.hooks.Sent = s.showLine
		}
		h.Sent = s.hooks.Sent
	}
	if w.replies {
		if s.hooks.Received == nil {
			s.hooks.Received = s.showReply
		}
		h.Received = s.hooks.Received
	}
	if w.closes {
		if s.hooks.Closed == nil {
			s.hooks.Closed = s.tellClosed
		}
		h.Closed = s.hooks.Closed
	}
	s.link.Show(h)
}

// about returns what hooks are told of the session.
func (s *Session) about() SessionInfo {
	i := s.info
	i.Messages = s.messages
	return i
}

// showLine shows a line that was sent.
func (s *Session) showLine(line string) {
	w, info := s.watch, s.about()
	for _, t := range w.traces {
		if t.Sent != nil {
			t.Sent(w.ctx, info, line)
		}
	}
	if w.logger != nil {
		w.logger.LogAttrs(w.ctx, slog.LevelDebug, "smtp sent",
			slog.Uint64("session", info.ID), slog.String("server", info.Addr), slog.String("line", line))
	}
}

// showReply shows a reply that came in.
func (s *Session) showReply(kept link.Reply) {
	w, info, r := s.watch, s.about(), makeReply(kept)
	for _, t := range w.traces {
		if t.Received != nil {
			t.Received(w.ctx, info, r)
		}
	}
	if w.logger != nil {
		w.logger.LogAttrs(w.ctx, slog.LevelDebug, "smtp received",
			slog.Uint64("session", info.ID), slog.String("server", info.Addr), slog.Int("code", r.Code), slog.String("reply", r.String()))
	}
}

// tellClosed tells that a connection was closed, and why; nil after a goodbye. The names
// of a certificate that is not trusted may hold a secret.
func (s *Session) tellClosed(why *link.Failure) {
	err := lostError(why)
	if err != nil {
		err = cleanedCause(s.secrets.CleanTLSError(err), &s.secrets)
	}
	for _, t := range s.watch.traces {
		if t.Closed != nil {
			t.Closed(s.about(), err)
		}
	}
}

// wantsWait reports whether anyone wants to know that the call waits, for the first time.
func (w *watch) wantsWait() bool {
	return w != nil && !w.waited && slices.ContainsFunc(w.traces, func(t *Trace) bool { return t.Wait != nil })
}

// waits tells that the call waits for a session.
func (w *watch) waits(s Stats) {
	w.waited = true
	for _, t := range w.traces {
		if t.Wait != nil {
			t.Wait(w.ctx, s)
		}
	}
}

// dialStart tells that a session is being opened.
func (w *watch) dialStart(addr string) {
	if w == nil {
		return
	}
	for _, t := range w.traces {
		if t.DialStart != nil {
			t.DialStart(w.ctx, addr)
		}
	}
}

// dialDone tells that a session was opened, or what kept it from being.
func (w *watch) dialDone(s SessionInfo, err error) {
	if w == nil {
		return
	}
	w.send.Session, w.send.Reused = s, false
	for _, t := range w.traces {
		if t.DialDone != nil {
			t.DialDone(w.ctx, s, err)
		}
	}
}

// tlsDone tells that a session is under TLS.
func (w *watch) tlsDone(s *Session) {
	if w == nil {
		return
	}
	for _, t := range w.traces {
		if t.TLSDone != nil {
			t.TLSDone(w.ctx, s.about(), *s.tls)
		}
	}
}

// authDone tells what came of a login.
func (w *watch) authDone(s *Session, mechanism string, err error) {
	if w == nil {
		return
	}
	for _, t := range w.traces {
		if t.AuthDone != nil {
			t.AuthDone(w.ctx, s.about(), mechanism, err)
		}
	}
}

// reuses tells that the call has a session that was used before.
func (w *watch) reuses(s *Session) {
	if w == nil {
		return
	}
	for _, t := range w.traces {
		if t.Reused != nil {
			t.Reused(w.ctx, s.about())
		}
	}
}
