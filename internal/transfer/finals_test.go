package transfer

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fe022423/submission/internal/link"
)

var (
	lmtp        = Mode{Pipelining: true, LMTP: true}
	lmtpChunked = Mode{Pipelining: true, LMTP: true, Chunking: true, ChunkSize: 100}
	lmtpEarly   = Mode{Pipelining: true, LMTP: true, Chunking: true, Early: true, EnhancedCodes: true}
)

// lmtpRow is a message of LMTP that was committed after DATA.
func lmtpRow(rcpt, finals string) facts {
	return facts{mode: lmtp, mail: "250", rcpt: rcpt, data: "354", committed: true, finals: finals}
}

func (f facts) with(change func(*facts)) facts { change(&f); return f }

// Under LMTP each final reply is kept for its recipient.
func TestHearFinals(t *testing.T) {
	r := lmtpRow("250/550/250", "//").record()
	for i, text := range map[int]string{0: "250 2.1.5 ok", 2: "550 5.1.1 no"} { // a final reply about an address is one
		if why := r.Hear(link.Owed{Message: &r, Step: link.Final, Index: i}, reply(text)); why != nil || r.FinalOf(i) != reply(text) {
			t.Errorf("%s: %v, kept as %v", text, why, r.FinalOf(i))
		}
	}
	if r.Final.Code != 0 {
		t.Errorf("one reply for all: %v", r.Final)
	}
	if why := r.Hear(link.Owed{Message: &r, Step: link.Final}, reply("354 go")); why == nil || why.Kind != link.OutOfStep || r.FinalOf(0).Code != 250 {
		t.Errorf("354: %v, kept as %v", why, r.FinalOf(0))
	}
}

// Under LMTP the message is sent when one of the recipients got it and the fate of each
// is known, unknown when that of one is not, and else not sent.
func TestFinalsOutcome(t *testing.T) {
	early := func(rcpt, finals string, lost *link.Failure) facts {
		return facts{mode: lmtpEarly, mail: "250", rcpt: rcpt, finals: finals, committed: true, together: true, lost: lost}
	}
	sent, unknown := map[string]question{}, map[string]question{}
	for name, row := range map[string]struct {
		facts
		want string
	}{
		"one, taken":                    {lmtpRow("250", "250"), "sent"},
		"one, refused":                  {lmtpRow("250", "550"), "not"},
		"one, deferred":                 {lmtpRow("250", "452"), "not"},
		"one, 421":                      {lmtpRow("250", "421"), "not"},
		"one, missing":                  {lmtpRow("250", ""), "unknown"},
		"both taken":                    {lmtpRow("250/250", "250/250"), "sent"},
		"one of two taken":              {lmtpRow("250/250", "550/250"), "sent"},
		"the other one":                 {lmtpRow("250/250", "250/452"), "sent"},
		"both refused":                  {lmtpRow("250/250", "550/452"), "not"},
		"taken, then 421":               {lmtpRow("250/250", "250/421"), "sent"},
		"refused, then 421":             {lmtpRow("250/250", "550/421"), "not"},
		"taken, then missing":           {lmtpRow("250/250", "250/"), "unknown"},
		"refused, then missing":         {lmtpRow("250/250", "550/"), "unknown"},
		"421, then missing":             {lmtpRow("250/250", "421/"), "unknown"},
		"one refused at RCPT, taken":    {lmtpRow("550/250", "/250"), "sent"},
		"one refused at RCPT, refused":  {lmtpRow("550/250", "/550"), "not"},
		"one refused at RCPT, missing":  {lmtpRow("250/550", "/"), "unknown"},
		"not committed":                 {lmtpRow("250", "").with(func(f *facts) { f.committed = false }), "not"},
		"shifted":                       {lmtpRow("250/250", "/").with(func(f *facts) { f.shifted = true }), "unknown"},
		"shifted, one refused at RCPT":  {lmtpRow("550/250", "/").with(func(f *facts) { f.shifted = true }), "unknown"},
		"early, taken":                  {early("250", "250", nil), "sent"},
		"early, refused at RCPT":        {early("550", "503", nil), "not"},
		"early, refused":                {early("250", "550", nil), "not"},
		"early, the end":                {early("250", "", ended(link.Final)), "unknown"},
		"early, the end at RCPT":        {early("", "", ended(link.Rcpt)), "unknown"},
		"early, refused, then the end":  {early("550", "", ended(link.Final)), "not"},
		"early, sender refused, taken":  {early("250", "250", nil).with(func(f *facts) { f.mail = "550" }), "unknown"},
		"early, sender refused, no one": {early("503", "503", nil).with(func(f *facts) { f.mail = "550" }), "not"},
	} {
		sent[name], unknown[name] = question{row.facts, row.want == "sent"}, question{row.facts, row.want == "unknown"}
	}
	ask(t, sent, (*Record).Sent)
	ask(t, unknown, (*Record).Unknown)
}

