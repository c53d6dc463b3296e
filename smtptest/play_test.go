package smtptest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// recorder is a testing.TB that keeps what is reported.
type recorder struct {
	testing.TB
	reports  []string
	cleanups []func()
}

func (r *recorder) Helper()          {}
func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Errorf(format string, args ...any) {
	r.reports = append(r.reports, fmt.Sprintf(format, args...))
}

func (r *recorder) end() {
	for _, f := range r.cleanups {
		f()
	}
}

// act is one thing a client does: "> octets" writes them in one Write,
// "< octets" reads until it has as many and compares, "x" closes.
func act(nc net.Conn, what string) error {
	octets := strings.NewReplacer(`\r`, "\r", `\n`, "\n").Replace(what[1:])
	switch what[0] {
	case '>':
		_, err := nc.Write([]byte(octets))
		return err
	case '<':
		got := make([]byte, len(octets))
		if n, err := io.ReadFull(nc, got); err != nil {
			return err
		} else if string(got[:n]) != octets {
			return fmt.Errorf("read %q, want %q", got[:n], octets)
		}
		return nil
	}
	return nc.Close()
}

func TestPlay(t *testing.T) {
	const lockstep = "S: 220 hi\nC: EHLO x\nS: 250 ok\nC: MAIL\nS: 250 m\nC: QUIT\nS: 221 bye\neof"
	const together = "S: 220 hi\n\n# one flight\nC: MAIL\nC: RCPT\nS: 250 m\nS: 250 r\neof"
	tests := []struct {
		name, script string
		client       []string
		report       string // "" if the client follows the script
	}{
		{"right", lockstep, []string{`<220 hi\r\n`, `>EHLO x\r\n`, `<250 ok\r\n`, `>MAIL\r\n`, `<250 m\r\n`, `>QUIT\r\n`, `<221 bye\r\n`, "x"}, ""},
		{"octet by octet", "S: 220\nC: A\nS: 250", []string{`<220\r\n`, ">A", `>\r`, `>\n`, `<250\r\n`}, ""},
		{"flight", together, []string{`<220 hi\r\n`, `>MAIL\r\nRCPT\r\n`, `<250 m\r\n250 r\r\n`, "x"}, ""},
		{"flight in two writes", together, []string{`<220 hi\r\n`, `>MAIL\r\n`, `>RCPT\r\n`, `<250 m\r\n250 r\r\n`, "x"}, ""},
		{"any octets", "C* 5\nS> \\x00\\t\nC> a\\r\nclose", []string{">12", ">345", "<\x00\t", `>a\r`}, ""},
		{"unasked for", "S! 421 go\nC: A\nS: 250", []string{`>A\r\n`, `<421 go\r\n250\r\n`}, ""},
		{"bytes", "deliver bytes\nS: 250\nC: A", []string{`<250\r\n`, `>A\r\n`}, ""},

		{"missing command", lockstep, []string{`<220 hi\r\n`, `>EHLO x\r\n`, `<250 ok\r\n`, `>MAIL\r\n`, `<250 m\r\n`, "x"},
			"the script stopped at line 6: C: QUIT"},
		{"half a command", lockstep, []string{`<220 hi\r\n`, `>EHLO`, "x"},
			`the script stopped at line 2: C: EHLO x (so far "EHLO")`},
		{"not closed", lockstep, []string{`<220 hi\r\n`, `>EHLO x\r\n`, `<250 ok\r\n`, `>MAIL\r\n`, `<250 m\r\n`, `>QUIT\r\n`, `<221 bye\r\n`},
			"the script stopped at line 8: eof"},
		{"extra command", "S: 220\nC: A\nS: 250", []string{`<220\r\n`, `>A\r\n`, `<250\r\n`, `>B\r\n`},
			`the client sent "B\r\n" after the end of the script`},
		{"extra octets in the flight", together, []string{`<220 hi\r\n`, `>MAIL\r\nRCPT\r\nDATA\r\n`},
			`line 8: the client sent "DATA\r\n" where it must close`},
		{"early within a write", lockstep, []string{`<220 hi\r\n`, `>EHLO x\r\nMAIL\r\n`},
			`line 4: the client sent "MAIL\r\n" too early`},
		{"early in a write of its own", lockstep, []string{`<220 hi\r\n`, `>EHLO x\r\n`, `>MAIL\r\n`},
			`line 4: the client sent "MAIL\r\n" too early`},
		{"before the greeting", lockstep, []string{`>EHLO x\r\n`},
			`line 2: the client sent "EHLO x\r\n" too early`},
		{"lockstep where a flight is wanted", together, []string{`<220 hi\r\n`, `>MAIL\r\n`, `<2`},
			"line 5: the client waits where it must send: C: RCPT"},
		{"waits within a line", together, []string{`<220 hi\r\n`, `>MA`, `<2`},
			`line 4: the client waits where it must send: C: MAIL (so far "MA")`},
		{"waits where it must close", "S: 221\neof", []string{`<221\r\n`, `<2`},
			"line 2: the client waits where it must close"},
		{"waits at the end", "S: 221", []string{`<221\r\n`, `<2`},
			"the client waits for more than the script has"},
		{"wrong octets", lockstep, []string{`<220 hi\r\n`, `>HELO x\r\n`},
			`line 2: expected "EHLO x\r\n", got "HELO x\r\n"`},
		{"wrong octets late", lockstep, []string{`<220 hi\r\n`, `>EHLO `, `>y\r\nmore`},
			`line 2: expected "EHLO x\r\n", got "EHLO y\r\n"`},
		{"wrong line ending", lockstep, []string{`<220 hi\r\n`, `>EHLO x\n`},
			`line 2: expected "EHLO x\r\n", got "EHLO x\n"`},
		{"writes after stall", "C: A\nstall\neof", []string{`>A\r\n`, `>B\r\n`},
			`line 3: the client sent "B\r\n" where it must close`},
		{"verdict unread", lockstep, []string{`<220 hi\r\n`, `>EHLO x\r\n`, `<250 ok\r\n`, `>MAIL\r\n`, `<250 m\r\n`, `>QUIT\r\n`, "x"},
			"line 7: the client closed without having read S: 221 bye"},
		{"one of two unread", together, []string{`<220 hi\r\n`, `>MAIL\r\nRCPT\r\n`, `<250 m\r\n`, "x"},
			"line 7: the client closed without having read S: 250 r"},
		{"joined, one of two unread", "deliver joined\n" + together, []string{`<220 hi\r\n`, `>MAIL\r\nRCPT\r\n`, `<250 m\r\n`, "x"},
			"line 8: the client closed without having read S: 250 r"},
		{"joined, all unread", "deliver joined\n" + together, []string{`<220 hi\r\n`, `>MAIL\r\nRCPT\r\n`, "x"},
			"line 7: the client closed without having read S: 250 m"},
		{"greeting unread", "S> 220\\r\\n", []string{"x"},
			`line 1: the client closed without having read S> 220\r\n`},
		{"unread before a hang-up", "C: A\nS: 550\nclose", []string{`>A\r\n`, "x"},
			"line 2: the client closed without having read S: 550"},
		{"unread before silence", "C: A\nS: 550\nstall", []string{`>A\r\n`, "x"},
			"line 2: the client closed without having read S: 550"},
		{"unread by script", "C: A\nS: 250\nS! 421\nS! 422", []string{`>A\r\n`, `<250\r\n`, "x"}, ""},
		{"joined, unread by script", "deliver joined\nC: A\nS: 250\nS! 421", []string{`>A\r\n`, `<250\r\n`, "x"}, ""},
		{"unasked, then asked, unread", "deliver joined\nS! 421\nC: A\nS! 422\nS: 250", []string{`>A\r\n`, `<421\r\n422\r\n`, "x"},
			"line 5: the client closed without having read S: 250"},
		{"nonsense half read", "deliver bytes\nC: A\nS: what?", []string{`>A\r\n`, `<w`, "x"}, ""},
		{"closed twice", "S! 220\neof", []string{"x", "x"}, ""},
		{"no script", "S 220", nil, "line 1: not a step of a script: S 220"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fake := &recorder{TB: t}
			nc := Play(fake, tt.script)
			for i, what := range tt.client {
				err := act(nc, what)
				if wrong := err != nil; wrong != (len(fake.reports) > 0) && what != "x" { // Close never fails
					t.Fatalf("%q: %v, reports %q", what, err, fake.reports)
				}
				if err != nil && i < len(tt.client)-1 {
					t.Fatalf("%q: %v, before the last act", what, err)
				}
			}
			fake.end()
			if tt.report == "" {
				if len(fake.reports) > 0 {
					t.Errorf("reports %q", fake.reports)
				}
				return
			}
			if len(fake.reports) != 1 || !strings.Contains(fake.reports[0], tt.report) {
				t.Fatalf("reports %q, want one with %q", fake.reports, tt.report)
			}
			if n, err := nc.Read(make([]byte, 9)); n != 0 || err == nil {
				t.Errorf("Read after the report: %d, %v", n, err)
			}
			if n, err := nc.Write([]byte("x")); n != 0 || err == nil {
				t.Errorf("Write after the report: %d, %v", n, err)
			}
			if len(fake.reports) != 1 {
				t.Errorf("further reports: %q", fake.reports)
			}
		})
	}
}

