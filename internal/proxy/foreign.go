package proxy

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"unicode"

	"github.com/fe022423/submission/internal/redact"
)

// Wanted is what should have answered.
type Wanted string

// What a dialer of this package speaks with first.
const (
	WantedHTTP   Wanted = "it is not an HTTP proxy"
	WantedSOCKS5 Wanted = "it is not a SOCKS5 proxy"
	WantedTLS    Wanted = "it does not speak TLS"
)

// maxSaid is how much is kept of what was said in place of an answer, in octets.
const maxSaid = 200

// ForeignError says that what answers is not the proxy that it should be. To ask
// again is useless.
type ForeignError struct {
	Wanted Wanted
	Said   string // its first line, or what came of it, without the credentials
	Err    error  // why Said is no answer, if there is more to say
}

// Error quotes what was said.
func (e *ForeignError) Error() string {
	s := fmt.Sprintf("%s: it says %q", e.Wanted, e.Said)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns Err.
func (e *ForeignError) Unwrap() error { return e.Err }

// notHTTP returns what was said in place of an answer of HTTP, "" when it is one as
// far as it has come. It waits for no more than tells it apart.
func notHTTP(r *bufio.Reader) string {
	const start = "HTTP/"
	for n := 1; n <= len(start); n++ {
		came, err := r.Peek(n)
		if err != nil {
			return ""
		}
		if came[n-1] != start[n-1] {
			came, _ = r.Peek(r.Buffered())
			return string(came)
		}
	}
	return ""
}

// foreignTLS is the error of a handshake with a proxy.
func foreignTLS(err error) error {
	var header tls.RecordHeaderError
	if errors.As(err, &header) {
		return &ForeignError{Wanted: WantedTLS, Said: string(header.RecordHeader[:]), Err: err}
	}
	return err
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	line = strings.TrimSuffix(line, "\r")
	return line[:min(len(line), maxSaid)]
}

// printable escapes what a terminal could act on.
func printable(text string) string {
	var b strings.Builder
	for _, r := range text {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		q := strconv.QuoteRuneToASCII(r)
		b.WriteString(q[1 : len(q)-1])
	}
	return b.String()
}

// socksVersion is the first octet of what a SOCKS5 proxy says.
const socksVersion = 5

// earConn keeps what a proxy says first. What turns out not to be a proxy has
// perhaps said a whole line, of which a client of SOCKS5 reads two octets.
type earConn struct {
	net.Conn
	said   []byte // what has come first
	unread []byte
}

func (c *earConn) Read(p []byte) (int, error) {
	if len(c.unread) == 0 {
		if c.isProxy() || len(c.said) >= maxSaid {
			return c.Conn.Read(p)
		}
		b := make([]byte, maxSaid)
		n, err := c.Conn.Read(b)
		if n == 0 {
			return 0, err
		}
		c.unread = b[:n]
		c.said = append(c.said, c.unread...)
	}
	n := copy(p, c.unread)
	c.unread = c.unread[n:]
	return n, nil
}

func (c *earConn) isProxy() bool { return len(c.said) > 0 && c.said[0] == socksVersion }

// foreign returns err, or what says that there is no proxy. secrets are the
// credentials for it.
func (c *earConn) foreign(err error, secrets redact.Set) error {
	if len(c.said) == 0 || c.isProxy() {
		return err
	}
	secrets.InAuth = true
	return &ForeignError{Wanted: WantedSOCKS5, Said: firstLine(secrets.CleanStart(string(c.said))), Err: err}
}
