package submission

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"

	"github.com/fe022423/submission/internal/mechanism"
)

// Causes that errors.Is finds inside the typed errors.
var (
	// ErrClosed: the Client or Session was closed by its owner, or the Session
	// broke earlier and is never used again (the error then also wraps why).
	ErrClosed = errors.New("closed")
	// ErrUnsupported: the envelope or the options ask for what the server does
	// not offer. Nothing of the message was sent.
	ErrUnsupported = errors.New("not offered by the server")
	// ErrInsecureAuth: the credentials would travel readable, without verified
	// TLS, and Options.InsecureAuth does not allow it. Nothing of them was sent.
	ErrInsecureAuth = errors.New("credentials not sent without verified TLS")
	// ErrTooLarge: the message is larger than the server's SIZE limit.
	ErrTooLarge = errors.New("message larger than the server takes")
	// ErrNoRecipients: Envelope.To is empty.
	ErrNoRecipients = errors.New("no recipients")
	// ErrServerProof: the mechanism makes the server prove that it knows the
	// password too, and it did not: it may be an impostor.
	ErrServerProof = mechanism.ErrServerProof
	// ErrInTransaction: the Session has a Transaction that was neither
	// committed nor aborted.
	ErrInTransaction = errors.New("a transaction is open")
	// ErrAborted: the Transaction was given up before Commit.
	ErrAborted = errors.New("transaction aborted")
)

// SendError says that a message did not reach everyone it was for, and what to
// make of it: Outcome tells whether it may be sent again, Recipients whom
// it reached, Temporary whether trying later may help. Every failure of Send,
// SendFunc and Commit is one.
type SendError struct {
	Outcome Outcome
	// Stage is where it failed.
	Stage Stage
	// Recipients has an entry for each of Envelope.To, in its order; nil when
	// the envelope itself was refused before the recipients were looked at.
	Recipients []RecipientResult
	// Reply is what the server said at Stage, nil when it said nothing.
	Reply *Reply
	// Err holds the cause, or several joined: *SenderError, *AddressError, the
	// errors of Dial, of the context, of the connection, of the message source.
	// It is nil when Reply alone is the cause.
	Err error

	partial bool
	again   bool // a fresh session may take the message
}

func (e *SendError) Error() string { return prefix + e.detail() }

func (e *SendError) detail() string {
	var b strings.Builder
	b.WriteString(e.Stage.String())
	b.WriteString(": ")
	b.WriteString(e.Outcome.String())
	if e.Err != nil {
		b.WriteString(": ")
		b.WriteString(strings.TrimPrefix(detail(e.Err), e.Stage.String()+": "))
	}
	if e.Reply != nil && e.Stage != StageMail && e.Stage != StageRcpt && !namesReply(e.Err) {
		b.WriteString(": server says ")
		b.WriteString(e.Reply.String())
	}
	return b.String()
}

// Unwrap returns Err.
func (e *SendError) Unwrap() error { return e.Err }

// Temporary reports whether sending the same again later may succeed without
// risk of a duplicate. With Partial it is enough that it may help one recipient.
// It is false for Unknown: that decision is the caller's.
func (e *SendError) Temporary() bool {
	if e.Outcome == Unknown {
		return false
	}
	if e.Reply != nil && e.Stage != StageMail && e.Stage != StageRcpt && e.Stage != StageReset {
		return e.Reply.Temporary()
	}
	var sender *SenderError
	if errors.As(e.Err, &sender) && !sender.Temporary() {
		return false // whatever else may pass
	}
	some, all := temporary(e.Err)
	if e.partial {
		return some && slices.ContainsFunc(e.Recipients, func(r RecipientResult) bool { return r.Status == RecipientUnsent })
	}
	return all
}

// SenderError says that the sender was refused: by the server, which said
// Reply, or before anything was sent, for the reason in Err. Parameters
// of MAIL that cannot be had are reported here too.
type SenderError struct {
	Addr  string
	Reply *Reply
	Err   error
}

func (e *SenderError) Error() string { return prefix + e.detail() }

func (e *SenderError) detail() string {
	return refusalText("MAIL: sender", e.Addr, e.Reply, e.Err)
}

// Unwrap returns Err.
func (e *SenderError) Unwrap() error { return e.Err }

