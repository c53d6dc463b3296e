package submission

import (
	"container/list"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fe022423/submission/internal/link"
	"github.com/fe022423/submission/internal/transfer"
)

// pool keeps the sessions of a Client. A slot stands for a session from its dial
// until its connection is closed, the goodbye included; who holds a slot and no
// session dials one.
type pool struct {
	cfg  *config
	dial func(context.Context, *watch) (*Session, error)

	mu      sync.Mutex
	idle    []*Session // the one used last is at the end and goes out first
	members map[*Session]struct{}
	leaving map[*Session]struct{} // those that say goodbye
	slots   int                   // taken
	waiters list.List             // of *waiter: first come, first served
	bound   bound
	gone    []time.Time // when the sessions were closed that ended just now
	reaper  *time.Timer
	trier   *time.Timer
	// reliever wakes a waiter whose ride takes too long; nil when it does not run.
	reliever *time.Timer
	noRides  atomic.Bool // see noteDropped
	pace     pace        // of the verdicts
	// unfollowed is how many sessions wait for a verdict with no envelope behind.
	unfollowed int
	sends      int           // calls that began and did not end
	closed     bool          // no call may begin
	killed     error         // why those that run are cut off
	drained    chan struct{} // closed when, after closed, nothing is left; nil before
	life       context.Context
	endLife    context.CancelCauseFunc
	count      counters
}

func newPool(cfg *config, dial func(context.Context, *watch) (*Session, error)) *pool {
	p := &pool{cfg: cfg, dial: dial, members: map[*Session]struct{}{}, leaving: map[*Session]struct{}{}}
	p.life, p.endLife = context.WithCancelCause(context.Background())
	return p
}

// request is what a call asks of the pool: a session for a transaction, or for Ping.
type request struct {
	fresh bool         // one that was never used
	t     *Transaction // whose envelope may go out meanwhile, nil for none
	watch *watch       // on the call
}

// turn is what a waiter gets: a session, or with nil the slot to dial one for; or
// an error.
type turn struct {
	s    *Session
	ride *transfer.Ride // on its way over s; nil for none
	err  error
}

const (
	// probeAfter is how long a session may have rested to be used on the word of
	// its socket alone. After that a command asks whether the server still listens.
	probeAfter = time.Second
	// probeTime is how long that command may take. An address translator that
	// forgot the connection answers nothing.
	probeTime = 5 * time.Second
)

// take returns a session that nothing is known against: the idle one used last,
// or a fresh one.
func (p *pool) take(ctx context.Context, r request) (loan, error) {
	got, err := p.slot(ctx, r)
	for err == nil {
		var l loan
		if l, err = p.fill(ctx, got, r); err == nil {
			return l, nil
		}
		if !isLimit(err) || ctx.Err() != nil {
			p.free()
			break
		}
		var waits bool
		if got, waits, err = p.waitForOther(ctx, err, r); !waits {
			p.free()
		}
	}
	return loan{}, err
}

// fill makes a loan of a slot and the session in it, which may be nil. A panic of
// the caller's code on the way costs no slot.
func (p *pool) fill(ctx context.Context, got turn, r request) (l loan, err error) {
	s, done := got.s, false
	defer func() {
		switch {
		case done:
		case s != nil:
			p.drop(s)
		default:
			p.free()
		}
	}()
	if got.ride != nil {
		p.reuse(s, r)
		done = true
		return loan{s: s, reused: true, ride: got.ride}, nil
	}
	if s != nil && !r.fresh && p.fit(ctx, r.watch, s) {
		rested := since(s.resting) >= probeAfter
		if !rested || p.probe(ctx, r.watch, s) == nil && s.Usable() { // its time may have run out at that moment
			p.reuse(s, r)
			done = true
			return loan{s: s, reused: true, looked: true, asked: rested}, nil
		}
	}
	if s != nil {
		p.dismiss(ctx, r.watch, s)
		s = nil
	}
	l.s, err = p.dialMember(ctx, r.watch)
	done = true
	return l, err
}

// reuse notes that a session is used again.
func (p *pool) reuse(s *Session, r request) {
	r.watch.reuses(s)
	if r.t != nil { // Stats counts messages
		p.noteReuse()
	}
}

