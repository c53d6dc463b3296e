package submission_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// way is one of the ways to run a transaction with two recipients.
type way struct{ pipelined, chunked, partial bool }

func ways() []way {
	var list []way
	for bits := range 8 {
		list = append(list, way{bits&1 != 0, bits&2 != 0, bits&4 != 0})
	}
	return list
}

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

// The steps of a transaction at which something may go wrong.
const (
	atMail = iota
	atRcpt1
	atRcpt2
	atData
	atFinal
)

var stageAt = []submission.Stage{submission.StageMail, submission.StageRcpt, submission.StageRcpt, submission.StageData, submission.StageFinal}

// limitAt is how long the client waits at each step (RFC 5321, 4.5.3.2).
var limitAt = []time.Duration{5 * time.Minute, 5 * time.Minute, 5 * time.Minute, 2 * time.Minute, 10 * time.Minute}

// steps are the commands of the transaction, less RSET.
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

// until is the script up to the replies of step at, which follow it.
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

// again is a good transaction on the same session, behind RSET where the first
// left something behind.
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

// fault is what happens instead of a good reply.
type fault struct {
	name, script string
	kind         faultKind
	is           error // found in the error where the kind is a loss
}

type faultKind int

const (
	lossKind faultKind = iota
	stallKind
	cancelKind
	rubbishKind
	extraKind // a good reply with another behind it
	wrongKind // a reply of a class that makes no sense at the step
	closingKind
)

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
		{"a NUL in front", `S> \x00250 ok\r\n`, rubbishKind, nil},
		{"TLS", `S> \x16\x03\x01\x02\x00`, rubbishKind, nil},
		{"one reply too many", "extra", extraKind, nil},
		{"a wrong class", "wrong", wrongKind, nil},
		{"421", "S: 421 4.3.2 bye", closingKind, nil},
		{"421 of two lines", `S> 421-4.3.2 bye\r\n421 4.3.2 and go\r\n`, closingKind, nil},
		{"421 and hang-up", "S: 421 4.3.2 bye\nclose", closingKind, nil},
	}
}

