package smtptest

import (
	"io"
	"strconv"
	"strings"

	"github.com/fe022423/submission/smtptest/internal/syntax"
)

// chunkState is what became of the chunks of a transaction (RFC 3030, 2).
type chunkState uint8

const (
	noChunks     chunkState = iota
	someChunks              // at least one was accepted
	failedChunks            // one was refused: the client has to send RSET
)

// judgeData answers DATA.
func (s *session) judgeData() verdict {
	v := verdict{success: "354", after: s.readMessage}
	body, _ := syntax.ParameterValue(s.msg.Params, "BODY")
	switch {
	case !s.open:
		v.reply = s.reply(503, "5.5.1", "MAIL first")
	case s.chunks != noChunks:
		v.reply = s.reply(503, "5.5.1", "BDAT has begun")
	case strings.EqualFold(body, "BINARYMIME"):
		v.reply = s.reply(503, "5.5.1", "BINARYMIME needs BDAT")
	case len(s.msg.To) == 0:
		v.reply = s.nobody()
	default:
		v.reply = "354 end with a line that is one dot"
	}
	return v
}

// readMessage reads the message after DATA, up to the dot, and answers it.
func (s *session) readMessage() {
	err := s.listen()
	if err == nil && s.refuseEarly() {
		return
	}
	if err == nil {
		err = s.r.ReadDots(sink{s})
	}
	s.log("C: <%d octets>", s.msg.Size)
	if err != nil {
		s.breakOff(err)
		return
	}
	s.finish(".")
}

// sink collects a message.
type sink struct{ s *session }

func (k sink) Write(p []byte) (int, error) {
	m := &k.s.msg
	m.Size += int64(len(p))
	k.s.bits.Add(p)
	if m.Chunked {
		k.s.lines.Add(p)
	}
	if limit := k.s.sizeLimit(); !k.s.srv.config.Discard && (limit == 0 || m.Size <= limit) {
		m.Data = append(m.Data, p...)
	}
	return len(p), nil
}

// finish sends the final reply to a message that was read, or with LMTP the final
// replies, and ends the transaction.
// line is the line that ended the message.
func (s *session) finish(line string) {
	s.hasty = s.hastyAfter("MESSAGE")
	v := verdict{
		reply:   s.reply(250, "2.0.0", "message accepted"),
		accept:  func(string) { s.srv.record(s, s.msg.clone()) },
		mistake: s.checkEightBit(),
	}
	if refusal := s.checkMessage(); refusal != "" {
		v.reply, v.mistake = refusal, mistake{}
	}
	if s.srv.config.LMTP && len(s.msg.To) > 0 {
		if v.mistake != (mistake{}) {
			v.reply = s.blame(v.mistake)
		}
		s.answerEach(line, v.reply)
	} else {
		s.answer("MESSAGE", line, v)
	}
	s.endTransaction()
}

// checkMessage returns the reply if the message cannot be accepted, or "".
func (s *session) checkMessage() string {
	limit := s.sizeLimit()
	switch {
	case len(s.msg.To) == 0:
		return s.nobody()
	case limit > 0 && s.msg.Size > limit:
		return s.reply(552, "5.3.4", "message too large")
	}
	return ""
}

// bdat answers BDAT. It reads the chunk in any case, because the client does not wait
// for an answer before it sends the chunk (RFC 3030, 2).
func (s *session) bdat(line, arg string) {
	size, last, ok := syntax.BDAT(arg)
	if !ok {
		// Nobody knows where the chunk ends, so the next command cannot be found.
		s.answer("BDAT", line, verdict{reply: s.reply(501, "5.5.4", "syntax: BDAT size [LAST]"), final: true})
		return
	}
	hooked := s.ask("BDAT", line, "")
	if hooked != nil && hooked.Close {
		s.send(hooked)
		return
	}
	refusal := s.judgeBDAT()
	keep := refusal == "" && hooked == nil || hooked != nil && strings.HasPrefix(hooked.Reply, "2")
	if err := s.readChunk(size, keep); err != nil {
		s.breakOff(err)
		return
	}
	if keep && hooked == nil {
		refusal = s.checkMessage()
		switch m := s.checkEightBit(); {
		case refusal != "":
		case s.bareLine(last):
			refusal = s.reply(554, "5.6.0", "bare CR or LF in the message")
		case m != (mistake{}):
			refusal = s.blame(m)
		}
	}
	switch {
	case hooked != nil && keep && last:
		s.srv.record(s, s.msg.clone())
		s.send(hooked)
		s.endTransaction()
	case hooked != nil:
		s.noteChunk(keep)
		s.send(hooked)
	case refusal != "":
		n := 1
		if last {
			n = s.finals()
		}
		s.noteChunk(false)
		for range n {
			s.send(&Answer{Reply: refusal})
		}
	case last:
		s.finish(line)
	default:
		s.noteChunk(true)
		s.send(&Answer{Reply: s.reply(250, "2.0.0", strconv.FormatInt(size, 10)+" octets received")})
	}
}

// bareLine says whether the message has a CR or LF alone, which only BINARYMIME
// allows. If a chunk ends with CR, the next one may begin with its LF.
func (s *session) bareLine(last bool) bool {
	body, _ := syntax.ParameterValue(s.msg.Params, "BODY")
	return !strings.EqualFold(body, "BINARYMIME") && s.lines.Bare(last)
}

// noteChunk remembers whether a chunk was accepted. A chunk outside a transaction, or
// without CHUNKING being offered, changes nothing.
func (s *session) noteChunk(accepted bool) {
	_, offered := s.offered["CHUNKING"]
	switch {
	case !s.open:
		s.endTransaction()
	case accepted:
		s.chunks = someChunks
	case offered:
		s.chunks = failedChunks
	}
}

// judgeBDAT returns the reply if no chunk can be accepted, or "".
func (s *session) judgeBDAT() string {
	_, offered := s.offered["CHUNKING"]
	switch {
	case !offered:
		return s.reply(502, "5.5.1", "CHUNKING is not offered")
	case !s.open:
		return s.reply(503, "5.5.1", "MAIL first")
	case s.chunks == failedChunks:
		return s.reply(503, "5.5.1", "a chunk was refused, RSET first")
	case len(s.msg.To) == 0:
		return s.nobody()
	}
	return ""
}

// readChunk reads the octets of a chunk, and keeps or drops them.
func (s *session) readChunk(size int64, keep bool) error {
	var to io.Writer = io.Discard
	if keep {
		s.msg.Chunked = true
		to = sink{s}
	}
	n, err := io.CopyN(to, s.r, size)
	s.log("C: <%d octets>", n)
	return err
}
