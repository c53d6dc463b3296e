package smtptest

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Hook sees each command before the server answers it, except one that was sent too
// early and ends the session. If it returns an Answer, that is the answer; if it returns
// nil, the server answers. An Answer has the same effect as the same reply of the server:
// 250 to RCPT adds a recipient, even one that the server would refuse; after 354 to DATA
// the server reads a message; 235 to RESPONSE authenticates; the keywords in a reply to
// EHLO are the ones that are offered.
//
// Sessions call a Hook concurrently. It may call every method of the Server except Close,
// which waits for it.
type Hook func(Command) *Answer

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
	// it. Server.Close and Stop end it early.
	Delay time.Duration
	// Close hangs up after Reply and Raw. The client can still read all of that,
	// because the server keeps reading, and discards, what the client sends. The
	// server does not wait for a chunk or message that belongs to the command.
	Close bool
	// Reset makes Close abrupt: the client reads ECONNRESET. On a TCP connection the
	// server sends a RST. Reset has no effect without Close.
	Reset bool
}

// On answers the commands with this verb that are about this address with reply. The
// verb is one of Command.Verb in any case; "" is any. addr is compared with Command.Addr,
// the domain in any case, the local part exactly, unless it is postmaster; "" is any
// command, with an address or without, and "<>" is the null sender of MAIL. It may stand
// in brackets. Only MAIL and RCPT are about an address, and MESSAGE with Config.LMTP.
//
// reply is as in Answer.Reply. After one that begins with 421 the server hangs up
// (RFC 5321, 4.2.2). With "" the server says nothing and goes on.
func On(verb, addr, reply string) Hook {
	null := addr == "<>"
	if len(addr) > 2 && addr[0] == '<' && addr[len(addr)-1] == '>' {
		addr = addr[1 : len(addr)-1]
	}
	addr = mailboxKey(addr)
	return func(c Command) *Answer {
		switch {
		case verb != "" && !strings.EqualFold(verb, c.Verb):
			return nil
		case null && !isNullSender(c), !null && addr != "" && addr != mailboxKey(c.Addr):
			return nil
		}
		return &Answer{Reply: reply, Close: strings.HasPrefix(reply, "421")}
	}
}

// isNullSender says whether c is MAIL FROM:<>. Command.Addr is empty too where there is no
// path at all.
func isNullSender(c Command) bool {
	return c.Verb == "MAIL" && c.Addr == "" && (c.Line == "" || strings.Contains(c.Line, "<>"))
}

// mailboxKey is equal for two spellings of one mailbox: the domain ignores case, and so
// does postmaster (RFC 5321, 2.4 and 4.5.1).
func mailboxKey(addr string) string {
	at := strings.LastIndexByte(addr, '@')
	if at < 0 {
		at = len(addr)
	}
	local := addr[:at]
	if strings.EqualFold(local, "postmaster") {
		local = "postmaster"
	}
	return local + strings.ToLower(addr[at:])
}

// Times answers as h does, n times in all sessions together; what h lets pass does not
// count. After that, and at once if n is 0 or negative, every command passes, and h is
// not asked any more. A nil h answers nothing.
func Times(n int, h Hook) Hook {
	var left atomic.Int64
	left.Store(int64(n))
	return func(c Command) *Answer {
		if h == nil || left.Load() <= 0 {
			return nil
		}
		a := h(c)
		if a == nil || left.Add(-1) < 0 { // others may have had the last ones meanwhile
			return nil
		}
		return a
	}
}

// Delay answers as h does, d later: d is added to Answer.Delay. What h lets pass is not
// delayed. A d that is not positive delays nothing. A nil h answers nothing.
func Delay(d time.Duration, h Hook) Hook {
	return func(c Command) *Answer {
		if h == nil {
			return nil
		}
		a := h(c)
		if a == nil {
			return nil
		}
		later := *a // the Answer may be one that h returns again
		later.Delay += max(d, 0)
		return &later
	}
}

// First asks the hooks in turn until one answers; those after it are not asked. It skips
// a nil hook.
func First(hooks ...Hook) Hook {
	hooks = slices.Clone(hooks)
	return func(c Command) *Answer {
		for _, h := range hooks {
			if h == nil {
				continue
			}
			if a := h(c); a != nil {
				return a
			}
		}
		return nil
	}
}

// Greylist answers RCPT for a recipient that it does not know with 451. A try that comes d
// or more after the first one is let pass, and so is every later one; one that comes
// earlier is answered 451 again. If d is not positive, the second try passes.
//
// A recipient is known by its address alone, whoever sends, in whatever session. Each call
// of Greylist returns a hook with a memory of its own, which Server.Reset, Stop and Start
// do not touch.
func Greylist(d time.Duration) Hook {
	var mu sync.Mutex
	first := map[string]time.Time{}
	return func(c Command) *Answer {
		if c.Verb != "RCPT" || c.Addr == "" {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		key := mailboxKey(c.Addr)
		since, known := first[key]
		if known && time.Since(since) >= d {
			return nil
		}
		if !known {
			first[key] = time.Now()
		}
		return &Answer{Reply: "451 4.7.1 greylisted, try again later"}
	}
}