// steps is what the server does at step at of a transaction.
func (f fault) steps(w way, at int) string {
	switch f.kind {
	case extraKind:
		// Joined, so that it is there when the good reply is read.
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

// verdict is the cell of the table: fault at step.
func (f fault) verdict(w way, at int) verdict {
	v := verdict{stage: stageAt[at], temporary: true, is: f.is, status: []submission.RecipientStatus{submission.RecipientUnsent, submission.RecipientUnsent}}
	switch f.kind {
	case rubbishKind, wrongKind:
		v.temporary, v.protocol = false, true
	case extraKind:
		v.temporary, v.protocol = false, true
		if first, last := w.flightOf(at); first != last {
			// The replies behind it are taken for the next command's, until
			// one does not fit or is left.
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

// The table of faults by stage: drop, stall, garbage, extra, 421.
func TestFaults(t *testing.T) {
	eachDelivery(t, func(t *testing.T, delivery string) {
		for _, w := range ways() {
			for at := atMail; at <= atFinal; at++ {
				if w.chunked && at == atData {
					continue
				}
				for _, f := range faults() {
					if delivery == "bytes" && f.kind == extraKind {
						continue // nobody can know that there is more
					}
					t.Run(fmt.Sprintf("%v/%v %d/%s", w, stageAt[at], at, f.name), func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) { f.run(t, w, at, delivery) })
					})
				}
			}
		}
	})
}

func (f fault) run(t *testing.T, w way, at int, delivery string) {
	s := openSession(t, play(t, delivery, w.greeting()+w.until(at)+f.steps(w, at)), plainText())
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	want := time.Duration(0)
	switch f.kind {
	case stallKind:
		want = limitAt[at]
	case cancelKind:
		want = 7 * time.Second
		time.AfterFunc(want, cancel)
	}
	start := time.Now()
	res, err := s.Send(ctx, w.envelope(), strings.NewReader(memo))
	if took := time.Since(start); took != want {
		t.Errorf("it took %v, want %v", took, want)
	}
	f.verdict(w, at).check(t, res, err)
	mustBeOver(t, s)
}

// The table of refusals by stage; those of RCPT are TestRecipientMix.
func TestRefusals(t *testing.T) {
	eachDelivery(t, func(t *testing.T, delivery string) {
		for _, w := range ways() {
			for _, at := range []int{atMail, atData, atFinal} {
				if w.chunked && at == atData {
					continue
				}
				for _, reply := range []string{
					"400 4.0.0 x", "432 x", "450 4.7.1 greylisted", "451", "452 4.3.1 full", "454 x", "455 x", "459 what is that",
					"500 x", "501 5.1.7 bad", "503 5.5.1 bad", "530 5.7.0 log in", "550 5.7.1 no", "552 5.3.4 too large", "553 x", "554 5.7.1 spam", "555 x", "559",
				} {
					t.Run(fmt.Sprintf("%v/%v/%.3s", w, stageAt[at], reply), func(t *testing.T) { refuse(t, w, at, reply, delivery) })
				}
			}
		}
	})
}

func refuse(t *testing.T, w way, at int, reply, delivery string) {
	var code int
	fmt.Sscan(reply, &code)
	script := w.greeting() + w.until(at) + "S: " + reply + "\n"
	if _, last := w.flightOf(at); at == atMail {
		script += strings.Repeat("S: 503 5.5.1 MAIL first\n", last-at)
	}
	// A refused MAIL began nothing. A refused chunk ends the session.
	again := w.again(at != atMail)
	if over := at == atFinal && w.chunked; over {
		again = "eof"
	}
	s := openSession(t, play(t, delivery, script+again), plainText())
	res, err := send(s, w.envelope())
	verdict{stage: stageAt[at], code: code, temporary: code < 500,
		status: []submission.RecipientStatus{submission.RecipientUnsent, submission.RecipientUnsent}}.check(t, res, err)
	var sender *submission.SenderError
	if errors.As(err, &sender) != (at == atMail) {
		t.Errorf("SenderError found: %v: %v", sender != nil, err)
	}
	if again == "eof" {
		mustBeOver(t, s)
		return
	}
	mustSend(t, s, memoTo("b@test.example"))
	s.Close()
}

// When the session is lost, what was refused before stays refused.
func TestRefusalsKeptWhenLost(t *testing.T) {
	for _, pipelined := range []bool{false, true} {
		for _, tc := range []struct {
			name      string
			end       string
			took      time.Duration
			temporary bool // of what came after the refusal
		}{
			{"hang-up", "close", 0, true},
			{"421", "S: 421 4.7.0 enough", 0, true},
			{"silence", "stall", 5 * time.Minute, true},
			{"rubbish", "S: x", 0, false},
		} {
			for _, code := range []int{550, 450} {
				for _, partial := range []bool{false, true} {
					t.Run(fmt.Sprintf("%s/pipelined %v/%d/partial %v", tc.name, pipelined, code, partial), func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) {
							if !pipelined && !partial {
								return // nothing is asked after the refusal
							}
							w := way{pipelined: pipelined, partial: partial}
							script := w.until(atRcpt1) + fmt.Sprintf("S: %d no\n", code)
							if !pipelined {
								script += "C: RCPT TO:<c@test.example>\n"
							}
							s := openSession(t, smtptest.Play(t, w.greeting()+script+tc.end+"\neof"), plainText())
							start := time.Now()
							res, err := send(s, w.envelope())
							if took := time.Since(start); took != tc.took {
								t.Errorf("it took %v, want %v", took, tc.took)
							}
							v := verdict{stage: submission.StageRcpt, code: code, protocol: tc.name == "rubbish",
								temporary: tc.temporary && code == 450, status: []submission.RecipientStatus{submission.RecipientInvalid, submission.RecipientUnsent}}
							if partial {
								// What stopped the message is the loss.
								v.temporary = tc.temporary || code == 450
								if v.code = 0; tc.name == "421" {
									v.code = 421
								}
							}
							if code == 450 {
								v.status[0] = submission.RecipientUnsent
							}
							v.check(t, res, err)
							if list := addressErrors(err); len(list) != 1 || list[0].Reply.Code != code || list[0].Temporary() != (code == 450) {
								t.Errorf("causes: %v", list)
							}
							mustBeOver(t, s)
						})
					})
				}
			}
		}
	}
}

