package submission_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// sources are message sources that fail, by what they give before they do.
func failingSources(cause error) map[string]func() io.Reader {
	small := "Subject: half\n\nthis is"
	large := strings.Repeat("seventy octets of a line that is one of very many such lines, CRLF in\n", 4000)
	return map[string]func() io.Reader{
		"at octet 0": func() io.Reader { return &failing{err: cause} },
		"in a small message": func() io.Reader {
			return &failing{text: small, err: cause}
		},
		"at the end of a small message": func() io.Reader {
			return &failing{text: memo, err: cause}
		},
		"with the last octets": func() io.Reader {
			return &failing{text: memo, err: cause, together: true}
		},
		"behind 64 KiB": func() io.Reader {
			return &failing{text: large, err: cause}
		},
		"with the last octets of a large message": func() io.Reader {
			return &failing{text: large, err: cause, together: true}
		},
		"without progress": func() io.Reader { return stuck{} },
		"without progress behind 64 KiB": func() io.Reader {
			return io.MultiReader(strings.NewReader(large), stuck{})
		},
	}
}

// stuck gives nothing and no error.
type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

// carriers are the ways a message travels, by what the server offers.
var carriers = map[string][]string{
	"DATA in lockstep": {},
	"DATA":             {"PIPELINING"},
	"BDAT":             {"PIPELINING", "CHUNKING"},
}

// Whatever way a message source fails, the server must not see an end of the
// message, and the session is closed.
func TestSourceFails(t *testing.T) {
	cause := errors.New("the disk is gone")
	feed := map[string]func(*submission.Session, io.Reader) error{
		"Send": func(s *submission.Session, r io.Reader) error {
			_, err := s.Send(context.Background(), memoTo("b@test.example"), r)
			return err
		},
		"SendFunc": func(s *submission.Session, r io.Reader) error {
			_, err := s.SendFunc(context.Background(), memoTo("b@test.example"), func(w io.Writer) error {
				// Not io.Copy, which would leave the loop to ReadFrom.
				return copyPlain(w, r)
			})
			return err
		},
		"SendFunc with io.Copy": func(s *submission.Session, r io.Reader) error {
			_, err := s.SendFunc(context.Background(), memoTo("b@test.example"), func(w io.Writer) error {
				_, err := io.Copy(w, r)
				return err
			})
			return err
		},
		"Write and Abort": func(s *submission.Session, r io.Reader) error {
			tx, err := s.Begin(context.Background(), memoTo("b@test.example"))
			if err != nil {
				return err
			}
			defer tx.Abort()
			if err := copyPlain(tx, r); err == nil {
				return errors.New("the source did not fail")
			}
			tx.Abort()
			if n, err := tx.Write([]byte("more")); n != 0 || !errors.Is(err, submission.ErrAborted) {
				return fmt.Errorf("Write after Abort: %d, %w", n, err)
			}
			_, err = tx.Commit()
			return err
		},
		"ReadFrom and Commit": func(s *submission.Session, r io.Reader) error {
			tx, err := s.Begin(context.Background(), memoTo("b@test.example"))
			if err != nil {
				return err
			}
			defer tx.Abort()
			if _, err := tx.ReadFrom(r); err == nil {
				return errors.New("the source did not fail")
			}
			_, err = tx.Commit()
			return err
		},
	}
	for carrier, keywords := range carriers {
		for how, send := range feed {
			for where, source := range failingSources(cause) {
				t.Run(carrier+"/"+how+"/"+where, func(t *testing.T) {
					srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.NoTLS, Extensions: keywords})
					nc := record(srv.Pipe())
					s := openSession(t, nc, plainText(func(o *submission.Options) { o.ChunkSize = 100 << 10 }))
					err := send(s, source())
					v := verdict{stage: submission.StageMessage, is: cause}
					if strings.HasPrefix(where, "without progress") {
						v.is = io.ErrNoProgress
					}
					holding := !strings.Contains(where, "64 KiB") && !strings.Contains(where, "large")
					if how == "Write and Abort" {
						v.is = submission.ErrAborted
					}
					v.check(t, nil, err)
					// Before anything was sent, giving up costs no session.
					if usable := how == "Write and Abort" && holding; s.Usable() != usable {
						t.Errorf("Usable is %v, want %v", s.Usable(), usable)
					}
					s.Close()
					srv.Close()
					if n := endMarks(nc.written()); n != 0 {
						t.Errorf("the server saw %d ends of the message", n)
					}
					if n := len(srv.Messages()); n != 0 {
						t.Errorf("the server accepted %d messages", n)
					}
				})
			}
		}
	}
}

