package submission_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// delivered is what became of one message, on the wire and at the server.
type delivered struct {
	wire    []byte // all that the client wrote
	message smtptest.Message
	result  *submission.Result
	err     error
	usable  bool
}

// deliver opens a session for one message, which write sends.
func deliver(t testing.TB, keywords []string, env submission.Envelope, set func(*submission.Options), write func(*submission.Session) (*submission.Result, error)) delivered {
	t.Helper()
	srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.NoTLS, Extensions: append([]string{}, keywords...)})
	nc := record(srv.Pipe())
	o := plainText()
	if set != nil {
		set(o)
	}
	s := openSession(t, nc, o)
	var d delivered
	d.result, d.err = write(s)
	d.usable = s.Usable()
	s.Close()
	srv.Close()
	d.wire = nc.written()
	switch list := srv.Messages(); {
	case d.err == nil && len(list) != 1, d.err != nil && len(list) != 0:
		t.Errorf("the server accepted %d messages, the client says %v", len(list), d.err)
	case len(list) == 1:
		d.message = list[0]
	}
	return d
}

// deliverText is deliver for a text.
func deliverText(t testing.TB, keywords []string, env submission.Envelope, text string) delivered {
	t.Helper()
	return deliver(t, keywords, env, nil, func(s *submission.Session) (*submission.Result, error) {
		return s.Send(context.Background(), env, strings.NewReader(text))
	})
}

// dataOnWire returns what a client wrote between DATA and QUIT.
func dataOnWire(t testing.TB, wire []byte) string {
	t.Helper()
	_, rest, ok := bytes.Cut(wire, []byte("\r\nDATA\r\n"))
	data, quit := bytes.CutSuffix(rest, []byte("QUIT\r\n"))
	if !ok || !quit {
		t.Fatalf("no DATA, or no QUIT: %q", shortened(wire))
	}
	return string(data)
}

// shortened returns the last octets of b, for the texts of failures.
func shortened(b []byte) []byte { return b[max(0, len(b)-300):] }

// chunksOnWire returns the chunks that a client wrote, and how many of them were LAST.
func chunksOnWire(t testing.TB, wire []byte) (chunks []string, lasts int) {
	t.Helper()
	i := bytes.Index(wire, []byte("\r\nBDAT "))
	if i < 0 {
		t.Fatalf("no BDAT: %q", shortened(wire))
	}
	for wire = wire[i+2:]; bytes.HasPrefix(wire, []byte("BDAT ")); {
		line, rest, _ := bytes.Cut(wire, []byte("\r\n"))
		text, last := strings.CutSuffix(string(line[len("BDAT "):]), " LAST")
		n, err := strconv.Atoi(text)
		if err != nil || n > len(rest) {
			t.Fatalf("bad BDAT line %q with %d octets after it", line, len(rest))
		}
		if last {
			lasts++
		} else if lasts > 0 {
			t.Error("a chunk after the last one")
		}
		chunks = append(chunks, string(rest[:n]))
		wire = rest[n:]
	}
	if string(wire) != "QUIT\r\n" {
		t.Fatalf("after the chunks, %q was written", shortened(wire))
	}
	return chunks, lasts
}

