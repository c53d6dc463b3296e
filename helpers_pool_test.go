package submission_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fe022423/submission"
)

// habitServer is a server that keeps to the protocol, but for its habits: what real
// servers do about their sessions. It knows what it accepted. It runs in memory,
// also under testing/synctest, or over sockets.
type habitServer struct {
	keywords []string    // of the reply to EHLO
	tls      *tls.Config // TLS from the first byte, nil for clear text
	// habit is asked about each command; nil is the polite answer. The events are TLS
	// before that begins, where any answer ends the session, CONNECT before the greeting, MESSAGE when the whole message was read, and
	// BDAT when a chunk that is not the last was read. It runs on the goroutine of
	// the session.
	habit func(s *habitSession, verb, line string) *habitAnswer
	ended func(s *habitSession) // the session is over and does not count any more
	// record gets each message that is accepted, in place of taken. No commands are
	// kept then.
	record func(body []byte)

	mu       sync.Mutex
	sessions []*habitSession
	taken    map[string]int // accepted messages by their text
	serving  int            // sessions that run
	open     int            // connections that the client has not closed
	mostOpen int
	running  sync.WaitGroup
}

// habitAnswer is what a server says and does in place of the polite answer.
type habitAnswer struct {
	reply  string        // "" says nothing
	closes bool          // hangs up after it
	resets bool          // hangs up so that the client reads a reset
	delay  time.Duration // first
}

// habitSession is one session at a habitServer. The fields in the first group are for
// the habit, which alone may use them while the session runs.
type habitSession struct {
	id       int
	accepted int // messages
	begun    int // MAIL commands
	hellos   int
	loggedIn bool
	dirty    bool // a transaction was refused and not reset

	srv *habitServer
	nc  net.Conn
	in  *bufio.Reader

	mail   bool // a transaction is open
	rcpts  int
	body   []byte
	chunks bool

	mu     sync.Mutex // guards writing and the log
	flight int
	log    []habitLine
}

// habitLine is a command as a habitServer got it.
type habitLine struct {
	flight int // numbers what was written together
	text   string
}

func newHabitServer(keywords ...string) *habitServer {
	return &habitServer{keywords: keywords, taken: map[string]int{}}
}

// DialContext makes a habitServer a Dialer.
func (s *habitServer) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	near, far := habitPair()
	s.mu.Lock()
	s.open++
	s.mostOpen = max(s.mostOpen, s.open)
	s.mu.Unlock()
	near.onClose = func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.open--
	}
	s.start(far)
	return near, nil
}

// start runs a session over nc.
func (s *habitServer) start(nc net.Conn) *habitSession {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &habitSession{id: len(s.sessions) + 1, srv: s, nc: nc}
	s.sessions = append(s.sessions, p)
	s.serving++
	s.running.Go(func() {
		defer nc.Close()
		p.run()
		if s.ended != nil {
			s.ended(p)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.serving--
		if s.record != nil {
			p.in, p.body = nil, nil
		}
	})
	return p
}

// client returns a Client of the server.
func (s *habitServer) client(t testing.TB, set ...func(*submission.Options)) *submission.Client {
	t.Helper()
	o := plainText(set...)
	o.Dialer = s
	c, err := submission.New(testHost, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// session returns session id, counted from 1.
func (s *habitServer) session(id int) *habitSession {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[id-1]
}

// dials is how many sessions were begun.
func (s *habitServer) dials() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}

// connections tells how many connections the client has open, and had at most.
func (s *habitServer) connections() (open, most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open, s.mostOpen
}

// has is how often the message with this text was accepted.
func (s *habitServer) has(text string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken[text]
}

// total is how many messages were accepted.
func (s *habitServer) total() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, times := range s.taken {
		n += times
	}
	return n
}

// cut hangs up on every session.
func (s *habitServer) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.sessions {
		p.hangUp()
	}
}

// lines returns the commands so far.
func (p *habitSession) lines() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []string
	for _, l := range p.log {
		list = append(list, l.text)
	}
	return list
}

