package submission_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// These tests are about one thing: what the client says of a message is what the
// server did. Each of them was a lie once, or a message sent twice.

const (
	mailFromA    = "C: MAIL FROM:<a@test.example>\n"
	rcptToB      = "C: RCPT TO:<b@test.example>\n"
	rcptToC      = "C: RCPT TO:<c@test.example>\n"
	replyOK      = "S: 250 ok\n"
	statusSent   = submission.RecipientSent
	statusUnsent = submission.RecipientUnsent
)

func withEarlyData(o *submission.Options) { o.EarlyData = true }

func partialTo(addrs ...string) submission.Envelope {
	env := memoTo(addrs...)
	env.Partial = true
	return env
}

// wantOutcome checks the outcome of a send, and of its recipients where status
// is not nil.
func wantOutcome(t testing.TB, err error, want submission.Outcome, status ...submission.RecipientStatus) *submission.SendError {
	t.Helper()
	e := wantError[*submission.SendError](t, err)
	if e.Outcome != want {
		t.Errorf("outcome is %v, want %v: %v", e.Outcome, want, err)
	}
	if status != nil {
		verdict{status: status}.checkRecipients(t, e.Recipients)
	}
	return e
}

// With the message in flight behind its envelope, a reply that ends the session
// is no verdict on it: the replies that follow are heard first.
func TestFlightJudgedWhole(t *testing.T) {
	flight := greeted("PIPELINING", "CHUNKING") + mailFromA + rcptToB + rcptToC + memoBDAT
	const notSent, partly, unknown = submission.NotSent, submission.PartlySent, submission.Unknown
	for _, tc := range []struct {
		name, replies string
		outcome       submission.Outcome
		status        []submission.RecipientStatus
	}{
		{"421 to the second recipient", replyOK + replyOK + "S: 421 bye\nS: 250 taken\neof", partly, []submission.RecipientStatus{statusSent, statusUnsent}},
		{"421 to the first recipient", replyOK + "S: 421 bye\n" + replyOK + "S: 250 taken\neof", partly, []submission.RecipientStatus{statusUnsent, statusSent}},
		{"221 to the second recipient", replyOK + replyOK + "S: 221 bye\nS: 250 taken\neof", partly, []submission.RecipientStatus{statusSent, statusUnsent}},
		{"421 to the second recipient, and the connection ends", replyOK + replyOK + "S: 421 bye\nS: 250 taken\nclose\neof", partly, []submission.RecipientStatus{statusSent, statusUnsent}},
		{"421 to the second recipient, the message refused", replyOK + replyOK + "S: 421 bye\nS: 552 no\neof", notSent, []submission.RecipientStatus{statusUnsent, statusUnsent}},
		{"421 to the second recipient, no more replies", replyOK + replyOK + "S: 421 bye\nclose\neof", unknown, nil},
		{"421 to the second recipient, silence", replyOK + replyOK + "S: 421 bye\nstall\neof", unknown, nil},
		{"421 to the second recipient, half a reply", replyOK + replyOK + "S: 421 bye\nS> 25\nclose\neof", unknown, nil},
		{"421 to both recipients, the message refused", replyOK + "S: 421 bye\nS: 421 bye\nS: 503 nobody\neof", notSent, []submission.RecipientStatus{statusUnsent, statusUnsent}},
		{"421 to MAIL, the rest refused", "S: 421 bye\nS: 503 what\nS: 503 what\nS: 503 what\neof", notSent, []submission.RecipientStatus{statusUnsent, statusUnsent}},
	} {
		for _, delivery := range deliveries {
			t.Run(tc.name+"/"+delivery, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := openSession(t, play(t, delivery, flight+tc.replies), plainText(withEarlyData))
					res, err := send(s, partialTo(rcptB, rcptC))
					wantOutcome(t, err, tc.outcome, tc.status...)
					if (res != nil) != (tc.outcome == partly) {
						t.Errorf("result %+v", res)
					}
					mustBeOver(t, s)
				})
			})
		}
	}
	t.Run("421 to MAIL, the rest taken", func(t *testing.T) {
		s := openSession(t, smtptest.Play(t, flight+"S: 421 bye\n"+replyOK+replyOK+"S: 250 taken\neof"), plainText(withEarlyData))
		if _, err := send(s, partialTo(rcptB, rcptC)); err != nil {
			wantOutcome(t, err, submission.Unknown)
		}
		mustBeOver(t, s)
	})
}

