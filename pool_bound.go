package submission

import (
	"context"
	"errors"
	"time"

	"github.com/fe022423/submission/internal/link"
)

// waitForOther waits for a session that lives, after a dial was refused because the
// server allows no more of them, and gives the slot back that the dial was for. One
// that says goodbye lives until its connection is closed, and for a moment longer: the
// server may not have noticed yet. waits is false when there is no such session: then
// err is the error of the dial, and the slot is still the caller's.
func (p *pool) waitForOther(ctx context.Context, refused error, r request) (got turn, waits bool, err error) {
	p.mu.Lock()
	now := time.Now()
	others, gone := p.slots-1, len(p.goneJustNow(now))
	if others < 1 {
		p.mu.Unlock()
		switch {
		case gone == 0:
			return turn{}, false, refused
		case pause(ctx, p.life):
			return turn{}, true, nil
		}
		done := ctx
		if ctx.Err() == nil {
			done = p.life
		}
		text := "waiting for the server to forget a session that ended: " + detail(refused)
		return turn{}, false, &linkError{stage: StageWait, text: text, err: link.CauseOf(done)}
	}
	p.bound.refused(others+gone, now)
	if gone > 0 {
		p.bound.hold(others, now)
	}
	p.slots--
	if len(p.idle) > 0 {
		got.s = p.popIdle()
		p.mu.Unlock()
		return got, true, nil
	}
	got, err = p.wait(ctx, true, r)
	return got, true, err
}

const (
	// noticeTime is how long a server may take to notice that a session has ended.
	noticeTime = time.Second
	// pauseTime is the time between two dials meanwhile.
	pauseTime = 100 * time.Millisecond
)

// goneJustNow returns when the sessions were closed that the server may not have
// noticed the end of. The pool is locked.
func (p *pool) goneJustNow(now time.Time) []time.Time {
	for len(p.gone) > 0 && now.Sub(p.gone[0]) >= noticeTime {
		p.gone = p.gone[1:]
	}
	return p.gone
}

// noteGone notes that a connection was closed. The pool is locked.
func (p *pool) noteGone() {
	now := time.Now()
	p.gone = append(p.goneJustNow(now), now)
}

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
// more sessions: a 4yz, a 421 or an end at the greeting, EHLO or AUTH, or where TLS
// was to begin. A connection that is reset at once may look like one that failed.
func isLimit(err error) bool {
	var reply *Reply
	stage := StageDial
	switch err := err.(type) {
	case *ConnectError:
		reply, stage = err.Reply, err.Stage
	case *AuthError:
		reply, stage = err.Reply, StageAuth
	case *TLSError:
		reply, stage = clearReply(err.Err), StageTLS
	}
	switch stage {
	case StageDial, StageGreeting, StageHello, StageAuth, StageTLS:
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

	held      int // so many for a moment, whatever n is
	heldUntil time.Time
}

// believeBound is how long a bound is believed before one more session is tried.
const believeBound = 3 * time.Minute

// limit is how many sessions there may be.
func (b *bound) limit(most int, now time.Time) int {
	if now.Before(b.heldUntil) {
		most = min(b.held, most)
	}
	switch {
	case b.n == 0:
		return most
	case now.Before(b.until):
		return min(b.n, most)
	}
	return min(b.n+1, most)
}

// growsIn is how long it takes until there may be more sessions than now; ok is false
// when time alone does not change that.
func (b *bound) growsIn(now time.Time) (d time.Duration, ok bool) {
	switch {
	case now.Before(b.heldUntil):
		return b.heldUntil.Sub(now), true
	case b.n > 0 && now.Before(b.until):
		return b.until.Sub(now), true
	}
	return 0, false
}

// hold has no more than n sessions for as long as the server may not have noticed the
// end of others.
func (b *bound) hold(n int, now time.Time) { b.held, b.heldUntil = n, now.Add(noticeTime) }

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

// tryLater has one more session tried when the time of the bound is over, also when
// everybody waits. The pool is locked.
func (p *pool) tryLater() {
	grows, ok := p.bound.growsIn(time.Now())
	if !ok {
		return
	}
	if p.trier != nil {
		p.trier.Stop()
	}
	p.trier = time.AfterFunc(grows, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.handOut() // whoever dials then learns more
	})
}

// wake hands a turn to the first waiter that does not ride. The pool is locked.
func (p *pool) wake(t turn) bool {
	w := p.firstFree(0)
	if w == nil {
		p.relieveLater()
		return false
	}
	p.serve(w, t)
	return true
}