// flights returns the commands so far, those that were written together joined.
func (p *habitSession) flights() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []string
	last := -1
	for _, l := range p.log {
		if l.flight == last {
			list[len(list)-1] += "|" + l.text
		} else {
			list = append(list, l.text)
		}
		last = l.flight
	}
	return list
}

// say writes a line, also one that nobody asked for.
func (p *habitSession) say(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	io.WriteString(p.nc, strings.ReplaceAll(text, "\n", "\r\n")+"\r\n")
}

// hangUp ends the session from outside.
func (p *habitSession) hangUp() { p.nc.Close() }

func (p *habitSession) run() {
	if p.srv.tls != nil {
		t := tls.Server(p.nc, p.srv.tls)
		if a := p.ask("TLS", ""); a != nil {
			if a.reply != "" {
				p.say(a.reply) // in clear
				p.nc.Read(make([]byte, 1))
			}
			if m, ok := p.nc.(*habitConn); ok && a.resets {
				m.reset()
			}
			return
		}
		if t.Handshake() != nil {
			return
		}
		p.nc = t
	}
	p.in = bufio.NewReader(p.nc)
	if !p.answer("CONNECT", "", "220 "+testHost, nil) {
		return
	}
	for {
		line, ok := p.readLine()
		if !ok || !p.obey(line) {
			return
		}
	}
}

func (p *habitSession) readLine() (string, bool) {
	if p.in.Buffered() == 0 {
		p.flight++
	}
	line, err := p.in.ReadString('\n')
	if err != nil {
		return "", false
	}
	line = strings.TrimSuffix(line, "\r\n")
	if p.srv.record == nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.log = append(p.log, habitLine{p.flight, line})
	}
	return line, true
}

func (p *habitSession) ask(verb, line string) *habitAnswer {
	if p.srv.habit == nil {
		return nil
	}
	return p.srv.habit(p, verb, line)
}

// answer says what the habit wants, or polite, and carries the command out when that
// accepts. It reports whether the session goes on.
func (p *habitSession) answer(verb, line, polite string, accept func()) bool {
	a := p.ask(verb, line)
	if a == nil {
		a = &habitAnswer{reply: polite}
	}
	time.Sleep(a.delay)
	if accept != nil && a.reply != "" && a.reply[0] < '4' && (a.reply[:3] != "221" || verb == "QUIT") {
		accept()
	}
	if a.reply != "" {
		p.say(a.reply)
	}
	if a.resets {
		if m, ok := p.nc.(*habitConn); ok {
			m.reset()
		}
	}
	return !a.closes && !a.resets
}

func (p *habitSession) obey(line string) bool {
	verb, arg, _ := strings.Cut(line, " ")
	switch verb {
	case "EHLO":
		p.hellos++
		return p.answer(verb, line, ehloReply(p.srv.keywords), p.endTransaction)
	case "AUTH":
		return p.answer(verb, line, "235 welcome", func() { p.loggedIn = true })
	case "MAIL":
		p.begun++
		if p.mail {
			return p.answer(verb, line, "503 a transaction is open", nil)
		}
		return p.answer(verb, line, "250 sender ok", func() { p.endTransaction(); p.mail = true })
	case "RCPT":
		if !p.mail {
			return p.answer("", line, "503 MAIL first", nil)
		}
		return p.answer(verb, line, "250 recipient ok", func() { p.rcpts++ })
	case "DATA":
		if p.rcpts == 0 {
			return p.answer("", line, "503 RCPT first", nil)
		}
		granted := false
		return p.answer(verb, line, "354 go", func() { granted = true }) && (!granted || p.data())
	case "BDAT":
		return p.bdat(line, arg)
	case "RSET":
		return p.answer(verb, line, "250 forgotten", func() { p.endTransaction(); p.dirty = false })
	case "NOOP":
		return p.answer(verb, line, "250 here", nil)
	case "QUIT":
		said := false
		return p.answer(verb, line, "221 bye", func() { said = true }) && !said
	}
	return p.answer(verb, line, "500 what", nil)
}

