//go:build unix

package submission_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fe022423/submission"
)

// looked is a scripted connection with a RawConn, as a socket has one. With it the client
// looks whether something is there to read.
type looked struct {
	net.Conn
	quiet int    // a socket on which nothing ever arrives
	first []byte // what a look has read
	err   error  // of that read
}

func withLooks(t testing.TB, nc net.Conn) *looked {
	t.Helper()
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Close(pair[0])
		syscall.Close(pair[1])
	})
	return &looked{Conn: nc, quiet: pair[0]}
}

func (l *looked) Read(p []byte) (int, error) {
	if len(l.first) > 0 {
		n := copy(p, l.first)
		l.first = l.first[n:]
		return n, nil
	}
	if l.err != nil {
		return 0, l.err
	}
	return l.Conn.Read(p)
}

// look reports whether a read would return at once.
func (l *looked) look() bool {
	if len(l.first) > 0 || l.err != nil {
		return true
	}
	l.Conn.SetReadDeadline(time.Now().Add(time.Millisecond))
	defer l.Conn.SetReadDeadline(time.Time{})
	b := make([]byte, 1)
	n, err := l.Conn.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	l.first, l.err = b[:n], err
	return true
}

func (l *looked) SyscallConn() (syscall.RawConn, error) { return rawLook{l}, nil }

type rawLook struct{ l *looked }

var errSomethingThere = errors.New("something is there")

func (r rawLook) Read(f func(fd uintptr) bool) error {
	if r.l.look() {
		return errSomethingThere
	}
	f(uintptr(r.l.quiet))
	return nil
}

func (rawLook) Control(func(uintptr)) error { return errors.ErrUnsupported }

func (rawLook) Write(func(uintptr) bool) error { return errors.ErrUnsupported }

// earlyWord is a reply that a server sends before it has the whole message.
type earlyWord struct {
	text    string
	verdict verdict
}

func earlyWords() []earlyWord {
	unsent := []submission.RecipientStatus{submission.RecipientUnsent}
	v := func(code int, temporary, protocol bool) verdict {
		return verdict{stage: submission.StageMessage, code: code, temporary: temporary, protocol: protocol, status: unsent}
	}
	return []earlyWord{
		{"552 5.3.4 too large", v(552, false, false)},
		{"554 5.7.1 spam", v(554, false, false)},
		{"452 4.3.1 full", v(452, true, false)},
		{"421 4.3.2 bye", v(421, true, false)},
		{"250 2.0.0 taken", v(0, false, true)},
		{"354 go on", v(0, false, true)},
		{"rubbish", v(0, false, true)},
	}
}

