package smtpwire

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// deliveries are ways in which the same octets may arrive.
var deliveries = []struct {
	name string
	wrap func(io.Reader) io.Reader
}{
	{"whole", func(r io.Reader) io.Reader { return r }},
	{"byte by byte", iotest.OneByteReader},
	{"halves", iotest.HalfReader},
	{"end with data", iotest.DataErrReader},
	{"with pauses", func(r io.Reader) io.Reader { return &pausing{src: r} }},
}

// pausing returns 0, nil a few times before each octet.
type pausing struct {
	src  io.Reader
	wait int
}

func (p *pausing) Read(b []byte) (int, error) {
	if p.wait = (p.wait + 1) % 4; p.wait != 0 {
		return 0, nil
	}
	return p.src.Read(b[:min(1, len(b))])
}

// idle returns 0, nil for ever.
type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }

// endless repeats text for ever and counts what was taken.
type endless struct {
	text  string
	at    int
	taken int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.text[e.at:])
	e.at = (e.at + n) % len(e.text)
	e.taken += n
	return n, nil
}

// once delivers its text with one Read and fails the test at the next.
type once struct {
	t    *testing.T
	text string
}

func (o *once) Read(p []byte) (int, error) {
	if o.text == "" {
		o.t.Error("the source is read once more")
		return 0, io.EOF
	}
	n := copy(p, o.text)
	o.text = o.text[n:]
	return n, nil
}

func isSyntax(err error) bool {
	var syntax *SyntaxError
	return errors.As(err, &syntax)
}

// cuts are sources that deliver text in two pieces, cut at each place.
func cuts(text string) []io.Reader {
	sources := make([]io.Reader, len(text)+1)
	for n := range sources {
		sources[n] = io.MultiReader(strings.NewReader(text[:n]), strings.NewReader(text[n:]))
	}
	return sources
}

// lines makes a reply of code and texts.
func lines(code string, texts ...string) string {
	var b strings.Builder
	for i, text := range texts {
		sep := "-"
		if i == len(texts)-1 {
			sep = " "
		}
		b.WriteString(code + sep + text + "\r\n")
	}
	return b.String()
}

func many(n int, text string) []string {
	texts := make([]string, n)
	for i := range texts {
		texts[i] = text
	}
	return texts
}

// fullLine is the text of the longest line.
var fullLine = strings.Repeat("x", MaxReplyLine-len("220 \r\n"))

// fullText is the texts of a reply as large as can be: four full lines, the LFs
// between them, and a rest.
func fullText() []string {
	rest := MaxReplySize - 4*len(fullLine) - 4
	return append(many(4, fullLine), strings.Repeat("y", rest))
}

type replyTest struct {
	name, wire string
	code       int
	text       string
}

var goodReplies = []replyTest{
	{"text", "220 mail.example ESMTP\r\n", 220, "mail.example ESMTP"},
	{"bare code", "250\r\n", 250, ""},
	{"code and space", "250 \r\n", 250, ""},
	{"two spaces", "250  a\r\n", 250, " a"},
	{"multi-line", "250-a\r\n250-b\r\n250 c\r\n", 250, "a\nb\nc"},
	{"bare code ends", "250-a\r\n250\r\n", 250, "a\n"},
	{"empty texts", "250-\r\n250-\r\n250 \r\n", 250, "\n\n"},
	{"text that begins with a number", "250-a\r\n250-234 Text\r\n250 c\r\n", 250, "a\n234 Text\nc"},
	{"text that looks like a reply", "250-550 no\r\n250 ok\r\n", 250, "550 no\nok"},
	{"unknown code", "259 x\r\n", 259, "x"},
	{"least of the first digit", "200 x\r\n", 200, "x"},
	{"greatest of each digit", "559 x\r\n", 559, "x"},
	{"intermediate", "354 go\r\n", 354, "go"},
	{"temporary", "421 bye\r\n", 421, "bye"},
	{"tab in the text", "220 a\tb\r\n", 220, "a\tb"},
	{"NUL and control octets in the text", "220 a\x00\x01\x7f\r\n", 220, "a\x00\x01\x7f"},
	{"octets above 0x7f", "220 \xff\xc3\xa9\x80\r\n", 220, "\xff\xc3\xa9\x80"},
	{"hyphen in the text", "220 -\r\n", 220, "-"},
	{"longest line", lines("220", fullLine), 220, fullLine},
	{"longest line, not the last", lines("220", fullLine, "z"), 220, fullLine + "\nz"},
	{"most lines", lines("220", many(MaxReplyLines, "a")...), 220, strings.Join(many(MaxReplyLines, "a"), "\n")},
	{"most text", lines("220", fullText()...), 220, strings.Join(fullText(), "\n")},
}

