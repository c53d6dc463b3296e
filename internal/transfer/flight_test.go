package transfer

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fe022423/submission/internal/link"
)

const memo = "one\r\ntwo\r\n"

const (
	memoData = "C: one\nC: two\nC: .\n"
	memoBDAT = "C: BDAT 10 LAST\nC: one\nC: two\n"
)

// TestFlights: where a flight ends, see architecture.md. The peer reports a client
// that waits where it need not, or does not where it must.
func TestFlights(t *testing.T) {
	two := to(2)
	lockstep := mailLine + ok(1) + "C: RCPT TO:<b@x>\n" + ok(1) + "C: RCPT TO:<c@x>\n" + ok(1)
	for name, tc := range map[string]struct {
		mode   Mode
		to     envelope
		script string
	}{
		"lockstep":             {Mode{}, two, lockstep + "C: DATA\nS: 354 go\n" + memoData + ok(1)},
		"lockstep, BDAT":       {Mode{Chunking: true, ChunkSize: 100}, two, lockstep + memoBDAT + ok(1)},
		"lockstep, RSET":       {Mode{Reset: true}, two, "C: RSET\n" + ok(1) + lockstep + "C: DATA\nS: 354 go\n" + memoData + ok(1)},
		"one recipient":        {Mode{Pipelining: true, AllOrNothing: true}, to(1), mailLine + rcptLines(to(1)) + "C: DATA\n" + ok(2) + "S: 354 go\n" + memoData + ok(1)},
		"all or nothing":       {Mode{Pipelining: true, AllOrNothing: true}, two, mailLine + rcptLines(two) + ok(3) + "C: DATA\nS: 354 go\n" + memoData + ok(1)},
		"partial":              {Mode{Pipelining: true}, two, mailLine + rcptLines(two) + "C: DATA\n" + ok(3) + "S: 354 go\n" + memoData + ok(1)},
		"all or nothing, BDAT": {Mode{Pipelining: true, AllOrNothing: true, Chunking: true, ChunkSize: 100}, two, mailLine + rcptLines(two) + ok(3) + memoBDAT + ok(1)},
		"RSET goes along":      {Mode{Pipelining: true, Reset: true}, two, "C: RSET\n" + mailLine + rcptLines(two) + "C: DATA\n" + ok(4) + "S: 354 go\n" + memoData + ok(1)},
		"early":                {Mode{Pipelining: true, Chunking: true, Early: true}, two, mailLine + rcptLines(two) + memoBDAT + ok(4)},
		"not asked for":        {Mode{Pipelining: true, Skip: []bool{false, true, false}}, to(3), mailLine + rcptLines(envelope{"b@x", "d@x"}) + "C: DATA\n" + ok(3) + "S: 354 go\n" + memoData + ok(1)},
		"not asked for, last":  {Mode{Skip: []bool{false, true}}, two, mailLine + ok(1) + rcptLines(to(1)) + ok(1) + "C: DATA\nS: 354 go\n" + memoData + ok(1)},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAttempt(t, tc.script, memo, tc.mode)
			a.send(tc.to, tc.mode)
			if !a.Sent() || !a.Committed || a.Together != tc.mode.Early || !a.link.Usable() {
				t.Errorf("sent %v, committed %v, together %v, lost %v", a.Sent(), a.Committed, a.Together, a.Lost)
			}
			if a.Octets != int64(len(memo)) {
				t.Errorf("%d octets, want %d", a.Octets, len(memo))
			}
		})
	}
}

// windowTo returns recipients whose RCPT lines, with MAIL, have octets in all.
func windowTo(octets int) (e envelope) {
	const rcpt = len("RCPT TO:<@x>\r\n")
	for left := octets - len("MAIL FROM:<a@x>\r\n"); left > 0; {
		n := min(left, 100)
		if rest := left - n; rest > 0 && rest < rcpt+1 {
			n -= rcpt + 1
		}
		e = append(e, strings.Repeat("r", n-rcpt)+"@x")
		left -= n
	}
	return e
}

