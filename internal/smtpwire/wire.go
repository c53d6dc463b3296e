// Package smtpwire is the codec of SMTP: replies, command lines, message data
// in the DATA form (canonical lines, dot-stuffing) and in the BDAT form
// (counted chunks). It reads from an io.Reader and writes to an io.Writer,
// knows neither connections nor time, and serves a client and a server alike.
package smtpwire

import (
	"fmt"
	"strconv"
)

// Limits on what a peer may send. RFC 5321, 4.5.3.1.5 allows a reply line 512
// octets; real servers exceed that in EHLO and in spam verdicts, so the limits
// are wider, but there is one on each thing that could grow.
const (
	// MaxReplyLine bounds one line of a reply, its CRLF included.
	MaxReplyLine = 16 << 10
	// MaxReplyLines bounds the lines of one reply.
	MaxReplyLines = 512
	// MaxReplySize bounds the text of one reply, all its lines together.
	MaxReplySize = 64 << 10
	// MaxCommandLine is the command line length every server accepts,
	// its CRLF included (RFC 5321, 4.5.3.1.4).
	MaxCommandLine = 512
)

// maxExcerpt bounds the offending text that a SyntaxError shows.
const maxExcerpt = 200

// SyntaxError says that the peer left the grammar of SMTP. After it the
// position in the stream is lost: the connection must not be used again.
type SyntaxError struct {
	Reason string // what rule was broken
	Text   string // the offending text, raw, as far as it came; not safe to print
}

// Excerpt returns the start of Text, for printing. Who has secrets to take out of
// the text does so first: they are not found in what was cut off.
func (e *SyntaxError) Excerpt() string { return e.Text[:min(len(e.Text), maxExcerpt)] }

func (e *SyntaxError) Error() string {
	if e.Text == "" {
		return e.Reason
	}
	return e.Reason + ": " + strconv.QuoteToASCII(e.Excerpt())
}

func syntaxError(reason string, text []byte) error {
	return &SyntaxError{Reason: reason, Text: string(text)}
}

// OctetError says that a line to be sent held an octet that could end the
// command early or start another one. Nothing of the line was buffered.
type OctetError struct {
	Octet  byte
	Offset int
}

func (e *OctetError) Error() string {
	return fmt.Sprintf("control octet 0x%02x at offset %d of a command line", e.Octet, e.Offset)
}