var badReplies = []struct{ name, wire string }{
	{"words", "bogus\r\n"},
	{"empty line", "\r\n"},
	{"one digit", "2\r\n"},
	{"two digits", "22\r\n"},
	{"four digits", "2200 x\r\n"},
	{"letter for a digit", "2x0 a\r\n"},
	{"letter for the last digit", "22x a\r\n"},
	{"letter after the code", "220x\r\n"},
	{"tab after the code", "220\tx\r\n"},
	{"NUL after the code", "220\x00x\r\n"},
	{"space before the code", " 220 x\r\n"},
	{"first digit 0", "050 x\r\n"},
	{"first digit 1", "150 x\r\n"},
	{"first digit 6", "650 x\r\n"},
	{"first digit 9", "999 x\r\n"},
	{"second digit 6", "260 x\r\n"},
	{"second digit 9", "290 x\r\n"},
	{"digits of another script", "\u0662\u0662\u0660 x\r\n"},
	{"HTTP", "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"},
	{"POP3", "+OK ready\r\n"},
	{"IMAP", "* OK ready\r\n"},
	{"SSH", "SSH-2.0-OpenSSH_9.9\r\n"},
	{"TLS alert", "\x15\x03\x01\x00\x02\x02\x46"},
	{"code changes", "250-a\r\n550 b\r\n"},
	{"code changes within its class", "250-a\r\n251 b\r\n"},
	{"code changes at a bare code", "250-a\r\n220\r\n"},
	{"code changes between continued lines", "250-a\r\n220-b\r\n250 c\r\n"},
	{"no code in the second line", "250-a\r\nb\r\n"},
	{"empty second line", "250-a\r\n\r\n"},
	{"bare LF", "250 a\n"},
	{"bare LF after a bare code", "250\n"},
	{"bare LF in the text", "250 a\nb\r\n"},
	{"bare LF between lines", "250-a\n250 b\r\n"},
	{"bare LF first", "\n250 a\r\n"},
	{"bare CR in the text", "250 a\rb\r\n"},
	{"bare CR after the code", "250\rb\r\n"},
	{"bare CR before CRLF", "250 a\r\r\n"},
	{"bare CR between lines", "250-a\r250 b\r\n"},
	{"LF CR", "250 a\n\r"},
	{"line too long", lines("220", fullLine+"x")},
	{"line too long, not the first", lines("220", "a", fullLine+"x")},
	{"line without end", "220 " + fullLine + "xx"},
	{"too many lines", lines("220", many(MaxReplyLines+1, "a")...)},
	{"too much text in the last line", lines("220", append(fullText()[:4], fullText()[4]+"y")...)},
	{"too much text before the last line", lines("220", append(fullText(), "")...)},
}

func TestReadReply(t *testing.T) {
	const next = "354 next\r\n"
	for _, test := range goodReplies {
		for _, d := range deliveries {
			r := NewReader(d.wrap(strings.NewReader(test.wire)))
			got, err := r.ReadReply()
			if err != nil || got.Code != test.code || string(got.Text) != test.text {
				t.Errorf("%s, %s: %d %.60q, %v", test.name, d.name, got.Code, got.Text, err)
			}
			if r.Buffered() != 0 {
				t.Errorf("%s, %s: %d octets left", test.name, d.name, r.Buffered())
			}
			if _, err := r.ReadReply(); err != io.EOF {
				t.Errorf("%s, %s: then %v", test.name, d.name, err)
			}

			src := strings.NewReader(test.wire + next)
			r = NewReader(d.wrap(src))
			got, err = r.ReadReply()
			if err != nil || got.Code != test.code || string(got.Text) != test.text {
				t.Errorf("%s, coalesced, %s: %d %.60q, %v", test.name, d.name, got.Code, got.Text, err)
			}
			if left := r.Buffered() + src.Len(); left != len(next) && d.name != "end with data" {
				t.Errorf("%s, coalesced, %s: %d octets left", test.name, d.name, left)
			}
			if d.name == "whole" && len(test.wire) < 100 && r.Buffered() != len(next) {
				t.Errorf("%s, coalesced: %d octets buffered", test.name, r.Buffered())
			}
			if got, err = r.ReadReply(); err != nil || got.Code != 354 || string(got.Text) != "next" {
				t.Errorf("%s, coalesced, %s: then %d %q, %v", test.name, d.name, got.Code, got.Text, err)
			}
		}
	}
}