// contents are messages, and the lines that must arrive, each with CRLF.
var contents = []struct {
	name, text string
	lines      []string
}{
	{"empty", "", nil},
	{"one CRLF", "\r\n", []string{""}},
	{"one LF", "\n", []string{""}},
	{"one CR", "\r", []string{""}},
	{"CRLF", "a\r\nb\r\n", []string{"a", "b"}},
	{"LF", "a\nb\n", []string{"a", "b"}},
	{"CR", "a\rb\r", []string{"a", "b"}},
	{"mixed", "a\r\nb\nc\rd\r\n", []string{"a", "b", "c", "d"}},
	{"no final newline", "a\r\nb", []string{"a", "b"}},
	{"final CR", "a\r\nb\r", []string{"a", "b"}},
	{"LF CR", "a\n\rb\n\r", []string{"a", "", "b", ""}},
	{"CR CR LF", "a\r\r\nb", []string{"a", "", "b"}},
	{"CR LF LF", "a\r\n\nb", []string{"a", "", "b"}},
	{"empty lines", "\n\n\n", []string{"", "", ""}},
	{"lone dot", ".", []string{"."}},
	{"dot line", ".\n", []string{"."}},
	{"dot lines", "a\n.\n..\n...\n.a\nb.\n", []string{"a", ".", "..", "...", ".a", "b."}},
	{"smuggled end, LF", "a\n.\nQUIT\n", []string{"a", ".", "QUIT"}},
	{"smuggled end, LF CRLF", "a\n.\r\nMAIL FROM:<x@y>\n", []string{"a", ".", "MAIL FROM:<x@y>"}},
	{"smuggled end, CR", "a\r.\rQUIT\r", []string{"a", ".", "QUIT"}},
	{"smuggled end, CRLF LF", "a\r\n.\nQUIT\r\n", []string{"a", ".", "QUIT"}},
	{"smuggled end, CRLF CR", "a\r\n.\rQUIT\r\n", []string{"a", ".", "QUIT"}},
	{"whole end", "a\r\n.\r\nQUIT\r\n", []string{"a", ".", "QUIT"}},
	{"dot after CR at the edge", "a\r\n\r.b", []string{"a", "", ".b"}},
	{"vector 1", "abc\n.def\n..ghi\n.jkl\n.", []string{"abc", ".def", "..ghi", ".jkl", "."}},
	{"vector 2", "Subject: t\n\n.a\n..b\rc\r.d\r\n.\r\n\re\n\n.last",
		[]string{"Subject: t", "", ".a", "..b", "c", ".d", ".", "", "e", "", ".last"}},
	{"NUL and controls", "a\x00b\x1b[31m\tc\x7f\n", []string{"a\x00b\x1b[31m\tc\x7f"}},
	{"long line", strings.Repeat("x", 3000) + "\n.y", []string{strings.Repeat("x", 3000), ".y"}},
}

// A message arrives line by line, whatever its line endings are and however it is cut into
// writes. It is dot-stuffed for DATA, and not for BDAT.
func TestMessageContent(t *testing.T) {
	feeds := map[string]func(string) io.Reader{
		"whole":        func(s string) io.Reader { return strings.NewReader(s) },
		"octets":       func(s string) io.Reader { return iotest.OneByteReader(strings.NewReader(s)) },
		"halves":       func(s string) io.Reader { return iotest.HalfReader(strings.NewReader(s)) },
		"with the EOF": func(s string) io.Reader { return iotest.DataErrReader(strings.NewReader(s)) },
	}
	for _, c := range contents {
		canonical, stuffed := "", ""
		for _, line := range c.lines {
			canonical += line + "\r\n"
			if strings.HasPrefix(line, ".") {
				line = "." + line
			}
			stuffed += line + "\r\n"
		}
		for feed, source := range feeds {
			for _, chunked := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/chunked %v", c.name, feed, chunked), func(t *testing.T) {
					keywords := []string{"PIPELINING", "SIZE"}
					if chunked {
						keywords = append(keywords, "CHUNKING")
					}
					env := memoTo("b@test.example")
					d := deliver(t, keywords, env, nil, func(s *submission.Session) (*submission.Result, error) {
						return s.Send(context.Background(), env, source(c.text))
					})
					if d.err != nil {
						t.Fatal(d.err)
					}
					if string(d.message.Data) != canonical || d.message.Chunked != chunked {
						t.Errorf("arrived as %q (chunked %v), want %q", d.message.Data, d.message.Chunked, canonical)
					}
					if d.result.Bytes != int64(len(canonical)) {
						t.Errorf("Bytes is %d, want %d", d.result.Bytes, len(canonical))
					}
					if want := fmt.Sprintf("SIZE=%d", len(canonical)); len(canonical) > 0 && strings.Join(d.message.Params, " ") != want {
						t.Errorf("parameters of MAIL are %v, want %s", d.message.Params, want)
					}
					if !chunked {
						if got := dataOnWire(t, d.wire); got != stuffed+".\r\n" {
							t.Errorf("on the wire %q, want %q", got, stuffed+".\r\n")
						}
						return
					}
					chunks, lasts := chunksOnWire(t, d.wire)
					if strings.Join(chunks, "") != canonical || len(chunks) != 1 || lasts != 1 {
						t.Errorf("%d chunks, %d of them last: %q, want one of %q", len(chunks), lasts, chunks, canonical)
					}
				})
			}
		}
	}
}

