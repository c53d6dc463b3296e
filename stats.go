package submission

import "time"

// Stats are the figures of a Client, in the manner of sql.DBStats. Those from Dials on
// only grow.
type Stats struct {
	MaxSessions int // PoolOptions.MaxSessions
	Bound       int // as many sessions as the server was seen to allow; 0 as long as it has refused none
	Open        int // sessions whose connection is not closed, those being opened included
	Idle        int // of them unused
	InUse       int // of them lent to a send or a Ping, or being opened for one
	Waiting     int // sends and Pings that wait for a session

	Dials    uint64 // sessions that were opened, or tried to be
	Reused   uint64 // messages that met a session used before; a Ping is none
	Retired  uint64 // sessions that were closed by the Client
	Restarts uint64 // messages that started once more on a fresh session

	// Messages by what became of them.
	Sent, PartlySent, NotSent, Unknown uint64

	WaitCount    uint64        // how often a send or a Ping had to wait for a session
	WaitDuration time.Duration // for how long, in all
}

// counters are the part of Stats that only grows.
type counters struct {
	Dials, Reused, Retired, Restarts   uint64
	Sent, PartlySent, NotSent, Unknown uint64
	WaitCount                          uint64
	WaitDuration                       time.Duration
}

func (p *pool) stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.figures()
}

// figures is stats for when the pool is locked.
func (p *pool) figures() Stats {
	c := &p.count
	return Stats{
		MaxSessions: p.cfg.Pool.MaxSessions, Bound: p.bound.n,
		Open: p.slots, Idle: len(p.idle), InUse: p.slots - len(p.idle) - len(p.leaving), Waiting: p.waiters.Len(),
		Dials: c.Dials, Reused: c.Reused, Retired: c.Retired, Restarts: c.Restarts,
		Sent: c.Sent, PartlySent: c.PartlySent, NotSent: c.NotSent, Unknown: c.Unknown,
		WaitCount: c.WaitCount, WaitDuration: c.WaitDuration,
	}
}

// noteOutcome counts a message that is over. A nil error means that it was sent.
func (p *pool) noteOutcome(e *SendError) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case e == nil:
		p.count.Sent++
	case e.Outcome == PartlySent:
		p.count.PartlySent++
	case e.Outcome == Unknown:
		p.count.Unknown++
	default:
		p.count.NotSent++
	}
}

func (p *pool) noteReuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count.Reused++
}

func (p *pool) noteRestart() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count.Restarts++
}
