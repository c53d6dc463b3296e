package link

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fe022423/submission/smtptest"
)

// limits has another value for each limit, so that a test sees which one was used.
var limits = Limits{
	Greeting: 11 * time.Second, Command: 12 * time.Second, DataInit: 13 * time.Second,
	DataBlock: 14 * time.Second, DataFinal: 15 * time.Second, Quit: 16 * time.Second,
}

// wire is the client's end of a connection in memory. The test is the server: it
// says something with say, and reads in out what the client wrote. It is not a
// socket, and cannot be asked whether input waits.
type wire struct {
	mu      sync.Mutex
	changed sync.Cond
	in      []string // segments that a Read has not taken
	end     error    // of a Read after the last segment
	out     bytes.Buffer
	refuse  error // of a Write
	block   bool  // a Write waits for its deadline or for Close
	closed  bool
	reads   time.Time
	writes  time.Time

	deadlines int              // calls of SetReadDeadline
	lag       time.Duration    // how long SetReadDeadline sleeps once the deadline is set
	onClose   func(first bool) // called by Close
}

func newWire() *wire {
	w := &wire{}
	w.changed.L = &w.mu
	return w
}

func (w *wire) say(segments ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.in = append(w.in, segments...)
	w.changed.Broadcast()
}

// hangUp ends the input: a Read gives err once it has everything that was said.
func (w *wire) hangUp(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.end = err
	w.changed.Broadcast()
}

func (w *wire) written() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out.String()
}

func (w *wire) isClosed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.closed
}

func passed(at time.Time) bool { return !at.IsZero() && !time.Now().Before(at) }

func (w *wire) Read(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		switch {
		case w.closed:
			return 0, net.ErrClosed
		case passed(w.reads):
			return 0, os.ErrDeadlineExceeded
		case len(w.in) > 0:
			n := copy(p, w.in[0])
			if w.in[0] = w.in[0][n:]; w.in[0] == "" {
				w.in = w.in[1:]
			}
			return n, nil
		case w.end != nil:
			return 0, w.end
		}
		w.changed.Wait()
	}
}

func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		switch {
		case w.closed:
			return 0, net.ErrClosed
		case w.refuse != nil:
			return 0, w.refuse
		case passed(w.writes):
			return 0, os.ErrDeadlineExceeded
		case !w.block:
			return w.out.Write(p)
		}
		w.changed.Wait()
	}
}

func (w *wire) Close() error {
	w.mu.Lock()
	first := !w.closed
	w.closed = true
	w.changed.Broadcast()
	w.mu.Unlock()
	if w.onClose != nil {
		w.onClose(first)
	}
	return nil
}

// wake wakes whoever waits at at.
func (w *wire) wake(at time.Time) {
	if !at.IsZero() {
		time.AfterFunc(time.Until(at), func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.changed.Broadcast()
		})
	}
}

func (w *wire) SetDeadline(at time.Time) error {
	w.SetWriteDeadline(at)
	return w.SetReadDeadline(at)
}

func (w *wire) SetReadDeadline(at time.Time) error {
	w.mu.Lock()
	w.reads = at
	w.deadlines++
	w.wake(at)
	w.changed.Broadcast()
	lag := w.lag
	w.mu.Unlock()
	time.Sleep(lag)
	return nil
}

func (w *wire) SetWriteDeadline(at time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writes = at
	w.wake(at)
	w.changed.Broadcast()
	return nil
}

func (w *wire) LocalAddr() net.Addr  { return wireAddr{} }
func (w *wire) RemoteAddr() net.Addr { return wireAddr{} }

type wireAddr struct{}

func (wireAddr) Network() string { return "wire" }
func (wireAddr) String() string  { return "wire" }

// asked is a wire that can be asked whether input waits.
type asked struct {
	*wire
	known bool
}

func (a asked) InputWaiting() (waiting, known bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.known && (len(a.in) > 0 || a.end != nil || a.closed), a.known
}

// layer stands on another connection, as TLS does.
type layer struct {
	net.Conn
	onClose func() // called by the first Close, before it closes what is below
	closed  bool
}

func (l *layer) NetConn() net.Conn { return l.Conn }

func (l *layer) Close() error {
	if first := !l.closed; first {
		l.closed = true
		if l.onClose != nil {
			l.onClose()
		}
	}
	return l.Conn.Close()
}

// noDeadlines is a connection without deadlines, as a channel of an SSH connection is.
type noDeadlines struct{ net.Conn }

var errNoDeadline = errors.New("deadline not supported")

func (noDeadlines) SetDeadline(time.Time) error      { return errNoDeadline }
func (noDeadlines) SetReadDeadline(time.Time) error  { return errNoDeadline }
func (noDeadlines) SetWriteDeadline(time.Time) error { return errNoDeadline }

// log is a Sink that writes down what it is told.
type log struct {
	lines  []string
	missed []*Failure
	refuse func(Owed, Reply) *Failure // nil refuses nothing
}

func (l *log) Hear(o Owed, r Reply) *Failure {
	l.lines = append(l.lines, fmt.Sprintf("%v %d: %d %s", o.Step, o.Index, r.Code, r.Text))
	if l.refuse != nil {
		return l.refuse(o, r)
	}
	return nil
}

func (l *log) Miss(o Owed, why *Failure) {
	l.lines = append(l.lines, fmt.Sprintf("%v %d: missed", o.Step, o.Index))
	l.missed = append(l.missed, why)
}

// check holds what the sink was told against want.
func (l *log) check(t *testing.T, want ...string) {
	t.Helper()
	if got := strings.Join(l.lines, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("the sink was told\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

// played returns a link to a server that follows a script.
func played(t *testing.T, script string, set ...func(*Config)) *Link {
	t.Helper()
	cfg := Config{Limits: limits}
	for _, f := range set {
		f(&cfg)
	}
	l := New(smtptest.Play(t, script), cfg)
	t.Cleanup(func() { l.Raw().Close() }) // before the script is checked
	return l
}

// wantFailure checks why a link is broken, and that it is.
func wantFailure(t *testing.T, l *Link, kind Kind, step Step) *Failure {
	t.Helper()
	f := l.Failure()
	if f == nil {
		t.Fatalf("the link is not broken, want kind %d at step %d", kind, step)
	}
	if f.Kind != kind || f.Step != step {
		t.Fatalf("%v, want kind %d at step %d", f, kind, step)
	}
	if l.Usable() {
		t.Error("the link counts as usable")
	}
	return f
}

// took checks how much time has passed since start.
func took(t *testing.T, start time.Time, want time.Duration) {
	t.Helper()
	if got := time.Since(start); got != want {
		t.Errorf("it took %v, want %v", got, want)
	}
}

var errBroken = fmt.Errorf("the network is gone: %w", io.ErrClosedPipe)

const unasked = "250 unasked\r\n"
