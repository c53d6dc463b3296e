package link

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fe022423/submission/internal/smtpwire"
)

// three puts three commands in a flight, and returns the script of their lines.
func three(l *Link, told Sink) {
	for i, step := range []Step{Mail, Rcpt, Data} {
		l.Line(fmt.Sprintf("command %d", i))
		l.Owes(Owed{told, step, i, false})
	}
}

const threeLines = "C: command 0\nC: command 1\nC: command 2\n"

// HearAll writes what is buffered in one go, and gives each reply to what it was
// owed to, in order.
func TestHearAll(t *testing.T) {
	var told log
	l := played(t, threeLines+"S: 250 one\nS: 251 two\nS: 354 three\nC: more\nS: 250 four\n")
	three(l, &told)
	l.HearAll()
	// The text of a MAIL that was accepted and of a 354 is not kept.
	told.check(t, "6 0: 250 ", "7 1: 251 two", "8 2: 354 ")
	l.Line("more")
	l.Owes(Owed{&told, Final, 9, false})
	l.HearAll()
	told.check(t, "6 0: 250 ", "7 1: 251 two", "8 2: 354 ", "11 9: 250 four")
	if !l.Usable() {
		t.Errorf("broken: %v", l.Failure())
	}
	l.HearAll() // nothing is owed
	if len(told.lines) != 4 || !l.Usable() {
		t.Error("something was heard that nobody owed")
	}
}

// Replies of several messages in one queue go each to its own.
func TestHearAllMessages(t *testing.T) {
	var first, second log
	l := played(t, threeLines+"S: 250 one\nS: 250 two\nclose\n")
	for i, m := range []*log{&first, &second, &second} {
		l.Line(fmt.Sprintf("command %d", i))
		l.Owes(Owed{m, Step(int(Final) * (1 - min(i, 1))), i, false})
	}
	l.HearAll()
	first.check(t, "11 0: 250 one")
	second.check(t, "0 1: 250 two", "0 2: missed")
	wantFailure(t, l, Ended, Greeting)
}

// After a failure everything that is owed is missed, in order, for the same reason.
func TestHearAllFails(t *testing.T) {
	for _, toTheEnd := range []bool{false, true} {
		for _, tc := range []struct {
			script string
			kind   Kind
			took   time.Duration
		}{
			{"close", Ended, 0},
			{"S> 25\nclose", Ended, 0},
			{"S> 250-more\\r\\n\nclose", Ended, 0},
			{"reset", Failed, 0},
			{"S: rubbish", Malformed, 0},
			{"S: 150 ok", Malformed, 0},
			{"stall", TimedOut, limits.Command},
			{"S> 2\nstall", TimedOut, limits.Command},
			{"S> 250-more\\r\\n\nstall", TimedOut, limits.Command},
		} {
			t.Run(fmt.Sprintf("%s/to the end %v", tc.script, toTheEnd), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var told log
					l := played(t, threeLines+"S: 250 one\n"+tc.script+"\neof")
					three(l, &told)
					begun := time.Now()
					if toTheEnd {
						l.HearToTheEnd()
					} else {
						l.HearAll()
					}
					took(t, begun, tc.took)
					told.check(t, "6 0: 250 ", "7 1: missed", "8 2: missed")
					f := wantFailure(t, l, tc.kind, Rcpt)
					if told.missed[0] != f || told.missed[1] != f {
						t.Errorf("missed for %v, want %v", told.missed, f)
					}
					if f.Limit != tc.took {
						t.Errorf("limit %v, want %v", f.Limit, tc.took)
					}
				})
			})
		}
	}
}