// What another message left behind has to be gone before a message may share the
// flight of its envelope: a server that cannot reset would add it to the other.
func TestNoEarlyDataOnADirtySession(t *testing.T) {
	left := greeted("PIPELINING", "CHUNKING") + mailFromA + rcptToB + rcptToC + replyOK + replyOK + "S: 550 who\nC: RSET\n" + mailFromA + rcptToB
	for _, tc := range []struct {
		name, replies string
		code          int // 0: the message is sent
	}{
		{"RSET taken", replyOK + replyOK + replyOK + memoBDAT + "S: 250 taken\nC: QUIT\nS: 221 bye\neof", 0},
		{"RSET refused", "S: 502 what\nS! 250 ok\nS! 250 ok\neof", 502},
		{"RSET deferred", "S: 451 what\nS! 250 ok\nS! 250 ok\neof", 451},
		{"421 to RSET", "S: 421 bye\nS! 250 ok\nS! 250 ok\neof", 421},
	} {
		t.Run(tc.name, func(t *testing.T) {
			// BDAT before RSET was answered is not what the script wants.
			s := openSession(t, smtptest.Play(t, left+tc.replies), plainText(withEarlyData))
			_, err := send(s, memoTo(rcptB, rcptC))
			wantOutcome(t, err, submission.NotSent)
			_, err = send(s, memoTo(rcptB))
			if tc.code == 0 && err != nil {
				t.Fatal(err)
			}
			if tc.code != 0 {
				if e := wantOutcome(t, err, submission.NotSent); e.Reply == nil || e.Reply.Code != tc.code {
					t.Errorf("reply %v, want %d", e.Reply, tc.code)
				}
				mustBeOver(t, s)
			}
			s.Close()
		})
	}
}

// A message whose chunk was refused, and one after it, whose RSET the server does
// not know. The second is sent at most once, and the truth is told of both.
func TestMessageAfterARefusedChunk(t *testing.T) {
	for _, code := range []int{502, 451, 421} {
		for _, client := range []bool{false, true} {
			t.Run(fmt.Sprintf("RSET %d, client %v", code, client), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := senderOver(t, transport{pair: memoryPair}, carriage{keywords: []string{"CHUNKING"}, early: true})
					s.client = client
					s.send("first", "message", nil)
					s.send("next", "", &misreply{at: placeReset, code: code, works: true})
					s.wantTruth(t)
					if client && s.said[1].err != nil {
						t.Errorf("the second message: %v", s.said[1].err)
					}
				})
			})
		}
	}
}

// wantTruth ends the session and holds what was said of each message against what
// the server did.
func (s *sender) wantTruth(t *testing.T) {
	t.Helper()
	s.close()
	s.srv.wait()
	for _, said := range s.said {
		for _, wrong := range []string{said.contradiction(s.srv), said.blames(s.srv)} {
			if wrong != "" {
				t.Error(wrong)
			}
		}
	}
	if s.srv.strange != nil {
		t.Errorf("the client sent %q", s.srv.strange)
	}
	if t.Failed() {
		t.Log(s.srv.transcript())
	}
}

