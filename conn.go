package submission

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/fe022423/submission/internal/redact"
	"github.com/fe022423/submission/internal/smtpwire"
)

// conn is the connection of a session. It is the only place that sets deadlines,
// watches contexts, decides that a connection is broken, and feeds Trace and
// Logger. A broken connection is closed at once and stays broken. All of that is
// in one file, of more than 300 lines, so that the rule can be seen to hold.
type conn struct {
	cfg     *config
	secrets redact.Set // taken out of what the server says

	raw  net.Conn // what cancel closes: under TLS, whose own Close may wait
	nc   net.Conn // what is read and written
	r    *smtpwire.Reader
	w    *smtpwire.Writer
	peek peeker

	err        error           // why it is broken
	writeErr   error           // a write failed; replies that came before it still count
	writeLimit time.Duration   // that it had
	ctx        context.Context // of the call that runs, nil between calls
	stop       func() bool     // ends the watch on ctx
	watcher    sync.WaitGroup
	cancel     func() // closes raw, made once

	began  time.Time
	closed bool
}

const (
	// ioBlock is the most that is written under one DataBlock deadline.
	ioBlock = 64 << 10
	// lastWords is how long a reply is waited for once writing has failed: it
	// came before the failure or it never will.
	lastWords = time.Second
	// ticketWait is how long to read a TLS connection whose socket has octets
	// that may be a session ticket and no reply.
	ticketWait = time.Millisecond
)

// never is the deadline that lies in no future.
var never time.Time

func newConn(cfg *config, nc net.Conn) *conn {
	c := &conn{cfg: cfg, raw: nc}
	if t, ok := nc.(interface{ NetConn() net.Conn }); ok {
		c.raw = t.NetConn()
	}
	c.peek.init(c.raw)
	c.cancel = func() {
		defer c.watcher.Done()
		c.raw.Close()
	}
	c.upgrade(nc)
	return c
}

// upgrade reads and writes nc from now on. Whatever was buffered from the
// connection before is gone.
func (c *conn) upgrade(nc net.Conn) {
	c.nc = nc
	c.r = smtpwire.NewReader(nc)
	c.w = smtpwire.NewWriter(nc)
}

// within and timeless set and take off the deadline of what another stack reads
// and writes.
func (c *conn) within(limit time.Duration) { c.raw.SetDeadline(time.Now().Add(limit)) }
func (c *conn) timeless()                  { c.raw.SetDeadline(never) }

// begin puts the connection under ctx until end: when ctx is done the raw
// connection closes, so that the caller's giving up and a server that is slow
// can never be confused. Calls do not nest.
func (c *conn) begin(ctx context.Context) {
	c.ctx = ctx
	if ctx.Done() != nil {
		c.watcher.Add(1)
		c.stop = context.AfterFunc(ctx, c.cancel)
	}
}

// end takes the connection out of the context's hands. One that was cancelled
// meanwhile is broken, whatever the call had achieved.
func (c *conn) end() {
	if c.stop != nil {
		if c.stop() {
			c.watcher.Done()
		} else {
			c.watcher.Wait()
			if c.err == nil {
				c.breakUp(c.cause(StageCommand, net.ErrClosed, 0))
			}
		}
	}
	c.ctx, c.stop = nil, nil
}

// usable reports whether nothing has broken or closed the connection.
func (c *conn) usable() bool { return c.err == nil && c.writeErr == nil && !c.closed }

// breakUp marks the connection broken and closes it. The first error stays.
func (c *conn) breakUp(err error) error {
	if c.err == nil {
		c.err = err
	}
	c.close(err)
	return err
}

// close closes without a word to the server, once.
func (c *conn) close(err error) {
	if c.closed {
		return
	}
	c.closed = true
	c.raw.Close()
	if t := c.cfg.Trace; t != nil && t.Closed != nil {
		t.Closed(err)
	}
}

// cause turns an error of the connection into one that says whose fault it is.
// limit is the stage's own time, for the text.
func (c *conn) cause(stage Stage, err error, limit time.Duration) error {
	var syntax *smtpwire.SyntaxError
	if errors.As(err, &syntax) {
		text := syntax.Reason
		if syntax.Text != "" {
			text += ": " + syntax.Text
		}
		return &ProtocolError{Stage: stage, Text: c.secrets.Clean(text)}
	}
	if c.ctx != nil && c.ctx.Err() != nil {
		return givenUp(stage, c.ctx)
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &linkError{stage: stage, text: "no answer within " + limit.String(), err: err}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &linkError{stage: stage, text: "the server closed the connection", err: err}
	}
	return &linkError{stage: stage, text: "connection failed", err: err}
}

// line buffers a command. Only what Trace and Logger may show is passed here;
// lines with a secret go through secretLine.
func (c *conn) line(text []byte) error {
	if err := c.w.Line(text); err != nil {
		return err
	}
	if c.observed() {
		c.sent(string(text))
	}
	return nil
}

// command buffers a command given as a string.
func (c *conn) command(text string) error {
	if err := c.w.LineString(text); err != nil {
		return err
	}
	c.sent(text)
	return nil
}

// secretLine buffers shown followed by secret, of which only *** is seen.
func (c *conn) secretLine(shown, secret string) error {
	if err := c.w.LineString(shown + secret); err != nil {
		return errors.New("control octet in a line of the exchange")
	}
	if secret != "" {
		shown += "***"
	}
	c.sent(shown)
	return nil
}

