package submission

import (
	"fmt"

	"github.com/fe022423/submission/internal/link"
)

// Stage is the step of a session at which something happened. The order is that in
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
	StageMessage               // the bytes of the message, before the last one
	StageFinal                 // the reply to the whole message
	StageReset                 // RSET
	StageNoop                  // NOOP
	StageQuit                  // QUIT
	StageCommand               // VRFY, and your own commands
	StageWait                  // waiting for a session of a Client
)

var stageNames = [...]string{"dial", "proxy", "greeting", "EHLO", "STARTTLS", "TLS handshake", "AUTH",
	"MAIL", "RCPT", "DATA", "message", "final reply", "RSET", "NOOP", "QUIT", "command", "wait"}

// String returns the command of the stage, or a name for it.
func (s Stage) String() string {
	if int(s) < len(stageNames) {
		return stageNames[s]
	}
	return fmt.Sprintf("Stage(%d)", uint8(s))
}

// stageOf names the stage of a step of the link.
func stageOf(step link.Step) Stage {
	stages := [...]Stage{
		link.Greeting: StageGreeting, link.Hello: StageHello, link.StartTLS: StageStartTLS, link.TLS: StageTLS,
		link.Auth: StageAuth, link.Reset: StageReset, link.Mail: StageMail, link.Rcpt: StageRcpt, link.Data: StageData,
		link.Message: StageMessage, link.Chunk: StageMessage, link.Final: StageFinal, link.Noop: StageNoop,
		link.Quit: StageQuit, link.Command: StageCommand,
	}
	return stages[step]
}
