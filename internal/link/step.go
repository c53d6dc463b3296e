package link

import "time"

// Step says what a reply answers, or what this side was doing when the link
// broke.
type Step uint8

// The steps of a session and of a message.
const (
	Greeting Step = iota
	Hello         // EHLO, HELO
	StartTLS
	TLS // the handshake, which has no reply
	Auth
	Reset
	Mail
	Rcpt
	Data
	Message // octets of the message, which owe no reply yet
	Chunk   // a BDAT chunk that is not the last
	Final   // the whole message
	Noop
	Quit
	Command // any other
)

// Limits bound the answers of a server and the writing of a block, in the terms
// of RFC 5321, 4.5.3.2.
type Limits struct {
	Greeting, Command, DataInit, DataBlock, DataFinal, Quit time.Duration
}

// of returns how long the reply of a step may take.
func (l *Limits) of(step Step) time.Duration {
	switch step {
	case Greeting:
		return l.Greeting
	case Data:
		return l.DataInit
	case Chunk, Message:
		return l.DataBlock
	case Final:
		return l.DataFinal
	case Quit:
		return l.Quit
	}
	return l.Command
}
