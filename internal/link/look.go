package link

import "time"

const (
	// lookTime is how long a look reads from a connection that cannot be asked
	// what waits on it, and the least it gives a read of octets that wait.
	lookTime = time.Millisecond
	// maxLookTime bounds a look at octets that wait and are not given out. A
	// process that sleeps in between costs a look its time, so the time is doubled
	// until octets or none are there, never taken for an answer.
	maxLookTime = time.Second
)

// inputReporter is what a connection may implement that is not a socket, so that a
// look costs no waiting: whether a Read would return at once, and whether that is
// known.
type inputReporter interface {
	InputWaiting() (waiting, known bool)
}

// Waiting reports whether the server has said something, or hung up, that nobody
// asked for. It takes no octet away. Every connection is looked at, each in its
// way: a socket is asked; what stands on a socket, as TLS does, is read for what
// it holds already, and then the socket is asked; anything else is read for a
// millisecond.
func (l *Link) Waiting() bool {
	if l.held() {
		return true
	}
	there, known := l.input.waiting()
	if !known {
		return l.readAwake()
	}
	if len(l.layers) == 1 {
		return there
	}
	// The octets may be no more than a session ticket of TLS. They are read; while
	// they are still there afterwards, they have not been read yet.
	for limit := lookTime; there; limit *= 2 {
		if l.readUntil(time.Now().Add(limit)) || limit > maxLookTime {
			return true
		}
		there, _ = l.input.waiting()
	}
	return false
}

// WaitingCheaply is Waiting where it takes no time: for what was read from the
// raw connection already, and on one that can be asked.
func (l *Link) WaitingCheaply() bool {
	if l.held() {
		return true
	}
	there, known := l.input.waiting()
	return known && there && l.Waiting()
}

// Arrived is WaitingCheaply for the middle of a message, where there is a look for each
// block: it leaves out what stands above the raw connection, which costs a read. The
// look before the end of the message sees that.
func (l *Link) Arrived() bool {
	if l.r.Buffered() > 0 {
		return true
	}
	there, known := l.input.waiting()
	return known && there && l.Waiting()
}

// held reports whether something is buffered, or held above the raw connection,
// where the raw connection does not show it.
func (l *Link) held() bool {
	return l.r.Buffered() > 0 || len(l.layers) > 1 && l.readUntil(past)
}

// readMore reads what waits after what is buffered, and reports whether that was
// anything.
func (l *Link) readMore() bool {
	n := l.r.Buffered()
	if len(l.layers) > 1 && l.readUntil(past) && l.r.Buffered() > n {
		return true
	}
	there, known := l.input.waiting()
	switch {
	case !known:
		l.readAwake()
	case there:
		l.readUntil(time.Now().Add(lookTime))
	}
	return l.r.Buffered() > n
}

// readAwake reads a connection that cannot be asked for lookTime. When the time was
// over before the read began, or long over when it came back, the process slept and
// the read may have shown nothing: the time is doubled.
func (l *Link) readAwake() bool {
	for limit := lookTime; limit <= maxLookTime; limit *= 2 {
		begun := time.Now()
		l.timer.SetReadDeadline(begun.Add(limit))
		inTime := time.Since(begun) < limit
		if l.fill() {
			return true
		}
		if inTime && time.Since(begun) < 2*limit {
			break
		}
	}
	return false
}

// readUntil reads into the buffer, for no longer than until deadline, and reports
// whether octets or an end came.
func (l *Link) readUntil(deadline time.Time) bool {
	l.timer.SetReadDeadline(deadline)
	if l.trust {
		return l.fill()
	}
	late := time.AfterFunc(max(0, time.Until(deadline))+heedTime, func() { l.raw().SetReadDeadline(past) })
	came := l.fill()
	if heeded := late.Stop(); !heeded { // only the raw connection could end the read
		l.raw().SetReadDeadline(never)
		l.timer, l.trust = l.raw(), true
	} else if !came {
		l.trust = true
	}
	return came
}

