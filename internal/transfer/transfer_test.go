package transfer

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/fe022423/submission/internal/link"
	"github.com/fe022423/submission/smtptest"
)

// messages are texts and the form in which they must arrive.
func messages() map[string]string {
	m := map[string]string{
		"": "", "\n": "\r\n", "\r": "\r\n", "x": "x\r\n", ".": ".\r\n", ".\n.\n": ".\r\n.\r\n", "..": "..\r\n", "a\r\n.\r\nQUIT\r\n": "a\r\n.\r\nQUIT\r\n",
		"a\nb": "a\r\nb\r\n", "a\rb\n": "a\r\nb\r\n", "a\n\n": "a\r\n\r\n", "a\r\n": "a\r\n", "a\r\r\n": "a\r\n\r\n",
	}
	for _, n := range []int{8191, 8192, 8193, 16383, 16384, 16385, 20000, 65533, 65534} {
		line := strings.Repeat("x", n)
		m[line] = line + "\r\n"
	}
	text := strings.Repeat(".A line that begins with a dot\n", 1500)
	m[text] = strings.ReplaceAll(text, "\n", "\r\n")
	return m
}

// store is a server that stores one message, and its link.
func store(t *testing.T, extensions ...string) (*smtptest.Server, *link.Link) {
	t.Helper()
	srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.NoTLS, Extensions: extensions})
	t.Cleanup(srv.Close)
	l := link.New(srv.Pipe(), link.Config{Limits: limits})
	t.Cleanup(l.Quit)
	l.Hear(link.Greeting)
	if r, why := l.Exchange(link.Hello, "EHLO client"); why != nil || r.Code != 250 {
		t.Fatal(r, why)
	}
	return srv, l
}

// ways are the modes in which a message travels in one piece or in several.
func ways() map[string]Mode {
	return map[string]Mode{
		"DATA":                {Pipelining: true},
		"BDAT":                {Pipelining: true, Chunking: true, ChunkSize: 1 << 20},
		"BDAT in chunks of 7": {Pipelining: true, Chunking: true, ChunkSize: 7},
		"BDAT in chunks":      {Pipelining: true, Chunking: true, ChunkSize: 10000},
		"early":               {Pipelining: true, Chunking: true, ChunkSize: 7, Early: true},
	}
}

// A message that is held back arrives as it must in every mode, with Prepare and
// without, and as often as it is sent.
func TestHeldBackSentAgain(t *testing.T) {
	for way, m := range ways() {
		for text, want := range messages() {
			if len(text) > 1000 && m.ChunkSize == 7 && !m.Early {
				continue
			}
			t.Run(fmt.Sprintf("%s, %d octets %.10q", way, len(text), text), func(t *testing.T) {
				s := NewSpool(NewBuffers(), false)
				s.Add([]byte(text))
				s.SetWhole(true)
				for n := range 4 {
					srv, l := store(t, "PIPELINING", "CHUNKING")
					var tr Transfer
					written := int64(-1)
					tr.OnWritten(func(octets int64) { written = octets })
					if tr.Start(l, to(1), &s, m); !tr.OK() {
						t.Fatalf("%+v", tr.Record)
					}
					if n%2 == 1 && !m.Early {
						tr.Prepare(&s)
					}
					if len(srv.Messages()) > 0 && !m.Early {
						t.Error("stored before Commit")
					}
					tr.Commit(&s)
					list := srv.Messages()
					if len(list) != 1 || string(list[0].Data) != want || !tr.Sent() {
						t.Fatalf("attempt %d: %d messages, sent %v, lost %v, or the message is another one", n, len(list), tr.Sent(), tr.Lost)
					}
					if tr.Octets != int64(len(want)) || written != tr.Octets && !m.Early {
						t.Errorf("attempt %d: %d octets, %d written, want %d", n, tr.Octets, written, len(want))
					}
				}
			})
		}
	}
}

// The second server may want the other way.
func TestHeldBackSentAnotherWay(t *testing.T) {
	for text, want := range messages() {
		s := NewSpool(NewBuffers(), false)
		s.Add([]byte(text))
		s.SetWhole(true)
		for n, way := range []string{"BDAT", "DATA", "early", "DATA", "BDAT in chunks"} {
			m := ways()[way]
			srv, l := store(t, "PIPELINING", "CHUNKING")
			var tr Transfer
			if tr.Start(l, to(1), &s, m); tr.OK() {
				tr.Commit(&s)
			}
			list := srv.Messages()
			if len(list) != 1 || string(list[0].Data) != want || tr.Octets != int64(len(want)) {
				t.Fatalf("%d octets %.10q, attempt %d, %s: %d messages, %d octets, lost %v", len(text), text, n, way, len(list), tr.Octets, tr.Lost)
			}
		}
	}
}

