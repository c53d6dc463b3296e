package smtptest

// turn counts the round trips of a session for Server.RoundTrips. The client's turn
// ends when it waits for what the server says.
//
// A pipe knows what the client had read when it wrote. So commands that come in two
// writes belong to one turn, even if the server has answered the first ones in
// between. A socket does not know: there each wait of the server counts.
type turn struct {
	pipe    *memConn // the server's end, nil for a socket
	spoke   bool     // the server spoke since the client's turn began
	before  int64    // octets that the server had written before it spoke
	waiting bool     // the server waits, and that was counted
}

// speak is called before the server says something.
func (t *turn) speak() {
	if t.spoke {
		return
	}
	t.spoke = true
	if t.pipe != nil {
		t.before = t.said()
	}
}

// said returns how many octets the server has written to a pipe, 0 for a socket.
func (t *turn) said() int64 {
	if t.pipe == nil {
		return 0
	}
	written, _, _ := t.pipe.out.count()
	return written
}

// known returns how many of them the client had read when it wrote what the server
// read last.
func (t *turn) known() int64 {
	_, _, known := t.pipe.in.count()
	return known
}

// wait is called when the server has answered everything and waits. It returns
// whether that is a round trip.
func (t *turn) wait() bool {
	counts := t.spoke
	t.spoke, t.waiting = false, counts
	return counts
}

// hear is called when the server has read something. It returns whether the last wait
// was not a round trip after all, because the client had not read what the server
// said.
func (t *turn) hear() bool {
	if !t.waiting {
		return false
	}
	t.waiting = false
	if t.pipe == nil {
		return false
	}
	t.spoke = t.known() <= t.before
	return t.spoke
}
