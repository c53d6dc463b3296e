package link

import (
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// writes is a wire that remembers each Write, and when it may take until.
type writes struct {
	*wire
	list  []string
	until []time.Duration
	begun time.Time
	sleep time.Duration // before each Write returns
}

func (w *writes) Write(p []byte) (int, error) {
	w.list = append(w.list, string(p))
	w.until = append(w.until, w.writes.Sub(w.begun))
	time.Sleep(w.sleep)
	return w.wire.Write(p)
}

// Lines are buffered and go out in one write, each only if it is one line.
func TestLines(t *testing.T) {
	var sent []string
	w := &writes{wire: newWire()}
	l := New(w, Config{Limits: limits, Hooks: Hooks{Sent: func(line string) { sent = append(sent, line) }}})
	if !l.Observed() {
		t.Error("nobody looks at the lines")
	}
	good := []error{l.Line("NOOP"), l.LineBytes([]byte("VRFY a@b")), l.SecretLine("AUTH PLAIN ", "c2VjcmV0"), l.SecretLine("AUTH LOGIN", ""), l.SecretLine("", "aGlkZGVu")}
	l.Data([]byte("octets\r\n"))
	l.ShowSent("BDAT 8 LAST")
	for i, err := range good {
		if err != nil {
			t.Errorf("line %d: %v", i, err)
		}
	}
	for _, bad := range []string{"\r", "\n", "a\r\nDATA", "\x00", "\x7f", "\x1b"} {
		for name, err := range map[string]error{
			"Line": l.Line("x" + bad), "LineBytes": l.LineBytes([]byte("x" + bad)),
			"SecretLine": l.SecretLine("AUTH X ", "hush"+bad), "SecretLine, shown": l.SecretLine("AUTH X"+bad, "hush"),
		} {
			if err == nil {
				t.Errorf("%s takes %q", name, bad)
			} else if strings.Contains(err.Error(), "hush") {
				t.Errorf("%s gives the secret away: %v", name, err)
			}
		}
	}
	if len(w.list) > 0 {
		t.Errorf("%q was written before Flush", w.list)
	}
	l.Flush()
	l.Flush()
	want := "NOOP\r\nVRFY a@b\r\nAUTH PLAIN c2VjcmV0\r\nAUTH LOGIN\r\naGlkZGVu\r\noctets\r\n"
	if !slices.Equal(w.list, []string{want}) {
		t.Errorf("written %q, want %q in one write", w.list, want)
	}
	if !slices.Equal(sent, []string{"NOOP", "VRFY a@b", "AUTH PLAIN ***", "AUTH LOGIN", "***", "BDAT 8 LAST"}) {
		t.Errorf("shown: %q", sent)
	}
}

// Show replaces those who are told, all of them.
func TestShow(t *testing.T) {
	var told []string
	teller := func(who string) Hooks {
		return Hooks{
			Sent:     func(line string) { told = append(told, who+" "+line) },
			Received: func(r Reply) { told = append(told, who+" "+r.Text) },
			Closed:   func(*Failure) { told = append(told, who+" closed") },
		}
	}
	w := newWire()
	l := New(w, Config{Limits: limits, Hooks: teller("first")})
	for _, who := range []string{"first", "second", "nobody"} {
		switch who {
		case "second":
			l.Show(teller(who))
		case "nobody":
			l.Show(Hooks{})
		}
		if l.Observed() != (who != "nobody") {
			t.Errorf("%s: observed is %v", who, l.Observed())
		}
		w.say("250 " + who + "\r\n")
		l.Line(who)
		l.Flush()
		if r, why := l.Hear(Noop); r.Code != 250 {
			t.Fatal(why)
		}
	}
	l.Show(teller("last"))
	l.Break(&Failure{})
	if want := []string{"first first", "first first", "second second", "second second", "last closed"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

// Lines that nobody looks at cost nothing.
func TestLinesUnobserved(t *testing.T) {
	l := New(newWire(), Config{Limits: limits})
	if l.Observed() {
		t.Error("somebody looks at the lines")
	}
	line := []byte("MAIL FROM:<a@test.example>")
	if n := testing.AllocsPerRun(100, func() {
		l.LineBytes(line)
		l.Line("NOOP")
		l.w.Flush()
	}); n > 1 { // the wire's own memory grows
		t.Errorf("%v allocations", n)
	}
}

// A flush has the time of a command, and each block of a message that of a block.
func TestWriteLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &writes{wire: newWire(), begun: time.Now(), sleep: time.Second}
		l := New(w, Config{Limits: limits})
		l.Line("NOOP")
		l.Flush()
		octets := strings.Repeat("x", 2*block+1)
		if !l.Write([]byte(octets)) {
			t.Error("not written")
		}
		if !slices.Equal(w.list, []string{"NOOP\r\n", octets[:block], octets[:block], "x"}) {
			t.Errorf("%d writes", len(w.list))
		}
		want := []time.Duration{limits.Command, time.Second + limits.DataBlock, 2*time.Second + limits.DataBlock, 3*time.Second + limits.DataBlock}
		if !slices.Equal(w.until, want) {
			t.Errorf("writes may take until %v, want %v", w.until, want)
		}
		if !l.Write(nil) || len(w.list) != 4 {
			t.Error("nothing was written, or something")
		}
	})
}

