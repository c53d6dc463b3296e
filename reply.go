package submission

import (
	"strconv"
	"strings"

	"github.com/fe022423/submission/internal/link"
	"github.com/fe022423/submission/internal/printable"
)

// Reply is one reply of the server (RFC 5321, 4.2). The zero Reply means that
// the server said nothing.
type Reply struct {
	// Code is the three-digit reply code, 0 in the zero Reply.
	Code int
	// Enhanced is the status code of RFC 3463 at the start of the text. It is zero
	// when there is none, or when its class is not that of Code.
	Enhanced EnhancedCode
	// Lines holds the text of each line as the server sent it, without the code
	// and the separator after it, but with an enhanced code. It may hold any byte
	// except CR and LF: print String, not Lines.
	Lines []string
}

// String returns the reply on one line: the code, then the texts joined by "; ".
// Control characters, invisible characters and bytes that are not UTF-8 are
// escaped, so it is safe to print on a terminal or into a log.
func (r Reply) String() string {
	if r.Code == 0 {
		return "no reply"
	}
	var b strings.Builder
	b.WriteString(strconv.Itoa(r.Code))
	for i, line := range r.Lines {
		if i > 0 {
			b.WriteString(";")
		}
		if line != "" {
			b.WriteByte(' ')
			printable.Write(&b, line)
		}
	}
	return b.String()
}

// Temporary reports whether the code is 4yz: the same command may succeed later.
// A 552 to RCPT is temporary too (RFC 5321, 4.5.3.1.10). A Reply does not know its
// command, so ask AddressError.Temporary about a recipient.
func (r Reply) Temporary() bool { return r.Code/100 == 4 }

// Permanent reports whether the code is 5yz.
func (r Reply) Permanent() bool { return r.Code/100 == 5 }

// EnhancedCode is a status code of RFC 3463: class, subject, detail.
type EnhancedCode [3]int

// String returns the code with dots, "" for the zero code.
func (e EnhancedCode) String() string {
	if e == (EnhancedCode{}) {
		return ""
	}
	return strconv.Itoa(e[0]) + "." + strconv.Itoa(e[1]) + "." + strconv.Itoa(e[2])
}

// makeReply makes a Reply of one that a link kept.
func makeReply(r link.Reply) Reply { return makeReplyIn(r, new([]string)) }

// makeReplyIn is makeReply with room for lines, of which it takes what it needs
// when there is enough.
func makeReplyIn(r link.Reply, room *[]string) Reply {
	reply := Reply{Code: r.Code, Enhanced: parseEnhanced(r.Code, r.Text)}
	switch n := len(*room); {
	case r.Code == 0:
		return Reply{}
	case strings.IndexByte(r.Text, '\n') >= 0:
		reply.Lines = strings.Split(r.Text, "\n")
	case n < cap(*room):
		*room = append(*room, r.Text)
		reply.Lines = (*room)[n : n+1 : n+1]
	default:
		reply.Lines = []string{r.Text}
	}
	return reply
}

// parseEnhanced reads the enhanced code at the start of text. A code whose class
// is not that of the reply means nothing (RFC 2034, 4): the result is zero then.
func parseEnhanced(code int, text string) EnhancedCode {
	var e EnhancedCode
	for i := range e {
		digits := 0
		for digits < len(text) && digits < 3 && '0' <= text[digits] && text[digits] <= '9' {
			e[i] = e[i]*10 + int(text[digits]-'0')
			digits++
		}
		if digits == 0 {
			return EnhancedCode{}
		}
		text = text[digits:]
		if i < 2 {
			if text == "" || text[0] != '.' {
				return EnhancedCode{}
			}
			text = text[1:]
		}
	}
	if text != "" && text[0] != ' ' && text[0] != '\n' || e[0] != code/100 {
		return EnhancedCode{}
	}
	return e
}
