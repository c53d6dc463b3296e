package smtptest

import (
	"sync"
	"time"
)

// deadline is a deadline that wakes whoever waits on a condition. The lock of
// that condition guards it.
type deadline struct {
	at     time.Time
	passed bool
	timer  *time.Timer
}

// set arms d, or disarms it with the zero time. The timer's own word counts,
// not the clock's: the two may differ by the little that would make a wake-up
// come too early and for nothing.
func (d *deadline) set(wake *sync.Cond, t time.Time) {
	wake.L.Lock()
	defer wake.L.Unlock()
	if d.timer != nil {
		d.timer.Stop()
	}
	d.at, d.passed, d.timer = t, false, nil
	if t.IsZero() {
		return
	}
	wait := time.Until(t)
	if wait <= 0 {
		d.passed = true
		wake.Broadcast()
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(wait, func() {
		wake.L.Lock()
		defer wake.L.Unlock()
		if d.timer == timer {
			d.passed = true
			wake.Broadcast()
		}
	})
	d.timer = timer
}
