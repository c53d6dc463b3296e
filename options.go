package submission

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/fe022423/submission/internal/address"
)

// Options configure a Client or a Session. The zero value of every field is a
// safe default: TLS is required, the certificate is checked, no secret is sent in
// clear text, and every wait has a limit. New and NewSession copy them.
type Options struct {
	// TLS says how the connection is secured; see TLSMode.
	TLS TLSMode
	// TLSConfig is the base of the TLS configuration; it is cloned. Where
	// ServerName is empty, the certificate must be for the host that is dialed;
	// where MinVersion is zero, TLS 1.2 is the minimum; where ClientSessionCache is
	// nil, a Client has a cache of its own.
	TLSConfig *tls.Config
	// TLSClient does the handshake on nc with another TLS stack than crypto/tls.
	// It must verify the server as cfg says before it returns. When the connection
	// that it returns has a method ConnectionState() tls.ConnectionState, the
	// method is called for the state. With PinnedKeys it must have one. To return
	// nc itself is an error.
	TLSClient func(ctx context.Context, nc net.Conn, cfg *tls.Config) (net.Conn, error)
	// PinnedKeys are the SHA-256 sums of accepted server keys: of the
	// SubjectPublicKeyInfo in the certificate. When there are any, a server whose
	// own certificate has one of these keys is trusted, without a check of its CA,
	// name and dates, and any other server is refused.
	PinnedKeys [][32]byte
	// Dialer makes the raw connection; nil uses net.Dialer. TLS is added on top
	// of it. For a Unix socket it gets the network "unix" and the path.
	Dialer Dialer
	// LocalAddr is the local address to connect from, "ip" or "ip:port". It works
	// with the default dialer only; with a Dialer, set the address there.
	LocalAddr string
	// LocalName is the name in EHLO, HELO and LHLO: a domain or an address literal such
	// as "[192.0.2.1]". Empty sends the local address of the connection as a
	// literal, "localhost" over a Unix socket; no name is looked up.
	LocalName string
	// HELO greets with HELO only. There are no extensions then, so neither
	// STARTTLS nor AUTH.
	HELO bool
	// LMTP speaks LMTP (RFC 2033) instead of SMTP, as servers do that deliver into
	// mailboxes. The greeting is LHLO. The server says for each recipient by itself what
	// became of the message, so some may have it and others not, also without
	// Envelope.Partial: the outcome is PartlySent then, and the error is beside a Result.
	// Partial still decides about recipients that are refused before the message. TLS is
	// required as with SMTP, but not over a Unix socket. EarlyData applies to a message
	// with one recipient, and only after such a one does the envelope of another message
	// go out. HELO excludes LMTP.
	LMTP bool
	// Auth authenticates each session; nil means no authentication. When it is
	// set and authentication fails or is not offered, there is no session. A Password
	// that can never work is an error of New.
	Auth Auth
	// InsecureAuth allows PLAIN, LOGIN and bearer tokens without verified TLS.
	// A connection that stays on this machine does not need it. That is one that
	// the default dialer made to a loopback address or a Unix socket. A connection from Dialer, or
	// one that you hand to NewSession, may be the near end of a tunnel: it counts
	// only when its far end is a loopback address, a Unix socket or an in-memory
	// pipe, and the host is named localhost or a loopback address as well. A
	// connection through SOCKS5 or HTTPConnect never counts.
	InsecureAuth bool
	// From is the sender of envelopes without a From, and written as there.
	From string
	// Disable lists extensions to treat as not offered, for servers that offer
	// an extension and then refuse its use.
	Disable []string
	// ChunkSize is the size of a BDAT chunk in bytes; 0 means 1 MiB. A chunk is
	// held in memory.
	ChunkSize int
	// EarlyData sends MAIL, RCPT and the message together, without waiting for
	// replies between them: one round trip in all. It applies when the server
	// offers PIPELINING and CHUNKING, the message has at most 64 KiB, and it has
	// one recipient or Envelope.Partial, so that a refused recipient cannot send
	// it to the wrong ones. A message that needs a RSET before it, and one that is
	// prepared, wait for the replies all the same. It is off by default, for two
	// reasons. RFC 3030, 2 has the client wait for the replies to RCPT first: a server
	// that does not discard the chunk after a refusal reads the message as commands,
	// so a session on which a chunk met a refusal is closed. And a connection that
	// turns out to be dead makes the outcome Unknown, where otherwise the message
	// would start again on a fresh session.
	EarlyData bool
	// Timeouts limit the wait for each answer of the server; use the context to
	// limit a whole call.
	Timeouts Timeouts
	// Pool limits the sessions of a Client.
	Pool PoolOptions
	// ProbeReset sends RSET instead of NOOP to check a session that was idle.
	ProbeReset bool
	// NoQuitWait closes the connection right after QUIT, without waiting for the
	// reply.
	NoQuitWait bool
	// Trace holds functions that are called for what sessions do and what becomes of
	// messages. WithTrace has others called for one call.
	Trace *Trace
	// Logger gets a record when a send is over: "sent" at level Info when the server
	// accepted the message for every recipient, otherwise, also when the outcome is
	// Unknown, "not sent" at Warn. At Debug it also gets the commands as "smtp sent" and
	// the replies as "smtp received". Secrets and messages are never in a record;
	// addresses and what the server says are. Nil logs none of these. Each record comes with the
	// context of the call, as each hook of Trace, and with attributes that keep their names:
	//
	//	session     the number of the session, as SessionInfo.ID; 0 when there was none
	//	server      the server's address, as SessionInfo.Addr
	//	line        of "smtp sent": the command
	//	code, reply of "smtp received": the reply; reply also of "sent"
	//	outcome     of "not sent": SendError.Outcome in words
	//	stage       of "not sent": SendError.Stage in words
	//	error       of "not sent": the text of the error
	//	duration    of "sent" and "not sent": since the send began, as SendInfo.Started
	//	recipients, bytes, attempts of both: as in SendInfo
	//
	// A panic of a hook on a goroutine of a Client's own is logged at Error; without a
	// Logger, by slog.Default.
	Logger *slog.Logger
}

