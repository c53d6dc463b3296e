package submission_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fe022423/submission"
)

// rcptMix is a message to recipients whom the server answers with codes, and one of the
// ways in which a transaction can run. Its script and its verdict follow from the rules of
// the protocol, not from the code of the client.
type rcptMix struct {
	codes     []int
	partial   bool
	pipelined bool
	chunked   bool
	lone      bool // the reply to DATA is 354 although nobody was accepted
}

func (m rcptMix) String() string {
	return fmt.Sprintf("%v partial=%v pipelined=%v chunked=%v lone=%v", m.codes, m.partial, m.pipelined, m.chunked, m.lone)
}

func (m rcptMix) keywords() []string {
	var list []string
	if m.pipelined {
		list = append(list, "PIPELINING")
	}
	if m.chunked {
		list = append(list, "CHUNKING")
	}
	return list
}

func (m rcptMix) accepted() (n int) {
	for _, code := range m.codes {
		if code < 300 {
			n++
		}
	}
	return n
}

// delivers reports whether the message goes out.
func (m rcptMix) delivers() bool {
	return m.accepted() == len(m.codes) || m.partial && m.accepted() > 0
}

// asked is how many recipients are sent to the server. In lockstep, none follows a refusal
// that stops the message.
func (m rcptMix) asked() int {
	for i, code := range m.codes {
		if !m.pipelined && !m.partial && code >= 300 {
			return i + 1
		}
	}
	return len(m.codes)
}

// flights are the commands before the message and their replies. Each flight is sent
// before its replies are read.
func (m rcptMix) flights() (flights [][2][]string, dirty bool) {
	commands := []string{"MAIL FROM:<a@test.example>"}
	replies := []string{"250 sender ok"}
	for i, code := range m.codes[:m.asked()] {
		commands = append(commands, fmt.Sprintf("RCPT TO:<r%d@test.example>", i))
		replies = append(replies, fmt.Sprintf("%d recipient %d", code, i))
	}
	dirty = true
	withData := !m.chunked && (m.delivers() || m.pipelined && (m.partial || len(m.codes) == 1))
	if withData {
		commands = append(commands, "DATA")
		switch {
		case m.accepted() > 0:
			replies = append(replies, "354 go")
		case m.lone:
			replies = append(replies, "354 go")
		default:
			replies = append(replies, "554 no valid recipients")
		}
	}
	switch ownData := !m.partial && len(m.codes) > 1; {
	case !m.pipelined:
		for i := range commands {
			flights = append(flights, [2][]string{commands[i : i+1], replies[i : i+1]})
		}
	case withData && ownData:
		n := len(commands) - 1
		flights = append(flights, [2][]string{commands[:n], replies[:n]}, [2][]string{commands[n:], replies[n:]})
	default:
		flights = append(flights, [2][]string{commands, replies})
	}
	return flights, dirty && !m.delivers() && !(withData && m.lone)
}

// script is the whole session: the message, and after it one that succeeds, which shows in
// what state the session was left.
func (m rcptMix) script() string {
	var b strings.Builder
	b.WriteString(greeted(m.keywords()...))
	flights, dirty := m.flights()
	for _, f := range flights {
		for _, c := range f[0] {
			b.WriteString("C: " + c + "\n")
		}
		for _, r := range f[1] {
			b.WriteString("S: " + r + "\n")
		}
	}
	switch last := flights[len(flights)-1][0]; {
	case m.delivers() && m.chunked:
		b.WriteString(memoBDAT + "S: 250 taken\n")
	case m.delivers():
		b.WriteString(memoData + "S: 250 taken\n")
	case m.lone && last[len(last)-1] == "DATA":
		b.WriteString("C: .\nS: 554 nothing\n")
	}
	next := []string{"MAIL FROM:<a@test.example>", "RCPT TO:<b@test.example>"}
	if dirty {
		next = append([]string{"RSET"}, next...)
	}
	if m.pipelined {
		b.WriteString("C: " + strings.Join(next, "\nC: ") + "\n")
		if !m.chunked {
			b.WriteString("C: DATA\n")
		}
		b.WriteString(strings.Repeat("S: 250 ok\n", len(next)))
	} else {
		b.WriteString("C: " + strings.Join(next, "\nS: 250 ok\nC: ") + "\nS: 250 ok\n")
		if !m.chunked {
			b.WriteString("C: DATA\n")
		}
	}
	if m.chunked {
		b.WriteString(memoBDAT)
	} else {
		b.WriteString("S: 354 go\n" + memoData)
	}
	b.WriteString("S: 250 taken\nC: QUIT\nS: 221 bye\neof")
	return b.String()
}

