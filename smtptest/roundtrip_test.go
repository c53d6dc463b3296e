package smtptest

import (
	"testing"
	"testing/synctest"
)

// TestRoundTrips lets the server answer each write before the client continues.
func TestRoundTrips(t *testing.T) {
	silent := hook(map[string]Answer{"NOOP": {}})
	tests := map[string]struct {
		lines []string // as for dialogue, but "+" writes without CRLF
		want  int      // after EHLO and its reply
	}{
		"nothing":                {nil, 0},
		"one command":            {[]string{"> RSET", "< 250"}, 1},
		"lockstep":               {[]string{"> MAIL FROM:<a@b>", "< 250", "> RCPT TO:<c@d>", "< 250"}, 2},
		"one write":              {[]string{"> MAIL FROM:<a@b>\r\nRCPT TO:<c@d>", "< 250", "< 250"}, 1},
		"two writes":             {[]string{"> MAIL FROM:<a@b>", "> RCPT TO:<c@d>", "< 250", "< 250"}, 1},
		"three writes":           {[]string{"> MAIL FROM:<a@b>", "> RCPT TO:<c@d>", "> RCPT TO:<e@f>", "< 250", "< 250", "< 250"}, 1},
		"cut in a line":          {[]string{"> MAIL FROM:<a@b>", "+RCPT T", "> O:<c@d>", "< 250", "< 250"}, 1},
		"two flights":            {[]string{"> MAIL FROM:<a@b>", "> RCPT TO:<c@d>", "< 250", "< 250", "> RSET", "> RSET", "< 250", "< 250"}, 2},
		"part of the replies":    {[]string{"> MAIL FROM:<a@b>", "> RCPT TO:<c@d>", "< 250", "> RCPT TO:<e@f>", "< 250", "< 250"}, 2},
		"message":                {[]string{"> MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA", "< 250", "< 250", "< 354", "> x\r\n.", "< 250"}, 2},
		"message in pieces":      {[]string{"> MAIL FROM:<a@b>", "> RCPT TO:<c@d>", "> DATA", "< 250", "< 250", "< 354", "> x", "> y", "> .", "< 250"}, 2},
		"message, not asked for": {[]string{"> MAIL FROM:<a@b>", "> RCPT TO:<c@d>", "> DATA", "> x", "> .", "< 250", "< 250", "< 354", "< 250"}, 1},
		"chunk in pieces":        {[]string{"> MAIL FROM:<a@b>", "> RCPT TO:<c@d>", "> BDAT 6 LAST", "+abc", "+def", "< 250", "< 250", "< 250"}, 1},
		"next envelope": {[]string{"> MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA", "< 250", "< 250", "< 354",
			"> x\r\n.", "> MAIL FROM:<a@b>", "> RCPT TO:<c@d>\r\nDATA", "< 250", "< 250", "< 250", "< 354", "> y\r\n.", "< 250"}, 3},
		"silence":              {[]string{"> NOOP", "> NOOP"}, 0},
		"silence, then a word": {[]string{"> NOOP", "> RSET", "< 250"}, 1},
		"a word, then silence": {[]string{"> RSET", "> NOOP", "< 250", "> RSET", "< 250"}, 2},
		"half a line at last":  {[]string{"+RSET\r\nNO", "< 250", "> OP", "> RSET", "< 250"}, 2},
		"AUTH":                 {[]string{"> AUTH LOGIN", "< 334", "> " + b64("user"), "< 334", "> " + b64("secret"), "< 235"}, 3},
		"AUTH without waiting": {[]string{"> AUTH LOGIN", "> " + b64("user"), "> " + b64("secret"), "< 334", "< 334", "< 235"}, 1},
		"QUIT":                 {[]string{"> RSET", "> QUIT", "< 250", "< 221", "."}, 0},
	}
	for name, tt := range tests {
		for _, encrypted := range []bool{false, true} {
			t.Run(name+map[bool]string{true: ", TLS"}[encrypted], func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := NewServer(&Config{Hook: silent, Accounts: map[string]string{"user": "secret"}, LenientClearText: true, LenientData: true})
					defer s.Close()
					c := piped(t, s)
					before := 2 // greeting, EHLO
					if encrypted {
						c.startTLS(s)
						c.do("EHLO client.example", "250")
						before = 4 // STARTTLS and EHLO, the handshake is none
					}
					synctest.Wait()
					if got := s.RoundTrips(); got != before {
						t.Errorf("%d round trips at first, want %d", got, before)
					}
					for _, line := range tt.lines {
						if line[0] == '+' {
							c.raw(line[1:])
						} else {
							dialogue(c, line)
						}
						synctest.Wait()
					}
					if got := s.RoundTrips() - before; got != tt.want {
						t.Errorf("%d round trips, want %d", got, tt.want)
					}
				})
			})
		}
	}
}
