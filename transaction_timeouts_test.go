package submission_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// The server stops reading in the middle of the message. Each block has the limit; after it
// the client waits a moment for a reply that may tell why.
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
						t.Errorf("the server accepted %d messages", n)
					}
				})
			})
		}
	}
}

// A long message may take any time, as long as each block is read within its limit.
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
			t.Errorf("it took %v: that is too fast for the test to show anything", took)
		}
		s.Close()
	})
}

// The limit is for a whole reply, at every stage, also when the reply arrives slowly.
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
			// Before each flight and before the end of the message the client
			// reads from the pipe for a millisecond, to see whether a reply waits.
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

// The limits of Options.Timeouts are used, each at its step.
func TestTimeouts(t *testing.T) {
	for at := atMail; at <= atFinal; at++ {
		synctest.Test(t, func(t *testing.T) {
			w := way{}
			o := plainText()
			o.Timeouts = submission.Timeouts{Command: 11 * time.Second, DataInit: 12 * time.Second, DataBlock: 13 * time.Second,
				DataFinal: 14 * time.Second, Greeting: time.Second, Quit: 2 * time.Second, TLS: 3 * time.Second, Dial: 4 * time.Second}
			s := openSession(t, play(t, "whole", w.greeting()+w.until(at)+"stall\neof"), o)
			start := time.Now()
			_, err := send(s, w.envelope())
			if err == nil {
				t.Error("success, want a time-out")
			}
			want := []time.Duration{11 * time.Second, 11 * time.Second, 11 * time.Second, 12 * time.Second, 14 * time.Second}[at]
			if took := time.Since(start); took != want {
				t.Errorf("%v took %v, want %v", stageAt[at], took, want)
			}
			mustBeOver(t, s)
		})
	}
}
