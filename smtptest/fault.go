package smtptest

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// Limit is a number of bytes that may pass. The zero value sets no limit.
type Limit struct {
	octets int64
	set    bool
}

// After returns a Limit of n bytes. After(0) lets none pass.
func After(n int64) Limit { return Limit{octets: max(n, 0), set: true} }

// FaultMode is what happens to a connection at its Limit. The zero value is Cut.
type FaultMode uint8

// The ways in which a connection fails.
const (
	// Cut closes the connection. Reads give io.EOF, writes EPIPE.
	Cut FaultMode = iota
	// Stall lets nothing pass any more: reads and writes wait until their deadline
	// passes or Close is called.
	Stall
	// FalseError is Cut, but the Write that reaches the Limit first delivers all of
	// its bytes, and then reports that it delivered none (n = 0, EPIPE).
	FalseError
)

// Fault describes a connection that fails after a number of bytes. The zero value
// never fails; a connection that it wraps only counts.
//
// To fail at every point of a session, run it once over the zero Fault, read the
// counts from FaultConn.Octets, and run it again with each smaller number:
//
//	for n := range written {
//		nc = smtptest.Fault{Write: smtptest.After(n)}.Wrap(nc)
//		...
//	}
type Fault struct {
	// Read limits the bytes that the client reads. As soon as the client has read
	// the last of them, the connection fails in both directions.
	Read Limit
	// Write limits the bytes that the client writes. Exactly so many are delivered:
	// a Write of more delivers a part and fails. As soon as the last of them is
	// written, the connection fails in both directions.
	Write Limit
	// Mode is how it fails.
	Mode FaultMode
}

// Wrap returns a connection that is nc with the fault. With a limit of no bytes it
// fails at once; but with FalseError and After(0) for Write, it fails at the first
// Write.
func (f Fault) Wrap(nc net.Conn) *FaultConn {
	c := &FaultConn{nc: nc, fault: f}
	c.wake.L = &c.mu
	c.mu.Lock()
	defer c.mu.Unlock()
	c.checkLimits()
	return c
}

// FaultConn is a connection with a Fault. Like any net.Conn it may be used by
// several goroutines at once. The limits are exact for one reader and one writer at
// a time.
type FaultConn struct {
	nc    net.Conn
	fault Fault

	mu            sync.Mutex
	wake          sync.Cond
	read, written int64
	failed        bool
	closed        bool
	// How long a stalled connection waits; nc has deadlines too.
	readBy, writeBy deadline
}

// Octets returns how many bytes the client has read and written so far.
func (c *FaultConn) Octets() (read, written int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.read, c.written
}

// room returns how many of n octets may still pass.
func (l Limit) room(passed int64, n int) int {
	if !l.set {
		return n
	}
	return int(min(l.octets-passed, int64(n)))
}

func (l Limit) reached(passed int64) bool { return l.set && passed >= l.octets }

// checkLimits makes the connection fail if a limit is reached. It needs mu.
func (c *FaultConn) checkLimits() {
	falseStart := c.fault.Mode == FalseError && c.written == 0
	if c.failed || !c.fault.Read.reached(c.read) && (falseStart || !c.fault.Write.reached(c.written)) {
		return
	}
	c.failed = true
	if c.fault.Mode != Stall {
		_ = c.nc.Close()
	}
	c.wake.Broadcast()
}

// Read reads from the wrapped connection, up to the limit.
func (c *FaultConn) Read(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed {
		return 0, c.failure("read", io.EOF, &c.readBy)
	}
	b = b[:c.fault.Read.room(c.read, len(b))]
	c.mu.Unlock()
	n, err := c.nc.Read(b)
	c.mu.Lock()
	if c.failed {
		// The other direction has failed since, so these came too late.
		return 0, c.failure("read", io.EOF, &c.readBy)
	}
	c.read += int64(n)
	c.checkLimits()
	return n, err
}

// inputReporter is a connection that says whether something waits to be read.
type inputReporter interface {
	InputWaiting() (waiting, known bool)
}

// InputWaiting says whether Read would return at once with bytes, io.EOF or an error.
// It does not wait, takes nothing, and ignores deadlines. After Close it is true.
// After a failure it is true unless Mode is Stall. In between it is what the wrapped
// connection says; known is false if that has no method InputWaiting() (waiting, known
// bool), and the answer can only be had by reading.
func (c *FaultConn) InputWaiting() (waiting, known bool) {
	c.mu.Lock()
	closed, failed := c.closed, c.failed
	c.mu.Unlock()
	switch {
	case closed:
		return true, true
	case failed:
		return c.fault.Mode != Stall, true
	}
	if nc, ok := c.nc.(inputReporter); ok {
		return nc.InputWaiting()
	}
	return false, false
}

// Write writes to the wrapped connection, up to the limit.
func (c *FaultConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed {
		return 0, c.failure("write", errBrokenPipe(), &c.writeBy)
	}
	part := b[:c.fault.Write.room(c.written, len(b))]
	deny := c.fault.Mode == FalseError && c.fault.Write.reached(c.written+int64(len(b)))
	if deny {
		part = b
	}
	c.mu.Unlock()
	n, err := c.nc.Write(part)
	c.mu.Lock()
	c.written += int64(n)
	c.checkLimits()
	switch {
	case deny:
		return 0, c.failure("write", errBrokenPipe(), &c.writeBy)
	case err != nil || n == len(b):
		return n, err
	}
	return n, c.failure("write", errBrokenPipe(), &c.writeBy)
}

// failure returns the error of an operation on the failed connection. On a stalled
// one it waits first. It needs mu.
func (c *FaultConn) failure(op string, err error, by *deadline) error {
	if c.fault.Mode == Stall {
		for !c.closed && !by.passed {
			c.wake.Wait()
		}
		err = os.ErrDeadlineExceeded
	}
	if c.closed {
		err = net.ErrClosed
	}
	if err == io.EOF {
		return err
	}
	local, remote := c.nc.LocalAddr(), c.nc.RemoteAddr()
	return &net.OpError{Op: op, Net: remote.Network(), Source: local, Addr: remote, Err: err}
}

// Close closes the connection, which ends a stall.
func (c *FaultConn) Close() error {
	c.mu.Lock()
	c.closed = true
	c.wake.Broadcast()
	c.mu.Unlock()
	return c.unlessCut(c.nc.Close())
}

// unlessCut drops the error of an operation on a connection that the fault closed:
// the client did not close it and cannot know.
func (c *FaultConn) unlessCut(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed && c.fault.Mode != Stall {
		return nil
	}
	return err
}

// LocalAddr returns the address of the client's end.
func (c *FaultConn) LocalAddr() net.Addr { return c.nc.LocalAddr() }

// RemoteAddr returns the address of the server's end.
func (c *FaultConn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }

// SetDeadline sets both deadlines. They end a stall too.
func (c *FaultConn) SetDeadline(t time.Time) error {
	c.readBy.set(&c.wake, t)
	c.writeBy.set(&c.wake, t)
	return c.unlessCut(c.nc.SetDeadline(t))
}

// SetReadDeadline sets the deadline of Read.
func (c *FaultConn) SetReadDeadline(t time.Time) error {
	c.readBy.set(&c.wake, t)
	return c.unlessCut(c.nc.SetReadDeadline(t))
}

// SetWriteDeadline sets the deadline of Write.
func (c *FaultConn) SetWriteDeadline(t time.Time) error {
	c.writeBy.set(&c.wake, t)
	return c.unlessCut(c.nc.SetWriteDeadline(t))
}
