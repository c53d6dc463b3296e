package smtpwire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
)

// replyLine is the grammar of a line of a reply (RFC 5321, 4.2) as it is
// received: any text, which may be missing.
var replyLine = regexp.MustCompile(`^([2-5][0-5][0-9])(?:([ -])([^\r\n]*))?\r\n`)

// plainReply reads a reply from the start of s in the plainest way. rest is
// what follows it; ok is false when s does not begin with a whole reply.
func plainReply(s string) (code, text, rest string, ok bool) {
	var texts []string
	for len(texts) < MaxReplyLines {
		m := replyLine.FindStringSubmatch(s)
		if m == nil || len(m[0]) > MaxReplyLine || len(texts) > 0 && m[1] != code {
			return "", "", "", false
		}
		code, s = m[1], s[len(m[0]):]
		texts = append(texts, m[3])
		if m[2] != "-" {
			text = strings.Join(texts, "\n")
			return code, text, s, len(text) <= MaxReplySize
		}
	}
	return "", "", "", false
}

func FuzzReply(f *testing.F) {
	for _, test := range goodReplies {
		if len(test.wire) < MaxReplyLine {
			f.Add([]byte(test.wire + "250 next\r\n"))
		}
	}
	for _, test := range badReplies {
		if len(test.wire) < MaxReplyLine {
			f.Add([]byte("220-first\r\n220 reply\r\n" + test.wire))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		src := bytes.NewReader(data)
		whole := NewReader(src)
		slow := NewReader(iotest.OneByteReader(bytes.NewReader(data)))
		rest := string(data)
		for {
			got, err := whole.ReadReply()
			again, slowErr := slow.ReadReply()
			if errorKind(err) != errorKind(slowErr) || got.Code != again.Code || !bytes.Equal(got.Text, again.Text) {
				t.Fatalf("%d %q, %v; byte by byte %d %q, %v", got.Code, got.Text, err, again.Code, again.Text, slowErr)
			}
			code, text, after, ok := plainReply(rest)
			if ok != (err == nil) {
				t.Fatalf("%q: %v", rest, err)
			}
			if err != nil {
				if (err == io.EOF) != (rest == "") {
					t.Fatalf("%q: %v", rest, err)
				}
				return
			}
			if fmt.Sprint(got.Code) != code || string(got.Text) != text {
				t.Fatalf("%q: %d %q", rest, got.Code, got.Text)
			}
			rest = after
			if left := whole.Buffered() + src.Len(); left != len(rest) {
				t.Fatalf("%d octets left, want %d", left, len(rest))
			}
			if slow.Buffered() != 0 {
				t.Fatalf("byte by byte: %d octets buffered", slow.Buffered())
			}
			if len(whole.buf) > MaxReplyLine {
				t.Fatalf("a buffer of %d octets", len(whole.buf))
			}
		}
	})
}

// errorKind parts the errors that a Reader may return, and no others.
func errorKind(err error) string {
	var syntax *SyntaxError
	switch {
	case err == nil:
		return "none"
	case err == io.EOF:
		return "end"
	case err == io.ErrUnexpectedEOF:
		return "cut"
	case errors.As(err, &syntax) && len(syntax.Text) <= 2*MaxReplyLine:
		return "syntax"
	}
	return "unexpected " + err.Error()
}