// A flight has at most 4096 octets of commands that are not answered.
func TestWindow(t *testing.T) {
	const octets = 4096 // RFC 2920, 3.1: what the buffers of both sides hold
	for _, chunking := range []bool{false, true} {
		for over := range 2 {
			t.Run(fmt.Sprintf("%d octets, chunking %v", octets+over, chunking), func(t *testing.T) {
				e := windowTo(octets + over)
				m := Mode{Pipelining: true, Chunking: chunking, ChunkSize: 100}
				first, rest := e, envelope(nil)
				if over > 0 {
					first, rest = e[:len(e)-1], e[len(e)-1:]
				}
				script := mailLine + rcptLines(first) + ok(1+len(first))
				if over > 0 {
					script += rcptLines(rest)
				}
				switch {
				case chunking:
					script += ok(len(rest)) + memoBDAT
				case over > 0:
					script += "C: DATA\n" + ok(1) + "S: 354 go\n" + memoData
				default:
					script += "C: DATA\nS: 354 go\n" + memoData
				}
				a := newAttempt(t, script+ok(1), memo, m)
				a.send(e, m)
				if !a.Sent() {
					t.Errorf("%+v", a.Record)
				}
			})
		}
	}
}

// A window is counted anew for each flight.
func TestWindows(t *testing.T) {
	e := envelope{}
	for range 130 {
		e = append(e, strings.Repeat("r", 100-len("RCPT TO:<@x>\r\n"))+"@x")
	}
	// MAIL and 40 recipients have 4017 octets; then come 40 with 4000.
	script := mailLine + rcptLines(e[:40]) + ok(41) + rcptLines(e[40:80]) + ok(40) + rcptLines(e[80:120]) + ok(40) + rcptLines(e[120:]) + "C: DATA\n" + ok(10) + "S: 354 go\n"
	m := Mode{Pipelining: true}
	a := newAttempt(t, script, memo, m)
	if a.start(e, m); !a.OK() {
		t.Errorf("%+v", a.Record)
	}
}

// Once a reply has lost the message no further flight of it goes out.
func TestLostSendsNoFurtherFlight(t *testing.T) {
	many := envelope{}
	for range 45 {
		many = append(many, strings.Repeat("r", 100-len("RCPT TO:<@x>\r\n"))+"@x")
	}
	for name, tc := range map[string]struct {
		mode   Mode
		to     envelope
		script string
		open   bool
	}{
		"MAIL refused":                {Mode{}, to(1), mailLine + "S: 550 no\n", false},
		"MAIL refused, a window":      {Mode{Pipelining: true}, many, mailLine + rcptLines(many[:40]) + "S: 550 no\n" + strings.Repeat("S: 503 no\n", 40), false},
		"RCPT refused":                {Mode{AllOrNothing: true}, to(2), mailLine + ok(1) + "C: RCPT TO:<b@x>\nS: 450 no\n", true},
		"RCPT refused, a window":      {Mode{Pipelining: true, AllOrNothing: true}, many, mailLine + rcptLines(many[:40]) + ok(40) + "S: 550 no\n", true},
		"RCPT refused, before DATA":   {Mode{Pipelining: true, AllOrNothing: true}, to(2), mailLine + rcptLines(to(2)) + ok(1) + "S: 550 no\n" + ok(1), true},
		"RCPT refused, BDAT":          {Mode{Pipelining: true, AllOrNothing: true, Chunking: true, ChunkSize: 100}, to(2), mailLine + rcptLines(to(2)) + ok(2) + "S: 550 no\n", true},
		"all refused":                 {Mode{}, to(2), mailLine + ok(1) + "C: RCPT TO:<b@x>\nS: 450 no\nC: RCPT TO:<c@x>\nS: 550 no\n", true},
		"all refused, BDAT":           {Mode{Pipelining: true, Chunking: true, ChunkSize: 100}, to(2), mailLine + rcptLines(to(2)) + ok(1) + "S: 550 no\nS: 550 no\n", true},
		"DATA refused":                {Mode{Pipelining: true}, to(2), mailLine + rcptLines(to(2)) + "C: DATA\n" + ok(3) + "S: 451 later\n", true},
		"all refused, and so is DATA": {Mode{Pipelining: true}, to(2), mailLine + rcptLines(to(2)) + "C: DATA\n" + ok(1) + "S: 550 no\nS: 550 no\nS: 554 nobody\n", true},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAttempt(t, tc.script, memo, tc.mode)
			a.start(tc.to, tc.mode)
			if a.OK() || a.Lost != nil || a.Committed || !a.link.Usable() || a.link.Open() != tc.open {
				t.Errorf("OK %v, lost %v, committed %v, open %v", a.OK(), a.Lost, a.Committed, a.link.Open())
			}
			a.Commit(a.spool)
			a.Prepare(a.spool)
			if a.Committed {
				t.Error("committed all the same")
			}
		})
	}
}

