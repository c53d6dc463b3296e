package submission_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/fe022423/submission"
)

// A server refuses and hangs up. The caller sees the refusal, not the hang-up.
func TestRefusedAndHungUp(t *testing.T) {
	mail, rcpt := "C: MAIL FROM:<a@test.example>\n", "C: RCPT TO:<b@test.example>\nC: RCPT TO:<c@test.example>\n"
	unsent, invalid := submission.RecipientUnsent, submission.RecipientInvalid
	for name, tc := range map[string]struct {
		script  string
		partial bool
		verdict verdict
	}{
		"MAIL": {mail + rcpt + "S: 550 5.7.1 go away\nclose\neof", false,
			verdict{stage: submission.StageMail, code: 550, status: []submission.RecipientStatus{unsent, unsent}, codes: []int{0, 0}}},
		"MAIL, reset": {mail + rcpt + "S: 450 4.7.1 not now\nreset\neof", false,
			verdict{stage: submission.StageMail, code: 450, temporary: true, status: []submission.RecipientStatus{unsent, unsent}}},
		"MAIL, partial": {mail + rcpt + "C: DATA\nS: 550 5.7.1 go away\nclose\neof", true,
			verdict{stage: submission.StageMail, code: 550, status: []submission.RecipientStatus{unsent, unsent}}},
		"first RCPT": {mail + rcpt + "S: 250 ok\nS: 554 5.7.1 spammer\nclose\neof", false,
			verdict{stage: submission.StageRcpt, code: 554, status: []submission.RecipientStatus{invalid, unsent}, codes: []int{554, 0}}},
		"first RCPT, half a reply": {mail + rcpt + "S: 250 ok\nS: 554 5.7.1 spammer\nS> 25\nclose\neof", false,
			verdict{stage: submission.StageRcpt, code: 554, status: []submission.RecipientStatus{invalid, unsent}}},
		"first RCPT, then 421": {mail + rcpt + "S: 250 ok\nS: 554 5.7.1 spammer\nS: 421 4.7.0 enough of you\nclose\neof", false,
			verdict{stage: submission.StageRcpt, code: 554, status: []submission.RecipientStatus{invalid, unsent}, codes: []int{554, 421}}},
		"first RCPT, then rubbish": {mail + rcpt + "S: 250 ok\nS: 554 5.7.1 spammer\nS: what?\nclose\neof", false,
			verdict{stage: submission.StageRcpt, code: 554, status: []submission.RecipientStatus{invalid, unsent}, protocol: true}},
		"last RCPT": {mail + rcpt + "S: 250 ok\nS: 250 ok\nS: 552 5.3.0 too many\nclose\neof", false,
			verdict{stage: submission.StageRcpt, code: 552, temporary: true, status: []submission.RecipientStatus{unsent, unsent}, codes: []int{250, 552}}},
		"all of partial": {mail + rcpt + "C: DATA\nS: 250 ok\nS: 550 5.1.1 nobody\nS: 550 5.1.1 nobody\nclose\neof", true,
			verdict{stage: submission.StageRcpt, code: 550, status: []submission.RecipientStatus{invalid, invalid}, codes: []int{550, 550}}},
		"last RCPT, partial": {mail + rcpt + "C: DATA\nS: 250 ok\nS: 250 ok\nS: 550 5.1.1 nobody\nclose\neof", true,
			verdict{stage: submission.StageData, temporary: true, status: []submission.RecipientStatus{unsent, invalid}, codes: []int{250, 550}}},
	} {
		t.Run(name, func(t *testing.T) {
			eachDelivery(t, func(t *testing.T, delivery string) {
				s := openSession(t, play(t, delivery, greeted("PIPELINING")+tc.script), plainText())
				env := memoTo("b@test.example", "c@test.example")
				env.Partial = tc.partial
				res, err := send(s, env)
				v := tc.verdict
				if strings.HasPrefix(name, "MAIL") {
					if e := wantError[*submission.SenderError](t, err); e.Reply.Code != v.code || e.Addr != "a@test.example" {
						t.Errorf("the sender error is %v, want %d for a@test.example", e, v.code)
					}
				}
				v.check(t, res, err)
				if name == "last RCPT" {
					// All replies came, so the next message meets the hang-up.
					if _, err := send(s, memoTo("b@test.example")); err == nil {
						t.Error("success, although the server has hung up")
					}
				}
				mustBeOver(t, s)
			})
		})
	}
}