// flush writes the buffered commands in one go. A failure does not show here
// but in reply, which first hears what the server said before it.
func (c *conn) flush() {
	if !c.usable() {
		return
	}
	c.writeWithin(c.cfg.Timeouts.Command)
	c.writeErr = c.w.Flush()
}

// writeWithin bounds the write that follows.
func (c *conn) writeWithin(limit time.Duration) {
	c.writeLimit = limit
	c.nc.SetWriteDeadline(time.Now().Add(limit))
}

// reply reads the reply of a stage, within limit as a whole. On an error the
// connection is broken; a 421 breaks it too, and is returned as a reply
// (RFC 5321, 3.8). The reply's text is valid until the next call.
func (c *conn) reply(stage Stage, limit time.Duration) (smtpwire.Reply, error) {
	if c.err != nil {
		return smtpwire.Reply{}, c.err
	}
	if c.writeErr != nil {
		limit = min(limit, lastWords)
	}
	c.nc.SetReadDeadline(time.Now().Add(limit))
	r, err := c.r.ReadReply()
	if err != nil {
		if c.writeErr != nil && !isType[*smtpwire.SyntaxError](err) {
			err, limit = c.writeErr, c.writeLimit
		}
		return smtpwire.Reply{}, c.breakUp(c.cause(stage, err, limit))
	}
	if c.observed() {
		c.received(c.public(r))
	}
	if r.Code == codeClosing {
		said := c.public(r)
		c.breakUp(&linkError{stage: stage, text: "the server ends the session", err: errors.New(said.String()), reply: &said})
	}
	return r, nil
}

const codeClosing = 421 // the server closes the connection, at any point

// settled reports an error when the server has said more than it was asked:
// whatever it is, it must not be taken for the answer to the next command.
func (c *conn) settled(stage Stage) error {
	if c.err == nil && c.writeErr != nil {
		c.breakUp(c.cause(stage, c.writeErr, c.writeLimit))
	}
	if c.err != nil || c.r.Buffered() == 0 {
		return c.err
	}
	return c.breakUp(&ProtocolError{Stage: stage, Text: "a reply that nothing asked for"})
}

// unexpected breaks the connection over a reply whose code makes no sense there.
func (c *conn) unexpected(stage Stage, r smtpwire.Reply) error {
	return c.breakUp(&ProtocolError{Stage: stage, Text: "unexpected " + c.public(r).String()})
}

// waiting reports, without waiting, whether the server has said something or
// hung up. On connections that cannot tell it sees only what is buffered.
func (c *conn) waiting() bool {
	if c.r.Buffered() > 0 {
		return true
	}
	c.nc.SetReadDeadline(never)
	if !c.peek.waiting() {
		return false
	}
	if c.nc == c.raw {
		return true
	}
	// Under TLS the octets may be no more than a session ticket.
	c.nc.SetReadDeadline(time.Now().Add(ticketWait))
	err := c.r.Fill()
	return err == nil || !errors.Is(err, os.ErrDeadlineExceeded)
}

// idle reports whether nothing is wrong with a connection that nobody waited on.
// What the server said meanwhile is read: a 421 is told apart from noise.
func (c *conn) idle(stage Stage) error {
	if c.err != nil || !c.waiting() {
		return c.err
	}
	r, err := c.reply(stage, lastWords)
	if err != nil || c.err != nil {
		return c.err
	}
	return c.breakUp(&ProtocolError{Stage: stage, Text: "a reply that nothing asked for: " + c.public(r).String()})
}

// write writes message octets past the command buffer, block by block.
func (c *conn) write(p []byte) error {
	if !c.usable() {
		return errors.Join(c.err, c.writeErr)
	}
	for len(p) > 0 {
		block := p[:min(len(p), ioBlock)]
		c.writeWithin(c.cfg.Timeouts.DataBlock)
		if err := c.w.WriteThrough(block); err != nil {
			c.writeErr = err
			return err
		}
		p = p[len(block):]
	}
	return nil
}

// exchange sends one command and reads its reply.
func (c *conn) exchange(stage Stage, line string) (smtpwire.Reply, error) {
	if err := c.idle(stage); err != nil {
		return smtpwire.Reply{}, err
	}
	if err := c.command(line); err != nil {
		return smtpwire.Reply{}, err
	}
	c.flush()
	return c.reply(stage, c.cfg.Timeouts.Command)
}

// goodbye ends the session with QUIT. It never fails: whatever the session had
// achieved stands (RFC 5321, 4.1.1.10).
func (c *conn) goodbye() {
	if !c.usable() || c.settled(StageQuit) != nil {
		c.close(c.err)
		return
	}
	c.err = ErrClosed
	limit := c.cfg.Timeouts.Quit
	deadline := time.Now().Add(limit)
	c.nc.SetDeadline(deadline)
	if c.command("QUIT") == nil && c.w.Flush() == nil && !c.cfg.NoQuitWait {
		if r, err := c.r.ReadReply(); err == nil {
			c.received(c.public(r))
		}
	}
	if c.nc != c.raw {
		c.nc.SetDeadline(deadline)
		c.nc.Close() // close_notify
	}
	c.close(nil)
}