// synctestRun is t.Run in a synctest bubble.
func synctestRun(t *testing.T, name string, f func(t *testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

// links are connections of every kind that a caller may hand in: with a socket
// in sight, with one that has to be looked for, and with none.
func transports() []transport {
	list := []transport{
		{name: "net.Pipe", pair: unbufferedPair},
		{name: "in memory", pair: memoryPair},
		{name: "wrapper that opens, in memory", pair: memoryPair, wrap: letBeOpen},
		{name: "socket", pair: tcpPair, real: true},
		{name: "wrapped socket", pair: tcpPair, wrap: hideAll, real: true},
		{name: "wrapped socket that opens", pair: tcpPair, wrap: letBeOpen, real: true},
	}
	for _, l := range list {
		l.name, l.secure = "TLS over "+l.name, true
		list = append(list, l)
	}
	return list
}

// eachTransport runs f over each kind of connection, and for each way in which a
// message can travel.
func eachTransport(t *testing.T, f func(t *testing.T, l transport, how carriage)) {
	for _, l := range transports() {
		for _, how := range carriages() {
			t.Run(l.name+"/"+how.name, func(t *testing.T) {
				t.Parallel()
				if l.real {
					f(t, l, how)
					return
				}
				synctest.Test(t, func(t *testing.T) { f(t, l, how) })
			})
		}
	}
}

// senderOver returns a sender of messages that travel over a link. It is closed with
// the test.
func senderOver(t *testing.T, l transport, how carriage) *sender {
	o := plainText(func(o *submission.Options) { o.EarlyData, o.ChunkSize = how.early, how.chunk })
	if l.secure {
		o.TLS, o.TLSConfig = submission.TLSImplicit, clientTLS()
	}
	srv := newRecordingServer(append([]string{"PIPELINING"}, how.keywords...)...)
	s := &sender{srv: srv, link: l, options: o, partial: true}
	t.Cleanup(s.close)
	return s
}

// What the server says while nobody asks is seen before a command is written, on
// every kind of connection. It is taken neither for the answer to a command nor,
// later, for the server's word on a message.
func TestUnaskedReplyIsSeen(t *testing.T) {
	eachTransport(t, func(t *testing.T, l transport, how carriage) {
		for _, code := range []int{250, 550, 421, 221} {
			for _, refuses := range []string{"", rcptB, "message"} {
				for _, hangsUp := range []bool{false, true} {
					if l.real && (hangsUp || refuses == rcptB) {
						continue // to save time: nothing in it is about the connection
					}
					for _, client := range []bool{false, true} {
						s := senderOver(t, l, how)
						s.client = client
						s.send("first", "", nil)
						s.send("next", refuses, &misreply{kind: extraReply, when: unasked, at: placeMail, code: code, hangsUp: hangsUp})
						s.wantTruth(t)
						name := fmt.Sprintf("%d, refuses %q, hangs up %v, client %v", code, refuses, hangsUp, client)
						first, _, _ := strings.Cut(s.srv.transcript(), fmt.Sprintf("S: %d one too many", code))
						rest := strings.TrimPrefix(s.srv.transcript(), first)
						if strings.Contains(rest, "[1] C: MAIL") {
							t.Errorf("%s: MAIL was written to a session that was out of step", name)
						}
						err := s.said[1].err
						switch {
						case !client:
							wantOutcome(t, err, submission.NotSent)
							if s.session.Usable() {
								t.Errorf("%s: the session is used on", name)
							}
						case refuses == "" && err != nil:
							t.Errorf("%s: a fresh session would have taken it: %v", name, err)
						}
						if t.Failed() {
							t.Fatalf("%s:\n%s", name, s.srv.transcript())
						}
					}
				}
			}
		}
	})
}

// A reply that comes before the message is whole is no word on the message, and
// no dot, and no last chunk, is written after it.
func TestReplyBeforeTheLastOctetIsSeen(t *testing.T) {
	eachTransport(t, func(t *testing.T, l transport, how carriage) {
		after := how.places[len(how.places)-2]
		if how.early {
			return // nothing can come between
		}
		for _, refuses := range []string{"", "message"} {
			s := senderOver(t, l, how)
			s.send("first", "", nil)
			s.send("next", refuses, &misreply{kind: extraReply, when: unasked, at: placeFinal, after: after, code: 250})
			if s.session.Usable() {
				t.Error("the session is used on")
			}
			s.wantTruth(t)
			wantOutcome(t, s.said[1].err, submission.NotSent, statusUnsent, statusUnsent)
			if s.srv.whole["next"] {
				t.Error("the message was ended")
			}
		}
	})
}

// With one reply too many a refused message never counts as sent, and the refusal
// of a recipient never lands on another.
func TestRefusalsStayWhereTheyBelong(t *testing.T) {
	eachTransport(t, func(t *testing.T, l transport, how carriage) {
		for _, refuses := range []string{rcptB, rcptC, "message"} {
			for _, when := range []extraTime{withTheGood, beforeTheGood, unasked} {
				for at, after := range map[place]place{placeMail: nowhere, placeRcpt1: placeMail, placeRcpt2: placeRcpt1} {
					for _, partial := range []bool{false, true} {
						if l.real && (!partial || when == withTheGood) {
							continue // to save time: nothing in it is about the connection
						}
						s := senderOver(t, l, how)
						s.partial = partial
						s.send("first", "", nil)
						s.send("next", refuses, &misreply{kind: extraReply, when: when, at: at, after: after, code: 250})
						s.wantTruth(t)
						if t.Failed() {
							t.Fatalf("%v %d, refuses %s, partial %v", at, when, refuses, partial)
						}
					}
				}
			}
		}
	})
}

// The first message of a session is not shifted by what the server said after its
// reply to EHLO or to AUTH.
func TestReplyTooManyAfterTheHandshake(t *testing.T) {
	for _, after := range []place{nowhere, placeAuth} {
		for _, l := range transports() {
			for _, how := range carriages() {
				t.Run(fmt.Sprintf("%v/%s/%s", after, l.name, how.name), func(t *testing.T) {
					run := func(t *testing.T) {
						s := senderOver(t, l, how)
						s.client = true
						if after == placeAuth {
							s.srv.keywords = append(s.srv.keywords, "AUTH PLAIN")
							s.options.Auth, s.options.InsecureAuth = testPassword, true
						}
						s.srv.thinks = 5 * time.Millisecond
						s.send("first", "message", &misreply{kind: extraReply, when: unasked, at: placeMail, after: after, code: 250})
						s.wantTruth(t)
						wantOutcome(t, s.said[0].err, submission.NotSent)
						if strings.Contains(s.srv.transcript(), "[1] C: MAIL") {
							t.Errorf("MAIL was written to a session that was out of step:\n%s", s.srv.transcript())
						}
					}
					if l.real {
						run(t)
					} else {
						synctest.Test(t, run)
					}
				})
			}
		}
	}
}

// When the server has refused everybody and then ends, the caller wants to know
// of the refusal: it decides whether another try is worth it.
func TestRefusalOfAllOutlivesTheSession(t *testing.T) {
	for _, addrs := range [][]string{{rcptB}, {rcptB, rcptC}} {
		for _, code := range []int{550, 450} {
			for _, end := range []string{"close", "reset", "S> 35\nclose", "S: 421 bye\nclose", "stall"} {
				t.Run(fmt.Sprintf("%d recipients/%d/%.11s", len(addrs), code, end), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						script := greeted("PIPELINING") + mailFromA
						for _, addr := range addrs {
							script += "C: RCPT TO:<" + addr + ">\n"
						}
						script += "C: DATA\n" + replyOK + strings.Repeat(fmt.Sprintf("S: %d no\n", code), len(addrs)) + end + "\neof"
						s := openSession(t, smtptest.Play(t, script), plainText())
						_, err := send(s, partialTo(addrs...))
						want := submission.RecipientInvalid
						if code == 450 {
							want = statusUnsent
						}
						e := wantOutcome(t, err, submission.NotSent, []submission.RecipientStatus{want, want}[:len(addrs)]...)
						if e.Stage != submission.StageRcpt || e.Reply == nil || e.Reply.Code != code || e.Temporary() != (code == 450) {
							t.Errorf("%v, reply %v, temporary %v: %v", e.Stage, e.Reply, e.Temporary(), err)
						}
						mustBeOver(t, s)
					})
				})
			}
		}
	}
}