// An attempt that fails in the middle leaves the message whole for the next one.
func TestHeldBackAfterFailure(t *testing.T) {
	text := strings.Repeat("0123456789\n", 5)
	want := strings.Repeat("0123456789\r\n", 5)
	envelope := mailLine + rcptLines(to(1))
	for name, tc := range map[string]struct {
		mode   Mode
		script string
	}{
		"DATA, closed":          {ways()["DATA"], envelope + "C: DATA\n" + ok(2) + "S: 354 go\nclose\neof"},
		"DATA, refused":         {ways()["DATA"], envelope + "C: DATA\n" + ok(2) + "S: 354 go\nC* 63\nS: 451 4.4.5 enough\n"},
		"first chunk refused":   {ways()["BDAT in chunks of 7"], envelope + ok(2) + "C: BDAT 7\nC* 7\nS: 452 4.4.5 enough\neof"},
		"second chunk, closed":  {ways()["BDAT in chunks of 7"], envelope + ok(2) + "C: BDAT 7\nC* 7\nS: 250 ok\nC: BDAT 7\nC* 7\nclose\neof"},
		"last chunk refused":    {Mode{Chunking: true, Pipelining: true, ChunkSize: 50}, envelope + ok(2) + "C: BDAT 50\nC* 50\nS: 250 ok\nC: BDAT 10 LAST\nC* 10\nS: 452 4.4.5 enough\neof"},
		"early, sender refused": {ways()["early"], envelope + "C: BDAT 60 LAST\nC* 60\nS: 451 4.4.5 enough\nS: 503 no\nS: 503 no\neof"},
	} {
		t.Run(name, func(t *testing.T) {
			first := newAttempt(t, tc.script, text, tc.mode)
			if first.send(to(1), tc.mode); first.Sent() || first.Unknown() || !first.StartsAgain() {
				t.Fatalf("%+v", first.Record)
			}
			for way, m := range ways() {
				srv, l := store(t, "PIPELINING", "CHUNKING")
				var tr Transfer
				if tr.Start(l, to(1), first.spool, m); tr.OK() {
					tr.Commit(first.spool)
				}
				if list := srv.Messages(); len(list) != 1 || string(list[0].Data) != want || tr.Octets != int64(len(want)) {
					t.Errorf("then %s: %d messages, %d octets, lost %v", way, len(list), tr.Octets, tr.Lost)
				}
			}
		})
	}
}

// A message that is not held back whole flows, however it is cut into writes.
func TestStream(t *testing.T) {
	text := bytes.Repeat([]byte(".A line with a dot, bare LF\nCRLF\r\nCR\rand caf\xc3\xa9\n"), 4000)
	text = append(text, "no end"...)
	want := []byte(nil)
	for _, line := range bytes.Split(bytes.ReplaceAll(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")), []byte("\r"), []byte("\n")), []byte("\n")) {
		want = append(append(want, line...), "\r\n"...)
	}
	for way, m := range ways() {
		if m.Early || m.ChunkSize == 7 {
			continue
		}
		for _, size := range []int{1 << 20, 64 << 10, 16 << 10, 777, 13} {
			for _, prepare := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, writes of %d, prepare %v", way, size, prepare), func(t *testing.T) {
					srv, l := store(t, "PIPELINING", "CHUNKING", "8BITMIME")
					s := NewSpool(NewBuffers(), false)
					rest := text
					for !s.Full() {
						rest = rest[s.Add(rest[:min(size, len(rest))]):]
					}
					var tr Transfer
					if tr.Start(l, to(1), &s, m); !tr.OK() {
						t.Fatalf("%+v", tr.Record)
					}
					tr.Stream(&s)
					for len(rest) > 0 {
						n := tr.Write(rest[:min(size, len(rest))])
						if n != min(size, len(rest)) {
							t.Fatalf("%d octets taken, %+v", n, tr.Record)
						}
						rest = rest[n:]
					}
					if prepare {
						tr.Prepare(&s)
					}
					if n := len(srv.Messages()); n != 0 {
						t.Error("stored before Commit")
					}
					tr.Commit(&s)
					list := srv.Messages()
					if len(list) != 1 || !bytes.Equal(list[0].Data, want) || tr.Octets != int64(len(want)) {
						t.Fatalf("%d messages, %d octets, want %d, lost %v", len(list), tr.Octets, len(want), tr.Lost)
					}
				})
			}
		}
	}
}