// Partial goes on asking where all-or-nothing would stop.
func TestPartialGoesOn(t *testing.T) {
	m := Mode{}
	a := newAttempt(t, mailLine+ok(1)+"C: RCPT TO:<b@x>\nS: 550 no\nC: RCPT TO:<c@x>\nS: 250 ok\nC: DATA\nS: 354 go\n", memo, m)
	if a.start(to(2), m); !a.OK() {
		t.Errorf("%+v", a.Record)
	}
}

// A 354 that came for nobody is answered with an empty message, whose reply changes
// nothing (RFC 2920, 3.1).
func TestLoneDot(t *testing.T) {
	m := Mode{Pipelining: true}
	flight := mailLine + rcptLines(to(2)) + "C: DATA\n" + ok(1) + "S: 550 no\nS: 450 no\nS: 354 go\nC: .\n"
	for end, usable := range map[string]bool{"S: 250 queued": true, "S: 554 nobody": true, "S: 451 what": true, "S: 421 bye\neof": false, "close\neof": false, "S: what\neof": false} {
		a := newAttempt(t, flight+end, memo, m)
		a.send(to(2), m)
		if a.Sent() || a.Unknown() || a.Committed || a.Lost != nil || a.FirstRefused() != 0 || a.link.Usable() != usable || usable && a.link.Open() {
			t.Errorf("%s: %+v, usable %v, open %v", end, a.Record, a.link.Usable(), a.link.Open())
		}
	}
	// MAIL was refused but somebody accepted: even an empty message might be sent.
	a := newAttempt(t, mailLine+rcptLines(to(2))+"C: DATA\nS: 550 no\nS: 250 ok\nS: 550 no\nS: 354 go\neof", memo, m)
	a.send(to(2), m)
	if a.link.Usable() || a.Committed || a.Sent() || a.Unknown() {
		t.Errorf("%+v", a.Record)
	}
}

// Before each flight the link is looked at, but not twice.
func TestLooks(t *testing.T) {
	e := to(1)
	for name, tc := range map[string]struct {
		mode   Mode
		script string
		step   link.Step
	}{
		"before MAIL":            {Mode{Pipelining: true}, "S! 250 unasked\neof", link.Mail},
		"before RSET":            {Mode{Reset: true}, "S! 250 unasked\neof", link.Reset},
		"before RCPT":            {Mode{}, mailLine + "S: 250 ok\nS! 250 unasked\neof", link.Rcpt},
		"before DATA":            {Mode{}, mailLine + "S: 250 ok\n" + rcptLines(e) + "S: 250 ok\nS! 250 unasked\neof", link.Data},
		"before RCPT, looked":    {Mode{Looked: true}, mailLine + "S: 250 ok\nS! 250 unasked\neof", link.Rcpt},
		"before an early flight": {Mode{Pipelining: true, Chunking: true, Early: true}, "S! 250 unasked\neof", link.Mail},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAttempt(t, tc.script, memo, tc.mode)
			a.send(e, tc.mode)
			if a.Lost == nil || a.Lost.Kind != link.Unasked || a.Lost.Step != tc.step || a.Lost.Reply.Text != "unasked" || a.Committed {
				t.Errorf("lost for %v, committed %v", a.Lost, a.Committed)
			}
			if begun := tc.step != link.Mail && tc.step != link.Reset; a.Begun != begun {
				t.Errorf("begun: %v", a.Begun)
			}
		})
	}
	// A link that was looked at just now is not looked at again.
	synctest.Test(t, func(t *testing.T) {
		a := newAttempt(t, mailLine+rcptLines(e)+"C: DATA\n"+ok(2)+"S: 354 go\n", memo, Mode{})
		a.link = link.New(a.peer.hide(), link.Config{Limits: limits})
		begun := time.Now()
		a.start(e, Mode{Looked: true, Pipelining: true})
		if took := time.Since(begun); took != 0 || !a.OK() {
			t.Errorf("it took %v, OK %v", took, a.OK())
		}
	})
}