// In lockstep the refusal is read before the hang-up, which the next message meets.
func TestRefusedAndHungUpLockstep(t *testing.T) {
	s := openSession(t, play(t, "whole", greeted()+"C: MAIL FROM:<a@test.example>\nS: 550 5.7.1 go away\nC: MAIL FROM:<a@test.example>\nclose\neof"), plainText())
	_, err := send(s, memoTo("b@test.example"))
	verdict{stage: submission.StageMail, code: 550}.check(t, nil, err)
	_, err = send(s, memoTo("b@test.example"))
	verdict{stage: submission.StageMail, temporary: true, is: io.EOF}.check(t, nil, err)
	mustBeOver(t, s)
}

// A server that refused MAIL refuses each RCPT after it, with 503 for instance. That says
// nothing about the recipients.
func TestRefusedMailKeepsRecipients(t *testing.T) {
	for _, partial := range []bool{false, true} {
		for _, second := range []string{"503 5.5.1 MAIL first", "550 5.5.1 MAIL first", "450 4.5.1 no"} {
			t.Run(fmt.Sprintf("partial %v, %s", partial, second), func(t *testing.T) {
				script := greeted("PIPELINING") + "C: MAIL FROM:<a@test.example>\nC: RCPT TO:<b@test.example>\nC: RCPT TO:<c@test.example>\n"
				replies := "S: 451 4.7.1 greylisted\nS: " + second + "\nS: 503 5.5.1 MAIL first\n"
				if partial {
					script, replies = script+"C: DATA\n", replies+"S: 503 5.5.1 RCPT first\n"
				}
				s := openSession(t, play(t, "whole", script+replies+flightOK+"C: QUIT\nS: 221 bye\neof"), plainText())
				env := memoTo("b@test.example", "c@test.example")
				env.Partial = partial
				res, err := send(s, env)
				verdict{stage: submission.StageMail, code: 451, temporary: true,
					status: []submission.RecipientStatus{submission.RecipientUnsent, submission.RecipientUnsent}}.check(t, res, err)
				if list := addressErrors(err); list != nil {
					t.Errorf("the error blames recipients: %v", list)
				}
				mustSend(t, s, memoTo("b@test.example"))
				s.Close()
			})
		}
	}
}

// MAIL is refused, but the server accepts the recipient and replies 354. Even an empty
// message might reach somebody, so only closing the connection is safe.
func TestDataAfterRefusedMail(t *testing.T) {
	s := openSession(t, play(t, "whole", greeted("PIPELINING")+`
		C: MAIL FROM:<a@test.example>
		C: RCPT TO:<b@test.example>
		C: DATA
		S: 550 no
		S: 250 ok
		S: 354 go
		eof`), plainText())
	res, err := send(s, memoTo("b@test.example"))
	verdict{stage: submission.StageMail, code: 550, status: []submission.RecipientStatus{submission.RecipientUnsent}}.check(t, res, err)
	mustBeOver(t, s)
}

// Every recipient was refused, but the reply to DATA is 354. The client sends a lone dot, an
// empty message (RFC 2920, 3.1). The reply to it changes nothing.
func TestLoneDot(t *testing.T) {
	flight := "C: MAIL FROM:<a@test.example>\nC: RCPT TO:<b@test.example>\nC: DATA\nS: 250 ok\nS: 550 5.1.1 no\nS: 354 go\nC: .\n"
	refused := verdict{stage: submission.StageRcpt, code: 550, status: []submission.RecipientStatus{submission.RecipientInvalid}, codes: []int{550}}
	for _, reply := range []string{"554 5.5.1 no valid recipients", "250 2.0.0 queued", "451 4.3.0 what"} {
		t.Run(reply, func(t *testing.T) {
			eachDelivery(t, func(t *testing.T, delivery string) {
				s := openSession(t, play(t, delivery, greeted("PIPELINING")+flight+"S: "+reply+"\n"+flightOK+"C: QUIT\nS: 221 bye\neof"), plainText())
				res, err := send(s, memoTo("b@test.example"))
				refused.check(t, res, err)
				mustSend(t, s, memoTo("b@test.example"))
				s.Close()
			})
		})
	}
	for name, end := range map[string]string{
		"hang-up": "close\neof", "reset": "reset\neof", "421": "S: 421 4.3.2 bye\neof", "rubbish": "S: nothing\neof",
		"one reply too many": `S> 250 queued\r\n250 and again\r\n` + "\neof", "half a reply": "S> 25\nclose\neof", "silence": "stall\neof",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := openSession(t, play(t, "whole", greeted("PIPELINING")+flight+end), plainText())
				res, err := send(s, memoTo("b@test.example"))
				refused.check(t, res, err)
				mustBeOver(t, s)
			})
		})
	}
}

