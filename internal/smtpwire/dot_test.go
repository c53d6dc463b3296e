package smtpwire

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"
)

// canonical is the plain definition of what the Encoder must make: CRLF, LF and
// CR each end a line, and the last line has an end too.
func canonical(message string) string {
	message = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(message)
	if message != "" && !strings.HasSuffix(message, "\n") {
		message += "\n"
	}
	return strings.ReplaceAll(message, "\n", "\r\n")
}

// stuffed is the plain definition of the DATA form (RFC 5321, 4.5.2), and how
// many dots it adds.
func stuffed(message string) (wire string, dots int64) {
	var b strings.Builder
	for line := range strings.SplitAfterSeq(canonical(message), "\r\n") {
		if strings.HasPrefix(line, ".") {
			b.WriteByte('.')
			dots++
		}
		b.WriteString(line)
	}
	return b.String() + ".\r\n", dots
}

// encode encodes the parts of a message, each with its own Append.
func encode(stuff bool, parts ...string) string {
	e := Encoder{Stuff: stuff}
	var wire []byte
	for _, part := range parts {
		wire = append(wire, e.Append(nil, []byte(part))...)
	}
	return string(e.AppendEnd(wire))
}

// vectors are messages and their DATA form, written out by hand.
var vectors = []struct{ message, wire string }{
	{"", ".\r\n"},
	{"abc\n.def\n..ghi\n.jkl\n.", "abc\r\n..def\r\n...ghi\r\n..jkl\r\n..\r\n.\r\n"},
	{"Subject: t\n\n.a\n..b\rc\r.d\r\n.\r\n\re\n\n.last", "Subject: t\r\n\r\n..a\r\n...b\r\nc\r\n..d\r\n..\r\n\r\ne\r\n\r\n..last\r\n.\r\n"},
	{"a", "a\r\n.\r\n"},
	{"a\r\n", "a\r\n.\r\n"},
	{"a\n", "a\r\n.\r\n"},
	{"a\r", "a\r\n.\r\n"},
	{"a\r\n\r\n", "a\r\n\r\n.\r\n"},
	{"\r", "\r\n.\r\n"},
	{"\n", "\r\n.\r\n"},
	{"\r\n", "\r\n.\r\n"},
	{"\n\r", "\r\n\r\n.\r\n"},
	{"\n\n", "\r\n\r\n.\r\n"},
	{"\r\r", "\r\n\r\n.\r\n"},
	{"\r\r\n", "\r\n\r\n.\r\n"},
	{"\r\n\n", "\r\n\r\n.\r\n"},
	{"\r\n\r", "\r\n\r\n.\r\n"},
	{"\r\r\n\n\r", "\r\n\r\n\r\n\r\n.\r\n"},
	{".", "..\r\n.\r\n"},
	{"..", "...\r\n.\r\n"},
	{".a", "..a\r\n.\r\n"},
	{"a.", "a.\r\n.\r\n"},
	{"a.b\r\nc.\r\n", "a.b\r\nc.\r\n.\r\n"},
	{".\r\n", "..\r\n.\r\n"},
	{"\r\n.\r\n", "\r\n..\r\n.\r\n"},
	{"\n.\n", "\r\n..\r\n.\r\n"},
	{"\r.\r", "\r\n..\r\n.\r\n"},
	{"\n.\r\n.\r.\n", "\r\n..\r\n..\r\n..\r\n.\r\n"},
	{"a\r\n.\rQUIT\n.\nQUIT\r.\r\nQUIT", "a\r\n..\r\nQUIT\r\n..\r\nQUIT\r\n..\r\nQUIT\r\n.\r\n"},
	{"\x00\x7f\xff\t\r\nx", "\x00\x7f\xff\t\r\nx\r\n.\r\n"},
}

func TestVectors(t *testing.T) {
	for _, v := range vectors {
		if got := encode(true, v.message); got != v.wire {
			t.Errorf("%q: %q, want %q", v.message, got, v.wire)
		}
		if got, _ := stuffed(v.message); got != v.wire {
			t.Errorf("%q: the plain definition says %q", v.message, got)
		}
		if got := encode(false, v.message); got != canonical(v.message) {
			t.Errorf("%q without dots: %q", v.message, got)
		}
	}
}

