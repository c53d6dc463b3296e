package transfer

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

func itoa(n int) string { return strconv.Itoa(n) }

// chunks is the script of a message of n octets in chunks of size, and the octets of
// the last one.
func chunks(n, size int) (script string, last int) {
	for ; n > size; n -= size {
		script += fmt.Sprintf("C: BDAT %d\nC* %d\nS: 250 ok\n", size, size)
	}
	script += fmt.Sprintf("C: BDAT %d LAST\n", n)
	if n > 0 {
		script += fmt.Sprintf("C* %d\n", n)
	}
	return script + "S: 250 queued\n", n
}

// Every chunk but the last one has the size that was asked for, and the last one has
// an octet at least, unless the message is empty. Prepare sends all but that one.
func TestChunks(t *testing.T) {
	const size = 10
	for _, n := range []int{0, 2, 3, 8, 9, 10, 11, 12, 19, 20, 21, 22, 30, 31, 100, 101} {
		for _, streamed := range []bool{false, true} {
			for _, prepare := range []bool{false, true} {
				t.Run(fmt.Sprintf("%d octets, streamed %v, prepare %v", n, streamed, prepare), func(t *testing.T) {
					text := ""
					if n > 0 {
						text = strings.Repeat("x", n-2) + "\n"
					}
					m := Mode{Pipelining: true, Chunking: true, ChunkSize: size}
					script, last := chunks(n, size)
					held, rest := text, ""
					if streamed {
						held, rest = text[:n/3], text[n/3:]
					}
					a := newAttempt(t, mailLine+rcptLines(to(1))+ok(2)+script, held, m)
					a.spool.SetWhole(!streamed)
					if a.start(to(1), m); !a.OK() {
						t.Fatalf("%+v", a.Record)
					}
					if streamed {
						a.Stream(a.spool)
						for i := range rest {
							if a.Write([]byte(rest[i:i+1])) != 1 {
								t.Fatalf("octet %d is not taken", i)
							}
						}
					}
					if prepare {
						a.Prepare(a.spool)
						out := a.peer.written()
						want, line := 1, fmt.Sprintf("BDAT %d LAST\r\n", last)
						if n == 0 {
							want, line = len(line), "" // the octet that ends it is in the command
						}
						if a.Committed || !strings.Contains(out, line) {
							t.Errorf("committed %v, written %q", a.Committed, out)
						}
						if line != "" && len(out)-strings.Index(out, line)-len(line) != last-1 {
							t.Errorf("Prepare writes %q: it must leave one octet", out)
						}
						a.Commit(a.spool)
						if out := a.peer.written(); len(out) != want {
							t.Errorf("Commit writes %q, want %d octets", out, want)
						}
					} else {
						a.Commit(a.spool)
					}
					if !a.Sent() || a.Octets != int64(n) || !a.link.Usable() {
						t.Errorf("%+v", a.Record)
					}
				})
			}
		}
	}
}

// Of a large last chunk all but one octet goes out before the commit point.
func TestCommitChunk(t *testing.T) {
	m := Mode{Pipelining: true, Chunking: true, ChunkSize: 1 << 20}
	for n, one := range map[int]bool{100: false, commitBlock: false, commitBlock + 1: true, 60000: true} {
		script, _ := chunks(n, 1<<20)
		a := newAttempt(t, mailLine+rcptLines(to(1))+ok(2)+script, strings.Repeat("x", n-2)+"\n", m)
		a.start(to(1), m)
		w := &lastWrite{}
		a.peer.seen = w.see
		a.Commit(a.spool)
		if want := 1; one && len(w.last) != want || !one && w.n != 1 || !a.Sent() {
			t.Errorf("%d octets: %d writes, the last one of %d octets", n, w.n, len(w.last))
		}
	}
}

// After a refused chunk no further chunk goes out, and the refusal stands, whatever
// else was said.
func TestRefusedChunk(t *testing.T) {
	m := Mode{Pipelining: true, Chunking: true, ChunkSize: 10}
	for _, more := range []string{"S: 552 too much\neof", `S> 552 too much\r\n250 what\r\n` + "\neof", "S: 452 4.3.1 full\neof"} {
		for _, prepare := range []bool{false, true} {
			a := newAttempt(t, mailLine+rcptLines(to(1))+ok(2)+"C: BDAT 10\nC* 10\nS: 250 ok\nC: BDAT 10\nC* 10\n"+more, strings.Repeat("x", 30)+"\n", m)
			a.start(to(1), m)
			if prepare {
				a.Prepare(a.spool)
			}
			a.Commit(a.spool)
			if !a.Chunk.Negative() || a.Committed || a.link.Usable() || a.Lost != nil || a.OK() {
				t.Errorf("%s: chunk %v, committed %v, usable %v, lost %v", more, a.Chunk, a.Committed, a.link.Usable(), a.Lost)
			}
		}
	}
}

// A chunk that was answered twice, or by a reply to a recipient, is one after which
// nobody knows what answers what.
func TestChunkOutOfStep(t *testing.T) {
	m := Mode{Pipelining: true, Chunking: true, EnhancedCodes: true, ChunkSize: 10}
	for _, more := range []string{`S> 250 2.0.0 ok\r\n250 2.0.0 ok\r\n`, "S: 250 2.1.5 late", "S: 354 go"} {
		a := newAttempt(t, mailLine+rcptLines(to(2))+ok(1)+"S: 250 a\nS: 550 b\nC: BDAT 10\nC* 10\n"+more+"\neof", strings.Repeat("x", 30)+"\n", m)
		a.start(to(2), m)
		a.Commit(a.spool)
		if a.Lost == nil || a.Committed || a.Mail.Code != 0 || a.Rcpt[0].Code != 0 || a.Rcpt[1].Code != 0 {
			t.Errorf("%s: lost for %v, committed %v, replies %v %v", more, a.Lost, a.Committed, a.Mail, a.Rcpt)
		}
	}
	// Where all accept it makes no difference.
	a := newAttempt(t, mailLine+rcptLines(to(2))+ok(3)+"C: BDAT 10\nC* 10\n"+`S> 250 2.0.0 ok\r\n250 2.0.0 ok\r\n`+"\neof", strings.Repeat("x", 30)+"\n", m)
	a.start(to(2), m)
	a.Commit(a.spool)
	if a.Lost == nil || a.Committed || a.Rcpt[1].Code != 250 {
		t.Errorf("lost for %v, committed %v, replies %v", a.Lost, a.Committed, a.Rcpt)
	}
}

// A final reply about an address is none about the message (T13).
func TestFinalAboutAddress(t *testing.T) {
	m := Mode{Pipelining: true, Chunking: true, EnhancedCodes: true, ChunkSize: 100}
	for _, codes := range []bool{true, false} {
		m.EnhancedCodes = codes
		a := newAttempt(t, mailLine+rcptLines(to(1))+ok(2)+memoBDAT+"S: 250 2.1.5 late\n", memo, m)
		a.send(to(1), m)
		if a.Sent() == codes || a.Unknown() != codes || a.link.Usable() == codes {
			t.Errorf("codes %v: sent %v, unknown %v, usable %v", codes, a.Sent(), a.Unknown(), a.link.Usable())
		}
	}
}
