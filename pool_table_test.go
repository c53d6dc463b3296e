package submission_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fe022423/submission"
)

// meetAt is where a message, or a session that rests, meets a code.
type meetAt uint8

const (
	meetMail meetAt = iota
	meetRcpt
	meetData
	meetChunk
	meetChunkConnection // with an enhanced code x.4.z, which speaks of the connection
	meetFinal
	meetFinalConnection
	meetIdle // unasked
	meetNoop
	meetReset
)

var meetNames = []string{"MAIL", "RCPT", "DATA", "chunk", "chunk, x.4.z", "message", "message, x.4.z", "idle", "NOOP", "RSET"}

func (at meetAt) String() string { return meetNames[at] }

// verb is the command or event of a habitServer.
func (at meetAt) verb() string {
	switch at {
	case meetChunk, meetChunkConnection:
		return "BDAT"
	case meetFinal, meetFinalConnection:
		return "MESSAGE"
	case meetIdle:
		return ""
	}
	return at.String()
}

// meeting is a cell of the table.
type meeting struct {
	code     int
	at       meetAt
	hangsUp  bool
	reused   bool // the session was used before
	recovers bool // it is said once; else again on every session
	chunking bool
	lockstep bool
	early    bool
}

func (m meeting) String() string {
	either := func(is bool, yes, no string) string {
		if is {
			return ", " + yes
		}
		return ", " + no
	}
	text := fmt.Sprintf("%d at %v", m.code, m.at) + either(m.hangsUp, "hangs up", "stays") + either(m.reused, "used", "fresh") +
		either(m.recovers, "once", "for ever") + either(m.chunking, "BDAT", "DATA") + either(m.lockstep, "lockstep", "in flights")
	if m.early {
		text += ", EarlyData"
	}
	return text
}

// closing: the server ends the session. A 221 means what 421 means.
func (m meeting) closing() bool { return m.code == 421 || m.code == 221 }

// unfit: the session is over, or in a state that takes no mail.
func (m meeting) unfit() bool { return m.closing() || m.code == 503 || m.code == 530 }

// givesUp tells whether the session is not lent again: its transaction was refused as a
// whole, by MAIL, DATA or BDAT, or with a 4yz to the message; or it said 421, 221, 503
// or 530, or what is about the connection; or it ended. RSET and NOOP have to succeed,
// and nothing may come unasked. A chunk in flight that met a refusal ends the session.
func (m meeting) givesUp() bool {
	switch m.at {
	case meetRcpt:
		return m.unfit() || m.hangsUp || m.early
	case meetFinal:
		return m.unfit() || m.hangsUp || m.chunking || m.code/100 == 4
	}
	return true
}

// startsAgain tells whether a message that met it on a used session is tried on a fresh
// one. What is seen before the message begins costs no second start.
func (m meeting) startsAgain() bool {
	switch m.at {
	case meetMail, meetData, meetReset, meetChunkConnection, meetFinalConnection:
		return true
	case meetIdle, meetNoop:
		return false
	}
	return m.unfit()
}

// temporary is SendError.Temporary of a message that met it and was not tried again.
func (m meeting) temporary() bool { return m.code/100 == 4 || m.closing() }

// inMessage tells whether a message meets it, on whatever session.
func (m meeting) inMessage() bool { return m.at < meetIdle }

// meetings are the cells of the table.
func meetings() []meeting {
	var list []meeting
	for _, code := range []int{221, 421, 450, 451, 452, 503, 530, 550, 554} {
		for at := meetMail; at <= meetReset; at++ {
			for bits := range 64 {
				m := meeting{code: code, at: at, hangsUp: bits&1 != 0, reused: bits&2 != 0, recovers: bits&4 != 0,
					lockstep: bits&8 != 0, chunking: bits&16 != 0, early: bits&32 != 0}
				switch {
				case m.early && (m.lockstep || !m.chunking || at == meetChunk || at == meetChunkConnection || !m.inMessage()),
					m.chunking && at == meetData,
					!m.chunking && (at == meetChunk || at == meetChunkConnection):
					continue // there is no such thing
				}
				list = append(list, m)
			}
		}
	}
	return list
}

