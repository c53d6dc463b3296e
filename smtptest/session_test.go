package smtptest

import (
	"fmt"
	"io"
	"strings"
	"testing"
)

func TestCommands(t *testing.T) {
	tests := map[string]struct {
		config *Config
		lines  []string
	}{
		"order": {nil, []string{
			"> MAIL FROM:<a@b.example>", "< 503", "> RCPT TO:<a@b.example>", "< 503", "> DATA", "< 503",
			"> STARTTLS", "< 503", "> BDAT 4 LAST\r\nab", "< 502", "> NOOP", "< 250 still", "> RSET", "< 250",
			"> EHLO client.example", "< 250-", "> RCPT TO:<a@b.example>", "< 503 5.5.1", "> DATA", "< 503 5.5.1",
			"> MAIL FROM:<a@b.example>", "< 250", "> MAIL FROM:<a@b.example>", "< 503", "> DATA", "< 554 5.5.1",
			"> RCPT TO:<a@b.example>", "< 250", "> RSET", "< 250", "> RCPT TO:<a@b.example>", "< 503",
			"> MAIL FROM:<a@b.example>", "< 250", "> EHLO client.example", "< 250", "> RCPT TO:<a@b.example>", "< 503",
			"> QUIT", "< 221", "."}},
		"HELO": {nil, []string{
			"> HELO", "< 501", "> HELO -x", "< 501", "> HELO client.example", "< 250 mail.test.example",
			"> MAIL FROM:<a@b.example> SIZE=3", "< 555", "> MAIL FROM:<a@b.example>", "< 250 sender",
			"> RCPT TO:<a@b.example>", "< 250", "> BDAT 2\r\n", "< 502", "> DATA", "< 354", "> x\r\n.", "< 250"}},
		"EHLO": {nil, []string{
			"> EHLO", "< 501", "> EHLO a b", "< 501", "> EHLO a_b", "< 501", "> EHLO ärger", "< 501",
			"> EHLO [127.0.0.1]", "< 250", "> EHLO [IPv6:::1]", "< 250", "> EHLO [::1]", "< 501",
			"> EHLO [IPv6:127.0.0.1]", "< 501", "> EHLO [127.0.0.1", "< 501", "> ehlo localhost", "< 250"}},
		"rest": {nil, []string{
			"> EHLO x", "< 250", "> VRFY", "< 501", "> VRFY a", "< 252", "> HELP", "< 214", "> NOOP x", "< 250",
			"> EXPN x", "< 502", "> XYZ", "< 500", "> ", "< 500", "> RSET x", "< 501", "> DATA x", "< 501",
			"> QUIT x", "< 501", "> STARTTLS x", "< 501", "> AUTH PLAIN", "< 502", "> NO\x00OP", "< 500 5.5.2",
			"> quit", "< 221", "."}},
		"MAIL syntax": {nil, []string{
			"> EHLO x", "< 250", "> MAIL", "< 501", "> MAIL FROM: <a@b>", "< 501", "> MAIL FROM:a@b", "< 501",
			"> MAIL FROM:<a@b", "< 501", "> MAIL FROM:<a@b>x", "< 501", "> MAIL FROM:<a@b> ", "< 501",
			"> MAIL FROM:<a@b>  SIZE=1", "< 501", "> MAIL FROM:<a>", "< 501", "> MAIL FROM:<a@>", "< 501",
			"> MAIL FROM:<@b>", "< 501", "> MAIL FROM:<a b@c>", "< 501", "> MAIL FROM:<a..b@c>", "< 501",
			"> MAIL FROM:<\"a\"b@c>", "< 501", "> MAIL FROM:<a@b-.c>", "< 501", "> MAIL FROM:<@x:@c>", "< 501",
			"> MAIL FROM:<\"a\\\"@c>", "< 501", "> MAIL FROM:<" + strings.Repeat("a", 65) + "@c>", "< 501",
			"> MAIL FROM:<a@" + strings.Repeat("b", 64) + ">", "< 501", "> MAIL FROM:<a@[300.1.1.1]>", "< 501",
			"> MAIL FROM:<a@b> SIZE=1 SIZE=2", "< 501", "> MAIL FROM:<a@b> SIZE", "< 501", "> MAIL FROM:<a@b> SIZE=x", "< 501",
			"> MAIL FROM:<a@b> BODY=9BIT", "< 501", "> MAIL FROM:<a@b> SMTPUTF8=1", "< 501", "> MAIL FROM:<a@b> RET=ALL", "< 501",
			"> MAIL FROM:<a@b> ENVID=a+2", "< 501", "> MAIL FROM:<a@b> -X=1", "< 501", "> MAIL FROM:<a@b> SIZE=1=2", "< 501",
			"> MAIL FROM:<a@b> AUTH=<>", "< 555 5.5.4", "> MAIL FROM:<a@b> REQUIRETLS", "< 555", "> MAIL FROM:<a@b> XYZ=1", "< 555",
			"> MAIL FROM:<ä@b>", "< 553 5.6.7", "> MAIL FROM:<a@b> SIZE=52428801", "< 552 5.3.4",
			"> MAIL FROM:<a@b> SIZE=99999999999999999999", "< 552 5.3.4",
			"> MAIL FROM:<\"a>\\\"b\"@c> ENVID=a+2Bb RET=HDRS BODY=BINARYMIME SIZE=52428800", "< 250"}},
		"RCPT syntax": {nil, []string{
			"> EHLO x", "< 250", "> MAIL FROM:<>", "< 250", "> RCPT TO:<>", "< 501 5.1.3", "> RCPT TO:<a>", "< 501 5.1.3",
			"> RCPT FROM:<a@b>", "< 501 5.5.4", "> RCPT TO:<ä@b>", "< 553", "> RCPT TO:<a@b> SIZE=3", "< 555", "> RCPT TO:<a@b> NOTIFY=NEVER,DELAY", "< 501",
			"> RCPT TO:<a@b> NOTIFY=DELAY,DELAY", "< 501", "> RCPT TO:<a@b> ORCPT=a@b", "< 501", "> RCPT TO:<a@b> ORCPT=rfc822;a+xx", "< 501",
			"> RCPT TO:<a@b> NOTIFY=DELAY,success ORCPT=rfc822;a+2Bb", "< 250", "> RCPT TO:<@x,@y:a@b>", "< 250",
			"> RCPT TO:<postmaster>", "< 250"}},
		"SMTPUTF8": {nil, []string{
			"> EHLO x", "< 250", "> MAIL FROM:<ä@ö.example> SMTPUTF8", "< 250", "> RCPT TO:<ü@b>", "< 250",
			"> RCPT TO:<\xff@b>", "< 501"}},
		"nothing offered": {&Config{TLS: NoTLS, Extensions: []string{}}, []string{
			"> EHLO x", "< 250 mail.test.example greets x", "> STARTTLS", "< 502 STARTTLS", "> MAIL FROM:<a@b> BODY=8BITMIME", "< 555",
			"> MAIL FROM:<a@b>", "< 250 sender", "> RCPT TO:<c@d>", "< 250", "> RCPT TO:<c@d> NOTIFY=NEVER", "< 555",
			"> BDAT 3 LAST\r\na", "< 502", "> DATA", "< 354", "> x\r\n.", "< 250"}},
		"own extensions": {&Config{Hostname: "h.example", Extensions: []string{"mt-priority MIXER", "8BITMIME", "SIZE"}}, []string{
			"> EHLO x", "< 250-h.example greets x\n250-mt-priority MIXER\n250-8BITMIME\n250-SIZE\n250 STARTTLS",
			"> MAIL FROM:<a@b> BODY=BINARYMIME", "< 555", "> MAIL FROM:<a@b> MT-PRIORITY=3 SIZE=99999999999 BODY=7BIT", "< 250"}},
		"MT-PRIORITY": {nil, []string{
			"> EHLO x", "< 250", "> MAIL FROM:<a@b> MT-PRIORITY", "< 501 5.5.4", "> MAIL FROM:<a@b> MT-PRIORITY=10", "< 501",
			"> MAIL FROM:<a@b> MT-PRIORITY=-10", "< 501", "> MAIL FROM:<a@b> MT-PRIORITY=-0", "< 501", "> MAIL FROM:<a@b> MT-PRIORITY=+3", "< 501",
			"> MAIL FROM:<a@b> MT-PRIORITY=03", "< 501", "> MAIL FROM:<a@b> MT-PRIORITY=x", "< 501",
			"> MAIL FROM:<a@b> MT-PRIORITY=9", "< 250", "> RCPT TO:<a@b> MT-PRIORITY=9", "< 555",
			"> RSET", "< 250", "> MAIL FROM:<a@b> MT-PRIORITY=-9", "< 250", "> RSET", "< 250", "> MAIL FROM:<a@b> MT-PRIORITY=0", "< 250"}},
		"FUTURERELEASE": {&Config{Extensions: []string{"FutureRelease 3600 2030-01-01T00:00:00Z", "ENHANCEDSTATUSCODES"}}, []string{
			"> EHLO x", "< 250", "> MAIL FROM:<a@b> HOLDFOR=0", "< 501 5.5.4", "> MAIL FROM:<a@b> HOLDFOR=01", "< 501",
			"> MAIL FROM:<a@b> HOLDFOR=-1", "< 501", "> MAIL FROM:<a@b> HOLDFOR=1000000000", "< 501", "> MAIL FROM:<a@b> HOLDFOR", "< 501",
			"> MAIL FROM:<a@b> HOLDUNTIL=2029-12-31", "< 501", "> MAIL FROM:<a@b> HOLDUNTIL=2029-12-31T00:00:00", "< 501",
			"> MAIL FROM:<a@b> HOLDUNTIL=2029-02-30T00:00:00Z", "< 501", "> MAIL FROM:<a@b> HOLDUNTIL=60", "< 501",
			"> MAIL FROM:<a@b> HOLDFOR=60 HOLDUNTIL=2029-12-31T00:00:00Z", "< 501 5.5.4",
			"> MAIL FROM:<a@b> HOLDFOR=3601", "< 554 5.5.4", "> MAIL FROM:<a@b> HOLDUNTIL=2030-01-01T00:00:01Z", "< 554 5.5.4",
			"> MAIL FROM:<a@b> HOLDUNTIL=2029-12-31T23:00:01-01:00", "< 554",
			"> MAIL FROM:<a@b> HOLDFOR=3600", "< 250", "> RSET", "< 250", "> MAIL FROM:<a@b> HOLDUNTIL=2030-01-01T00:00:00Z", "< 250",
			"> RSET", "< 250", "> MAIL FROM:<a@b> HOLDUNTIL=2029-12-31t23:59:59.5z", "< 250"}},
		"FUTURERELEASE without limits": {&Config{Extensions: []string{"FUTURERELEASE x 2030-01-01"}}, []string{
			"> EHLO x", "< 250", "> MAIL FROM:<a@b> HOLDFOR=999999999", "< 250", "> RSET", "< 250",
			"> MAIL FROM:<a@b> HOLDUNTIL=9999-12-31T23:59:59Z", "< 250"}},
		"DELIVERBY": {&Config{Extensions: []string{"DELIVERBY 30", "ENHANCEDSTATUSCODES"}}, []string{
			"> EHLO x", "< 250", "> MAIL FROM:<a@b> BY", "< 501 5.5.4", "> MAIL FROM:<a@b> BY=60", "< 501", "> MAIL FROM:<a@b> BY=60;", "< 501",
			"> MAIL FROM:<a@b> BY=60;X", "< 501", "> MAIL FROM:<a@b> BY=60;RX", "< 501", "> MAIL FROM:<a@b> BY=60;TR", "< 501",
			"> MAIL FROM:<a@b> BY=;R", "< 501", "> MAIL FROM:<a@b> BY=-;N", "< 501", "> MAIL FROM:<a@b> BY=1000000000;N", "< 501",
			"> MAIL FROM:<a@b> BY=0;R", "< 501", "> MAIL FROM:<a@b> BY=-60;R", "< 501", "> MAIL FROM:<a@b> BY=29;R", "< 555 5.5.4",
			"> MAIL FROM:<a@b> BY=30;R", "< 250", "> RSET", "< 250", "> MAIL FROM:<a@b> BY=29;N", "< 250", "> RSET", "< 250",
			"> MAIL FROM:<a@b> BY=-999999999;nt", "< 250", "> RSET", "< 250", "> MAIL FROM:<a@b> BY=+60;RT", "< 250"}},
		"DELIVERBY without a minimum": {&Config{Extensions: []string{"DELIVERBY"}}, []string{
			"> EHLO x", "< 250", "> MAIL FROM:<a@b> BY=1;R", "< 250"}},
		"RRVS": {nil, []string{
			"> EHLO x", "< 250", "> MAIL FROM:<a@b> RRVS=2014-04-03T23:01:00Z", "< 555", "> MAIL FROM:<a@b>", "< 250",
			"> RCPT TO:<a@b> RRVS", "< 501 5.5.4", "> RCPT TO:<a@b> RRVS=2014-04-03", "< 501", "> RCPT TO:<a@b> RRVS=2014-04-03T23:01:00Z;", "< 501",
			"> RCPT TO:<a@b> RRVS=2014-04-03T23:01:00Z;X", "< 501", "> RCPT TO:<a@b> RRVS=2014-04-03T23:01:00Z;C;R", "< 501",
			"> RCPT TO:<a@b> RRVS=2014-04-03T23:01:00Z", "< 250", "> RCPT TO:<a@b> RRVS=1997-11-24T14:22:01-08:00;C", "< 250",
			"> RCPT TO:<a@b> RRVS=2014-04-03T23:01:00Z;r", "< 250"}},
		"delivery not offered": {&Config{Extensions: []string{"DSN"}}, []string{
			"> EHLO x", "< 250", "> MAIL FROM:<a@b> MT-PRIORITY=1", "< 555", "> MAIL FROM:<a@b> HOLDFOR=1", "< 555",
			"> MAIL FROM:<a@b> HOLDUNTIL=2030-01-01T00:00:00Z", "< 555", "> MAIL FROM:<a@b> BY=60;R", "< 555", "> MAIL FROM:<a@b>", "< 250",
			"> RCPT TO:<a@b> RRVS=2014-04-03T23:01:00Z", "< 555"}},
		"RequireAuth": {&Config{TLS: NoTLS, RequireAuth: true, Accounts: map[string]string{"user": "secret"}}, []string{
			"> EHLO x", "< 250", "> MAIL FROM:<a@b>", "< 530 5.7.0", "> AUTH PLAIN AHVzZXIAc2VjcmV0", "< 235",
			"> MAIL FROM:<a@b> AUTH=<>", "< 250", "> AUTH PLAIN AHVzZXIAc2VjcmV0", "< 503"}},
		"line lengths": {nil, []string{
			"> EHLO x", "< 250", "> NOOP " + strings.Repeat("x", 505), "< 250", "> NOOP " + strings.Repeat("x", 506), "< 500 5.5.2",
			"> MAIL FROM:<a@b> ENVID=" + strings.Repeat("x", 100), "< 250", "> RCPT TO:<a@b> ORCPT=rfc822;" + strings.Repeat("x", 490), "< 250",
			"> NOOP " + strings.Repeat("x", 60000), "< 500", "> NOOP", "< 250", "> NOOP " + strings.Repeat("x", 70000), "< 500", "."}},
		"bare LF":            {nil, []string{"> NOOP\nNOOP", "< 554", "."}},
		"bare CR":            {nil, []string{"> NO\rOP", "< 554", "."}},
		"input at STARTTLS":  {nil, []string{"> EHLO x", "< 250", "> STARTTLS\r\nNOOP", "< 554 5.5.1", "."}},
		"half at STARTTLS":   {nil, []string{"> EHLO x", "< 250", "> STARTTLS\r\n\x16\x03", "< 554 5.5.1", "."}},
		"no TLS record":      {nil, []string{"> EHLO x", "< 250", "> STARTTLS", "< 220", "> NOOP", "."}},
		"no TLS implicitly":  {&Config{TLS: ImplicitTLS}, []string{"> NOOP", "."}},
		"BINARYMIME by DATA": {nil, []string{"> EHLO x", "< 250", "> MAIL FROM:<a@b> BODY=BINARYMIME", "< 250", "> RCPT TO:<a@b>", "< 250", "> DATA", "< 503"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, tt.config)
			nc := s.Pipe()
			c := &client{t: t, nc: nc, r: newReader(nc)}
			t.Cleanup(func() { nc.Close() })
			if tt.config == nil || tt.config.TLS != ImplicitTLS {
				c.want("220")
			}
			dialogue(c, tt.lines...)
		})
	}
}

