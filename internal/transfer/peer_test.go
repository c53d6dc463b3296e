package transfer

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fe022423/submission/internal/link"
	"github.com/fe022423/submission/smtptest"
)

var limits = link.Limits{
	Greeting: 11 * time.Second, Command: 12 * time.Second, DataInit: 13 * time.Second,
	DataBlock: 14 * time.Second, DataFinal: 15 * time.Second, Quit: 16 * time.Second,
}

// envelope is one from <a@x> to the addresses.
type envelope []string

func (e envelope) Recipients() int            { return len(e) }
func (envelope) AppendMail(dst []byte) []byte { return append(dst, "MAIL FROM:<a@x>"...) }
func (e envelope) AppendRcpt(dst []byte, i int) []byte {
	return append(append(append(dst, "RCPT TO:<"...), e[i]...), '>')
}

// to returns n recipients.
func to(n int) envelope {
	var e envelope
	for i := range n {
		e = append(e, fmt.Sprintf("%c@x", 'b'+i))
	}
	return e
}

// peer is a connection to a server that follows a script. It remembers what was
// written.
type peer struct {
	net.Conn
	mu   sync.Mutex
	out  bytes.Buffer
	seen func(p []byte) // sees each write; nil: nobody does
}

func (p *peer) Write(b []byte) (int, error) {
	if p.seen != nil {
		p.seen(b)
	}
	n, err := p.Conn.Write(b)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out.Write(b[:n])
	return n, err
}

func (p *peer) InputWaiting() (waiting, known bool) {
	return p.Conn.(interface{ InputWaiting() (waiting, known bool) }).InputWaiting()
}

// written is what was written since the last call.
func (p *peer) written() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.out.Reset()
	return p.out.String()
}

// attempt is a transfer over a link to a scripted server.
type attempt struct {
	Transfer
	peer  *peer
	link  *link.Link
	spool *Spool
}

// newAttempt returns an attempt that holds message back. The script is without
// greeting.
func newAttempt(t *testing.T, script, message string, m Mode) *attempt {
	t.Helper()
	s := NewSpool(NewBuffers(), m.Binary)
	if n := s.Add([]byte(message)); n != len(message) {
		t.Fatalf("%d of %d octets are held back", n, len(message))
	}
	s.SetWhole(true)
	return again(t, script, &s)
}

// again returns an attempt with what was held back for another.
func again(t *testing.T, script string, s *Spool) *attempt {
	t.Helper()
	p := &peer{Conn: smtptest.Play(t, script)}
	a := &attempt{peer: p, spool: s, link: link.New(p, link.Config{Limits: limits})}
	t.Cleanup(func() { p.Close() }) // before the script is checked
	return a
}

// start starts the transfer.
func (a *attempt) start(e envelope, m Mode) { a.Start(a.link, e, a.spool, m) }

// send starts the transfer and commits it where that is possible.
func (a *attempt) send(e envelope, m Mode) {
	if a.start(e, m); a.OK() {
		a.Commit(a.spool)
	}
}

// lines are the commands of a script, one for each recipient.
func rcptLines(e envelope) string {
	return "C: RCPT TO:<" + strings.Join(e, ">\nC: RCPT TO:<") + ">\n"
}

// ok are n replies that accept.
func ok(n int) string { return strings.Repeat("S: 250 ok\n", n) }

const mailLine = "C: MAIL FROM:<a@x>\n"

// onlyConn shows nothing of a connection but that it is one.
type onlyConn struct{ net.Conn }