// A sink that does not trust an answer breaks the link. It has heard that reply; what
// comes after it is missed.
func TestSinkBreaks(t *testing.T) {
	why := &Failure{Kind: OutOfStep, Step: Rcpt}
	for _, toTheEnd := range []bool{false, true} {
		told := log{refuse: func(o Owed, r Reply) *Failure {
			if o.Step == Rcpt {
				return why
			}
			return nil
		}}
		l := played(t, threeLines+"S: 250 one\nS: 250 two\neof")
		three(l, &told)
		if toTheEnd {
			l.HearToTheEnd()
		} else {
			l.HearAll()
		}
		told.check(t, "6 0: 250 ", "7 1: 250 two", "8 2: missed")
		if l.Failure() != why || told.missed[0] != why {
			t.Errorf("%v, missed for %v", l.Failure(), told.missed[0])
		}
	}
}

// 421, and a 221 that no QUIT asked for, end the session: nothing more is heard.
func TestClosingStops(t *testing.T) {
	for _, code := range []int{421, 221} {
		var told log
		var closed []*Failure
		l := played(t, threeLines+fmt.Sprintf("S: 250 one\nS: %d bye\neof", code), func(c *Config) {
			c.Closed = func(f *Failure) { closed = append(closed, f) }
		})
		three(l, &told)
		l.HearAll()
		told.check(t, "6 0: 250 ", fmt.Sprintf("7 1: %d bye", code), "8 2: missed")
		f := wantFailure(t, l, Closing, Rcpt)
		if f.Reply != (Reply{code, "bye"}) || told.missed[0] != f || len(closed) != 1 || closed[0] != f {
			t.Errorf("%v, missed for %v, closed for %v", f, told.missed, closed)
		}
	}
}

// With HearToTheEnd a server that ends the session may answer the rest, and so may one
// that refuses in a way that costs the session. It has a second for all of it.
func TestHearToTheEnd(t *testing.T) {
	refused := func(o Owed, r Reply) *Failure {
		if r.Code == 502 {
			return &Failure{Kind: Refused, Step: o.Step, Reply: r}
		}
		return nil
	}
	for _, tc := range []struct {
		name, script string
		took         time.Duration
		told         []string
		kind         Kind
		step         Step
	}{
		{"421, then all", "S: 421 bye\nS: 250 two\nS: 250 three\neof", 0, []string{"6 0: 421 bye", "7 1: 250 two", "8 2: 250 three"}, Closing, Mail},
		{"221, then all", "S: 221 bye\nS: 250 two\nS: 250 three\neof", 0, []string{"6 0: 221 bye", "7 1: 250 two", "8 2: 250 three"}, Closing, Mail},
		{"refused, then all", "S: 502 no\nS: 250 two\nS: 250 three\neof", 0, []string{"6 0: 502 no", "7 1: 250 two", "8 2: 250 three"}, Refused, Mail},
		{"421 at the end", "S: 250 one\nS: 250 two\nS: 421 bye\neof", 0, []string{"6 0: 250 ", "7 1: 250 two", "8 2: 421 bye"}, Closing, Data},
		{"two reasons", "S: 502 no\nS: 421 bye\nS: 250 three\neof", 0, []string{"6 0: 502 no", "7 1: 421 bye", "8 2: 250 three"}, Refused, Mail},
		{"421, then the end", "S: 421 bye\nclose\neof", 0, []string{"6 0: 421 bye", "7 1: missed", "8 2: missed"}, Closing, Mail},
		{"421, then silence", "S: 421 bye\nstall\neof", time.Second, []string{"6 0: 421 bye", "7 1: missed", "8 2: missed"}, Closing, Mail},
		{"421, one more, then silence", "S: 421 bye\nS: 250 two\nstall\neof", time.Second, []string{"6 0: 421 bye", "7 1: 250 two", "8 2: missed"}, Closing, Mail},
		{"421, then rubbish", "S: 421 bye\nS: rubbish\neof", 0, []string{"6 0: 421 bye", "7 1: missed", "8 2: missed"}, Closing, Mail},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				told := log{refuse: refused}
				l := played(t, threeLines+tc.script)
				three(l, &told)
				begun := time.Now()
				l.HearToTheEnd()
				took(t, begun, tc.took)
				told.check(t, tc.told...)
				f := wantFailure(t, l, tc.kind, tc.step)
				for _, why := range told.missed {
					if why != f {
						t.Errorf("missed for %v, want the first reason", why)
					}
				}
				if (f.Rest != nil) != (len(told.missed) > 0) || f.Gone() != (tc.name == "421, then the end") {
					t.Errorf("the rest was lost for %v, gone %v", f.Rest, f.Gone())
				}
				if !l.closed {
					t.Error("not closed")
				}
			})
		})
	}
}