// What became of the message for each recipient.
func TestTaken(t *testing.T) {
	for finals, want := range map[string]string{"250/550/452": "+--", "250/250/250": "+++", "/250/": "?+?", "421//": "-??"} {
		r := lmtpRow("250/250/250", finals).record()
		got := ""
		for i := range r.Rcpt {
			switch {
			case r.Taken(i):
				got += "+"
			case r.TurnedAway(i):
				got += "-"
			case r.awaits(i):
				got += "?"
			}
		}
		if got != want {
			t.Errorf("%s: %s, want %s", finals, got, want)
		}
	}
	r := lmtpRow("550/250/", "//").record()
	if r.Taken(0) || r.TurnedAway(0) || r.awaits(0) || r.awaits(2) {
		t.Error("who was not accepted has no final reply")
	}
	r = lmtpRow("250/250/250/250", "251 first/550 no/252 last/452 x").record()
	if r.LastTaken() != reply("252 last") || r.FinalRefusal() != reply("550 no") || r.FirstFinal() != reply("251 first") {
		t.Errorf("last taken %v, first refusal %v, first %v", r.LastTaken(), r.FinalRefusal(), r.FirstFinal())
	}
	one := facts{mode: data, mail: "250", rcpt: "250/250", data: "354", committed: true, final: "250"}.record()
	if !one.Taken(0) || !one.Taken(1) || one.TurnedAway(0) || one.LastTaken() != reply("250") {
		t.Error("one reply is not that for all")
	}
}

// One final reply too many. Where there are several, nobody knows which is about whom,
// unless all say the same; where there is one, the rules of SMTP hold but for the one
// about addresses.
func TestFinalsShifted(t *testing.T) {
	row := func(m Mode, rcpt, finals, surplus string) facts {
		f := facts{mode: m, mail: "250", rcpt: rcpt, finals: finals, surplus: surplus, committed: true}
		if !m.Chunking {
			f.data = "354"
		}
		return f
	}
	codes := lmtpChunked
	codes.EnhancedCodes = true
	rows := map[string]question{
		"one, BDAT, about an address":  {row(codes, "250", "250 2.1.5 ok", ""), false},
		"one, BDAT, refused, x.1.z":    {row(codes, "250", "550 5.1.1 no", ""), false},
		"one, DATA, one more":          {row(lmtp, "250", "250", "550"), false},
		"one, BDAT, one more":          {row(lmtpChunked, "250", "250", "550"), true},
		"one, BDAT, one more like it":  {row(lmtpChunked, "250", "250", "250"), false},
		"one, early, one more":         {row(lmtpEarly, "250", "250", "550").with(func(f *facts) { f.together = true }), true},
		"one, early, about an address": {row(lmtpEarly, "250", "250 2.1.5 ok", "").with(func(f *facts) { f.together = true }), false},
	}
	for name, m := range map[string]Mode{"DATA": lmtp, "BDAT": lmtpChunked} {
		for _, tc := range []struct {
			rcpt, finals, surplus string
			want                  bool
		}{
			{"250/250", "250/250", "", false},
			{"250/250", "250/550", "", false},
			{"250/250", "250/250", "250", false},
			{"250/250", "550/452", "550", false},
			{"250/250", "250/250", "550", true},
			{"250/250", "250/550", "250", true},
			{"250/250", "550/550", "250", true},
			{"250/250", "250/250", "354", true},
			{"250/250", "250/550", "421", false}, // the session ends
			{"250/250", "250/550", "221", false},
			{"550/250", "/250", "550", true}, // one for each that was asked for?
			{"550/250", "/250", "250", false},
			{"250/250", "/", "250", false}, // none came, and so none is out of place
		} {
			rows[fmt.Sprintf("%s, %s, %s, %s", name, tc.rcpt, tc.finals, tc.surplus)] = question{row(m, tc.rcpt, tc.finals, tc.surplus), tc.want}
		}
	}
	ask(t, rows, (*Record).shifted)
}