// After a 354 that another reply follows, nothing is sent, not even the lone dot.
func TestNoLoneDotAfterExtra(t *testing.T) {
	s := openSession(t, play(t, "whole", greeted("PIPELINING")+
		"C: MAIL FROM:<a@test.example>\nC: RCPT TO:<b@test.example>\nC: DATA\nS: 250 ok\nS: 550 5.1.1 no\n"+
		`S> 354 go\r\n250 what\r\n`+"\neof"), plainText())
	res, err := send(s, memoTo("b@test.example"))
	verdict{stage: submission.StageRcpt, code: 550, protocol: true, status: []submission.RecipientStatus{submission.RecipientInvalid}}.check(t, res, err)
	mustBeOver(t, s)
}

// RSET is sent before the next MAIL and in its flight, once, and only if the transaction
// before was left half done.
func TestResetInTheNextFlight(t *testing.T) {
	left := map[string]string{
		"RCPT refused":       "S: 250 ok\nS: 451 later\nS: 554 nobody\n",
		"RCPT and DATA, 503": "S: 250 ok\nS: 550 no\nS: 503 nobody\n",
		"DATA refused":       "S: 250 ok\nS: 250 ok\nS: 451 later\n",
		"DATA refused, 5yz":  "S: 250 ok\nS: 250 ok\nS: 554 no\n",
	}
	flight := "C: MAIL FROM:<a@test.example>\nC: RCPT TO:<b@test.example>\nC: DATA\n"
	for name, replies := range left {
		t.Run(name, func(t *testing.T) {
			eachDelivery(t, func(t *testing.T, delivery string) {
				s := openSession(t, play(t, delivery, greeted("PIPELINING")+flight+replies+
					"C: RSET\n"+flight+"S: 250 reset\n"+replies+
					"C: RSET\n"+flight+"S: 250 reset\nS: 250 ok\nS: 250 ok\nS: 354 go\n"+memoData+"S: 250 taken\n"+
					flightOK+"C: QUIT\nS: 221 bye\neof"), plainText())
				for range 2 {
					if _, err := send(s, memoTo("b@test.example")); err == nil {
						t.Fatal("success, want a refusal")
					}
				}
				mustSend(t, s, memoTo("b@test.example"))
				mustSend(t, s, memoTo("b@test.example"))
				s.Close()
			})
		})
	}
	t.Run("not after an explicit Reset", func(t *testing.T) {
		s := openSession(t, play(t, "whole", greeted("PIPELINING")+flight+left["RCPT refused"]+"C: RSET\nS: 250 reset\n"+flightOK+"C: QUIT\nS: 221 bye\neof"), plainText())
		send(s, memoTo("b@test.example"))
		if err := s.Reset(context.Background()); err != nil {
			t.Fatal(err)
		}
		mustSend(t, s, memoTo("b@test.example"))
		s.Close()
	})
	t.Run("not before QUIT", func(t *testing.T) {
		s := openSession(t, play(t, "whole", greeted("PIPELINING")+flight+left["RCPT refused"]+"C: QUIT\nS: 221 bye\neof"), plainText())
		send(s, memoTo("b@test.example"))
		s.Close()
	})
	t.Run("not after a refused MAIL", func(t *testing.T) {
		s := openSession(t, play(t, "whole", greeted("PIPELINING")+flight+"S: 451 later\nS: 503 no\nS: 503 no\n"+flightOK+"C: QUIT\nS: 221 bye\neof"), plainText())
		send(s, memoTo("b@test.example"))
		mustSend(t, s, memoTo("b@test.example"))
		s.Close()
	})
}

// After a RSET and a refused MAIL no second RSET is needed.
func TestResetThenMailRefused(t *testing.T) {
	flight := "C: MAIL FROM:<a@test.example>\nC: RCPT TO:<b@test.example>\nC: DATA\n"
	s := openSession(t, play(t, "whole", greeted("PIPELINING")+flight+"S: 250 ok\nS: 451 later\nS: 554 nobody\n"+
		"C: RSET\n"+flight+"S: 250 reset\nS: 450 not now\nS: 503 no\nS: 503 no\n"+flightOK+"C: QUIT\nS: 221 bye\neof"), plainText())
	for range 2 {
		if _, err := send(s, memoTo("b@test.example")); err == nil {
			t.Fatal("success, want a refusal")
		}
	}
	mustSend(t, s, memoTo("b@test.example"))
	s.Close()
}

