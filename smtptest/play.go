package smtptest

import (
	"net"
	"testing"
	"time"
)

// Play returns the client's end of a connection to a server that follows a script.
// The package comment explains scripts. The server expects exactly what the script
// says, byte by byte. If the client does anything else, the test fails with a report
// that names the line of the script. After a report all I/O on the connection fails,
// so that the client does not hang.
//
// Play starts no goroutine, and works inside and outside a testing/synctest bubble.
// When the test ends, a script that was not played to its end is reported. That is
// done by t.Cleanup, so close the client in the test, or in a Cleanup that is
// registered after Play. Mistakes are reported with t.Errorf only, so any goroutine
// may call Play and use the connection.
//
// The connection has a method InputWaiting() (waiting, known bool), which says whether a
// Read would return at once with bytes, io.EOF or an error. It does not wait, takes nothing,
// ignores deadlines, and is never a mistake of the client.
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

// Write plays the script on with the octets of b.
func (p *player) Write(b []byte) (int, error) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed {
		return 0, opError("write", errPlay)
	}
	// This writes nothing; it returns the error of a deadline, a Close or a server
	// that hung up.
	if _, err := p.conn.out.put(nil, 0); err != nil {
		return 0, opError("write", err)
	}
	n := 0
	for n < len(b) && !p.failed {
		n += p.matchStep(b[n:])
	}
	if p.failed {
		return 0, opError("write", errPlay)
	}
	return n, nil
}

// Read reads what the server sent. It reports a client that waits though the script
// wants it to send more first.
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

// InputWaiting says whether there is something to read: octets that the server sent,
// the end of the input, or an error. The script does not notice it.
func (p *player) InputWaiting() (waiting, known bool) { return p.conn.InputWaiting() }

// lookTime distinguishes a look from a wait. A read whose deadline is nearer than this,
// or has passed, only looks whether something is there: that is not a mistake of the
// client.
const lookTime = 10 * time.Millisecond

// checkRead reports a read that would wait and must not.
func (p *player) checkRead() error {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	waits, deadline := p.conn.in.readWaits()
	look := !deadline.IsZero() && time.Until(deadline) < lookTime
	if waits && !look && !p.silent {
		p.reportWait()
	}
	if p.failed {
		return errPlay
	}
	return nil
}

// Close closes the connection, which is what eof in a script waits for. It reports a
// client that has not read what it asked for.
func (p *player) Close() error {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reportUnread()
	p.closed = true
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
