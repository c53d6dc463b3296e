package submission_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fe022423/submission"
)

// lookCounter counts the looks at a connection.
type lookCounter struct {
	*habitConn
	looks *atomic.Int64
}

func (l *lookCounter) InputWaiting() (waiting, known bool) {
	l.looks.Add(1)
	return l.habitConn.InputWaiting()
}

// A connection is looked at before the first command of a message and before its end. Where
// the envelope goes out behind the message in front, the reply to its RSET does what the
// first look would: one look a message.
func TestLooks(t *testing.T) {
	const messages = 100
	for _, tc := range []struct {
		name  string
		atOne time.Duration // the time from one send to the next
		most  int64         // looks, of all messages
	}{
		{"one after the other", 100 * time.Millisecond, 2 * messages},
		{"all at once", 0, messages + 2}, // nothing is in front of the first
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var looks atomic.Int64
				srv := newHabitServer("PIPELINING")
				srv.habit = func(_ *habitSession, verb, _ string) *habitAnswer {
					if verb == "MESSAGE" {
						return &habitAnswer{reply: "250 taken", delay: time.Millisecond}
					}
					return nil
				}
				o := plainText(withPool(submission.PoolOptions{MaxSessions: 1, MaxIdle: 1, MaxMessages: 1 << 20}))
				o.Dialer = dialFunc(func(ctx context.Context, network, addr string) (net.Conn, error) {
					nc, err := srv.DialContext(ctx, network, addr)
					if err != nil {
						return nil, err
					}
					return &lookCounter{nc.(*habitConn), &looks}, nil
				})
				c, err := submission.New(testHost, o)
				if err != nil {
					t.Fatal(err)
				}
				if err = sendNumber(t.Context(), c, -1); err != nil { // makes the session
					t.Fatal(err)
				}
				looks.Store(0)
				errs := make(chan error)
				for i := range messages {
					go func() {
						time.Sleep(time.Duration(i) * tc.atOne)
						errs <- sendNumber(t.Context(), c, i)
					}()
				}
				for range messages {
					if err := <-errs; err != nil {
						t.Error(err)
					}
				}
				t.Logf("%d looks at %d messages, at most %d", looks.Load(), messages, tc.most)
				if n := looks.Load(); n < messages || n > tc.most {
					t.Errorf("%d looks, want %d to %d", n, messages, tc.most)
				}
				wantClosed(t, c, srv)
			})
		})
	}
}