// Dots and line endings are right wherever a long message is cut into blocks: where the
// client stops holding it back, and after that.
func TestMessageEdges(t *testing.T) {
	const hold = 64 << 10
	for _, chunked := range []bool{false, true} {
		for _, edge := range []string{"\n.\n", "\r\n.\r\n", "\r.\r", "\r\n", "\n.x"} {
			for _, base := range []int{16 << 10, hold, hold + 8<<10} {
				for shift := -5; shift <= 2; shift++ {
					text := strings.Repeat("y", base+shift) + edge + "z" + strings.Repeat("w", 1000) + edge
					env := memoTo("b@test.example")
					keywords := []string{"PIPELINING"}
					if chunked {
						keywords = append(keywords, "CHUNKING")
					}
					d := deliver(t, keywords, env, func(o *submission.Options) { o.ChunkSize = hold / 2 }, func(s *submission.Session) (*submission.Result, error) {
						return s.SendFunc(context.Background(), env, func(w io.Writer) error {
							for _, part := range []string{text[:base], text[base : base+1], text[base+1:]} {
								if _, err := io.WriteString(w, part); err != nil {
									return err
								}
							}
							return nil
						})
					})
					want := canonical([]byte(text))
					if d.err != nil || !bytes.Equal(d.message.Data, want) || d.result.Bytes != int64(len(want)) {
						t.Fatalf("chunked %v, %q at %d%+d: %v, arrived as %d octets ending %q, want %d",
							chunked, edge, base, shift, d.err, len(d.message.Data), shortened(d.message.Data), len(want))
					}
				}
			}
		}
	}
}

// Large writes in the middle of a stream, which may go out as they are, are cut at each
// place that matters for dots and line endings.
func TestLargeWrites(t *testing.T) {
	line := "0123456789012345678901234567890123456789\r\n"
	head := strings.Repeat(line, 1700) // over 64 KiB
	block := strings.Repeat(line, 500) // over 16 KiB
	for _, keywords := range [][]string{{}, {"CHUNKING"}} {
		for _, middle := range []string{"a\r\n.b\r\n", "\r\n.\r\n", "a\n.b", "\r.b\r", "\r\r\n", "\n", "a"} {
			for cut := range len(middle) + 1 {
				parts := []string{head, block + middle[:cut], middle[cut:] + block, ".", block, ".", line, "\r", block + "end"}
				env := memoTo("b@test.example")
				d := deliver(t, keywords, env, nil, func(s *submission.Session) (*submission.Result, error) {
					return s.SendFunc(context.Background(), env, func(w io.Writer) error {
						for _, p := range parts {
							if n, err := io.WriteString(w, p); n != len(p) || err != nil {
								return fmt.Errorf("%d of %d: %w", n, len(p), err)
							}
						}
						return nil
					})
				})
				want := canonical([]byte(strings.Join(parts, "")))
				if d.err != nil || !bytes.Equal(d.message.Data, want) || d.result.Bytes != int64(len(want)) {
					t.Errorf("%q cut at %d: %v, %d octets arrived, want %d", middle, cut, d.err, len(d.message.Data), len(want))
				}
			}
		}
	}
}

