package outbox_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/outbox"
)

// process is a process that ends at an octet of its SMTP session: from then on nothing that
// it does reaches the mail server or the engine, and its memory is lost.
type process struct {
	addr string // of the mail server
	end  octet

	mu            sync.Mutex
	dead          bool
	died          chan struct{}
	written, read int
	edges         []int // of what was written: where a write ended
	commit        octet // what was written and read when Commit came
	all           octet // when the message was over
}

// octet is a place in a session, counted from 1 in each direction; 0 is none.
type octet struct{ written, read int }

var errDied = errors.New("the process has ended")

func newProcess(addr string, end octet) *process {
	return &process{addr: addr, end: end, died: make(chan struct{})}
}

// seam is that of the Outbox of the process.
func (p *process) seam(call string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead {
		return outbox.Abandoned
	}
	if call == "commit" {
		p.commit = octet{p.written, p.read}
	}
	return nil
}

// client is a client of the process whose sessions are counted.
func (p *process) client(t *testing.T) *submission.Client {
	t.Helper()
	c, err := submission.New(p.addr, &submission.Options{TLS: submission.TLSNone, Dialer: p, LocalName: "client.example.org"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// DialContext connects the process to the mail server as long as it lives.
func (p *process) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	if p.isDead() {
		return nil, errDied
	}
	nc, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &mortal{Conn: nc, of: p}, nil
}

func (p *process) isDead() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dead
}

// mortal is a connection of a process.
type mortal struct {
	net.Conn
	of   *process
	sent bool // the server has sent the octet that the process does not get
}

// die ends the process. What it has written reaches the server, which comes to the end of
// its session before die returns; what the server says is lost.
func (m *mortal) die() error {
	m.of.mu.Lock()
	was := m.of.dead
	m.of.dead = true
	m.of.mu.Unlock()
	if !was {
		m.Conn.(*net.TCPConn).CloseWrite()
		m.Conn.SetDeadline(time.Time{})
		if _, err := io.Copy(io.Discard, m.Conn); err != nil {
			panic(err) // the server would not have come to its end
		}
		m.Conn.Close()
		close(m.of.died)
	}
	return errDied
}

// Write writes up to the octet at which the process ends, that one included.
func (m *mortal) Write(b []byte) (int, error) {
	p := m.of
	if p.isDead() {
		return 0, errDied
	}
	p.mu.Lock()
	left := len(b) + 1
	if p.end.written > 0 {
		left = p.end.written - p.written
	}
	p.mu.Unlock()
	n, err := m.Conn.Write(b[:min(len(b), left)])
	p.mu.Lock()
	p.written += n
	p.edges = append(p.edges, p.written)
	p.mu.Unlock()
	if left <= len(b) {
		return n, m.die()
	}
	return n, err
}

// Read reads up to the octet that the process does not live to get. The server has sent it.
func (m *mortal) Read(b []byte) (int, error) {
	p := m.of
	if p.isDead() {
		return 0, errDied
	}
	if m.sent {
		return 0, m.die()
	}
	n, err := m.Conn.Read(b)
	p.mu.Lock()
	if left := p.end.read - p.read; p.end.read > 0 && n >= left {
		n, m.sent = left-1, true
	}
	p.read += n
	p.mu.Unlock()
	if n == 0 && m.sent {
		return 0, m.die()
	}
	return n, err
}

func (m *mortal) NetConn() net.Conn { return m.Conn }
