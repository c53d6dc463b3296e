package smtptest

import (
	"sync"
	"testing"
	"testing/synctest"
)

// SetHook changes what the commands after it meet, in sessions that run as well.
func TestSetHook(t *testing.T) {
	s := newServer(t, &Config{Hook: On("NOOP", "", "450 first")})
	c := over(t, s.Pipe())
	c.do("NOOP", "450 first")
	s.SetHook(On("NOOP", "", "451 second"))
	c.do("NOOP", "451 second")
	s.SetHook(nil)
	c.do("NOOP", "250 still here")
	s.SetHook(func(Command) *Answer { // one that takes itself off
		s.SetHook(nil)
		return &Answer{Reply: "452 once"}
	})
	c.do("NOOP", "452 once")
	c.do("NOOP", "250 still here")
	over(t, s.Pipe()).do("NOOP", "250 still here")
}

// A hook that began an exchange is taken off: the exchange fails, the session continues.
func TestSetHookWithinAuth(t *testing.T) {
	s := newServer(t, &Config{Hook: On("AUTH", "", "334 ")})
	c := piped(t, s)
	c.do("AUTH X", "334 ")
	s.SetHook(nil)
	dialogue(c, "> eA==", "< 535", "> NOOP", "< 250")
}

// A hook that is being asked when another takes its place gives its answer still.
func TestSetHookMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := NewServer(&Config{Hook: func(c Command) *Answer {
			if c.Verb == "NOOP" {
				<-release
				return &Answer{Reply: "450 old"}
			}
			return nil
		}})
		defer s.Close()
		c := over(t, s.Pipe())
		c.raw("NOOP\r\n")
		synctest.Wait()
		s.SetHook(On("", "", "451 new"))
		close(release)
		c.want("450 old")
		c.do("NOOP", "451 new")
	})
}

func TestSetHookConcurrent(t *testing.T) {
	s := newServer(t, nil)
	var wg sync.WaitGroup
	for range 4 {
		c := over(t, s.Pipe())
		wg.Go(func() {
			for range 50 {
				c.raw("NOOP\r\n")
				c.reply()
			}
		})
		wg.Go(func() {
			for range 50 {
				s.SetHook(On("NOOP", "", "450 no"))
				s.SetHook(nil)
			}
		})
	}
	wg.Wait()
}