// A flight ends before its commands would exceed 4096 octets, neither later nor earlier.
func TestWindow(t *testing.T) {
	// MAIL with its CRLF has 28 octets. RCPT TO:<x@test.example> has 26 with an
	// address of one letter.
	const mail = len("MAIL FROM:<a@test.example>\r\n")
	address := func(n int) string { // of a RCPT of n octets with its CRLF
		local := n - len("RCPT TO:<@test.example>\r\n")
		return strings.Repeat("x", local) + "@test.example"
	}
	for _, over := range []int{0, 1} {
		for _, partial := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d octets, partial %v", 4096+over, partial), func(t *testing.T) {
				var env submission.Envelope
				env.From, env.Partial = "a@test.example", partial
				script := "C: MAIL FROM:<a@test.example>\n"
				left := 4096 - mail
				for left > 0 {
					n := min(left, 50)
					if left-n < 26 { // not enough for another RCPT
						n = left
					}
					left -= n
					if left == 0 {
						n += over
					}
					env.To = append(env.To, submission.Recipient{Addr: address(n)})
				}
				last := len(env.To) - 1
				for _, r := range env.To[:last] {
					script += "C: RCPT TO:<" + r.Addr + ">\n"
				}
				final := "C: RCPT TO:<" + env.To[last].Addr + ">\n"
				replies := strings.Repeat("S: 250 ok\n", last+1)
				if over == 0 {
					script += final + replies + "S: 250 ok\n"
				} else {
					script += replies + final
				}
				if over == 0 {
					script += "C: DATA\nS: 354 go\n"
				} else if partial {
					script += "C: DATA\nS: 250 ok\nS: 354 go\n"
				} else {
					script += "S: 250 ok\nC: DATA\nS: 354 go\n"
				}
				s := openSession(t, play(t, "whole", greeted("PIPELINING")+script+memoData+"S: 250 taken\nC: QUIT\nS: 221 bye\neof"), plainText())
				mustSend(t, s, env)
				s.Close()
			})
		}
	}
}

// eagerPeer is a server that answers each command as soon as it has read it. The
// connection has no buffer, so it reads no further until the client has read the reply.
func eagerPeer(nc net.Conn, keywords ...string) (commands []string) {
	defer nc.Close()
	r := bufio.NewReaderSize(nc, 4096)
	say := func(text string) bool { _, err := io.WriteString(nc, text+"\r\n"); return err == nil }
	if !say("220 hi") {
		return nil
	}
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return commands
		}
		line = strings.TrimSuffix(line, "\r\n")
		commands = append(commands, line)
		reply := "250 ok"
		switch verb, arg, _ := strings.Cut(line, " "); verb {
		case "EHLO":
			reply = "250-mail.test.example\r\n250-" + strings.Join(append(keywords, "250 X-LAST"), "\r\n250-")
			reply = strings.Replace(reply, "250-250 ", "250 ", 1)
		case "DATA":
			if !say("354 go") {
				return commands
			}
			for line != ".\r\n" {
				if line, err = r.ReadString('\n'); err != nil {
					return commands
				}
			}
		case "BDAT":
			var n int
			fmt.Sscanf(arg, "%d", &n)
			if _, err := io.CopyN(io.Discard, r, int64(n)); err != nil {
				return commands
			}
		case "RCPT":
			if strings.Contains(line, "7@") {
				reply = "550 5.1.1 no sevens"
			}
		case "QUIT":
			say("221 bye")
			return commands
		}
		if !say(reply) {
			return commands
		}
	}
}

// window is how many octets of commands may be unanswered (RFC 2920, 3.1).
const window = 4096

