package submission

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/fe022423/submission/smtptest"
)

// asleep is the time as it was read before the machine slept for d: the clock that Go
// measures with stood still, the one on the wall did not.
func asleep(t *testing.T, d time.Duration) time.Time {
	t.Helper()
	now := time.Now()
	before := now.Add(-d)
	(*[2]int64)(unsafe.Pointer(&before))[1] += int64(d) // its monotonic reading
	if now.Sub(before) != 0 || now.Round(0).Sub(before.Round(0)) != d {
		t.Fatalf("time.Time is not what this test takes it for: %v, %v", now.Sub(before), now.Round(0).Sub(before.Round(0)))
	}
	return before
}

// A session that lived or rested while the machine slept is as old as the clock on the
// wall says.
func TestRestWhileTheMachineSlept(t *testing.T) {
	for _, tt := range []struct {
		name  string
		sleep func(*Session, time.Time)
		slept time.Duration
		want  []string
	}{
		{"for a moment", func(s *Session, at time.Time) { s.resting = at }, time.Millisecond, []string{"MAIL"}},
		{"for an hour", func(s *Session, at time.Time) { s.resting = at }, time.Hour, []string{"QUIT", "EHLO"}},
		{"shorter than IdleTimeout", func(s *Session, at time.Time) { s.resting = at }, 2 * time.Second, []string{"NOOP", "MAIL"}},
		{"longer than MaxAge", func(s *Session, at time.Time) { s.born = at }, 25 * time.Hour, []string{"QUIT", "EHLO"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.NoTLS})
			defer srv.Close()
			var said []string
			c, err := New(srv.Addr(), &Options{TLS: TLSNone, Trace: &Trace{Sent: func(_ context.Context, _ SessionInfo, line string) { said = append(said, line[:4]) }}})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			send := func() {
				t.Helper()
				env := Envelope{From: "a@b.example", To: To("c@d.example")}
				if _, err := c.Send(context.Background(), env, strings.NewReader("x\r\n")); err != nil {
					t.Fatal(err)
				}
			}
			send()
			tt.sleep(c.pool.idle[0], asleep(t, tt.slept))
			said = nil
			send()
			if len(said) < len(tt.want) || !slices.Equal(said[:len(tt.want)], tt.want) {
				t.Errorf("said %q, want %q first", said, tt.want)
			}
		})
	}
}