func copyPlain(w io.Writer, r io.Reader) error {
	buf := make([]byte, 5000)
	for range 1000 {
		n, err := r.Read(buf)
		if n > 0 {
			if _, werr := w.Write(buf[:n]); werr != nil {
				return werr
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// A source that panics leaves nothing to deliver either, and its panic goes on
// to the caller.
func TestSourcePanics(t *testing.T) {
	for carrier, keywords := range carriers {
		for _, size := range []int{0, 10, 200 << 10} {
			for _, how := range []string{"Send", "SendFunc", "Goexit"} {
				t.Run(fmt.Sprintf("%s/%s/%d octets", carrier, how, size), func(t *testing.T) {
					srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.NoTLS, Extensions: keywords})
					nc := record(srv.Pipe())
					s := openSession(t, nc, plainText(func(o *submission.Options) { o.ChunkSize = 100 << 10 }))
					text := strings.Repeat("x", size)
					caught := make(chan any)
					go func() {
						defer func() { caught <- recover() }()
						switch how {
						case "Send":
							s.Send(context.Background(), memoTo("b@test.example"),
								io.MultiReader(strings.NewReader(text), panicking{}))
						default:
							s.SendFunc(context.Background(), memoTo("b@test.example"), func(w io.Writer) error {
								io.WriteString(w, text)
								if how == "SendFunc" {
									panic("no more")
								}
								runtime.Goexit()
								return nil
							})
						}
					}()
					if p := <-caught; (p != nil) != (how != "Goexit") {
						t.Errorf("recovered %v", p)
					}
					if s.Usable() {
						t.Error("the session counts as usable")
					}
					s.Close()
					srv.Close()
					if n := endMarks(nc.written()); n != 0 || len(srv.Messages()) != 0 {
						t.Errorf("the server saw %d ends, accepted %d messages", n, len(srv.Messages()))
					}
				})
			}
		}
	}
}

type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic("no more") }

// A source that blocks until the context is done.
func TestSourceBlocksUntilCancel(t *testing.T) {
	for carrier, keywords := range carriers {
		for _, size := range []int{0, 10, 200 << 10} {
			for name, end := range map[string]error{"its own error": errors.New("file already closed"), "the context's": context.Canceled, "EOF": io.EOF} {
				t.Run(fmt.Sprintf("%s/%d octets/%s", carrier, size, name), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.NoTLS, Extensions: keywords})
						nc := record(srv.Pipe())
						s := openSession(t, nc, plainText(func(o *submission.Options) { o.ChunkSize = 100 << 10 }))
						ctx, cancel := context.WithCancel(context.Background())
						time.AfterFunc(time.Hour, cancel)
						start := time.Now()
						_, err := s.Send(ctx, memoTo("b@test.example"),
							io.MultiReader(strings.NewReader(strings.Repeat("x", size)), waiting{ctx, end}))
						e := wantError[*submission.SendError](t, err)
						if e.Outcome != submission.NotSent || !errors.Is(err, context.Canceled) {
							t.Errorf("%v, want NotSent and context.Canceled", err)
						}
						if !e.Temporary() {
							t.Errorf("giving up counts as lasting: %v", err)
						}
						if took := time.Since(start); took != time.Hour {
							t.Errorf("it took %v, want 1h", took)
						}
						mustBeOver(t, s)
						srv.Close()
						if n := endMarks(nc.written()); n != 0 || len(srv.Messages()) != 0 {
							t.Errorf("the server saw %d ends, accepted %d messages", n, len(srv.Messages()))
						}
					})
				})
			}
		}
	}
}

