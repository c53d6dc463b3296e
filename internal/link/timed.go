package link

import (
	"net"
	"os"
	"sync"
	"time"
)

// timed gives deadlines to a connection that has none, as a channel of an SSH
// connection has none: without them a server that is silent would hold a message
// for ever, and nobody could look whether it said something unasked. One
// goroutine reads ahead, a buffer at most; it ends with the connection. A write
// whose time is up closes the connection, which ends it.
type timed struct {
	net.Conn

	mu       sync.Mutex
	changed  sync.Cond // one of the below changed
	buf      []byte    // read and not given out
	free     []byte    // where the next read goes
	err      error     // of the last read
	deadline time.Time
	alarm    *time.Timer // wakes a Read at deadline
	write    time.Time   // the deadline of writes
}

// timedBuffer is how much is read ahead, in octets.
const timedBuffer = 4 << 10

func newTimed(nc net.Conn) *timed {
	t := &timed{Conn: nc, free: make([]byte, timedBuffer)}
	t.changed.L = &t.mu
	go t.readAhead()
	return t
}

// readAhead reads until the connection ends.
func (t *timed) readAhead() {
	for {
		n, err := t.Conn.Read(t.free)
		t.mu.Lock()
		t.buf, t.err = t.free[:n], err
		t.changed.Broadcast()
		for len(t.buf) > 0 && err == nil {
			t.changed.Wait()
		}
		t.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (t *timed) Read(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.buf) == 0 {
		switch {
		case t.err != nil:
			return 0, t.err
		case !t.deadline.IsZero() && !time.Now().Before(t.deadline):
			return 0, os.ErrDeadlineExceeded
		}
		t.changed.Wait()
	}
	n := copy(p, t.buf)
	t.buf = t.buf[n:]
	t.changed.Broadcast()
	return n, nil
}

func (t *timed) Write(p []byte) (int, error) {
	t.mu.Lock()
	deadline := t.write
	t.mu.Unlock()
	if deadline.IsZero() {
		return t.Conn.Write(p)
	}
	cut := time.AfterFunc(time.Until(deadline), func() { t.Conn.Close() })
	n, err := t.Conn.Write(p)
	if !cut.Stop() && err != nil {
		err = os.ErrDeadlineExceeded
	}
	return n, err
}

func (t *timed) SetReadDeadline(at time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.deadline = at
	if t.alarm != nil {
		t.alarm.Stop()
		t.alarm = nil
	}
	if !at.IsZero() {
		t.alarm = time.AfterFunc(time.Until(at), func() {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.changed.Broadcast()
		})
	}
	return nil
}

func (t *timed) SetWriteDeadline(at time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.write = at
	return nil
}

func (t *timed) SetDeadline(at time.Time) error {
	t.SetWriteDeadline(at)
	return t.SetReadDeadline(at)
}

// Close closes the connection, which ends the reading ahead.
func (t *timed) Close() error {
	err := t.Conn.Close()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.alarm != nil {
		t.alarm.Stop()
	}
	t.buf = nil
	if t.err == nil {
		t.err = net.ErrClosed
	}
	t.changed.Broadcast()
	return err
}