// dialMember dials a session of the pool.
func (p *pool) dialMember(ctx context.Context, w *watch) (*Session, error) {
	ctx, release := link.EitherDone(ctx, p.life)
	defer release()
	s, err := p.dial(ctx, w)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count.Dials++
	if err != nil {
		if ctx.Err() != nil {
			p.noteGone() // a connection may have been made, and the server may count it still
		}
		return nil, err
	}
	p.members[s] = struct{}{}
	if p.bound.dialed(p.slots, time.Now()); p.waiters.Len() > 0 {
		p.tryLater()
	}
	if p.killed != nil {
		s.link.Kill(p.killed)
	}
	return s, nil
}

// fit reports whether nothing is known against using an idle session again, a look at
// it included.
func (p *pool) fit(ctx context.Context, w *watch, s *Session) bool {
	if !s.Usable() || p.worn(s) || since(s.resting) >= p.cfg.Pool.IdleTimeout {
		return false
	}
	p.look(ctx, w, s)
	return s.Usable()
}

// look breaks a session on which the server spoke unasked, or which it ended.
func (p *pool) look(ctx context.Context, w *watch, s *Session) {
	if !s.link.Waiting() {
		return // at once, without watching ctx
	}
	s.enter(ctx, w)
	defer s.exit() // also when a hook panics
	s.link.Look(link.Noop)
}

// probe asks the server whether a session lives, within half of the time that ctx
// has left at most.
func (p *pool) probe(ctx context.Context, w *watch, s *Session) error {
	limit := probeTime
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(deadline)/2)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if p.cfg.ProbeReset {
		return s.reset(ctx, w)
	}
	return s.noop(ctx, w)
}

// worn reports whether a session has served its time.
func (p *pool) worn(s *Session) bool { return p.wornAfter(s, 0) }

// wornAfter is worn for when so many messages more have gone over the session.
func (p *pool) wornAfter(s *Session, more int) bool {
	most, limited := s.ext.Limit(limitMail)
	return s.messages+more >= p.cfg.Pool.MaxMessages || since(s.born) >= p.cfg.Pool.MaxAge || limited && s.mails+more >= most
}

// since is how much time passed since t, also while the machine slept: the clock
// that Go measures with may stand still then.
func since(t time.Time) time.Duration {
	now := time.Now()
	return max(now.Sub(t), now.Round(0).Sub(t.Round(0)))
}

// give takes a session back after a send.
func (p *pool) give(s *Session) {
	p.noteVerdict(s)
	if s.ride != nil {
		p.handOver(s)
		return
	}
	if !s.Usable() || s.unfit || p.worn(s) {
		p.retire(s)
		return
	}
	s.resting = time.Now()
	p.mu.Lock()
	if p.wake(turn{s: s}) {
		p.mu.Unlock()
		return
	}
	if p.closed && p.sends == 0 || len(p.idle) >= p.cfg.Pool.MaxIdle {
		p.mu.Unlock()
		p.retire(s)
		return
	}
	p.idle = append(p.idle, s)
	if p.reaper == nil {
		p.reaper = time.AfterFunc(p.cfg.Pool.IdleTimeout, p.reap)
	}
	p.mu.Unlock()
}

// ping takes a session that the server answers over, and gives it back.
func (p *pool) ping(ctx context.Context) error {
	r := request{watch: p.cfg.watch(ctx)}
	if err := p.enter(); err != nil {
		return err
	}
	defer p.leave()
	l, err := p.take(ctx, r)
	if err == nil && !p.giveAnswering(ctx, r.watch, l) {
		r.fresh = true
		if l, err = p.take(ctx, r); err == nil {
			p.give(l.s)
		}
	}
	return err
}

// giveAnswering takes a session back, and reports whether the server answers over it.
func (p *pool) giveAnswering(ctx context.Context, w *watch, l loan) (answers bool) {
	defer func() { // also when a hook panics
		l.s.unfit = l.s.unfit || !answers
		p.give(l.s)
	}()
	return !l.reused || l.asked || p.probe(ctx, w, l.s) == nil
}
