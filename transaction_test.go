package submission_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// What the methods of a transaction return when it is over.
func TestTransactionOver(t *testing.T) {
	begin := func(t *testing.T) (*submission.Session, *submission.Transaction) {
		s := openSession(t, play(t, "whole", greeted("PIPELINING")+flightOK+"C: QUIT\nS: 221 bye\neof"), plainText())
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

// With a context that is done from the start, nothing is sent.
func TestSendWithDoneContext(t *testing.T) {
	s := openSession(t, play(t, "whole", greeted()+stepsOK+"C: QUIT\nS: 221 bye\neof"), plainText())
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
		t.Errorf("the deadline of the caller is reported as a time-out of the server: %v", err)
	}
	// The session can still be used.
	mustSend(t, s, memoTo("b@test.example"))
}

// A message of up to 64 KiB is sent only when all of it is known. With one octet more it
// streams.
func TestHeldBack(t *testing.T) {
	for _, over := range []bool{false, true} {
		srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.NoTLS})
		nc := record(srv.Pipe())
		s := openSession(t, nc, plainText())
		tx, err := s.Begin(context.Background(), memoTo("b@test.example"))
		if err != nil {
			t.Fatal(err)
		}
		n := 64 << 10
		if over {
			n++
		}
		if _, err := tx.Write(bytes.Repeat([]byte("x"), n)); err != nil {
			t.Fatal(err)
		}
		if sent := bytes.Contains(nc.written(), []byte("MAIL FROM")); sent != over {
			t.Errorf("with %d octets written MAIL was sent: %v", n, sent)
		}
		res, err := tx.Commit()
		if err != nil || res.Bytes != int64(n)+2 {
			t.Errorf("%+v, %v", res, err)
		}
		s.Close()
		srv.Close()
	}
}
