package submission

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fe022423/submission/internal/link"
)

// slot waits for a slot and returns it with the session that is in it, if any. With
// fresh that is one to take the place of: the call goes first, since it had its turn
// before.
func (p *pool) slot(ctx context.Context, fresh bool) (*Session, error) {
	if ctx.Err() != nil {
		return nil, givenUp(StageWait, ctx)
	}
	p.mu.Lock()
	room := p.slots < p.bound.limit(p.cfg.Pool.MaxSessions, time.Now())
	n := len(p.idle)
	switch {
	case p.killed != nil:
		p.mu.Unlock()
		return nil, p.killed
	case n > 0 && !(fresh && room):
		s := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return s, nil
	case room:
		p.slots++
		p.mu.Unlock()
		return nil, nil
	}
	return p.wait(ctx, fresh)
}

// wait waits for a turn, the first one with front. The pool is locked, and is not any
// more when wait returns.
func (p *pool) wait(ctx context.Context, front bool) (*Session, error) {
	ch := make(chan turn, 1)
	push := p.waiters.PushBack
	if front {
		push = p.waiters.PushFront
	}
	place := push(ch)
	p.count.WaitCount++
	leaving := p.oneToHurry()
	p.mu.Unlock()
	if leaving != nil {
		leaving.link.Hurry()
	}
	began := time.Now()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.count.WaitDuration += time.Since(began)
	}()
	select {
	case t := <-ch:
		return t.s, t.err
	case <-ctx.Done():
	}
	p.mu.Lock()
	select {
	case t := <-ch: // a turn came at the same moment: it goes on to the next
		p.mu.Unlock()
		if t.s != nil {
			p.give(t.s)
		} else if t.err == nil {
			p.free()
		}
	default:
		p.waiters.Remove(place)
		p.mu.Unlock()
	}
	return nil, p.gaveUp(ctx)
}

// gaveUp is the error of a caller who waited in vain.
func (p *pool) gaveUp(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	text := fmt.Sprintf("waiting for one of %d sessions (PoolOptions.MaxSessions)", p.cfg.Pool.MaxSessions)
	if n := p.bound.n; n > 0 && n < p.cfg.Pool.MaxSessions {
		text = fmt.Sprintf("waiting for one of %d sessions, as many as the server allowed", n)
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
	for p.slots < p.bound.limit(p.cfg.Pool.MaxSessions, time.Now()) && p.wake(turn{}) {
		p.slots++
	}
	p.checkDrained()
}

// wake hands a turn to the first waiter.
func (p *pool) wake(t turn) bool {
	first := p.waiters.Front()
	if first == nil {
		return false
	}
	p.waiters.Remove(first).(chan turn) <- t
	return true
}

// waitForOther waits for a session that lives, after a dial was refused because the
// server allows no more of them, and gives the slot back that the dial was for. One
// that says goodbye lives until its connection is closed, and for a moment longer: the
// server may not have noticed yet. waits is false when there is no such session: then
// err is the error of the dial, and the slot is still the caller's.
func (p *pool) waitForOther(ctx context.Context, refused error) (s *Session, waits bool, err error) {
	p.mu.Lock()
	others := p.slots - 1
	justGone := time.Since(p.goneAt) < noticeTime
	if others < 1 {
		p.mu.Unlock()
		if justGone && pause(ctx, p.life) {
			return nil, true, nil
		}
		return nil, false, refused
	}
	switch now := time.Now(); {
	case !justGone:
		p.bound.refused(others, now)
	case p.bound.n == 0: // the server counts one more, perhaps several
		p.bound.refused(others+1, now)
	}
	p.slots--
	if n := len(p.idle); n > 0 {
		s = p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return s, true, nil
	}
	s, err = p.wait(ctx, true)
	return s, true, err
}

const (
	// noticeTime is how long a server may take to notice that a session has ended.
	noticeTime = time.Second
	// pauseTime is the time between two dials meanwhile.
	pauseTime = 100 * time.Millisecond
)

// pause waits for pauseTime. It returns false when either context is done first.
func pause(ctx, life context.Context) bool {
	timer := time.NewTimer(pauseTime)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-life.Done():
	}
	return false
}

// isLimit reports whether an error of a dial may mean that the server allows no
// more sessions: a 4yz, a 421 or an end at the greeting, EHLO or AUTH, or an end
// where TLS was to begin.
func isLimit(err error) bool {
	var reply *Reply
	stage := StageDial
	switch err := err.(type) {
	case *ConnectError:
		reply, stage = err.Reply, err.Stage
	case *AuthError:
		reply, stage = err.Reply, StageAuth
	case *TLSError:
		stage = StageTLS
	}
	switch stage {
	case StageGreeting, StageHello, StageAuth, StageTLS:
	default:
		return false
	}
	if reply != nil {
		return mayPass(reply)
	}
	var lost *linkError
	return errors.As(err, &lost) && lost.ended
}

// bound is how many sessions the server was seen to allow. It is believed for some
// minutes; then one more is tried.
type bound struct {
	n     int // 0: nothing is known
	until time.Time
}

// believeBound is how long a bound is believed before one more session is tried.
const believeBound = 3 * time.Minute

// limit is how many sessions there may be.
func (b *bound) limit(most int, now time.Time) int {
	switch {
	case b.n == 0:
		return most
	case now.Before(b.until):
		return min(b.n, most)
	}
	return min(b.n+1, most)
}

// refused notes that the server allows n sessions and not one more.
func (b *bound) refused(n int, now time.Time) {
	if b.n == 0 || n < b.n || !now.Before(b.until) {
		b.n = n
	}
	b.until = now.Add(believeBound)
}

// dialed notes that the server allows n sessions.
func (b *bound) dialed(n int, now time.Time) {
	if b.n > 0 && n > b.n && !now.Before(b.until) {
		b.n, b.until = n, now.Add(believeBound)
	}
}
