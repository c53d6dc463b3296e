package smtptest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"
	"testing"
)

// maxReported bounds how much of what a client sent a report quotes.
const maxReported = 200

// errPlay is the error of all I/O after a report.
var errPlay = errors.New("smtptest: the client did not follow the script of Play")

// player is the client's end of a scripted connection. There is no other end: each
// Write plays the script on, and queues at once what the server sends next.
type player struct {
	t    testing.TB
	conn *memConn // in holds what the server sends; out holds only deadlines and errors

	mu       sync.Mutex
	steps    []step
	at       int  // the step the client has to take
	done     int  // octets of it that the client sent
	closed   bool // by the client
	silent   bool // the server says nothing any more: the client may wait
	finished bool // the test has ended: nothing can be reported any more
	failed   bool
	sent     int64 // octets queued for the client
	due      int64 // how many of them the client must read before it writes
	read     int64 // how many of them the client has read
}

// advance does the server's steps up to the client's next one.
func (p *player) advance() {
	in, out := p.conn.in, p.conn.out
	for ; p.at < len(p.steps); p.at++ {
		switch st := &p.steps[p.at]; st.kind {
		case stepSend:
			if st.due > 0 {
				p.due = p.sent + int64(st.due)
			}
			p.sent += int64(len(st.data))
			for _, segment := range st.segments {
				// The stream has no limit; if it is closed, the client is gone.
				_, _ = in.put(segment, 0)
			}
		case stepStall:
			p.silent = true
		case stepClose:
			p.silent = true
			in.closeWriter(io.EOF, io.ErrClosedPipe)
			if !p.expectsMore() {
				out.closeReader()
			}
		case stepReset:
			p.silent = true
			in.closeWriter(errReset(), io.ErrClosedPipe)
			out.closeReader()
		default:
			p.done = 0
			return
		}
	}
}

// expectsMore says whether the client still has to send something.
func (p *player) expectsMore() bool {
	for _, st := range p.steps[p.at:] {
		if st.kind == stepExpect || st.kind == stepAny {
			return true
		}
	}
	return false
}

// fail reports the first mistake and makes all I/O fail, including a Read that waits.
// It needs mu.
func (p *player) fail(format string, args ...any) {
	p.t.Helper()
	if p.failed {
		return
	}
	p.failed = true
	if !p.finished {
		p.t.Errorf("smtptest.Play: "+format, args...)
	}
	p.conn.in.closeWriter(errPlay, errPlay)
	p.conn.out.closeWriter(errPlay, errPlay)
}

// finish reports, at the end of the test, a script that was not played to its end.
func (p *player) finish() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.at < len(p.steps) {
		st := p.steps[p.at]
		came := "the client sent nothing more and did not close"
		switch {
		case p.closed:
			came = "the client closed instead"
		case st.kind == stepEOF:
			came = "the client did not close"
		}
		p.fail("the script stopped at line %d: %s%s; %s", st.line, st.source, p.progress(), came)
	}
	p.finished = true
}

// progress says, for a report, how much of the current step the client sent.
func (p *player) progress() string {
	st := p.steps[p.at]
	switch {
	case p.done == 0:
		return ""
	case st.kind == stepExpect:
		return " (so far " + quote(st.data[:p.done]) + ")"
	}
	return " (so far " + strconv.Itoa(p.done) + " bytes)"
}

// matchStep compares the start of b with the current step and returns how many octets
// belong to the step.
func (p *player) matchStep(b []byte) int {
	p.t.Helper()
	if p.at == len(p.steps) {
		if p.silent {
			return len(b)
		}
		if p.at == 0 {
			p.fail("the client sent %s, but the script is empty", quote(firstLine(b)))
			return 0
		}
		last := p.steps[p.at-1]
		p.fail("the client sent %s after the end of the script, line %d: %s", quote(firstLine(b)), last.line, last.source)
		return 0
	}
	st := &p.steps[p.at]
	n := 0
	switch {
	case st.kind == stepEOF:
		p.fail("line %d: the client sent %s where it must close", st.line, quote(firstLine(b)))
		return 0
	case p.read < p.due:
		p.fail("line %d: the client sent %s too early: it has not read what the server says before %s",
			st.line, quote(firstLine(b)), st.source)
		return 0
	case st.kind == stepAny:
		n = min(len(b), st.count-p.done)
		p.done += n
		if p.done == st.count {
			p.at++
			p.advance()
		}
		return n
	}
	want := st.data[p.done:]
	n = min(len(want), len(b))
	if !bytes.Equal(b[:n], want[:n]) {
		same := prefix(b, want)
		got := slices.Concat(st.data[:p.done], b[:same], firstLine(b[same:]))
		p.fail("line %d: %s", st.line, difference(st.data, got, p.done+same))
		return 0
	}
	if p.done += n; p.done == len(st.data) {
		p.at++
		p.advance()
	}
	return n
}

// reportWait reports what the client must do instead of waiting.
func (p *player) reportWait() {
	p.t.Helper()
	if p.at == len(p.steps) {
		after := ", which is empty"
		if p.at > 0 {
			last := p.steps[p.at-1]
			after = ", after line " + strconv.Itoa(last.line) + ": " + last.source
		}
		p.fail("the client waits for more than the script has%s; if that is right, end the script with stall or close", after)
		return
	}
	st := &p.steps[p.at]
	if st.kind == stepEOF {
		p.fail("line %d: the client waits where it must close", st.line)
		return
	}
	p.fail("line %d: the client waits where it must send: %s%s", st.line, st.source, p.progress())
}

// reportUnread reports the first S line that the client had to read and of which it
// read nothing.
func (p *player) reportUnread() {
	p.t.Helper()
	sent := int64(0)
	for _, st := range p.steps[:p.at] {
		for _, a := range st.asked {
			if p.read <= sent+int64(a.at) {
				p.fail("line %d: the client closed without having read %s", a.line, a.source)
				return
			}
		}
		if st.kind == stepSend {
			sent += int64(len(st.data))
		}
	}
}

// firstLine is b up to its first LF.
func firstLine(b []byte) []byte {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return b[:i+1]
	}
	return b
}

// prefix returns how many octets a and b have in common at their start.
func prefix(a, b []byte) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// difference shows what was expected and what came. If they begin to differ late, it leaves
// out most of what they have in common.
func difference(want, got []byte, at int) string {
	start := at - maxReported/2
	if start <= 0 || len(want) <= maxReported && len(got) <= maxReported {
		return fmt.Sprintf("expected %s, got %s", quote(want), quote(got))
	}
	return fmt.Sprintf("expected ...%s, got ...%s (from byte %d on)", quote(want[start:]), quote(got[start:]), start)
}

// quote shows octets, the first of them if there are many.
func quote(b []byte) string {
	if len(b) > maxReported {
		return strconv.QuoteToASCII(string(b[:maxReported])) + "..."
	}
	return strconv.QuoteToASCII(string(b))
}