// long is a message that is streamed, as it goes over the wire.
var long = strings.Repeat("A line of seventy octets, one of the many that the long message has..\r\n", 4000)

// cutShort is what may end a session in the middle of a message.
type cutShort struct {
	name, script string
	verdict      verdict
}

func cutsShort(stage submission.Stage) []cutShort {
	unsent := []submission.RecipientStatus{submission.RecipientUnsent, submission.RecipientUnsent}
	lost := verdict{stage: stage, temporary: true, status: unsent}
	said := func(code int, temporary bool) verdict {
		return verdict{stage: stage, temporary: temporary, code: code, status: unsent}
	}
	return []cutShort{
		{"hang-up", "close", lost},
		{"reset", "reset", lost},
		{"half a reply", "S> 45\nclose", lost},
		{"421", "S! 421 4.3.2 bye\nclose", said(421, true)},
		{"421, reset", "S! 421 4.3.2 bye\nreset", said(421, true)},
		{"4yz", "S! 452 4.3.1 full\nclose", said(452, true)},
		{"5yz", "S! 552 5.3.4 too large\nclose", said(552, false)},
		{"5yz, reset", "S! 552 5.3.4 too large\nreset", said(552, false)},
		{"2yz", "S! 250 taken\nclose", verdict{stage: stage, protocol: true, status: unsent}},
		{"3yz", "S! 354 go\nclose", verdict{stage: stage, protocol: true, status: unsent}},
		{"rubbish", "S! Have a nice day\nclose", verdict{stage: stage, protocol: true, status: unsent}},
	}
}

// The server hangs up within the message, mute or with a last word, which is
// read.
func TestHangUpWithinMessage(t *testing.T) {
	for _, w := range ways() {
		for _, c := range cutsShort(submission.StageMessage) {
			t.Run(fmt.Sprintf("%v/%s", w, c.name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					script := w.until(atData) + "S: 354 go\nC* 70000\n"
					if w.chunked {
						script = w.until(atRcpt2) + "S: 250 ok\nC: BDAT 100000\nC* 40000\n"
					}
					nc := record(smtptest.Play(t, w.greeting()+script+c.script))
					s := openSession(t, nc, plainText(func(o *submission.Options) { o.ChunkSize = 100000 }))
					start := time.Now()
					res, err := s.Send(context.Background(), w.envelope(), strings.NewReader(long))
					if took := time.Since(start); took != 0 {
						t.Errorf("it took %v", took)
					}
					c.verdict.check(t, res, err)
					mustBeOver(t, s)
					if n := endMarks(nc.written()); n != 0 {
						t.Errorf("%d ends of the message were sent", n)
					}
				})
			})
		}
	}
}

// Nothing of the message gets through any more. The limit is one for each
// block; a moment is given to a last word of the server.
func TestWriteStalls(t *testing.T) {
	for _, w := range ways() {
		for _, cancelled := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v/cancelled %v", w, cancelled), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var keywords []string
					if w.pipelined {
						keywords = append(keywords, "PIPELINING")
					}
					if w.chunked {
						keywords = append(keywords, "CHUNKING")
					}
					srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.NoTLS, Extensions: append([]string{}, keywords...)})
					defer srv.Close()
					nc := smtptest.Fault{Write: smtptest.After(100000), Mode: smtptest.Stall}.Wrap(srv.Pipe())
					s := openSession(t, nc, plainText())
					ctx, cancel := context.WithCancel(context.Background())
					defer cancel()
					want, is := 3*time.Minute+time.Second, os.ErrDeadlineExceeded
					if cancelled {
						want, is = time.Minute, context.Canceled
						time.AfterFunc(want, cancel)
					}
					start := time.Now()
					res, err := s.Send(ctx, w.envelope(), strings.NewReader(long))
					if took := time.Since(start); took != want {
						t.Errorf("it took %v, want %v", took, want)
					}
					verdict{stage: submission.StageMessage, temporary: true, is: is,
						status: []submission.RecipientStatus{submission.RecipientUnsent, submission.RecipientUnsent}}.check(t, res, err)
					if !cancelled && !strings.Contains(err.Error(), "no answer within 3m0s") {
						t.Errorf("error %q, want the time of a block in it", err)
					}
					mustBeOver(t, s)
					srv.Close()
					if n := len(srv.Messages()); n != 0 {
						t.Errorf("%d messages accepted", n)
					}
				})
			})
		}
	}
}