func TestData(t *testing.T) {
	envelope := []string{"> MAIL FROM:<a@b>", "< 250", "> RCPT TO:<c@d>", "< 250"}
	tests := map[string]struct {
		lines []string
		data  []string // of the messages accepted
	}{
		"dots":         {[]string{"> DATA", "< 354", "> ..a\r\n...\r\n..\r\n\r\n.", "< 250"}, []string{".a\r\n..\r\n.\r\n\r\n"}},
		"empty":        {[]string{"> DATA", "< 354", "> .", "< 250"}, []string{""}},
		"bare LF":      {[]string{"> DATA", "< 354", "> a\n.\r\n.", "< 554 5.5.2", "."}, nil},
		"bare CR":      {[]string{"> DATA", "< 354", "> a\rb\r\n.", "< 554 5.5.2", "."}, nil},
		"smuggled dot": {[]string{"> DATA", "< 354", "> a\r\n.\nMAIL FROM:<x@y>\r\n.", "< 554 5.5.2", "."}, nil},
		"8 bits":       {[]string{"> DATA", "< 354", "> \xff\xe4\r\n.", "< 250"}, []string{"\xff\xe4\r\n"}},
		"too large":    {[]string{"> DATA", "< 354", "> " + strings.Repeat("x", 30) + "\r\n.", "< 552 5.3.4", "> DATA", "< 503"}, nil},
		"two": {append([]string{"> DATA", "< 354", "> 1\r\n.", "< 250"}, append(envelope, "> DATA", "< 354", "> 2\r\n.", "< 250")...),
			[]string{"1\r\n", "2\r\n"}},

		"BDAT":              {[]string{"> BDAT 6 LAST\r\n.\r\n.", "< 250"}, []string{".\r\n.\r\n"}},
		"no octets":         {[]string{"> BDAT 4\r\nab", "< 250", "> BDAT 0 LAST", "< 250"}, []string{"ab\r\n"}},
		"BDAT then DATA":    {[]string{"> BDAT 3\r\na", "< 250", "> DATA", "< 503", "> RCPT TO:<e@f>", "< 503", "> BDAT 3 LAST\r\nb", "< 250"}, []string{"a\r\nb\r\n"}},
		"BDAT then RSET":    {[]string{"> BDAT 3\r\na", "< 250", "> RSET", "< 250", "> BDAT 3 LAST\r\nb", "< 503 5.5.1"}, nil},
		"BDAT after LAST":   {[]string{"> BDAT 3 LAST\r\na", "< 250", "> BDAT 3\r\nb", "< 503 5.5.1", "> NOOP", "< 250"}, []string{"a\r\n"}},
		"BDAT too large":    {[]string{"> BDAT 16\r\n" + strings.Repeat("x", 14), "< 250", "> BDAT 16\r\n" + strings.Repeat("x", 14), "< 552", "> BDAT 3 LAST\r\nb", "< 503", "> RSET", "< 250"}, nil},
		"BDAT bare LF":      {[]string{"> BDAT 5\r\na\nb", "< 554 5.6.0", "> BDAT 3 LAST\r\nb", "< 503"}, nil},
		"BDAT size":         {[]string{"> BDAT x LAST", "< 501", "."}, nil},
		"BDAT syntax":       {[]string{"> BDAT 3 FIRST", "< 501", "."}, nil},
		"BDAT negative":     {[]string{"> BDAT -3", "< 501", "."}, nil},
		"BDAT out of range": {[]string{"> BDAT 99999999999999999999", "< 501", "."}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, &Config{Extensions: []string{"SIZE 30", "8BITMIME", "CHUNKING", "BINARYMIME", "ENHANCEDSTATUSCODES"}})
			c := piped(t, s)
			dialogue(c, envelope...)
			dialogue(c, tt.lines...)
			var got []string
			for _, m := range s.Messages() {
				got = append(got, string(m.Data))
			}
			if strings.Join(got, "|") != strings.Join(tt.data, "|") || len(got) != len(tt.data) {
				t.Errorf("messages %q, want %q", got, tt.data)
			}
		})
	}
}