// heedTime is how late a read may come back that a deadline should have ended.
const heedTime = time.Second

func (l *Link) fill() bool {
	err := l.r.Fill()
	return err == nil || !isTimeout(err)
}

// Look reports a failure when the server said something, or hung up, while
// nothing was asked. What it said is read: a 421 is told apart from noise.
func (l *Link) Look(step Step) *Failure {
	if l.failed != nil || !l.Waiting() {
		return l.failed
	}
	return l.LastWord(step)
}

// lingerTime is how long an end may take to arrive after the reply in front of it.
const lingerTime = 20 * time.Millisecond

// Linger is Look for a server that perhaps hangs up after what it said: on a socket the
// end arrives a moment later.
func (l *Link) Linger(step Step) *Failure {
	for end := time.Now().Add(lingerTime); l.failed == nil && l.input.isSocket() && time.Now().Before(end); {
		if there, _ := l.input.waiting(); there {
			break
		}
		time.Sleep(time.Millisecond)
	}
	return l.Look(step)
}

// Glance is Look where that takes no time.
func (l *Link) Glance(step Step) *Failure {
	if l.failed != nil || !l.WaitingCheaply() {
		return l.failed
	}
	return l.LastWord(step)
}

// LastWord breaks a link on which the server spoke unasked or a write failed, and
// first hears for a moment what the server has to say.
func (l *Link) LastWord(step Step) *Failure {
	if l.failed != nil {
		return l.failed
	}
	l.lastUntil = time.Now().Add(lastWords)
	r, why := l.read(step)
	if why != nil && why.Kind == TimedOut && l.writeErr == nil {
		why = &Failure{Kind: Unasked, Step: step} // a reply that has no end
	}
	if why != nil {
		return l.Break(why)
	}
	kept := l.Keep(r)
	if kept.Closing() {
		return l.Break(&Failure{Kind: Closing, Step: step, Reply: kept})
	}
	return l.Break(&Failure{Kind: Unasked, Step: step, Reply: kept})
}

// TakeIn reads what waits, so that Surplus sees it.
func (l *Link) TakeIn() {
	if l.failed == nil && l.Waiting() && l.r.Buffered() == 0 {
		l.readAwake()
	}
}

// Surplus returns the reply that was read after all that was owed, the zero Reply
// when there is none. noise reports that something else than a reply was read, or
// a part of one. Whatever came breaks the link.
func (l *Link) Surplus(step Step) (r Reply, noise bool) {
	switch {
	case l.failed != nil:
		return l.surplus, l.noise
	case l.Owing():
		return l.refusedNext(step), false
	case l.r.Buffered() == 0:
		l.Settled(step)
		return Reply{}, false
	}
	r = l.LastWord(step).Reply
	return r, r.Code == 0
}

// refusedNext is Surplus where more is owed, to a RSET first, which no server has a
// reason to refuse: what refuses in its place is a reply too many, to something before.
// A server that does not know RSET has said nothing too many; it cannot be used again.
func (l *Link) refusedNext(step Step) Reply {
	code := l.r.PeekCode()
	if code == 0 || (Reply{Code: code}).Positive() {
		return Reply{}
	}
	r := l.LastWord(step).Reply
	switch code {
	case 500, 501, 502, 504:
		return Reply{}
	}
	return r
}

// Unread returns what came and was not read as a reply, without what nobody may see.
func (l *Link) Unread() string {
	text := string(l.r.Unread())
	if l.cfg.CleanStart != nil {
		text = l.cfg.CleanStart(text)
	}
	return text
}

// keepSurplus keeps for Surplus what waits on a link that is broken and not closed.
func (l *Link) keepSurplus() {
	if l.Waiting() && l.r.Buffered() == 0 {
		l.readAwake()
	}
	if l.r.Buffered() == 0 {
		return
	}
	if r, why := l.read(l.failed.Step); why == nil {
		l.surplus = l.Keep(r)
	} else {
		l.noise = true
	}
}