// A recipient that is refused by its final reply does not count against the session, as
// at RCPT.
func TestFinalsAndSession(t *testing.T) {
	bdat := func(f *facts) { f.mode, f.data = lmtpChunked, "" }
	wrong, again, ends := map[string]question{}, map[string]question{}, map[string]question{}
	for name, row := range map[string]struct {
		facts
		wrong, again, ends bool
	}{
		"taken":                     {lmtpRow("250/250", "250/250"), false, false, false},
		"one deferred":              {lmtpRow("250/250", "250/451 4.3.0"), false, false, false},
		"one, its backend":          {lmtpRow("250/250", "451 4.4.0/250"), false, false, false},
		"one refused, BDAT":         {lmtpRow("250/250", "550/250").with(bdat), false, false, false},
		"all refused":               {lmtpRow("250/250", "550/554"), false, false, false},
		"all refused, BDAT":         {lmtpRow("250/250", "550/554").with(bdat), true, false, true},
		"all deferred":              {lmtpRow("250/250", "451 4.3.0/451"), true, false, false},
		"all full":                  {lmtpRow("250/250", "452 4.2.2/552 5.2.2"), false, false, false},
		"the one full":              {lmtpRow("250", "452 4.2.2 full"), false, false, false},
		"the one, its address":      {lmtpRow("250", "450 4.1.1"), false, false, false},
		"the one full, BDAT":        {lmtpRow("250", "452 4.2.2 full").with(bdat), false, false, true},
		"one full, one deferred":    {lmtpRow("250/250", "452 4.2.2/451"), true, false, false},
		"the connection":            {lmtpRow("250/250", "451 4.4.2/451 4.4.2"), true, true, false},
		"one 421":                   {lmtpRow("250/250", "250/421"), true, false, false},
		"all refused, the last 421": {lmtpRow("250/250", "550/421"), true, true, false},
		"503":                       {lmtpRow("250/250", "503/503"), true, true, false},
		"early, for nobody": {facts{mode: lmtpEarly, mail: "250", rcpt: "550", finals: "503", committed: true, together: true},
			false, false, true},
	} {
		wrong[name], again[name], ends[name] = question{row.facts, row.wrong}, question{row.facts, row.again}, question{row.facts, row.ends}
	}
	ask(t, wrong, (*Record).SessionWrong)
	ask(t, again, (*Record).StartsAgain)
	ask(t, ends, (*Record).Ends)
}

// Nothing goes out behind a message that has several final replies.
func TestMayBeFollowed(t *testing.T) {
	skips := lmtp
	skips.Skip = []bool{false, true}
	ask(t, map[string]question{
		"SMTP":                    {facts{mode: data, rcpt: "250/250"}, true},
		"one":                     {lmtpRow("250", ""), true},
		"two":                     {lmtpRow("250/250", "/"), false},
		"two, one of them taken":  {lmtpRow("250/550", "/"), false},
		"two, one not asked for":  {lmtpRow("250/", "/").with(func(f *facts) { f.mode = skips }), true},
		"not deliverable, either": {lmtpRow("550/550", "/"), false},
	}, (*Record).mayBeFollowed)
}

// finalsPlayed sends memo to n recipients under LMTP; the server answers RCPT and the
// message as the scripts say.
func finalsPlayed(t *testing.T, m Mode, n int, rcpts, end string) *attempt {
	t.Helper()
	script := mailLine + rcptLines(to(n))
	body := memoBDAT
	if m.Chunking {
		script += ok(1) + rcpts
	} else {
		script += "C: DATA\n" + ok(1) + rcpts + "S: 354 go\n"
		body = memoData
	}
	a := newAttempt(t, script+body+end, memo, m)
	a.send(to(n), m)
	return a
}

