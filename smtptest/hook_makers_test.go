package smtptest

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestOn(t *testing.T) {
	rcpt := func(addr string) Command { return Command{Verb: "RCPT", Addr: addr, Line: "RCPT TO:<" + addr + ">"} }
	mail := func(addr string) Command { return Command{Verb: "MAIL", Addr: addr, Line: "MAIL FROM:<" + addr + ">"} }
	for _, tt := range []struct {
		verb, addr string
		command    Command
		want       bool
	}{
		{"RCPT", "a@b.example", rcpt("a@b.example"), true},
		{"rcpt", "a@b.example", rcpt("a@b.example"), true},
		{"RCPT", "a@B.Example", rcpt("a@b.EXAMPLE"), true},
		{"RCPT", "<a@b.example>", rcpt("a@b.example"), true},
		{"RCPT", "A@b.example", rcpt("a@b.example"), false}, // RFC 5321, 2.4
		{"RCPT", "a@b.example", rcpt("x@b.example"), false},
		{"RCPT", "b.example", rcpt("a@b.example"), false},
		{"RCPT", "a@b.example", mail("a@b.example"), false},
		{"RCPT", `"a@B"@c.example`, rcpt(`"a@B"@C.example`), true},
		{"RCPT", `"a@B"@c.example`, rcpt(`"a@b"@c.example`), false},
		{"RCPT", "postmaster", rcpt("Postmaster"), true}, // RFC 5321, 4.5.1
		{"RCPT", "POSTMASTER@b.example", rcpt("postmaster@b.example"), true},
		{"RCPT", "postmaster", rcpt("postmaster@b.example"), false},
		{"RCPT", "ä@Ö.example", rcpt("ä@ö.example"), true},

		{"RCPT", "", rcpt("a@b.example"), true},
		{"MAIL", "", mail("a@b.example"), true},
		{"MAIL", "", mail(""), true},
		{"MAIL", "<>", mail(""), true},
		{"mail", "<>", Command{Verb: "MAIL"}, true},
		{"MAIL", "<>", mail("a@b.example"), false},
		{"MAIL", "a@b.example", mail(""), false},
		{"MAIL", "<>", Command{Verb: "MAIL", Line: "MAIL TO:<a@b>"}, false},
		{"RCPT", "<>", rcpt(""), false},
		{"DATA", "<>", Command{Verb: "DATA", Line: "DATA"}, false},

		{"DATA", "", Command{Verb: "DATA", Line: "data"}, true},
		{"DATA", "a@b", Command{Verb: "DATA", Line: "DATA"}, false},
		{"CONNECT", "", Command{Verb: "CONNECT"}, true},
		{"MESSAGE", "c@d", Command{Verb: "MESSAGE", Addr: "c@d", Line: "."}, true},
		{"", "a@b", rcpt("a@b"), true},
		{"", "a@b", mail("a@b"), true},
		{"", "a@b", Command{Verb: "QUIT"}, false},
		{"", "", Command{Verb: "QUIT"}, true},
	} {
		a := On(tt.verb, tt.addr, "550 no")(tt.command)
		if got := a != nil; got != tt.want || got && (a.Reply != "550 no" || a.Close || a.Delay != 0) {
			t.Errorf("On(%q, %q) answers %+v with %+v, want an answer: %v", tt.verb, tt.addr, tt.command, a, tt.want)
		}
	}
}

// A server that says 421 hangs up (RFC 5321, 4.2.2); one that says nothing goes on.
func TestOnReply(t *testing.T) {
	for reply, want := range map[string]Answer{
		"421 4.3.2 busy":     {Reply: "421 4.3.2 busy", Close: true},
		"421-a\n421 b":       {Reply: "421-a\n421 b", Close: true},
		"250-a\n250 b":       {Reply: "250-a\n250 b"},
		"451 4.2.1 only 421": {Reply: "451 4.2.1 only 421"},
		"":                   {},
	} {
		if a := On("NOOP", "", reply)(Command{Verb: "NOOP"}); a == nil || fmt.Sprint(*a) != fmt.Sprint(want) {
			t.Errorf("%q: %+v", reply, a)
		}
	}
	s := newServer(t, &Config{Hook: On("noop", "", "421 4.3.2 busy")})
	dialogue(over(t, s.Pipe()), "> noop", "< 421 4.3.2 busy", ".")
}

// ask asks h and returns the replies, "-" for no answer.
func ask(h Hook, commands ...Command) string {
	var got []string
	for _, c := range commands {
		if a := h(c); a == nil {
			got = append(got, "-")
		} else {
			got = append(got, a.Reply)
		}
	}
	return strings.Join(got, " ")
}