// Committing again says again what became of the message.
func TestCommitAgain(t *testing.T) {
	for _, tc := range []struct {
		name, replies string
		env           submission.Envelope
		check         func(t *testing.T, res *submission.Result, err error)
	}{
		{"sent", replyOK + "S: 354 go\n" + memoData + "S: 250 taken\n", memoTo(rcptB), func(t *testing.T, res *submission.Result, err error) {
			if err != nil || res == nil || res.Reply.Code != 250 || res.Recipients[0].Status != statusSent {
				t.Errorf("%+v, %v", res, err)
			}
		}},
		{"partly sent", replyOK + "S: 550 who\nS: 354 go\n" + memoData + "S: 250 taken\n", partialTo(rcptB, rcptC), func(t *testing.T, res *submission.Result, err error) {
			wantOutcome(t, err, submission.PartlySent, statusSent, submission.RecipientInvalid)
			if res == nil {
				t.Error("no result")
			}
		}},
		{"not sent", replyOK + "S: 354 go\n" + memoData + "S: 554 no\n", memoTo(rcptB), func(t *testing.T, res *submission.Result, err error) {
			wantOutcome(t, err, submission.NotSent, statusUnsent)
			if res != nil {
				t.Errorf("result %+v", res)
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			script := greeted("PIPELINING") + mailFromA
			for _, r := range tc.env.To {
				script += "C: RCPT TO:<" + r.Addr + ">\n"
			}
			s := openSession(t, smtptest.Play(t, script+"C: DATA\n"+replyOK+tc.replies+"C: QUIT\nS: 221 bye\neof"), plainText())
			tx, err := s.Begin(context.Background(), tc.env)
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Abort()
			if _, err := io.WriteString(tx, memo); err != nil {
				t.Fatal(err)
			}
			res, err := tx.Commit()
			tc.check(t, res, err)
			for range 2 {
				again, err2 := tx.Commit()
				if !reflect.DeepEqual(again, res) || !reflect.DeepEqual(err2, err) {
					t.Errorf("then %+v, %v; first %+v, %v", again, err2, res, err)
				}
			}
			s.Close()
		})
	}
}

// A caller that gives up before anything was written knows that nothing was sent.
func TestCancelledBeforeTheFirstOctet(t *testing.T) {
	for how, call := range map[string]func(ctx context.Context, s *submission.Session, cancel func()) error{
		"by the source": func(ctx context.Context, s *submission.Session, cancel func()) error {
			_, err := s.Send(ctx, memoTo(rcptB), &cancelling{memo, cancel})
			return err
		},
		"before Commit": func(ctx context.Context, s *submission.Session, cancel func()) error {
			tx, err := s.Begin(ctx, memoTo(rcptB))
			if err != nil {
				return err
			}
			defer tx.Abort()
			if _, err := io.WriteString(tx, memo); err != nil {
				return err
			}
			cancel()
			_, err = tx.Commit()
			return err
		},
	} {
		for _, keywords := range [][]string{{"PIPELINING", "CHUNKING"}, {"PIPELINING"}, {}} {
			t.Run(fmt.Sprint(how, keywords), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					nc := record(smtptest.Play(t, greeted(keywords...)+"eof"))
					s := openSession(t, nc, plainText(withEarlyData))
					before := len(nc.written())
					ctx, cancel := context.WithCancel(context.Background())
					err := call(ctx, s, func() {
						cancel()
						synctest.Wait()
					})
					wantOutcome(t, err, submission.NotSent, statusUnsent)
					if !errors.Is(err, context.Canceled) {
						t.Errorf("%v does not say that it was cancelled", err)
					}
					if n := len(nc.written()) - before; n != 0 {
						t.Errorf("%d octets were written", n)
					}
					s.Close()
				})
			})
		}
	}
}

