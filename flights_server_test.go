package submission_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// stream is one direction of a connection in memory. What one put brings, no read
// joins with another.
type stream struct {
	mu       sync.Mutex
	changed  sync.Cond
	segments [][]byte
	came     int  // segments in all
	ended    bool // nothing more will come
	gone     bool // the reader has closed
	deadline time.Time
}

func newStream() *stream {
	s := &stream{}
	s.changed.L = &s.mu
	return s
}

func (s *stream) put(segments ...[]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone || s.ended {
		return io.ErrClosedPipe
	}
	for _, p := range segments {
		s.segments = append(s.segments, slices.Clone(p))
		s.came++
	}
	s.changed.Broadcast()
	return nil
}

func (s *stream) get(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.gone:
			return 0, net.ErrClosed
		case !s.deadline.IsZero() && !time.Now().Before(s.deadline):
			return 0, os.ErrDeadlineExceeded
		case len(s.segments) > 0:
			n := copy(p, s.segments[0])
			if s.segments[0] = s.segments[0][n:]; len(s.segments[0]) == 0 {
				s.segments = s.segments[1:]
			}
			return n, nil
		case s.ended:
			return 0, io.EOF
		}
		s.changed.Wait()
	}
}

func (s *stream) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.changed.Broadcast()
}

// leave is the end of the reader.
func (s *stream) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = true
	s.changed.Broadcast()
}

// unread reports whether octets wait.
func (s *stream) unread() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.segments) > 0
}

func (s *stream) setDeadline(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deadline = at
	s.changed.Broadcast()
	if !at.IsZero() {
		time.AfterFunc(time.Until(at), func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.changed.Broadcast()
		})
	}
}

// clientEnd is the client's end of a connection to a flightServer.
type clientEnd struct {
	in, out *stream
	opaque  bool // it cannot be asked whether input waits
}

func (c *clientEnd) Read(p []byte) (int, error) { return c.in.get(p) }

func (c *clientEnd) Write(p []byte) (int, error) {
	if err := c.out.put(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (c *clientEnd) Close() error {
	c.in.leave()
	c.out.end()
	return nil
}

func (c *clientEnd) InputWaiting() (waiting, known bool) {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	return len(c.in.segments) > 0 || c.in.ended || c.in.gone, !c.opaque
}

func (c *clientEnd) LocalAddr() net.Addr                { return tcpAddr("127.0.0.1:1") }
func (c *clientEnd) RemoteAddr() net.Addr               { return tcpAddr("127.0.0.1:25") }
func (c *clientEnd) SetWriteDeadline(time.Time) error   { return nil }
func (c *clientEnd) SetDeadline(at time.Time) error     { return c.SetReadDeadline(at) }
func (c *clientEnd) SetReadDeadline(at time.Time) error { c.in.setDeadline(at); return nil }

// decisions give a flightServer its next decision, and 0, all is well, after the last.
type decisions struct {
	mu   sync.Mutex
	list []byte
}

func (d *decisions) next() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.list) == 0 {
		return 0
	}
	b := d.list[0]
	d.list = d.list[1:]
	return int(b)
}

// offer is what a flightServer offers and how it behaves.
type offer struct {
	pipelining, chunking, codes bool
	latency                     time.Duration // before each bundle of replies
}

// stored is a message that a flightServer accepted, for whom.
type stored struct {
	to   []string
	data string
}

// flightServer is a server that decides by the octets of a fuzz input, and knows what
// it accepted. It serves several connections, one after the other or at once.
type flightServer struct {
	offer
	decide *decisions

	mu       sync.Mutex
	accepted []stored
	sessions sync.WaitGroup
	conns    []*flightConn
}

// flightConn is one session.
type flightConn struct {
	*flightServer
	in, out *stream
	r       *bufio.Reader
	bundle  [][]byte // replies that were not sent

	open     bool // MAIL was accepted
	to       []string
	chunks   []byte
	failed   bool         // a chunk was refused
	finished bool         // nothing more is said
	owed     atomic.Int32 // replies
	meddled  atomic.Bool  // a reply too many or too few was sent, or will be
}

// surplus reports whether the client can see more replies than the server owed it.
func (c *flightConn) surplus() bool {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return c.out.came > int(c.owed.Load())
}