func TestEverySplit(t *testing.T) {
	for _, v := range vectors {
		for i := range len(v.message) + 1 {
			for j := i; j <= len(v.message); j++ {
				parts := []string{v.message[:i], v.message[i:j], v.message[j:]}
				if got := encode(true, parts...); got != v.wire {
					t.Errorf("%q: %q, want %q", parts, got, v.wire)
				}
				if got := encode(false, parts...); got != canonical(v.message) {
					t.Errorf("%q without dots: %q", parts, got)
				}
			}
		}
		if got := encode(true, strings.Split(v.message, "")...); got != v.wire {
			t.Errorf("%q octet by octet: %q, want %q", v.message, got, v.wire)
		}
	}
}

// checkRestuff turns Stuff on after the first n octets of a message.
func checkRestuff(t *testing.T, message string, n int) {
	t.Helper()
	want, dots := stuffed(message)
	var e Encoder
	held := e.Append(nil, []byte(message[:n]))
	wire := e.Restuff([]byte("354>"), held)
	if !e.Stuff {
		t.Errorf("%.60q at %d: Stuff is off", message, n)
	}
	wire = e.Append(wire, []byte(message[n:]))
	if e.Dots != dots {
		t.Errorf("%.60q at %d: %d dots, want %d", message, n, e.Dots, dots)
	}
	if wire = e.AppendEnd(wire); string(wire) != "354>"+want {
		t.Errorf("%.60q at %d: %.60q, want %.60q", message, n, wire, want)
	}
}

func TestRestuff(t *testing.T) {
	for _, v := range vectors {
		for n := range len(v.message) + 1 {
			checkRestuff(t, v.message, n)
		}
	}
	long := strings.Repeat("x", scanBlock-4) + "a\r\n.\r\n..\n.\r\r\n"
	for n := scanBlock - 6; n <= len(long); n++ {
		checkRestuff(t, long, n)
	}
}

// TestBlockEdges puts what matters at every place around the edges of the
// blocks that are examined at a time.
func TestBlockEdges(t *testing.T) {
	edges := []string{
		"\r", "\n", "\r\n", "\n\r", "\r\r", "\n\n", "\r\r\n", "\r\n\n", ".", "..",
		"\r.", "\n.", "\r\n.", "\r\n..", "\r\n.\r\n", "\n.\n", "\r.\r", "\r\n.\r", "\r\r.\n", ".\r\n.\r\n.",
	}
	fillers := []string{strings.Repeat("x", 2*scanBlock), strings.Repeat("a line\r\n", scanBlock), strings.Repeat("a line\n", scanBlock)}
	tails := []string{"", "y", "y\r\n.z\r\n", strings.Repeat("y", scanBlock)}
	for _, edge := range edges {
		for _, filler := range fillers {
			for at := scanBlock - len(edge) - 1; at <= scanBlock+1; at++ {
				for _, tail := range tails {
					message := filler[:at] + edge + tail
					checkEncoding(t, message)
					if tail == "y" {
						checkEncoding(t, filler[:scanBlock]+filler[:at]+edge+tail)
						for cut := at - 1; cut <= len(message); cut++ {
							checkEncoding(t, message[:cut], message[cut:])
						}
					}
				}
			}
		}
	}
}

// checkEncoding compares what the Encoder makes of a message in parts with the
// plain definitions.
func checkEncoding(t *testing.T, parts ...string) {
	t.Helper()
	message := strings.Join(parts, "")
	if got := encode(false, parts...); got != canonical(message) {
		t.Errorf("%d octets ending in %q: wrong canonical form", len(message), message[max(0, len(message)-20):])
	}
	if want, _ := stuffed(message); encode(true, parts...) != want {
		t.Errorf("%d octets ending in %q: wrong DATA form", len(message), message[max(0, len(message)-20):])
	}
}

// Lines of equal length, and the first that is not.
func TestLineWidths(t *testing.T) {
	for width := range 5 {
		for other := range 7 {
			for _, end := range []string{"\r\n", "\n", "\r"} {
				for _, begin := range []string{"", ".", "\r", "\n"} {
					same := strings.Repeat(strings.Repeat("x", width)+end, 3)
					checkEncoding(t, same+begin+strings.Repeat("y", other)+end+same)
					checkEncoding(t, same+begin+strings.Repeat("y", other))
				}
			}
		}
	}
}

