package submission

import (
	"fmt"
	"strconv"

	"github.com/fe022423/submission/internal/transfer"
)

// attempt is one try to send a message: what this server lacks for it, what MAIL
// says of it here, and what the transfer showed. A fresh session starts a new one.
type attempt struct {
	transfer.Transfer
	plan   *plan
	offer  Extensions
	secure bool
	lacks  []error  // for each recipient what the server lacks, nil for nothing
	only   []bool   // the recipients that it is for; nil for all
	size   int64    // announced when positive
	body   BodyType // announced when not empty

	refused   error // why nothing could be sent
	noSession bool  // there was no session to send it over
	reused    bool  // the session was used before
	elsewhere bool  // that session was the trouble, and no message meets it again
	cause     error // why this side gave up in the middle

	tail tail
}

// admit holds the plan against the server of the attempt.
func (a *attempt) admit() {
	a.lacks, a.refused = a.plan.check(a.offer, a.secure)
}

// mode decides what MAIL says of the message, and how it travels.
// restASCII says that what s does not hold has no octet above 0x7f.
func (a *attempt) mode(cfg *config, s *transfer.Spool, restASCII bool) (m transfer.Mode) {
	ext, env := a.offer, &a.plan.env
	limit, sized := ext.Size()
	known := max(s.Known(), 0)
	if a.size = env.Size; s.Whole() {
		a.size = known
	}
	if largest := max(a.size, known); limit > 0 && largest > limit {
		a.refused = tooLarge(largest, limit)
	}
	if !sized {
		a.size = 0
	}
	eight := s.Has8Bit()
	if a.body = env.Body; a.body == "" && (eight || !s.Whole() && !restASCII) && ext.Has(ext8BitMIME) {
		a.body = Body8BitMIME
	}
	m.SevenBit = a.body == "" || a.body == Body7Bit
	if m.SevenBit && eight && a.refused == nil {
		a.refused = &SenderError{Addr: a.plan.from, Err: a.eightBit()}
	}
	if a.body == Body7Bit && !ext.Has(ext8BitMIME) {
		a.body = ""
	}
	m.Pipelining = ext.Has(extPipelining)
	m.Chunking = ext.Has(extChunking)
	m.EnhancedCodes = ext.Has(extEnhancedCodes)
	m.LMTP = cfg.LMTP
	m.AllOrNothing = !env.Partial
	m.Binary = env.Body == BodyBinaryMIME
	m.SizeLimit, m.ChunkSize = limit, cfg.ChunkSize
	if a.lacks != nil || a.plan.invalid || a.only != nil {
		m.Skip = make([]bool, len(a.plan.rcpts))
		for i := range m.Skip {
			m.Skip[i] = !a.named(i)
		}
	}
	return m
}

// concerns reports whether the attempt is for recipient i.
func (a *attempt) concerns(i int) bool { return a.only == nil || a.only[i] }

// named reports whether recipient i is asked for.
func (a *attempt) named(i int) bool { return a.concerns(i) && a.askable(i) }

// askable reports whether recipient i can be asked for at all.
func (a *attempt) askable(i int) bool {
	return a.plan.rcpts[i].err == nil && (a.lacks == nil || a.lacks[i] == nil)
}

// utf8 reports whether the envelope is sent under SMTPUTF8.
func (a *attempt) utf8() bool {
	if a.plan.utf8 {
		return true
	}
	for i := range a.plan.rcpts {
		if a.plan.rcpts[i].utf8 && a.named(i) {
			return true
		}
	}
	return false
}

// Recipients, AppendMail and AppendRcpt make the commands of the transfer.
func (a *attempt) Recipients() int { return len(a.plan.rcpts) }

// AppendMail appends the MAIL command.
func (a *attempt) AppendMail(dst []byte) []byte {
	dst = append(dst, a.plan.at(a.plan.mail)...)
	if a.size > 0 {
		dst = strconv.AppendInt(append(dst, " SIZE="...), a.size, 10)
	}
	if a.body != "" {
		dst = append(append(dst, " BODY="...), a.body...)
	}
	if a.utf8() {
		dst = append(dst, " SMTPUTF8"...)
	}
	return append(dst, a.plan.at(a.plan.params)...)
}

// AppendRcpt appends the RCPT command of recipient i.
func (a *attempt) AppendRcpt(dst []byte, i int) []byte {
	return append(dst, a.plan.at(a.plan.rcpts[i].line)...)
}

// eightBit says why an octet above 0x7f cannot be sent.
func (a *attempt) eightBit() error {
	if a.plan.env.Body == Body7Bit {
		return fmt.Errorf("an octet above 0x7f in a message that Envelope.Body says is %s", Body7Bit)
	}
	return unsupported(ext8BitMIME, "an octet above 0x7f")
}

func tooLarge(size, limit int64) error {
	return fmt.Errorf("%w: %d octets, its limit is %d", ErrTooLarge, size, limit)
}
