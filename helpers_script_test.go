package submission_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// deliveries are the ways in which the server's lines of a script can arrive.
var deliveries = []string{"whole", "bytes", "joined"}

// eachDelivery runs f as a subtest for each of deliveries.
func eachDelivery(t *testing.T, f func(t *testing.T, delivery string)) {
	t.Helper()
	for _, d := range deliveries {
		t.Run(d, func(t *testing.T) { f(t, d) })
	}
}

// play is smtptest.Play with a script that is delivered in one of deliveries. When
// the test fails, it prints the script.
func play(t testing.TB, delivery, script string) net.Conn {
	t.Helper()
	script = "deliver " + delivery + "\n" + script
	if !t.Failed() { // a script that follows a failure explains nothing
		t.Cleanup(func() { // after the last check of Play, which is a Cleanup too
			if t.Failed() {
				t.Logf("the script:\n%s", numbered(script))
			}
		})
	}
	return smtptest.Play(t, script)
}

// maxShown is how many octets of a script a failed test prints: a few scripts have
// megabytes.
const maxShown = 8 << 10

// numbered returns a script with the numbers of its lines, which the reports of Play
// refer to.
func numbered(script string) string {
	var b strings.Builder
	n := 0
	for line := range strings.Lines(script) {
		n++
		if b.Len()+len(line) > maxShown {
			fmt.Fprintf(&b, "... (%d octets in all)\n", len(script))
			break
		}
		if line = strings.TrimLeft(strings.TrimSuffix(line, "\n"), " \t"); line != "" {
			fmt.Fprintf(&b, "%4d  %s\n", n, line)
		}
	}
	return b.String()
}

// greeted is the script of a handshake with a server that offers keywords.
func greeted(keywords ...string) string {
	lines := append([]string{testHost}, keywords...)
	last := len(lines) - 1
	for i, line := range lines[:last] {
		lines[i] = "S: 250-" + line
	}
	lines[last] = "S: 250 " + lines[last]
	return "S: 220 hi\nC: EHLO client.test.example\n" + strings.Join(lines, "\n") + "\n"
}

// hello is the start of a session, before the reply to EHLO.
const hello = "S: 220 hi\nC: EHLO client.test.example\n"

// ehlo is the EHLO command of a client with the options of plainText.
const ehlo = "EHLO client.test.example"

// quit is the end of a session that the client ends with QUIT.
const quit = "\nC: QUIT\nS: 221 bye\neof"

// offersTLS is a session in which the client has just sent STARTTLS.
const offersTLS = hello + "S: 250-mail\nS: 250-SIZE 1000\nS: 250 STARTTLS\nC: STARTTLS\n"

// offersAuth is a session in which the client authenticates next.
func offersAuth(mechanisms string) string {
	return hello + "S: 250-mail\nS: 250 AUTH " + mechanisms + "\n"
}

// What the client sends to log in as testPassword.
const (
	authPlain = "C: AUTH PLAIN AHVzZXJuYW1lAHBhc3N3b3Jk\n"
	sendUser  = "C: dXNlcm5hbWU=\n"
	sendPass  = "C: cGFzc3dvcmQ=\n"
	authLogin = "C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\n" + sendUser + "S: 334 UGFzc3dvcmQ6\n" + sendPass
	authOK    = "S: 235 2.7.0 welcome"
)

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// A simple message, and how it looks in a script.
const (
	memo     = "Subject: memo\n\ntext\n"
	memoData = "C: Subject: memo\nC:\nC: text\nC: .\n"
	memoBDAT = "C: BDAT 23 LAST\nC: Subject: memo\nC:\nC: text\n"
)

// memoTo is an envelope for memo.
func memoTo(addrs ...string) submission.Envelope {
	return submission.Envelope{From: "a@test.example", To: submission.To(addrs...)}
}