// A long message may take as long as it moves.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		defer client.Close()
		go func() {
			defer server.Close()
			r := bufio.NewReaderSize(server, 64<<10)
			io.WriteString(server, "220 hi\r\n")
			for range 4 { // EHLO, MAIL, RCPT, DATA
				line, _ := r.ReadString('\n')
				if line == "DATA\r\n" {
					io.WriteString(server, "354 go\r\n")
					continue
				}
				io.WriteString(server, "250 ok\r\n")
			}
			for tail := ""; !strings.HasSuffix(tail, "\r\n.\r\n"); {
				time.Sleep(2 * time.Minute)
				if _, err := r.Peek(1); err != nil {
					return
				}
				b, _ := r.Peek(r.Buffered())
				tail += string(b)
				r.Discard(len(b))
				tail = tail[max(0, len(tail)-5):]
			}
			io.WriteString(server, "250 taken\r\n")
			r.ReadString('\n')
		}()
		s := openSession(t, client, plainText())
		start := time.Now()
		if _, err := s.Send(context.Background(), memoTo("b@test.example"), strings.NewReader(long)); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took < 10*time.Minute {
			t.Errorf("it took %v: too fast to show anything", took)
		}
		s.Close()
	})
}

// A reply that drips in has its time as a whole, at every stage.
func TestDrippingReply(t *testing.T) {
	for at, limit := range limitAt {
		synctest.Test(t, func(t *testing.T) {
			client, server := net.Pipe()
			defer client.Close()
			over := make(chan struct{})
			go func() {
				defer close(over)
				defer server.Close()
				r := bufio.NewReader(server)
				say := func(text string) { io.WriteString(server, text+"\r\n") }
				say("220 hi")
				r.ReadString('\n')
				say("250 hi")
				for n := range at {
					r.ReadString('\n')
					say(way{}.good(n))
				}
				if at != atFinal {
					r.ReadString('\n')
				} else {
					for line := ""; line != ".\r\n"; {
						line, _ = r.ReadString('\n')
					}
				}
				for range 500 {
					time.Sleep(7 * time.Second)
					if _, err := io.WriteString(server, "250-slow\r\n"); err != nil {
						return
					}
				}
			}()
			s := openSession(t, client, plainText())
			start := time.Now()
			_, err := send(s, memoTo("b@test.example", "c@test.example"))
			// A pipe is looked at by reading it for a millisecond, before each
			// flight and before the end of the message.
			want := limit + time.Duration(at+1)*time.Millisecond
			if took := time.Since(start); took != want {
				t.Errorf("%v took %v, want %v", stageAt[at], took, want)
			}
			if !errors.Is(err, os.ErrDeadlineExceeded) && at != atFinal {
				t.Errorf("%v: %v", stageAt[at], err)
			}
			mustBeOver(t, s)
			<-over
		})
	}
}

// The limits of the caller are used, and each where it belongs.
func TestTimeouts(t *testing.T) {
	for at := atMail; at <= atFinal; at++ {
		synctest.Test(t, func(t *testing.T) {
			w := way{}
			o := plainText()
			o.Timeouts = submission.Timeouts{Command: 11 * time.Second, DataInit: 12 * time.Second, DataBlock: 13 * time.Second,
				DataFinal: 14 * time.Second, Greeting: time.Second, Quit: 2 * time.Second, TLS: 3 * time.Second, Dial: 4 * time.Second}
			s := openSession(t, smtptest.Play(t, w.greeting()+w.until(at)+"stall\neof"), o)
			start := time.Now()
			_, err := send(s, w.envelope())
			if err == nil {
				t.Error("sent")
			}
			want := []time.Duration{11 * time.Second, 11 * time.Second, 11 * time.Second, 12 * time.Second, 14 * time.Second}[at]
			if took := time.Since(start); took != want {
				t.Errorf("%v took %v, want %v", stageAt[at], took, want)
			}
			mustBeOver(t, s)
		})
	}
}

// firstChunk is the script of a transaction up to the reply to its first chunk of
// 100 octets.
const firstChunk = `
	C: MAIL FROM:<a@test.example>
	C: RCPT TO:<b@test.example>
	C: RCPT TO:<c@test.example>
	S: 250 ok
	S: 250 ok
	S: 250 ok
	C: BDAT 100
	C* 100
`

