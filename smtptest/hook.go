package smtptest

import "time"

// Command is what a Hook is asked about.
type Command struct {
	// Session numbers the sessions of a Server 1, 2, ... in the order in which
	// they were opened.
	Session int
	// Verb is the command in upper case, or one of three events: "CONNECT" before
	// the greeting; "MESSAGE" after the last byte of a message was read, before its
	// final reply; "RESPONSE" for each line that a client sends within an AUTH
	// exchange. The Hook is asked about BDAT before its chunk is read, and after the
	// chunk with LAST once more, about MESSAGE.
	Verb string
	// Addr is the path of MAIL and RCPT without its brackets. With Config.LMTP it is also
	// the recipient whose final reply a MESSAGE is about: the Hook is asked about MESSAGE
	// once for each recipient that was accepted, in their order, before the first final
	// reply is sent. If an Answer hangs up, the Hook is not asked about those after it.
	Addr string
	// Line is the command line as received, including secrets, without its CRLF. It
	// is empty for CONNECT. For MESSAGE it is "." after DATA, and the last BDAT line
	// after BDAT.
	Line string
	// TLS says whether the session is encrypted.
	TLS bool
	// Message is the envelope so far and, for MESSAGE, the message. It is a copy,
	// except for Data, which must not be changed.
	Message Message
}

// Answer is what a Hook tells the server to do: wait for Delay, send Reply, then
// send Raw, then hang up if Close is set. The zero value is silence: the server does
// not answer the command, and the session continues.
type Answer struct {
	// Reply is a reply with its codes. "\n" separates its lines, and each is sent
	// with CRLF: "250-one\n250 two". Its first three bytes decide the effect of the
	// command. "" is no reply.
	Reply string
	// Raw is sent after Reply, exactly as it is. Use it for what is not a reply.
	Raw []byte
	// Delay is the time to wait first. Replies to earlier commands are sent before
	// it. Server.Close ends it early.
	Delay time.Duration
	// Close hangs up after Reply and Raw. The client can still read all of that,
	// because the server keeps reading, and discards, what the client sends. The
	// server does not wait for a chunk or message that belongs to the command.
	Close bool
	// Reset makes Close abrupt: the client reads ECONNRESET. On a TCP connection the
	// server sends a RST. Reset has no effect without Close.
	Reset bool
}