// waiting blocks until its context is done and then gives err.
type waiting struct {
	ctx context.Context
	err error
}

func (w waiting) Read([]byte) (int, error) {
	<-w.ctx.Done()
	return 0, w.err
}

// What a transaction says once it is over.
func TestTransactionOver(t *testing.T) {
	begin := func(t *testing.T) (*submission.Session, *submission.Transaction) {
		s := openSession(t, smtptest.Play(t, greeted("PIPELINING")+flightOK+"C: QUIT\nS: 221 bye\neof"), plainText())
		t.Cleanup(func() { s.Close() })
		tx, err := s.Begin(context.Background(), memoTo("b@test.example"))
		if err != nil {
			t.Fatal(err)
		}
		return s, tx
	}
	t.Run("committed", func(t *testing.T) {
		_, tx := begin(t)
		if n, err := io.WriteString(tx, memo); n != len(memo) || err != nil {
			t.Fatal(n, err)
		}
		first, err := tx.Commit()
		if err != nil {
			t.Fatal(err)
		}
		if err := tx.Abort(); err != nil {
			t.Errorf("Abort after Commit: %v", err)
		}
		if _, err := tx.Write([]byte("x")); err == nil {
			t.Error("Write after Commit works")
		}
		if _, err := tx.ReadFrom(strings.NewReader("x")); err == nil {
			t.Error("ReadFrom after Commit works")
		}
		if second, err := tx.Commit(); second != first || err != nil {
			t.Errorf("Commit after Commit gives %v, %v", second, err)
		}
		if _, err := tx.Write(nil); err == nil {
			t.Error("an empty Write after Commit works")
		}
	})
	t.Run("aborted with nothing sent", func(t *testing.T) {
		s, tx := begin(t)
		io.WriteString(tx, "what is not sent")
		for range 2 {
			if err := tx.Abort(); err != nil {
				t.Errorf("Abort: %v", err)
			}
		}
		_, err := tx.Commit()
		verdict{stage: submission.StageMessage, is: submission.ErrAborted, status: []submission.RecipientStatus{submission.RecipientUnsent}}.check(t, nil, err)
		mustSend(t, s, memoTo("b@test.example"))
	})
	t.Run("one at a time", func(t *testing.T) {
		s, tx := begin(t)
		for name, use := range map[string]func() error{
			"Send":    func() error { _, err := send(s, memoTo("b@test.example")); return err },
			"Begin":   func() error { _, err := s.Begin(context.Background(), memoTo("b@test.example")); return err },
			"Noop":    func() error { return s.Noop(context.Background()) },
			"Reset":   func() error { return s.Reset(context.Background()) },
			"Verify":  func() error { _, err := s.Verify(context.Background(), "x"); return err },
			"Command": func() error { _, err := s.Command(context.Background(), "HELP"); return err },
		} {
			if err := use(); !errors.Is(err, submission.ErrInTransaction) {
				t.Errorf("%s within a transaction gives %v", name, err)
			}
		}
		io.WriteString(tx, memo)
		if _, err := tx.Commit(); err != nil {
			t.Error(err)
		}
	})
}

