package benchmarks

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/fe022423/submission/smtptest"
)

// A line on which a round trip takes 20 ms by the clock of testing/synctest. There is no
// TCP under it: a dial takes the time of its handshake.
const (
	lineDelay = 10 * time.Millisecond // in one direction
	roundTrip = 2 * lineDelay
)

// dialSlowly connects to a server over such a line. The client's end is there after a
// round trip, the server's half a round trip later, when the client's ACK has come.
func dialSlowly(srv *smtptest.Server) dialFunc {
	return func(context.Context, string, string) (net.Conn, error) {
		time.Sleep(roundTrip)
		l := &line{}
		l.come.L = &l.mu
		l.up.later(func() {
			l.server = srv.Pipe()
			go l.carry()
		})
		return l, nil
	}
}

// line is the client's end.
type line struct {
	net.Conn // nil: what is not here is not asked for
	up, down lag
	server   net.Conn // written to by up alone

	mu     sync.Mutex
	come   sync.Cond // in, end or late changed
	in     []byte    // what has come from the server
	end    error     // what a Read returns after that
	late   bool      // the deadline for reads has passed
	timer  *time.Timer
	closed bool
}

// lag does what it is told lineDelay later, one after the other.
type lag struct {
	mu    sync.Mutex
	queue []func()
}

func (g *lag) later(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.queue = append(g.queue, f)
	time.AfterFunc(lineDelay, func() { // those of one moment come in any order
		g.mu.Lock()
		defer g.mu.Unlock()
		g.queue[0]()
		g.queue = g.queue[1:]
	})
}

// carry carries what the server says to the client.
func (l *line) carry() {
	buf := make([]byte, 64<<10)
	for {
		n, err := l.server.Read(buf)
		p := bytes.Clone(buf[:n])
		l.down.later(func() { l.set(func() { l.in, l.end = append(l.in, p...), err }) })
		if err != nil {
			return
		}
	}
}

// set changes what a Read depends on.
func (l *line) set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
	l.come.Broadcast()
}

func (l *line) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		switch {
		case l.closed:
			return 0, net.ErrClosed
		case l.late:
			return 0, os.ErrDeadlineExceeded
		case len(l.in) > 0:
			n := copy(p, l.in)
			l.in = l.in[n:]
			return n, nil
		case l.end != nil:
			return 0, io.EOF
		}
		l.come.Wait()
	}
}

// InputWaiting lets package submission look for input without a wait.
func (l *line) InputWaiting() (waiting, known bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.in) > 0 || l.end != nil, true
}

func (l *line) Write(p []byte) (int, error) {
	p = bytes.Clone(p)
	l.up.later(func() { l.server.Write(p) })
	return len(p), nil
}

func (l *line) Close() error {
	l.set(func() { l.closed = true })
	l.up.later(func() { l.server.Close() })
	return nil
}

func (l *line) SetDeadline(at time.Time) error   { return l.SetReadDeadline(at) }
func (l *line) SetWriteDeadline(time.Time) error { return nil } // a Write never waits
func (l *line) LocalAddr() net.Addr              { return &net.UnixAddr{Net: "line"} }
func (l *line) RemoteAddr() net.Addr             { return &net.UnixAddr{Net: "line"} }
func (l *line) SetReadDeadline(at time.Time) error {
	l.set(func() {
		if l.timer != nil {
			l.timer.Stop()
		}
		l.late, l.timer = false, nil
		if at.IsZero() {
			return
		}
		var timer *time.Timer
		timer = time.AfterFunc(time.Until(at), func() {
			l.set(func() { l.late = l.late || l.timer == timer })
		})
		l.timer = timer
	})
	return nil
}
