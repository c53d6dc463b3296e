package link

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fe022423/submission/internal/smtpwire"
)

// Config is what a link needs to know of its session. Hooks that are nil cost
// nothing; the others run on the goroutine that uses the link.
type Config struct {
	Limits Limits
	// NoQuitWait closes right after QUIT.
	NoQuitWait bool
	// Clean takes out of the server's words what nobody may see. It gets the
	// whole text of a reply before anything else is done with it. Nil leaves all.
	Clean func(text string) string
	// CleanStart is Clean for a text that perhaps did not come whole.
	CleanStart func(text string) string
	// Hooks are those at first; Show replaces them.
	Hooks
	// Panicked gets what a connection of the caller's panicked with where it was
	// closed from another goroutine than the one that uses the link.
	Panicked func(any)
}

// Hooks are told what happens on a link.
type Hooks struct {
	// Sent gets each line that is sent, without its CRLF, secrets replaced.
	Sent func(line string)
	// Received gets each reply.
	Received func(Reply)
	// Closed is called once, when the connection is closed: nil after a QUIT.
	Closed func(*Failure)
}

// Show has h told what happens from now on, and nobody else.
func (l *Link) Show(h Hooks) { l.cfg.Hooks = h }

// Link is one connection to a server. It is used by one goroutine at a time.
type Link struct {
	cfg    Config
	layers []net.Conn // from the raw connection to what is read and written
	input  input      // what can be known of the raw connection without reading
	nc     net.Conn   // what is read and written: the last of layers
	timer  net.Conn   // whose deadlines count; see Upgrade
	trust  bool       // timer is known to heed them
	r      *smtpwire.Reader
	w      *smtpwire.Writer
	owed   queue
	text   Reply // the last one kept of a flight: equal ones share its text
	rcpt   Reply // the same of a recipient, also of a flight before
	open   bool  // see Open

	failed     *Failure      // why the link is broken
	writeErr   error         // a write failed; replies that came before it still count
	writeLimit time.Duration // how long that write might take
	unwritten  bool          // see Unwritten
	lastUntil  time.Time     // until when what is owed is still heard, after a 421
	surplus    Reply         // see Surplus, of a link that broke before
	noise      bool
	closed     bool

	killed atomic.Pointer[error] // why another goroutine cut the connection
	quit   atomic.Int32          // see quitState

	ctx     context.Context // of the call that runs, nil between calls
	stop    func() bool     // ends the watch on ctx
	watcher sync.WaitGroup
	cancel  func() // closes the raw connection, made once
}

const (
	// block is the most that is written under one DataBlock deadline, in octets.
	block = 64 << 10
	// lastWords is how long a reply is waited for once writing has failed, or
	// the server has said that it closes: it came already or it never will.
	lastWords = time.Second
)

// never is the deadline that no time reaches, past one that has passed.
var (
	never time.Time
	past  = time.Unix(1, 0)
)

// New returns a link over nc. When nc has a method NetConn() net.Conn, that
// connection is the raw one.
func New(nc net.Conn, cfg Config) *Link {
	l := &Link{cfg: cfg}
	raw, alone := nc, true // not compared: a connection may be of any type
	for {
		below, ok := raw.(interface{ NetConn() net.Conn })
		if !ok || below.NetConn() == nil {
			break
		}
		raw, alone = below.NetConn(), false
	}
	l.layers = []net.Conn{raw}
	l.input.init(raw)
	boundSendBuffer(raw)
	l.cancel = func() {
		defer l.watcher.Done()
		l.cut()
	}
	l.trust = true
	if l.timer = raw; raw.SetReadDeadline(never) != nil {
		l.timer = newTimed(nc)
		nc, alone = l.timer, false
	}
	if !alone {
		l.layers = append(l.layers, nc)
	}
	l.use(nc)
	return l
}

// Upgrade reads and writes nc from now on, which stands on what was used before.
// What was buffered from the connection before is gone. Deadlines are set on nc, which
// may read ahead of the raw connection, until it shows that it does not heed them; one
// that says what it stands on, as crypto/tls does, hands them on.
func (l *Link) Upgrade(nc net.Conn) {
	l.layers = append(l.layers, nc)
	if _, ok := nc.(interface{ NetConn() net.Conn }); !ok {
		l.timer, l.trust = nc, false
	}
	l.use(nc)
}

func (l *Link) use(nc net.Conn) {
	l.nc = nc
	l.r = smtpwire.NewReader(nc)
	l.w = smtpwire.NewWriter(nc)
}

