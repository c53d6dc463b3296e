package submission

import (
	"container/list"
	"sync"
	"time"

	"github.com/fe022423/submission/internal/link"
	"github.com/fe022423/submission/internal/transfer"
)

// waiter is a call that waits for its turn.
type waiter struct {
	turn chan turn
	// The pool guards these.
	place  *list.Element // among those who wait; nil when it had its turn, or left
	ride   *ride         // that its envelope is on, nil for none
	boards bool          // its envelope is being written

	mu sync.Mutex   // held while t is read
	t  *Transaction // whose envelope may ride; nil when it may not
}

// withdraw makes sure that nobody reads the transaction any more.
func (w *waiter) withdraw() {
	w.mu.Lock()
	w.t = nil
	w.mu.Unlock()
}

// ride is the envelope of a send that waits, on its way after the message of another.
// When that one has its verdict the waiter takes the session over. Until then it stays
// in its place among those who wait: what goes wrong costs it nothing, since none of
// its message was sent, and a session that is free earlier may come to it.
type ride struct {
	*transfer.Ride
	waiter *waiter
	since  time.Time
}

// rides reports whether a waiter is better left to the session that its envelope is on. The
// pool is locked.
func (p *pool) rides(w *waiter) bool {
	return w.boards || w.ride != nil && time.Since(w.ride.since) < p.pace.patience()
}

// follow appends to the end of a message on s the first flight of the send whose turn it
// will be on s.
func (p *pool) follow(s *Session, end []byte) []byte {
	p.mu.Lock()
	r := p.follower(s)
	s.ended = time.Now()
	if r == nil {
		s.unfollowed = true
		p.unfollowed++
	}
	p.mu.Unlock()
	if r == nil {
		return end
	}
	return r.Board(s.link, end)
}

// follower returns the ride of a send on s; nil for none. The pool is locked, but for the
// time in which the envelope is written.
func (p *pool) follower(s *Session) *ride {
	if p.noRides.Load() || p.wornAfter(s, 1) || !p.pace.even(p.slots) {
		return nil // the next message is not for this session, or another one may be free earlier
	}
	w := p.firstFree(p.soonFree())
	if w == nil {
		return nil
	}
	w.boards = true
	p.mu.Unlock()
	r := w.board(s)
	p.mu.Lock()
	w.boards = false
	switch {
	case r == nil:
		p.serveIdle() // one may have come to rest meanwhile
		return nil
	case w.place == nil:
		return nil // it has had its turn, or left
	}
	w.ride, s.ride = r, r
	return r
}

// board writes the first flight of the waiter's envelope as it is for a session; nil
// when the message is not held back whole, does not fit what is offered there, or
// goes out in one flight anyway.
func (w *waiter) board(s *Session) *ride {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.t == nil {
		return nil
	}
	a := attempt{plan: &w.t.plan, offer: s.ext, secure: s.tls != nil}
	if a.admit(); a.refused != nil || s.helloOutdated && a.lacks != nil {
		return nil
	}
	if _, left := w.t.choose(&a, s); left > 0 {
		return nil
	}
	mode := a.mode(w.t.cfg, &w.t.spool, w.t.restASCII)
	if a.refused != nil || w.t.mayShareFlight(mode) {
		return nil
	}
	s.domains.add(&a)
	return &ride{Ride: transfer.NewRide(&a, mode), waiter: w, since: time.Now()}
}

// soonFree returns how many sessions wait for a verdict with no envelope behind. They have it
// before the one whose message ends only now, so they are for those who came first. One that
// waits longer than usual does not count. The pool is locked.
func (p *pool) soonFree() (n int) {
	if p.unfollowed == 0 {
		return 0
	}
	patience := p.pace.patience()
	for s := range p.members {
		if s.unfollowed && time.Since(s.ended) < patience {
			n++
		}
	}
	return n
}

// firstFree returns the waiter that has so many in front of it who do not ride, and does not
// ride itself; nil when there is none. The pool is locked.
func (p *pool) firstFree(behind int) *waiter {
	for e := p.waiters.Front(); e != nil; e = e.Next() {
		w := e.Value.(*waiter)
		if p.rides(w) {
			continue
		}
		if behind == 0 {
			return w
		}
		behind--
	}
	return nil
}

// handOver gives a session whose message has its verdict to the send whose envelope
// followed. Where that has gone meanwhile, what is owed to it is heard first.
func (p *pool) handOver(s *Session) {
	r := s.ride
	s.ride = nil
	fit := s.Usable() && !s.unfit
	p.mu.Lock()
	waits := r.waiter.ride == r
	switch {
	case waits && fit:
		p.serve(r.waiter, turn{s: s, ride: r.Ride})
	default:
		p.alight(r)
	}
	p.mu.Unlock()
	switch {
	case waits && fit:
	case fit:
		p.hearOut(s, r.Ride)
	default:
		defer p.retire(s) // also when a hook panics
		if refusesRides(s.link.Failure()) {
			p.noteDropped()
		}
		s.link.Break(&link.Failure{Kind: link.GivenUp, Step: link.Quit})
	}
}

// refusesRides reports whether a session broke because the server refused for good what it
// read together with the end of a message.
func refusesRides(why *link.Failure) bool {
	return why != nil && why.Kind == link.Unasked && why.Step == link.Final && why.Reply.Code/100 == 5
}

// hearOut hears what a session owes to a send that has gone, in the background, and
// takes the session back.
func (p *pool) hearOut(s *Session, r *transfer.Ride) {
	go func() {
		defer p.logPanic()
		done := false
		defer func() {
			if !done {
				p.drop(s)
			}
		}()
		s.mails++
		s.enter(p.life, p.cfg.idleWatch)
		r.GiveUp(s.link)
		s.exit()
		if r.Dropped() {
			p.noteDropped()
		}
		done = true
		p.give(s)
	}()
}

// alight makes a waiter one that does not ride any more. The pool is locked.
func (p *pool) alight(r *ride) {
	if r.waiter.ride == r {
		r.waiter.ride = nil
		p.serveIdle()
	}
}

// serveIdle gives the sessions that rest to those who wait and do not ride. The pool is
// locked.
func (p *pool) serveIdle() {
	for len(p.idle) > 0 {
		if s := p.popIdle(); !p.wake(turn{s: s}) {
			p.idle = append(p.idle, s)
			return
		}
	}
}

// relieveLater has the waiters, who all ride, looked at again when the first of them has
// done so for too long. The pool is locked.
func (p *pool) relieveLater() {
	if p.reliever != nil || p.waiters.Len() == 0 {
		return
	}
	left := p.pace.patience()
	for e := p.waiters.Front(); e != nil; e = e.Next() {
		if r := e.Value.(*waiter).ride; r != nil {
			left = min(left, p.pace.patience()-time.Since(r.since))
		}
	}
	p.reliever = time.AfterFunc(left, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.reliever = nil
		p.serveIdle()
		p.handOut()
	})
}

// noteDropped has nothing ride any more: the server drops what it reads together with
// the end of a message, or refuses it.
func (p *pool) noteDropped() { p.noRides.Store(true) }

// serve gives a waiter its turn. The pool is locked.
func (p *pool) serve(w *waiter, t turn) {
	p.leaveQueue(w)
	w.turn <- t
}

// leaveQueue takes a waiter out of its place. The pool is locked.
func (p *pool) leaveQueue(w *waiter) {
	p.waiters.Remove(w.place)
	w.place, w.ride = nil, nil
}
