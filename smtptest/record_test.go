package smtptest

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
)

// Reset forgets; those who wait go on waiting for what comes after it.
func TestReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(nil)
		defer s.Close()
		deliver(t, s, "a@b", "b@b")
		if m, err := s.Next(t.Context()); sender(m, err) != "a@b" {
			t.Errorf("%+v, %v", m, err)
		}
		var three string
		var wg sync.WaitGroup
		wg.Go(func() {
			all, err := s.Wait(t.Context(), 3)
			three = fmt.Sprint(senders(all), err)
		})
		synctest.Wait()
		s.Reset()
		if len(s.Messages()) != 0 || len(s.Transcript()) != 0 || s.Sessions() != 2 {
			t.Errorf("left: %+v, %q, %d sessions", s.Messages(), s.Transcript(), s.Sessions())
		}
		var next string
		wg.Go(func() { next = sender(s.Next(t.Context())) })
		synctest.Wait()
		s.Reset() // with one who waits for the next
		deliver(t, s, "c@b", "d@b")
		synctest.Wait()
		if next != "c@b" || three != "" { // two before it do not count
			t.Errorf("next %q, three %q", next, three)
		}
		if first := s.Transcript()[0]; first != "[3] S: 220 mail.test.example ESMTP ready" {
			t.Errorf("the transcript goes on with %q", first)
		}
		if m, err := s.Next(t.Context()); sender(m, err) != "d@b" {
			t.Errorf("%+v, %v", m, err)
		}
		deliver(t, s, "e@b")
		if wg.Wait(); three != "c@b d@b e@b<nil>" {
			t.Errorf("%q", three)
		}
	})
}

// A message that is under way at Reset comes after it.
func TestResetMeanwhile(t *testing.T) {
	s := newServer(t, nil)
	c := piped(t, s)
	dialogue(c, "> MAIL FROM:<a@b>", "< 250", "> RCPT TO:<c@d>", "< 250", "> DATA", "< 354")
	s.Reset()
	c.do("text\r\n.", "250")
	if got := senders(s.Messages()); got != "a@b" {
		t.Errorf("%q", got)
	}
}
