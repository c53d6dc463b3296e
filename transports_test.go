package submission_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"
)

// lane is one direction of a connection in memory. It holds what was written
// until it is read, and one read never joins two writes.
type lane struct {
	mu       sync.Mutex
	wake     *sync.Cond
	segments [][]byte
	ended    bool // the writer will write no more
	gone     bool // the reader will read no more
	passed   bool // the deadline of the reader is over
	timer    *time.Timer
}

func newLane() *lane {
	l := new(lane)
	l.wake = sync.NewCond(&l.mu)
	return l
}

func (l *lane) put(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended || l.gone {
		return 0, io.ErrClosedPipe
	}
	if len(p) > 0 {
		l.segments = append(l.segments, append([]byte(nil), p...))
	}
	l.wake.Broadcast()
	return len(p), nil
}

func (l *lane) get(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		switch {
		case l.gone:
			return 0, net.ErrClosed
		case l.passed:
			return 0, os.ErrDeadlineExceeded
		case len(l.segments) > 0:
			n := copy(p, l.segments[0])
			if l.segments[0] = l.segments[0][n:]; len(l.segments[0]) == 0 {
				l.segments = l.segments[1:]
			}
			return n, nil
		case l.ended:
			return 0, io.EOF
		}
		l.wake.Wait()
	}
}

// set runs change and wakes the reader.
func (l *lane) set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
	l.wake.Broadcast()
}

func (l *lane) end()   { l.set(func() { l.ended = true }) }
func (l *lane) leave() { l.set(func() { l.gone, l.segments = true, nil }) }

func (l *lane) deadline(t time.Time) {
	l.set(func() {
		if l.timer != nil {
			l.timer.Stop()
		}
		l.timer, l.passed = nil, false
		if t.IsZero() {
			return
		}
		if l.passed = time.Until(t) <= 0; l.passed {
			return
		}
		var own *time.Timer
		own = time.AfterFunc(time.Until(t), func() { l.set(func() { l.passed = l.passed || l.timer == own }) })
		l.timer = own
	})
}

// memoryEnd is one end of a connection in memory.
type memoryEnd struct{ in, out *lane }

// memoryPair is a connection in memory, of which the client sees a net.Conn and
// nothing else.
func memoryPair() (client, server net.Conn) {
	up, down := newLane(), newLane()
	return plainConn{memoryEnd{down, up}}, memoryEnd{up, down}
}

func (e memoryEnd) Read(p []byte) (int, error)        { return e.in.get(p) }
func (e memoryEnd) Write(p []byte) (int, error)       { return e.out.put(p) }
func (e memoryEnd) CloseWrite() error                 { e.out.end(); return nil }
func (e memoryEnd) LocalAddr() net.Addr               { return memoryAddr{} }
func (e memoryEnd) RemoteAddr() net.Addr              { return memoryAddr{} }
func (e memoryEnd) SetReadDeadline(t time.Time) error { e.in.deadline(t); return nil }
func (e memoryEnd) SetWriteDeadline(time.Time) error  { return nil } // a write never waits
func (e memoryEnd) SetDeadline(t time.Time) error     { return e.SetReadDeadline(t) }
func (e memoryEnd) Close() error {
	e.in.leave()
	e.out.end()
	return nil
}

type memoryAddr struct{}

func (memoryAddr) Network() string { return "pipe" }
func (memoryAddr) String() string  { return "pipe" }

// unbufferedPair is net.Pipe: what the server writes waits until the client
// reads it. What the client writes is taken at once, so that a server that has
// something to say does not stop a client that writes.
func unbufferedPair() (client, server net.Conn) {
	client, far := net.Pipe()
	in := newLane()
	go func() {
		defer in.end()
		buf := make([]byte, 4<<10)
		for {
			n, err := far.Read(buf)
			in.put(buf[:n])
			if err != nil {
				return
			}
		}
	}()
	return client, pumpedEnd{far, in}
}

type pumpedEnd struct {
	net.Conn
	in *lane
}

// writesWait reports whether a write to nc waits for its reader.
func writesWait(nc net.Conn) bool {
	if e, ok := nc.(secureEnd); ok {
		nc = e.raw
	}
	_, ok := nc.(pumpedEnd)
	return ok
}

func (e pumpedEnd) Read(p []byte) (int, error) { return e.in.get(p) }

// conversation lets the client of a real connection read only when the server
// has taken all that the client wrote and has said all it has to say, as if the
// network had taken no time. What the server said is on the wire then, so a test
// may say what the client must find there.
type conversation struct {
	mu             sync.Mutex
	wake           *sync.Cond
	written, taken int64 // octets of the client, and how many of them the server has read
	said, heard    int64 // octets of the server, and how many of them the client has read
	listening      bool  // the server waits for the client
	over           bool
}

func (c *conversation) update(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
	c.wake.Broadcast()
}

func (c *conversation) settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.over && !(c.listening && c.taken >= c.written) {
		c.wake.Wait()
	}
}

// separate waits until the client has read all that the server said, so that
// what comes next is not read together with it.
func (c *conversation) separate() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.over && c.heard < c.said {
		c.wake.Wait()
	}
}

