package submission

import (
	"context"
	"sync"
	"time"

	"github.com/fe022423/submission/internal/link"
)

// probeAfter is how long a session may have idled to be used on the word of its
// socket alone. After that a command asks whether the server still listens.
const probeAfter = time.Second

// pool keeps the sessions of a Client. A slot stands for one session, open or
// being opened; who holds a slot and no session dials one.
type pool struct {
	cfg  *config
	dial func(context.Context) (*Session, error)

	mu      sync.Mutex
	idle    []*Session  // the one used last is at the end and goes out first
	slots   int         // taken
	waiters []chan turn // first come, first served
	closed  bool
	reaper  *time.Timer
	sends   sync.WaitGroup // slots in use by a send
	quits   sync.WaitGroup // sessions being closed in the background
}

// turn is what a waiter gets: a session, or with nil the leave to dial one.
type turn struct{ s *Session }

// take returns a session that nothing is known against: the idle one used last,
// or a fresh one in its place. With fresh it dials in any case.
func (p *pool) take(ctx context.Context, fresh bool) (loan, error) {
	s, err := p.slot(ctx)
	if err != nil {
		return loan{}, err
	}
	taken := false
	defer func() { // an Auth or a Trace of the caller's may panic
		if !taken {
			p.free()
		}
	}()
	if s != nil {
		if !fresh && p.alive(ctx, s) {
			taken = true
			s.announce(true)
			return loan{s: s, reused: true, looked: true}, nil
		}
		p.retire(s)
	}
	s, err = p.dial(ctx)
	taken = err == nil
	return loan{s: s}, err
}

// slot waits for a slot and returns it with the session that is in it, if any.
func (p *pool) slot(ctx context.Context) (*Session, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, ErrClosed
	}
	if n := len(p.idle); n > 0 {
		s := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.sends.Add(1)
		p.mu.Unlock()
		return s, nil
	}
	if p.slots < p.cfg.Pool.MaxSessions {
		p.slots++
		p.sends.Add(1)
		p.mu.Unlock()
		return nil, nil
	}
	ch := make(chan turn, 1)
	p.waiters = append(p.waiters, ch)
	p.mu.Unlock()
	select {
	case t, ok := <-ch:
		if !ok {
			return nil, ErrClosed
		}
		return t.s, nil
	case <-ctx.Done():
		p.leave(ch)
		return nil, givenUp(StageDial, ctx)
	}
}

// leave takes a waiter off the list. A turn that came at the same moment goes on
// to the next.
func (p *pool) leave(ch chan turn) {
	p.mu.Lock()
	for i, w := range p.waiters {
		if w == ch {
			p.waiters = append(p.waiters[:i], p.waiters[i+1:]...)
			p.mu.Unlock()
			return
		}
	}
	p.mu.Unlock()
	if t, ok := <-ch; ok {
		if t.s != nil {
			p.give(t.s)
		} else {
			p.free()
		}
	}
}

// alive reports whether an idle session may be used again.
func (p *pool) alive(ctx context.Context, s *Session) bool {
	idled := time.Since(s.resting)
	if !s.Usable() || p.worn(s) || idled >= p.cfg.Pool.IdleTimeout {
		return false
	}
	if s.link.Look(link.Noop) != nil {
		return false
	}
	if idled < probeAfter {
		return true
	}
	if p.cfg.ProbeReset {
		return s.Reset(ctx) == nil
	}
	return s.Noop(ctx) == nil
}

// worn reports whether a session has served its time.
func (p *pool) worn(s *Session) bool {
	return s.messages >= p.cfg.Pool.MaxMessages || time.Since(s.born) >= p.cfg.Pool.MaxAge
}

// give takes a session back after a send.
func (p *pool) give(s *Session) {
	if !s.Usable() || s.unfit || p.worn(s) {
		p.retire(s)
		p.free()
		return
	}
	s.resting = time.Now()
	p.mu.Lock()
	if p.wake(turn{s}) {
		p.mu.Unlock()
		return
	}
	if p.closed || len(p.idle) >= p.cfg.Pool.MaxIdle {
		p.mu.Unlock()
		p.retire(s)
		p.free()
		return
	}
	p.idle = append(p.idle, s)
	if p.reaper == nil {
		p.reaper = time.AfterFunc(p.cfg.Pool.IdleTimeout, p.reap)
	}
	p.mu.Unlock()
	p.sends.Done()
}

// free gives a slot without a session back.
func (p *pool) free() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.wake(turn{}) {
		p.slots--
		p.sends.Done()
	}
}

// wake hands a turn, and the send that it is part of, to the first waiter.
func (p *pool) wake(t turn) bool {
	if len(p.waiters) == 0 {
		return false
	}
	ch := p.waiters[0]
	p.waiters = p.waiters[1:]
	ch <- t
	return true
}

// reap closes the sessions that idled too long.
func (p *pool) reap() {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return
	}
	p.quits.Add(1)
	defer p.quits.Done()
	var old []*Session
	for len(p.idle) > 0 && time.Since(p.idle[0].resting) >= p.cfg.Pool.IdleTimeout {
		old = append(old, p.idle[0])
		p.idle = p.idle[1:]
		p.slots--
	}
	p.reaper = nil
	if len(p.idle) > 0 {
		p.reaper = time.AfterFunc(p.cfg.Pool.IdleTimeout-time.Since(p.idle[0].resting), p.reap)
	}
	p.mu.Unlock()
	for _, s := range old {
		p.retire(s)
	}
}

// retire closes a session in the background: its goodbye must not make a send
// wait that has its verdict. Close waits for it.
func (p *pool) retire(s *Session) {
	if !s.Usable() {
		s.Close() // does not wait
		return
	}
	p.quits.Add(1)
	go func() {
		defer p.quits.Done()
		s.Close()
	}()
}

// close refuses new sends and those that wait, lets those that run end, and
// closes every session.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	for _, ch := range p.waiters {
		close(ch)
	}
	p.waiters = nil
	if p.reaper != nil {
		p.reaper.Stop()
		p.reaper = nil
	}
	idle := p.idle
	p.idle = nil
	p.slots -= len(idle)
	p.mu.Unlock()
	for _, s := range idle {
		p.retire(s)
	}
	p.sends.Wait()
	p.quits.Wait()
}
