package smtptest

import (
	"errors"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/fe022423/submission/smtptest/internal/syntax"
)

// mistake is something that a client did against the protocol. The zero value is
// none.
type mistake struct {
	code     int
	enhanced string
	text     string
	lenient  string // the field of Config that allows it
}

// blame writes a mistake into the transcript and returns the reply to it.
func (s *session) blame(m mistake) string {
	s.log("-- protocol: %s (Config.%s allows it)", m.text, m.lenient)
	return s.reply(m.code, m.enhanced, m.text)
}

// earlyLook is how long a session over a socket looks for octets that come too early,
// before it sends what the client has to wait for. It is long for a client that does
// not wait, and short for a test. A pipe needs no such look.
const earlyLook = 2 * time.Millisecond

// look reads octets that come before the replies that are kept back, if the client has
// to wait for those and only a look can tell.
func (s *session) look(p []byte) (int, error) {
	if s.turn.pipe != nil || s.hasty == (mistake{}) || s.w.Buffered() == 0 {
		return 0, nil
	}
	_ = s.nc.SetReadDeadline(time.Now().Add(earlyLook))
	n, err := s.nc.Read(p)
	_ = s.nc.SetReadDeadline(time.Time{})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil
	}
	return n, err
}

// listen waits for the client. It notes whether the client sent what comes next before
// it had the last reply: those octets came together with the last command, or a look
// found them, or, over a pipe, the client had read nothing of the reply when it wrote
// them.
func (s *session) listen() error {
	s.await()
	s.early = s.r.Buffered() > 0 || s.in.Buffered() > 0
	if s.early {
		return nil
	}
	return s.r.Fill()
}

// refuseEarly ends the session if what comes next came too early. The stream is out of
// step then: what follows may be anything.
func (s *session) refuseEarly() bool {
	if !s.early || s.hasty == (mistake{}) {
		return false
	}
	s.send(&Answer{Reply: s.blame(s.hasty), Close: true})
	return true
}

// hastyGreeting is the mistake of a client that does not wait for the greeting
// (RFC 5321, 3.1).
func (s *session) hastyGreeting() mistake {
	if s.srv.config.LenientGreeting {
		return mistake{}
	}
	return mistake{554, "5.5.1", "sent before the greeting", "LenientGreeting"}
}

// hastyAfter is the mistake of a client that does not wait for the reply to a command or,
// with the verb MESSAGE, to a message. DATA is the last command of a group even with
// PIPELINING (RFC 2920, 3.1).
func (s *session) hastyAfter(verb string) mistake {
	_, pipelining := s.offered["PIPELINING"]
	switch {
	case verb == "DATA" && !s.srv.config.LenientData:
		return mistake{503, "5.5.1", "sent after DATA without waiting for its reply", "LenientData"}
	case verb != "DATA" && !pipelining && !s.srv.config.LenientPipelining:
		return mistake{503, "5.5.1", "sent before the last reply, but PIPELINING is not offered", "LenientPipelining"}
	}
	return mistake{}
}

// checkEightBit finds octets in the message that this transaction does not allow.
func (s *session) checkEightBit() mistake {
	body, _ := syntax.ParameterValue(s.msg.Params, "BODY")
	c := &s.srv.config
	switch {
	case s.bits.Header() && !syntax.HasParameter(s.msg.Params, "SMTPUTF8") && !c.LenientSMTPUTF8:
		return mistake{554, "5.6.9", "8-bit octets in the header section, but MAIL had no SMTPUTF8", "LenientSMTPUTF8"}
	case !s.bits.Any() || c.Lenient8BitMIME:
		return mistake{}
	case strings.EqualFold(body, "7BIT"):
		return mistake{554, "5.6.1", "8-bit octets, but MAIL had BODY=7BIT", "Lenient8BitMIME"}
	case !s.offersEightBit() && !strings.EqualFold(body, "BINARYMIME"):
		return mistake{554, "5.6.1", "8-bit octets, but 8BITMIME is not offered", "Lenient8BitMIME"}
	}
	return mistake{}
}

// checkClearText finds a password that anyone on the way can read, though the client
// could have started TLS (RFC 4954, 4).
func (s *session) checkClearText(mechanism string) mistake {
	_, offered := s.offered["STARTTLS"]
	if s.encrypted || !offered || s.srv.config.LenientClearText || !slices.Contains([]string{"PLAIN", "LOGIN"}, mechanism) {
		return mistake{}
	}
	return mistake{538, "5.7.11", "AUTH " + mechanism + " in clear text, but STARTTLS is offered", "LenientClearText"}
}