// A caller that gives up before the connection has taken an octet of the flight knows
// that nothing was sent, also when it does so at the last moment. What a connection says
// that failed by itself is no proof.
func TestGivenUpBeforeTheFlight(t *testing.T) {
	for name, tc := range map[string]struct {
		hook, setter, write bool          // where the caller gives up
		limit               time.Duration // of the call
		fails               bool          // the write fails
		outcome             submission.Outcome
	}{
		"at the line of the chunk":   {hook: true},
		"when the write is timed":    {setter: true},
		"in the write":               {write: true, fails: true},
		"while the write waits":      {limit: time.Second},
		"not at all, and it fails":   {fails: true, outcome: submission.Unknown},
		"not at all, and time is up": {outcome: submission.Unknown},
	} {
		promise(t, name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			if tc.limit > 0 {
				ctx, cancel = context.WithTimeout(ctx, tc.limit)
			}
			defer cancel()
			near, far := net.Pipe() // a write waits until it is read
			defer far.Close()
			go func() {
				io.WriteString(far, "220 hi\r\n")
				bufio.NewReader(far).ReadString('\n')
				io.WriteString(far, strings.ReplaceAll(ehloReply([]string{"PIPELINING", "CHUNKING"}), "\n", "\r\n")+"\r\n")
			}()
			nc, begun := &asked{Conn: near}, false
			nc.deadline = func() {
				if begun && tc.setter {
					cancel()
				}
			}
			nc.write = func() error {
				if begun && tc.write {
					cancel()
				}
				if begun && tc.fails {
					return errnoPipe
				}
				return nil
			}
			s := openSession(t, nc, plainText(withEarlyData, func(o *submission.Options) {
				o.Trace = &submission.Trace{Sent: func(_ context.Context, _ submission.SessionInfo, line string) {
					if tc.hook && strings.HasPrefix(line, "BDAT") {
						cancel()
					}
				}}
			}))
			begun = true
			_, err := s.Send(ctx, memoTo(rcptB), strings.NewReader(memo))
			if tc.outcome == submission.Unknown {
				wantOutcome(t, err, submission.Unknown)
			} else if e := wantOutcome(t, err, submission.NotSent, statusUnsent); e.Stage != submission.StageMail || !e.Temporary() || ctx.Err() == nil || !errors.Is(err, ctx.Err()) {
				t.Errorf("%v: stage %v, temporary %v, want %v", err, e.Stage, e.Temporary(), ctx.Err())
			}
			s.Close()
		})
	}
}

// asked is a connection that asks before it sets a deadline for writes and writes.
type asked struct {
	net.Conn
	deadline func()
	write    func() error
}

func (c *asked) SetWriteDeadline(at time.Time) error {
	c.deadline()
	return c.Conn.SetWriteDeadline(at)
}