// meetingModel is what the rules say becomes of one message after the other.
type meetingModel struct {
	meeting
	armed, said       bool
	open, used, dirty bool // the session that there is
	dials, restarts   int
	reset             bool // RSET went in front of the last message
}

// meets tells whether the server says it now.
func (p *meetingModel) meets() bool {
	if !p.armed || p.recovers && p.said {
		return false
	}
	p.said = true
	return true
}

// rest is what happens between two messages.
func (p *meetingModel) rest() {
	if p.open && p.at == meetIdle && p.meets() {
		p.open = false
	}
}

// send sends a message, and tells whether it arrives.
func (p *meetingModel) send() bool {
	if p.open && p.used && p.at == meetNoop && p.meets() {
		p.open = false
	}
	if p.reset = p.open && p.dirty; p.reset && p.at == meetReset && p.meets() {
		p.open = false
		p.restarts++
	}
	for {
		if !p.open {
			p.open, p.used, p.dirty = true, false, false
			p.dials++
		}
		used := p.used
		p.used = true
		if !p.inMessage() || !p.meets() {
			p.dirty = false
			return true
		}
		p.dirty = true
		p.open = !p.givesUp()
		if !used || !p.startsAgain() {
			return false
		}
		p.restarts++
	}
}

// The table of what speaks against a session: code, place, whether the server hangs up,
// whether the session was used before, whether a fresh session works. What becomes of
// the message, of the session and of the next message follows from the rules.
func TestPoolMeets(t *testing.T) {
	list := meetings()
	for _, m := range list {
		t.Run(m.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if !m.reused && !m.inMessage() {
					m.checkOwn(t)
				} else {
					m.check(t)
				}
			})
		})
	}
	t.Logf("%d cells", len(list))
}

// server returns the server of a cell. armed switches the habit on.
func (m meeting) server(armed *bool) *habitServer {
	var keywords []string
	if !m.lockstep {
		keywords = append(keywords, "PIPELINING")
	}
	if m.chunking {
		keywords = append(keywords, "CHUNKING")
	}
	srv := newHabitServer(keywords...)
	said := false
	srv.habit = func(_ *habitSession, verb, line string) *habitAnswer {
		switch {
		case verb == "RCPT" && strings.Contains(line, "nobody"):
			return &habitAnswer{reply: "550 5.1.1 who"}
		case !*armed || verb != m.at.verb() || m.recovers && said:
			return nil
		}
		said = true
		return &habitAnswer{reply: m.text(), closes: m.hangsUp}
	}
	return srv
}

func (m meeting) text() string {
	subject := 7
	if m.at == meetChunkConnection || m.at == meetFinalConnection {
		subject = 4
	}
	return fmt.Sprintf("%d %d.%d.5 so it is", m.code, m.code/100, subject)
}

func (m meeting) options(o *submission.Options) {
	o.EarlyData = m.early
	o.Pool = submission.PoolOptions{MaxSessions: 1}
	if m.at == meetChunk || m.at == meetChunkConnection {
		o.ChunkSize = 10
	}
}