// verdict is what the message must come to.
func (m rcptMix) verdict() verdict {
	v := verdict{sent: m.accepted() == len(m.codes), stage: submission.StageRcpt, codes: make([]int, len(m.codes))}
	copy(v.codes, m.codes[:m.asked()])
	if m.delivers() && !v.sent {
		v.outcome = submission.PartlySent
	}
	some, all := false, true
	for i, code := range m.codes {
		if i >= m.asked() {
			v.status = append(v.status, submission.RecipientUnsent)
			continue
		}
		temporary := code < 500 || code == 552 // RFC 5321, 4.5.3.1.10
		switch {
		case code < 300 && m.delivers():
			v.status = append(v.status, submission.RecipientSent)
			continue
		case code < 300:
			v.status = append(v.status, submission.RecipientUnsent)
			continue
		case temporary:
			v.status = append(v.status, submission.RecipientUnsent)
		default:
			v.status = append(v.status, submission.RecipientInvalid)
		}
		if v.code == 0 {
			v.code = code
		}
		some, all = some || temporary, all && temporary
	}
	if v.temporary = all; m.partial {
		v.temporary = some
	}
	return v
}

func (m rcptMix) run(t *testing.T, delivery string) {
	t.Helper()
	s := openSession(t, play(t, delivery, m.script()), plainText())
	defer s.Close()
	env := submission.Envelope{From: "a@test.example", Partial: m.partial}
	for i := range m.codes {
		env.To = append(env.To, submission.Recipient{Addr: fmt.Sprintf("r%d@test.example", i)})
	}
	res, err := send(s, env)
	m.verdict().check(t, res, err)
	if res != nil {
		m.verdict().checkRecipients(t, res.Recipients)
		if res.Reply.Code != 250 {
			t.Errorf("the result's reply is %v", res.Reply)
		}
	}
	m.checkCauses(t, err)
	if !s.Usable() {
		t.Fatal("the session is lost")
	}
	mustSend(t, s, memoTo("b@test.example"))
}

// checkCauses checks that there is an *AddressError for each refused recipient, in order.
func (m rcptMix) checkCauses(t *testing.T, err error) {
	t.Helper()
	var got, want []string
	for _, e := range addressErrors(err) {
		if e.Reply == nil {
			t.Fatalf("an AddressError without a reply: %v", e)
		}
		got = append(got, fmt.Sprintf("%s %d %v", e.Addr, e.Reply.Code, e.Temporary()))
	}
	for i, code := range m.codes[:m.asked()] {
		if code >= 300 {
			want = append(want, fmt.Sprintf("r%d@test.example %d %v", i, code, code < 500 || code == 552))
		}
	}
	if g, w := strings.Join(got, "; "), strings.Join(want, "; "); g != w {
		t.Errorf("the address errors are %s, want %s", g, w)
	}
}

