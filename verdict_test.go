package submission_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// Each fault at each step of a transaction: lost connection, silence, garbage, a reply too
// many, 421.
func TestFaults(t *testing.T) {
	eachDelivery(t, func(t *testing.T, delivery string) {
		for _, w := range ways() {
			for at := atMail; at <= atFinal; at++ {
				if w.chunked && at == atData {
					continue
				}
				for _, f := range faults() {
					if delivery == "bytes" && f.kind == extraKind {
						continue // in a segment of its own, the reply too many cannot be seen in time
					}
					t.Run(fmt.Sprintf("%v/%v %d/%s", w, stageAt[at], at, f.name), func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) { f.run(t, w, at, delivery) })
					})
				}
			}
		}
	})
}

// Each refusal at each step of a transaction, except RCPT, for which see TestRecipientMix.
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
	// After a refused MAIL there is nothing to reset. A refused chunk ends the session.
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
		t.Errorf("the error wraps a SenderError: %v, want %v: %v", sender != nil, at == atMail, err)
	}
	if again == "eof" {
		mustBeOver(t, s)
		return
	}
	mustSend(t, s, memoTo("b@test.example"))
	s.Close()
}

// When the session is lost, a recipient that was refused before stays refused.
func TestRefusalsKeptWhenLost(t *testing.T) {
	for _, pipelined := range []bool{false, true} {
		for _, tc := range []struct {
			name      string
			end       string
			took      time.Duration
			temporary bool // of what follows the refusal
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
								return // nothing is sent after the refusal
							}
							w := way{pipelined: pipelined, partial: partial}
							script := w.until(atRcpt1) + fmt.Sprintf("S: %d no\n", code)
							if !pipelined {
								script += "C: RCPT TO:<c@test.example>\n"
							}
							s := openSession(t, play(t, "whole", w.greeting()+script+tc.end+"\neof"), plainText())
							start := time.Now()
							res, err := send(s, w.envelope())
							if took := time.Since(start); took != tc.took {
								t.Errorf("it took %v, want %v", took, tc.took)
							}
							v := verdict{stage: submission.StageRcpt, code: code, protocol: tc.name == "rubbish",
								temporary: tc.temporary && code == 450, status: []submission.RecipientStatus{submission.RecipientInvalid, submission.RecipientUnsent}}
							if partial {
								// The loss stopped the message, not the refusal.
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
								t.Errorf("the address errors are %v, want one with %d", list, code)
							}
							mustBeOver(t, s)
						})
					})
				}
			}
		}
	}
}

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

// The server hangs up in the middle of the message. If it says why before that, its reply
// is read.
func TestHangUpWithinMessage(t *testing.T) {
	for _, w := range ways() {
		for _, c := range cutsShort(submission.StageMessage) {
			t.Run(fmt.Sprintf("%v/%s", w, c.name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					script := w.until(atData) + "S: 354 go\nC* 70000\n"
					if w.chunked {
						script = w.until(atRcpt2) + "S: 250 ok\nC: BDAT 100000\nC* 40000\n"
					}
					nc := record(play(t, "whole", w.greeting()+script+c.script))
					s := openSession(t, nc, plainText(func(o *submission.Options) { o.ChunkSize = 100000 }))
					start := time.Now()
					res, err := s.Send(context.Background(), w.envelope(), strings.NewReader(long))
					if took := time.Since(start); took != 0 {
						t.Errorf("it took %v", took)
					}
					c.verdict.check(t, res, err)
					mustBeOver(t, s)
					if n := endMarks(nc.written()); n != 0 {
						t.Errorf("the end of the message was sent %d times", n)
					}
				})
			})
		}
	}
}

// firstChunk is the script of a transaction whose first chunk of 100 octets is answered
// next.
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

// Each fault and each refusal at a chunk that is not the last one. The next chunk is like
// it, or is the last one.
func TestChunkFaults(t *testing.T) {
	w := way{pipelined: true, chunked: true}
	chunks := plainText(func(o *submission.Options) { o.ChunkSize = 100 })
	for next, text := range map[string]string{"chunk": strings.Repeat(memo, 20), "last chunk": strings.Repeat(memo, 5)} {
		eachDelivery(t, func(t *testing.T, delivery string) {
			for _, f := range faults() {
				if delivery == "bytes" && f.kind == extraKind {
					continue
				}
				t.Run(f.name+" before a "+next, func(t *testing.T) {
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
							t.Errorf("the end of the message was sent %d times", n)
						}
					})
				})
			}
			for _, code := range []int{450, 452, 500, 503, 552, 554} {
				t.Run(fmt.Sprintf("%d before a %s", code, next), func(t *testing.T) {
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

// A refusal with another reply after it is still the verdict, but the session is not used
// again.
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
			s := openSession(t, play(t, "whole", w.greeting()+tc.script+"\neof"), plainText(func(o *submission.Options) { o.ChunkSize = 100 }))
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

// Each fault at the RSET that precedes the next message: it ends the session, and changes
// nothing in the verdict on the message before.
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
				s := openSession(t, play(t, "whole", greeted("PIPELINING")+left+end+"\neof"), plainText())
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

// The error of a message whose final reply makes no sense says what was replied.
func TestUnknownSaysWhatCame(t *testing.T) {
	for reply, want := range map[string]string{
		"S: 354 go on": "unexpected 354 go on",
		"S: hello":     "not an SMTP reply: hello",
		"close":        "the server closed the connection",
	} {
		for _, w := range []way{{}, {pipelined: true}, {chunked: true}, {pipelined: true, chunked: true}} {
			s := openSession(t, smtptest.Play(t, w.greeting()+w.until(atFinal)+reply+"\neof"), plainText())
			_, err := send(s, w.envelope())
			if err == nil || !strings.Contains(err.Error(), "final reply: outcome unknown: "+want) {
				t.Errorf("%v, %s: %v, want %q in it", w, reply, err, want)
			}
			s.Close()
		}
	}
}

// A 421 to MAIL is what stopped the message, whatever is said to the rest of its flight.
func TestClosingAtMailComesFirst(t *testing.T) {
	for _, rest := range []string{"S: 503 no\nS: 503 no\nS: 503 no\neof", "S: 503 no\nS: 503 no\nclose\neof", "close\neof"} {
		script := greeted("PIPELINING", "CHUNKING") + "C: " + strings.Join(way{chunked: true}.steps(), "\nC: ") + "\n" + memoBDAT + "S: 421 4.3.2 bye\n" + rest
		s := openSession(t, smtptest.Play(t, script), plainText(func(o *submission.Options) { o.EarlyData = true }))
		env := memoTo("b@test.example", "c@test.example")
		env.Partial = true
		res, err := send(s, env)
		verdict{stage: submission.StageMail, code: 421, temporary: true, codes: []int{0, 0},
			status: []submission.RecipientStatus{submission.RecipientUnsent, submission.RecipientUnsent}}.check(t, res, err)
		mustBeOver(t, s)
	}
}