// The server replies before the end of the message and does not hang up. The client does not
// send the end, and does not use the session again: a late reply to the message could be
// taken for the reply to the next command.
func TestReplyBeforeTheEnd(t *testing.T) {
	data := "C: MAIL FROM:<a@test.example>\nC: RCPT TO:<b@test.example>\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\n"
	bdat := "C: MAIL FROM:<a@test.example>\nC: RCPT TO:<b@test.example>\nS: 250 ok\nS: 250 ok\n"
	for name, tc := range map[string]struct {
		script  string // before the early reply
		message string
	}{
		"DATA, before the first octet":              {data, memo},
		"DATA, before the first of 40,000 octets":   {data, long[:40000]},
		"DATA, in a stream":                         {data + "C* 70000\n", long},
		"DATA, after all but the end":               {data + "C* 50000\n", strings.Repeat("x", 50000)},
		"BDAT, before the first octet":              {bdat, memo},
		"BDAT, before the first of 40,000 octets":   {bdat, strings.Repeat("x", 40000)},
		"BDAT, after all but the end":               {bdat + "C: BDAT 50002 LAST\nC* 50001\n", strings.Repeat("x", 50000)},
		"BDAT, before the first chunk":              {bdat, long},
		"BDAT, in a chunk that is not the last":     {bdat + "C: BDAT 100000\nC* 70000\n", long},
		"BDAT, after the octets of the first chunk": {bdat + "C: BDAT 100000\nC* 100000\nS: 250 ok\n", long},
	} {
		for _, early := range earlyWords() {
			t.Run(name+"/"+early.text, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					keywords := []string{"PIPELINING", "CHUNKING"}
					if strings.HasPrefix(name, "DATA") {
						keywords = keywords[:1]
					}
					inChunk := strings.Contains(name, "in a chunk that is not the last")
					script := greeted(keywords...) + tc.script + "S! " + early.text + "\nS! 250 2.0.0 the end\nstall"
					nc := withLooks(t, play(t, "whole", script))
					wire := &recorder{Conn: nc}
					s := openSession(t, lookedRecorder{wire, nc}, plainText(func(o *submission.Options) { o.ChunkSize = 100000 }))
					_, err := s.Send(context.Background(), memoTo("b@test.example"), strings.NewReader(tc.message))
					early.verdict.check(t, nil, err)
					if inChunk && s.Usable() {
						// A refusal that came early is taken for that of the
						// chunk. The next reply is seen before the next command.
						_, err = send(s, memoTo("b@test.example"))
						verdict{stage: submission.StageMail, protocol: true}.check(t, nil, err)
					}
					mustBeOver(t, s)
					out := wire.written()
					if n := bytes.Count(out, []byte("\r\n.\r\n")); n != 0 {
						t.Errorf("the end of the message was sent")
					}
					if i := bytes.Index(out, []byte(" LAST\r\n")); i >= 0 && len(out)-i-len(" LAST\r\n") >= 50002 {
						t.Errorf("the last octet of the message was sent")
					}
				})
			})
		}
	}
}

// Once the last octet is written, only a reply decides the outcome, whatever the size of the
// message is and however many writes it took.
func TestBehindTheLastOctet(t *testing.T) {
	data := "C: MAIL FROM:<a@test.example>\nC: RCPT TO:<b@test.example>\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\n"
	bdat := "C: MAIL FROM:<a@test.example>\nC: RCPT TO:<b@test.example>\nS: 250 ok\nS: 250 ok\n"
	unknown := verdict{outcome: submission.Unknown, stage: submission.StageFinal, status: []submission.RecipientStatus{submission.RecipientUncertain}}
	rubbish := unknown
	rubbish.protocol = true
	unsent := []submission.RecipientStatus{submission.RecipientUnsent}
	ends := map[string]verdict{
		"close": unknown, "reset": unknown, "S> 25\nclose": unknown, "stall": unknown,
		"S: rubbish": rubbish, "S: 354 go": rubbish,
		"S: 250 taken\nclose": {sent: true}, "S: 250 taken\nS! 250 and once more": {sent: true},
		"S: 421 bye\nclose": {stage: submission.StageFinal, code: 421, temporary: true, status: unsent},
		"S: 552 no\nclose":  {stage: submission.StageFinal, code: 552, status: unsent},
	}
	for _, size := range []int{0, 2, 100, 16<<10 - 1, 16 << 10, 16<<10 + 1, 40000, 64 << 10, 64<<10 + 1, 100000, 100001, 300000} {
		for _, newline := range []bool{true, false} {
			for _, chunked := range []bool{false, true} {
				text := strings.Repeat("x", size)
				if newline && size > 1 {
					text = text[2:] + "\r\n"
				}
				octets := len(canonical([]byte(text)))
				script := greeted("PIPELINING") + data + fmt.Sprintf("C* %d\n", octets+len(".\r\n"))
				if chunked {
					script = greeted("PIPELINING", "CHUNKING") + bdat
					for ; octets > 100000; octets -= 100000 {
						script += "C: BDAT 100000\nC* 100000\nS: 250 ok\n"
					}
					script += fmt.Sprintf("C: BDAT %d LAST\n", octets)
					if octets > 0 {
						script += fmt.Sprintf("C* %d\n", octets)
					}
				}
				for end, v := range ends {
					t.Run(fmt.Sprintf("%d octets/newline %v/chunked %v/%s", size, newline, chunked, end), func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) {
							s := openSession(t, withLooks(t, play(t, "whole", script+end)), plainText(func(o *submission.Options) { o.ChunkSize = 100000 }))
							res, err := s.Send(context.Background(), memoTo("b@test.example"), strings.NewReader(text))
							v.check(t, res, err)
							if v.outcome == submission.Unknown {
								mustBeOver(t, s)
							} else if v.sent {
								// The next message meets what came after the reply.
								_, err := send(s, memoTo("b@test.example"))
								wantError[*submission.SendError](t, err)
							}
							s.Close()
						})
					})
				}
			}
		}
	}
}

