package submission

import (
	"cmp"
	"context"
	"errors"
	"net"
	"slices"
	"strings"

	"github.com/fe022423/submission/internal/hint"
	"github.com/fe022423/submission/internal/mechanism"
	"github.com/fe022423/submission/internal/printable"
)

// Causes that errors.Is finds inside the typed errors.
var (
	// ErrClosed: the Client or Session was closed by its owner, or the Session
	// failed earlier and cannot be used again. The error then also wraps the
	// reason.
	ErrClosed = errors.New("closed")
	// ErrUnsupported: the envelope or the options need an extension that the
	// server does not offer. Nothing of the message was sent.
	ErrUnsupported = errors.New("not offered by the server")
	// ErrInsecureAuth: the mechanism would send the credentials in a form that
	// can be read, without verified TLS, and Options.InsecureAuth does not allow
	// it. They were not sent.
	ErrInsecureAuth = errors.New("credentials not sent without verified TLS")
	// ErrTooLarge: the message is larger than the server's SIZE limit.
	ErrTooLarge = errors.New("message larger than the server accepts")
	// ErrOutOfRange: a number or a time of the envelope is beyond what its extension
	// allows, or beyond the limit that the server names for it; or there are more
	// recipients than LIMITS allows, see Envelope.Partial. The text has the limit.
	// Nothing of the message was sent.
	ErrOutOfRange = errors.New("out of range")
	// ErrNoRecipients: Envelope.To is empty.
	ErrNoRecipients = errors.New("no recipients")
	// ErrServerProof: with this mechanism the server must prove that it knows the
	// password too, and it did not. It may be an impostor.
	ErrServerProof = mechanism.ErrServerProof
	// ErrInTransaction: the Session has a Transaction that was neither
	// committed nor aborted.
	ErrInTransaction = errors.New("a transaction is open")
	// ErrAborted: the Transaction was given up before Commit.
	ErrAborted = errors.New("transaction aborted")
)

// SendError says that the server did not accept a message for every recipient.
// Outcome says whether it may be sent again, Recipients who gets it, Temporary
// whether trying later may help, Remaining for whom. Every error of Send, SendFunc,
// SendMessage, Begin, Prepare, Commit and Retry.Send is a *SendError, except that of a
// Prepare that comes after Commit.
type SendError struct {
	Outcome Outcome
	// Stage is where it failed.
	Stage Stage
	// Recipients has an entry for each of Envelope.To, in its order, whatever
	// failed.
	Recipients []RecipientResult
	// Reply is the reply of the server at Stage, nil when there was none.
	Reply *Reply
	// Err holds the cause, or several joined: *SenderError, *AddressError, the
	// errors of Dial, of the context, of the connection, of the message source.
	// It is nil when Reply alone is the cause.
	Err error

	partial   bool
	each      bool   // LMTP: each recipient had a final reply, and the causes have them
	elsewhere bool   // a session used before was the trouble: another one may take it
	hint      string // what to try, for the text
}

func (e *SendError) Error() string { return prefix + e.detail() }

func (e *SendError) detail() string {
	front, cause := e.Stage.String(), within(e.Stage, e.Err)
	if isType[*AuthError](e.Err) && strings.HasPrefix(cause, front+" ") {
		front, cause, _ = strings.Cut(cause, ": ") // with the mechanism
	}
	reply := e.Reply
	if e.Stage == StageMail || e.Stage == StageRcpt || e.each || namesReply(e.Err) {
		reply = nil // the cause has it
	}
	text := front + ": " + e.Outcome.String()
	if cause != "" {
		text += ": " + cause
	}
	return hinted(text, reply, "", e.hint)
}

// Unwrap returns Err.
func (e *SendError) Unwrap() error { return e.Err }

// Temporary reports whether sending the same message again later may succeed,
// without the risk of a duplicate. With Envelope.Partial, and for PartlySent, it is true
// when that may help at least one recipient that does not have it. It is false for
// Unknown: only you can decide then.
func (e *SendError) Temporary() bool {
	switch {
	case e.Outcome == Unknown:
		return false
	case e.elsewhere:
		return true
	}
	if e.Reply != nil && e.Stage != StageMail && e.Stage != StageRcpt && e.Stage != StageReset && !e.each {
		return mayPass(e.Reply)
	}
	var sender *SenderError
	if errors.As(e.Err, &sender) && !sender.Temporary() {
		return false // whatever the other causes are
	}
	some, all := temporary(e.Err)
	if e.partial {
		return some && slices.ContainsFunc(e.Recipients, func(r RecipientResult) bool { return r.Status == RecipientUnsent })
	}
	return all
}

// SenderError says that the sender was refused: by the server with Reply, or
// before anything was sent for the reason in Err. Parameters of MAIL that the
// server does not offer are reported here too.
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

// AddressError says that a recipient was refused: by the server with Reply, which with
// Options.LMTP may be that to the message, or before anything was sent for the reason in
// Err. Parameters of RCPT that the
// server does not offer are reported here too.
type AddressError struct {
	Addr  string
	Reply *Reply
	Err   error

	final bool // Reply is a final reply of LMTP
}