// A binary message goes out as it is.
func TestBinary(t *testing.T) {
	for _, size := range []int{7, 1 << 20} {
		for _, early := range []bool{false, true} {
			text := "a\nb\rc\r\n\x00\xff."
			m := Mode{Pipelining: true, Chunking: true, Binary: true, ChunkSize: size, Early: early}
			script := mailLine + rcptLines(to(1)) + ok(2) + fmt.Sprintf("C: BDAT %d LAST\nC* %d\nS: 250 ok\n", len(text), len(text))
			switch {
			case early:
				script = mailLine + rcptLines(to(1)) + fmt.Sprintf("C: BDAT %d LAST\nC* %d\n", len(text), len(text)) + ok(3)
			case size == 7:
				script = mailLine + rcptLines(to(1)) + ok(2) + "C: BDAT 7\nC* 7\nS: 250 ok\nC: BDAT 3 LAST\nC* 3\nS: 250 ok\n"
			}
			a := newAttempt(t, script, text, m)
			a.send(to(1), m)
			if out := a.peer.written(); !a.Sent() || a.Octets != int64(len(text)) || !strings.HasSuffix(out, text[7:]) {
				t.Errorf("sent %v, %d octets, written %q", a.Sent(), a.Octets, out)
			}
		}
	}
}

// A message that grows over the server's limit, or that holds what it must not, is
// given up without its end.
func TestGivenUpInTheMiddle(t *testing.T) {
	for _, chunking := range []bool{false, true} {
		for name, tc := range map[string]struct {
			mode Mode
			more string
			stop Stop
		}{
			"too large":           {Mode{SizeLimit: 20}, "0123456789\n0123456789\n", TooLarge},
			"too large by a CRLF": {Mode{SizeLimit: 19}, "0123456789\n0123456", TooLarge},
			"8-bit":               {Mode{SevenBit: true}, "caf\xc3\xa9\n", EightBit},
		} {
			t.Run(fmt.Sprintf("%s, chunking %v", name, chunking), func(t *testing.T) {
				m := tc.mode
				m.Pipelining, m.Chunking, m.ChunkSize = true, chunking, 1000
				script := mailLine + rcptLines(to(1))
				if chunking {
					script += ok(2) + "eof"
				} else {
					script += "C: DATA\n" + ok(2) + "S: 354 go\neof"
				}
				a := newAttempt(t, script, "", m)
				a.spool.SetWhole(false)
				if a.start(to(1), m); !a.OK() {
					t.Fatalf("%+v", a.Record)
				}
				a.Stream(a.spool)
				a.Write([]byte(tc.more))
				if a.OK() {
					a.Commit(a.spool)
				}
				if a.Stop != tc.stop || a.Committed || a.link.Usable() || a.Lost != nil || a.StartsAgain() {
					t.Errorf("stop %d, committed %v, usable %v", a.Stop, a.Committed, a.link.Usable())
				}
				if n := a.Write([]byte("more")); n != 0 {
					t.Errorf("%d octets taken afterwards", n)
				}
			})
		}
	}
	// What fits exactly is sent.
	m := Mode{SizeLimit: 20, Pipelining: true}
	a := newAttempt(t, mailLine+rcptLines(to(1))+"C: DATA\n"+ok(2)+"S: 354 go\nC* 23\nS: 250 ok\n", "0123456789\n012345", m)
	if a.send(to(1), m); !a.Sent() || a.Octets != 20 {
		t.Errorf("%+v", a.Record)
	}
	// A large block of a message goes out without being copied, and is counted.
	a = newAttempt(t, mailLine+rcptLines(to(1))+"C: DATA\n"+ok(2)+"S: 354 go\neof", "", Mode{})
	m = Mode{SizeLimit: 20000, Pipelining: true}
	a.start(to(1), m)
	a.Stream(a.spool)
	a.Write(bytes.Repeat([]byte("x"), 20001))
	if a.Stop != TooLarge {
		t.Errorf("stop %d", a.Stop)
	}
}

// GiveUp closes the connection: nothing else withholds a message that is half out.
func TestGiveUp(t *testing.T) {
	m := Mode{Pipelining: true}
	a := newAttempt(t, mailLine+rcptLines(to(1))+"C: DATA\n"+ok(2)+"S: 354 go\neof", memo, m)
	a.start(to(1), m)
	a.GiveUp(a.link, Withheld)
	if a.Stop != Withheld || a.OK() || a.link.Usable() || a.Sent() || a.Unknown() || a.StartsAgain() {
		t.Errorf("%+v", a.Record)
	}
	var none Transfer // of which nothing was begun
	l := link.New(smtptest.Play(t, "eof"), link.Config{Limits: limits})
	none.GiveUp(l, Withheld)
	if none.OK() || l.Usable() {
		t.Errorf("%+v", none.Record)
	}
}