// The second after a 421 is one second for all that is owed, not one for each reply.
func TestLastWordsAreOneSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		l := New(w, Config{Limits: limits})
		var told log
		for i := range 4 {
			l.Owes(Owed{&told, Rcpt, i, false})
		}
		time.AfterFunc(5*time.Second, func() { w.say("421 bye\r\n") })
		time.AfterFunc(5600*time.Millisecond, func() { w.say("421 two\r\n") })
		time.AfterFunc(6200*time.Millisecond, func() { w.say("421 three\r\n") })
		begun := time.Now()
		l.HearToTheEnd()
		took(t, begun, 6*time.Second)
		told.check(t, "7 0: 421 bye", "7 1: 421 two", "7 2: missed", "7 3: missed")
		wantFailure(t, l, Closing, Rcpt)
	})
}

// A cancelled caller does not wait for last words.
func TestCancelEndsLastWords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		l := New(w, Config{Limits: limits})
		ctx, cancel := context.WithCancel(context.Background())
		l.Begin(ctx)
		w.say("421 bye\r\n")
		time.AfterFunc(300*time.Millisecond, cancel)
		var told log
		l.Owes(Owed{&told, Rcpt, 0, false})
		l.Owes(Owed{&told, Rcpt, 1, false})
		begun := time.Now()
		l.HearToTheEnd()
		took(t, begun, 300*time.Millisecond)
		told.check(t, "7 0: 421 bye", "7 1: missed")
		wantFailure(t, l, Closing, Rcpt)
		l.End()
	})
}

// The time of a reply begins when it is waited for.
func TestLimitBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		l := New(w, Config{Limits: limits})
		for range 3 {
			time.AfterFunc(limits.Command-1, func() { w.say("250 ok\r\n") })
			if _, why := l.Hear(Command); why != nil {
				t.Fatal(why)
			}
			time.Sleep(time.Hour)
		}
	})
}

// A reply that is in the buffer costs no system call for a deadline.
func TestNoDeadlineForBuffered(t *testing.T) {
	w := newWire()
	l := New(w, Config{Limits: limits})
	w.say("250-one\r\n250 one\r\n250 two\r\n250 three\r\n25", "0 four\r\n")
	w.deadlines = 0
	for i, want := range []int{1, 1, 1, 2} {
		if _, why := l.Hear(Command); why != nil {
			t.Fatal(why)
		}
		if w.deadlines != want {
			t.Errorf("after reply %d: %d deadlines were set, want %d", i+1, w.deadlines, want)
		}
	}
}

// Hear breaks the link for what ends it, and for nothing else.
func TestHear(t *testing.T) {
	for _, code := range []int{200, 250, 259, 220, 334, 354, 400, 420, 422, 450, 500, 550, 559, 221, 421} {
		for _, step := range []Step{Greeting, Hello, Noop, Quit, Command} {
			l := played(t, fmt.Sprintf("S: %d text\n", code))
			r, why := l.Hear(step)
			if why != nil || r.Code != code || string(r.Text) != "text" {
				t.Fatalf("%d: %v, %v", code, r, why)
			}
			ends := (code == 221 || code == 421) && step != Quit
			if l.Usable() == ends {
				t.Errorf("%d at step %d: usable %v", code, step, l.Usable())
			}
			if ends {
				wantFailure(t, l, Closing, step)
			}
		}
	}
	for script, kind := range map[string]Kind{"close": Ended, "reset": Failed, "S: what": Malformed} {
		l := played(t, script+"\neof")
		if r, why := l.Hear(Hello); why == nil || why != l.Failure() || r.Code != 0 {
			t.Errorf("%s: %v, %v", script, r, why)
		}
		wantFailure(t, l, kind, Hello)
	}
}