// The writer of SendFunc is dead once the function has returned.
func TestSendFuncWriterKept(t *testing.T) {
	s := openSession(t, smtptest.Play(t, greeted("PIPELINING")+flightOK+"C: QUIT\nS: 221 bye\neof"), plainText())
	defer s.Close()
	var kept io.Writer
	_, err := s.SendFunc(context.Background(), memoTo("b@test.example"), func(w io.Writer) error {
		kept = w
		_, err := io.WriteString(w, memo)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(kept, "more"); err == nil {
		t.Error("the writer still works")
	}
}

// A function that ignores the error of Write does not get its message through.
func TestSendFuncIgnoresError(t *testing.T) {
	script := greeted("PIPELINING") + `
		C: MAIL FROM:<a@test.example>
		C: RCPT TO:<b@test.example>
		C: DATA
		S: 250 ok
		S: 550 no
		S: 554 no
		C: RSET
		C: MAIL FROM:<a@test.example>
		C: RCPT TO:<b@test.example>
		C: DATA
		S: 250 ok
		S: 250 ok
		S: 250 ok
		S: 354 go
	` + memoData + "S: 250 taken\nC: QUIT\nS: 221 bye\neof"
	s := openSession(t, smtptest.Play(t, script), plainText())
	defer s.Close()
	_, err := s.SendFunc(context.Background(), memoTo("b@test.example"), func(w io.Writer) error {
		for range 20 {
			io.WriteString(w, strings.Repeat("0123456789\n", 1000))
		}
		return nil
	})
	verdict{stage: submission.StageRcpt, code: 550, status: []submission.RecipientStatus{submission.RecipientInvalid}}.check(t, nil, err)
	mustSend(t, s, memoTo("b@test.example"))
}

// Four messages in a row on one session: accepted, refused at RCPT, refused at
// the end, accepted.
func TestFourMessages(t *testing.T) {
	const rcpt = "C: MAIL FROM:<a@test.example>\nC: RCPT TO:<b@test.example>\n"
	for name, tc := range map[string]struct {
		keywords []string
		script   string
	}{
		"DATA": {[]string{"PIPELINING"}, flightOK + rcpt + "C: DATA\nS: 250 ok\nS: 451 later\nS: 554 nobody\n" +
			"C: RSET\n" + rcpt + "C: DATA\nS: 250 reset\nS: 250 ok\nS: 250 ok\nS: 354 go\n" + memoData + "S: 554 spam\n" +
			// Servers exist that do not take a refusal for the end of a transaction.
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

// Fifty goroutines share one Client.
func TestManyGoroutines(t *testing.T) {
	srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.NoTLS})
	defer srv.Close()
	c, err := submission.New(srv.Addr(), plainText())
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	const goroutines, each = 50, 4
	for g := range goroutines {
		group.Go(func() {
			for i := range each {
				to := fmt.Sprintf("to-%d-%d@test.example", g, i)
				text := "Subject: " + to + "\n\n" + strings.Repeat("x", g*2000) + "\n"
				if _, err := c.Send(context.Background(), memoTo(to), strings.NewReader(text)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	c.Close()
	seen := map[string]bool{}
	for _, m := range srv.Messages() {
		if len(m.To) != 1 || !bytes.HasPrefix(m.Data, []byte("Subject: "+m.To[0]+"\r\n")) {
			t.Errorf("message to %v begins %.60q", m.To, m.Data)
		}
		seen[strings.Join(m.To, " ")] = true
	}
	if len(seen) != goroutines*each {
		t.Errorf("%d messages arrived, want %d", len(seen), goroutines*each)
	}
	if n := srv.Sessions(); n > 10 {
		t.Errorf("%d sessions, the pool allows 10", n)
	}
}

// Close of a Client lets a message that is under way end.
func TestCloseWhileSending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.NoTLS, Hook: func(c smtptest.Command) *smtptest.Answer {
			if c.Verb == "MESSAGE" {
				<-hold
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
		sent := make(chan error, 1)
		go func() {
			_, err := c.Send(context.Background(), memoTo("b@test.example"), strings.NewReader(memo))
			sent <- err
		}()
		synctest.Wait()
		closed := make(chan struct{})
		go func() { c.Close(); close(closed) }()
		synctest.Wait()
		select {
		case <-closed:
			t.Error("Close did not wait for the message")
		default:
		}
		_, err = c.Send(context.Background(), memoTo("b@test.example"), strings.NewReader(memo))
		if !errors.Is(err, submission.ErrClosed) {
			t.Errorf("Send after Close: %v", err)
		}
		close(hold)
		if err := <-sent; err != nil {
			t.Errorf("the message under way: %v", err)
		}
		<-closed
		if n := len(srv.Messages()); n != 1 {
			t.Errorf("%d messages accepted", n)
		}
	})
}

// Close of a Session in the middle of a transaction gives it up: by QUIT while
// nothing was sent, by closing once octets flow.
func TestCloseWithinTransaction(t *testing.T) {
	for _, large := range []bool{false, true} {
		t.Run(fmt.Sprintf("large %v", large), func(t *testing.T) {
			srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.NoTLS})
			nc := record(srv.Pipe())
			s := openSession(t, nc, plainText(func(o *submission.Options) { o.Disable = []string{"CHUNKING"} }))
			tx, err := s.Begin(context.Background(), memoTo("b@test.example"))
			if err != nil {
				t.Fatal(err)
			}
			text := memo
			if large {
				text = strings.Repeat(memo, 20000)
			}
			if _, err := io.WriteString(tx, text); err != nil {
				t.Fatal(err)
			}
			s.Close()
			_, err = tx.Commit()
			verdict{stage: submission.StageMessage, is: submission.ErrAborted}.check(t, nil, err)
			mustBeOver(t, s)
			srv.Close()
			if n := endMarks(nc.written()); n != 0 || len(srv.Messages()) != 0 {
				t.Errorf("the server saw %d ends, accepted %d messages", n, len(srv.Messages()))
			}
			if quit := bytes.HasSuffix(nc.written(), []byte("QUIT\r\n")); quit == large {
				t.Errorf("QUIT sent: %v", quit)
			}
		})
	}
}

// QUIT that is not answered takes Timeouts.Quit, and the result stands.
func TestQuitUnanswered(t *testing.T) {
	for _, limit := range []time.Duration{0, time.Second} {
		synctest.Test(t, func(t *testing.T) {
			s := openSession(t, smtptest.Play(t, greeted("PIPELINING")+flightOK+"C: QUIT\nstall\neof"),
				plainText(func(o *submission.Options) { o.Timeouts.Quit = limit }))
			mustSend(t, s, memoTo("b@test.example"))
			start := time.Now()
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			want := limit
			if want == 0 {
				want = 5 * time.Second
			}
			if took := time.Since(start); took != want {
				t.Errorf("Close took %v, want %v", took, want)
			}
			mustBeOver(t, s)
		})
	}
}

// A context that is done before anything happens sends nothing.
func TestSendWithDoneContext(t *testing.T) {
	s := openSession(t, smtptest.Play(t, greeted()+stepsOK+"C: QUIT\nS: 221 bye\neof"), plainText())
	defer s.Close()
	why := errors.New("the user closed the window")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(why)
	_, err := s.Send(ctx, memoTo("b@test.example"), strings.NewReader(memo))
	verdict{stage: submission.StageMail, temporary: true, is: context.Canceled}.check(t, nil, err)
	if !errors.Is(err, why) {
		t.Errorf("the cause is lost: %v", err)
	}
	late, cancelLate := context.WithDeadline(context.Background(), time.Now().Add(-time.Second))
	defer cancelLate()
	_, err = s.Send(late, memoTo("b@test.example"), strings.NewReader(memo))
	verdict{stage: submission.StageMail, temporary: true, is: context.DeadlineExceeded}.check(t, nil, err)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the caller's deadline is taken for a time-out of the server: %v", err)
	}
	// It cost no session.
	mustSend(t, s, memoTo("b@test.example"))
}