// Timeouts limit single steps of a session. Zero means the default, which is that
// of RFC 5321, 4.5.3.2 where it has one, except for the greeting: who dials the
// wrong port should not wait for ever. The limit is for a whole reply, also when
// it arrives in small pieces. A negative value is an *OptionError.
type Timeouts struct {
	Dial      time.Duration // connecting, to all addresses of the host, with the proxy; default 30 s
	TLS       time.Duration // the handshake; default 30 s
	Greeting  time.Duration // the first reply; default 1 min
	Command   time.Duration // the reply to a command; default 5 min
	DataInit  time.Duration // the reply to DATA; default 2 min
	DataBlock time.Duration // writing a block of the message, at most 64 KiB; default 3 min
	DataFinal time.Duration // the reply to the whole message; default 10 min
	Quit      time.Duration // the reply to QUIT; default 5 s
}

// PoolOptions limit the sessions of a Client. Zero means the default; a negative value
// is an *OptionError, except that of MaxIdle.
type PoolOptions struct {
	MaxSessions int // open at the same time, further sends wait; default 10
	MaxIdle     int // kept open while unused; default 2, negative keeps none
	// MaxMessages is how many messages are sent over one session; default 100. Some
	// servers do less well after fewer: Exim accepts what comes after ten messages of a
	// session but leaves it in its queue until the next queue run
	// (smtp_accept_queue_per_connection), and Stalwart allows ten a session. Set 10 there.
	// A server that names a smaller number itself is obeyed (MAILMAX of RFC 9422).
	MaxMessages int
	IdleTimeout time.Duration // unused until it is closed; default 1 min
	MaxAge      time.Duration // since the dial; an older one is not used again; default 1 h
}

// OptionError says that an option or an argument of New, NewSession, a dialer or a
// method is wrong. Nothing was sent.
type OptionError struct {
	Option string // the name of the field or argument
	Err    error
}

func (e *OptionError) Error() string  { return prefix + e.detail() }
func (e *OptionError) detail() string { return hinted("option "+e.Option, nil, causeText(e.Err), "") }

// Unwrap returns Err.
func (e *OptionError) Unwrap() error { return e.Err }

// Temporary returns false: the same options fail again.
func (e *OptionError) Temporary() bool { return false }

// addrError is the error of an address, with advice for one that holds credentials.
func addrError(err error) error {
	if errors.Is(err, address.ErrCredentials) {
		err = fmt.Errorf("%w; credentials belong in Options.Auth, and ParseURL reads a URL", err)
	}
	return &OptionError{"addr", err}
}