// lookedRecorder is a recorder that also has SyscallConn.
type lookedRecorder struct {
	*recorder
	l *looked
}

func (l lookedRecorder) SyscallConn() (syscall.RawConn, error) { return l.l.SyscallConn() }

// A hang-up is seen before the end of the message is written.
func TestHangUpBeforeTheEnd(t *testing.T) {
	for _, end := range []string{"close", "reset"} {
		s := openSession(t, withLooks(t, play(t, "whole", greeted("PIPELINING")+way{}.until(atMail)+"C: RCPT TO:<b@test.example>\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\n"+end+"\neof")), plainText())
		_, err := send(s, memoTo("b@test.example"))
		verdict{stage: submission.StageMessage, temporary: true, status: []submission.RecipientStatus{submission.RecipientUnsent}}.check(t, nil, err)
		mustBeOver(t, s)
	}
}

// A reply too many is seen before the next command, at every step, also when it arrives in
// its own segment.
func TestExtraReplyInItsOwnSegment(t *testing.T) {
	for _, w := range ways() {
		for at := atMail; at <= atData; at++ {
			if w.chunked && at == atData {
				continue
			}
			if _, last := w.flightOf(at); last != at {
				continue
			}
			for _, extra := range []string{"250 and one more", "550 and one more", "421 bye", "rubbish"} {
				t.Run(fmt.Sprintf("%v/%v %d/%s", w, stageAt[at], at, extra), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						s := openSession(t, withLooks(t, play(t, "whole", w.greeting()+w.until(at)+"S: "+w.good(at)+"\nS! "+extra+"\neof")), plainText())
						_, err := send(s, w.envelope())
						e := wantError[*submission.SendError](t, err)
						if e.Outcome != submission.NotSent {
							t.Errorf("%v", err)
						}
						mustBeOver(t, s)
					})
				})
			}
		}
	}
}

// What the server sends between two messages is never taken for the reply to the next
// command.
func TestUnaskedBetweenMessages(t *testing.T) {
	for _, tc := range []struct {
		text    string
		verdict verdict
	}{
		{"S! 250 taken once more", verdict{protocol: true}},
		{"S! 550 no", verdict{protocol: true}},
		{"S! 354 go", verdict{protocol: true}},
		{"S! rubbish", verdict{protocol: true}},
		{"S! 421 4.4.2 idle", verdict{code: 421, temporary: true}},
		{"S! 421 4.4.2 idle\nclose", verdict{code: 421, temporary: true}},
		{"close", verdict{temporary: true, is: io.EOF}},
		{"reset", verdict{temporary: true, is: errnoReset}},
		{"S> 25\nclose", verdict{temporary: true, is: io.ErrUnexpectedEOF}},
	} {
		tc.verdict.stage = submission.StageMail
		for name, call := range map[string]func(*submission.Session) error{
			"Send": func(s *submission.Session) error { _, err := send(s, memoTo("b@test.example")); return err },
			"Begin": func(s *submission.Session) error {
				_, err := s.Begin(context.Background(), memoTo("b@test.example"))
				return err
			},
			"Noop":  func(s *submission.Session) error { return s.Noop(context.Background()) },
			"Reset": func(s *submission.Session) error { return s.Reset(context.Background()) },
		} {
			t.Run(tc.text+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := openSession(t, withLooks(t, play(t, "whole", greeted("PIPELINING")+flightOK+tc.text+"\neof")), plainText())
					mustSend(t, s, memoTo("b@test.example"))
					err := call(s)
					if name == "Send" || name == "Begin" {
						tc.verdict.check(t, nil, err)
					} else if err == nil {
						t.Error("success, want an error")
					}
					mustBeOver(t, s)
				})
			})
		}
	}
}
