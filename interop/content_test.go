//go:build linux

package interop

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/fe022423/submission"
)

// TestContent sends what is hard to carry and compares every octet.
func TestContent(t *testing.T) {
	var octets []byte // every octet but NUL, CR and LF, which SMTP cannot carry
	for i := 1; i < 256; i++ {
		if i != '\r' && i != '\n' {
			octets = append(octets, byte(i))
		}
	}
	unix := strings.ReplaceAll(headers, "\r\n", "\n")
	mac := strings.ReplaceAll(headers, "\r\n", "\r")
	cases := []struct {
		name string
		m    message
	}{
		{"plain", newMessage("hello\r\n")},
		{"leading dots", newMessage(".\r\n..\r\n...\r\n.a\r\n..b\r\na.\r\n.")},
		{"only a dot", newMessage(".\r\n")},
		{"dot and command", newMessage(".\r\nMAIL FROM:<mallory@test.example>\r\nQUIT\r\n")},
		{"dots after bare ends", newMessage("a\n.\nb\r.\rc\n.\r\nd\r\n.\ne")},
		{"line of 998", newMessage(strings.Repeat("a", 998) + "\r\n")},
		{"line of 10000", newMessage(strings.Repeat("b", 10_000) + "\r\n")},
		{"line of 10000 dots", newMessage(strings.Repeat(".", 10_000) + "\r\n")},
		{"line of 300000", newMessage(strings.Repeat("c", 300_000) + "\r\n")},
		{"header of 10000", newSource("X-Long: " + strings.Repeat("d", 10_000) + "\r\n" + headers + "\r\nbody\r\n")},
		{"dots at the queue's line limit", newMessage(strings.Repeat("e", 2048) + "." + strings.Repeat("f", 2047) + ".\r\n")},
		{"bare LF", newSource(unix + "\nline\n\n.\nline\n")},
		{"bare CR", newSource(mac + "\rline\r\r.\rline\r")},
		{"mixed ends", newMessage("a\nb\rc\r\nd\n\re\r\r\nf\n\n\r\rg\r\n")},
		{"CR at the very end", newMessage("line\r")},
		{"no final newline", newMessage("no end")},
		{"no final newline after a dot", newMessage("x\r\n.")},
		{"empty body", newMessage("")},
		{"header only", newSource(headers)},
		{"blank lines at the end", newMessage("x\r\n\r\n\r\n\r\n")},
		{"blank lines only", newMessage("\r\n\r\n")},
		{"white space", newMessage(" \r\n\t\r\n x \r\nx\t\r\n")},
		{"From at the line start", newMessage("From me\r\n>From you\r\n")},
		{"8-bit octets", newMessage("grüße\r\n" + string(octets) + "\r\n")},
		{"UTF-8 header", newSource("X-Name: Jürgen\r\n" + headers + "\r\nx\r\n")},
		{"over the held-back buffer", newMessage(strings.Repeat("0123456789 .\r\n.", 20_000))},
		{"over it with bare ends", newMessage(strings.Repeat("line\n.\r.\r\n", 20_000))},
	}
	eachServer(t, func(t *testing.T, s server) {
		for _, tr := range transfers {
			t.Run(tr.name, func(t *testing.T) {
				client := s.client(t, tr.options)
				for _, c := range cases {
					t.Run(c.name, func(t *testing.T) {
						res, err := client.Send(limited(t), submission.Envelope{To: submission.To("bob@test.example")}, c.m.reader())
						accepted(t, c.m, res, err)
						s.expect(t, c.m, "bob@test.example")
					})
				}
			})
		}
	})
}

// TestContentInPieces writes octet by octet, and in BDAT chunks that end
// anywhere.
func TestContentInPieces(t *testing.T) {
	m := newMessage(strings.Repeat(".a\n.\r\n..\r\rb\n", 200) + "\r\n.")
	eachServer(t, func(t *testing.T, s server) {
		for _, tr := range transfers {
			t.Run(tr.name, func(t *testing.T) {
				client := s.client(t, tr.options, func(o *submission.Options) { o.ChunkSize = 7 })
				res, err := client.SendFunc(limited(t), submission.Envelope{To: submission.To("bob@test.example")}, func(w io.Writer) error {
					for i := range m.source {
						if _, err := w.Write(m.source[i : i+1]); err != nil {
							return err
						}
					}
					return nil
				})
				accepted(t, m, res, err)
				s.expect(t, m, "bob@test.example")
			})
		}
	})
}

// TestEmptyMessage sends no octet at all. It has no marker, so it is found by
// its recipient.
func TestEmptyMessage(t *testing.T) {
	eachServer(t, func(t *testing.T, s server) {
		for i, tr := range transfers {
			t.Run(tr.name, func(t *testing.T) {
				to := "empty-" + strings.ToLower(s.name) + "-" + string(rune('a'+i)) + "@test.example"
				_, err := s.client(t, tr.options).Send(limited(t), submission.Envelope{To: submission.To(to)}, bytes.NewReader(nil))
				if err != nil {
					t.Fatal(err)
				}
				copies := 0
				s.sift(t, func(raw []byte) bool {
					if !bytes.Contains(raw, []byte("\r\nDelivered-To: "+to+"\r\n")) {
						return false
					}
					copies++
					// Trace headers with their continuations, and nothing else.
					for line := range strings.SplitSeq(strings.TrimSuffix(string(raw), "\r\n"), "\r\n") {
						name, _, _ := strings.Cut(line, ": ")
						switch {
						case name == "Return-Path", name == "X-Original-To", name == "Delivered-To", name == "Received":
						case strings.HasPrefix(line, "\t"):
						default:
							t.Errorf("delivered with the line %q", line)
						}
					}
					return true
				})
				if copies != 1 {
					t.Errorf("delivered %d times", copies)
				}
			})
		}
	})
}

// TestEightBitNotOffered sends 8-bit octets to a server that is said not to
// take them.
func TestEightBitNotOffered(t *testing.T) {
	eachServer(t, func(t *testing.T, s server) {
		for _, tr := range transfers {
			t.Run(tr.name, func(t *testing.T) {
				client := s.client(t, tr.options, disable("8BITMIME", "SMTPUTF8"))
				m := newMessage("grüße\r\n")
				_, err := client.Send(limited(t), submission.Envelope{To: submission.To("bob@test.example")}, m.reader())
				unsupported(t, s, m, err)

				// The octet that shows it comes after the envelope went out.
				late := newMessage(strings.Repeat("7 bit\r\n", 50_000) + "grüße\r\n")
				_, err = client.Send(limited(t), submission.Envelope{To: submission.To("bob@test.example")}, late.reader())
				unsupported(t, s, late, err)
			})
		}
	})
}

// TestFailingSource breaks off in the middle: what was sent so far must not be
// delivered.
func TestFailingSource(t *testing.T) {
	torn := errors.New("torn")
	eachServer(t, func(t *testing.T, s server) {
		for _, tr := range transfers {
			t.Run(tr.name, func(t *testing.T) {
				client := s.client(t, tr.options)
				for _, size := range []int{0, 1000, 3_000_000} {
					m := newMessage(strings.Repeat("0123456789abcd\r\n", size/16))
					source := io.MultiReader(m.reader(), failing{torn})
					_, err := client.Send(limited(t), submission.Envelope{To: submission.To("bob@test.example")}, source)
					sendError(t, err, submission.NotSent)
					if !errors.Is(err, torn) {
						t.Errorf("got %v, want the source's own error", err)
					}
					s.expect(t, m)
				}
			})
		}
	})
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
