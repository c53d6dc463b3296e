package smtpwire

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// What a reply began with is known when its end does not come.
func TestBegun(t *testing.T) {
	for _, tc := range []struct {
		text, start string
		lines       int
	}{
		{"", "", 0},
		{"2", "2", 0},
		{"250 hal", "250 hal", 0},
		{"250-one\r\n", "250-one", 1},
		{"250-one\r\n250-two\r\n25", "250-one", 2},
		{"250-\r\n", "250-", 1},
		{"250-one\r\nSIZE\r\n", "250-one", 1},
		{"250-one\r\n550 two\r\n", "250-one", 1},
		{strings.Repeat("250-more\r\n", MaxReplyLines+1), "250-more", MaxReplyLines - 1},
		{"220-before\r\n220 ok\r\n250-one\r\n", "250-one", 1},
	} {
		for name, src := range map[string]io.Reader{"whole": strings.NewReader(tc.text), "bytes": iotest.OneByteReader(strings.NewReader(tc.text))} {
			r := NewReader(src)
			_, err := r.ReadReply()
			if err == nil {
				_, err = r.ReadReply()
			}
			if start, lines := r.Begun(); err == nil || start != tc.start || lines != tc.lines {
				t.Errorf("%.40q, %s: begun with %q, %d lines, %v; want %q, %d", tc.text, name, start, lines, err, tc.start, tc.lines)
			}
		}
	}
}

// A line that can be no reply is refused at its first octets. What comes of it
// afterwards completes the error.
func TestComplete(t *testing.T) {
	for _, tc := range []struct {
		text, first, then string
		torn              bool // there is no end of the line
	}{
		{"HTTP/1.1 400\r\nx", "H", "HTTP/1.1 400", false},
		{"HTTP", "H", "HTTP", true},
		{"250+more\r\n", "250+", "250+more", false},
		{"H" + strings.Repeat("x", 300), "H", "H" + strings.Repeat("x", maxExcerpt-1), false},
		{"\x15\x03\x01\x00", "\x15", "\x15\x03\x01\x00", true},
	} {
		r := NewReader(iotest.OneByteReader(strings.NewReader(tc.text)))
		_, err := r.ReadReply()
		var e *SyntaxError
		if !errors.As(err, &e) || e.Text != tc.first {
			t.Errorf("%.40q: %v", tc.text, err)
			continue
		}
		torn := r.Complete(e)
		for torn && r.Fill() == nil {
			torn = r.Complete(e)
		}
		if e.Text != tc.then || torn != tc.torn || e.Reason != "not an SMTP reply" {
			t.Errorf("%.40q: %q, torn %v; want %q, %v", tc.text, e.Text, torn, tc.then, tc.torn)
		}
	}
	// One that came whole has nothing to complete it.
	for _, text := range []string{"HTTP/1.1 400\n", "250 bare\rCR\r\n", "250-a\r\n550 b\r\nmore\r\n"} {
		r := NewReader(strings.NewReader(text))
		_, err := r.ReadReply()
		var e *SyntaxError
		if !errors.As(err, &e) {
			t.Errorf("%q: %v", text, err)
		} else if before := *e; r.Complete(e) || *e != before {
			t.Errorf("%q: %v, before %v", text, e, before)
		}
	}
}
