package smtptest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// After Close nobody waits, and what has come is handed out still.
func TestWaitClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(nil)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if m, err := s.Next(t.Context()); err == nil || !strings.Contains(err.Error(), "the server is closed") {
					t.Errorf("Next: %+v, %v", m, err)
				}
			})
			wg.Go(func() {
				if all, err := s.Wait(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "the server is closed") {
					t.Errorf("Wait: %+v, %v", all, err)
				}
			})
		}
		synctest.Wait()
		s.Close()
		wg.Wait()

		s = NewServer(nil)
		deliver(t, s, "a@b")
		s.Close()
		if m, err := s.Next(t.Context()); sender(m, err) != "a@b" {
			t.Errorf("%+v, %v", m, err)
		}
		if all, err := s.Wait(t.Context(), 1); err != nil || senders(all) != "a@b" {
			t.Errorf("%+v, %v", all, err)
		}
		if m, err := s.Next(t.Context()); err == nil {
			t.Errorf("a second one: %+v", m)
		}
		if all, err := s.Wait(t.Context(), 2); err == nil || senders(all) != "a@b" {
			t.Errorf("a second one: %+v, %v", all, err)
		}
		if all, err := s.Wait(t.Context(), 0); err != nil || len(all) != 1 {
			t.Errorf("%+v, %v", all, err)
		}
	})
}

// The errors say what came and what was last said, in one line.
func TestWaitErrors(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	next := func(s *Server) error { _, err := s.Next(ended); return err }
	wait := func(s *Server) error { _, err := s.Wait(ended, 3); return err }
	for name, tt := range map[string]struct {
		before func(t *testing.T, s *Server)
		what   func(*Server) error
		want   string
	}{
		"nobody, Next":  {nil, next, "smtptest: no new message: context canceled; none has come; no session was opened"},
		"nobody, Wait":  {nil, wait, "smtptest: 0 of 3 messages: context canceled; no session was opened"},
		"stopped, Next": {func(_ *testing.T, s *Server) { s.Stop() }, next, "smtptest: no new message: context canceled; none has come; the server is stopped; no session was opened"},
		"refused, Next": {func(t *testing.T, s *Server) {
			dialogue(over(t, s.Pipe()), "> HELO x", "< 250", "> MAIL FROM:<a b>", "< 501")
		}, next, `smtptest: no new message: context canceled; none has come; last said: "[1] S: 220 mail.test.example ESMTP ready", "[1] C: HELO x", "[1] S: 250 mail.test.example", "[1] C: MAIL FROM:<a b>", "[1] S: 501 not a mailbox"`},
		"one handed out": {func(t *testing.T, s *Server) { deliver(t, s, "a@b"); s.Next(ended) }, next,
			`smtptest: no new message: context canceled; 1 has come and was handed out; last said: "[1] C: RCPT TO:<c@d>", "[1] S: 250 2.1.5 recipient ok", "[1] C: DATA", "[1] S: 354 end with a line that is one dot", "[1] C: <6 octets>", "[1] S: 250 2.0.0 message accepted", "[1] C: QUIT", "[1] S: 221 2.0.0 mail.test.example closing"`},
		"two of three":           {func(t *testing.T, s *Server) { deliver(t, s, "a@b", "b@b") }, wait, `smtptest: 2 of 3 messages: context canceled; last said: "[2] C: RCPT`},
		"after Reset":            {func(t *testing.T, s *Server) { deliver(t, s, "a@b"); s.Reset() }, wait, "smtptest: 0 of 3 messages: context canceled; nothing was said since Reset"},
		"two, all handed out":    {func(t *testing.T, s *Server) { deliver(t, s, "a@b", "b@b"); s.Next(ended); s.Next(ended) }, next, "; 2 have come and were handed out; last said"},
		"what is said, escaped":  {func(t *testing.T, s *Server) { over(t, s.Pipe()).do("\x1b[31m", "500") }, next, `"[1] C: \x1b[31m"`},
		"what is said, in short": {func(t *testing.T, s *Server) { over(t, s.Pipe()).do(strings.Repeat("x", 3000), "500") }, next, strings.Repeat("x", 150) + `...", "[1] S: 500`},
		"no password": {func(t *testing.T, s *Server) {
			piped(t, s).do("AUTH PLAIN "+b64("\x00user\x00secret"), "502")
		}, next, `"[1] C: AUTH PLAIN ***"`},
		"closed": {func(_ *testing.T, s *Server) { s.Close() }, wait, "smtptest: 0 of 3 messages: the server is closed; no session was opened"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, nil)
			if tt.before != nil {
				tt.before(t, s)
			}
			err := tt.what(s)
			if err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("%v, want %s", err, tt.want)
			}
			if closed := name == "closed"; closed == errors.Is(err, context.Canceled) {
				t.Errorf("errors.Is(%v, context.Canceled) is %v", err, !closed)
			}
		})
	}
}

// A hook may wait for messages as anyone may.
func TestNextInHook(t *testing.T) {
	s := newServer(t, nil)
	s.SetHook(func(c Command) *Answer {
		if c.Verb != "NOOP" {
			return nil
		}
		m, err := s.Next(t.Context())
		return &Answer{Reply: "250 " + sender(m, err)}
	})
	deliver(t, s, "a@b")
	over(t, s.Pipe()).do("NOOP", "250 a@b")
}
