package submission

import (
	"context"
	"strconv"
	"time"

	"github.com/fe022423/submission/internal/link"
)

// slot waits for a slot and returns it with the session that is in it, if any. For a
// request for a fresh one that is one to take the place of: the call goes first, since it
// had its turn before.
func (p *pool) slot(ctx context.Context, r request) (turn, error) {
	if ctx.Err() != nil {
		return turn{}, givenUp(StageWait, ctx)
	}
	p.mu.Lock()
	room := p.slots < p.bound.limit(p.cfg.Pool.MaxSessions, time.Now())
	n := len(p.idle)
	switch {
	case p.killed != nil:
		p.mu.Unlock()
		return turn{}, p.killed
	case n > 0 && !(r.fresh && room):
		s := p.popIdle()
		p.mu.Unlock()
		return turn{s: s}, nil
	case room:
		p.slots++
		p.mu.Unlock()
		return turn{}, nil
	}
	return p.wait(ctx, r.fresh, r)
}

// popIdle takes the session used last of those that rest, of which there is one. The
// pool is locked.
func (p *pool) popIdle() *Session {
	last := len(p.idle) - 1
	s := p.idle[last]
	p.idle = p.idle[:last]
	return s
}

// wait waits for a turn, the first one with front. The pool is locked, and is not any
// more when wait returns. Meanwhile the envelope of r may go out, if its message is
// held back whole.
func (p *pool) wait(ctx context.Context, front bool, r request) (turn, error) {
	w := &waiter{turn: make(chan turn, 1)}
	if t := r.t; t != nil && !t.fresh && t.spool.Whole() {
		w.t = t
	}
	push := p.waiters.PushBack
	if front {
		push = p.waiters.PushFront
	}
	w.place = push(w)
	defer w.withdraw()
	p.count.WaitCount++
	p.tryLater()
	leaving := p.oneToHurry()
	var figures Stats
	tells := r.watch.wantsWait()
	if tells {
		figures = p.figures()
	}
	p.mu.Unlock()
	had := false
	defer func() { // also when the hook panics
		if !had {
			p.abandon(w)
		}
	}()
	if leaving != nil {
		leaving.link.Hurry()
	}
	began := time.Now()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.count.WaitDuration += time.Since(began)
	}()
	if tells {
		r.watch.waits(figures)
	}
	select {
	case got := <-w.turn:
		had = true
		return got, got.err
	case <-ctx.Done():
		return turn{}, p.gaveUp(ctx)
	}
}

// abandon takes a waiter out of its place. A turn that came at the same moment goes on to
// the next one.
func (p *pool) abandon(w *waiter) {
	p.mu.Lock()
	select {
	case got := <-w.turn:
		p.mu.Unlock()
		switch {
		case got.ride != nil:
			p.hearOut(got.s, got.ride)
		case got.s != nil:
			p.give(got.s)
		case got.err == nil:
			p.free()
		}
	default:
		p.leaveQueue(w)
		p.mu.Unlock()
	}
}

// gaveUp is the error of a caller who waited in vain.
func (p *pool) gaveUp(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	// Not by fmt, for which the stacks of thousands would have to grow.
	text := "waiting for one of " + strconv.Itoa(p.cfg.Pool.MaxSessions) + " sessions (PoolOptions.MaxSessions)"
	if n := p.bound.n; n > 0 && n < p.cfg.Pool.MaxSessions {
		text = "waiting for one of " + strconv.Itoa(n) + " sessions, as many as the server allowed"
	}
	return &linkError{stage: StageWait, text: text, err: link.CauseOf(ctx)}
}

// oneToHurry returns a session whose slot somebody waits for, so that its goodbye may
// end; nil for none. The pool is locked.
func (p *pool) oneToHurry() *Session {
	if p.hurries() {
		for s := range p.leaving {
			return s
		}
	}
	return nil
}

// free gives a slot without a session back.
func (p *pool) free() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.slots--
	p.handOut()
	p.checkDrained()
}

// handOut gives the slots that there may be to those who wait. The pool is locked.
func (p *pool) handOut() {
	for p.slots < p.bound.limit(p.cfg.Pool.MaxSessions, time.Now()) && p.wake(turn{}) {
		p.slots++
	}
}