func (e *AddressError) Error() string { return prefix + e.detail() }

func (e *AddressError) detail() string {
	stage := StageRcpt
	if e.final {
		stage = StageFinal
	}
	return refusalText(stage.String()+": recipient", e.Addr, e.Reply, e.Err)
}

// Unwrap returns Err.
func (e *AddressError) Unwrap() error { return e.Err }

// Temporary reports whether the server refused with a 4yz, or answered RCPT with a
// 552, which means too many recipients there (RFC 5321, 4.5.3.1.10).
func (e *AddressError) Temporary() bool { return e.Reply != nil && mayTakeLater(e.Reply, e.final) }

// mayTakeLater reports whether a recipient that was refused may be taken later: at RCPT,
// or under LMTP by a final reply.
func mayTakeLater(r *Reply, final bool) bool { return mayPass(r) || r.Code == 552 && !final }

// ConnectError says that a session could not be opened: the connection, the
// greeting, EHLO or the STARTTLS command failed. A failure of the TLS handshake is
// a *TLSError, a failure of AUTH an *AuthError.
type ConnectError struct {
	Addr  string // "host:port" of the server, or the path of its Unix socket
	Stage Stage
	Reply *Reply
	Hint  string // what to try, "" when there is nothing to advise
	Err   error
}

func (e *ConnectError) Error() string { return prefix + e.detail() }

func (e *ConnectError) detail() string {
	reply := e.Reply
	if isType[*ProtocolError](e.Err) {
		reply = nil // the cause has it
	}
	return hinted(e.Stage.String()+": "+e.Addr, reply, within(e.Stage, e.Err), e.Hint)
}

// Unwrap returns Err.
func (e *ConnectError) Unwrap() error { return e.Err }

// Temporary reports whether trying later may help: after a 4yz or a failure of the
// network, but not after a 5yz or when the server lacks an extension.
func (e *ConnectError) Temporary() bool {
	if e.Reply != nil {
		return e.Reply.Temporary() || e.Stage == StageHello && mayPass(e.Reply)
	}
	_, all := temporary(e.Err)
	return all
}

// mayPass reports whether what a reply stopped may work later: after a 4yz, and
// after a 221 that no QUIT asked for, which means what 421 means.
func mayPass(r *Reply) bool { return r.Temporary() || r.Code == 221 }

// TLSError says that the TLS handshake failed or that the certificate of the server
// is not trusted. Nothing was sent in clear text after that. It wraps the errors of
// crypto/tls and crypto/x509.
type TLSError struct {
	Host string
	Hint string // what to try, "" when there is nothing to advise
	Err  error

	addr string // "host:port" for the text, "" when only Host is known
}

func (e *TLSError) Error() string { return prefix + e.detail() }

func (e *TLSError) detail() string {
	return hinted(StageTLS.String()+": "+cmp.Or(e.addr, e.Host), nil, within(StageTLS, e.Err), e.Hint)
}

// Unwrap returns Err.
func (e *TLSError) Unwrap() error { return e.Err }

// Temporary reports whether the network failed, or the server answered a 4yz in
// clear text where TLS was to begin. A certificate that is not trusted is not
// temporary.
func (e *TLSError) Temporary() bool {
	if reply := clearReply(e.Err); reply != nil {
		return mayPass(reply)
	}
	_, all := temporary(e.Err)
	return all
}

// AuthError says that the session could not be authenticated. It never contains a
// secret, also when the server repeats one.
type AuthError struct {
	Mechanism string   // the last one tried, "" when none could be
	Offered   []string // what the server offers
	Reply     *Reply
	Err       error

	shown      bool          // the server was shown the secret
	told       bool          // Err is the reason that the server gave, after which it hung up
	unanswered bool          // the connection was gone before the server answered
	over       *hint.Channel // what the secret was to go over, nil when that is not known
}

func (e *AuthError) Error() string { return prefix + e.detail() }

func (e *AuthError) detail() string {
	s := StageAuth.String()
	if e.Mechanism != "" {
		s += " " + printable.Text(e.Mechanism)
	}
	return hinted(s, e.Reply, within(StageAuth, e.Err), e.hint())
}

// Unwrap returns Err.
func (e *AuthError) Unwrap() error { return e.Err }

// Temporary reports whether trying later may help: after a 4yz such as 454 or a
// failure of the network, but not after a refusal of the credentials.
func (e *AuthError) Temporary() bool {
	if e.Reply != nil {
		return mayPass(e.Reply)
	}
	_, all := temporary(e.Err)
	// An Auth that asks another server for a token has errors of other types.
	return all || isType[net.Error](e.Err) || errors.Is(e.Err, context.Canceled)
}

// ProtocolError says that the server broke the protocol: with garbage, with a reply
// to no command, or with a code that makes no sense there. The connection is closed.
type ProtocolError struct {
	Stage Stage
	Text  string // what was wrong, with the server's text escaped
}

func (e *ProtocolError) Error() string { return prefix + e.detail() }

func (e *ProtocolError) detail() string { return e.Stage.String() + ": " + printable.Text(e.Text) }

// Temporary returns false: the server will break the protocol again.
func (e *ProtocolError) Temporary() bool { return false }