// TestChunkEdges splits a message between CR and LF.
func TestChunkEdges(t *testing.T) {
	s := newServer(t, nil)
	tests := []struct {
		name, body string
		chunks     []string
		last       string // how the reply to the last one begins
	}{
		{"between CR and LF", "8BITMIME", []string{"a\r", "\nb\r", "\n"}, "250"},
		{"empty ones between", "7BIT", []string{"a\r", "", "\n"}, "250"},
		{"CR at the end", "8BITMIME", []string{"a\r\n", "b\r"}, "554 5.6.0"},
		{"CR, then no LF", "8BITMIME", []string{"a\r", "b"}, "554 5.6.0"},
		{"CR, then LF LF", "8BITMIME", []string{"a\r", "\n\n"}, "554 5.6.0"},
		{"binary", "BINARYMIME", []string{"\x00\n", "\r\r", "\xff"}, "250"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := piped(t, s)
			dialogue(c, "> MAIL FROM:<a@b> BODY="+tt.body, "< 250", "> RCPT TO:<c@d>", "< 250")
			before := len(s.Messages())
			for i, chunk := range tt.chunks {
				line, want := fmt.Sprintf("BDAT %d", len(chunk)), "250 2.0.0"
				if i == len(tt.chunks)-1 {
					line, want = line+" LAST", tt.last
				}
				c.raw(line + "\r\n" + chunk)
				c.want(want)
			}
			got := s.Messages()[before:]
			if accepted := tt.last == "250"; accepted != (len(got) == 1) ||
				accepted && (string(got[0].Data) != strings.Join(tt.chunks, "") || !got[0].Chunked) {
				t.Errorf("messages %+v", got)
			}
		})
	}
}