// check plays a cell with a Client.
func (m meeting) check(t *testing.T) {
	armed := !m.reused
	srv := m.server(&armed)
	c := srv.client(t, m.options)
	model := &meetingModel{meeting: m, armed: armed}
	sends := 0
	if m.reused {
		if m.at == meetReset { // leaves something to forget
			to := poolEnvelope
			to.To = submission.To("nobody@test.example")
			_, err := c.Send(t.Context(), to, strings.NewReader("x"))
			wantError[*submission.SendError](t, err)
			model.open, model.used, model.dirty, model.dials = true, true, true, 1
		} else {
			if err := sendNumber(t.Context(), c, 0); err != nil {
				t.Fatalf("%v: %v", m, err)
			}
			model.send()
		}
	}
	armed, model.armed = true, true
	said := false
	for range 3 {
		synctest.Wait()
		if m.at == meetNoop {
			time.Sleep(2 * time.Second)
		}
		if m.at == meetIdle && (!m.recovers || !said) {
			said = true
			last := srv.session(srv.dials())
			last.say(m.text())
			if m.hangsUp {
				last.hangUp()
			}
			synctest.Wait()
		}
		model.rest()
		before := 0
		if srv.dials() > 0 {
			before = len(srv.session(srv.dials()).lines())
		}
		session := srv.dials()
		sends++
		err := sendNumber(t.Context(), c, sends)
		arrives := model.send()
		if (err == nil) != arrives || srv.has(habitText(sends)) == 1 != arrives {
			t.Errorf("%v: message %d: %v, accepted %d times, want it to arrive: %v", m, sends, err, srv.has(habitText(sends)), arrives)
		}
		if err != nil {
			e := wantError[*submission.SendError](t, err)
			if e.Outcome != submission.NotSent || e.Temporary() != m.temporary() {
				t.Errorf("%v: message %d: %v, temporary %v", m, sends, e, e.Temporary())
			}
		}
		if n := c.Stats().Restarts; n != uint64(model.restarts) {
			t.Errorf("%v: message %d: started again %d times, want %d", m, sends, n, model.restarts)
		}
		if n := srv.dials(); n != model.dials {
			t.Errorf("%v: message %d: %d sessions, want %d", m, sends, n, model.dials)
		}
		if session > 0 {
			reset := slices.Contains(srv.session(session).lines()[before:], "RSET")
			if reset != model.reset {
				t.Errorf("%v: message %d: RSET %v, want %v", m, sends, reset, model.reset)
			}
		}
		if t.Failed() {
			break
		}
	}
	wantClosed(t, c, srv)
}

// checkOwn plays a cell with a session of the caller's own, which a Client has not:
// one that is fresh, and of which nothing was asked but this.
func (m meeting) checkOwn(t *testing.T) {
	armed := true
	srv := m.server(&armed)
	nc, _ := srv.DialContext(t.Context(), "", "")
	s := openSession(t, nc, plainText(m.options))
	kept := false
	switch m.at {
	case meetIdle:
		p := srv.session(1)
		p.say(m.text())
		if m.hangsUp {
			p.hangUp()
		}
	case meetNoop: // a 5yz leaves the session usable
		if err := s.Noop(t.Context()); err == nil {
			t.Errorf("%v: NOOP succeeded", m)
		}
		if kept = m.code/100 == 5; s.Usable() != kept {
			t.Errorf("%v: usable %v", m, s.Usable())
		}
		kept = kept && !m.hangsUp
	case meetReset:
		if err := s.Reset(t.Context()); err == nil || s.Usable() {
			t.Errorf("%v: RSET: %v, usable %v", m, err, s.Usable())
		}
	}
	synctest.Wait()
	_, err := s.Send(t.Context(), poolEnvelope, strings.NewReader(habitText(1)))
	if (err == nil) != kept || srv.has(habitText(1)) == 1 != kept {
		t.Errorf("%v: %v, accepted %d times", m, err, srv.has(habitText(1)))
	}
	if err != nil {
		e := wantError[*submission.SendError](t, err)
		if e.Outcome != submission.NotSent || s.Usable() {
			t.Errorf("%v: %v, usable %v", m, e, s.Usable())
		}
		// A 5yz that nobody asked for is a breach of the protocol.
		if m.at == meetIdle && e.Temporary() != m.temporary() {
			t.Errorf("%v: %v, temporary %v", m, e, e.Temporary())
		}
	}
	s.Close()
	srv.running.Wait()
}
