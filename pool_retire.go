package submission

import (
	"context"
	"log/slog"
	"time"

	"github.com/fe022423/submission/internal/link"
)

// reap closes the sessions that rested too long.
func (p *pool) reap() {
	p.mu.Lock()
	var old []*Session
	for len(p.idle) > 0 && since(p.idle[0].resting) >= p.cfg.Pool.IdleTimeout {
		old = append(old, p.idle[0])
		p.idle = p.idle[1:]
	}
	p.reaper = nil
	if len(p.idle) > 0 {
		p.reaper = time.AfterFunc(p.cfg.Pool.IdleTimeout-since(p.idle[0].resting), p.reap)
	}
	p.mu.Unlock()
	for _, s := range old {
		p.retireHere(s)
	}
}

// retire closes a session, whose slot it frees, in the background: its goodbye must
// not make a send wait that has its verdict.
func (p *pool) retire(s *Session) {
	p.mu.Lock()
	p.leaving[s] = struct{}{}
	p.count.Retired++
	hurry := p.waiters.Len() > 0 && p.hurries()
	p.mu.Unlock()
	if hurry {
		s.link.Hurry()
	}
	if !s.Usable() { // does not wait
		defer p.vacate(s)
		s.Close()
		return
	}
	go func() {
		defer p.vacate(s)
		defer p.logPanic()
		s.Close()
	}()
}

// retireHere is retire on a goroutine of the pool's own.
func (p *pool) retireHere(s *Session) {
	defer p.logPanic()
	p.retire(s)
}

// dismiss closes a session, and keeps its slot.
func (p *pool) dismiss(ctx context.Context, w *watch, s *Session) {
	p.mu.Lock()
	p.count.Retired++
	hurry := p.hurries()
	p.mu.Unlock()
	defer p.remove(s)
	if hurry {
		s.link.Hurry()
	}
	s.enter(ctx, w)
	defer s.exit()
	s.Close()
}

// hurries reports whether a send that wants the slot of a session does not wait for
// the reply to its QUIT. A server that counts sessions must have heard of the end
// before it allows another one. The pool is locked.
func (p *pool) hurries() bool {
	return p.bound.limit(p.cfg.Pool.MaxSessions, time.Now()) >= p.cfg.Pool.MaxSessions
}

// drop closes a session that code of the caller's left by a panic, without a word to
// the server, and frees its slot.
func (p *pool) drop(s *Session) {
	defer p.vacate(s)
	s.link.Break(&link.Failure{Kind: link.GivenUp, Step: link.Quit})
}

// vacate frees the slot of a session that was closed.
func (p *pool) vacate(s *Session) {
	p.remove(s)
	p.free()
}

func (p *pool) remove(s *Session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.members, s)
	delete(p.leaving, s)
	p.noteGone()
}

// logPanic catches a panic of the caller's code on a goroutine of the pool's own,
// where nobody else could.
func (p *pool) logPanic() {
	if r := recover(); r != nil {
		p.cfg.logPanic(r)
	}
}

// logPanic tells of a panic that was caught.
func (c *config) logPanic(r any) {
	defer func() { recover() }() // the Logger may be what panics
	logger := c.Logger
	if logger == nil {
		logger = slog.Default()
	}
	logger.Error("panic in a hook of Trace or Logger, or in a connection", "panic", r)
}