// Temporary reports whether the server refused with a 4yz.
func (e *SenderError) Temporary() bool { return e.Reply != nil && e.Reply.Temporary() }

// AddressError says that a recipient was refused, as SenderError for the sender.
type AddressError struct {
	Addr  string
	Reply *Reply
	Err   error
}

func (e *AddressError) Error() string { return prefix + e.detail() }

func (e *AddressError) detail() string {
	return refusalText("RCPT: recipient", e.Addr, e.Reply, e.Err)
}

// Unwrap returns Err.
func (e *AddressError) Unwrap() error { return e.Err }

// Temporary reports whether the server refused with a 4yz, or with the 552 that
// means too many recipients (RFC 5321, 4.5.3.1.10).
func (e *AddressError) Temporary() bool { return e.Reply != nil && temporaryRcpt(*e.Reply) }

func temporaryRcpt(r Reply) bool { return r.Temporary() || r.Code == 552 }

// ConnectError says that no session came about, up to and with EHLO and the
// STARTTLS command. Failures of the TLS handshake are *TLSError, of AUTH
// *AuthError.
type ConnectError struct {
	Addr  string // "host:port" of the server
	Stage Stage
	Reply *Reply
	Hint  string // what to try, "" when there is no advice
	Err   error
}

func (e *ConnectError) Error() string { return prefix + e.detail() }

func (e *ConnectError) detail() string {
	return hinted(e.Stage.String()+": "+e.Addr, e.Reply, e.Err, e.Hint)
}

// Unwrap returns Err.
func (e *ConnectError) Unwrap() error { return e.Err }

// Temporary reports whether trying later may help: a 4yz or 421, a network that
// failed. A 5yz and what the server lacks stay.
func (e *ConnectError) Temporary() bool {
	if e.Reply != nil {
		return e.Reply.Temporary()
	}
	_, all := temporary(e.Err)
	return all
}

// TLSError says that the TLS handshake failed or that the server's certificate
// is not trusted. Nothing was sent in clear after it. It unwraps to the errors
// of crypto/tls and crypto/x509.
type TLSError struct {
	Host string
	Hint string
	Err  error
}

func (e *TLSError) Error() string { return prefix + e.detail() }

func (e *TLSError) detail() string {
	return hinted(StageTLS.String()+": "+e.Host, nil, e.Err, e.Hint)
}

// Unwrap returns Err.
func (e *TLSError) Unwrap() error { return e.Err }

// Temporary reports whether the network failed; a certificate that is not
// trusted stays so.
func (e *TLSError) Temporary() bool {
	_, all := temporary(e.Err)
	return all
}

// AuthError says that the session could not be authenticated. Secrets never
// stand in it, also when the server repeats them.
type AuthError struct {
	Mechanism string   // the last one tried, "" when none could be
	Offered   []string // what the server offers
	Reply     *Reply
	Err       error
}

func (e *AuthError) Error() string { return prefix + e.detail() }

func (e *AuthError) detail() string {
	s := StageAuth.String()
	if e.Mechanism != "" {
		s += " " + escaped(e.Mechanism)
	}
	return hinted(s, e.Reply, e.Err, authHint(e.Mechanism, e.Reply))
}

// Unwrap returns Err.
func (e *AuthError) Unwrap() error { return e.Err }

// Temporary reports whether trying later may help: a 4yz such as 454, a network
// that failed. Wrong credentials stay wrong.
func (e *AuthError) Temporary() bool {
	if e.Reply != nil {
		return e.Reply.Temporary()
	}
	_, all := temporary(e.Err)
	// An Auth that asks elsewhere for a token fails in ways of its own.
	return all || isType[net.Error](e.Err) || errors.Is(e.Err, context.Canceled)
}

// ProtocolError says that the server left the protocol: garbage, a reply that
// nothing asked for, a code that makes no sense there. The connection is closed.
type ProtocolError struct {
	Stage Stage
	Text  string // what was wrong, with the server's text escaped
}

func (e *ProtocolError) Error() string { return prefix + e.detail() }

func (e *ProtocolError) detail() string { return e.Stage.String() + ": " + escaped(e.Text) }

// Temporary is false: a server that speaks wrongly will do so again.
func (e *ProtocolError) Temporary() bool { return false }