// hide returns the connection as one that cannot be asked, so that a look costs time.
func (p *peer) hide() onlyConn { return onlyConn{p.Conn} }

// A reply too many, or one that cannot be, makes it unknown which reply of its flight
// answers which command, unless they all say the same.
func TestShiftedReplies(t *testing.T) {
	m := Mode{Pipelining: true, Chunking: true, ChunkSize: 100}
	for name, tc := range map[string]struct {
		replies string
		mail    int
		rcpt    []int
	}{
		"one more, mixed":          {`S> 250 a\r\n550 b\r\n250 c\r\n250 d\r\n`, 0, []int{0, 0}},
		"one more, all accept":     {`S> 250 a\r\n250 b\r\n250 c\r\n250 d\r\n`, 250, []int{250, 250}},
		"out of step, mixed":       {`S> 250 a\r\n550 b\r\n354 c\r\n`, 0, []int{0, 0}},
		"out of step, all accept":  {`S> 250 a\r\n250 b\r\n354 c\r\n`, 250, []int{250, 0}},
		"the end, mixed":           {`S> 250 a\r\n550 b\r\n` + "\nclose", 250, []int{550, 0}},
		"garbage, mixed":           {`S> 250 a\r\n550 b\r\nwhat\r\n`, 250, []int{550, 0}},
		"421 and more, are no sum": {`S> 250 a\r\n550 b\r\n421 c\r\n`, 250, []int{550, 421}},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAttempt(t, mailLine+rcptLines(to(2))+tc.replies+"\neof", memo, m)
			a.send(to(2), m)
			got := []int{a.Mail.Code, a.Rcpt[0].Code, a.Rcpt[1].Code}
			if want := append([]int{tc.mail}, tc.rcpt...); fmt.Sprint(got) != fmt.Sprint(want) || a.Committed || a.Lost == nil {
				t.Errorf("the replies are %v, want %v; committed %v, lost %v", got, want, a.Committed, a.Lost)
			}
		})
	}
	// A 354 in its place shows that those before it are in theirs.
	data := Mode{Pipelining: true}
	a := newAttempt(t, mailLine+rcptLines(to(2))+"C: DATA\n"+`S> 250 a\r\n550 b\r\n250 c\r\n354 d\r\n250 e\r\n`+"\neof", memo, data)
	a.send(to(2), data)
	if a.Mail.Code != 250 || a.Rcpt[0].Code != 550 || a.Rcpt[1].Code != 250 || a.Committed || a.Lost == nil {
		t.Errorf("%+v", a.Record)
	}
	// Of several flights only the last one is in doubt.
	lockstep := Mode{}
	a = newAttempt(t, mailLine+"S: 250 a\nC: RCPT TO:<b@x>\nS: 550 b\nC: RCPT TO:<c@x>\n"+`S> 250 c\r\n250 d\r\n`+"\neof", memo, lockstep)
	a.send(to(2), lockstep)
	if a.Rcpt[0].Code != 550 || a.Lost == nil {
		t.Errorf("the replies to RCPT are %v", a.Rcpt)
	}
}