// connect opens a session.
func (s *flightServer) connect(opaque bool) (net.Conn, *flightConn) {
	c := &flightConn{flightServer: s, in: newStream(), out: newStream()}
	c.r = bufio.NewReaderSize(connReader{c}, 128<<10)
	s.mu.Lock()
	s.conns = append(s.conns, c)
	s.mu.Unlock()
	s.sessions.Add(1)
	go func() {
		defer s.sessions.Done()
		c.serve()
		c.flush()
		c.out.end()
		io.Copy(io.Discard, connReader{c})
	}()
	return &clientEnd{in: c.out, out: c.in, opaque: opaque}, c
}

// connReader sends the replies that wait when there is nothing more to read at once,
// as RFC 2920, 3.2 allows.
type connReader struct{ c *flightConn }

func (r connReader) Read(p []byte) (int, error) {
	if !r.c.in.unread() {
		r.c.flush()
	}
	return r.c.in.get(p)
}

func (c *flightConn) flush() {
	if len(c.bundle) > 0 {
		time.Sleep(c.latency)
		c.out.put(c.bundle...)
		c.bundle = nil
	}
}

func (c *flightConn) say(text string) {
	if !c.finished {
		c.bundle = append(c.bundle, []byte(text+"\r\n"))
	}
}

// What a decision does, by its lower half; what is not named accepts.
const (
	doDefer     = 6
	doRefuse    = 7
	doClosing   = 8  // 421, and goes on
	doHangUp    = 9  // 421, and ends
	doSequence  = 10 // 503
	doConnErr   = 11 // x.4.z
	doEnd       = 12 // ends without a word
	doWrong     = 13 // a reply of a class that makes no sense
	doSloppy    = 14 // accepts what it should not
	doBye       = 15 // 221
	meddleExtra = 9  // the upper half: one reply more, at once
	meddleSoon  = 10 // 5 ms later
	meddleLate  = 11 // 50 ms later
	meddleDrop  = 12 // no reply
	meddleJunk  = 13 // garbage instead
	meddleCut   = 14 // a part of the reply, and the end
	meddleStall = 15 // nothing is said any more
)

// decision is what becomes of one command.
type decision struct {
	what, meddle int
	over         bool // the session ends
}

func (c *flightConn) decision() decision {
	b := c.decide.next()
	d := decision{what: b & 15, meddle: b >> 4}
	if d.meddle >= meddleExtra && d.meddle <= meddleDrop {
		if c.meddled.Swap(true) {
			d.meddle = 0 // a second one could undo the first
		}
	}
	d.over = d.what == doHangUp || d.what == doEnd || d.meddle == meddleCut
	return d
}

// accepts reports whether the decision accepts a command that is allowed or not.
func (d decision) accepts(allowed bool) bool {
	return d.what < doDefer && allowed || d.what == doSloppy || d.what == doWrong && allowed
}

// answer sends the reply: good, an enhanced code and text after a code, when the
// command is accepted. subject is the middle of the codes.
func (c *flightConn) answer(d decision, accepted bool, code int, subject string) {
	line := func(code int, enhanced, text string) string {
		if c.codes && enhanced != "" {
			text = enhanced + " " + text
		}
		return fmt.Sprintf("%d %s", code, text)
	}
	var reply string
	switch {
	case d.what == doEnd:
		c.finished = true
		return
	case d.what == doWrong && code == 354:
		reply = line(250, "2.0.0", "what")
	case d.what == doWrong:
		reply = "354 what"
	case accepted && code == 354:
		reply = "354 go"
	case accepted:
		reply = line(code, "2."+subject, "ok")
	case d.what == doDefer:
		reply = line(450, "4."+subject, "later")
	case d.what == doRefuse:
		reply = line(550, "5."+subject, "no")
	case d.what == doClosing, d.what == doHangUp:
		reply = line(421, "4.3.2", "bye")
	case d.what == doConnErr:
		reply = line(451, "4.4.5", "enough")
	case d.what == doBye:
		reply = line(221, "2.0.0", "bye")
	default:
		reply = line(503, "5.5.1", "bad sequence")
	}
	extra := line(250, "2."+subject, "and one more")
	if len(c.to)%2 == 1 {
		extra = line(550, "5."+subject, "and one more")
	}
	late := func(after time.Duration) {
		text := []byte(extra + "\r\n")
		time.AfterFunc(c.latency+after, func() { c.out.put(text) })
	}
	switch d.meddle {
	case meddleDrop:
		return
	case meddleJunk:
		reply = "what is that"
	case meddleCut:
		c.bundle = append(c.bundle, []byte(reply[:2]))
		c.finished = true
		return
	case meddleStall:
		c.finished = true
		return
	case meddleSoon:
		late(5*time.Millisecond + time.Microsecond) // never at the very moment of a look
	case meddleLate:
		late(50*time.Millisecond + time.Microsecond)
	}
	c.say(reply)
	if d.meddle == meddleExtra {
		c.say(extra)
	}
}