func (c *asked) Write(p []byte) (int, error) {
	if err := c.write(); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// cancelling gives its text and calls cancel together with its end.
type cancelling struct {
	text   string
	cancel func()
}

func (c *cancelling) Read(p []byte) (int, error) {
	n := copy(p, c.text)
	if c.text = c.text[n:]; c.text != "" {
		return n, nil
	}
	c.cancel()
	return n, io.EOF
}

// A session that is found dead when it is asked once more what it offers has
// nothing of the message: a fresh one takes it.
func TestSessionDeadAtTheSecondEHLO(t *testing.T) {
	login := "S: 220 hi\nC: EHLO client.test.example\nS: 250-" + testHost + "\nS: 250-PIPELINING\nS: 250 AUTH PLAIN\n" + authPlain + authOK + "\n"
	again := "C: EHLO client.test.example\n"
	for _, end := range []string{"close", "reset", "S: 421 idle too long\nclose", "S> 25\nclose"} {
		t.Run(end, func(t *testing.T) {
			c := scriptedClient(t, func(o *submission.Options) { o.Auth, o.InsecureAuth = testPassword, true },
				login+poolMessage+again+end,
				login+again+"S: 250-"+testHost+"\nS: 250-PIPELINING\nS: 250 DSN\n"+strings.Replace(poolMessage, "<a@test.example>", "<a@test.example> RET=HDRS", 1)+poolQuit)
			if err := poolSend(c); err != nil {
				t.Fatal(err)
			}
			env := poolEnvelope
			env.DSN.Return = submission.ReturnHeaders
			if _, err := c.Send(context.Background(), env, strings.NewReader("Subject: pool\n\ntext\n")); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// What one session cannot do is no reason to leave a recipient out on the next.
func TestRecipientsAreThoseOfTheSession(t *testing.T) {
	const recipient = "ü@test.example"
	dead := mailFromA + rcptToB + "C: DATA\nclose"
	able := greeted("PIPELINING", "8BITMIME", "SMTPUTF8")
	both := "C: MAIL FROM:<a@test.example> SMTPUTF8\n" + rcptToB + "C: RCPT TO:<" + recipient + ">\nC: DATA\n"
	env := partialTo(rcptB, recipient)
	t.Run("the fresh session offers more", func(t *testing.T) {
		c := scriptedClient(t, nil, poolGreeting+poolMessage+dead,
			able+both+replyOK+replyOK+replyOK+"S: 354 go\n"+memoData+"S: 250 taken\n"+poolQuit)
		if err := poolSend(c); err != nil {
			t.Fatal(err)
		}
		res, err := c.Send(context.Background(), env, strings.NewReader(memo))
		verdict{sent: true, status: []submission.RecipientStatus{statusSent, statusSent}}.check(t, res, err)
	})
	t.Run("the fresh session offers less", func(t *testing.T) {
		c := scriptedClient(t, nil, able+poolMessage+both+"close",
			poolGreeting+mailFromA+rcptToB+"C: DATA\n"+replyOK+replyOK+"S: 354 go\n"+memoData+"S: 250 taken\n"+poolQuit)
		if err := poolSend(c); err != nil {
			t.Fatal(err)
		}
		_, err := c.Send(context.Background(), env, strings.NewReader(memo))
		e := wantOutcome(t, err, submission.PartlySent)
		if e.Recipients[0].Status != statusSent || e.Recipients[1].Status == statusSent || !errors.Is(err, submission.ErrUnsupported) {
			t.Errorf("%+v: %v", e.Recipients, err)
		}
	})
}

// The envelope is that of Begin, whatever its owner does with it before Commit.
func TestEnvelopeIsThatOfBegin(t *testing.T) {
	env := submission.Envelope{
		From: "a@test.example", Params: []string{"XMAIL=one"}, Partial: true,
		To: []submission.Recipient{
			{Addr: rcptB, Notify: submission.NotifySuccess, ORCPT: "rfc822;b@test.example", Params: []string{"XRCPT=b"}},
			{Addr: rcptC, Notify: submission.NotifyNever, Params: []string{"XRCPT=c"}},
		},
	}
	s := openSession(t, smtptest.Play(t, greeted("PIPELINING", "DSN", "XMAIL", "XRCPT")+`
		C: MAIL FROM:<a@test.example> XMAIL=one
		C: RCPT TO:<b@test.example> NOTIFY=SUCCESS ORCPT=rfc822;b@test.example XRCPT=b
		C: RCPT TO:<c@test.example> NOTIFY=NEVER XRCPT=c
		C: DATA
		S: 250 ok
		S: 250 ok
		S: 550 who
		S: 354 go
		`+memoData+`
		S: 250 taken
		C: QUIT
		S: 221 bye
		eof`), plainText())
	tx, err := s.Begin(context.Background(), env)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Abort()
	env.Params[0] = "XMAIL=two"
	env.To[0].Params[0] = "XRCPT=other"
	env.To[1].Params[0] = "XRCPT=other"
	env.To[0], env.To[1] = submission.Recipient{Addr: "x@test.example", Notify: submission.NotifyFailure}, submission.Recipient{Addr: "y@test.example"}
	if _, err := io.WriteString(tx, memo); err != nil {
		t.Fatal(err)
	}
	_, err = tx.Commit()
	e := wantOutcome(t, err, submission.PartlySent, statusSent, submission.RecipientInvalid)
	if e.Recipients[0].Addr != rcptB || e.Recipients[1].Addr != rcptC {
		t.Errorf("recipients %+v", e.Recipients)
	}
	s.Close()
}

// MAIL was refused, a recipient taken, and then the replies end: some servers
// take such a message, as the 2yz says, so nobody can know.
func TestRefusedMailWithARecipientTaken(t *testing.T) {
	for _, tc := range []struct {
		name, replies string
		outcome       submission.Outcome
	}{
		{"hang-up", "S: 550 no\n" + replyOK + replyOK + "close", submission.Unknown},
		{"reset", "S: 550 no\n" + replyOK + replyOK + "reset", submission.Unknown},
		{"half a reply", "S: 550 no\n" + replyOK + replyOK + "S> 25\nclose", submission.Unknown},
		{"silence", "S: 550 no\n" + replyOK + replyOK + "stall", submission.Unknown},
		{"rubbish", "S: 550 no\n" + replyOK + replyOK + "S: what", submission.Unknown},
		{"MAIL deferred", "S: 450 no\n" + replyOK + replyOK + "close", submission.Unknown},
		{"one recipient of two", "S: 550 no\nS: 503 no\n" + replyOK + "close", submission.Unknown},
		{"nobody taken", "S: 550 no\nS: 503 no\nS: 503 no\nclose", submission.NotSent},
		{"message refused", "S: 550 no\n" + replyOK + replyOK + "S: 503 no", submission.NotSent},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				script := greeted("PIPELINING", "CHUNKING") + mailFromA + rcptToB + rcptToC + memoBDAT
				s := openSession(t, smtptest.Play(t, script+tc.replies+"\neof"), plainText(withEarlyData))
				_, err := send(s, partialTo(rcptB, rcptC))
				wantOutcome(t, err, tc.outcome)
				mustBeOver(t, s)
			})
		})
	}
}

// A server that does not read a chunk which it refuses reads it as commands, and
// answers them. These answers are no answers to the next message.
func TestChunkReadAsCommands(t *testing.T) {
	for _, l := range []transport{{name: "net.Pipe", pair: unbufferedPair}, {name: "in memory", pair: memoryPair}, {name: "socket", pair: tcpPair, real: true}} {
		for _, thinks := range []time.Duration{0, 5 * time.Millisecond} {
			for _, client := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/after %v/client %v", l.name, thinks, client), func(t *testing.T) {
					run := func(t *testing.T) {
						s := senderOver(t, l, carriage{early: true, keywords: []string{"CHUNKING"}})
						s.srv.leavesChunks, s.srv.thinks, s.client = true, thinks, client
						s.partial = false
						s.to = []string{rcptB}
						s.text = strings.Repeat("NOOP\r\n", 12) + "QUIT\r\n"
						s.srv.next("commands", rcptB, nil)
						s.sendNow("commands")
						wantOutcome(t, s.said[0].err, submission.NotSent)
						if !client && s.session.Usable() {
							t.Error("the session counts as usable")
						}
						s.text = ""
						s.srv.next("next", "", nil)
						s.sendNow("next")
						if client && s.said[1].err != nil {
							t.Errorf("the next message: %v", s.said[1].err)
						}
						s.wantTruth(t)
					}
					if l.real {
						run(t)
					} else {
						synctest.Test(t, run)
					}
				})
			}
		}
	}
}

