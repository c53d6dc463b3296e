package link

import "time"

// The states of a goodbye, in Link.quit.
const (
	quitUnsaid  int32 = iota // QUIT has not been sent
	quitSaid                 // QUIT was sent, and its reply is waited for
	quitHurried              // nobody wants to wait for the reply any more
)

// Quit ends the session with QUIT. It never fails: whatever the session had
// achieved stands (RFC 5321, 4.1.1.10). It takes no longer than Limits.Quit.
func (l *Link) Quit() {
	if !l.Usable() || l.Settled(Quit) != nil {
		l.close(l.failed)
		return
	}
	deadline := time.Now().Add(l.cfg.Limits.Quit)
	defer l.closeGently(deadline) // also when a hook panics
	l.timer.SetDeadline(deadline)
	if l.Line("QUIT") == nil && l.w.Flush() == nil && !l.cfg.NoQuitWait && l.quit.CompareAndSwap(quitUnsaid, quitSaid) {
		if r, err := l.r.ReadReply(); err == nil && l.cfg.Received != nil {
			l.cfg.Received(l.Keep(r))
		}
	}
}

// Hurry has a Quit of another goroutine, that runs or will run, not wait for its
// reply.
func (l *Link) Hurry() {
	if !l.quit.CompareAndSwap(quitUnsaid, quitHurried) && l.quit.CompareAndSwap(quitSaid, quitHurried) {
		l.cut()
	}
}