// Nothing is committed for a caller who gave up, or on a link on which something was
// said.
func TestNotCommitted(t *testing.T) {
	for _, chunking := range []bool{false, true} {
		m := Mode{Pipelining: true, Chunking: chunking, ChunkSize: 1000}
		script := mailLine + rcptLines(to(1)) + ok(2)
		if !chunking {
			script = mailLine + rcptLines(to(1)) + "C: DATA\n" + ok(2) + "S: 354 go\n"
		}
		for name, tc := range map[string]struct {
			then string
			kind link.Kind
		}{
			"cancelled":      {"eof", link.Cancelled},
			"an early 250":   {"S! 250 taken\neof", link.Unasked},
			"an early 552":   {"S! 552 too large\neof", link.Unasked},
			"421":            {"S! 421 bye\neof", link.Closing},
			"the end":        {"close\neof", link.Ended},
			"an early rumor": {"S! hm\neof", link.Malformed},
		} {
			for _, prepare := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, chunking %v, prepare %v", name, chunking, prepare), func(t *testing.T) {
					if prepare && chunking {
						return // the script ends before the chunk
					}
					a := newAttempt(t, script+tc.then, "", m)
					ctx, cancel := context.WithCancel(context.Background())
					defer cancel()
					a.link.Begin(ctx)
					defer a.link.End()
					if a.start(to(1), m); !a.OK() {
						if name == "an early 250" || name == "an early 552" || name == "421" {
							t.Fatalf("%+v", a.Record)
						}
					}
					if name == "cancelled" {
						cancel()
					}
					if prepare {
						a.Prepare(a.spool)
					}
					a.Commit(a.spool)
					if a.Committed || a.Lost == nil || a.Lost.Kind != tc.kind || a.Sent() || a.Unknown() {
						t.Errorf("committed %v, lost for %v", a.Committed, a.Lost)
					}
				})
			}
		}
	}
}

// An error of the write that carries the last octet leaves the outcome to the reply.
func TestCommitWriteFails(t *testing.T) {
	for reply, want := range map[string]struct{ sent, unknown bool }{
		"":             {false, true},
		"250 2.0.0 ok": {true, false},
		"554 5.0.0 no": {false, false},
	} {
		w := &failsAt{Conn: smtptest.Play(t, mailLine+rcptLines(to(1))+"C: DATA\n"+ok(2)+"S: 354 go\nC* 13\n"+said(reply)+"close"), text: ".\r\n"}
		s := NewSpool(NewBuffers(), false)
		s.Add([]byte(memo))
		s.SetWhole(true)
		l := link.New(w, link.Config{Limits: limits})
		var tr Transfer
		called := false
		tr.OnWritten(func(int64) { called = true })
		tr.Start(l, to(1), &s, Mode{Pipelining: true})
		tr.Commit(&s)
		if !tr.Committed || tr.Sent() != want.sent || tr.Unknown() != want.unknown || called {
			t.Errorf("%q: sent %v, unknown %v, told that it was written %v: %+v", reply, tr.Sent(), tr.Unknown(), called, tr.Record)
		}
		l.Break(&link.Failure{Kind: link.GivenUp})
	}
}

func said(reply string) string {
	if reply == "" {
		return ""
	}
	return "S: " + strings.TrimSpace(reply) + "\n"
}

// failsAt is a connection that takes the write that ends in text and says that it
// did not.
type failsAt struct {
	net.Conn
	text string
}

func (f *failsAt) Write(p []byte) (int, error) {
	n, err := f.Conn.Write(p)
	if bytes.HasSuffix(p, []byte(f.text)) {
		return 0, io.ErrClosedPipe
	}
	return n, err
}

func (f *failsAt) InputWaiting() (waiting, known bool) {
	return f.Conn.(interface{ InputWaiting() (waiting, known bool) }).InputWaiting()
}

// A reply that comes in the middle of a message stops it: nothing more is written.
func TestReplyInTheMiddle(t *testing.T) {
	block := bytes.Repeat([]byte("A line of the message, which is long.\r\n"), 2000)
	for _, chunking := range []bool{false, true} {
		m := Mode{Pipelining: true, Chunking: chunking, ChunkSize: len(block)}
		script := mailLine + rcptLines(to(1)) + "C: DATA\n" + ok(2) + "S: 354 go\nC* 65536\nS! 552 too large\neof" // what a write takes
		if chunking {
			script = mailLine + rcptLines(to(1)) + ok(2) + fmt.Sprintf("C: BDAT %d\nC* %d\nS: 250 ok\nS! 552 too large\neof", len(block), len(block))
		}
		a := newAttempt(t, script, "", m)
		a.spool.SetWhole(false)
		a.start(to(1), m)
		a.Stream(a.spool)
		for range 4 {
			a.Write(block)
		}
		if a.Lost == nil || a.Lost.Kind != link.Unasked || a.Lost.Reply.Code != 552 || a.link.Usable() || a.Committed {
			t.Errorf("chunking %v: lost for %v, usable %v", chunking, a.Lost, a.link.Usable())
		}
	}
}