// ehloReply offers keywords.
func ehloReply(keywords []string) string {
	return "250-" + strings.Join(append([]string{testHost}, keywords...), "\n250-") + "\n250 HELP"
}

func (p *habitSession) endTransaction() { p.mail, p.rcpts, p.body, p.chunks = false, 0, nil, false }

// data reads a message up to its dot.
func (p *habitSession) data() bool {
	for {
		line, err := p.in.ReadString('\n')
		if err != nil {
			return false
		}
		if line == ".\r\n" {
			return p.final(".")
		}
		p.body = append(p.body, strings.TrimPrefix(line, ".")...)
	}
}

func (p *habitSession) bdat(line, arg string) bool {
	size, last, _ := strings.Cut(arg, " ")
	n, err := strconv.Atoi(size)
	if err != nil {
		return p.answer("", line, "501 what", nil)
	}
	chunk := make([]byte, n)
	if _, err := io.ReadFull(p.in, chunk); err != nil {
		return false
	}
	if p.rcpts == 0 {
		return p.answer("", line, "503 RCPT first", nil)
	}
	p.body = append(p.body, chunk...)
	if last == "LAST" {
		return p.final(line)
	}
	return p.answer("BDAT", line, "250 chunk ok", nil)
}

// final answers the message.
func (p *habitSession) final(line string) bool {
	kept := false
	goesOn := p.answer("MESSAGE", line, "250 taken", func() {
		kept = true
		p.accepted++
		if p.srv.record != nil {
			p.srv.record(p.body)
			return
		}
		p.srv.mu.Lock()
		defer p.srv.mu.Unlock()
		p.srv.taken[string(p.body)]++
	})
	p.dirty = p.dirty || !kept
	p.endTransaction()
	return goesOn
}

// habitPair returns the two ends of a connection in memory. Nothing blocks but a
// read of what is not there, and a write to an end that was told to take nothing.
func habitPair() (near, far *habitConn) {
	up, down := newHabitStream(), newHabitStream()
	return &habitConn{in: down, out: up}, &habitConn{in: up, out: down}
}

type habitConn struct {
	in, out *habitStream
	once    sync.Once
	onClose func() // the first time
	plain   bool   // it cannot be asked what waits
}

// habitStream is one direction of a habitConn.
type habitStream struct {
	mu      sync.Mutex
	changed sync.Cond
	buf     []byte
	end     error // what a read gives after buf
	refuse  error // what a write gives
	full    bool  // writes wait

	read, write habitDeadline
}

type habitDeadline struct {
	passed bool
	timer  *time.Timer
}

func newHabitStream() *habitStream {
	s := &habitStream{}
	s.changed.L = &s.mu
	return s
}

func (s *habitStream) setDeadline(d *habitDeadline, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
	}
	d.passed, d.timer = false, nil
	if at.IsZero() {
		return
	}
	left := time.Until(at)
	if left <= 0 {
		d.passed = true
		s.changed.Broadcast()
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(left, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if d.timer == timer {
			d.passed = true
			s.changed.Broadcast()
		}
	})
	d.timer = timer
}

// set changes the stream and wakes those who wait.
func (s *habitStream) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	s.changed.Broadcast()
}

func (c *habitConn) Read(p []byte) (int, error) {
	s := c.in
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case errors.Is(s.end, net.ErrClosed):
			return 0, habitError("read", s.end)
		case s.read.passed:
			return 0, habitError("read", os.ErrDeadlineExceeded)
		case len(s.buf) > 0:
			n := copy(p, s.buf)
			s.buf = s.buf[n:]
			return n, nil
		case s.end != nil:
			return 0, habitError("read", s.end)
		}
		s.changed.Wait()
	}
}