func FuzzDots(f *testing.F) {
	for i, v := range vectors {
		f.Add([]byte(v.message), uint16(0), uint16(i), uint16(2*i))
		f.Add([]byte(v.message), uint16(scanBlock-i), uint16(scanBlock), uint16(scanBlock+i))
	}
	filler := strings.Repeat("one line, \r\n", scanBlock)
	// pad puts the message near the edge of a block; a and b are where it is cut.
	f.Fuzz(func(t *testing.T, data []byte, pad, a, b uint16) {
		message := filler[:int(pad)%(scanBlock+16)] + string(data)
		i := int(a) % (len(message) + 1)
		j := i + int(b)%(len(message)-i+1)
		want, dots := stuffed(message)
		wire := encode(true, message)
		if wire != want {
			t.Fatalf("%q: %q, want %q", message, wire, want)
		}
		if got := encode(true, message[:i], message[i:j], message[j:]); got != want {
			t.Fatalf("%q cut at %d and %d: %q, want %q", message, i, j, got, want)
		}
		if got := encode(false, message[:i], message[i:j], message[j:]); got != canonical(message) {
			t.Fatalf("%q cut at %d and %d, without dots: %q", message, i, j, got)
		}
		checkRestuff(t, message, i)
		e := Encoder{Stuff: true}
		if e.Append(nil, []byte(message)); e.Dots != dots {
			t.Fatalf("%q: %d dots, want %d", message, e.Dots, dots)
		}
		checkWire(t, wire)
		r := NewReader(strings.NewReader(wire + "NOOP\r\n"))
		var back bytes.Buffer
		if err := r.ReadDots(&back); err != nil || back.String() != canonical(message) {
			t.Fatalf("%q comes back as %q, %v", message, back.String(), err)
		}
		if line, err := r.ReadLine(100); err != nil || string(line) != "NOOP" {
			t.Fatalf("%q: then %q, %v", message, line, err)
		}
		checkReadDots(t, string(data), min(i, len(data)))
	})
}

// checkWire demands what keeps a message from being smuggled in: no bare CR, no
// bare LF, no dot line but the last.
func checkWire(t *testing.T, wire string) {
	t.Helper()
	body, ok := strings.CutSuffix(wire, ".\r\n")
	if !ok || body != "" && !strings.HasSuffix(body, "\r\n") {
		t.Fatalf("%q does not end in a dot line", wire)
	}
	for line := range strings.SplitAfterSeq(body, "\r\n") {
		text, _ := strings.CutSuffix(line, "\r\n")
		if strings.ContainsAny(text, "\r\n") || text == "." {
			t.Fatalf("line %q in %q", line, wire)
		}
	}
}

// checkReadDots reads octets that no Encoder made: whole, byte by byte, and in
// two pieces.
func checkReadDots(t *testing.T, wire string, cut int) {
	t.Helper()
	var whole bytes.Buffer
	err := NewReader(strings.NewReader(wire)).ReadDots(&whole)
	for name, src := range map[string]io.Reader{
		"byte by byte": iotest.OneByteReader(strings.NewReader(wire)),
		"in pieces":    io.MultiReader(strings.NewReader(wire[:cut]), strings.NewReader(wire[cut:])),
	} {
		var got bytes.Buffer
		gotErr := NewReader(src).ReadDots(&got)
		if errorKind(err) != errorKind(gotErr) || err == nil && whole.String() != got.String() {
			t.Fatalf("%q: %q, %v; %s %q, %v", wire, whole.String(), err, name, got.String(), gotErr)
		}
	}
	if text := whole.String(); err == nil && canonical(text) != text {
		t.Fatalf("%q is read as %q", wire, text)
	}
}

func FuzzLine(f *testing.F) {
	for _, line := range []string{"", "NOOP", "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>", "a\nb", "a\rb", "\x00", "\x7f", "\x1f", "\x80\xff", "\u2028\u0085", "a\r"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		const before = "RSET\r\n"
		bad := strings.IndexFunc(line, func(c rune) bool { return c < 0x20 || c == 0x7f })
		for name, write := range lineWays {
			var out record
			w := NewWriter(&out)
			w.Data([]byte(before))
			err := write(w, line)
			w.Flush()
			wire := strings.Join(out.writes, "|")
			var octet *OctetError
			if bad >= 0 {
				if !errors.As(err, &octet) || octet.Offset != bad || octet.Octet != line[bad] || wire != before {
					t.Fatalf("%s(%q): %v, %q", name, line, err, wire)
				}
				continue
			}
			if err != nil || wire != before+line+"\r\n" {
				t.Fatalf("%s(%q): %v, %q", name, line, err, wire)
			}
			r := NewReader(strings.NewReader(wire))
			r.ReadLine(100)
			if got, err := r.ReadLine(len(wire)); err != nil || string(got) != line || r.Buffered() != 0 {
				t.Fatalf("%s(%q): read back as %q, %v, %d octets left", name, line, got, err, r.Buffered())
			}
		}
	})
}