func (l *Link) raw() net.Conn { return l.layers[0] }

// Conn returns the connection that is read and written.
func (l *Link) Conn() net.Conn { return l.nc }

// Raw returns the connection below all others.
func (l *Link) Raw() net.Conn { return l.raw() }

// Handshake runs f, which reads and writes the connection itself, within limit.
func (l *Link) Handshake(limit time.Duration, f func() error) error {
	l.timer.SetDeadline(time.Now().Add(limit))
	defer l.timer.SetDeadline(never)
	return f()
}

// Begin puts the link under ctx until End: when ctx is done the raw connection
// closes. Calls do not nest.
func (l *Link) Begin(ctx context.Context) {
	l.ctx = ctx
	if ctx.Done() != nil {
		l.watcher.Add(1)
		l.stop = context.AfterFunc(ctx, l.cancel)
	}
}

// End takes the link out of the context's hands. A link that was cancelled in
// the meantime is broken, whatever the call had achieved.
func (l *Link) End() {
	if l.stop != nil {
		if l.stop() {
			l.watcher.Done()
		} else {
			l.watcher.Wait()
			if l.failed == nil {
				l.Break(l.Why(Command, net.ErrClosed, 0))
			}
		}
	}
	l.ctx, l.stop = nil, nil
}

// Kill cuts the connection from another goroutine. What the link is used for fails
// as if its context were done for the reason why.
func (l *Link) Kill(why error) {
	l.killed.CompareAndSwap(nil, &why)
	l.cut()
}

// cut closes the raw connection from another goroutine, where a panic would end the
// process, or a call that has nothing to do with it.
func (l *Link) cut() {
	defer func() {
		if r := recover(); r != nil && l.cfg.Panicked != nil {
			l.cfg.Panicked(r)
		}
	}()
	l.raw().Close()
}

// givenUpFor returns why the caller, or another goroutine, wants no more of the
// call that runs; nil when they do.
func (l *Link) givenUpFor() error {
	if why := l.killed.Load(); why != nil {
		return *why
	}
	if l.ctx != nil && l.ctx.Err() != nil {
		return CauseOf(l.ctx)
	}
	return nil
}

// Cancelled breaks the link when the context of the call that runs is done, and
// reports that.
func (l *Link) Cancelled(step Step) *Failure {
	if why := l.givenUpFor(); l.failed == nil && why != nil {
		return l.Break(&Failure{Kind: Cancelled, Step: step, Err: why})
	}
	return nil
}

// EitherDone returns a context that is done when ctx or other is, until release is
// called.
func EitherDone(ctx, other context.Context) (either context.Context, release func()) {
	either, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(other, func() { cancel(context.Cause(other)) })
	return either, func() {
		stop()
		cancel(nil)
	}
}

// CauseOf is the error of a context that is done: it is found as ctx.Err(), and
// as its cause where that is another.
func CauseOf(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}

// Usable reports whether nothing has broken or closed the link.
func (l *Link) Usable() bool { return l.failed == nil && l.writeErr == nil && !l.closed }

// Failure returns why the link is broken, nil when it is not known to be.
func (l *Link) Failure() *Failure { return l.failed }

// Break breaks the link for a reason and closes the connection. The first
// reason stays. It returns f.
func (l *Link) Break(f *Failure) *Failure {
	if l.failed == nil {
		l.failed = f
	}
	l.close(l.failed)
	return f
}

// close closes all layers without a word to the server, once: the raw one
// first, since another might wait to say goodbye.
func (l *Link) close(why *Failure) {
	if l.closed {
		return
	}
	l.closeLayers(slices.Backward(l.layers), why)
}

// closeLayers closes all layers, from the end of list to its start, and each of them
// also when another one panics.
func (l *Link) closeLayers(list iter.Seq2[int, net.Conn], why *Failure) {
	l.closed = true
	if l.cfg.Closed != nil {
		defer l.cfg.Closed(why)
	}
	for _, nc := range list {
		defer nc.Close()
	}
}

// closeGently closes all layers, the raw one last, so that each may say goodbye
// to its peer, as TLS does. It takes no longer than until deadline.
func (l *Link) closeGently(deadline time.Time) {
	if l.closed {
		return
	}
	if l.failed == nil {
		l.failed = &Failure{Kind: GivenUp, Step: Quit}
	}
	// A layer may set a deadline of its own, as crypto/tls does.
	cut := time.AfterFunc(time.Until(deadline), l.cut)
	defer cut.Stop()
	l.closeLayers(slices.All(l.layers), nil)
}