// Random messages that are cut at random arrive as they must. On the wire there is no bare
// CR or LF, and no end of the message before its end.
func TestRandomMessages(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for round := range 300 {
		n := rnd.IntN(200)
		if round%10 == 0 {
			n = 50000 + rnd.IntN(150000)
		}
		text := make([]byte, n)
		for i := range text {
			text[i] = "\r\n.\r\n.ab"[rnd.IntN(8)]
		}
		keywords := []string{"PIPELINING"}
		if round%2 == 0 {
			keywords = append(keywords, "CHUNKING")
		}
		env := memoTo("b@test.example")
		chunk := 1 + rnd.IntN(n+1)
		if n > 1000 {
			chunk = n/20 + rnd.IntN(n)
		}
		d := deliver(t, keywords, env, func(o *submission.Options) { o.ChunkSize = chunk }, func(s *submission.Session) (*submission.Result, error) {
			return s.SendFunc(context.Background(), env, func(w io.Writer) error {
				for rest := text; len(rest) > 0; {
					k := min(len(rest), 1+rnd.IntN(1+n/5))
					if _, err := w.Write(rest[:k]); err != nil {
						return err
					}
					rest = rest[k:]
				}
				return nil
			})
		})
		want := canonical(text)
		if d.err != nil || !bytes.Equal(d.message.Data, want) {
			t.Fatalf("round %d: %v", round, d.err)
		}
		if round%2 == 0 {
			chunks, lasts := chunksOnWire(t, d.wire)
			checkChunks(t, chunks, lasts, len(want), chunk)
			continue
		}
		data := dataOnWire(t, d.wire)
		if strings.Count(data, "\r\n") != strings.Count(data, "\r") || strings.Count(data, "\r") != strings.Count(data, "\n") {
			t.Fatalf("round %d: a bare CR or LF", round)
		}
		if i := strings.Index("\r\n"+data, "\r\n.\r\n"); i != len(data)-3 {
			t.Fatalf("round %d: the message ends at %d of %d", round, i, len(data))
		}
	}
}

// checkChunks checks that size octets went out in as few chunks as the limit allows.
func checkChunks(t testing.TB, chunks []string, lasts, size, limit int) {
	t.Helper()
	want := max(1, (size+limit-1)/limit)
	if len(chunks) != want || lasts != 1 {
		t.Errorf("%d octets in chunks of %d: %d chunks, %d of them last, want %d", size, limit, len(chunks), lasts, want)
	}
	for i, c := range chunks {
		if i < len(chunks)-1 && len(c) != limit || len(c) > limit {
			t.Errorf("chunk %d of %d has %d octets, the limit is %d", i, len(chunks), len(c), limit)
		}
	}
}

// The number of chunks and their sizes.
func TestChunks(t *testing.T) {
	for _, tc := range []struct{ size, limit int }{
		{0, 10}, {2, 10}, {9, 10}, {10, 10}, {11, 10}, {12, 1}, {20, 10}, {21, 10}, {1000, 999}, {1000, 1000},
		{65536, 65536}, {65537, 65536}, {65536, 65535}, {100000, 100000}, {100001, 100000}, {200000, 100000}, {200001, 100000},
		{16384, 0}, {16385, 0}, {65536, 0}, {70000, 0}, {1 << 20, 0}, {1<<20 + 1, 0}, {3 << 20, 0},
	} {
		t.Run(fmt.Sprintf("%d in %d", tc.size, tc.limit), func(t *testing.T) {
			var text string
			if tc.size > 0 {
				text = strings.Repeat("x", tc.size-2) + "\r\n"
			}
			env := memoTo("b@test.example")
			d := deliver(t, []string{"PIPELINING", "CHUNKING"}, env, func(o *submission.Options) { o.ChunkSize = tc.limit },
				func(s *submission.Session) (*submission.Result, error) {
					return s.Send(context.Background(), env, strings.NewReader(text))
				})
			if d.err != nil || string(d.message.Data) != text || d.result.Bytes != int64(tc.size) {
				t.Fatalf("%v, %d octets arrived, want %d", d.err, len(d.message.Data), tc.size)
			}
			limit := tc.limit
			if limit == 0 {
				limit = 1 << 20
			}
			chunks, lasts := chunksOnWire(t, d.wire)
			checkChunks(t, chunks, lasts, tc.size, limit)
		})
	}
}

