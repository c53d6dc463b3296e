package smtptest

// turn follows who speaks on a session, for Server.RoundTrips. A turn of the client
// begins when it has read something that the server said in its own.
//
// Over a pipe it is known what the client had read when it wrote. So commands that
// came in two writes are one turn, however soon the server answered the first ones.
// A socket does not tell: there each wait of the server ends a turn.
type turn struct {
	pipe    *memConn // the server's end, nil for a socket
	spoke   bool     // the server spoke since the client's turn began
	before  int64    // octets that it had written until then
	waiting bool     // the server waits, and that was counted
}

// speak is called before the server says something.
func (t *turn) speak() {
	if t.spoke {
		return
	}
	t.spoke = true
	if t.pipe != nil {
		t.before, _, _ = t.pipe.out.count()
	}
}

// wait is called when the server has answered everything and waits. It returns
// whether that is a round trip.
func (t *turn) wait() bool {
	counts := t.spoke
	t.spoke, t.waiting = false, counts
	return counts
}

// hear is called when the server has read something. It returns whether the wait
// that it counted was no round trip: the client had not read what the server said.
func (t *turn) hear() bool {
	if !t.waiting {
		return false
	}
	t.waiting = false
	if t.pipe == nil {
		return false
	}
	_, _, known := t.pipe.in.count()
	t.spoke = known <= t.before
	return t.spoke
}