func (c *flightConn) serve() {
	c.owed.Add(1)
	c.say("220 test")
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return
		}
		c.owed.Add(1)
		verb, arg, _ := strings.Cut(strings.TrimSuffix(line, "\r\n"), " ")
		if verb == "QUIT" {
			c.say("221 bye")
			return
		}
		if over := c.command(verb, arg); over {
			return
		}
	}
}

// command carries one command out.
func (c *flightConn) command(verb, arg string) (over bool) {
	switch verb {
	case "EHLO":
		lines := []string{"test"}
		for keyword, offered := range map[string]bool{"PIPELINING": c.pipelining, "CHUNKING": c.chunking, "ENHANCEDSTATUSCODES": c.codes} {
			if offered {
				lines = append(lines, keyword)
			}
		}
		last := len(lines) - 1
		c.say("250-" + strings.Join(append(lines[:last:last], ""), "\r\n250-") + "X\r\n250 " + lines[last])
		c.reset()
		return false
	case "NOOP":
		c.say("250 ok")
		return false
	}
	d := c.decision()
	switch verb {
	case "RSET":
		accepted := d.accepts(true)
		if accepted {
			c.reset()
		}
		c.answer(d, accepted, 250, "0.0")
	case "MAIL":
		accepted := d.accepts(!c.open)
		if accepted {
			c.reset()
			c.open = true
		}
		c.answer(d, accepted, 250, "1.0")
	case "RCPT":
		accepted := d.accepts(c.open)
		if accepted {
			c.to = append(c.to, strings.TrimSuffix(strings.TrimPrefix(arg, "TO:<"), ">"))
		}
		c.answer(d, accepted, 250, "1.5")
	case "DATA":
		accepted := d.accepts(c.open && len(c.to) > 0) && d.what != doWrong
		if c.answer(d, accepted, 354, "0.0"); accepted && !d.over {
			return c.data()
		}
	case "BDAT":
		return c.bdat(d, arg)
	default:
		c.answer(d, false, 250, "5.1")
	}
	return d.over
}

func (c *flightConn) reset() {
	c.open, c.to, c.chunks, c.failed = false, nil, nil, false
}

// data reads a message up to its dot, and decides about it.
func (c *flightConn) data() (over bool) {
	var data strings.Builder
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return true
		}
		if line == ".\r\n" {
			break
		}
		data.WriteString(strings.TrimPrefix(line, "."))
	}
	c.owed.Add(1)
	d := c.decision()
	accepted := d.accepts(len(c.to) > 0)
	if accepted {
		c.store(data.String())
	}
	c.answer(d, accepted, 250, "0.0")
	c.reset()
	return d.over
}

// bdat reads a chunk, and decides about it. What follows a refused one is refused.
func (c *flightConn) bdat(d decision, arg string) (over bool) {
	size, last, _ := strings.Cut(arg, " ")
	n, err := strconv.Atoi(size)
	if err != nil {
		return true
	}
	chunk := make([]byte, n)
	if _, err := io.ReadFull(c.r, chunk); err != nil {
		return true
	}
	accepted := d.accepts(c.open && len(c.to) > 0 && !c.failed)
	c.chunks = append(c.chunks, chunk...)
	if accepted && last != "" {
		c.store(string(c.chunks))
	}
	c.answer(d, accepted, 250, "0.0")
	if c.failed = !accepted; last != "" {
		c.reset()
	}
	return d.over
}

// store accepts a message for those whose RCPT was accepted.
func (c *flightConn) store(data string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flightServer.accepted = append(c.flightServer.accepted, stored{slices.Clone(c.to), data})
}

// acceptedFor returns for each address how often a message that holds mark was
// accepted for it.
func (s *flightServer) acceptedFor(mark string) map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	times := map[string]int{}
	for _, m := range s.accepted {
		if strings.Contains(m.data, mark) {
			for _, addr := range m.to {
				times[addr]++
			}
		}
	}
	return times
}