// BINARYMIME goes out verbatim.
func TestBinaryMIME(t *testing.T) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	keywords := []string{"PIPELINING", "SIZE", "8BITMIME", "CHUNKING", "BINARYMIME"}
	for name, text := range map[string]string{
		"empty":       "",
		"all octets":  string(all),
		"bare":        "a\nb\rc\r\n.\r\n.\n",
		"no newline":  "abc",
		"final CR":    "abc\r",
		"long":        strings.Repeat(string(all)+"\n.\r", 1000),
		"just 64 KiB": strings.Repeat("\n", 64<<10),
		"and one":     strings.Repeat("\n", 64<<10+1),
	} {
		t.Run(name, func(t *testing.T) {
			env := memoTo("b@test.example")
			env.Body = submission.BodyBinaryMIME
			d := deliver(t, keywords, env, func(o *submission.Options) { o.ChunkSize = 50000 }, func(s *submission.Session) (*submission.Result, error) {
				return s.Send(context.Background(), env, strings.NewReader(text))
			})
			if d.err != nil || string(d.message.Data) != text || d.result.Bytes != int64(len(text)) {
				t.Fatalf("%v, %d octets arrived, want %d", d.err, len(d.message.Data), len(text))
			}
			want := "BODY=BINARYMIME"
			if len(text) > 0 && len(text) <= 64<<10 {
				want = fmt.Sprintf("SIZE=%d BODY=BINARYMIME", len(text))
			}
			if got := strings.Join(d.message.Params, " "); got != want {
				t.Errorf("parameters of MAIL are %q, want %q", got, want)
			}
			chunks, lasts := chunksOnWire(t, d.wire)
			checkChunks(t, chunks, lasts, len(text), 50000)
		})
	}
}

// Octets above 0x7f. If the message has some, or may have some, MAIL says BODY=8BITMIME. If
// the server does not offer it, the error is ErrUnsupported and nothing is sent; when such
// an octet comes late in a stream, the connection is closed.
func TestEightBit(t *testing.T) {
	fill := strings.Repeat("0123456789\r\n", 10000) // 120,000 octets
	for _, tc := range []struct {
		name     string
		text     string
		body     submission.BodyType
		offered  bool
		params   string // "" for none
		refused  bool   // nothing may be sent
		cut      bool   // the connection is closed in the middle of the message
		lasting  bool   // the envelope is wrong, so the error is not ErrUnsupported
		streamed bool
	}{
		{name: "7-bit", text: memo, offered: true},
		{name: "7-bit, not offered", text: memo},
		{name: "8-bit", text: memo + "ü\n", offered: true, params: "BODY=8BITMIME"},
		{name: "8-bit, not offered", text: memo + "ü\n", refused: true},
		{name: "last octet", text: memo + "\x80", refused: true},
		{name: "first octet", text: "\xff" + memo, refused: true},
		{name: "0x7f is 7-bit", text: memo + "\x7f\n"},
		{name: "at the end of 64 KiB", text: fill[:64<<10-3] + "\x80\r\n", refused: true},
		// If its source can seek, the part that is not held back is read before.
		{name: "stream, 7-bit", text: fill, offered: true, streamed: true},
		{name: "stream, 7-bit, not offered", text: fill, streamed: true},
		{name: "stream, 8-bit at once", text: "ü\n" + fill, offered: true, params: "BODY=8BITMIME", streamed: true},
		{name: "stream, 8-bit at once, not offered", text: "ü\n" + fill, refused: true, streamed: true},
		{name: "stream, 8-bit later", text: fill + "ü\n", offered: true, params: "BODY=8BITMIME", streamed: true},
		{name: "stream, 8-bit later, not offered", text: fill + "ü\n", cut: true, streamed: true},
		{name: "stream, 8-bit in the last octet, not offered", text: fill + "\x80", cut: true, streamed: true},
		{name: "Body7Bit", text: memo, body: submission.Body7Bit, offered: true, params: "BODY=7BIT"},
		{name: "Body7Bit, not offered", text: memo, body: submission.Body7Bit},
		{name: "Body7Bit, 8-bit", text: memo + "ü\n", body: submission.Body7Bit, offered: true, refused: true, lasting: true},
		{name: "Body7Bit, 8-bit later", text: fill + "ü\n", body: submission.Body7Bit, offered: true, cut: true, lasting: true, streamed: true},
		{name: "Body8BitMIME", text: memo, body: submission.Body8BitMIME, offered: true, params: "BODY=8BITMIME"},
		{name: "Body8BitMIME, not offered", text: memo, body: submission.Body8BitMIME, refused: true},
	} {
		for _, chunked := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/chunked %v", tc.name, chunked), func(t *testing.T) {
				keywords := []string{"PIPELINING"}
				if tc.offered {
					keywords = append(keywords, "8BITMIME")
				}
				if chunked {
					keywords = append(keywords, "CHUNKING")
				}
				env := memoTo("b@test.example")
				env.Body = tc.body
				d := deliverText(t, keywords, env, tc.text)
				switch {
				case tc.refused:
					v := verdict{stage: submission.StageMail, is: submission.ErrUnsupported, status: []submission.RecipientStatus{submission.RecipientUnsent}}
					if tc.lasting {
						v.is = nil
						if errors.Is(d.err, submission.ErrUnsupported) {
							t.Errorf("the error says that the server is at fault: %v", d.err)
						}
					}
					v.check(t, nil, d.err)
					if !d.usable || bytes.Contains(d.wire, []byte("MAIL")) {
						t.Errorf("usable %v, written %q", d.usable, d.wire)
					}
				case tc.cut:
					v := verdict{stage: submission.StageMessage, is: submission.ErrUnsupported, status: []submission.RecipientStatus{submission.RecipientUnsent}}
					if tc.lasting {
						v.is = nil
						if errors.Is(d.err, submission.ErrUnsupported) {
							t.Errorf("the error says that the server is at fault: %v", d.err)
						}
					}
					v.check(t, nil, d.err)
					if d.usable || endMarks(d.wire) > 0 || bytes.ContainsFunc(d.wire, func(r rune) bool { return r >= 0x80 }) {
						t.Errorf("usable %v, written %q", d.usable, shortened(d.wire))
					}
				default:
					if got := strings.Join(d.message.Params, " "); d.err != nil || got != tc.params {
						t.Errorf("%v, parameters of MAIL are %q, want %q", d.err, got, tc.params)
					}
					if want := canonical([]byte(tc.text)); !bytes.Equal(d.message.Data, want) {
						t.Error("the message was changed")
					}
				}
			})
		}
	}
	t.Run("Disable", func(t *testing.T) {
		env := memoTo("b@test.example")
		d := deliver(t, []string{"8BITMIME"}, env, func(o *submission.Options) { o.Disable = []string{"8bitmime"} }, func(s *submission.Session) (*submission.Result, error) {
			return s.Send(context.Background(), env, strings.NewReader("ü"))
		})
		if !errors.Is(d.err, submission.ErrUnsupported) {
			t.Error(d.err)
		}
	})
}

