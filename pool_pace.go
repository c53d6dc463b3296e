package submission

import "time"

// pace is how long the server takes for its verdicts: the mean, and how far from it they
// are in the mean. New ones count most, as with the round trips of TCP (RFC 6298, 2).
type pace struct {
	mean, off time.Duration
	known     bool
}

// note adds a verdict.
func (p *pace) note(took time.Duration) {
	if !p.known {
		*p = pace{mean: took, off: 0, known: true}
		return
	}
	p.off += ((took - p.mean).Abs() - p.off) / 4
	p.mean += (took - p.mean) / 8
}

// littleOff is a difference of verdicts that is never too much for a shared flight: a busy
// machine makes that much.
const littleOff = 2 * time.Millisecond

// even reports whether verdicts come about as late as each other over so many sessions: they
// differ by less than half the time from one turn to the next. Then a send whose envelope is on
// its way over one session has its turn in its order. Otherwise another session would be
// free before, for a send that came later.
func (p *pace) even(sessions int) bool {
	return sessions <= 1 || p.off <= max(littleOff, p.mean/time.Duration(2*sessions))
}

const (
	// leastPatience and mostPatience bound how long a waiter is left to the session that its
	// envelope is on, although another one could take it: a session that owes replies to a
	// send that has gone is of little use. The message in front may be a slow one, or its
	// line dead.
	leastPatience = 250 * time.Millisecond // a lost packet takes about that long
	mostPatience  = 5 * time.Second
)

// patience is how long a verdict may take that is still a usual one.
func (p *pace) patience() time.Duration {
	if !p.known {
		return mostPatience
	}
	return min(max(2*p.mean+4*p.off, leastPatience), mostPatience)
}

// noteVerdict notes how long a session waited for the verdict on its message.
func (p *pool) noteVerdict(s *Session) {
	if s.ended.IsZero() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.Usable() {
		p.pace.note(time.Since(s.ended))
	}
	if s.unfollowed {
		p.unfollowed--
	}
	s.ended, s.unfollowed = time.Time{}, false
}