func TestReadReplyInPieces(t *testing.T) {
	for _, test := range goodReplies {
		if len(test.wire) > 100 {
			continue
		}
		for n, src := range cuts(test.wire) {
			got, err := NewReader(src).ReadReply()
			if err != nil || got.Code != test.code || string(got.Text) != test.text {
				t.Errorf("%s, cut at %d: %d %q, %v", test.name, n, got.Code, got.Text, err)
			}
		}
	}
	for _, test := range badReplies {
		if len(test.wire) > 100 {
			continue
		}
		for n, src := range cuts(test.wire) {
			if got, err := NewReader(src).ReadReply(); !isSyntax(err) {
				t.Errorf("%s, cut at %d: %d %q, %v", test.name, n, got.Code, got.Text, err)
			}
		}
	}
}

func TestReadReplyRefuses(t *testing.T) {
	for _, test := range badReplies {
		for _, d := range deliveries {
			for _, next := range []string{"", "250 next\r\n"} {
				r := NewReader(d.wrap(strings.NewReader(test.wire + next)))
				if got, err := r.ReadReply(); !isSyntax(err) || got.Code != 0 || got.Text != nil {
					t.Errorf("%s, %s: %d %.60q, %v", test.name, d.name, got.Code, got.Text, err)
				}
			}
		}
	}
}

// What can be no reply is refused with the octets that show it: the peer may
// never send more.
func TestReadReplyRefusesAtOnce(t *testing.T) {
	for _, text := range []string{
		"\x15\x03\x01\x00\x02\x02\x46", "\x15", "HTTP/1.1 400 Bad Request", "H", "+OK", "* OK",
		"1", "6", "26", "2x", "22x", "2200", "2200 x", "220x", "220\t", "\r", "\x00", " 220",
		"\n", "\r\n", "2\r\n", "250 a\n", "250\n",
		"250-a\r\nHTTP", "250-a\r\n1", "250-a\r\n550 b\r\n",
		"220 " + fullLine + "xx",
	} {
		if _, err := NewReader(&once{t, text}).ReadReply(); !isSyntax(err) {
			t.Errorf("%.60q: %v", text, err)
		}
		src := &once{t, text}
		if _, err := NewReader(iotest.OneByteReader(src)).ReadReply(); !isSyntax(err) {
			t.Errorf("%.60q byte by byte: %v", text, err)
		}
	}
}

func TestReadReplyCut(t *testing.T) {
	reset := errors.New("connection reset")
	for _, wire := range []string{"220 mail\r\n", "250-a\r\n250-\r\n250 b\r\n", "250\r\n"} {
		for n := range len(wire) {
			for _, d := range deliveries {
				want := io.ErrUnexpectedEOF
				if n == 0 {
					want = io.EOF
				}
				r := NewReader(d.wrap(strings.NewReader(wire[:n])))
				if got, err := r.ReadReply(); err != want || got.Code != 0 {
					t.Errorf("%q, %s: %d, %v", wire[:n], d.name, got.Code, err)
				}
				r = NewReader(d.wrap(io.MultiReader(strings.NewReader(wire[:n]), iotest.ErrReader(reset))))
				if got, err := r.ReadReply(); err != reset || got.Code != 0 {
					t.Errorf("%q, %s, then reset: %d, %v", wire[:n], d.name, got.Code, err)
				}
			}
		}
	}
}