// flightOK is a whole transaction that succeeds, with the recipient b@test.example, at a
// server that offers PIPELINING: the envelope is one flight.
const flightOK = `
	C: MAIL FROM:<a@test.example>
	C: RCPT TO:<b@test.example>
	C: DATA
	S: 250 ok
	S: 250 ok
	S: 354 go
` + memoData + "S: 250 taken\n"

// stepsOK is the same in lockstep.
const stepsOK = `
	C: MAIL FROM:<a@test.example>
	S: 250 ok
	C: RCPT TO:<b@test.example>
	S: 250 ok
	C: DATA
	S: 354 go
` + memoData + "S: 250 taken\n"

// long is a message that is so long that it is streamed, in the form in which it goes
// over the wire.
var long = strings.Repeat("A line of seventy octets, one of the many that the long message has..\r\n", 4000)

// repeat is strings.Repeat with a name that is short enough for tables.
func repeat(s string, n int) string { return strings.Repeat(s, n) }

// failing is a message source that returns text and then an error, in one call or in
// two.
type failing struct {
	text     string
	err      error
	together bool
}

func (f *failing) Read(p []byte) (int, error) {
	n := copy(p, f.text)
	f.text = f.text[n:]
	if f.text == "" && (n == 0 || f.together) {
		return n, f.err
	}
	return n, nil
}

// The parts of a session of a Client's pool, and the envelope of its message. poolSend
// sends that message.
const poolGreeting = `
	S: 220 mail.test.example
	C: EHLO client.test.example
	S: 250-mail.test.example
	S: 250 PIPELINING
`

const poolMessage = `
	C: MAIL FROM:<a@test.example>
	C: RCPT TO:<b@test.example>
	C: DATA
	S: 250 ok
	S: 250 ok
	S: 354 go
	C: Subject: pool
	C:
	C: text
	C: .
	S: 250 taken
`

const poolQuit = `
	C: QUIT
	S: 221 bye
	eof
`

var poolEnvelope = submission.Envelope{From: "a@test.example", To: submission.To("b@test.example")}

// way is one of the ways in which a transaction with two recipients can run.
type way struct{ pipelined, chunked, partial bool }

func (w way) String() string {
	name := "lockstep"
	if w.pipelined {
		name = "pipelined"
	}
	if w.chunked {
		name += ", BDAT"
	} else {
		name += ", DATA"
	}
	if w.partial {
		name += ", partial"
	}
	return name
}

// greeting is the script of the handshake.
func (w way) greeting() string {
	var keywords []string
	if w.pipelined {
		keywords = append(keywords, "PIPELINING")
	}
	if w.chunked {
		keywords = append(keywords, "CHUNKING")
	}
	return greeted(keywords...)
}

func (w way) envelope() submission.Envelope {
	env := memoTo("b@test.example", "c@test.example")
	env.Partial = w.partial
	return env
}

// steps are the commands of the transaction, except RSET.
func (w way) steps() []string {
	list := []string{"MAIL FROM:<a@test.example>", "RCPT TO:<b@test.example>", "RCPT TO:<c@test.example>"}
	if !w.chunked {
		list = append(list, "DATA")
	}
	return list
}

// flightOf returns the first and the last step that are sent with step at.
func (w way) flightOf(at int) (first, last int) {
	switch {
	case !w.pipelined || at == atFinal:
		return at, at
	case w.chunked:
		return atMail, atRcpt2
	case w.partial:
		return atMail, atData
	case at == atData:
		return atData, atData
	}
	return atMail, atRcpt2
}

// until is the script of the transaction before the reply to step at.
func (w way) until(at int) string {
	var b strings.Builder
	steps := w.steps()
	for next := 0; next < len(steps); {
		first, last := w.flightOf(next)
		if first > at {
			break
		}
		for _, command := range steps[first : last+1] {
			b.WriteString("C: " + command + "\n")
		}
		for n := first; n <= last && n < at; n++ {
			b.WriteString("S: " + w.good(n) + "\n")
		}
		next = last + 1
	}
	if at == atFinal {
		b.WriteString(w.message())
	}
	return b.String()
}