// TestPlayAfterTheTest uses a connection after the test has ended, when nothing may be
// reported any more.
func TestPlayAfterTheTest(t *testing.T) {
	fake := &recorder{TB: t}
	nc := Play(fake, "S: 220")
	fake.end()
	if n, err := nc.Write([]byte("B")); n != 0 || err == nil {
		t.Errorf("Write: %d, %v", n, err)
	}
	if n, err := nc.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("Read: %d, %v", n, err)
	}
	if len(fake.reports) > 0 {
		t.Errorf("reports %q", fake.reports)
	}
}

func TestPlaySegments(t *testing.T) {
	const lines = "S: 1\nS> 22\nS: 3\nS! 4"
	for mode, want := range map[string][]string{
		"":                  {"1\r\n", "22", "3\r\n", "4\r\n"},
		"deliver whole\n":   {"1\r\n", "22", "3\r\n", "4\r\n"},
		"deliver bytes\n":   {"1", "\r", "\n", "2", "2", "3", "\r", "\n", "4", "\r", "\n"},
		"deliver joined \n": {"1\r\n223\r\n4\r\n"},
		"S: 0\ndeliver joined\r\nS: x\n\n# not separated\n": {"0\r\n", "x\r\n1\r\n223\r\n4\r\n"},
	} {
		nc := Play(t, mode+lines+"\nclose")
		var got []string
		for b := make([]byte, 100); ; {
			n, err := nc.Read(b)
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(b[:n]))
		}
		if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
			t.Errorf("%q: segments %q, want %q", mode, got, want)
		}
	}
}