// The message of an early flight is on its way once the flight is written: all that
// is owed is heard.
func TestEarlyFlight(t *testing.T) {
	m := Mode{Pipelining: true, Chunking: true, Early: true}
	for name, tc := range map[string]struct {
		replies string
		sent    bool
		unknown bool
		usable  bool
	}{
		"accepted":                   {ok(4), true, false, true},
		"421 to the second (T1)":     {"S: 250 ok\nS: 250 ok\nS: 421 bye\nS: 250 queued\neof", true, false, false},
		"421 to MAIL, all answered":  {"S: 421 bye\nS: 503 no\nS: 503 no\nS: 503 no\neof", false, false, false},
		"421 and silence":            {"S: 250 ok\nS: 250 ok\nS: 421 bye\nstall\neof", false, true, false},
		"the end":                    {"S: 250 ok\nclose\neof", false, true, false},
		"refused and the end":        {"S: 550 no\nclose\neof", false, false, false},
		"all refused, and the chunk": {"S: 250 ok\nS: 550 no\nS: 550 no\nS: 503 no\neof", false, false, false},
		"421, and one too many":      {"S: 250 ok\nS: 250 ok\nS: 421 bye\nS: 550 what\nS: 250 queued\neof", false, true, false},
		"refused and silence":        {"S: 550 no\nstall\neof", false, true, false},
		"one refused and silence":    {"S: 250 ok\nS: 550 no\nS: 450 no\nstall\neof", false, true, false},
		"one refused and the end":    {"S: 250 ok\nS: 550 no\nS: 450 no\nclose\neof", false, false, false},
		"421 to MAIL and silence":    {"S: 421 bye\nstall\neof", false, true, false},
		"421 to MAIL and the end":    {"S: 421 bye\nclose\neof", false, false, false},
		"one refused":                {"S: 250 ok\nS: 550 no\nS: 250 ok\nS: 250 queued\n", true, false, true},
		"one too many":               {`S> 250 a\r\n250 b\r\n250 c\r\n250 d\r\n550 e\r\n` + "\neof", false, true, false},
		"one too many, cut short":    {`S> 250 a\r\n250 b\r\n250 c\r\n250 d\r\n55` + "\nclose", false, true, false},
		"one too many, late":         {"S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 250 queued\nS! 550 what\neof", false, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAttempt(t, mailLine+rcptLines(to(2))+memoBDAT+tc.replies, memo, m)
				a.send(to(2), m)
				if !a.Committed || !a.Together || a.Sent() != tc.sent || a.Unknown() != tc.unknown || a.link.Usable() != tc.usable {
					t.Errorf("sent %v, unknown %v, usable %v: %+v", a.Sent(), a.Unknown(), a.link.Usable(), a.Record)
				}
			})
		})
	}
}

// A context that is done before the flight is written leaves nothing in doubt (T7).
func TestEarlyFlightCancelled(t *testing.T) {
	m := Mode{Pipelining: true, Chunking: true, Early: true, Looked: true}
	a := newAttempt(t, "eof", memo, m)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	a.link.Begin(ctx)
	a.send(to(1), m)
	a.link.End()
	if a.Committed || a.Lost == nil || a.Lost.Kind != link.Cancelled || a.Unknown() || a.peer.written() != "" {
		t.Errorf("%+v", a.Record)
	}
}

// Only what is held back whole shares a flight with its envelope.
func TestEarlyNeedsTheWhole(t *testing.T) {
	m := Mode{Pipelining: true, Chunking: true, Early: true, ChunkSize: 100}
	a := newAttempt(t, mailLine+rcptLines(to(1))+ok(2)+memoBDAT+ok(1), memo, m)
	a.spool.SetWhole(false)
	a.start(to(1), m)
	if a.Committed || a.Together || !a.OK() {
		t.Fatalf("%+v", a.Record)
	}
	a.Stream(a.spool)
	a.Commit(a.spool)
	if !a.Sent() {
		t.Errorf("%+v", a.Record)
	}
}