// A reply that never ends is given up while it is small.
func TestReadReplyEndless(t *testing.T) {
	long := strings.Repeat("x", 1000)
	for _, test := range []struct {
		name  string
		src   *endless
		limit int
	}{
		{"no line end", &endless{text: "2", at: 0}, 4},
		{"empty continued lines", &endless{text: "220-\r\n"}, MaxReplyLines * len("220-\r\n")},
		{"long continued lines", &endless{text: "220-" + long + "\r\n"}, MaxReplySize + 100*len("220-\r\n") + len(long)},
	} {
		_, err := NewReader(test.src).ReadReply()
		if !isSyntax(err) || test.src.taken > test.limit+MaxReplyLine {
			t.Errorf("%s: %v after %d octets", test.name, err, test.src.taken)
		}
	}
	const greeting = 5 << 20
	src := strings.NewReader("220 " + strings.Repeat("x", greeting))
	if _, err := NewReader(src).ReadReply(); !isSyntax(err) || greeting-src.Len() > MaxReplyLine {
		t.Errorf("5 MB greeting: %v after %d octets", err, greeting-src.Len())
	}
}

func TestReadLine(t *testing.T) {
	for _, test := range []struct {
		name, wire string
		limit      int
		want       string
	}{
		{"line", "NOOP\r\n", 100, "NOOP"},
		{"empty", "\r\n", 100, ""},
		{"at the limit", "NOOP\r\n", 6, "NOOP"},
		{"any octets", "\x00\t\x7f\xff\r\n", 100, "\x00\t\x7f\xff"},
		{"longer than the buffer", strings.Repeat("a", 3*readBuffer) + "\r\n", 3*readBuffer + 2, strings.Repeat("a", 3*readBuffer)},
	} {
		for _, d := range deliveries {
			r := NewReader(d.wrap(strings.NewReader(test.wire + "next\r\n")))
			if got, err := r.ReadLine(test.limit); err != nil || string(got) != test.want {
				t.Errorf("%s, %s: %.60q, %v", test.name, d.name, got, err)
			}
			if got, err := r.ReadLine(100); err != nil || string(got) != "next" {
				t.Errorf("%s, %s: then %q, %v", test.name, d.name, got, err)
			}
			if got, err := r.ReadLine(100); err != io.EOF {
				t.Errorf("%s, %s: then %q, %v", test.name, d.name, got, err)
			}
		}
	}
}

func TestReadLineRefuses(t *testing.T) {
	for _, test := range []struct {
		name, wire string
		limit      int
	}{
		{"over the limit", "NOOPS\r\n", 6},
		{"over the limit, no end", "NOOPS?", 6},
		{"bare LF", "NOOP\n", 100},
		{"bare LF first", "\nNOOP\r\n", 100},
		{"bare LF inside", "NO\nOP\r\n", 100},
		{"bare CR inside", "NO\rOP\r\n", 100},
		{"bare CR first", "\rNOOP\r\n", 100},
		{"bare CR last", "NOOP\r\r\n", 100},
	} {
		for _, d := range deliveries {
			if got, err := NewReader(d.wrap(strings.NewReader(test.wire))).ReadLine(test.limit); !isSyntax(err) || got != nil {
				t.Errorf("%s, %s: %q, %v", test.name, d.name, got, err)
			}
		}
	}
	for n := range len("NOOP\r\n") {
		want := io.ErrUnexpectedEOF
		if n == 0 {
			want = io.EOF
		}
		if got, err := NewReader(strings.NewReader("NOOP\r\n"[:n])).ReadLine(100); err != want {
			t.Errorf("cut at %d: %q, %v", n, got, err)
		}
	}
	src := &endless{text: "x"}
	if _, err := NewReader(src).ReadLine(2 * readBuffer); !isSyntax(err) || src.taken > 2*readBuffer {
		t.Errorf("endless: %v after %d octets", err, src.taken)
	}
}

func TestSyntaxErrorText(t *testing.T) {
	_, err := NewReader(strings.NewReader("\x1b[2J\u00e9" + strings.Repeat("x", 1000) + "\r\n")).ReadReply()
	var syntax *SyntaxError
	if !errors.As(err, &syntax) || len(syntax.Text) != 1006 || len(syntax.Excerpt()) != maxExcerpt {
		t.Fatalf("%T %v", err, err)
	}
	for _, c := range []byte(err.Error()) {
		if c < ' ' || c > '~' {
			t.Errorf("octet %#x in %s", c, err)
		}
	}
	if text := (&SyntaxError{Reason: "why"}).Error(); text != "why" {
		t.Error(text)
	}
}

