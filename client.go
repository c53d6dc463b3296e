package submission

import (
	"context"
	"io"

	"github.com/fe022423/submission/internal/address"
)

// Client sends mail through one server. It keeps a few sessions open between
// messages and opens more when several are sent at once; see PoolOptions. It is
// safe for concurrent use. A service makes one and closes it at its end.
type Client struct {
	cfg  *config
	pool pool
}

// New returns a Client for the server at addr: "host", "host:port", an IPv6
// address with or without brackets. Without a port it is 587, 465 with
// TLSImplicit, 25 with TLSNone. Nil options are the defaults. New does no I/O; an
// error is an *OptionError.
func New(addr string, o *Options) (*Client, error) {
	host, port, err := address.SplitHostPort(addr)
	if err != nil {
		return nil, o.refused(addrError(err))
	}
	mode := TLSAuto
	if o != nil {
		mode = o.TLS
	}
	if port == 0 {
		port = mode.defaultPort()
	}
	cfg, err := newConfig(host, port, o)
	if err != nil {
		return nil, err
	}
	c := &Client{cfg: cfg}
	c.pool.cfg = cfg
	c.pool.dial = c.Dial
	return c, nil
}

// Send sends a message read from msg to its end; line endings of any kind
// become CRLF. A nil error means that the server accepted it for every
// recipient. Otherwise the error is a *SendError, whose Outcome says whether the
// message may be sent again; with a partial envelope it may stand beside a Result.
//
// A message of up to 64 KiB is read before a session is taken, a longer one
// streams. If the session was one that the server had closed meanwhile, the
// message starts once more on a fresh one; there is no other retry. When msg
// fails, nothing is delivered. When ctx is done the connection is closed at once,
// but Send returns only when a Read of msg that runs has returned.
func (c *Client) Send(ctx context.Context, env Envelope, msg io.Reader) (*Result, error) {
	return c.begin(ctx, &env).readAll(msg)
}

// SendFunc is Send for a message that write produces. An error of write, also a
// panic, keeps the message from being delivered. The writer must not be used
// after write has returned.
func (c *Client) SendFunc(ctx context.Context, env Envelope, write func(io.Writer) error) (*Result, error) {
	return c.begin(ctx, &env).call(write)
}

// Begin starts a transaction on a session of the Client: it checks the envelope
// and sends nothing. A session is taken when the message has grown over 64 KiB, at
// Prepare, or at Commit, whichever is first, and held until the transaction is
// over; waiting for one may make these calls wait. ctx governs the transaction
// until it is over. Errors are *SendError.
func (c *Client) Begin(ctx context.Context, env Envelope) (*Transaction, error) {
	t := c.begin(ctx, &env)
	if t.err != nil {
		return nil, t.err
	}
	return t, nil
}

// begin is Begin, but the transaction that it refuses is one that is over.
func (c *Client) begin(ctx context.Context, env *Envelope) *Transaction {
	t := newTransaction(ctx, c.cfg, env)
	t.lender = &c.pool
	return t
}

// Dial opens a session of the caller's own, outside the pool and its bounds: it
// connects, greets, secures and authenticates. The caller closes it. Errors are
// *ConnectError, *TLSError and *AuthError.
func (c *Client) Dial(ctx context.Context) (*Session, error) {
	return c.cfg.open(ctx)
}

// Ping opens a session and closes it again: a nil error means that the server
// is there, is trusted and takes the credentials. Errors are those of Dial.
func (c *Client) Ping(ctx context.Context) error {
	s, err := c.Dial(ctx)
	if err != nil {
		return err
	}
	return s.Close()
}

// Close refuses new sends and those that wait for a session with ErrClosed, waits
// for those that run, and then ends the idle sessions. Cancel the contexts of
// running sends to be quick; one that is cut at the wrong moment ends Unknown.
// Sessions of Dial are not touched. The error is always nil.
func (c *Client) Close() error {
	c.pool.close()
	return nil
}
