package smtptest

import (
	"slices"
	"strings"
)

// greeting is the command that begins a session, for the texts of replies.
func (s *session) greeting() string {
	if s.srv.config.LMTP {
		return "LHLO"
	}
	return "EHLO"
}

// protocol is what the server says that it speaks.
func (s *session) protocol() string {
	if s.srv.config.LMTP {
		return "LMTP"
	}
	return "ESMTP"
}

// nobody returns the reply to DATA or BDAT without a recipient. LMTP says which it is
// (RFC 2033, 4.2 and 4.3).
func (s *session) nobody() string {
	code := 554
	if s.srv.config.LMTP {
		code = 503
	}
	return s.reply(code, "5.5.1", "no valid recipients")
}

// finals returns how many final replies a message gets.
func (s *session) finals() int {
	if s.srv.config.LMTP {
		return max(1, len(s.msg.To))
	}
	return 1
}

// answerEach sends the final replies of LMTP, one for each recipient. All are known
// before the first is sent, so that the message can be recorded before that.
func (s *session) answerEach(line, reply string) {
	var answers []*Answer
	taken := s.msg.clone()
	taken.To, taken.RcptParams, taken.ValidSince = nil, nil, nil
	for i, addr := range s.msg.To {
		a := s.ask("MESSAGE", line, addr)
		if a == nil {
			a = &Answer{Reply: reply}
		}
		answers = append(answers, a)
		if strings.HasPrefix(a.Reply, "2") {
			taken.add(&s.msg, i)
		}
		if a.Close {
			break
		}
	}
	if len(taken.To) > 0 {
		s.srv.record(s, taken)
	}
	for _, a := range answers {
		if s.send(a); s.over {
			return
		}
	}
}

// add adds recipient i of another message.
func (m *Message) add(other *Message, i int) {
	m.To = append(m.To, other.To[i])
	m.RcptParams = append(m.RcptParams, slices.Clone(other.RcptParams[i]))
	m.ValidSince = append(m.ValidSince, other.ValidSince[i])
}