func TestReply(t *testing.T) {
	for code := 200; code < 600; code++ {
		r := Reply{Code: code}
		ends := code == 221 || code == 421
		if want := code < 300 && !ends; r.Positive() != want {
			t.Errorf("%d positive: %v", code, r.Positive())
		}
		if want := code >= 400 || ends; r.Negative() != want {
			t.Errorf("%d negative: %v", code, r.Negative())
		}
		if r.Closing() != ends {
			t.Errorf("%d closing: %v", code, r.Closing())
		}
	}
	if none := (Reply{}); none.Positive() || none.Negative() || none.Closing() {
		t.Error("no reply says something")
	}
}

// What a link leaves behind decides whether RSET goes first. A server that refuses
// RSET or EHLO has forgotten nothing, and one that refuses a message may not have.
func TestNoteOpen(t *testing.T) {
	const (
		same = iota
		opens
		closes
	)
	codes := map[string][]int{
		"positive": {200, 250, 251, 252, 259},
		"closing":  {221, 421},
		"middle":   {334, 354},
		"4yz":      {400, 450, 452, 459},
		"5yz":      {500, 502, 530, 550, 552, 554, 559},
	}
	type row map[string]int
	table := map[Step]row{
		Mail:    {"positive": opens},
		Rcpt:    {"positive": opens},
		Reset:   {"positive": closes},
		Hello:   {"positive": closes}, // RFC 5321, 4.1.4
		Final:   {"positive": closes},
		Message: {"positive": closes, "4yz": closes, "5yz": closes}, // the empty message of RFC 2920, 3.1
	}
	for step := Greeting; step <= Command; step++ {
		for class, list := range codes {
			for _, code := range list {
				if step == Message && (class == "closing" || class == "middle") {
					continue // the link is over
				}
				for _, before := range []bool{false, true} {
					l := Link{open: before}
					l.noteOpen(step, code)
					want := before
					switch table[step][class] {
					case opens:
						want = true
					case closes:
						want = false
					}
					if l.Open() != want {
						t.Errorf("step %d, %d, open before %v: open %v, want %v", step, code, before, l.Open(), want)
					}
				}
			}
		}
	}
}

// Open follows what is heard, also in a flight.
func TestOpen(t *testing.T) {
	var told log
	l := played(t, "C: MAIL\nC: RCPT\nS: 250 ok\nS: 550 no\nC: RSET\nS: 250 ok\n")
	if l.Open() {
		t.Error("a new link has something open")
	}
	l.Line("MAIL")
	l.Owes(Owed{&told, Mail, 0, false})
	l.Line("RCPT")
	l.Owes(Owed{&told, Rcpt, 0, false})
	l.HearAll()
	if !l.Open() {
		t.Error("MAIL was accepted, and nothing is open")
	}
	if _, why := l.Exchange(Reset, "RSET"); why != nil || l.Open() {
		t.Errorf("%v; open after RSET: %v", why, l.Open())
	}
}

// Everything that is kept or shown went through Clean, as a whole and once; replies
// of a flight that say the same share their text.
func TestKeep(t *testing.T) {
	cleaned := 0
	var received []Reply
	l := played(t, threeLines+"S> 250-a secret\\r\\n250 b\\r\\n\nS> 250-a secret\\r\\n250 b\\r\\n\nS: 251-secret\nS: 251\n", func(c *Config) {
		c.Clean = func(text string) string {
			cleaned++
			return strings.ReplaceAll(text, "secret", "***")
		}
		c.Received = func(r Reply) { received = append(received, r) }
	})
	var told log
	three(l, &told)
	l.HearAll()
	told.check(t, "6 0: 250 ", "7 1: 250 a ***\nb", "8 2: 251 ***\n")
	want := []Reply{{250, "a ***\nb"}, {250, "a ***\nb"}, {251, "***\n"}}
	if !slices.Equal(received, want) {
		t.Errorf("received %v", received)
	}
	if got := l.Keep(smtpwire.Reply{Code: 535, Text: []byte("secret")}); got != (Reply{535, "***"}) {
		t.Errorf("Keep: %v", got)
	}
}

