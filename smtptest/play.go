package smtptest

import (
	"net"
	"testing"
	"time"
)

// Play returns the client's end of a connection to a server that follows a
// script. The server expects exactly what the script says, octet by octet, and
// a client that does anything else makes the test fail with a report that names
// the line; from then on all of its I/O fails, so that it does not hang. The
// package comment explains scripts.
//
// Play starts no goroutine and keeps no time of its own: it works in a
// testing/synctest bubble as well as outside. When the test ends, a script that
// was not played to its end is reported. That is done by t.Cleanup, so close
// the client in the test or in a Cleanup registered after Play. Mistakes are
// reported with t.Errorf only, so connections may be used, and Play may be
// called, on any goroutine.
//
// The connection has the method InputWaiting, as that of Server.Pipe has.
func Play(t testing.TB, script string) net.Conn {
	t.Helper()
	client, _ := newPipe(0)
	p := &player{t: t, conn: client}
	p.mu.Lock()
	defer p.mu.Unlock()
	var err error
	if p.steps, err = parseScript(script); err != nil {
		p.fail("%v", err)
		return p
	}
	p.advance()
	t.Cleanup(p.finish)
	return p
}

// Write takes the script further by the octets of b.
func (p *player) Write(b []byte) (int, error) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed {
		return 0, opError("write", errPlay)
	}
	// Nothing is queued: this asks for deadline, Close and a server that left.
	if _, err := p.conn.out.put(nil, 0); err != nil {
		return 0, opError("write", err)
	}
	n := 0
	for n < len(b) && !p.failed {
		n += p.take(b[n:])
	}
	if p.failed {
		return 0, opError("write", errPlay)
	}
	return n, nil
}

// Read reads what the server sent. A client that would wait for what the server
// sends only after more of its own octets is reported.
func (p *player) Read(b []byte) (int, error) {
	p.t.Helper()
	if err := p.checkRead(); err != nil {
		return 0, opError("read", err)
	}
	n, err := p.conn.in.get(b)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.read += int64(n)
	if p.failed {
		return 0, opError("read", errPlay)
	}
	return n, opError("read", err)
}

// InputWaiting says whether there is something to read: octets that the script sent,
// the end of the input, or an error. It does not wait, takes nothing, and ignores
// deadlines. It is never a mistake of the client.
func (p *player) InputWaiting() bool { return p.conn.InputWaiting() }

// lookTime tells a look from a wait: a read with a deadline this near, or past,
// asks whether something is there and is no mistake of the client.
const lookTime = 10 * time.Millisecond

func (p *player) checkRead() error {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	waits, deadline := p.conn.in.waits()
	look := !deadline.IsZero() && time.Until(deadline) < lookTime
	if waits && !look && !p.silent {
		p.reportWait()
	}
	if p.failed {
		return errPlay
	}
	return nil
}

// Close ends the connection. It takes the script past eof.
func (p *player) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.at < len(p.steps) && p.steps[p.at].kind == stepEOF {
		p.at++
	}
	return p.conn.Close()
}

func (p *player) LocalAddr() net.Addr                { return p.conn.LocalAddr() }
func (p *player) RemoteAddr() net.Addr               { return p.conn.RemoteAddr() }
func (p *player) SetDeadline(t time.Time) error      { return p.conn.SetDeadline(t) }
func (p *player) SetReadDeadline(t time.Time) error  { return p.conn.SetReadDeadline(t) }
func (p *player) SetWriteDeadline(t time.Time) error { return p.conn.SetWriteDeadline(t) }