// The table's row of a chunk that is not the last one, with another of its kind
// behind it, and with the last one.
func TestChunkFaults(t *testing.T) {
	w := way{pipelined: true, chunked: true}
	chunks := plainText(func(o *submission.Options) { o.ChunkSize = 100 })
	for behind, text := range map[string]string{"chunk": strings.Repeat(memo, 20), "last chunk": strings.Repeat(memo, 5)} {
		eachDelivery(t, func(t *testing.T, delivery string) {
			for _, f := range faults() {
				if delivery == "bytes" && f.kind == extraKind {
					continue
				}
				t.Run(f.name+" in front of a "+behind, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						end := f.script
						switch f.kind {
						case extraKind:
							end = `S> 250 ok\r\n250 and one more\r\n`
						case wrongKind:
							end = "S: 354 go"
						}
						nc := record(play(t, delivery, w.greeting()+firstChunk+end+"\neof"))
						s := openSession(t, nc, chunks)
						ctx, cancel := context.WithCancel(context.Background())
						defer cancel()
						want := time.Duration(0)
						switch f.kind {
						case stallKind:
							want = 3 * time.Minute
						case cancelKind:
							want = time.Second
							time.AfterFunc(want, cancel)
						}
						start := time.Now()
						res, err := s.Send(ctx, w.envelope(), strings.NewReader(text))
						if took := time.Since(start); took != want {
							t.Errorf("it took %v, want %v", took, want)
						}
						v := f.verdict(way{}, atMail)
						v.stage = submission.StageMessage
						v.check(t, res, err)
						mustBeOver(t, s)
						if n := endMarks(nc.written()); n != 0 {
							t.Errorf("%d ends of the message were sent", n)
						}
					})
				})
			}
			for _, code := range []int{450, 452, 500, 503, 552, 554} {
				t.Run(fmt.Sprintf("%d in front of a %s", code, behind), func(t *testing.T) {
					s := openSession(t, play(t, delivery, w.greeting()+firstChunk+fmt.Sprintf("S: %d no\neof", code)), chunks)
					res, err := s.Send(context.Background(), w.envelope(), strings.NewReader(text))
					verdict{stage: submission.StageMessage, code: code, temporary: code < 500,
						status: []submission.RecipientStatus{submission.RecipientUnsent, submission.RecipientUnsent}}.check(t, res, err)
					mustBeOver(t, s)
				})
			}
		})
	}
}

// A refusal with more behind it stands, but the session is not used again.
func TestExtraBehindRefusal(t *testing.T) {
	for name, tc := range map[string]struct {
		script string
		stage  submission.Stage
		large  bool
	}{
		"DATA":       {way{}.until(atData) + `S> 554 no\r\n250 what\r\n`, submission.StageData, false},
		"final":      {way{}.until(atFinal) + `S> 554 no\r\n250 what\r\n`, submission.StageFinal, false},
		"last chunk": {way{chunked: true, pipelined: true}.until(atFinal) + `S> 554 no\r\n250 what\r\n`, submission.StageFinal, false},
		"chunk":      {firstChunk + `S> 554 no\r\n250 what\r\n`, submission.StageMessage, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := way{pipelined: strings.Contains(name, "chunk"), chunked: strings.Contains(name, "chunk")}
			s := openSession(t, smtptest.Play(t, w.greeting()+tc.script+"\neof"), plainText(func(o *submission.Options) { o.ChunkSize = 100 }))
			text := memo
			if tc.large {
				text = strings.Repeat(memo, 20)
			}
			_, err := s.Send(context.Background(), w.envelope(), strings.NewReader(text))
			verdict{stage: tc.stage, code: 554}.check(t, nil, err)
			mustBeOver(t, s)
		})
	}
}