func TestTimes(t *testing.T) {
	noop, rset := Command{Verb: "NOOP"}, Command{Verb: "RSET"}
	for _, tt := range []struct {
		name string
		hook Hook
		want string // to NOOP, RSET, NOOP, RSET, NOOP
	}{
		{"0", Times(0, On("NOOP", "", "A")), "- - - - -"},
		{"negative", Times(-1, On("NOOP", "", "A")), "- - - - -"},
		{"1", Times(1, On("NOOP", "", "A")), "A - - - -"},
		{"2 counts answers, not commands", Times(2, On("NOOP", "", "A")), "A - A - -"},
		{"more than there are", Times(9, On("NOOP", "", "A")), "A - A - A"},
		{"of any command", Times(3, On("", "", "A")), "A A A - -"},
		{"nil", Times(3, nil), "- - - - -"},
		{"of times", Times(1, Times(2, On("NOOP", "", "A"))), "A - - - -"},
		{"one after the other", First(Times(1, On("NOOP", "", "A")), Times(1, On("NOOP", "", "B"))), "A - B - -"},
	} {
		if got := ask(tt.hook, noop, rset, noop, rset, noop); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
	asked := 0
	h := Times(1, func(Command) *Answer { asked++; return &Answer{} })
	if ask(h, noop, noop, noop); asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}

// Times counts over all sessions, also when they ask at the same time.
func TestTimesConcurrent(t *testing.T) {
	s := newServer(t, &Config{Hook: Times(7, On("NOOP", "", "450 no"))})
	var mu sync.Mutex
	refused := 0
	t.Run("sessions", func(t *testing.T) {
		for range 20 {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				c := over(t, s.Pipe())
				c.raw("NOOP\r\n")
				if strings.HasPrefix(c.reply(), "450") {
					mu.Lock()
					defer mu.Unlock()
					refused++
				}
			})
		}
	})
	if refused != 7 {
		t.Errorf("%d were refused, want 7", refused)
	}
	// All ask before the first has an answer.
	const n = 50
	var together, done sync.WaitGroup
	together.Add(n)
	h := Times(7, func(Command) *Answer { together.Done(); together.Wait(); return &Answer{} })
	answers := make(chan *Answer, n)
	for range n {
		done.Go(func() { answers <- h(Command{}) })
	}
	done.Wait()
	close(answers)
	given := 0
	for a := range answers {
		if a != nil {
			given++
		}
	}
	if given != 7 {
		t.Errorf("%d answers, want 7", given)
	}
}

func TestFirst(t *testing.T) {
	a, b := On("NOOP", "", "A"), On("", "", "B")
	for name, tt := range map[string]struct {
		hook Hook
		want string // to NOOP, RSET
	}{
		"none":         {First(), "- -"},
		"nil":          {First(nil), "- -"},
		"nils between": {First(nil, a, nil, b, nil), "A B"},
		"one":          {First(a), "A -"},
		"order":        {First(b, a), "B B"},
		"nested":       {First(First(nil), First(a), b), "A B"},
	} {
		if got := ask(tt.hook, Command{Verb: "NOOP"}, Command{Verb: "RSET"}); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
	list := []Hook{a}
	h := First(list...)
	if list[0] = b; ask(h, Command{Verb: "NOOP"}) != "A" {
		t.Error("First keeps the list of its caller")
	}
}

func TestDelay(t *testing.T) {
	shared := &Answer{Reply: "250 ok", Delay: time.Second, Raw: []byte("x"), Close: true}
	h := Delay(time.Hour, func(Command) *Answer { return shared })
	for range 2 {
		if a := h(Command{}); a == nil || a.Delay != time.Hour+time.Second || a.Reply != "250 ok" || string(a.Raw) != "x" || !a.Close {
			t.Errorf("%+v", a)
		}
	}
	if shared.Delay != time.Second {
		t.Error("the answer of another hook was changed")
	}
	if a := Delay(-time.Minute, func(Command) *Answer { return shared })(Command{}); a.Delay != time.Second {
		t.Errorf("a negative delay: %v", a.Delay)
	}
	if a := Delay(time.Hour, nil)(Command{}); a != nil {
		t.Errorf("nil: %+v", a)
	}
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&Config{Hook: Delay(time.Minute, On("NOOP", "", "450 late"))})
		defer s.Close()
		c := over(t, s.Pipe())
		start := time.Now()
		c.do("RSET", "250") // not answered by the hook, so not delayed
		c.do("NOOP", "450 late")
		if d := time.Since(start); d != time.Minute {
			t.Errorf("after %v", d)
		}
	})
}

func TestGreylist(t *testing.T) {
	try := func(h Hook, addr string) string {
		a := h(Command{Verb: "RCPT", Addr: addr})
		if a == nil {
			return "passed"
		}
		return a.Reply[:3]
	}
	synctest.Test(t, func(t *testing.T) {
		h := Greylist(time.Minute)
		for _, tt := range []struct {
			after time.Duration
			addr  string
			want  string
		}{
			{0, "a@b.example", "451"},
			{time.Minute - time.Nanosecond, "a@b.example", "451"},
			{0, "c@d.example", "451"},
			{time.Nanosecond, "a@B.EXAMPLE", "passed"}, // a minute after the first try, not after the last
			{0, "A@b.example", "451"},
			{0, "c@d.example", "451"},
			{time.Minute, "c@d.example", "passed"},
			{0, "c@d.example", "passed"},
			{1000 * time.Hour, "c@d.example", "passed"},
			{0, "", "passed"}, // not an address: the server refuses it
		} {
			time.Sleep(tt.after)
			if got := try(h, tt.addr); got != tt.want {
				t.Errorf("%s after %v: %s, want %s", tt.addr, tt.after, got, tt.want)
			}
		}
		if a := h(Command{Verb: "MAIL", Addr: "new@d.example"}); a != nil {
			t.Errorf("MAIL: %+v", a)
		}
		if got := try(Greylist(time.Minute), "c@d.example"); got != "451" {
			t.Errorf("a second list shares the memory of the first: %s", got)
		}
		for _, d := range []time.Duration{0, -time.Hour} {
			h := Greylist(d)
			if got := try(h, "a@b") + try(h, "a@b"); got != "451passed" {
				t.Errorf("%v: %s", d, got)
			}
		}
	})
}
