package transfer

import (
	"bytes"
	"strings"
	"testing"
)

// A spool holds the canonical form back, and is full with more than 64 KiB.
func TestSpool(t *testing.T) {
	for _, tc := range []struct {
		in     []string
		binary bool
		held   string
		known  int64
	}{
		{nil, false, "", 0},
		{[]string{"a\nb\n"}, false, "a\r\nb\r\n", 6},
		{[]string{"a\r", "\nb\r"}, false, "a\r\nb\r\n", 6},
		{[]string{"a\n.b"}, false, "a\r\n.b", 7}, // the CRLF that the last line lacks
		{[]string{".", "."}, false, "..", 4},
		{[]string{"a\nb\r"}, true, "a\nb\r", 4},
		{[]string{"a\n.b"}, true, "a\n.b", 4},
	} {
		s := NewSpool(NewBuffers(), tc.binary)
		for _, in := range tc.in {
			if n := s.Add([]byte(in)); n != len(in) {
				t.Errorf("%q: %d octets taken", in, n)
			}
		}
		if got := string(s.buf.hold.b); got != tc.held {
			t.Errorf("%q is held back as %q, want %q", tc.in, got, tc.held)
		}
		if !tc.binary && s.Known() != tc.known || tc.binary && s.octets() != tc.known {
			t.Errorf("%q: %d octets known, want %d", tc.in, s.Known(), tc.known)
		}
		if s.Full() || s.Whole() {
			t.Errorf("%q: full %v, whole %v", tc.in, s.Full(), s.Whole())
		}
		s.SetWhole(true)
		if !s.Whole() {
			t.Error("not whole")
		}
		want := tc.held
		if !tc.binary && want != "" && !strings.HasSuffix(want, "\r\n") {
			want += "\r\n"
		}
		for range 3 {
			if got := string(s.end()); got != want {
				t.Errorf("%q ends as %q, want %q", tc.in, got, want)
			}
		}
		if !tc.binary && s.Known() != int64(len(want)) {
			t.Errorf("%q: %d octets known in the end, want %d", tc.in, s.Known(), len(want))
		}
	}
}

func TestSpoolFull(t *testing.T) {
	for _, size := range []int{HoldBack - 1, HoldBack, HoldBack + 1, 3 * HoldBack} {
		s := NewSpool(NewBuffers(), false)
		n := s.Add([]byte(strings.Repeat("x", size)))
		if full := size > HoldBack; s.Full() != full || !full && n != size || n > size {
			t.Errorf("%d octets: full %v, %d taken", size, s.Full(), n)
		}
		if s.Full() && (s.Add([]byte("y")) != 0 || len(s.buf.hold.b) != n) {
			t.Error("a full spool takes more")
		}
		if got := len(s.buf.hold.b); got > HoldBack+feedBlock {
			t.Errorf("%d octets are held back", got)
		}
	}
}

func TestSpoolHas8Bit(t *testing.T) {
	s := NewSpool(NewBuffers(), false)
	if s.Add([]byte("plain\n")); s.Has8Bit() {
		t.Error("8-bit")
	}
	if s.Add([]byte("caf\xc3\xa9")); !s.Has8Bit() {
		t.Error("not 8-bit")
	}
}

// Nothing of a message is left in its memory, which keeps no more than a small message
// needs.
func TestBuffersReset(t *testing.T) {
	for _, size := range []int{0, 1, smallBuffer, smallBuffer + 1, largeBuffer, largeBuffer + 1, keepAtMost, keepAtMost + 1} {
		b := NewBuffers()
		for _, f := range []*buffer{&b.hold, &b.out} {
			f.reserve(size)
			f.b = append(f.b, make([]byte, size)...)
		}
		b.rcpts = resized(b.rcpts, 3)
		b.rcpts[1] = reply("250 ok")
		b.Reset()
		for _, f := range []*buffer{&b.hold, &b.out} {
			if len(f.b) != 0 || cap(f.b) > smallBuffer*5/4 || f.home != nil {
				t.Errorf("%d octets: %d are left, in room for %d", size, len(f.b), cap(f.b))
			}
		}
		for _, r := range resized(b.rcpts, 3) {
			if r.Code != 0 {
				t.Errorf("a reply is left: %v", r)
			}
		}
	}
}

// A buffer keeps what is in it while it grows, and grows by steps.
func TestBufferGrows(t *testing.T) {
	var f buffer
	var want []byte
	moves := 0
	for i := range 3 << 20 / 1000 {
		before := cap(f.b)
		f.reserve(1000)
		if cap(f.b)-len(f.b) < 1000 {
			t.Fatalf("no room after %d octets", len(f.b))
		}
		if cap(f.b) != before {
			moves++
		}
		piece := bytes.Repeat([]byte{byte(i)}, 1000)
		f.b, want = append(f.b, piece...), append(want, piece...)
	}
	if !bytes.Equal(f.b, want) || moves > 24 {
		t.Errorf("%d octets as they should be: %v; moved %d times", len(f.b), bytes.Equal(f.b, want), moves)
	}
	f.release()
}

func TestResized(t *testing.T) {
	list := resized(nil, 2)
	list[0], list[1] = reply("250 a"), reply("250 b")
	for n := range 5 {
		if got := resized(list, n); len(got) != n {
			t.Errorf("%d, want %d", len(got), n)
		} else {
			for _, r := range got {
				if r.Code != 0 {
					t.Errorf("a reply is left: %v", r)
				}
			}
		}
	}
}