// A write that fails breaks nothing yet: what the server said before comes first, and
// no more is written.
func TestFailedWrite(t *testing.T) {
	for name, tc := range map[string]struct {
		reply string
		told  []string
		took  time.Duration
		kind  Kind
	}{
		"a reply waits":    {"250 one\r\n", []string{"6 0: 250 ", "7 1: missed"}, time.Second, Failed},
		"a refusal waits":  {"421 bye\r\n", []string{"6 0: 421 bye", "7 1: missed"}, 0, Closing},
		"nothing waits":    {"", []string{"6 0: missed", "7 1: missed"}, time.Second, Failed},
		"garbage waits":    {"what\r\n", []string{"6 0: missed", "7 1: missed"}, 0, Malformed},
		"both replies are": {"250 one\r\n250 two\r\n", []string{"6 0: 250 ", "7 1: 250 two"}, 0, Failed},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &writes{wire: newWire()}
				w.refuse = errBroken
				l := New(w, Config{Limits: limits})
				var told log
				for i, step := range []Step{Mail, Rcpt} {
					l.Line("x")
					l.Owes(Owed{&told, step, i, false})
				}
				w.say(tc.reply)
				if tc.reply == "" {
					w.in = nil
				}
				begun := time.Now()
				l.HearAll()
				took(t, begun, tc.took)
				told.check(t, tc.told...)
				l.Line("y")
				l.Flush()
				if l.Write([]byte("z")) || len(w.list) != 1 || l.Usable() {
					t.Errorf("written %q, usable %v", w.list, l.Usable())
				}
				l.Settled(Final)
				if f := l.Failure(); f == nil || f.Kind != tc.kind || tc.kind == Failed && f.Err != errBroken {
					t.Errorf("%v", f)
				}
			})
		})
	}
}

// A write that no one takes fails after its limit, and names it.
func TestWriteTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, flush := range []bool{true, false} {
			w := newWire()
			w.block = true
			l := New(w, Config{Limits: limits})
			begun := time.Now()
			want := limits.DataBlock
			if flush {
				want = limits.Command
				l.Line("NOOP")
				l.Flush()
			} else {
				l.Write([]byte("x"))
			}
			took(t, begun, want)
			w.hangUp(net.ErrClosed)
			_, why := l.Hear(Mail)
			if f := wantFailure(t, l, TimedOut, Mail); f != why || f.Limit != want {
				t.Errorf("%v, limit %v, want %v", why, why.Limit, want)
			}
			took(t, begun, want)
		}
	})
}

// A short write without an error is one.
func TestShortWrite(t *testing.T) {
	l := New(shortWrites{newWire()}, Config{Limits: limits})
	if l.Write([]byte("octets")) {
		t.Error("written")
	}
	if why := l.Settled(Message); why == nil || errors.Unwrap(why) == nil {
		t.Errorf("%v", why)
	}
}

type shortWrites struct{ *wire }

func (shortWrites) Write(p []byte) (int, error) { return len(p) - 1, nil }
