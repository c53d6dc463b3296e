//go:build linux

package interop

import (
	"bytes"
	"crypto/rand"
	"io"
	"strings"
	"testing"
)

// message is a message under test. Its first line is a header that no other
// message has; everything from there on must arrive as it was sent.
type message struct {
	marker string
	source []byte // as it is given to the client, with whatever line endings
}

const markerField = "X-Interop-Marker: "

// headers make the message complete, so that no server needs to add one.
const headers = "From: Alice <alice@test.example>\r\nTo: undisclosed-recipients:;\r\n" +
	"Date: Thu, 01 Jan 2026 12:00:00 +0000\r\nMessage-ID: <interop@test.example>\r\nSubject: interop\r\n"

// newMessage makes a message of usual headers and the body.
func newMessage(body string) message { return newSource(headers + "\r\n" + body) }

// newSource makes a message of anything that may follow the marker.
func newSource(rest string) message {
	m := message{marker: rand.Text()}
	m.source = append(m.line(), rest...)
	return m
}

func (m message) line() []byte { return []byte(markerField + m.marker + "\r\n") }

// reader hides everything but Read, as a message that is made on the fly would.
func (m message) reader() io.Reader { return struct{ io.Reader }{bytes.NewReader(m.source)} }

// canonical is the form that the message must have on arrival, computed as
// simply as can be: every CRLF, LF and CR ends a line, the last line is ended.
func (m message) canonical() []byte {
	s := string(m.source)
	s = strings.ReplaceAll(s, "\r\n", "\n")
	s = strings.ReplaceAll(s, "\r", "\n")
	if s != "" && !strings.HasSuffix(s, "\n") {
		s += "\n"
	}
	return []byte(strings.ReplaceAll(s, "\n", "\r\n"))
}

func TestCanonical(t *testing.T) {
	for _, c := range []struct{ source, want string }{
		{"", ""},
		{"a", "a\r\n"},
		{"a\r\n", "a\r\n"},
		{"a\nb", "a\r\nb\r\n"},
		{"a\rb\r", "a\r\nb\r\n"},
		{"\r\r\n\n\n\r", "\r\n\r\n\r\n\r\n\r\n"},
	} {
		if got := (message{source: []byte(c.source)}).canonical(); string(got) != c.want {
			t.Errorf("%q: got %q, want %q", c.source, got, c.want)
		}
	}
}