// SIZE. A size that is known goes out with MAIL. A message that is too large for the server
// is refused before anything is sent; a stream is cut when it becomes too large.
func TestSize(t *testing.T) {
	body := func(n int) string { return strings.Repeat("x", n-2) + "\r\n" }
	for _, tc := range []struct {
		name     string
		keyword  string // of the server, "" for none
		text     string
		declared int64 // Envelope.Size
		params   string
		refused  bool
		cut      bool
	}{
		{name: "no limit", keyword: "SIZE", text: body(100), params: "SIZE=100"},
		{name: "limit 0", keyword: "SIZE 0", text: body(100), params: "SIZE=100"},
		{name: "a limit that is not a number", keyword: "SIZE lots", text: body(100), params: "SIZE=100"},
		{name: "not offered", text: body(100)},
		{name: "at the limit", keyword: "SIZE 100", text: body(100), params: "SIZE=100"},
		{name: "over the limit", keyword: "SIZE 99", text: body(100), refused: true},
		{name: "the CRLF that is added counts", keyword: "SIZE 100", text: strings.Repeat("x", 99), refused: true},
		{name: "line endings count as CRLF", keyword: "SIZE 100", text: strings.Repeat("\n", 51), refused: true},
		{name: "dots do not count", keyword: "SIZE 100", text: strings.Repeat(".\n", 33), params: "SIZE=99"},
		{name: "measured, whatever is declared", keyword: "SIZE 1000", text: body(100), declared: 999999, params: "SIZE=100"},
		{name: "stream", keyword: "SIZE", text: body(100000)},
		{name: "stream, declared", keyword: "SIZE", text: body(100000), declared: 100000, params: "SIZE=100000"},
		{name: "stream, declared, not offered", text: body(100000), declared: 100000},
		{name: "stream, declared at the limit", keyword: "SIZE 100000", text: body(100000), declared: 100000, params: "SIZE=100000"},
		{name: "stream, declared over the limit", keyword: "SIZE 100000", text: body(100000), declared: 100001, refused: true},
		{name: "stream at the limit", keyword: "SIZE 100000", text: body(100000)},
		{name: "stream over the limit", keyword: "SIZE 99999", text: body(100000), cut: true},
		{name: "stream over the limit by the added CRLF", keyword: "SIZE 100000", text: strings.Repeat("x", 99999), cut: true},
		{name: "stream far over the limit", keyword: "SIZE 80000", text: body(1000000), cut: true},
		{name: "stream, declared too low", keyword: "SIZE 99999", text: body(100000), declared: 5, cut: true, params: "SIZE=5"},
		{name: "stream known to be over at once", keyword: "SIZE 60000", text: body(100000), refused: true},
		{name: "stream at a limit without dots", keyword: "SIZE 90000", text: strings.Repeat(".\r\n", 30000)},
	} {
		for _, chunked := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/chunked %v", tc.name, chunked), func(t *testing.T) {
				keywords := []string{"PIPELINING"}
				if tc.keyword != "" {
					keywords = append(keywords, tc.keyword)
				}
				if chunked {
					keywords = append(keywords, "CHUNKING")
				}
				env := memoTo("b@test.example")
				env.Size = tc.declared
				d := deliverText(t, keywords, env, tc.text)
				unsent := []submission.RecipientStatus{submission.RecipientUnsent}
				switch {
				case tc.refused:
					verdict{stage: submission.StageMail, is: submission.ErrTooLarge, status: unsent}.check(t, nil, d.err)
					if !d.usable || bytes.Contains(d.wire, []byte("MAIL")) {
						t.Errorf("usable %v, written %q", d.usable, shortened(d.wire))
					}
				case tc.cut:
					verdict{stage: submission.StageMessage, is: submission.ErrTooLarge, status: unsent}.check(t, nil, d.err)
					if d.usable || endMarks(d.wire) > 0 {
						t.Errorf("usable %v, written %q", d.usable, shortened(d.wire))
					}
				default:
					if got := strings.Join(d.message.Params, " "); d.err != nil || got != tc.params {
						t.Errorf("%v, parameters of MAIL are %q, want %q", d.err, got, tc.params)
					}
				}
			})
		}
	}
}