// The text of a reply with another code is not that of the reply before, although
// it reads the same.
func TestKeepSharedTellsCodesApart(t *testing.T) {
	var told log
	l := played(t, threeLines+"S: 250 x\nS: 550 x\nS: 550 y\n")
	three(l, &told)
	l.HearAll()
	told.check(t, "6 0: 250 ", "7 1: 550 x", "8 2: 550 y")
}

// Settled breaks the link when more was said than was asked for, be it a whole reply
// or a part of one.
func TestSettled(t *testing.T) {
	for more, kind := range map[string]Kind{"": 0, "250 more\r\n": Unasked, "2": Unasked, "\r\n": Unasked} {
		w := newWire()
		l := New(w, Config{Limits: limits})
		w.say("250 ok\r\n" + more)
		if _, why := l.Hear(Noop); why != nil {
			t.Fatal(why)
		}
		why := l.Settled(Mail)
		if more == "" {
			if why != nil || !l.Usable() {
				t.Errorf("%v", why)
			}
			continue
		}
		if f := wantFailure(t, l, kind, Mail); f != why || !w.isClosed() {
			t.Errorf("%q: %v", more, why)
		}
	}
}

// A write that failed shows in Settled, where no reply does.
func TestSettledAfterFailedWrite(t *testing.T) {
	w := newWire()
	w.refuse = errBroken
	l := New(w, Config{Limits: limits})
	l.Line("NOOP")
	l.Flush()
	if l.Failure() != nil || l.Usable() {
		t.Errorf("failure %v, usable %v: want it to show when a reply is heard", l.Failure(), l.Usable())
	}
	if why := l.Settled(Noop); why == nil || why.Err != errBroken {
		t.Errorf("%v", why)
	}
	wantFailure(t, l, Failed, Noop)
}

func TestExchange(t *testing.T) {
	t.Run("good", func(t *testing.T) {
		l := played(t, "C: VRFY x\nS: 252 maybe\nC: NOOP\nS: 500 what\n")
		if r, why := l.Exchange(Command, "VRFY x"); why != nil || r.Code != 252 {
			t.Errorf("%v, %v", r, why)
		}
		if r, why := l.Exchange(Noop, "NOOP"); why != nil || r.Code != 500 || !l.Usable() {
			t.Errorf("%v, %v", r, why)
		}
	})
	t.Run("a control character", func(t *testing.T) {
		w := newWire()
		l := New(w, Config{Limits: limits})
		if _, why := l.Exchange(Command, "VRFY x\r\nDATA"); why == nil {
			t.Error("sent")
		}
		wantFailure(t, l, GivenUp, Command)
		if w.written() != "" {
			t.Errorf("%q was written", w.written())
		}
	})
	t.Run("not written", func(t *testing.T) {
		w := newWire()
		w.refuse = errBroken
		l := New(w, Config{Limits: limits})
		w.hangUp(io.EOF)
		if _, why := l.Exchange(Command, "VRFY x"); why == nil || why.Err != errBroken {
			t.Errorf("%v, want the error of the write", why)
		}
	})
	t.Run("something unasked", func(t *testing.T) {
		l := played(t, "C: NOOP\nS: 250 ok\nS! 250 more\neof")
		l.Exchange(Noop, "NOOP")
		if _, why := l.Exchange(Noop, "NOOP"); why == nil {
			t.Error("answered by a reply to nothing")
		}
		if f := wantFailure(t, l, Unasked, Noop); f.Reply != (Reply{250, "more"}) {
			t.Errorf("%v", f)
		}
	})
}

