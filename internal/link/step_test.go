package link

import (
	"testing"
	"testing/synctest"
	"time"
)

// Each step has its own limit for a reply as a whole.
func TestLimits(t *testing.T) {
	for step, want := range map[Step]time.Duration{
		Greeting: limits.Greeting, Hello: limits.Command, StartTLS: limits.Command, Auth: limits.Command, Reset: limits.Command,
		Mail: limits.Command, Rcpt: limits.Command, Data: limits.DataInit, Message: limits.DataBlock, Chunk: limits.DataBlock,
		Final: limits.DataFinal, Noop: limits.Command, Quit: limits.Quit, Command: limits.Command,
	} {
		synctest.Test(t, func(t *testing.T) {
			for name, hear := range map[string]func(*Link){
				"Hear":    func(l *Link) { l.Hear(step) },
				"HearAll": func(l *Link) { l.Owes(Owed{&log{}, step, 0, false}); l.HearAll() },
			} {
				w := newWire()
				l := New(w, Config{Limits: limits})
				dripping := time.NewTicker(time.Second + time.Millisecond)
				over := make(chan struct{})
				go func() {
					for {
						select {
						case <-dripping.C:
							w.say("250-slow\r\n")
						case <-over:
							return
						}
					}
				}()
				begun := time.Now()
				hear(l)
				if got := time.Since(begun); got != want {
					t.Errorf("%s: step %d took %v, want %v", name, step, got, want)
				}
				close(over)
				dripping.Stop()
				if f := wantFailure(t, l, TimedOut, step); f.Limit != want {
					t.Errorf("limit %v, want %v", f.Limit, want)
				}
			}
		})
	}
}