// The table's row of RSET, in front of the next message: it cannot change what
// came before, and its failure costs the session.
func TestResetFaults(t *testing.T) {
	flight := "C: MAIL FROM:<a@test.example>\nC: RCPT TO:<b@test.example>\nC: DATA\n"
	left := flight + "S: 250 ok\nS: 451 later\nS: 554 nobody\nC: RSET\n" + flight
	all := faults()
	all = append(all, fault{"4yz", "S: 451 no", closingKind, nil}, fault{"5yz", "S: 502 what is that", closingKind, nil})
	for _, f := range all {
		t.Run(f.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				end, v := f.script, f.verdict(way{}, atMail)
				v.stage, v.status = submission.StageReset, []submission.RecipientStatus{submission.RecipientUnsent}
				switch {
				case f.kind == extraKind:
					end = `S> 250 reset\r\n250 and one more\r\n250 ok\r\n250 ok\r\n354 go\r\n`
					v.stage = submission.StageData
				case f.kind == wrongKind:
					end = "S: 354 go"
				case f.kind == closingKind && f.name[0] != '4':
					v.code = 502
				case f.name == "4yz":
					v.code = 451
				}
				s := openSession(t, smtptest.Play(t, greeted("PIPELINING")+left+end+"\neof"), plainText())
				_, err := send(s, memoTo("b@test.example"))
				verdict{stage: submission.StageRcpt, code: 451, temporary: true}.check(t, nil, err)
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				want := time.Duration(0)
				switch f.kind {
				case stallKind:
					want = 5 * time.Minute
				case cancelKind:
					want = time.Second
					time.AfterFunc(want, cancel)
				}
				start := time.Now()
				_, err = s.Send(ctx, memoTo("b@test.example"), strings.NewReader(memo))
				if took := time.Since(start); took != want {
					t.Errorf("it took %v, want %v", took, want)
				}
				v.check(t, nil, err)
				mustBeOver(t, s)
			})
		})
	}
}

// RSET, NOOP and QUIT on their own: a 5yz to NOOP is the one failure that
// leaves the session alive.
func TestHousekeepingFaults(t *testing.T) {
	calls := map[string]func(context.Context, *submission.Session) error{
		"RSET": func(ctx context.Context, s *submission.Session) error { return s.Reset(ctx) },
		"NOOP": func(ctx context.Context, s *submission.Session) error { return s.Noop(ctx) },
	}
	all := faults()
	for _, code := range []int{221, 251, 299, 354, 450, 451, 500, 502, 550, 554} {
		all = append(all, fault{fmt.Sprint(code), fmt.Sprintf("S: %d x", code), wrongKind, nil})
	}
	for verb, call := range calls {
		for _, f := range all {
			t.Run(verb+"/"+f.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					end := f.script
					switch {
					case f.kind == extraKind:
						end = `S> 250 ok\r\n250 and one more\r\n`
					case f.script == "wrong":
						end = "S: 354 go"
					}
					survives := verb == "NOOP" && f.name[0] == '5'
					if survives {
						end += "\n" + flightOK + "C: QUIT\nS: 221 bye"
					}
					s := openSession(t, smtptest.Play(t, greeted("PIPELINING")+flightOK+"C: "+verb+"\n"+end+"\neof"), plainText())
					mustSend(t, s, memoTo("b@test.example"))
					ctx, cancel := context.WithCancel(context.Background())
					defer cancel()
					want := time.Duration(0)
					switch f.kind {
					case stallKind:
						want = 5 * time.Minute
					case cancelKind:
						want = time.Second
						time.AfterFunc(want, cancel)
					}
					start := time.Now()
					err := call(ctx, s)
					if took := time.Since(start); took != want {
						t.Errorf("it took %v, want %v", took, want)
					}
					if err == nil {
						t.Fatal("no error")
					}
					checkErrorText(t, err)
					if f.is != nil && !errors.Is(err, f.is) {
						t.Errorf("%v is no %v", err, f.is)
					}
					if !survives {
						mustBeOver(t, s)
						return
					}
					mustSend(t, s, memoTo("b@test.example"))
					s.Close()
				})
			})
		}
	}
}