// The queue that is never empty, as where messages share flights, does not grow.
func TestOwedWithoutEnd(t *testing.T) {
	var q queue
	q.push(Owed{Index: 0})
	for i := range 10_000 {
		q.push(Owed{Index: i + 1})
		if o, ok := q.pop(); !ok || o.Index != i {
			t.Fatalf("popped %d, %v, want %d", o.Index, ok, i)
		}
	}
	if n := cap(q.list); n > 8 {
		t.Errorf("room for %d", n)
	}
}

// HearFor stops in front of what is owed to another message.
func TestHearFor(t *testing.T) {
	var front, behind log
	l := played(t, threeLines+"S: 250 one\nS: 251 two\nS: 552 three\nclose\n")
	for i, m := range []*log{&front, &behind, &behind} {
		l.Line(fmt.Sprintf("command %d", i))
		l.Owes(Owed{m, Command, i, false})
	}
	l.HearFor(&front)
	if len(front.lines) != 1 || len(behind.lines) != 0 || !l.Owing() || !l.Usable() {
		t.Errorf("heard %q and %q, owing %v", front.lines, behind.lines, l.Owing())
	}
	l.HearFor(&behind)
	if len(behind.lines) != 2 || l.Owing() {
		t.Errorf("heard %q, owing %v", behind.lines, l.Owing())
	}
}

// After a failure nothing is owed to the message behind either.
func TestHearForFails(t *testing.T) {
	var front, behind log
	l := played(t, threeLines+"S: 421 bye\nclose\n")
	for i, m := range []*log{&front, &behind, &behind} {
		l.Line(fmt.Sprintf("command %d", i))
		l.Owes(Owed{m, Command, i, false})
	}
	l.HearFor(&front)
	if len(behind.missed) != 2 || l.Owing() || l.Usable() {
		t.Errorf("missed %d, owing %v, usable %v", len(behind.missed), l.Owing(), l.Usable())
	}
}

// Where more is owed, to RSET first, a refusal in its place is one reply too many, if it
// is not one that says that RSET is not known.
func TestSurplusBeforeReset(t *testing.T) {
	for reply, want := range map[string]int{"250 ok": 0, "552 no": 552, "450 busy": 450, "503 what": 503, "502 what is that": 0, "500 what": 0, "504 no": 0} {
		var front, behind log
		l := played(t, "C: command 0\nC: command 1\nS> 250 one\\r\\n"+reply+"\\r\\n\n")
		for i, m := range []*log{&front, &behind} {
			l.Line(fmt.Sprintf("command %d", i))
			l.Owes(Owed{m, []Step{Final, Reset}[i], i, false})
		}
		l.HearFor(&front)
		r, noise := l.Surplus(Final)
		if r.Code != want || noise || l.Usable() != (reply[0] == '2') {
			t.Errorf("%s: surplus %d, noise %v, usable %v", reply, r.Code, noise, l.Usable())
		}
	}
}

// A message that is owed more replies when the server ends the session hears them; what
// is behind it does not come any more.
func TestHearForAfter421(t *testing.T) {
	for name, tc := range map[string]struct {
		script        string
		heard, missed int
	}{
		"the rest comes":     {"S: 421 bye\nS: 250 two\nS! 250 three\n", 2, 0},
		"the rest is missed": {"S: 421 bye\nclose\n", 1, 1},
		"it ends last":       {"S: 250 one\nS: 421 bye\nclose\n", 2, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			var front, behind log
			l := played(t, threeLines+tc.script)
			for i, m := range []*log{&front, &front, &behind} {
				l.Line(fmt.Sprintf("command %d", i))
				l.Owes(Owed{m, Final, i, false})
			}
			l.HearFor(&front)
			if len(front.lines) != tc.heard+tc.missed || len(front.missed) != tc.missed || len(behind.lines) != 1 || len(behind.missed) != 1 || l.Owing() || l.Usable() {
				t.Errorf("%s: heard %q and %q, missed %d and %d, owing %v, usable %v",
					name, front.lines, behind.lines, len(front.missed), len(behind.missed), l.Owing(), l.Usable())
			}
		})
	}
}