// rcptMixes are every code in every place of the list, each in every way.
func rcptMixes() []rcptMix {
	var codes [][]int
	for _, c := range []int{250, 251, 252, 254, 450, 452, 501, 550, 551, 552, 553, 554} {
		codes = append(codes, []int{c}, []int{c, 250, 251}, []int{250, c, 250}, []int{252, 250, c},
			[]int{c, c, 250}, []int{250, c, c}, []int{c, 250, c}, []int{c, c, c}, []int{c, 450, 250}, []int{550, c, 250})
	}
	var list []rcptMix
	for _, c := range codes {
		for bits := range 8 {
			m := rcptMix{codes: c, partial: bits&1 != 0, pipelined: bits&2 != 0, chunked: bits&4 != 0}
			list = append(list, m)
			if m.accepted() == 0 && !m.chunked && m.pipelined {
				m.lone = true
				list = append(list, m)
			}
		}
	}
	return list
}

// Every code with which a server may answer RCPT, in every place of the list and in every
// way to run a transaction.
func TestRecipientMix(t *testing.T) {
	eachDelivery(t, func(t *testing.T, delivery string) {
		for _, m := range rcptMixes() {
			t.Run(m.String(), func(t *testing.T) { m.run(t, delivery) })
		}
	})
}

// More codes of each class, one recipient each. A success reports the recipient with its
// reply, and no error.
func TestRecipientCodes(t *testing.T) {
	statuses := map[int]submission.RecipientStatus{
		200: submission.RecipientSent, 250: submission.RecipientSent, 251: submission.RecipientSent, 252: submission.RecipientSent, 259: submission.RecipientSent,
		450: submission.RecipientUnsent, 451: submission.RecipientUnsent, 452: submission.RecipientUnsent, 455: submission.RecipientUnsent, 552: submission.RecipientUnsent,
		501: submission.RecipientInvalid, 503: submission.RecipientInvalid, 550: submission.RecipientInvalid, 551: submission.RecipientInvalid, 553: submission.RecipientInvalid, 555: submission.RecipientInvalid,
	}
	for code, want := range statuses {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			script := greeted() + "C: MAIL FROM:<a@test.example>\nS: 250 ok\nC: RCPT TO:<b@test.example>\nS: " + fmt.Sprint(code) + " so\n"
			if want == submission.RecipientSent {
				script += "C: DATA\nS: 354 go\n" + memoData + "S: 250 taken as 7\n"
			}
			s := openSession(t, play(t, "whole", script+"C: QUIT\nS: 221 bye\neof"), plainText())
			defer s.Close()
			res, err := send(s, memoTo("b@test.example"))
			var recipients []submission.RecipientResult
			if want == submission.RecipientSent {
				if err != nil || res.Reply.String() != "250 taken as 7" {
					t.Fatalf("%v, %v", res, err)
				}
				recipients = res.Recipients
			} else {
				recipients = wantError[*submission.SendError](t, err).Recipients
			}
			if len(recipients) != 1 {
				t.Fatalf("%v", recipients)
			}
			if r := recipients[0]; r.Addr != "b@test.example" || r.Status != want || r.Reply.Code != code {
				t.Errorf("%v, want %v", r, want)
			}
		})
	}
}

// When several recipients were refused, an all-or-nothing message is worth another try if
// all of them are, a partial one if one of them is.
func TestTemporaryMixed(t *testing.T) {
	for _, tc := range []struct {
		codes        []int
		all, partial bool
	}{
		{[]int{450, 451}, true, true},
		{[]int{550, 551}, false, false},
		{[]int{450, 550}, false, true},
		{[]int{550, 450}, false, true},
		{[]int{552, 552}, true, true},
		{[]int{552, 550}, false, true},
		{[]int{552, 450}, true, true},
		{[]int{250, 450}, true, true},
		{[]int{250, 550}, false, false},
		{[]int{250, 552}, true, true},
	} {
		for _, partial := range []bool{false, true} {
			want := tc.all
			if partial {
				want = tc.partial
			}
			m := rcptMix{codes: tc.codes, partial: partial, pipelined: true, chunked: true}
			if v := m.verdict(); v.temporary != want {
				t.Errorf("%v: rcptMix itself says Temporary is %v, want %v", m, v.temporary, want)
			}
			m.run(t, "whole")
		}
	}
}
