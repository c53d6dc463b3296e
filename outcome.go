package submission

import "fmt"

// Outcome is what became of a message that did not reach everyone.
type Outcome uint8

const (
	// NotSent: the server did not accept the message for anyone. Sending it
	// again cannot deliver it twice.
	NotSent Outcome = iota
	// PartlySent: the server accepted it for the recipients with Status RecipientSent.
	PartlySent
	// Unknown: the connection failed after the last octet went out and before
	// the server's verdict came in. The recipients with Status RecipientUncertain may
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
