package smtptest

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A session that is cut at its hook records nothing any more, whatever the hook says. So
// after Stop nothing changes until Start.
func TestStopWithinHook(t *testing.T) {
	for _, tt := range []struct {
		verb    string
		lmtp    bool
		message []string
	}{
		{verb: "MESSAGE", message: []string{"> DATA", "< 354", "> x\r\n."}},
		{verb: "MESSAGE", message: []string{"> BDAT 3 LAST\r\nx"}},
		{verb: "BDAT", message: []string{"> BDAT 3 LAST\r\nx"}},
		{verb: "MESSAGE", lmtp: true, message: []string{"> DATA", "< 354", "> x\r\n."}},
	} {
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			asked := 0
			s := NewServer(&Config{LMTP: tt.lmtp})
			defer s.Close()
			s.SetHook(func(c Command) *Answer {
				if c.Verb != tt.verb {
					return nil
				}
				asked++
				<-release
				return &Answer{Reply: "250 too late"}
			})
			hello := "> EHLO x"
			if tt.lmtp {
				hello = "> LHLO x"
			}
			c := over(t, s.Pipe())
			dialogue(c, append([]string{hello, "< 250", "> MAIL FROM:<a@b>", "< 250", "> RCPT TO:<c@d>", "< 250", "> RCPT TO:<e@f>", "< 250"}, tt.message...)...)
			c.raw("NOOP\r\nNOOP\r\n")
			synctest.Wait()
			said := strings.Join(s.Transcript(), "\n")
			s.Stop()
			s.SetHook(func(c Command) *Answer { asked += 100; return nil })
			close(release)
			synctest.Wait()
			c.ended()
			if now := strings.Join(s.Transcript(), "\n"); asked != 1 || len(s.Messages()) != 0 || now != said {
				t.Errorf("%+v: asked %d times, %+v, said %s", tt, asked, s.Messages(), strings.TrimPrefix(now, said))
			}
		})
	}
}

// A hook may stop the server, and start it again.
func TestStopByHook(t *testing.T) {
	for name, restart := range map[string]bool{"stop": false, "stop and start": true} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, nil)
			s.SetHook(func(c Command) *Answer {
				if c.Verb == "DATA" {
					s.SetHook(nil)
					s.Stop()
					if restart {
						s.Start()
					}
				}
				return nil
			})
			c := piped(t, s)
			dialogue(c, "> MAIL FROM:<a@b>", "< 250", "> RCPT TO:<c@d>", "< 250", "> DATA", ".")
			if !restart {
				refused(t, s)
				s.Start()
			}
			deliver(t, s, "a@b")
		})
	}
}

// Stop ends a delay, also when Start follows at once.
func TestStopDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&Config{Hook: Delay(time.Hour, On("NOOP", "", "250 late"))})
		defer s.Close()
		start := time.Now()
		c := over(t, s.Pipe())
		c.raw("NOOP\r\n")
		synctest.Wait()
		s.Stop()
		s.Start()
		c.ended()
		synctest.Wait()
		s.mu.Lock()
		open := len(s.open)
		s.mu.Unlock()
		if open != 0 || time.Since(start) != 0 {
			t.Errorf("%d sessions are open after %v", open, time.Since(start))
		}
	})
}

// Greylist remembers over a restart.
func TestStopGreylist(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&Config{Hook: Greylist(time.Minute)})
		defer s.Close()
		try := func(want string) {
			c := piped(t, s)
			dialogue(c, "> MAIL FROM:<a@b>", "< 250", "> RCPT TO:<c@d>", "< "+want, "> QUIT", "< 221")
		}
		try("451")
		s.Stop()
		time.Sleep(time.Minute - time.Nanosecond)
		s.Start()
		try("451")
		time.Sleep(time.Nanosecond)
		s.Reset()
		try("250")
	})
}
