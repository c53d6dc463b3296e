package submission

import (
	"context"
	"errors"
	"io"
)

// Client sends mail through one server. It keeps a few sessions open between
// messages and opens more when several are sent at once; see PoolOptions. It is
// safe for concurrent use. A service makes one and closes it at its end.
type Client struct {
	cfg  *config
	pool *pool
}

// New returns a Client for the server at addr: "host", "host:port", an IPv6
// address with or without brackets, or "unix:/path" for a Unix socket. Without a
// port it is 587, 465 with TLSImplicit, 25 with TLSNone, and 24 with Options.LMTP.
// Nil options are the defaults. New does no I/O; an error is an *OptionError.
//
// The connection to a Unix socket stays on this machine: TLSAuto is TLSNone there, the
// host is "localhost", and so is the name in EHLO, since there is no address to show.
func New(addr string, o *Options) (*Client, error) {
	cfg, err := configFor(addr, o)
	if err != nil {
		return nil, err
	}
	if err := checkPassword(cfg.auth.Reveal()); err != nil {
		return nil, o.refused(err)
	}
	c := &Client{cfg: cfg}
	c.pool = newPool(cfg, cfg.open)
	return c, nil
}

// Send sends a message read from msg to its end; line endings of any kind
// become CRLF. A nil error means that the server accepted it for every
// recipient. Otherwise the error is a *SendError, whose Outcome says whether the
// message may be sent again; with a partial envelope it may stand beside a Result.
//
// A message of up to 64 KiB is read before a session is taken; a longer one
// streams. While a message of up to 64 KiB waits for a session, its envelope may go out
// after the message of another send.
//
// A session that was used before may turn out to be the wrong one: the server closed it
// meanwhile, forgot the login, or takes no more messages over it. The message then
// starts once more on a fresh session, as long as nothing of it can have been accepted
// and all of it can be sent again: no more than its first 64 KiB were sent, or msg is
// an io.ReadSeeker. There is no other retry. When msg fails, nothing is delivered. When
// ctx is done, the connection is closed at once, but Send returns only after a running
// Read of msg has returned.
func (c *Client) Send(ctx context.Context, env Envelope, msg io.Reader) (*Result, error) {
	return c.begin(ctx, &env).readAll(msg)
}

// SendFunc is Send for a message that write produces. An error of write, also a
// panic, keeps the message from being delivered. The writer must not be used
// after write has returned.
func (c *Client) SendFunc(ctx context.Context, env Envelope, write func(io.Writer) error) (*Result, error) {
	return c.begin(ctx, &env).call(write)
}

// SendMessage sends a message that says itself whom it is from and for: ReadEnvelope
// makes the envelope of its header section, and then it is sent as by Send, without Bcc. It is
// sent from Options.From if it has neither Sender nor From. What ReadEnvelope refuses is a
// *SendError with Outcome NotSent and that cause; its Recipients are empty as long as they
// are not known. For anything else in the envelope, such as Partial, call ReadEnvelope and
// Send.
func (c *Client) SendMessage(ctx context.Context, msg io.Reader) (*Result, error) {
	t := openTransaction(ctx, c.cfg, c.pool)
	if err := c.pool.enter(); err != nil {
		t.attempt.noSession = true
		t.refuse(err)
		return nil, t.err
	}
	t.entered = true
	return t.receive(msg)
}

// Begin starts a transaction on a session of the Client: it checks the envelope
// and sends nothing. A session is taken when the message has grown over 64 KiB, at
// Prepare, or at Commit, whichever is first, and held until the transaction is
// over; waiting for one may make these calls wait. ctx governs the transaction
// until it is over. Errors are *SendError.
func (c *Client) Begin(ctx context.Context, env Envelope) (*Transaction, error) {
	t := newTransaction(ctx, c.cfg, &env, c.pool)
	if t.err == nil && c.pool.isClosed() {
		t.attempt.noSession = true
		t.refuse(errClientClosed)
	}
	if t.err != nil {
		return nil, t.err
	}
	return t, nil
}

// begin starts a transaction of a call that comes to its end even when the Client is
// closed meanwhile. One that is refused is over.
func (c *Client) begin(ctx context.Context, env *Envelope) *Transaction {
	t := newTransaction(ctx, c.cfg, env, c.pool)
	if t.err != nil {
		return t
	}
	if err := c.pool.enter(); err != nil {
		t.attempt.noSession = true
		t.refuse(err)
	} else {
		t.entered = true
	}
	return t
}

// Dial opens your own session, outside the pool and its limits: it connects, greets,
// secures and authenticates. You close it. Errors are *ConnectError, *TLSError and
// *AuthError; after Close a *ConnectError that wraps ErrClosed.
func (c *Client) Dial(ctx context.Context) (*Session, error) {
	if c.pool.isClosed() {
		return nil, &ConnectError{Addr: c.cfg.addr(), Stage: StageDial, Err: errClientClosed}
	}
	return c.cfg.open(ctx, c.cfg.watch(ctx))
}

// Ping finds out whether the server is there, is trusted and takes the credentials.
// It asks over an idle session with NOOP where there is one, and else opens one, which
// it leaves to the next send; when every session is in use it waits for one, as a send
// does. It is fit for a readiness probe. Errors are those of Dial; a *SendError never.
func (c *Client) Ping(ctx context.Context) error {
	err := c.pool.ping(ctx)
	if lost := (*linkError)(nil); err == errClientClosed || errors.As(err, &lost) && lost.stage == StageWait {
		return &ConnectError{Addr: c.cfg.addr(), Stage: StageWait, Err: err}
	}
	return err
}

// Stats returns the figures of the Client as of now. It does not wait.
func (c *Client) Stats() Stats { return c.pool.stats() }

// Shutdown closes the Client and lets what runs come to its end: new calls get
// ErrClosed, and every send that was called before is carried through, those that
// wait for a session included. It returns nil when they have ended and all sessions
// are closed. When ctx is done first, it cuts them off, each with its true outcome,
// and returns ctx.Err(). A transaction of Begin counts from when it takes a session;
// one that was prepared may still commit. Sessions of Dial are not touched.
func (c *Client) Shutdown(ctx context.Context) error { return c.pool.shutdown(ctx) }

// Close is Shutdown without a deadline. The error is always nil.
func (c *Client) Close() error { return c.pool.shutdown(context.Background()) }