// A server that has one answer for everything has taken nothing.
func TestEarlyAllRefusedAlike(t *testing.T) {
	m := Mode{Pipelining: true, Chunking: true, EnhancedCodes: true, Early: true}
	for _, tc := range []struct {
		replies string
		unknown bool
	}{
		{strings.Repeat("S: 550 5.1.8 no such domain\n", 3), false},
		{"S: 250 2.1.0 ok\n" + strings.Repeat("S: 550 5.1.1 no such user\n", 2), true},
		{strings.Repeat("S: 550 5.1.8 no such domain\n", 2) + "S: 250 2.1.5 ok\n", true},
	} {
		a := newAttempt(t, mailLine+rcptLines(to(1))+memoBDAT+tc.replies+"eof", memo, m)
		a.send(to(1), m)
		if a.Sent() || a.Unknown() != tc.unknown {
			t.Errorf("%q: sent %v, unknown %v", tc.replies, a.Sent(), a.Unknown())
		}
		if undecided := a.Rcpt[0].Code == 0; undecided != tc.unknown {
			t.Errorf("%q: the recipient was answered %v", tc.replies, a.Rcpt[0])
		}
	}
}

// A final reply of a class that makes no sense is the loss of the link, and shows that
// replies to the envelope may be shifted, unless a 354 was in its place.
func TestFinalOutOfStep(t *testing.T) {
	for name, tc := range map[string]struct {
		mode   Mode
		script string
		unsure bool
	}{
		"DATA":              {Mode{Pipelining: true}, "C: DATA\nS: 250 a\nS: 550 b\nS: 250 c\nS: 354 go\n" + memoData + "S: 354 what\neof", false},
		"BDAT":              {Mode{Pipelining: true, Chunking: true, ChunkSize: 100}, "S: 250 a\nS: 550 b\nS: 250 c\n" + memoBDAT + "S: 354 what\neof", true},
		"early":             {Mode{Pipelining: true, Chunking: true, Early: true}, memoBDAT + "S: 250 a\nS: 550 b\nS: 250 c\nS: 354 what\neof", true},
		"early, at a RCPT":  {Mode{Pipelining: true, Chunking: true, Early: true}, memoBDAT + "S: 250 a\nS: 550 b\nS: 354 what\neof", true},
		"early, as refused": {Mode{Pipelining: true, Chunking: true, Early: true}, memoBDAT + "S: 550 a\nS: 550 b\nS: 550 c\nS: 354 what\neof", false},
	} {
		a := newAttempt(t, mailLine+rcptLines(to(2))+tc.script, memo, tc.mode)
		a.send(to(2), tc.mode)
		refused := name == "early, as refused"
		if !a.Committed || a.Sent() || a.Unknown() == refused || a.Lost == nil || a.Lost.Kind != link.OutOfStep {
			t.Errorf("%s: sent %v, unknown %v, lost for %v", name, a.Sent(), a.Unknown(), a.Lost)
		}
		if forgotten := a.Rcpt[0].Code == 0; forgotten != tc.unsure {
			t.Errorf("%s: the replies to RCPT are %v", name, a.Rcpt)
		}
	}
}

// A link that was broken before: nothing is written, so nothing is on its way.
func TestBrokenLink(t *testing.T) {
	for _, looked := range []bool{false, true} {
		for name, m := range map[string]Mode{
			"lockstep": {},
			"DATA":     {Pipelining: true},
			"BDAT":     {Pipelining: true, Chunking: true, ChunkSize: 100},
			"early":    {Pipelining: true, Chunking: true, Early: true},
		} {
			t.Run(fmt.Sprintf("%s, looked %v", name, looked), func(t *testing.T) {
				m.Looked = looked
				a := newAttempt(t, "eof\n", memo, m)
				why := a.link.Break(&link.Failure{Kind: link.Cancelled, Step: link.Noop, Err: context.Canceled})
				a.send(to(1), m)
				if a.Committed || a.Unknown() || a.Sent() || a.Lost != why {
					t.Errorf("committed %v, unknown %v, lost %v", a.Committed, a.Unknown(), a.Lost)
				}
			})
		}
	}
}