// good is the reply to step at with which the transaction continues.
func (w way) good(at int) string {
	if at == atData {
		return "354 go"
	}
	return "250 ok"
}

func (w way) message() string {
	if w.chunked {
		return memoBDAT
	}
	return memoData
}

// again is a transaction on the same session that succeeds. RSET precedes it if the
// first one was left half done.
func (w way) again(dirty bool) string {
	steps := []string{"MAIL FROM:<a@test.example>", "RCPT TO:<b@test.example>"}
	if dirty {
		steps = append([]string{"RSET"}, steps...)
	}
	b := w.message() + "S: 250 taken\nC: QUIT\nS: 221 bye\neof"
	if !w.chunked {
		b = "S: 354 go\n" + b
	}
	data := ""
	if !w.chunked {
		data = "C: DATA\n"
	}
	if !w.pipelined {
		return "C: " + strings.Join(steps, "\nS: 250 ok\nC: ") + "\nS: 250 ok\n" + data + b
	}
	return "C: " + strings.Join(steps, "\nC: ") + "\n" + data + strings.Repeat("S: 250 ok\n", len(steps)) + b
}

func ways() []way {
	var list []way
	for bits := range 8 {
		list = append(list, way{bits&1 != 0, bits&2 != 0, bits&4 != 0})
	}
	return list
}

// The steps of a transaction at which something may go wrong.
const (
	atMail = iota
	atRcpt1
	atRcpt2
	atData
	atFinal
)

// stageAt is the Stage of each step.
var stageAt = []submission.Stage{submission.StageMail, submission.StageRcpt, submission.StageRcpt, submission.StageData, submission.StageFinal}

// limitAt is how long the client waits at each step (RFC 5321, 4.5.3.2).
var limitAt = []time.Duration{5 * time.Minute, 5 * time.Minute, 5 * time.Minute, 2 * time.Minute, 10 * time.Minute}

// fault is what happens instead of a good reply.
type fault struct {
	name, script string
	kind         faultKind
	is           error // is in the error if the connection is lost, nil for any
}

// steps is the script of what the server does at step at of a transaction.
func (f fault) steps(w way, at int) string {
	switch f.kind {
	case extraKind:
		// In one segment, so that it is there when the good reply is read.
		_, last := w.flightOf(at)
		text := w.good(at) + `\r\n250 and one more\r\n`
		for n := at + 1; n <= last; n++ {
			text += w.good(n) + `\r\n`
		}
		return "S> " + text + "\neof"
	case wrongKind:
		if at == atData {
			return "S: 250 ok\neof"
		}
		return "S: 354 go\neof"
	}
	return f.script + "\neof"
}

// verdict is the cell of the table: what the fault at step at must come to.
func (f fault) verdict(w way, at int) verdict {
	v := verdict{stage: stageAt[at], temporary: true, is: f.is, status: []submission.RecipientStatus{submission.RecipientUnsent, submission.RecipientUnsent}}
	switch f.kind {
	case rubbishKind, wrongKind:
		v.temporary, v.protocol = false, true
	case extraKind:
		v.temporary, v.protocol = false, true
		if first, last := w.flightOf(at); first != last {
			// Each reply after it is taken for that of the next command, until
			// one does not fit or one is left over.
			v.stage = stageAt[last]
		}
	case closingKind:
		v.code = 421
	}
	if at != atFinal {
		return v
	}
	switch f.kind {
	case extraKind:
		return verdict{sent: true, status: []submission.RecipientStatus{submission.RecipientSent, submission.RecipientSent}}
	case closingKind:
		return v
	}
	v.outcome, v.temporary = submission.Unknown, false
	v.status = []submission.RecipientStatus{submission.RecipientUncertain, submission.RecipientUncertain}
	return v
}

// faultKind is what the client must take a fault for.
type faultKind int

