package transfer

import (
	"strings"
	"testing"
)

// Prepare sends all but the CRLF that the last line may lack and the dot.
func TestPrepareData(t *testing.T) {
	m := Mode{Pipelining: true}
	for _, n := range []int{0, 1, 100, commitBlock - 1, commitBlock, commitBlock + 1, 40000, 65000} {
		for _, newline := range []bool{true, false} {
			text := "." + strings.Repeat("x", n)
			if n == 0 {
				text = ""
			}
			end := ".\r\n"
			if newline && n > 0 {
				text += "\r\n"
			} else if n > 0 {
				end = "\r\n.\r\n"
			}
			wire := text
			if n > 0 {
				wire = "." + text // stuffed
			}
			octets := len(wire) + len(end)
			a := newAttempt(t, mailLine+rcptLines(to(1))+"C: DATA\n"+ok(2)+"S: 354 go\nC* "+itoa(octets)+"\nS: 250 ok\n", text, m)
			a.start(to(1), m)
			a.peer.written()
			a.Prepare(a.spool)
			if got := a.peer.written(); got != wire {
				t.Errorf("%d octets, newline %v: Prepare writes %d octets, want %d", n, newline, len(got), len(wire))
			}
			if a.Committed || !a.OK() {
				t.Errorf("%+v", a.Record)
			}
			a.Commit(a.spool)
			if got := a.peer.written(); got != end || !a.Sent() {
				t.Errorf("%d octets, newline %v: Commit writes %q, want %q", n, newline, got, end)
			}
		}
	}
}

// With Commit alone a message of up to a block goes out with its end in one write;
// of a longer one only the end carries the commit point.
func TestCommitData(t *testing.T) {
	m := Mode{Pipelining: true}
	for n, writes := range map[int]int{100: 1, commitBlock - 5: 1, commitBlock + 1: 2, 60000: 2} {
		text := strings.Repeat("x", n)
		a := newAttempt(t, mailLine+rcptLines(to(1))+"C: DATA\n"+ok(2)+"S: 354 go\nC* "+itoa(n+5)+"\nS: 250 ok\n", text, m)
		a.start(to(1), m)
		w := &lastWrite{}
		a.peer.seen = w.see
		a.Commit(a.spool)
		if !a.Sent() || w.n != writes || !strings.HasSuffix(w.last, "\r\n.\r\n") {
			t.Errorf("%d octets: %d writes, want %d, the last one of %d octets", n, w.n, writes, len(w.last))
		}
		if writes > 1 && w.last != "\r\n.\r\n" {
			t.Errorf("%d octets: the last write has %d octets", n, len(w.last))
		}
	}
}

// lastWrite counts writes and keeps the last one.
type lastWrite struct {
	n    int
	last string
}

func (w *lastWrite) see(p []byte) {
	w.n++
	w.last = string(p)
}
