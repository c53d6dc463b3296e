package smtptest

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// refused dials the server in every way and wants to be refused.
func refused(t *testing.T, s *Server) {
	t.Helper()
	network := "tcp"
	if s.config.Network != "" {
		network = s.config.Network
	}
	if nc, err := net.Dial(network, s.Addr()); err == nil {
		nc.Close()
		t.Error("the server still listens")
	}
	nc, err := s.DialContext(t.Context(), "tcp", "mail.example.net:587")
	if nc != nil || !errors.Is(err, errnoRefused) {
		t.Errorf("DialContext: %v, %v", nc, err)
	}
	if _, err := s.Pipe().Read(make([]byte, 1)); err == nil {
		t.Error("a session over a pipe")
	}
}

func TestStop(t *testing.T) {
	path := t.TempDir() + "/s"
	for name, config := range map[string]Config{
		"tcp":           {},
		"a socket":      {Network: "unix", Addr: path},
		"any socket":    {Network: "unix", LMTP: true},
		"an IPv6 port":  {Addr: "[::1]:0"},
		"every address": {Addr: ":0"},
	} {
		t.Run(name, func(t *testing.T) {
			needsIPv6(t, config.Addr)
			s := newServer(t, &config)
			network := "tcp"
			if config.Network != "" {
				network = config.Network
			}
			addr := s.Addr()
			for round := range 3 {
				c, piped := over(t, dialNetwork(t, network, addr)), over(t, s.Pipe())
				c.do("NOOP", "250")
				s.Stop()
				c.ended()
				piped.ended()
				if refused(t, s); s.Addr() != addr {
					t.Errorf("the address is %s, was %s", s.Addr(), addr)
				}
				if s.Stop(); s.Sessions() != 2*round+2 { // again
					t.Errorf("%d sessions", s.Sessions())
				}
				s.Start()
				s.Start() // again
				if s.Addr() != addr {
					t.Errorf("the address is %s, was %s", s.Addr(), addr)
				}
			}
			over(t, dialNetwork(t, network, addr)).do("NOOP", "250")
			s.Stop()
			s.Close()
			refused(t, s)
			s.Start() // a closed server stays closed
			s.Stop()
			refused(t, s)
			if _, err := os.Stat(addr); !os.IsNotExist(err) {
				t.Errorf("the socket is left: %v", err)
			}
			if _, err := os.Stat(s.folder); s.folder != "" && !os.IsNotExist(err) {
				t.Errorf("the folder is left: %v", err)
			}
		})
	}
}

// Stop before anyone asked for the address.
func TestStopFirst(t *testing.T) {
	s := newServer(t, nil)
	s.Stop()
	refused(t, s)
	s.Start()
	over(t, dial(t, s)).do("NOOP", "250")
}

// What was recorded stays, and the numbers of the sessions go on.
func TestStopKeeps(t *testing.T) {
	s := newServer(t, &Config{Hook: Times(1, On("NOOP", "", "450 once"))})
	deliver(t, s, "a@b")
	over(t, s.Pipe()).do("NOOP", "450 once")
	s.Stop()
	said := len(s.Transcript())
	s.Start()
	if len(s.Messages()) != 1 || len(s.Transcript()) != said || said == 0 {
		t.Errorf("%+v, %q", s.Messages(), s.Transcript())
	}
	over(t, s.Pipe()).do("NOOP", "250") // the hook is the same
	if last := s.Transcript()[said]; last != "[3] S: 220 mail.test.example ESMTP ready" {
		t.Errorf("%q", last)
	}
	deliver(t, s, "b@b")
	if all, err := s.Wait(t.Context(), 2); err != nil || senders(all) != "a@b b@b" {
		t.Errorf("%+v, %v", all, err)
	}
}

// Those who wait for messages wait on while the server is down.
func TestStopWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(nil)
		defer s.Close()
		var wg sync.WaitGroup
		wg.Go(func() {
			if got := sender(s.Next(t.Context())); got != "a@b" {
				t.Error(got)
			}
		})
		synctest.Wait()
		s.Stop()
		time.Sleep(time.Hour)
		s.Start()
		deliver(t, s, "a@b")
		wg.Wait()
	})
}

// TestStopConcurrent: everything at once.
func TestStopConcurrent(t *testing.T) {
	s := newServer(t, nil)
	s.Addr()
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for range 25 {
				s.Stop()
				s.Start()
			}
		})
		wg.Go(func() {
			for range 50 {
				nc, err := s.DialContext(t.Context(), "tcp", "x")
				if i%2 == 0 {
					nc, err = net.Dial("tcp", s.Addr())
				}
				if err == nil {
					_, _ = nc.Write([]byte("EHLO x\r\nNOOP\r\n"))
					nc.Close()
				}
			}
		})
	}
	wg.Wait()
	deliver(t, s, "a@b")
	over(t, dial(t, s)).do("NOOP", "250")
}

// What a listener accepted before Stop is no session after Start.
func TestStopAccepted(t *testing.T) {
	s := newServer(t, nil)
	before := s.listener
	s.Stop()
	s.Start()
	for listener, good := range map[net.Listener]bool{before: false, s.listener: true, nil: true} {
		client, server := newPipe(0)
		if got := s.serve(server, listener); got != good {
			t.Errorf("%v: served is %v", listener, got)
		}
		if _, err := client.Read(make([]byte, 1)); (err == nil) != good {
			t.Errorf("%v: %v", listener, err)
		}
	}
}

// Start says so when another has the address.
func TestStartFails(t *testing.T) {
	s := newServer(t, nil)
	s.Stop()
	other := newServer(t, &Config{Addr: s.Addr()})
	func() {
		defer func() {
			if text, ok := recover().(string); !ok || !strings.HasPrefix(text, "smtptest: cannot listen: ") {
				t.Errorf("%v", text)
			}
		}()
		s.Start()
	}()
	other.Close()
	s.Start()
	over(t, dial(t, s)).do("NOOP", "250")
}

func TestDialContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(nil)
		defer s.Close()
		nc, err := s.DialContext(t.Context(), "tcp", "any.example:25")
		if err != nil {
			t.Fatal(err)
		}
		over(t, nc).do("NOOP", "250")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		<-ctx.Done()
		nc, err = s.DialContext(ctx, "tcp", "any.example:25")
		var op *net.OpError
		if nc != nil || !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &op) || !op.Timeout() || s.Sessions() != 1 {
			t.Errorf("%v, %v, %d sessions", nc, err, s.Sessions())
		}
		s.Close()
		nc, err = s.DialContext(t.Context(), "tcp", "any.example:25")
		if nc != nil || !errors.Is(err, errnoRefused) || !strings.Contains(err.Error(), "any.example:25") {
			t.Errorf("%v, %v", nc, err)
		}
	})
}