// One final reply is owed for each recipient that was accepted, in their order, after the
// dot and after the last chunk.
func TestFinalsOwed(t *testing.T) {
	for _, m := range []Mode{lmtp, lmtpChunked} {
		a := finalsPlayed(t, m, 3, "S: 250 ok\nS: 550 no\nS: 250 ok\n", "S: 452 4.2.2 full\nS: 250 taken\n")
		if want := replies("452 4.2.2 full", "", "250 taken"); !slices.Equal(a.Finals, want) || !a.Sent() || !a.link.Usable() || a.Unfinished() {
			t.Errorf("chunking %v: %v, want %v; sent %v, lost %v", m.Chunking, a.Finals, want, a.Sent(), a.Lost)
		}
		if a.link.Open() {
			t.Errorf("chunking %v: RSET would go first, although the message was taken", m.Chunking)
		}
	}
	a := finalsPlayed(t, lmtp, 2, ok(2), "S: 250 ok\nS: 550 no\n")
	if !a.Sent() || a.link.Open() {
		t.Errorf("taken, then refused: sent %v, open %v", a.Sent(), a.link.Open())
	}
	a = finalsPlayed(t, lmtp, 2, ok(2), "S: 550 no\nS: 554 no\n")
	if a.Sent() || a.Unknown() || !a.link.Open() || !a.link.Usable() {
		t.Errorf("all refused: sent %v, open %v, usable %v", a.Sent(), a.link.Open(), a.link.Usable())
	}
}

// Each final reply has its own time.
func TestFinalsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		a := finalsPlayed(t, lmtp, 3, ok(3), ok(2)+"stall\n")
		if took := time.Since(start); took != limits.DataFinal {
			t.Errorf("it took %v, want %v", took, limits.DataFinal)
		}
		if !a.Unknown() || !a.Taken(1) || !a.awaits(2) || a.Lost == nil || a.Lost.Kind != link.TimedOut {
			t.Errorf("finals %v, lost %v", a.Finals, a.Lost)
		}
	})
}

// A 421 is one of the final replies; those after it are heard for a moment.
func TestFinals421(t *testing.T) {
	for name, tc := range map[string]struct {
		end  string
		want string
	}{
		"the rest comes":         {"S: 421 bye\nS: 250 taken\nS: 550 no\n", "421 bye/250 taken/550 no"},
		"the end":                {"S: 250 ok\nS: 421 bye\nclose\n", "250 ok/421 bye/"},
		"silence":                {"S: 421 bye\nS: 250 ok\nstall\n", "421 bye/250 ok/"},
		"garbage":                {"S: 421 bye\nS! what\n", "421 bye//"},
		"two of them":            {"S: 421 bye\nS: 421 bye\nS: 250 ok\n", "421 bye/421 bye/250 ok"},
		"the last one":           {"S: 250 ok\nS: 250 ok\nS: 421 bye\n", "250 ok/250 ok/421 bye"},
		"one more, then the end": {"S: 250 ok\nS: 250 ok\nS: 250 ok\nS! 421 bye\nclose\n", "250 ok/250 ok/250 ok"},
	} {
		for _, m := range []Mode{lmtp, lmtpChunked} {
			t.Run(fmt.Sprintf("%s, chunking %v", name, m.Chunking), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					start := time.Now()
					a := finalsPlayed(t, m, 3, ok(3), tc.end)
					if took := time.Since(start); took > time.Second {
						t.Errorf("it took %v", took)
					}
					if want := replies(strings.Split(tc.want, "/")...); !slices.Equal(a.Finals, want) {
						t.Errorf("%v, want %v", a.Finals, want)
					}
				})
			})
		}
	}
}

