package smtptest

import (
	"strings"
	"time"
)

// verdict is the server's own answer to a command.
type verdict struct {
	reply   string
	addr    string             // what the command is about; see Command.Addr
	success string             // the start of a reply that has the effect; "" is "2"
	accept  func(reply string) // the effect, before the reply is sent
	after   func()             // the effect after that
	final   bool               // the server's own reply ends the session
	mistake mistake            // of the client, which decides the server's own reply
}

// answer sends the answer of the Hook, or else the verdict's reply. If the reply means
// success, it has the verdict's effect.
func (s *session) answer(verb, line string, v verdict) {
	a := s.ask(verb, line, v.addr)
	if a == nil {
		if v.mistake != (mistake{}) {
			v.reply = s.blame(v.mistake)
		}
		a = &Answer{Reply: v.reply, Close: v.final}
	}
	if v.success == "" {
		v.success = "2"
	}
	good := strings.HasPrefix(a.Reply, v.success)
	if good && v.accept != nil {
		v.accept(a.Reply)
	}
	s.send(a)
	if good && v.after != nil && !s.over {
		v.after()
	}
}

// ask calls the Hook. nil means that the server has to answer.
func (s *session) ask(verb, line, addr string) *Answer {
	s.srv.mu.Lock()
	hook, stopped := s.srv.hook, s.stopped
	s.srv.mu.Unlock()
	switch {
	case stopped:
		return &Answer{Close: true}
	case hook == nil:
		return nil
	}
	return hook(Command{
		Session: s.id,
		Verb:    verb,
		Line:    line,
		Addr:    addr,
		TLS:     s.encrypted,
		Message: s.msg.clone(),
	})
}

// send does what an Answer says, but leaves the closing to hangUp.
func (s *session) send(a *Answer) {
	if a.Delay > 0 {
		s.flush()
		timer := time.NewTimer(a.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-s.gone:
			s.over = true
		}
	}
	if a.Reply != "" || len(a.Raw) > 0 {
		s.turn.speak()
		s.replied = s.turn.said() + int64(s.w.Buffered())
	}
	if a.Reply != "" {
		for line := range strings.SplitSeq(a.Reply, "\n") {
			s.log("S: %s", line)
			s.w.Data([]byte(line + "\r\n"))
		}
	}
	if len(a.Raw) > 0 {
		s.log("S> %q", a.Raw)
		s.w.Data(a.Raw)
	}
	if a.Close {
		s.over, s.reset = true, a.Reset
	}
}
