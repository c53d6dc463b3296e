package smtptest

import "time"

// Command is what a Hook is asked about.
type Command struct {
	// Session numbers the sessions of a Server 1, 2, ... in the order in which
	// they were opened.
	Session int
	// Verb is the command in upper case, or one of the server's own:
	// "CONNECT" before the greeting, "MESSAGE" when the last octet of a message
	// was read and its final reply is due, "RESPONSE" for each line that a
	// client sends within an AUTH exchange. BDAT is asked about before its
	// chunk is read, and after the chunk with LAST once more as MESSAGE.
	Verb string
	// Line is the command line as received, secrets included, without its
	// CRLF. It is empty for CONNECT, "." for the MESSAGE that DATA brought, and
	// the last BDAT line for the other.
	Line string
	// TLS says whether the session is encrypted.
	TLS bool
	// Message is the envelope so far and, for MESSAGE, the message. It is the
	// Hook's own copy, except for Data, which must not be changed.
	Message Message
}

// Answer is what a Hook has the server do: wait for Delay, send Reply, then
// Raw, then perhaps hang up. The zero value is silence: the command stays
// unanswered and the session goes on.
type Answer struct {
	// Reply is a reply with its codes; "\n" parts its lines, and each goes out
	// with CRLF: "250-one\n250 two". Its first three octets decide the effect
	// of the command. "" is no reply.
	Reply string
	// Raw is sent behind Reply as it is, for what is no reply at all.
	Raw []byte
	// Delay is the time to wait first; replies to earlier commands are sent
	// before it. Server.Close cuts it short.
	Delay time.Duration
	// Close hangs up behind what was sent. The client can still read all of
	// that, since the server goes on swallowing what it sends. A chunk or a
	// message that would follow the command is not waited for.
	Close bool
	// Reset makes the hanging up abrupt, with a TCP RST where the transport has
	// one. It has no effect without Close.
	Reset bool
}