// A chunk is read from between two lines, whatever its octets are.
func TestReadChunk(t *testing.T) {
	for _, chunk := range []string{"", "hello", "\r\n.\r\nQUIT\r\n\x00\xff\n\r", strings.Repeat("0123456789\r\n", 10000)} {
		for _, d := range deliveries {
			r := NewReader(d.wrap(strings.NewReader("BDAT\r\n" + chunk + "NOOP\r\n")))
			if line, err := r.ReadLine(100); err != nil || string(line) != "BDAT" {
				t.Fatal(d.name, line, err)
			}
			got := make([]byte, len(chunk))
			if _, err := io.ReadFull(r, got); err != nil || string(got) != chunk {
				t.Errorf("%.20q, %s: %.60q, %v", chunk, d.name, got, err)
			}
			if line, err := r.ReadLine(100); err != nil || string(line) != "NOOP" {
				t.Errorf("%.20q, %s: then %q, %v", chunk, d.name, line, err)
			}
			if n, err := r.Read(make([]byte, 10)); n != 0 || err != io.EOF {
				t.Errorf("%.20q, %s: then %d, %v", chunk, d.name, n, err)
			}
		}
	}
	if n, err := NewReader(&once{t, ""}).Read(nil); n != 0 || err != nil {
		t.Error("empty read:", n, err)
	}
}

func TestFill(t *testing.T) {
	r := NewReader(iotest.OneByteReader(strings.NewReader("250 a\r\n")))
	for n := range 3 {
		if r.Buffered() != n {
			t.Errorf("%d octets after %d reads", r.Buffered(), n)
		}
		if err := r.Fill(); err != nil {
			t.Error(err)
		}
	}
	if got, err := r.ReadReply(); err != nil || got.Code != 250 || string(got.Text) != "a" {
		t.Error(got, err)
	}
	if err := r.Fill(); err != io.EOF || r.Buffered() != 0 {
		t.Error(err, r.Buffered())
	}
}