// Even with thousands of recipients, client and server never wait for each other.
func TestManyRecipientsUnbuffered(t *testing.T) {
	const recipients = 2000
	for _, keywords := range [][]string{{"PIPELINING"}, {"PIPELINING", "CHUNKING"}, {}} {
		for _, partial := range []bool{true, false} {
			t.Run(fmt.Sprintf("%v partial %v", keywords, partial), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					client, server := net.Pipe()
					defer client.Close()
					commands := make(chan []string, 1)
					go func() { commands <- eagerPeer(server, keywords...) }()
					s := openSession(t, client, plainText())
					env := submission.Envelope{From: "a@test.example", Partial: partial}
					for i := range recipients {
						env.To = append(env.To, submission.Recipient{Addr: fmt.Sprintf("recipient-number-%d@test.example", i)})
					}
					res, err := send(s, env)
					e := wantError[*submission.SendError](t, err)
					// All or nothing, no flight follows the one with the first refusal.
					asked, want := recipients, submission.PartlySent
					if !partial {
						asked, want = 0, submission.NotSent
						for asked < recipients && e.Recipients[asked].Reply.Code != 0 {
							asked++
						}
						if most := window/len("RCPT TO:<recipient-number-1@test.example>\r\n") + 1; asked < 8 || asked > most {
							t.Errorf("RCPT was sent for %d recipients, want 8 to %d", asked, most)
						}
					}
					if e.Outcome != want || e.Stage != submission.StageRcpt || (res != nil) != partial {
						t.Errorf("%v", err)
					}
					for i, r := range e.Recipients {
						status := submission.RecipientUnsent
						switch {
						case i < asked && i%10 == 7:
							status = submission.RecipientInvalid
						case partial:
							status = submission.RecipientSent
						}
						if r.Addr != env.To[i].Addr || r.Status != status {
							t.Fatalf("recipient %d: %+v, want %v", i, r, status)
						}
					}
					if n := len(addressErrors(err)); n != (asked+2)/10 {
						t.Errorf("%d address errors, want %d", n, (asked+2)/10)
					}
					s.Close()
					rcpts := 0
					for _, c := range <-commands {
						if strings.HasPrefix(c, "RCPT ") {
							rcpts++
						}
						if c == "DATA" && !partial {
							t.Error("DATA was sent after a refusal")
						}
					}
					if rcpts != asked {
						t.Errorf("the server read %d RCPT, want %d", rcpts, asked)
					}
				})
			})
		}
	}
}

// Four messages on one session: accepted, refused at RCPT, refused at the end, accepted.
func TestFourMessages(t *testing.T) {
	const rcpt = "C: MAIL FROM:<a@test.example>\nC: RCPT TO:<b@test.example>\n"
	for name, tc := range map[string]struct {
		keywords []string
		script   string
	}{
		"DATA": {[]string{"PIPELINING"}, flightOK + rcpt + "C: DATA\nS: 250 ok\nS: 451 later\nS: 554 nobody\n" +
			"C: RSET\n" + rcpt + "C: DATA\nS: 250 reset\nS: 250 ok\nS: 250 ok\nS: 354 go\n" + memoData + "S: 554 spam\n" +
			// For some servers a refusal does not end the transaction.
			"C: RSET\n" + rcpt + "C: DATA\nS: 250 reset\nS: 250 ok\nS: 250 ok\nS: 354 go\n" + memoData + "S: 250 taken\n"},
		"BDAT": {[]string{"PIPELINING", "CHUNKING"}, rcpt + "S: 250 ok\nS: 250 ok\n" + memoBDAT + "S: 250 taken\n" +
			rcpt + "S: 250 ok\nS: 451 later\n" +
			"C: RSET\n" + rcpt + "S: 250 reset\nS: 250 ok\nS: 250 ok\n" + memoBDAT + "S: 554 spam\n" +
			// A refused chunk ends the session.
			"eof"},
		"lockstep": {nil, stepsOK + "C: MAIL FROM:<a@test.example>\nS: 250 ok\nC: RCPT TO:<b@test.example>\nS: 451 later\n" +
			"C: RSET\nS: 250 reset\n" + strings.Replace(stepsOK, "250 taken", "554 spam", 1) + "C: RSET\nS: 250 reset\n" + stepsOK},
	} {
		t.Run(name, func(t *testing.T) {
			eachDelivery(t, func(t *testing.T, delivery string) {
				script := greeted(tc.keywords...) + tc.script
				if name != "BDAT" {
					script += "C: QUIT\nS: 221 bye\neof"
				}
				s := openSession(t, play(t, delivery, script), plainText())
				env := memoTo("b@test.example")
				res := mustSend(t, s, env)
				if res.Reply.Code != 250 || res.Reply.Lines[0] != "taken" || res.Bytes != int64(len(memo)+3) {
					t.Errorf("result %+v", res)
				}
				_, err := send(s, env)
				verdict{stage: submission.StageRcpt, code: 451, temporary: true, codes: []int{451},
					status: []submission.RecipientStatus{submission.RecipientUnsent}}.check(t, nil, err)
				_, err = send(s, env)
				verdict{stage: submission.StageFinal, code: 554, codes: []int{250},
					status: []submission.RecipientStatus{submission.RecipientUnsent}}.check(t, nil, err)
				if name == "BDAT" {
					mustBeOver(t, s)
					return
				}
				mustSend(t, s, env)
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