// After a message over the limit, the session sends the next one.
func TestTooLargeThenNext(t *testing.T) {
	s := openSession(t, play(t, "whole", greeted("PIPELINING", "SIZE 50")+
		strings.Replace(flightOK, "<a@test.example>", "<a@test.example> SIZE=23", 1)+"C: QUIT\nS: 221 bye\neof"), plainText())
	defer s.Close()
	_, err := s.Send(context.Background(), memoTo("b@test.example"), strings.NewReader(strings.Repeat("x", 50)))
	verdict{stage: submission.StageMail, is: submission.ErrTooLarge}.check(t, nil, err)
	mustSend(t, s, memoTo("b@test.example"))
}

// BDAT is used when CHUNKING is offered, unless it is disabled.
func TestChunkingDisabled(t *testing.T) {
	env := memoTo("b@test.example")
	d := deliver(t, []string{"CHUNKING"}, env, func(o *submission.Options) { o.Disable = []string{"chunking"} }, func(s *submission.Session) (*submission.Result, error) {
		return send(s, env)
	})
	if d.err != nil || d.message.Chunked {
		t.Errorf("%v, chunked %v", d.err, d.message.Chunked)
	}
}

// If the source of a long message cannot seek, the part that is not held back is not known. It
// may have octets above 0x7f, and MAIL says so.
func TestUnseenRestIsDeclared(t *testing.T) {
	for name, text := range map[string]string{"7-bit": long, "8-bit": long + "ü\r\n"} {
		d := deliver(t, []string{"8BITMIME"}, memoTo("b@test.example"), nil, func(s *submission.Session) (*submission.Result, error) {
			return s.Send(context.Background(), memoTo("b@test.example"), struct{ io.Reader }{strings.NewReader(text)})
		})
		if got := strings.Join(d.message.Params, " "); d.err != nil || got != "BODY=8BITMIME" {
			t.Errorf("%s: %v, parameters of MAIL are %q", name, d.err, got)
		}
	}
}
