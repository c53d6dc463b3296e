package submission_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// failingSources are message sources that fail. Their names say what they return first.
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
		"after 64 KiB": func() io.Reader {
			return &failing{text: large, err: cause}
		},
		"with the last octets of a large message": func() io.Reader {
			return &failing{text: large, err: cause, together: true}
		},
		"without progress": func() io.Reader { return stuck{} },
		"without progress after 64 KiB": func() io.Reader {
			return io.MultiReader(strings.NewReader(large), stuck{})
		},
	}
}

// stuck is a source that returns no octets and no error.
type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

// However a message source fails, the server never gets the end of the message, and the
// session is closed.
func TestSourceFails(t *testing.T) {
	cause := errors.New("the disk is gone")
	feed := map[string]func(*submission.Session, io.Reader) error{
		"Send": func(s *submission.Session, r io.Reader) error {
			_, err := s.Send(context.Background(), memoTo("b@test.example"), r)
			return err
		},
		"SendFunc": func(s *submission.Session, r io.Reader) error {
			_, err := s.SendFunc(context.Background(), memoTo("b@test.example"), func(w io.Writer) error {
				// Not io.Copy, which calls ReadFrom.
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
					// If nothing was sent, the session can still be used after Abort.
					if usable := how == "Write and Abort" && holding; s.Usable() != usable {
						t.Errorf("Usable is %v, want %v", s.Usable(), usable)
					}
					s.Close()
					srv.Close()
					if n := endMarks(nc.written()); n != 0 {
						t.Errorf("the end of the message was sent %d times", n)
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

// The server never gets the end of a message whose source panics. The panic reaches the
// caller.
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
						t.Errorf("recover returned %v", p)
					}
					if s.Usable() {
						t.Error("the session is still usable")
					}
					s.Close()
					srv.Close()
					if n := endMarks(nc.written()); n != 0 || len(srv.Messages()) != 0 {
						t.Errorf("the end of the message was sent %d times, the server accepted %d messages", n, len(srv.Messages()))
					}
				})
			}
		}
	}
}

type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic("no more") }

// A source that blocks until the context is done. Nothing is delivered, and the error is
// that of the context, whatever the source returns.
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
							t.Errorf("Temporary is false although the caller gave up: %v", err)
						}
						if took := time.Since(start); took != time.Hour {
							t.Errorf("it took %v, want 1h", took)
						}
						mustBeOver(t, s)
						srv.Close()
						if n := endMarks(nc.written()); n != 0 || len(srv.Messages()) != 0 {
							t.Errorf("the end of the message was sent %d times, the server accepted %d messages", n, len(srv.Messages()))
						}
					})
				})
			}
		}
	}
}

// waiting is a source that blocks until its context is done, and then returns err.
type waiting struct {
	ctx context.Context
	err error
}

func (w waiting) Read([]byte) (int, error) {
	<-w.ctx.Done()
	return 0, w.err
}

// The writer of SendFunc cannot be used after the function has returned.
func TestSendFuncWriterKept(t *testing.T) {
	s := openSession(t, play(t, "whole", greeted("PIPELINING")+flightOK+"C: QUIT\nS: 221 bye\neof"), plainText())
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

// A message is not sent when its function ignores the error of Write.
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
	s := openSession(t, play(t, "whole", script), plainText())
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

// A message that there is none of is refused before anything is sent.
func TestNoSource(t *testing.T) {
	s := openSession(t, smtptest.Play(t, greeted("PIPELINING")+flightOK+"C: QUIT\nS: 221 bye\neof"), plainText())
	defer s.Close()
	_, err := s.Send(context.Background(), memoTo("b@test.example"), nil)
	verdict{stage: submission.StageMessage, status: []submission.RecipientStatus{submission.RecipientUnsent}}.check(t, nil, err)
	_, err = s.SendFunc(context.Background(), memoTo("b@test.example"), nil)
	verdict{stage: submission.StageMessage, status: []submission.RecipientStatus{submission.RecipientUnsent}}.check(t, nil, err)
	mustSend(t, s, memoTo("b@test.example"))
}
