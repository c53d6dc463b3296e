package link

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fe022423/submission/internal/smtpwire"
)

// A failure has what the reply began with whose end did not come, without secrets.
func TestFailureBegun(t *testing.T) {
	for _, tc := range []struct {
		name, script, begun string
		kind                Kind
	}{
		{"an end", "S: 250-a secret\nclose", "250-a ***", Ended},
		{"an end in a line", "S> 250 a secret\nclose", "250 a ***", Ended},
		{"an end at once", "close", "", Ended},
		{"a reset", "S: 250-one\nreset", "250-one", Failed},
		{"silence", "S: 250-one\nS> 25\nstall", "250-one", TimedOut},
		{"silence at once", "stall", "", TimedOut},
		{"another code", "S: 250-one\nS: 550 two", "250-one", Malformed},
		{"not a reply", "S! hello", "", Malformed},
		{"not a reply after a line", "S: 250-one\nS! hello", "250-one", Malformed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := played(t, "C: x\n"+tc.script+"\neof", func(c *Config) {
					c.CleanStart = func(s string) string { return strings.ReplaceAll(s, "secret", "***") }
				})
				_, why := l.Exchange(Command, "x")
				if f := wantFailure(t, l, tc.kind, Command); f != why || f.Begun != tc.begun {
					t.Errorf("begun with %q, want %q", f.Begun, tc.begun)
				}
			})
		})
	}
}

// The rest of a line that is not a reply is read for its error, while it comes.
func TestReadLine(t *testing.T) {
	for _, tc := range []struct {
		name, script, text string
	}{
		{"whole", "S! HTTP/1.1 400", "HTTP/1.1 400"},
		{"in octets", "deliver bytes\nS! HTTP/1.1 400", "HTTP/1.1 400"},
		{"no end", "deliver bytes\nS> HTTP", "HTTP"},
		{"an end", "deliver bytes\nS> HTTP\nclose", "HTTP"},
		{"two lines", "deliver bytes\nS! HTTP\nS! Server: x", "HTTP"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := played(t, "C: x\n"+tc.script+"\neof")
				begun := time.Now()
				_, why := l.Exchange(Command, "x")
				took(t, begun, 0)
				wantFailure(t, l, Malformed, Command)
				var e *smtpwire.SyntaxError
				if !errors.As(why, &e) || e.Text != tc.text {
					t.Errorf("%v, want %q", why, tc.text)
				}
			})
		})
	}
}