const (
	lossKind faultKind = iota
	stallKind
	cancelKind
	rubbishKind
	extraKind // a good reply with another one after it
	wrongKind // a reply of a class that makes no sense at the step
	closingKind
)

// faults are what can go wrong with a reply, except a refusal.
func faults() []fault {
	return []fault{
		{"hang-up", "close", lossKind, io.EOF},
		{"reset", "reset", lossKind, errnoReset},
		{"half a reply", "S> 25\nclose", lossKind, io.ErrUnexpectedEOF},
		{"half a line", "S> 250 o\nclose", lossKind, io.ErrUnexpectedEOF},
		{"a reply without its last line", "S: 250-ok\nclose", lossKind, io.ErrUnexpectedEOF},
		{"reset within a reply", "S: 250-ok\nreset", lossKind, errnoReset},
		{"silence", "stall", stallKind, os.ErrDeadlineExceeded},
		{"silence within a reply", "S> 250-ok\nstall", stallKind, os.ErrDeadlineExceeded},
		{"cancel", "stall", cancelKind, context.Canceled},
		{"cancel within a reply", "S> 2\nstall", cancelKind, context.Canceled},
		{"rubbish", "S: what?", rubbishKind, nil},
		{"an empty line", `S> \r\n`, rubbishKind, nil},
		{"a code of four digits", "S: 2500 ok", rubbishKind, nil},
		{"a code of the first class", "S: 150 ok", rubbishKind, nil},
		{"a code of the sixth class", "S: 650 ok", rubbishKind, nil},
		{"a second digit of 6", "S: 260 ok", rubbishKind, nil},
		{"a bare LF", `S> 250 ok\n`, rubbishKind, nil},
		{"a bare CR", `S> 250 o\rk\r\n`, rubbishKind, nil},
		{"two codes", `S> 250-ok\r\n251 ok\r\n`, rubbishKind, nil},
		{"a NUL first", `S> \x00250 ok\r\n`, rubbishKind, nil},
		{"TLS", `S> \x16\x03\x01\x02\x00`, rubbishKind, nil},
		{"one reply too many", "extra", extraKind, nil},
		{"a wrong class", "wrong", wrongKind, nil},
		{"421", "S: 421 4.3.2 bye", closingKind, nil},
		{"421 of two lines", `S> 421-4.3.2 bye\r\n421 4.3.2 and go\r\n`, closingKind, nil},
		{"421 and hang-up", "S: 421 4.3.2 bye\nclose", closingKind, nil},
	}
}

// recorder is a connection that keeps what is written to it.
type recorder struct {
	net.Conn
	mu  sync.Mutex
	out []byte
}

func (r *recorder) Write(p []byte) (int, error) {
	n, err := r.Conn.Write(p)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.out = append(r.out, p[:n]...)
	return n, err
}

// InputWaiting asks the connection below, if it knows, whether the client has something
// to read.
func (r *recorder) InputWaiting() (waiting, known bool) {
	if nc, ok := r.Conn.(interface {
		InputWaiting() (waiting, known bool)
	}); ok {
		return nc.InputWaiting()
	}
	return false, false
}

func (r *recorder) written() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Clone(r.out)
}

func record(nc net.Conn) *recorder { return &recorder{Conn: nc} }

// endMarks counts what could end a message in what a client wrote: a line with only a
// dot, or the command of a last chunk.
func endMarks(out []byte) int {
	return bytes.Count(out, []byte("\r\n.\r\n")) + bytes.Count(out, []byte(" LAST\r\n"))
}

// carriers are the ways in which a message travels, and what the server offers for each.
var carriers = map[string][]string{
	"DATA in lockstep": {},
	"DATA":             {"PIPELINING"},
	"BDAT":             {"PIPELINING", "CHUNKING"},
}

// heldBack is the longest message that a transaction holds back: 64 KiB.
var heldBack = strings.Repeat(strings.Repeat("x", 62)+"\r\n", 1<<10)

// readFunc is a function that is a source.
type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }
