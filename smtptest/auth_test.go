package smtptest

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"
)

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func TestAuth(t *testing.T) {
	tests := map[string]struct {
		lines []string
		user  string // of the message that is sent afterwards
	}{
		"PLAIN":                 {[]string{"> AUTH PLAIN " + b64("\x00user\x00secret"), "< 235 2.7.0"}, "user"},
		"PLAIN asked":           {[]string{"> auth plain", "< 334 ", "> " + b64("\x00user\x00secret"), "< 235"}, "user"},
		"PLAIN as another":      {[]string{"> AUTH PLAIN " + b64("other\x00user\x00secret"), "< 235"}, "user"},
		"PLAIN as nobody":       {[]string{"> AUTH PLAIN " + b64("nobody\x00user\x00secret"), "< 535 5.7.8"}, ""},
		"PLAIN wrong password":  {[]string{"> AUTH PLAIN " + b64("\x00user\x00Secret"), "< 535 5.7.8"}, ""},
		"PLAIN unknown user":    {[]string{"> AUTH PLAIN " + b64("\x00nobody\x00secret"), "< 535"}, ""},
		"PLAIN malformed":       {[]string{"> AUTH PLAIN " + b64("user\x00secret"), "< 501 5.5.2"}, ""},
		"PLAIN empty":           {[]string{"> AUTH PLAIN =", "< 501"}, ""},
		"PLAIN empty response":  {[]string{"> AUTH PLAIN", "< 334", "> ", "< 501"}, ""},
		"LOGIN":                 {[]string{"> AUTH LOGIN", "< 334 VXNlcm5hbWU6", "> " + b64("user"), "< 334 UGFzc3dvcmQ6", "> " + b64("secret"), "< 235"}, "user"},
		"LOGIN initial":         {[]string{"> AUTH LOGIN " + b64("user"), "< 334 UGFzc3dvcmQ6", "> " + b64("secret"), "< 235"}, "user"},
		"LOGIN wrong":           {[]string{"> AUTH LOGIN " + b64("user"), "< 334", "> " + b64("x"), "< 535"}, ""},
		"LOGIN empty":           {[]string{"> AUTH LOGIN =", "< 334", "> ", "< 535"}, ""},
		"again after a failure": {[]string{"> AUTH LOGIN =", "< 334", "> *", "< 501", "> AUTH PLAIN " + b64("\x00user\x00secret"), "< 235"}, "user"},
		"twice":                 {[]string{"> AUTH PLAIN " + b64("\x00user\x00secret"), "< 235", "> AUTH PLAIN " + b64("\x00user\x00secret"), "< 503"}, "user"},
		"cancelled":             {[]string{"> AUTH PLAIN", "< 334", "> *", "< 501 5.7.0"}, ""},
		"bad base64":            {[]string{"> AUTH PLAIN !", "< 501 5.5.2", "> AUTH PLAIN", "< 334", "> QUJ", "< 501 5.5.2", "> AUTH PLAIN QUJ=", "< 501"}, ""},
		"bits in the padding":   {[]string{"> AUTH PLAIN QR==", "< 501 5.5.2"}, ""},
		"too many arguments":    {[]string{"> AUTH PLAIN QQ== QQ==", "< 501"}, ""},
		"no mechanism":          {[]string{"> AUTH", "< 501"}, ""},
		"unknown mechanism":     {[]string{"> AUTH X", "< 504", "> AUTH CRAM-MD5", "< 504"}, ""},
		"offered, not spoken":   {[]string{"> AUTH GSSAPI QQ==", "< 504"}, ""},
		"long response":         {[]string{"> AUTH PLAIN", "< 334", "> " + strings.Repeat("A", 12284), "< 501", "> AUTH PLAIN", "< 334", "> " + strings.Repeat("A", 12288), "< 500 5.5.6"}, ""},
		"long initial response": {[]string{"> AUTH PLAIN " + strings.Repeat("A", 12288), "< 500"}, ""},
		"in a transaction":      {[]string{"> MAIL FROM:<a@b>", "< 250", "> AUTH PLAIN", "< 503", "> RSET", "< 250"}, ""},
		"DIGEST-MD5 initial":    {[]string{"> AUTH DIGEST-MD5 QQ==", "< 501"}, ""},
		"DIGEST-MD5 nonsense":   {[]string{"> AUTH DIGEST-MD5", "< 334", "> QQ==", "< 501"}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, &Config{
				TLS:        NoTLS,
				Accounts:   map[string]string{"user": "secret", "other": "x"},
				Mechanisms: []string{"PLAIN", "LOGIN", "DIGEST-MD5", "GSSAPI"},
			})
			c := over(t, s.Pipe())
			if ehlo := c.do("EHLO x", "250"); !strings.Contains(ehlo, "AUTH PLAIN LOGIN DIGEST-MD5 GSSAPI") {
				t.Errorf("EHLO: %q", ehlo)
			}
			dialogue(c, tt.lines...)
			dialogue(c, "> MAIL FROM:<a@b>", "< 250", "> RCPT TO:<a@b>", "< 250", "> DATA", "< 354", "> .", "< 250")
			if m := s.Messages(); m[0].Auth != tt.user {
				t.Errorf("authenticated as %q, want %q", m[0].Auth, tt.user)
			}
		})
	}
}