func TestNoProgress(t *testing.T) {
	for name, read := range map[string]func(*Reader) error{
		"ReadReply": func(r *Reader) error { _, err := r.ReadReply(); return err },
		"ReadLine":  func(r *Reader) error { _, err := r.ReadLine(100); return err },
		"ReadDots":  func(r *Reader) error { return r.ReadDots(io.Discard) },
		"Fill":      (*Reader).Fill,
		"Read":      func(r *Reader) error { _, err := io.ReadFull(r, make([]byte, 10)); return err },
		"long Read": func(r *Reader) error { _, err := io.ReadFull(r, make([]byte, 2*readBuffer)); return err },
	} {
		if err := read(NewReader(idle{})); err != io.ErrNoProgress {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReadReplyAllocs(t *testing.T) {
	ok := "250 2.1.5 Recipient OK\r\n"
	for _, wire := range []string{ok, "250\r\n", "250-PIPELINING\r\n250-SIZE 1000\r\n250 8BITMIME\r\n", strings.Repeat(ok, 1000)} {
		r := NewReader(&endless{text: wire})
		n := testing.AllocsPerRun(1000, func() {
			if _, err := r.ReadReply(); err != nil {
				t.Fatal(err)
			}
		})
		if n != 0 {
			t.Errorf("%.60q: %v allocations", wire, n)
		}
		if len(r.buf) != readBuffer {
			t.Errorf("%.60q: the buffer grows to %d octets", wire, len(r.buf))
		}
	}
}

func TestReadDots(t *testing.T) {
	long := strings.Repeat("x", 3*readBuffer)
	for _, test := range []struct{ name, wire, want string }{
		{"empty", ".\r\n", ""},
		{"a line", "a\r\n.\r\n", "a\r\n"},
		{"an empty line", "\r\n.\r\n", "\r\n"},
		{"empty lines", "\r\n\r\n\r\n.\r\n", "\r\n\r\n\r\n"},
		{"one dot", "..\r\n.\r\n", ".\r\n"},
		{"two dots", "...\r\n.\r\n", "..\r\n"},
		{"a dot before text, undoubled", ".a\r\n.\r\n", "a\r\n"},
		{"a dot within", "a.b\r\n.\r\n", "a.b\r\n"},
		{"a dot at the end", "a.\r\n.\r\n", "a.\r\n"},
		{"dots after an empty line", "\r\n..a\r\n...\r\n.\r\n", "\r\n.a\r\n..\r\n"},
		{"any octets", "\x00\xff\t\r\n.\r\n", "\x00\xff\t\r\n"},
		{"longer than the buffer", long + "\r\n.." + long + "\r\n.\r\n", long + "\r\n." + long + "\r\n"},
		{"CRLF over the buffer's edge", long[:readBuffer-1] + "\r\n.\r\n", long[:readBuffer-1] + "\r\n"},
		{"dot line over the buffer's edge", long[:readBuffer-3] + "\r\n.\r\n", long[:readBuffer-3] + "\r\n"},
	} {
		for _, d := range deliveries {
			r := NewReader(d.wrap(strings.NewReader(test.wire + "NOOP\r\n")))
			var got bytes.Buffer
			if err := r.ReadDots(&got); err != nil || got.String() != test.want {
				t.Errorf("%s, %s: %.60q, %v", test.name, d.name, got.String(), err)
			}
			if line, err := r.ReadLine(100); err != nil || string(line) != "NOOP" {
				t.Errorf("%s, %s: then %q, %v", test.name, d.name, line, err)
			}
		}
		if len(test.wire) > 100 {
			continue
		}
		for n, src := range cuts(test.wire) {
			var got bytes.Buffer
			if err := NewReader(src).ReadDots(&got); err != nil || got.String() != test.want {
				t.Errorf("%s, cut at %d: %q, %v", test.name, n, got.String(), err)
			}
		}
	}
}

// What may be taken for the end of a message by one side and not by the other
// is refused.
func TestReadDotsRefuses(t *testing.T) {
	for _, wire := range []string{
		"a\n.\r\n", "a\n.\n", "\n", "a\r\n\n", "a\r\n.\n", ".\n", ".a\n",
		"a\rb\r\n", "a\r\r\n", "\ra\r\n", "a\r\n.\rb\r\n", "a\r\n.\r\r\n", "..\r.\r\n", "a\r.\r\n",
	} {
		for _, d := range deliveries {
			r := NewReader(d.wrap(strings.NewReader(wire + "\r\n.\r\n")))
			if err := r.ReadDots(io.Discard); !isSyntax(err) {
				t.Errorf("%q, %s: %v", wire, d.name, err)
			}
		}
		if err := NewReader(&once{t, wire}).ReadDots(io.Discard); !isSyntax(err) {
			t.Errorf("%q, not at once: %v", wire, err)
		}
		for n, src := range cuts(wire + "\r\n.\r\n") {
			if err := NewReader(src).ReadDots(io.Discard); !isSyntax(err) {
				t.Errorf("%q, cut at %d: %v", wire, n, err)
			}
		}
	}
}

func TestReadDotsCut(t *testing.T) {
	const wire = "a\r\n..b\r\n\r\n.\r\n"
	reset := errors.New("connection reset")
	for n := range len(wire) {
		for _, d := range deliveries {
			if err := NewReader(d.wrap(strings.NewReader(wire[:n]))).ReadDots(io.Discard); err != io.ErrUnexpectedEOF {
				t.Errorf("%q, %s: %v", wire[:n], d.name, err)
			}
			src := io.MultiReader(strings.NewReader(wire[:n]), iotest.ErrReader(reset))
			if err := NewReader(d.wrap(src)).ReadDots(io.Discard); err != reset {
				t.Errorf("%q, %s, then reset: %v", wire[:n], d.name, err)
			}
		}
	}
}

// A sink that fails must not leave the rest of the message to be read as commands.
func TestReadDotsSinkFails(t *testing.T) {
	sink := &failing{after: 1, err: errors.New("disk full")}
	r := NewReader(strings.NewReader("a\r\nb\r\nQUIT\r\n.\r\nNOOP\r\n"))
	if err := r.ReadDots(sink); err != sink.err {
		t.Error(err)
	}
	if sink.calls != 2 {
		t.Errorf("%d writes", sink.calls)
	}
	if line, err := r.ReadLine(100); err != nil || string(line) != "NOOP" {
		t.Errorf("then %q, %v", line, err)
	}
}
