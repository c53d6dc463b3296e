package smtptest

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// pipeLimit is how many octets one direction of a Pipe holds before its writer
// blocks: far more than a socket buffer, and bounded.
const pipeLimit = 1 << 20

// pipeAddr is the address of both ends of an in-memory connection.
type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

// stream is one direction of an in-memory connection. It keeps segments apart:
// one read never returns octets of two writes.
type stream struct {
	mu    sync.Mutex
	wake  sync.Cond
	limit int // octets held before the writer blocks; 0 is no limit

	segments [][]byte
	size     int
	ended    error // what a read gives once the segments are read; nil: more may come
	refused  error // what a write gives; nil: the reader is there
	gone     bool  // the reader closed its end
	writing  bool  // a write is under way; another one waits for it

	read, write deadline
}

func newStream(limit int) *stream {
	s := &stream{limit: limit}
	s.wake.L = &s.mu
	return s
}

// get reads from the first segment.
func (s *stream) get(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.gone:
			return 0, net.ErrClosed
		case s.read.passed:
			return 0, os.ErrDeadlineExceeded
		case len(s.segments) > 0:
			n := copy(p, s.segments[0])
			if s.segments[0] = s.segments[0][n:]; len(s.segments[0]) == 0 {
				s.segments = s.segments[1:]
			}
			s.size -= n
			s.wake.Broadcast()
			return n, nil
		case s.ended != nil:
			return 0, s.ended
		case len(p) == 0:
			return 0, nil
		}
		s.wake.Wait()
	}
}

// waits says whether a read would have to wait now, and until when at most.
func (s *stream) waits() (bool, time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.gone && !s.read.passed && len(s.segments) == 0 && s.ended == nil, s.read.at
}

// put writes p, in one segment unless the limit forces more.
func (s *stream) put(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.writing {
		s.wake.Wait()
	}
	s.writing = true
	defer func() {
		s.writing = false
		s.wake.Broadcast()
	}()
	n := 0
	for {
		switch {
		case s.refused != nil:
			return n, s.refused
		case s.write.passed:
			return n, os.ErrDeadlineExceeded
		case n == len(p):
			return n, nil
		}
		room := len(p) - n
		if s.limit > 0 {
			room = min(room, s.limit-s.size)
		}
		if room == 0 {
			s.wake.Wait()
			continue
		}
		s.segments = append(s.segments, append([]byte(nil), p[n:n+room]...))
		s.size += room
		n += room
		s.wake.Broadcast()
		if n == len(p) {
			return n, nil
		}
	}
}

// end is the writer's last word: reads give err behind what was written, and
// further writes give refused. The first end counts.
func (s *stream) end(err, refused error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended == nil {
		s.ended = err
	}
	if s.refused == nil {
		s.refused = refused
	}
	s.wake.Broadcast()
}

// leave is the reader's: what was not read is lost, and writes give EPIPE.
func (s *stream) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = true
	s.segments, s.size = nil, 0
	if s.refused == nil {
		s.refused = errBrokenPipe()
	}
	s.wake.Broadcast()
}

func errReset() error      { return os.NewSyscallError("read", syscall.ECONNRESET) }
func errBrokenPipe() error { return os.NewSyscallError("write", syscall.EPIPE) }

// memConn is one end of an in-memory connection, buffered both ways. It blocks
// on conditions only and makes its timers as they are needed, so that it can be
// used in a testing/synctest bubble.
type memConn struct{ in, out *stream }

// newPipe returns the two ends of a connection.
func newPipe(limit int) (client, server *memConn) {
	up, down := newStream(limit), newStream(limit)
	return &memConn{in: down, out: up}, &memConn{in: up, out: down}
}

// opError dresses err as what a network connection gives.
func opError(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &net.OpError{Op: op, Net: pipeAddr{}.Network(), Source: pipeAddr{}, Addr: pipeAddr{}, Err: err}
}

func (c *memConn) Read(p []byte) (int, error) {
	n, err := c.in.get(p)
	return n, opError("read", err)
}

func (c *memConn) Write(p []byte) (int, error) {
	n, err := c.out.put(p)
	return n, opError("write", err)
}

// Close ends both directions; it never fails.
func (c *memConn) Close() error {
	c.out.end(io.EOF, net.ErrClosed)
	c.in.leave()
	return nil
}

// CloseWrite ends the direction to the peer, which reads EOF.
func (c *memConn) CloseWrite() error {
	c.out.end(io.EOF, net.ErrClosed)
	return nil
}

// reset is Close, but the peer reads ECONNRESET.
func (c *memConn) reset() {
	c.out.end(errReset(), net.ErrClosed)
	c.in.leave()
}

func (c *memConn) LocalAddr() net.Addr  { return pipeAddr{} }
func (c *memConn) RemoteAddr() net.Addr { return pipeAddr{} }

func (c *memConn) SetDeadline(t time.Time) error {
	c.in.read.set(&c.in.wake, t)
	c.out.write.set(&c.out.wake, t)
	return nil
}

func (c *memConn) SetReadDeadline(t time.Time) error {
	c.in.read.set(&c.in.wake, t)
	return nil
}

func (c *memConn) SetWriteDeadline(t time.Time) error {
	c.out.write.set(&c.out.wake, t)
	return nil
}
