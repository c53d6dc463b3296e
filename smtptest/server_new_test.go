package smtptest

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
)

// reporter is a testing.TB that has failed, or not, and keeps what is logged.
type reporter struct {
	recorder
	failed bool
	logs   []string
	fatal  string
}

func (r *reporter) Failed() bool { return r.failed }
func (r *reporter) Logf(format string, args ...any) {
	r.logs = append(r.logs, fmt.Sprintf(format, args...))
}
func (r *reporter) Fatalf(format string, args ...any) {
	r.fatal = fmt.Sprintf(format, args...)
	panic(r)
}

func TestNew(t *testing.T) {
	for name, tt := range map[string]struct {
		failed bool
		say    []string
		want   []string
	}{
		"passed":             {false, []string{"< 220", "> NOOP", "< 250"}, nil},
		"failed":             {true, []string{"< 220", "> NOOP", "< 250"}, []string{"smtptest: the transcript:\n[1] S: 220 mail.test.example ESMTP ready\n[1] C: NOOP\n[1] S: 250 still here"}},
		"failed, no session": {true, nil, []string{"smtptest: no session was opened"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := &reporter{recorder: recorder{TB: t}, failed: tt.failed}
				s := New(fake, nil)
				if len(tt.say) > 0 {
					nc := s.Pipe()
					defer nc.Close()
					dialogue(&client{t: t, nc: nc, r: newReader(nc)}, tt.say...)
				}
				fake.end()
				if fmt.Sprintf("%q", fake.logs) != fmt.Sprintf("%q", tt.want) {
					t.Errorf("logs %q, want %q", fake.logs, tt.want)
				}
				if _, err := s.DialContext(t.Context(), "tcp", "x"); err == nil {
					t.Error("not closed")
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) { // a long transcript: its end
		fake := &reporter{recorder: recorder{TB: t}, failed: true}
		s := New(fake, nil)
		c := over(t, s.Pipe())
		for range 1000 {
			c.do("NOOP", "250")
		}
		fake.end()
		if len(fake.logs) != 1 || !strings.HasPrefix(fake.logs[0], "smtptest: the transcript, without its first 1501 lines:\n[1] C: NOOP\n[1] S: 250 still here\n") ||
			strings.Count(fake.logs[0], "\n") != 500 {
			t.Errorf("logs %.200q", fake.logs)
		}
	})
	func() {
		fake := &reporter{recorder: recorder{TB: t}}
		defer func() {
			if recover() != fake || !strings.HasPrefix(fake.fatal, "smtptest: cannot listen: ") {
				t.Errorf("%q", fake.fatal)
			}
		}()
		New(fake, &Config{Network: "carrier pigeon"})
	}()
	synctest.Test(t, func(t *testing.T) { // closed within the bubble
		over(t, New(t, &Config{TLS: NoTLS}).Pipe()).do("NOOP", "250")
	})
}