func TestAppendKeepsBefore(t *testing.T) {
	for _, v := range vectors {
		e := Encoder{Stuff: true}
		got := e.AppendEnd(e.Append([]byte("before"), []byte(v.message)))
		if string(got) != "before"+v.wire {
			t.Errorf("%q: %q", v.message, got)
		}
		src := []byte(v.message)
		e.Append(nil, src)
		if string(src) != v.message {
			t.Errorf("%q became %q", v.message, src)
		}
	}
}

func TestDots(t *testing.T) {
	for _, v := range vectors {
		_, want := stuffed(v.message)
		for n := range len(v.message) + 1 {
			e := Encoder{Stuff: true}
			e.Append(nil, []byte(v.message[:n]))
			e.Append(nil, []byte(v.message[n:]))
			if e.Dots != want {
				t.Errorf("%q: %d dots, want %d", v.message, e.Dots, want)
			}
		}
		var e Encoder
		e.Append(nil, []byte(v.message))
		if e.Dots != 0 {
			t.Errorf("%q without Stuff: %d dots", v.message, e.Dots)
		}
	}
	e := Encoder{Stuff: true}
	e.Append(nil, []byte(strings.Repeat(".\r\n.\n.\r", scanBlock)))
	if e.Dots != 3*scanBlock {
		t.Errorf("%d dots in many blocks, want %d", e.Dots, 3*scanBlock)
	}
}

func TestOpen(t *testing.T) {
	for _, stuff := range []bool{false, true} {
		for message, want := range map[string]bool{
			"": false, "a": true, ".": true, "a\r\n": false, "a\n": false, "a\r": false,
			"\r\nb": true, "\nb": true, "\rb": true, "\r\n.": true, "a\r\r": false, "a\n\r\n": false,
		} {
			for n := range len(message) + 1 {
				e := Encoder{Stuff: stuff}
				e.Append(nil, []byte(message[:n]))
				e.Append(nil, []byte(message[n:]))
				if e.Open() != want {
					t.Errorf("%q, Stuff %v: %v", message, stuff, e.Open())
				}
			}
		}
	}
}

// An Encoder serves one message after another.
func TestAppendEndStartsAnew(t *testing.T) {
	for _, first := range vectors {
		e := Encoder{Stuff: true}
		e.AppendEnd(e.Append(nil, []byte(first.message)))
		if e.Open() || e.Dots != 0 || !e.Stuff {
			t.Errorf("after %q: %+v", first.message, e)
		}
		for _, second := range []string{"", ".", "\n.", "\r\n"} {
			want, _ := stuffed(second)
			if got := e.AppendEnd(e.Append(nil, []byte(second))); string(got) != want {
				t.Errorf("%q after %q: %q", second, first.message, got)
			}
		}
	}
}

func TestEncodeAndReadDots(t *testing.T) {
	messages := []string{strings.Repeat("x", 3*readBuffer), strings.Repeat(".\r\n", readBuffer), strings.Repeat("a\n\r.", readBuffer)}
	for _, v := range vectors {
		messages = append(messages, v.message)
	}
	for _, message := range messages {
		for _, d := range deliveries {
			r := NewReader(d.wrap(strings.NewReader(encode(true, message) + "NOOP\r\n")))
			var got bytes.Buffer
			if err := r.ReadDots(&got); err != nil || got.String() != canonical(message) {
				t.Errorf("%.60q, %s: %.60q, %v", message, d.name, got.String(), err)
			}
			if line, err := r.ReadLine(100); err != nil || string(line) != "NOOP" {
				t.Errorf("%.60q, %s: then %q, %v", message, d.name, line, err)
			}
		}
	}
}

func TestAppendAllocs(t *testing.T) {
	message := []byte(strings.Repeat("text\r\n.dot\nbare\rCR", scanBlock/4))
	dst := make([]byte, 0, 3*len(message))
	n := testing.AllocsPerRun(10, func() {
		e := Encoder{Stuff: true}
		io.Discard.Write(e.AppendEnd(e.Append(dst, message)))
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
	e := Encoder{Stuff: true}
	if got := e.AppendEnd(e.Append(slices.Clip(dst[:0]), message)); len(got) > 3*len(message) {
		t.Errorf("%d octets became %d", len(message), len(got))
	}
}
