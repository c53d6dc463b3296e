package submission

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/fe022423/submission/internal/address"
	"github.com/fe022423/submission/internal/redact"
)

// Options configure a Client or a Session. The zero value of every field is a
// safe default: TLS is required, the certificate is checked, no secret is sent
// in clear, nothing waits for ever. New copies them.
type Options struct {
	// TLS says how the connection is secured; see TLSMode.
	TLS TLSMode
	// TLSConfig is the base of the TLS configuration; it is cloned. Without
	// ServerName the host that the caller named is verified; without MinVersion
	// TLS 1.2 is the least; without ClientSessionCache a Client has its own.
	TLSConfig *tls.Config
	// TLSClient makes another TLS stack than crypto/tls do the handshake on nc.
	// It must verify the server as cfg says before it returns. A connection
	// with a method ConnectionState() tls.ConnectionState is asked for it.
	TLSClient func(ctx context.Context, nc net.Conn, cfg *tls.Config) (net.Conn, error)
	// PinnedKeys are SHA-256 sums of the SubjectPublicKeyInfos of accepted
	// server certificates. When there are any, a server whose own certificate
	// has one of these keys is trusted without a CA and whatever its name, and
	// any other is refused.
	PinnedKeys [][32]byte
	// Dialer makes the raw connection; nil uses net.Dialer. TLS is put on top
	// of what it returns.
	Dialer Dialer
	// LocalAddr is the address to connect from, "ip" or "ip:port". It needs the
	// default dialer; give one of your own its local address yourself.
	LocalAddr string
	// LocalName is the name in EHLO and HELO: a domain or an address literal.
	// Empty sends the literal of the connection's local address; names are
	// never looked up.
	LocalName string
	// HELO greets with HELO only: no extension, so neither STARTTLS nor AUTH.
	HELO bool
	// Auth authenticates each session; nil leaves them unauthenticated. When it
	// is set and cannot be used, there is no session.
	Auth Auth
	// InsecureAuth allows PLAIN, LOGIN and bearer tokens without verified TLS.
	// Connections that do not leave the machine need no leave: loopback, Unix
	// sockets, in-memory pipes.
	InsecureAuth bool
	// From is the sender of envelopes that name none.
	From string
	// Disable lists extensions to treat as not offered, for servers that offer
	// what they then refuse.
	Disable []string
	// ChunkSize is the size in octets of a BDAT chunk, which is held in memory;
	// 0 means 1 MiB.
	ChunkSize int
	// EarlyData sends MAIL, RCPT and the message in one flight, one round trip in
	// all, where the server offers PIPELINING and CHUNKING, the message is short
	// enough to be held back (64 KiB), and a refused recipient cannot make it go
	// to the wrong ones: it has one recipient, or Envelope.Partial. It is off by
	// default. RFC 3030, 2 has the client hear the replies to RCPT first, and a
	// server that does not swallow the chunk behind a refusal would read the
	// message as commands; Postfix 3.7 and Dovecot 2.3 were seen to swallow it and
	// to take the next message on the same session. Also, a connection that turns out to be dead leaves
	// the outcome Unknown where otherwise the message would be sent again.
	EarlyData bool
	// Timeouts bound the server's answers; a context bounds the whole.
	Timeouts Timeouts
	// Pool bounds the sessions that a Client keeps.
	Pool PoolOptions
	// ProbeReset probes a session that idled with RSET instead of NOOP.
	ProbeReset bool
	// NoQuitWait closes right after QUIT without waiting for its reply.
	NoQuitWait bool
	// Trace holds hooks on what sessions do.
	Trace *Trace
	// Logger gets the protocol lines at level Debug, never a secret or a body.
	Logger *slog.Logger
}

// Timeouts bound single steps of a session. Zero means the default, which is
// that of RFC 5321, 4.5.3.2 where it has one. A reply has its time as a whole,
// however it drips in.
type Timeouts struct {
	Dial      time.Duration // connecting, the proxy included; default 30 s
	TLS       time.Duration // the handshake; default 30 s
	Greeting  time.Duration // the first reply; default 5 min
	Command   time.Duration // the reply to a command; default 5 min
	DataInit  time.Duration // the reply to DATA; default 2 min
	DataBlock time.Duration // writing a block of at most 64 KiB; default 3 min
	DataFinal time.Duration // the reply to the whole message; default 10 min
	Quit      time.Duration // the reply to QUIT; default 5 s
}

// PoolOptions bound the sessions of a Client. Zero means the default.
type PoolOptions struct {
	MaxSessions int           // open at a time, further sends wait; default 10
	MaxIdle     int           // kept open unused; default 2, negative keeps none
	MaxMessages int           // sent over one session; default 100
	IdleTimeout time.Duration // unused until it is closed; default 1 min
	MaxAge      time.Duration // from dial until it is not used again; default 1 h
}

// OptionError says that an option or an address given to New, NewSession or a
// dialer makes no sense. Nothing was connected.
type OptionError struct {
	Option string // the name of the field or argument
	Err    error
}

