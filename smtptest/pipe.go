package smtptest

import (
	"io"
	"net"
	"os"
	"time"
)

// pipeLimit is how many octets one direction of a Pipe holds before its writer
// blocks: far more than a socket buffer, and bounded.
const pipeLimit = 1 << 20

// pipeAddr is the address of both ends of an in-memory connection.
type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

// memConn is one end of an in-memory connection, buffered in both directions. It can
// be used in a testing/synctest bubble: it waits on conditions only, and makes its
// timers when they are needed.
type memConn struct{ in, out *stream }

// newPipe returns the two ends of a connection.
func newPipe(limit int) (client, server *memConn) {
	up, down := newStream(limit), newStream(limit)
	return &memConn{in: down, out: up}, &memConn{in: up, out: down}
}

func errReset() error      { return os.NewSyscallError("read", errnoReset) }
func errBrokenPipe() error { return os.NewSyscallError("write", errnoPipe) }

// opError wraps err as a network connection does.
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

// InputWaiting says whether there is something to read: octets, the end of the input,
// or an error. It does not wait, takes nothing, ignores deadlines, and always knows.
func (c *memConn) InputWaiting() (waiting, known bool) { return c.in.readable(), true }

func (c *memConn) Write(p []byte) (int, error) {
	_, known, _ := c.in.count()
	n, err := c.out.put(p, known)
	return n, opError("write", err)
}

// Close closes both directions. It never fails.
func (c *memConn) Close() error {
	c.out.closeWriter(io.EOF, net.ErrClosed)
	c.in.closeReader()
	return nil
}

// CloseWrite closes the direction to the peer, which reads EOF.
func (c *memConn) CloseWrite() error {
	c.out.closeWriter(io.EOF, net.ErrClosed)
	return nil
}

// reset is Close, but the peer reads ECONNRESET.
func (c *memConn) reset() {
	c.out.closeWriter(errReset(), net.ErrClosed)
	c.in.closeReader()
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