// Where the server says with each reply what it is about, a reply about an
// address is not taken for its word on a message that came in chunks. DATA has
// its 354 to be in step by.
func TestFinalReplyAboutAnAddress(t *testing.T) {
	const unknown = submission.Unknown
	chunked, data := []string{"PIPELINING", "CHUNKING"}, []string{"PIPELINING"}
	for _, tc := range []struct {
		keywords []string
		enhanced bool
		reply    string
		sent     bool
		outcome  submission.Outcome
	}{
		{chunked, true, "250 2.1.5 ok", false, unknown},
		{chunked, true, "250 2.1.0 ok", false, unknown},
		{chunked, true, "550 5.1.1 who", false, unknown},
		{chunked, true, "451 4.1.8 later", false, unknown},
		{chunked, true, "250 2.0.0 ok", true, 0},
		{chunked, true, "250 2.6.0 ok", true, 0},
		{chunked, true, "250 ok", true, 0},
		{chunked, true, "554 5.7.1 spam", false, submission.NotSent},
		{chunked, true, "452 4.3.1 full", false, submission.NotSent},
		{chunked, false, "250 2.1.5 ok", true, 0},
		{chunked, false, "550 5.1.1 who", false, submission.NotSent},
		{data, true, "250 2.1.5 ok", true, 0},
		{data, true, "550 5.1.1 who", false, submission.NotSent},
		{data, false, "250 2.1.5 ok", true, 0},
	} {
		for _, o := range []*submission.Options{plainText(), plainText(withEarlyData)} {
			t.Run(fmt.Sprintf("%v, enhanced %v, early %v/%s", tc.keywords, tc.enhanced, o.EarlyData, tc.reply), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					keywords, mail, rcpt := append([]string{}, tc.keywords...), "S: 250 ok\n", "S: 250 ok\n"
					if tc.enhanced {
						keywords, mail, rcpt = append(keywords, "ENHANCEDSTATUSCODES"), "S: 250 2.1.0 ok\n", "S: 250 2.1.5 ok\n"
					}
					script := greeted(keywords...) + mailFromA + rcptToB
					switch {
					case len(tc.keywords) == 1:
						script += "C: DATA\n" + mail + rcpt + "S: 354 go\n" + memoData
					case o.EarlyData:
						script += memoBDAT + mail + rcpt
					default:
						script += mail + rcpt + memoBDAT
					}
					s := openSession(t, smtptest.Play(t, script+"S: "+tc.reply+"\nstall"), o)
					_, err := send(s, memoTo(rcptB))
					if tc.sent {
						if err != nil {
							t.Error(err)
						}
						return
					}
					wantOutcome(t, err, tc.outcome)
					if tc.outcome == unknown {
						mustBeOver(t, s)
					}
				})
			})
		}
	}
}

// The server says its word on a message twice, the second time when the next
// message is on its way. That one is refused and must not count as sent.
func TestLateReplyIsNoWordOnTheNextMessage(t *testing.T) {
	for _, how := range carriages() {
		for _, refuses := range []string{rcptB, rcptC, "message"} {
			for _, client := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/refuses %s/client %v", how.name, refuses, client), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						s := senderOver(t, transport{pair: memoryPair}, how)
						s.srv.keywords = append(s.srv.keywords, "ENHANCEDSTATUSCODES")
						s.srv.thinks, s.client = 20*time.Millisecond, client
						s.send("first", "", nil)
						s.send("next", refuses, &misreply{kind: extraReply, when: beforeTheGood, at: placeMail, code: 250})
						s.wantTruth(t)
					})
				})
			}
		}
	}
}