func (e *OptionError) Error() string  { return prefix + e.detail() }
func (e *OptionError) detail() string { return hinted("option "+e.Option, nil, e.Err, "") }

// Unwrap returns Err.
func (e *OptionError) Unwrap() error { return e.Err }

// Temporary is false.
func (e *OptionError) Temporary() bool { return false }

const (
	defaultChunkSize = 1 << 20
	portSMTP         = 25
	portSubmissions  = 465 // implicit TLS, RFC 8314
	portSubmission   = 587
)

// config is Options checked and completed for one server.
type config struct {
	Options
	host          string              // IP address or domain in A-labels
	port          int                 // 0 when not known
	local         string              // the EHLO argument, "" for the address literal
	auth          redact.Hidden[Auth] // Options.Auth; zero for none
	tlsConfig     *tls.Config
	callersDialer bool // the raw connection comes from Options.Dialer
	callersConn   bool // the connection was handed to NewSession
	memory        sync.Pool
}

// addr is the server as it is dialed and named in errors.
func (c *config) addr() string {
	if c.port == 0 {
		return c.host
	}
	return net.JoinHostPort(c.host, strconv.Itoa(c.port))
}

// newConfig checks o for a server. A port of 0 takes the default of the mode.
func newConfig(host string, port int, o *Options) (*config, error) {
	c := &config{port: port}
	if o != nil {
		c.Options = *o
	}
	var err error
	if c.host, err = address.Host(host); err != nil {
		return nil, &OptionError{"addr", err}
	}
	if err := c.checkNames(); err != nil {
		return nil, err
	}
	if c.TLS > TLSNone {
		return nil, &OptionError{"TLS", fmt.Errorf("unknown mode %d", c.TLS)}
	}
	if c.ChunkSize < 0 {
		return nil, &OptionError{"ChunkSize", errors.New("negative")}
	}
	if c.ChunkSize == 0 {
		c.ChunkSize = defaultChunkSize
	}
	if err := c.Timeouts.complete(); err != nil {
		return nil, &OptionError{"Timeouts", err}
	}
	if err := c.Pool.complete(); err != nil {
		return nil, &OptionError{"Pool", err}
	}
	if c.Auth != nil {
		c.auth, c.Auth = redact.Hide(c.Auth), nil
	}
	c.Disable = slices.Clone(c.Disable)
	c.PinnedKeys = slices.Clone(c.PinnedKeys)
	c.tlsConfig = c.newTLSConfig()
	c.memory.New = newMemory
	return c, nil
}

// checkNames checks LocalName, LocalAddr and From.
func (c *config) checkNames() error {
	if c.LocalName != "" {
		name, err := address.Domain(c.LocalName)
		if err == nil {
			err = address.CheckText(c.LocalName)
		}
		if err != nil {
			return &OptionError{"LocalName", err}
		}
		c.local = name
	}
	if c.From != "" && c.From != NullSender {
		if _, err := address.Parse(c.From); err != nil {
			return &OptionError{"From", err}
		}
	}
	if c.Dialer != nil && c.LocalAddr != "" {
		return &OptionError{"LocalAddr", errors.New("works with the default dialer only; bind the one in Dialer itself")}
	}
	c.callersDialer = c.Dialer != nil
	if c.Dialer == nil {
		d, err := newDialer(c.LocalAddr)
		if err != nil {
			return &OptionError{"LocalAddr", err}
		}
		c.Dialer = d
	}
	return nil
}

func (t *Timeouts) complete() error {
	for _, f := range []struct {
		value *time.Duration
		std   time.Duration
	}{
		{&t.Dial, 30 * time.Second},
		{&t.TLS, 30 * time.Second},
		{&t.Greeting, 5 * time.Minute},
		{&t.Command, 5 * time.Minute},
		{&t.DataInit, 2 * time.Minute},
		{&t.DataBlock, 3 * time.Minute},
		{&t.DataFinal, 10 * time.Minute},
		{&t.Quit, 5 * time.Second},
	} {
		if *f.value < 0 {
			return errors.New("negative")
		}
		if *f.value == 0 {
			*f.value = f.std
		}
	}
	return nil
}

func (p *PoolOptions) complete() error {
	if p.MaxSessions < 0 || p.MaxMessages < 0 || p.IdleTimeout < 0 || p.MaxAge < 0 {
		return errors.New("negative")
	}
	if p.MaxSessions == 0 {
		p.MaxSessions = 10
	}
	if p.MaxIdle == 0 {
		p.MaxIdle = 2
	}
	p.MaxIdle = min(max(p.MaxIdle, 0), p.MaxSessions)
	if p.MaxMessages == 0 {
		p.MaxMessages = 100
	}
	if p.IdleTimeout == 0 {
		p.IdleTimeout = time.Minute
	}
	if p.MaxAge == 0 {
		p.MaxAge = time.Hour
	}
	return nil
}
