package submission

import (
	"context"
	"errors"
	"fmt"
	"os"
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

// Outcome is what became of a message that did not reach everyone.
type Outcome uint8

const (
	// NotSent: the server did not accept the message for anyone. Sending it
	// again cannot deliver it twice.
	NotSent Outcome = iota
	// PartlySent: the server accepted it for the recipients with Status Sent.
	PartlySent
	// Unknown: the connection failed after the last octet went out and before
	// the server's verdict came in. The recipients with Status Uncertain may
	// have it: sending again may deliver twice, not sending may lose it.
	Unknown
)

// String names the outcome in words.
func (o Outcome) String() string {
	switch o {
	case NotSent:
		return "not sent"
	case PartlySent:
		return "partly sent"
	default:
		return "outcome unknown"
	}
}

// Stage is the step of a session at which something happened, in the order in
// which a session goes through them.
type Stage uint8

// The stages of a session and of a message.
const (
	StageDial     Stage = iota // connecting to the server or the proxy
	StageProxy                 // the proxy's part: its refusal, its credentials
	StageGreeting              // the server's first reply
	StageHello                 // EHLO or HELO
	StageStartTLS              // the STARTTLS command
	StageTLS                   // the TLS handshake
	StageAuth                  // AUTH and its exchange
	StageMail                  // MAIL, and every check made before it
	StageRcpt                  // RCPT
	StageData                  // DATA
	StageMessage               // the message's octets, before the last one
	StageFinal                 // the reply to the whole message
	StageReset                 // RSET
	StageNoop                  // NOOP
	StageQuit                  // QUIT
	StageCommand               // VRFY, and commands of the caller's
)

var stageNames = [...]string{"dial", "proxy", "greeting", "EHLO", "STARTTLS", "TLS handshake", "AUTH",
	"MAIL", "RCPT", "DATA", "message", "final reply", "RSET", "NOOP", "QUIT", "command"}

// String names the stage by its command or in words.
func (s Stage) String() string {
	if int(s) < len(stageNames) {
		return stageNames[s]
	}
	return fmt.Sprintf("Stage(%d)", uint8(s))
}

// prefix begins the text of every error of this package, once.
const prefix = "submission: "

// detailed is implemented by the error types here: their text without prefix,
// so that one inside another does not repeat it.
type detailed interface{ detail() string }

func detail(err error) string {
	if d, ok := err.(detailed); ok {
		return d.detail()
	}
	return escaped(strings.TrimPrefix(err.Error(), prefix))
}

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
	if e.Reply != nil && e.Stage != StageMail && e.Stage != StageRcpt && !sayReply(e.Err) {
		b.WriteString(": server says ")
		b.WriteString(e.Reply.String())
	}
	return b.String()
}

// sayReply reports whether err's own text already has the reply.
func sayReply(err error) bool {
	return isType[*ConnectError](err) || isType[*AuthError](err)
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
	if e.Reply != nil && e.Stage != StageMail && e.Stage != StageRcpt {
		return e.Reply.Temporary()
	}
	some, all := temporary(e.Err)
	if e.partial {
		return some
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
	return refusal("MAIL: sender", e.Addr, e.Reply, e.Err)
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
	return refusal("RCPT: recipient", e.Addr, e.Reply, e.Err)
}

// Unwrap returns Err.
func (e *AddressError) Unwrap() error { return e.Err }

// Temporary reports whether the server refused with a 4yz, or with the 552 that
// means too many recipients (RFC 5321, 4.5.3.1.10).
func (e *AddressError) Temporary() bool { return e.Reply != nil && temporaryRcpt(*e.Reply) }

func temporaryRcpt(r Reply) bool { return r.Temporary() || r.Code == 552 }

func refusal(what, addr string, reply *Reply, err error) string {
	s := what + " " + escaped(addr)
	if addr == "" {
		s = what
	}
	switch {
	case reply != nil:
		return s + " refused: server says " + reply.String()
	case err != nil:
		return s + ": " + detail(err)
	}
	return s + " refused"
}

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

func hinted(s string, reply *Reply, err error, hint string) string {
	if reply != nil {
		s += ": server says " + reply.String()
	}
	if err != nil {
		s += ": " + detail(err)
	}
	if hint != "" {
		s += " (" + hint + ")"
	}
	return s
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
	return hinted(s, e.Reply, e.Err, authHint(e.Reply))
}

// authHint says what the codes of RFC 4954, 6 want.
func authHint(r *Reply) string {
	if r == nil {
		return ""
	}
	switch r.Code {
	case 432:
		return "the server wants the password changed first"
	case 454:
		return "a failure of the server's own: try again later"
	case 530:
		return "the server wants TLS or another way to authenticate first"
	case 534:
		return "the mechanism is too weak for this user"
	case 535:
		return "user name or password wrong"
	case 538:
		return "the server wants TLS before this mechanism"
	}
	return ""
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
	return all
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

// linkError is a failure of the connection, or a caller who gave up: it says
// nothing about the message or the server's will.
type linkError struct {
	stage Stage
	text  string
	err   error
	reply *Reply // the 421 that ended the session
}

func (e *linkError) Error() string { return prefix + e.stage.String() + ": " + e.detail() }

// detail leaves the stage out: the error around it has it.
func (e *linkError) detail() string {
	if e.text == "" {
		return escaped(e.err.Error())
	}
	return e.text + ": " + escaped(e.err.Error())
}

// givenUp is the error of a caller whose ctx is done. It is found as
// ctx.Err(), and as its cause where that is another.
func givenUp(stage Stage, ctx context.Context) *linkError {
	err, cause := ctx.Err(), context.Cause(ctx)
	if !errors.Is(cause, err) {
		err = errors.Join(err, cause)
	}
	return &linkError{stage: stage, text: "given up by the caller", err: err}
}

// late reports whether time ran out: the server may be busy with what it was
// sent, which a connection that is gone cannot be.
func (e *linkError) late() bool { return errors.Is(e.err, os.ErrDeadlineExceeded) }

func (e *linkError) Unwrap() error   { return e.err }
func (e *linkError) Temporary() bool { return true }

// joined is several causes on one line.
type joined []error

// maxNamed bounds the causes that the text of joined spells out.
const maxNamed = 3

func join(errs ...error) error {
	var list joined
	for _, err := range errs {
		if err != nil {
			list = append(list, err)
		}
	}
	switch len(list) {
	case 0:
		return nil
	case 1:
		return list[0]
	}
	return list
}

func (j joined) Error() string { return prefix + j.detail() }

func (j joined) detail() string {
	var parts []string
	for i, err := range j {
		if i == maxNamed {
			parts = append(parts, fmt.Sprintf("and %d more", len(j)-i))
			break
		}
		parts = append(parts, detail(err))
	}
	return strings.Join(parts, "; ")
}

func (j joined) Unwrap() []error { return j }

// temporary reports whether some, and whether all, of the causes in err may
// pass. A cause of no known kind counts as lasting.
func temporary(err error) (some, all bool) {
	if err == nil {
		return false, false
	}
	if list, ok := err.(joined); ok {
		all = true
		for _, e := range list {
			s, a := temporary(e)
			some, all = some || s, all && a
		}
		return some, all
	}
	t, ok := err.(interface {
		Temporary() bool
		detailed
	})
	if ok {
		return t.Temporary(), t.Temporary()
	}
	if inner := errors.Unwrap(err); inner != nil {
		return temporary(inner)
	}
	return false, false
}

func isType[T error](err error) bool {
	var t T
	return err != nil && errors.As(err, &t)
}