// Whatever becomes of QUIT, the session ends well.
func TestQuitFaults(t *testing.T) {
	all := faults()
	for _, code := range []int{221, 250, 354, 450, 500, 550} {
		all = append(all, fault{fmt.Sprint(code), fmt.Sprintf("S: %d x", code), wrongKind, nil})
	}
	for _, f := range all {
		if f.kind == cancelKind || f.script == "wrong" {
			continue
		}
		t.Run(f.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				end := f.script
				if f.kind == extraKind {
					end = `S> 221 bye\r\n250 and one more\r\n`
				}
				s := openSession(t, smtptest.Play(t, greeted("PIPELINING")+flightOK+"C: QUIT\n"+end+"\neof"), plainText())
				res := mustSend(t, s, memoTo("b@test.example"))
				start := time.Now()
				if err := s.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
				want := time.Duration(0)
				if f.kind == stallKind {
					want = 5 * time.Second
				}
				if took := time.Since(start); took != want {
					t.Errorf("it took %v, want %v", took, want)
				}
				if res.Recipients[0].Status != submission.RecipientSent {
					t.Errorf("the result changed: %+v", res)
				}
				mustBeOver(t, s)
			})
		})
	}
}

// A dropped MAIL on a session of the pool is tried again, once and on a fresh
// session; on a fresh one it is not.
func TestMailDroppedRetry(t *testing.T) {
	const mail = "C: MAIL FROM:<a@test.example>\nC: RCPT TO:<b@test.example>\nC: DATA\n"
	greeting := greeted("PIPELINING")
	for name, tc := range map[string]struct {
		sends   int // the last of which fails
		scripts []string
		verdict verdict
	}{
		"reused, then good": {2, []string{greeting + flightOK + mail + "close", greeting + flightOK + "C: QUIT\nS: 221 bye\neof"}, verdict{sent: true}},
		"fresh":             {1, []string{greeting + mail + "close"}, verdict{stage: submission.StageMail, temporary: true, is: io.EOF}},
		"twice":             {2, []string{greeting + flightOK + mail + "close", greeting + mail + "close"}, verdict{stage: submission.StageMail, temporary: true, is: io.EOF}},
		"RCPT":              {2, []string{greeting + flightOK + mail + "S: 250 ok\nclose", greeting + mail + "S: 250 ok\nclose"}, verdict{stage: submission.StageRcpt, temporary: true, is: io.EOF}},
		"refused":           {2, []string{greeting + flightOK + mail + "S: 450 no\nclose", greeting + mail + "S: 450 no\nclose"}, verdict{stage: submission.StageMail, temporary: true, code: 450}},
	} {
		t.Run(name, func(t *testing.T) {
			var dials int
			o := plainText()
			o.Dialer = dialFunc(func(context.Context, string, string) (net.Conn, error) {
				dials++
				if dials > len(tc.scripts) {
					return nil, errors.New("one dial too many")
				}
				return smtptest.Play(t, tc.scripts[dials-1]), nil
			})
			c, err := submission.New(testHost, o)
			if err != nil {
				t.Fatal(err)
			}
			var res *submission.Result
			for range tc.sends {
				res, err = c.Send(context.Background(), memoTo("b@test.example"), strings.NewReader(memo))
			}
			tc.verdict.check(t, res, err)
			c.Close()
			if dials != len(tc.scripts) {
				t.Errorf("%d dials, want %d", dials, len(tc.scripts))
			}
		})
	}
}

// Once Unknown, never retried: the message goes out once.
func TestUnknownIsNotRetried(t *testing.T) {
	srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.NoTLS, Hook: func(c smtptest.Command) *smtptest.Answer {
		if c.Verb == "MESSAGE" && slices.Equal(c.Message.To, []string{"second@test.example"}) {
			return &smtptest.Answer{Close: true}
		}
		return nil
	}})
	defer srv.Close()
	o := plainText()
	o.Dialer = dialFunc(func(context.Context, string, string) (net.Conn, error) { return srv.Pipe(), nil })
	c, err := submission.New(testHost, o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, to := range []string{"first@test.example", "second@test.example"} {
		_, err = c.Send(context.Background(), memoTo(to), strings.NewReader(memo))
	}
	verdict{outcome: submission.Unknown, stage: submission.StageFinal, is: io.EOF, status: []submission.RecipientStatus{submission.RecipientUncertain}}.check(t, nil, err)
	seen := 0
	for _, line := range srv.Transcript() {
		if strings.Contains(line, "second@") {
			seen++
		}
	}
	if seen != 1 || srv.Sessions() != 1 {
		t.Errorf("RCPT was sent %d times over %d sessions", seen, srv.Sessions())
	}
}
