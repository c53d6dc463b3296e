package smtptest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// deliver sends a message from each of the senders to c@d, each over a session of its own.
func deliver(t *testing.T, s *Server, from ...string) {
	t.Helper()
	for _, sender := range from {
		c := over(t, s.Pipe())
		dialogue(c, "> EHLO x", "< 250", "> MAIL FROM:<"+sender+">", "< 250", "> RCPT TO:<c@d>", "< 250", "> DATA", "< 354", "> text\r\n.", "< 250", "> QUIT", "< 221", ".")
		c.nc.Close()
	}
}

// sender is whom the message is from, or what went wrong.
func sender(m Message, err error) string {
	if err != nil {
		return err.Error()
	}
	return m.From
}

func senders(all []Message) string {
	var list []string
	for _, m := range all {
		list = append(list, m.From)
	}
	return strings.Join(list, " ")
}

func TestNext(t *testing.T) {
	s := newServer(t, nil)
	deliver(t, s, "a@b", "b@b")
	for _, want := range []string{"a@b", "b@b"} {
		m, err := s.Next(t.Context())
		if sender(m, err) != want || string(m.Data) != "text\r\n" || len(m.To) != 1 {
			t.Errorf("%+v, %v, want one from %s", m, err, want)
		}
		m.To[0], m.Data[0] = "changed", '!'
	}
	if all := s.Messages(); senders(all) != "a@b b@b" || all[0].To[0] != "c@d" || string(all[0].Data) != "text\r\n" {
		t.Errorf("Messages has %+v", all)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if m, err := s.Next(ended); !errors.Is(err, context.Canceled) || m.From != "" {
		t.Errorf("%+v, %v", m, err)
	}
	deliver(t, s, "c@b")
	if m, err := s.Next(ended); err != nil || m.From != "c@b" { // what has come needs no waiting
		t.Errorf("%+v, %v", m, err)
	}
}

// Next waits, and each message goes to one of those who wait: to the first that called.
func TestNextWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(nil)
		defer s.Close()
		const n = 5
		got := make([]string, n)
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() { got[i] = sender(s.Next(t.Context())) })
			synctest.Wait() // it waits
		}
		for i := range n {
			deliver(t, s, fmt.Sprintf("%d@b", i))
			synctest.Wait()
			if got[i] != fmt.Sprintf("%d@b", i) || i < n-1 && got[i+1] != "" {
				t.Errorf("after message %d: %q", i, got)
			}
		}
		wg.Wait()
	})
}

// What one who waited does with its message changes nobody else's.
func TestNextWaitsCopies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(nil)
		defer s.Close()
		var wg sync.WaitGroup
		wg.Go(func() {
			m, err := s.Next(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			m.To[0], m.Data[0] = "changed", '!'
		})
		synctest.Wait()
		deliver(t, s, "a@b")
		wg.Wait()
		if all := s.Messages(); all[0].To[0] != "c@d" || string(all[0].Data) != "text\r\n" {
			t.Errorf("%+v", all)
		}
	})
}

// One that has given up takes no message with it.
func TestNextGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(nil)
		defer s.Close()
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var wg sync.WaitGroup
		var impatient, patient string
		wg.Go(func() { impatient = sender(s.Next(ctx)) })
		synctest.Wait()
		wg.Go(func() { patient = sender(s.Next(t.Context())) })
		synctest.Wait()
		time.Sleep(time.Minute)
		synctest.Wait()
		if !strings.Contains(impatient, "deadline exceeded") || patient != "" || time.Since(start) != time.Minute {
			t.Errorf("after %v: %q, %q", time.Since(start), impatient, patient)
		}
		deliver(t, s, "a@b")
		if wg.Wait(); patient != "a@b" {
			t.Errorf("%q", patient)
		}
	})
}

// A message that was handed to one whose context has just ended is not lost.
func TestNextGivesUpTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(nil)
		defer s.Close()
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if got := sender(s.Next(ctx)); got != "a@b" {
				t.Error(got)
			}
		})
		synctest.Wait()
		s.mu.Lock()
		cancel() // it wakes, and finds the message in its hand
		s.arrive(Message{From: "a@b"})
		s.mu.Unlock()
		wg.Wait()
	})
}

// TestNextRace ends contexts while messages arrive: each message goes to somebody.
func TestNextRace(t *testing.T) {
	s := newServer(t, nil)
	const n = 60
	var mu sync.Mutex
	seen := map[string]int{}
	note := func(m Message) {
		mu.Lock()
		defer mu.Unlock()
		seen[m.From]++
	}
	var wg sync.WaitGroup
	for range n {
		ctx, cancel := context.WithCancel(t.Context())
		wg.Go(func() {
			if m, err := s.Next(ctx); err == nil {
				note(m)
			}
		})
		wg.Go(cancel)
	}
	for i := range n {
		deliver(t, s, fmt.Sprintf("%d@b", i))
	}
	wg.Wait()
	for range n - len(seen) {
		m, err := s.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		note(m)
	}
	for from, times := range seen {
		if times != 1 {
			t.Errorf("%s was handed out %d times", from, times)
		}
	}
	if len(seen) != n {
		t.Errorf("%d messages, want %d", len(seen), n)
	}
}

func TestWait(t *testing.T) {
	s := newServer(t, nil)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for n, want := range map[int]error{-1: nil, 0: nil, 1: context.Canceled} {
		if all, err := s.Wait(ended, n); !errors.Is(err, want) || len(all) != 0 {
			t.Errorf("Wait(%d) with none: %+v, %v", n, all, err)
		}
	}
	deliver(t, s, "a@b", "b@b")
	for n, want := range map[int]error{-1: nil, 0: nil, 1: nil, 2: nil, 3: context.Canceled} {
		if all, err := s.Wait(ended, n); !errors.Is(err, want) || senders(all) != "a@b b@b" {
			t.Errorf("Wait(%d) with two: %+v, %v", n, all, err)
		}
	}
	// It hands nothing out, and what it returns are copies.
	all, _ := s.Wait(ended, 2)
	all[0].Data[0], all[0].To[0] = '!', "changed"
	if m, err := s.Next(ended); sender(m, err) != "a@b" || string(m.Data) != "text\r\n" || m.To[0] != "c@d" {
		t.Errorf("%+v, %v", m, err)
	}
	if all, err := s.Wait(ended, 2); err != nil || senders(all) != "a@b b@b" {
		t.Errorf("after Next: %+v, %v", all, err)
	}
}

func TestWaitWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(nil)
		defer s.Close()
		got := make([]string, 4)
		var wg sync.WaitGroup
		for n := range got {
			wg.Go(func() {
				all, err := s.Wait(t.Context(), n)
				if err != nil {
					t.Error(err)
				}
				got[n] = "have " + senders(all)
			})
		}
		synctest.Wait()
		if got[0] != "have " || got[1] != "" {
			t.Errorf("%q", got)
		}
		deliver(t, s, "a@b")
		synctest.Wait()
		deliver(t, s, "b@b")
		synctest.Wait()
		if got[1] != "have a@b" || got[2] != "have a@b b@b" || got[3] != "" {
			t.Errorf("%q", got)
		}
		deliver(t, s, "c@b")
		if wg.Wait(); got[3] != "have a@b b@b c@b" {
			t.Errorf("%q", got)
		}
	})
}
