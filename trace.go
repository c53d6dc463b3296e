package submission

import (
	"context"
	"crypto/tls"
	"time"
)

// Trace is a set of hooks on what a Client and its sessions do, for figures, spans and
// transcripts. It is set in Options.Trace, for all that a Client or a Session does, or
// with WithTrace in the context of a call. Every hook may be nil, and costs nothing then.
//
// A hook runs on the goroutine of the call that it is about, which waits for it. It must
// not use the session, the transaction or the connection, nor wait for another call of
// the same Client. Hooks of different calls run at the same time. A Trace must not be
// changed once it is in use. No hook gets a secret or bytes of a message.
//
// The context is that of the call, with all its values: what its caller gave to Send, Ping,
// Dial and the like, and for a Transaction to Begin. SendNumber tells which of many sends
// under one context it is. What nobody called for has context.Background(): the
// QUIT of a session that a Client closes by itself or in Close, and that of
// Session.Close; the replies to an envelope whose send has gone.
//
// A session that is opened calls DialStart, TLSDone under TLS, AuthDone where it logs in,
// and DialDone, in this order. Where one connection will not do, it makes another under
// the same number: to the next address of a host, without a TLS session ticket that was
// not taken, or for a renewed token. TLSDone, AuthDone and Closed are then called for
// each connection, DialStart and DialDone once.
type Trace struct {
	// Wait: a send or a Ping waits for a session of the pool, since all are in use.
	// s are the figures of the Client as of then, this call counted in. It is called
	// once a call at most.
	Wait func(ctx context.Context, s Stats)
	// DialStart: a session is about to be opened. addr is that of SessionInfo.
	// NewSession calls it too.
	DialStart func(ctx context.Context, addr string)
	// DialDone: the session is connected, greeted, secured and authenticated. Or it is
	// not, for the reason err, which is that of Dial; s has its number also then. It is
	// called once for each DialStart, unless code of yours panics in between.
	DialDone func(ctx context.Context, s SessionInfo, err error)
	// TLSDone: the TLS handshake succeeded and the certificate is trusted.
	TLSDone func(ctx context.Context, s SessionInfo, state tls.ConnectionState)
	// AuthDone: the server has accepted the credentials, or there will be no session.
	// mechanism is the SASL mechanism that decided, "" where none was tried. err is an
	// *AuthError or nil.
	AuthDone func(ctx context.Context, s SessionInfo, mechanism string, err error)
	// Reused: a session of the pool is used again, for a send or a Ping. It was found
	// to be alive, as far as that can be known, or it carries the envelope already.
	Reused func(ctx context.Context, s SessionInfo)
	// Restart: the message starts once more on a fresh session, since s, which was used
	// before, is the wrong one. why is the *SendError that this saves the caller from.
	Restart func(ctx context.Context, s SessionInfo, why error)
	// Sent: a command line was handed to the connection, without its CRLF. Secrets in
	// it are replaced by ***. The envelope of a send that waits may go out after the
	// message of another one. Its lines are then shown under the call that they belong
	// to, when that takes the session over; they are not where the session ends before.
	Sent func(ctx context.Context, s SessionInfo, line string)
	// Received: a reply came in. Secrets that the server repeats are replaced by ***.
	Received func(ctx context.Context, s SessionInfo, r Reply)
	// Done: a Send, SendFunc, SendMessage or Transaction, or an attempt of a Retry, is
	// over, also one that was refused before a session was wanted for it. It is called
	// once for each, last of all, when the session has been given back.
	Done func(ctx context.Context, i SendInfo)
	// Closed: a connection of the session was closed. err says why; it is nil after a
	// QUIT of this side. The Trace of a context is told only while its call uses the
	// session.
	Closed func(s SessionInfo, err error)
}

// SessionInfo tells which session a hook is about.
type SessionInfo struct {
	ID       uint64    // the number of the session, from 1; no other one in the process has it
	Network  string    // of the connection below all others, such as "tcp" or "unix"; "" when there is none
	Addr     string    // of the server, as ConnectError.Addr; also through a proxy
	Started  time.Time // when it began to be opened
	Messages int       // sent over it so far
}

// SendInfo is what became of a send, and what it took. The durations do not overlap, and
// are those of all attempts together, and of all transactions where the server takes only
// some of the recipients in one. They do not count the time in which your source was read
// before the message began to be sent.
type SendInfo struct {
	Started    time.Time   // when Send, SendFunc or Begin was called
	Session    SessionInfo // the session that it met last, or that was not opened; zero when there was none
	Reused     bool        // that session had been used before
	Attempts   int         // 0 when it was refused before a session was wanted; else 1, and one more for each Restart
	Recipients int         // of the envelope
	Bytes      int64       // of the message, as Result.Bytes; of one that was not sent, as far as it was read

	Waited   time.Duration // for a session of the pool, to be free and to show that it is alive
	Dialed   time.Duration // opening a session: connecting, the greeting, TLS and AUTH
	Envelope time.Duration // from its first command to its last reply; with Options.EarlyData to the verdict, when all went out together
	Message  time.Duration // from the first byte of the message until the last one was written
	Final    time.Duration // from then until the verdict

	Result *Result // as Send returns it
	Err    error   // a *SendError; nil when the message was sent to all
}

// traceKey is the key of the traces in a context.
type traceKey struct{}

// WithTrace returns a context made of ctx under whose calls t is told what happens, as
// httptrace.WithClientTrace does for HTTP: of a Send, a Ping or a Dial, and of everything
// that is done for it, the opening of a session included. All are told: t first, then
// each Trace that ctx has already, the last one added before the others, then
// Options.Trace. With a nil t it returns ctx.
func WithTrace(ctx context.Context, t *Trace) context.Context {
	if t == nil {
		return ctx
	}
	return context.WithValue(ctx, traceKey{}, append([]*Trace{t}, tracesIn(ctx)...))
}

// tracesIn returns the traces of a context, the last one added first.
func tracesIn(ctx context.Context) []*Trace {
	list, _ := ctx.Value(traceKey{}).([]*Trace)
	return list
}