// A server that answers each dot twice costs no message: what is out of step is
// not sent, and a fresh session takes it.
func TestEachDotAnsweredTwice(t *testing.T) {
	for _, keywords := range [][]string{{"PIPELINING"}, {}} {
		for _, thinks := range []time.Duration{0, 7 * time.Millisecond, 13 * time.Millisecond} {
			t.Run(fmt.Sprintf("%v, %v a command", keywords, thinks), func(t *testing.T) {
				for pause := range 40 {
					synctestRun(t, fmt.Sprint("after ", pause, " ms"), func(t *testing.T) {
						s := senderOver(t, transport{pair: memoryPair}, carriage{})
						s.srv.keywords, s.srv.echoes, s.srv.thinks = keywords, 30*time.Millisecond, thinks
						s.client, s.partial = true, false
						for n := range 6 {
							name := fmt.Sprint("message ", n)
							s.srv.next(name, "", nil)
							s.sendNow(name)
							time.Sleep(time.Duration(pause) * time.Millisecond)
						}
						s.wantTruth(t)
						for _, said := range s.said {
							if said.err != nil {
								t.Errorf("%s: %v", said.name, said.err)
							}
						}
					})
				}
			})
		}
	}
}

// The time for the last reply begins when the server can have the last octet, not
// when the kernel takes it.
func TestSlowReaderIsNotASilentServer(t *testing.T) {
	for name, secure := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := plainText()
			o.Timeouts.DataFinal = 2 * time.Second
			client, server := socketPair(t)
			server.(*net.TCPConn).SetReadBuffer(512 << 10)
			if secure {
				o.TLS, o.TLSConfig = submission.TLSImplicit, clientTLS()
				server = tls.Server(server, serverTLS())
			}
			const size = 8 << 20
			read := make(chan int, 1)
			go func() { read <- readSlowly(server, size/5) }()
			s := openSession(t, client, o)
			start := time.Now()
			_, err := s.Send(context.Background(), memoTo(rcptB), &repeated{block: lines(1 << 20), left: size})
			took := time.Since(start)
			s.Close()
			server.Close()
			if n := <-read; err != nil || n < size {
				t.Errorf("after %v: %v; the server has %d octets", took, err, n)
			}
			if took < 3*time.Second {
				t.Errorf("it took %v: too fast to show anything", took)
			}
		})
	}
}

// readSlowly serves one session and reads the message at a rate, in octets a
// second. It answers as soon as it has the dot. It returns how much it read of
// the message.
func readSlowly(nc net.Conn, rate int) (octets int) {
	r := bufio.NewReaderSize(nc, 16<<10)
	io.WriteString(nc, "220 hi\r\n")
	for {
		line, err := r.ReadString('\n')
		switch {
		case err != nil:
			return octets
		case line == "DATA\r\n":
			io.WriteString(nc, "354 go\r\n")
			start := time.Now()
			for line != ".\r\n" {
				if line, err = r.ReadString('\n'); err != nil {
					return octets
				}
				octets += len(line)
				time.Sleep(time.Until(start.Add(time.Duration(octets) * time.Second / time.Duration(rate))))
			}
			io.WriteString(nc, "250 taken\r\n")
		default:
			io.WriteString(nc, "250 ok\r\n")
		}
	}
}

// lazySocket is a socket of a process that is not scheduled for a while whenever
// it has set a deadline.
type lazySocket struct{ *clientSocket }

func (s lazySocket) SetReadDeadline(t time.Time) error {
	err := s.clientSocket.SetReadDeadline(t)
	time.Sleep(2 * time.Millisecond)
	return err
}

func (s lazySocket) SetDeadline(t time.Time) error {
	err := s.clientSocket.SetDeadline(t)
	time.Sleep(2 * time.Millisecond)
	return err
}

// What waits in the kernel is found there, however little time there is to read
// it: a message that was not taken does not count as sent, and none goes out
// twice.
func TestSlowProcessSeesWhatWaits(t *testing.T) {
	lazy := func(nc net.Conn) net.Conn { return lazySocket{nc.(*clientSocket)} }
	for _, secure := range []bool{true, false} {
		for _, how := range carriages() {
			t.Run(fmt.Sprintf("TLS %v/%s", secure, how.name), func(t *testing.T) {
				t.Parallel()
				l := transport{pair: tcpPair, wrap: lazy, secure: secure, real: true}
				for _, code := range []int{421, 221, 250} {
					for _, refuses := range []string{"", "message"} {
						for _, client := range []bool{false, true} {
							s := senderOver(t, l, how)
							s.client = client
							s.send("first", "", nil)
							s.srv.thinks = 2 * time.Millisecond
							s.send("next", refuses, &misreply{kind: extraReply, when: unasked, at: placeMail, code: code})
							s.wantTruth(t)
							if !client {
								wantOutcome(t, s.said[1].err, submission.NotSent)
							} else if refuses == "" && s.said[1].err != nil {
								t.Errorf("a fresh session would have taken it: %v", s.said[1].err)
							}
							if t.Failed() {
								t.Fatalf("%d, refuses %q, client %v:\n%s", code, refuses, client, s.srv.transcript())
							}
						}
					}
				}
			})
		}
	}
}
