package smtpwire

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

// record keeps each Write apart.
type record struct{ writes []string }

func (r *record) Write(p []byte) (int, error) {
	r.writes = append(r.writes, string(p))
	return len(p), nil
}

// failing takes some writes and fails from then on.
type failing struct {
	after int // writes that succeed
	calls int
	err   error
}

func (f *failing) Write(p []byte) (int, error) {
	f.calls++
	if f.calls > f.after {
		return 0, f.err
	}
	return len(p), nil
}

// short takes one octet less than it is given, and says nothing.
type short struct{ calls int }

func (s *short) Write(p []byte) (int, error) {
	s.calls++
	return len(p) - 1, nil
}

// lineWays are the ways by which a line becomes octets.
var lineWays = map[string]func(w *Writer, line string) error{
	"Line":       func(w *Writer, line string) error { return w.Line([]byte(line)) },
	"LineString": (*Writer).LineString,
	"AppendLine": func(w *Writer, line string) error {
		b, err := AppendLine(nil, line)
		w.Data(b)
		return err
	},
	"AppendLine of octets": func(w *Writer, line string) error {
		b, err := AppendLine([]byte(nil), []byte(line))
		w.Data(b)
		return err
	},
}

func TestLineOctets(t *testing.T) {
	for name, write := range lineWays {
		for c := range 256 {
			for at := range 3 {
				line := []byte("ab")
				line = slices.Insert(line, at, byte(c))
				var out record
				w := NewWriter(&out)
				w.LineString("RSET")
				err := write(w, string(line))
				if c >= 0x20 && c != 0x7f {
					w.Flush()
					if want := "RSET\r\n" + string(line) + "\r\n"; err != nil || !slices.Equal(out.writes, []string{want}) {
						t.Errorf("%s(%q): %v, %q", name, line, err, out.writes)
					}
					continue
				}
				var octet *OctetError
				if !errors.As(err, &octet) || octet.Octet != byte(c) || octet.Offset != at {
					t.Errorf("%s(%q): %v", name, line, err)
				}
				if w.Buffered() != len("RSET\r\n") {
					t.Errorf("%s(%q): %d octets buffered", name, line, w.Buffered())
				}
			}
		}
	}
}

func TestAppendLineKeepsBefore(t *testing.T) {
	b := []byte("NOOP\r\n")
	for _, line := range []string{"a\r\nb", "\n", "a\x7f"} {
		if got, err := AppendLine(b, line); err == nil || string(got) != "NOOP\r\n" {
			t.Errorf("%q: %q, %v", line, got, err)
		}
	}
	if got, err := AppendLine(b, ""); err != nil || string(got) != "NOOP\r\n\r\n" {
		t.Errorf("empty line: %q, %v", got, err)
	}
}

func TestOctetErrorHidesLine(t *testing.T) {
	_, err := AppendLine(nil, "secret\r\n")
	if err == nil || strings.Contains(err.Error(), "secret") || strings.ContainsAny(err.Error(), "\r\n") {
		t.Error(err)
	}
}

func TestFlushIsOneWrite(t *testing.T) {
	var out record
	w := NewWriter(&out)
	flush := func(want ...string) {
		t.Helper()
		if err := w.Flush(); err != nil || !slices.Equal(out.writes, want) || w.Buffered() != 0 {
			t.Fatalf("%q, %d buffered, %v; want %q", out.writes, w.Buffered(), err, want)
		}
		out.writes = nil
	}
	flush()
	w.LineString("MAIL")
	w.Line([]byte("RCPT"))
	w.Data([]byte("octets\r\x00"))
	if len(out.writes) != 0 || w.Buffered() != len("MAIL\r\nRCPT\r\noctets\r\x00") {
		t.Errorf("before the flush: %q, %d buffered", out.writes, w.Buffered())
	}
	flush("MAIL\r\nRCPT\r\noctets\r\x00")
	flush()
	large := strings.Repeat("x", 10*keepBuffer)
	w.Data([]byte(large))
	w.LineString("RSET")
	flush(large + "RSET\r\n")
	if cap(w.buf) > keepBuffer {
		t.Errorf("keeps %d octets", cap(w.buf))
	}
	w.LineString("QUIT")
	flush("QUIT\r\n")
	if err := w.WriteThrough([]byte("through")); err != nil {
		t.Error(err)
	}
	flush("through")
}

func TestWriteErrorSticks(t *testing.T) {
	for _, after := range []int{0, 1} {
		broken := errors.New("broken pipe")
		dst := &failing{after: after, err: broken}
		w := NewWriter(dst)
		for n := range after + 1 {
			w.LineString("NOOP")
			if err := w.Flush(); (err == nil) != (n < after) {
				t.Errorf("flush %d of %d: %v", n, after, err)
			}
		}
		calls := dst.calls
		dst.after = 100 // it would work again
		w.LineString("NOOP")
		if err := w.Flush(); err != broken {
			t.Error("Flush:", err)
		}
		if err := w.WriteThrough([]byte("x")); err != broken {
			t.Error("WriteThrough:", err)
		}
		if err := w.Flush(); err != broken {
			t.Error("empty Flush:", err)
		}
		if dst.calls != calls {
			t.Errorf("%d writes after the error", dst.calls-calls)
		}
	}
	dst := &failing{err: errors.New("broken pipe")}
	w := NewWriter(dst)
	if err := w.WriteThrough([]byte("x")); err != dst.err {
		t.Error("WriteThrough:", err)
	}
	w.LineString("NOOP")
	if err := w.Flush(); err != dst.err || dst.calls != 1 {
		t.Errorf("then: %v, %d writes", err, dst.calls)
	}
}

func TestShortWrite(t *testing.T) {
	dst := &short{}
	w := NewWriter(dst)
	w.LineString("NOOP")
	for range 2 {
		if err := w.Flush(); err != io.ErrShortWrite || dst.calls != 1 {
			t.Errorf("%v, %d writes", err, dst.calls)
		}
	}
}

func TestFlushAllocs(t *testing.T) {
	w := NewWriter(io.Discard)
	n := testing.AllocsPerRun(1000, func() {
		w.LineString("MAIL FROM:<a@b.example>")
		w.LineString("RCPT TO:<c@d.example>")
		w.Flush()
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestAppendBDAT(t *testing.T) {
	for _, test := range []struct {
		n    int
		last bool
		want string
	}{
		{0, true, "BDAT 0 LAST\r\n"},
		{1, false, "BDAT 1\r\n"},
		{86, true, "BDAT 86 LAST\r\n"},
		{1 << 20, false, "BDAT 1048576\r\n"},
	} {
		if got := AppendBDAT([]byte("before "), test.n, test.last); !bytes.Equal(got, []byte("before "+test.want)) {
			t.Errorf("%d, %v: %q", test.n, test.last, got)
		}
	}
}