func TestTranscript(t *testing.T) {
	s := newServer(t, &Config{
		Extensions: []string{"CHUNKING"},
		Accounts:   map[string]string{"user": "secret"},
		Mechanisms: []string{"LOGIN"},
		Hook:       hook(map[string]Answer{"HELP": {Raw: []byte("?\r\n")}}),
	})
	c := piped(t, s)
	c.startTLS(s)
	dialogue(c, "> EHLO y", "< 250", "> AUTH LOGIN "+b64("user"), "< 334", "> "+b64("wrong"), "< 535", "> AUTH LOGIN", "< 334", "> *", "< 501",
		"> MAIL FROM:<a@b>", "< 250", "> RCPT TO:<c@d>", "< 250", "> DATA", "< 354", "> ..x\r\n.", "< 250",
		"> MAIL FROM:<a@b>", "< 250", "> RCPT TO:<c@d>", "< 250", "> BDAT 4\r\nab", "< 250", "> BDAT 0 LAST", "< 250", "> HELP", "< ?", "> QUIT", "< 221", ".")
	dialogue(over(t, s.Pipe()), "> NOOP", "< 250")
	want := []string{
		"[1] S: 220 mail.test.example ESMTP ready",
		"[1] C: EHLO client.example", "[1] S: 250-mail.test.example greets client.example", "[1] S: 250-CHUNKING", "[1] S: 250-STARTTLS", "[1] S: 250 AUTH LOGIN",
		"[1] C: STARTTLS", "[1] S: 220 go ahead", "[1] -- TLS",
		"[1] C: EHLO y", "[1] S: 250-mail.test.example greets y", "[1] S: 250-CHUNKING", "[1] S: 250 AUTH LOGIN",
		"[1] C: AUTH LOGIN ***", "[1] S: 334 UGFzc3dvcmQ6", "[1] C: ***", "[1] S: 535 user or password is wrong",
		"[1] C: AUTH LOGIN", "[1] S: 334 VXNlcm5hbWU6", "[1] C: *", "[1] S: 501 cancelled",
		"[1] C: MAIL FROM:<a@b>", "[1] S: 250 sender ok", "[1] C: RCPT TO:<c@d>", "[1] S: 250 recipient ok",
		"[1] C: DATA", "[1] S: 354 end with a line that is one dot", "[1] C: <4 octets>", "[1] S: 250 message accepted",
		"[1] C: MAIL FROM:<a@b>", "[1] S: 250 sender ok", "[1] C: RCPT TO:<c@d>", "[1] S: 250 recipient ok",
		"[1] C: BDAT 4", "[1] C: <4 octets>", "[1] S: 250 4 octets received", "[1] C: BDAT 0 LAST", "[1] C: <0 octets>", "[1] S: 250 message accepted",
		"[1] C: HELP", `[1] S> "?\r\n"`, "[1] C: QUIT", "[1] S: 221 mail.test.example closing",
		"[2] S: 220 mail.test.example ESMTP ready", "[2] C: NOOP", "[2] S: 250 still here",
	}
	if got := s.Transcript(); !slices.Equal(got, want) {
		t.Errorf("transcript:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