func TestPlayHangsUp(t *testing.T) {
	b := make([]byte, 10)
	for step, want := range map[string]error{"close": io.EOF, "reset": errnoReset} {
		nc := Play(t, "C: A\nS: 250\n"+step)
		if err := act(nc, `>A\r\n`); err != nil {
			t.Fatal(err)
		}
		if n, err := nc.Read(b); n != 5 || err != nil {
			t.Errorf("%s: Read = %d, %v", step, n, err)
		}
		if _, err := nc.Read(b); !errors.Is(err, want) {
			t.Errorf("%s: Read gives %v, want %v", step, err, want)
		}
		if _, err := nc.Write(b); !errors.Is(err, errnoPipe) {
			t.Errorf("%s: Write gives %v", step, err)
		}
	}
	nc := Play(t, "S: 221\nclose\nC: late\neof")
	for _, what := range []string{`<221\r\n`, `>late\r\n`, "x"} {
		if err := act(nc, what); err != nil {
			t.Errorf("%s after close: %v", what, err)
		}
	}
}

func TestPlayStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nc := Play(t, "C: A\nstall\nC: B\neof")
		b := make([]byte, 10)
		if err := act(nc, `>A\r\n`); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		_ = nc.SetReadDeadline(start.Add(5 * time.Minute))
		if _, err := nc.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != 5*time.Minute {
			t.Errorf("Read gives %v after %v", err, time.Since(start))
		}
		if err := act(nc, `>B\r\n`); err != nil {
			t.Error(err)
		}
		_ = nc.SetDeadline(time.Time{})
		go func() {
			time.Sleep(time.Hour)
			nc.Close()
		}()
		if _, err := nc.Read(b); !errors.Is(err, net.ErrClosed) || time.Since(start) != time.Hour+5*time.Minute {
			t.Errorf("Read gives %v after %v", err, time.Since(start))
		}
		if _, err := nc.Write(b); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Write gives %v", err)
		}
	})
}

// TestPlayLook only looks whether something came, without waiting for it.
func TestPlayLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nc := Play(t, "C: A")
		for _, d := range []time.Duration{-1, time.Millisecond} {
			_ = nc.SetReadDeadline(time.Now().Add(d))
			if _, err := nc.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%v: %v", d, err)
			}
		}
		_ = nc.SetDeadline(time.Now().Add(-1))
		if _, err := nc.Write([]byte("A")); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Write: %v", err)
		}
		_ = nc.SetDeadline(time.Time{})
		if err := act(nc, `>A\r\n`); err != nil {
			t.Error(err)
		}
	})
}
