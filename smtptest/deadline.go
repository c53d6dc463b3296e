package smtptest

import (
	"sync"
	"time"
)

// deadline is a deadline that wakes those who wait on a condition. The lock of the
// condition guards it.
type deadline struct {
	at     time.Time
	passed bool
	timer  *time.Timer
}

// set sets d, or removes it with the zero time. Only the timer decides that d has
// passed, not the clock: if the timer ran a little early by the clock, those it wakes
// would wait again, and nothing would wake them a second time.
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