func TestDiscard(t *testing.T) {
	s := newServer(t, &Config{Discard: true})
	c := piped(t, s)
	dialogue(c, "> MAIL FROM:<a@b>", "< 250", "> RCPT TO:<c@d>", "< 250", "> DATA", "< 354", "> abc\r\n.", "< 250",
		"> MAIL FROM:<a@b>", "< 250", "> RCPT TO:<c@d>", "< 250", "> BDAT 4 LAST\r\nab", "< 250")
	for i, size := range []int64{5, 4} {
		if m := s.Messages()[i]; m.Data != nil || m.Size != size {
			t.Errorf("message %+v", m)
		}
	}
}

// FuzzSession sends a server anything. It must neither panic nor hang, and every message
// it accepted must have recipients.
func FuzzSession(f *testing.F) {
	f.Add("EHLO x\r\nMAIL FROM:<\"a>b\"@c> SIZE=3 BODY=8BITMIME\r\nRCPT TO:<@x:c@d> NOTIFY=DELAY ORCPT=rfc822;a+2B\r\nDATA\r\n..x\r\n.\r\nQUIT\r\n")
	f.Add("EHLO [IPv6:::1]\r\nMAIL FROM:<>\r\nRCPT TO:<Postmaster>\r\nBDAT 2\r\nabBDAT 0 LAST\r\nBDAT 5 LAST\r\n")
	f.Add("EHLO x\r\nAUTH PLAIN AHVzZXIAc2VjcmV0\r\nAUTH DIGEST-MD5\r\nQQ==\r\nAUTH LOGIN =\r\n*\r\nSTARTTLS\r\n\x16\x03\x01")
	f.Fuzz(func(t *testing.T, said string) {
		s := NewServer(lenient(Config{Accounts: map[string]string{"user": "secret"}}))
		nc := s.Pipe()
		go func() {
			_, _ = io.WriteString(nc, said)
			_ = nc.(*memConn).CloseWrite()
		}()
		_, _ = io.Copy(io.Discard, nc)
		_ = nc.Close()
		s.running.Wait()
		s.Close()
		for _, m := range s.Messages() {
			if len(m.To) == 0 || len(m.To) != len(m.RcptParams) || m.Size != int64(len(m.Data)) {
				t.Errorf("message %+v", m)
			}
		}
	})
}