func (c *habitConn) Write(p []byte) (int, error) {
	s := c.out
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.refuse != nil:
			return 0, habitError("write", s.refuse)
		case s.write.passed:
			return 0, habitError("write", os.ErrDeadlineExceeded)
		case !s.full:
			s.buf = append(s.buf, p...)
			s.changed.Broadcast()
			return len(p), nil
		}
		s.changed.Wait()
	}
}

func habitError(op string, err error) error {
	if err == io.EOF {
		return err
	}
	return &net.OpError{Op: op, Net: "pipe", Err: err}
}

// InputWaiting says whether a Read would return at once.
func (c *habitConn) InputWaiting() (waiting, known bool) {
	if c.plain {
		return false, false
	}
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	return len(c.in.buf) > 0 || c.in.end != nil, true
}

func (c *habitConn) Close() error {
	c.once.Do(func() { c.close(io.EOF) })
	return nil
}

// reset is Close, but the other end reads a reset.
func (c *habitConn) reset() { c.once.Do(func() { c.close(errnoReset) }) }

func (c *habitConn) close(end error) {
	c.in.set(func() { c.in.end, c.in.refuse, c.in.buf = net.ErrClosed, errnoPipe, nil })
	c.out.set(func() {
		if c.out.refuse = net.ErrClosed; c.out.end == nil {
			c.out.end = end
		}
	})
	if c.onClose != nil {
		c.onClose()
	}
}

// takeNothing makes writes of this end wait.
func (c *habitConn) takeNothing() { c.out.set(func() { c.out.full = true }) }

func (c *habitConn) SetDeadline(at time.Time) error {
	c.SetReadDeadline(at)
	return c.SetWriteDeadline(at)
}

func (c *habitConn) SetReadDeadline(at time.Time) error {
	c.in.setDeadline(&c.in.read, at)
	return nil
}

func (c *habitConn) SetWriteDeadline(at time.Time) error {
	c.out.setDeadline(&c.out.write, at)
	return nil
}

func (c *habitConn) LocalAddr() net.Addr  { return habitAddr{} }
func (c *habitConn) RemoteAddr() net.Addr { return habitAddr{} }

type habitAddr struct{}

func (habitAddr) Network() string { return "pipe" }
func (habitAddr) String() string  { return "pipe" }

// habitText is message number n.
func habitText(n int) string { return fmt.Sprintf("Subject: %d\r\n\r\ntext\r\n", n) }

// sendNumber sends message number n.
func sendNumber(ctx context.Context, c *submission.Client, n int) error {
	_, err := c.Send(ctx, poolEnvelope, strings.NewReader(habitText(n)))
	return err
}

// sendAtOnce sends messages 0 to n-1 at once and returns their errors.
func sendAtOnce(ctx context.Context, c *submission.Client, n int) []error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = sendNumber(ctx, c, i) })
	}
	wg.Wait()
	return errs
}

// wantAllSent checks that each of messages 0 to n-1 was accepted once and none of
// their sends failed.
func wantAllSent(t *testing.T, srv *habitServer, errs []error) {
	t.Helper()
	failed := 0
	for i, err := range errs {
		if err != nil {
			if failed++; failed <= 3 {
				t.Errorf("message %d: %v", i, err)
			}
		}
		if n := srv.has(habitText(i)); n != 1 && err == nil {
			t.Errorf("message %d was accepted %d times", i, n)
		}
	}
	if failed > 3 {
		t.Errorf("%d of %d sends failed", failed, len(errs))
	}
}

// withPool sets the PoolOptions.
func withPool(p submission.PoolOptions) func(*submission.Options) {
	return func(o *submission.Options) { o.Pool = p }
}

// wantClosed checks that nothing of a Client is left after Close.
func wantClosed(t *testing.T, c *submission.Client, srv *habitServer) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if st := c.Stats(); st.Open != 0 || st.Idle != 0 || st.InUse != 0 || st.Waiting != 0 {
		t.Errorf("after Close: %+v", st)
	}
	if open, _ := srv.connections(); open != 0 {
		t.Errorf("%d connections open after Close", open)
		srv.cut()
	}
	srv.running.Wait()
}
