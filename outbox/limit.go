package outbox

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/fe022423/submission"
)

// Limiter bounds the recipients sent to in a time, within this process. *rate.Limiter of
// golang.org/x/time/rate is one.
type Limiter interface {
	// WaitN waits until n more may go.
	WaitN(ctx context.Context, n int) error
	// Burst is the most that WaitN may be asked for at once.
	Burst() int
}

// await asks a limiter for n recipients, in parts if that is more than its burst.
func await(ctx context.Context, l Limiter, n int) error {
	for n > 0 {
		part := n
		if burst := l.Burst(); burst > 0 {
			part = min(n, burst)
		}
		if err := l.WaitN(ctx, part); err != nil {
			return err
		}
		n -= part
	}
	return nil
}

const (
	firstBackoff = time.Minute
	maxBackoff   = time.Hour
	rateBackoff  = 5 * time.Minute
)

func defaultBackoff(attempt int, err *submission.SendError) time.Duration {
	d := firstBackoff
	for ; attempt > 1 && d < maxBackoff; attempt-- {
		d *= 2
	}
	if speaksOfRate(err) {
		d = max(d, rateBackoff)
	}
	d = min(d, maxBackoff)
	return d - rand.N(d/2+1)
}

// speaksOfRate reports whether the server wants less mail, or none for now: a 421, or the
// enhanced codes of RFC 3463 for a system that is not accepting messages (x.3.2), congestion
// (x.4.5), and policy (x.7.0, x.7.1), which greylisting and limits use.
func speaksOfRate(err *submission.SendError) bool {
	if err == nil || err.Reply == nil || !err.Reply.Temporary() {
		return false
	}
	code := err.Reply.Enhanced
	switch [2]int{code[1], code[2]} {
	case [2]int{3, 2}, [2]int{4, 5}, [2]int{7, 0}, [2]int{7, 1}:
		return code[0] == 4
	}
	return err.Reply.Code == 421
}