// Several final replies and one too many of another kind: none is credited. What was
// said at RCPT stays where a 354 followed it.
func TestFinalsForgotten(t *testing.T) {
	extra := `S> 250 ok\r\n550 no\r\n250 ok\r\n` + "\n"
	a := finalsPlayed(t, lmtp, 3, "S: 250 ok\nS: 550 who\nS: 250 ok\n", extra)
	if !a.Shifted || !a.Unknown() || a.FirstFinal().Code != 0 || !a.Refused(1) || !a.Accepted(0) || a.link.Usable() {
		t.Errorf("DATA: shifted %v, unknown %v, finals %v, RCPT %v", a.Shifted, a.Unknown(), a.Finals, a.Rcpt)
	}
	a = finalsPlayed(t, lmtpChunked, 3, "S: 250 ok\nS: 550 who\nS: 250 ok\n", extra)
	if !a.Shifted || !a.Unknown() || a.FirstFinal().Code != 0 || a.Rcpt[0].Code+a.Rcpt[1].Code != 0 {
		t.Errorf("BDAT: shifted %v, unknown %v, finals %v, RCPT %v", a.Shifted, a.Unknown(), a.Finals, a.Rcpt)
	}
	a = finalsPlayed(t, lmtp, 2, ok(2), "S: 250 ok\nS: 550 no\nS! 250 ok\n") // in a segment of its own
	if !a.Shifted || a.link.Usable() {
		t.Errorf("in a segment of its own: shifted %v, finals %v", a.Shifted, a.Finals)
	}
	a = finalsPlayed(t, lmtp, 2, ok(2), `S> 250 ok\r\n250 ok\r\n250 ok\r\n`+"\n")
	if a.Shifted || !a.Sent() || a.link.Usable() {
		t.Errorf("all the same: shifted %v, sent %v", a.Shifted, a.Sent())
	}
}

// DATA for nobody has to be refused. Whether a server that does not refuse it answers
// the empty message is not known: it is left.
func TestNobodyUnderLMTP(t *testing.T) {
	a := newAttempt(t, mailLine+rcptLines(to(1))+"C: DATA\n"+ok(1)+"S: 550 no\nS: 354 go\neof\n", memo, lmtp)
	a.send(to(1), lmtp)
	if a.link.Usable() || a.Lost != nil || !a.RcptStopped() || a.Unknown() {
		t.Errorf("usable %v, lost %v", a.link.Usable(), a.Lost)
	}
	a = newAttempt(t, mailLine+rcptLines(to(1))+"C: DATA\n"+ok(1)+"S: 550 no\nS: 503 nobody\n", memo, lmtp)
	if a.send(to(1), lmtp); !a.link.Usable() || a.Lost != nil || !a.RcptStopped() {
		t.Errorf("usable %v, lost %v", a.link.Usable(), a.Lost)
	}
}

// With one recipient the chunk may share the flight: one reply comes to it in any case.
func TestEarlyUnderLMTP(t *testing.T) {
	for replies, sent := range map[string]bool{ok(2) + "S: 250 2.1.5 ok\n": true, ok(1) + "S: 550 no\nS: 503 nobody\n": false} {
		a := newAttempt(t, mailLine+rcptLines(to(1))+memoBDAT+replies, memo, lmtpEarly)
		if a.send(to(1), lmtpEarly); a.Sent() != sent || a.Unknown() || !a.Together {
			t.Errorf("%q: sent %v, unknown %v, lost %v", replies, a.Sent(), a.Unknown(), a.Lost)
		}
	}
}

// followed puts a line behind the end of a message.
type followed struct{ l *link.Link }

func (f followed) Follow(end []byte) []byte { return append(end, "NOOP\r\n"...) }

// What may follow is asked for behind one final reply, never behind several.
func TestFollowUnderLMTP(t *testing.T) {
	for n, behind := range map[int]string{1: "C: NOOP\n", 2: ""} {
		script := mailLine + rcptLines(to(n)) + "C: DATA\n" + ok(n+1) + "S: 354 go\n" + memoData + behind + ok(n)
		a := newAttempt(t, script, memo, lmtp)
		a.LetFollow(followed{a.link})
		if a.send(to(n), lmtp); !a.Sent() {
			t.Errorf("%d recipients: lost %v", n, a.Lost)
		}
	}
}