// clientSocket shows the socket that it is, as a *net.TCPConn does.
type clientSocket struct {
	net.Conn
	c    *conversation
	note func([]byte) // is told what is about to be written
}

func (s *clientSocket) SyscallConn() (syscall.RawConn, error) {
	return s.Conn.(syscall.Conn).SyscallConn()
}

func (s *clientSocket) Write(p []byte) (int, error) {
	s.note(p)
	n, err := s.Conn.Write(p)
	s.c.update(func() { s.c.written += int64(n) })
	return n, err
}

func (s *clientSocket) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if n > 0 {
		s.c.update(func() { s.c.heard += int64(n) })
		s.c.settle()
	}
	return n, err
}

func (s *clientSocket) Close() error {
	s.c.update(func() { s.c.over = true })
	return s.Conn.Close()
}

type serverSocket struct {
	net.Conn
	c *conversation
}

func (s serverSocket) Write(p []byte) (int, error) {
	s.c.update(func() { s.c.said += int64(len(p)) })
	return s.Conn.Write(p)
}

func (s serverSocket) CloseWrite() error { return s.Conn.(*net.TCPConn).CloseWrite() }

func (s serverSocket) Read(p []byte) (int, error) {
	s.c.update(func() { s.c.listening = true })
	n, err := s.Conn.Read(p)
	s.c.update(func() { s.c.listening, s.c.taken, s.c.over = false, s.c.taken+int64(n), s.c.over || err != nil })
	return n, err
}

func (s serverSocket) Close() error {
	s.c.update(func() { s.c.over = true })
	return s.Conn.Close()
}

// tcpPair is a connection over the loopback interface.
func tcpPair() (client, server net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		panic(err)
	}
	if server, err = l.Accept(); err != nil {
		panic(err)
	}
	c := new(conversation)
	c.wake = sync.NewCond(&c.mu)
	return &clientSocket{client, c, func([]byte) {}}, serverSocket{server, c}
}

// plainConn hides everything but net.Conn, as a wrapper that counts octets does.
type plainConn struct{ net.Conn }

// openedConn is a wrapper that lets itself be opened.
type openedConn struct{ net.Conn }

func (c openedConn) NetConn() net.Conn { return c.Conn }

// transport is a kind of connection between a client and a recordingServer.
type transport struct {
	name   string
	pair   func() (client, server net.Conn)
	secure bool                    // TLS is spoken over it, from the first octet on
	wrap   func(net.Conn) net.Conn // how the client sees its end; nil: as it is
	real   bool                    // it takes real time, so it cannot be used in a synctest bubble
}

func (l transport) connect(srv *recordingServer) net.Conn {
	client, server := l.pair()
	if !l.secure {
		client = watched(client, srv)
	}
	srv.blind = l.secure && l.real // a write may time out
	if l.wrap != nil {
		client = l.wrap(client)
	}
	if l.secure {
		srv.start(secureEnd{tls.Server(server, serverTLS()), server})
	} else {
		srv.start(server)
	}
	return client
}

// watched tells the server what the client was about to write, also where the
// server had hung up before.
func watched(client net.Conn, srv *recordingServer) net.Conn {
	var written []byte
	note := func(p []byte) {
		written = append(written, p...)
		srv.seen(written)
	}
	if s, ok := client.(*clientSocket); ok {
		s.note = note
		return s
	}
	return &watchedConn{client, note}
}

type watchedConn struct {
	net.Conn
	note func([]byte)
}

func (c *watchedConn) Write(p []byte) (int, error) {
	c.note(p)
	return c.Conn.Write(p)
}

func hideAll(nc net.Conn) net.Conn   { return plainConn{nc} }
func letBeOpen(nc net.Conn) net.Conn { return openedConn{nc} }

// secureEnd ends a direction of TLS together with that of its connection.
type secureEnd struct {
	*tls.Conn
	raw net.Conn
}

func (e secureEnd) CloseWrite() error {
	err := e.Conn.CloseWrite()
	if half, ok := e.raw.(interface{ CloseWrite() error }); ok {
		return errors.Join(err, half.CloseWrite())
	}
	return err
}

// conversationOf returns what goes on over a real connection, nil for one in
// memory.
func conversationOf(server net.Conn) *conversation {
	if e, ok := server.(secureEnd); ok {
		server = e.raw
	}
	if s, ok := server.(serverSocket); ok {
		return s.c
	}
	return nil
}

var serverTLS = sync.OnceValue(func() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{selfSigned()}}
})

// clientTLS trusts anybody: these tests are not about trust, and it saves time.
func clientTLS() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, CurvePreferences: []tls.CurveID{tls.X25519}}
}

// A deadline of a lane wakes its reader, and only its own does.
func TestMemoryPair(t *testing.T) {
	client, server := memoryPair()
	client.SetReadDeadline(time.Now().Add(time.Millisecond))
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read gives %v", err)
	}
	client.SetReadDeadline(time.Time{})
	server.Write([]byte("ab"))
	server.(memoryEnd).CloseWrite()
	if got, err := io.ReadAll(client); string(got) != "ab" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	if _, err := client.Write([]byte("c")); err != nil {
		t.Errorf("write to an end that may still be read: %v", err)
	}
}
