package smtptest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// hook answers commands whose verb and line begin as a key says.
func hook(answers map[string]Answer) func(Command) *Answer {
	return func(c Command) *Answer {
		for key, a := range answers {
			verb, line, _ := strings.Cut(key, "|")
			if c.Verb == verb && strings.HasPrefix(c.Line, line) {
				return &a
			}
		}
		return nil
	}
}

func TestHook(t *testing.T) {
	tests := map[string]struct {
		answers  map[string]Answer
		lines    []string
		messages int
	}{
		"greeting refused": {map[string]Answer{"CONNECT": {Reply: "554 5.3.2 not today"}},
			[]string{"< 554", "> EHLO x", "< 503", "> QUIT", "< 221", "."}, 0},
		"greeting of several lines": {map[string]Answer{"CONNECT": {Reply: "220-one\n220 two"}},
			[]string{"< 220-one\n220 two", "> EHLO x", "< 250"}, 0},
		"greeting closes": {map[string]Answer{"CONNECT": {Reply: "421 busy", Close: true}}, []string{"< 421", "."}, 0},
		"garbage":         {map[string]Answer{"CONNECT": {Raw: []byte("HTTP/1.1 400\r\n\r\n"), Close: true}}, []string{"< HTTP/1.1 400", "<", "."}, 0},
		"raw after":       {map[string]Answer{"NOOP": {Reply: "250 ok", Raw: []byte("421 bye\r\n")}}, []string{"< 220", "> NOOP", "< 250", "< 421"}, 0},
		"silence":         {map[string]Answer{"NOOP|NOOP 1": {}}, []string{"< 220", "> NOOP 1", "> NOOP 2", "< 250", "> QUIT", "< 221", "."}, 0},
		"own capabilities": {map[string]Answer{"EHLO": {Reply: "250-mine\n250-dsn\n250 XYZ"}},
			[]string{"< 220", "> EHLO x", "< 250-mine\n250-dsn\n250 XYZ", "> MAIL FROM:<a@b> SIZE=3", "< 555", "> MAIL FROM:<a@b> RET=FULL XYZ", "< 250"}, 0},
		"EHLO refused": {map[string]Answer{"EHLO": {Reply: "502 what"}},
			[]string{"< 220", "> EHLO x", "< 502", "> MAIL FROM:<a@b>", "< 503", "> HELO x", "< 250", "> MAIL FROM:<a@b>", "< 250"}, 0},
		"recipient refused": {map[string]Answer{"RCPT|RCPT TO:<who": {Reply: "550 5.1.1 who"}},
			[]string{"< 220", "> HELO x", "< 250", "> MAIL FROM:<a@b>", "< 250", "> RCPT TO:<who@b>", "< 550 5.1.1 who", "> DATA", "< 554",
				"> RCPT TO:<c@d>", "< 250", "> DATA", "< 354", "> .", "< 250"}, 1},
		"recipient accepted that is none": {map[string]Answer{"RCPT": {Reply: "251 forwarding"}},
			[]string{"< 220", "> HELO x", "< 250", "> MAIL FROM:<a@b>", "< 250", "> RCPT TO:<c d@e>", "< 251", "> DATA", "< 354", "> .", "< 250"}, 1},
		"MAIL accepted early": {map[string]Answer{"MAIL": {Reply: "250 ok"}},
			[]string{"< 220", "> MAIL FROM:<a@b>", "< 250", "> RCPT TO:<c@e>", "< 250", "> DATA", "< 354", "> .", "< 250"}, 1},
		"DATA though all refused": {map[string]Answer{"RCPT": {Reply: "550 no"}, "DATA": {Reply: "354 go"}},
			[]string{"< 220", "> HELO x", "< 250", "> MAIL FROM:<a@b>", "< 250", "> RCPT TO:<c@d>", "< 550", "> DATA", "< 354", "> .", "< 554", "> NOOP", "< 250"}, 0},
		"DATA refused": {map[string]Answer{"DATA": {Reply: "451 later"}},
			[]string{"< 220", "> HELO x", "< 250", "> MAIL FROM:<a@b>", "< 250", "> RCPT TO:<c@d>", "< 250", "> DATA", "< 451", "> NOOP", "< 250"}, 0},
		"DATA answered 250": {map[string]Answer{"DATA": {Reply: "250 odd"}},
			[]string{"< 220", "> HELO x", "< 250", "> MAIL FROM:<a@b>", "< 250", "> RCPT TO:<c@d>", "< 250", "> DATA", "< 250", "> NOOP", "< 250"}, 0},
		"closing at DATA": {map[string]Answer{"DATA": {Reply: "354 go", Close: true}},
			[]string{"< 220", "> HELO x", "< 250", "> MAIL FROM:<a@b>", "< 250", "> RCPT TO:<c@d>", "< 250", "> DATA", "< 354", "> x\r\n.", "."}, 0},
		"message refused": {map[string]Answer{"MESSAGE|.": {Reply: "554 5.7.1 spam"}},
			[]string{"< 220", "> HELO x", "< 250", "> MAIL FROM:<a@b>", "< 250", "> RCPT TO:<c@d>", "< 250", "> DATA", "< 354", "> .", "< 554 5.7.1", "> DATA", "< 503"}, 0},
		"message accepted": {map[string]Answer{"MESSAGE|.": {Reply: "250 mine"}},
			[]string{"< 220", "> HELO x", "< 250", "> MAIL FROM:<a@b>", "< 250", "> RCPT TO:<c@d>", "< 250", "> DATA", "< 354", "> .", "< 250 mine"}, 1},
		"message accepted and dropped": {map[string]Answer{"MESSAGE|.": {Reply: "250 mine", Close: true}},
			[]string{"< 220", "> HELO x", "< 250", "> MAIL FROM:<a@b>", "< 250", "> RCPT TO:<c@d>", "< 250", "> DATA", "< 354", "> .", "< 250 mine", "."}, 1},
		"silence after the dot": {map[string]Answer{"MESSAGE": {Close: true}},
			[]string{"< 220", "> HELO x", "< 250", "> MAIL FROM:<a@b>", "< 250", "> RCPT TO:<c@d>", "< 250", "> DATA", "< 354", "> .", "."}, 0},
		"chunk refused": {map[string]Answer{"BDAT": {Reply: "452 full"}},
			[]string{"< 220", "> EHLO x", "< 250", "> MAIL FROM:<a@b>", "< 250", "> RCPT TO:<c@d>", "< 250", "> BDAT 4\r\nab", "< 452", "> BDAT 4 LAST\r\nab", "< 452", "> NOOP", "< 250"}, 0},
		"chunk accepted": {map[string]Answer{"BDAT": {Reply: "250 mine"}},
			[]string{"< 220", "> EHLO x", "< 250", "> MAIL FROM:<a@b>", "< 250", "> BDAT 4\r\nab", "< 250 mine", "> BDAT 4 LAST\r\nab", "< 250 mine", "> NOOP", "< 250"}, 1},
		"chunk dropped": {map[string]Answer{"BDAT": {Reply: "421 bye", Close: true}},
			[]string{"< 220", "> EHLO x", "< 250", "> MAIL FROM:<a@b>", "< 250", "> RCPT TO:<c@d>", "< 250", "> BDAT 4\r\nab", "< 421", "."}, 0},
		"last chunk refused at the end": {map[string]Answer{"MESSAGE|BDAT 4 LAST": {Reply: "550 no"}},
			[]string{"< 220", "> EHLO x", "< 250", "> MAIL FROM:<a@b>", "< 250", "> RCPT TO:<c@d>", "< 250", "> BDAT 4 LAST\r\nab", "< 550", "> NOOP", "< 250"}, 0},
		"STARTTLS answered 354": {map[string]Answer{"STARTTLS": {Reply: "354 odd"}},
			[]string{"< 220", "> EHLO x", "< 250", "> STARTTLS", "< 354", "> NOOP", "< 250"}, 0},
		"STARTTLS and gone": {map[string]Answer{"STARTTLS": {Reply: "220 go", Close: true}},
			[]string{"< 220", "> EHLO x", "< 250", "> STARTTLS", "< 220", "."}, 0},
		"QUIT refused":    {map[string]Answer{"QUIT": {Reply: "500 stay"}}, []string{"< 220", "> QUIT", "< 500", "> NOOP", "< 250"}, 0},
		"QUIT unanswered": {map[string]Answer{"QUIT": {Close: true}}, []string{"< 220", "> QUIT", "."}, 0},
		"AUTH by the hook": {map[string]Answer{"AUTH": {Reply: "334 !!!"}, "RESPONSE|*": {Reply: "501 gone"}, "RESPONSE|eA==": {Reply: "334 "}, "RESPONSE|eQ==": {Reply: "235 ok"}},
			[]string{"< 220", "> EHLO x", "< 250", "> AUTH X", "< 334 !!!", "> *", "< 501 gone", "> AUTH X", "< 334 !!!", "> eA==", "< 334 ", "> eQ==", "< 235",
				"> AUTH X", "< 334", "> eg==", "< 535"}, 0},
		"AUTH refused": {map[string]Answer{"AUTH": {Reply: "454 4.7.0 later"}}, []string{"< 220", "> EHLO x", "< 250", "> AUTH X", "< 454", "> NOOP", "< 250"}, 0},
		"AUTH at once": {map[string]Answer{"AUTH": {Reply: "235 ok"}}, []string{"< 220", "> EHLO x", "< 250", "> AUTH X", "< 235", "> NOOP", "< 250"}, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, &Config{Hook: hook(tt.answers)})
			nc := s.Pipe()
			defer nc.Close()
			dialogue(&client{t: t, nc: nc, r: newReader(nc)}, tt.lines...)
			if got := len(s.Messages()); got != tt.messages {
				t.Errorf("%d messages, want %d", got, tt.messages)
			}
		})
	}
}

// TestHookSees checks what a Hook is told, and that it cannot change it.
func TestHookSees(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	s := newServer(t, &Config{
		Accounts: map[string]string{"user": "secret"},
		Hook: func(c Command) *Answer {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, fmt.Sprintf("%d %s|%s|%v %s %v %q", c.Session, c.Verb, c.Line, c.TLS, c.Message.From, c.Message.To, c.Message.Data))
			if len(c.Message.To) > 0 {
				c.Message.To[0] = "changed"
			}
			return nil
		},
	})
	c := piped(t, s)
	c.startTLS(s)
	dialogue(c, "> EHLO x", "< 250", "> auth login", "< 334", "> dXNlcg==", "< 334", "> c2VjcmV0", "< 235", "> mail FROM:<a@b>", "< 250",
		"> RCPT TO:<c@d>", "< 250", "> BDAT 2\r\n", "< 250", "> BDAT 0 LAST", "< 250", "> QUIT", "< 221", ".")
	want := []string{
		`1 CONNECT||false  [] ""`, `1 EHLO|EHLO client.example|false  [] ""`, `1 STARTTLS|STARTTLS|false  [] ""`,
		`1 EHLO|EHLO x|true  [] ""`, `1 AUTH|auth login|true  [] ""`, `1 RESPONSE|dXNlcg==|true  [] ""`, `1 RESPONSE|c2VjcmV0|true  [] ""`,
		`1 MAIL|mail FROM:<a@b>|true  [] ""`, `1 RCPT|RCPT TO:<c@d>|true a@b [] ""`, `1 BDAT|BDAT 2|true a@b [c@d] ""`,
		`1 BDAT|BDAT 0 LAST|true a@b [c@d] "\r\n"`, `1 MESSAGE|BDAT 0 LAST|true a@b [c@d] "\r\n"`, `1 QUIT|QUIT|true  [] ""`,
	}
	mu.Lock()
	defer mu.Unlock()
	if !reflect.DeepEqual(seen, want) {
		t.Errorf("seen:\n%s\nwant:\n%s", strings.Join(seen, "\n"), strings.Join(want, "\n"))
	}
	if m := s.Messages(); len(m) != 1 || m[0].To[0] != "c@d" {
		t.Errorf("messages %+v", m)
	}
}

func TestHookReset(t *testing.T) {
	s := newServer(t, &Config{Hook: hook(map[string]Answer{"NOOP": {Close: true, Reset: true}})})
	for name, c := range map[string]*client{"TCP": over(t, dial(t, s)), "pipe": over(t, s.Pipe())} {
		c.raw("NOOP\r\n")
		if _, err := c.r.ReadByte(); !errors.Is(err, errnoReset) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestHookDelay is on fake time, which shows that the server and its Pipe are
// fit for a bubble.
func TestHookDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&Config{Hook: hook(map[string]Answer{
			"NOOP": {Reply: "250 late", Delay: time.Hour},
			"HELP": {Reply: "214 never", Delay: 1000 * time.Hour},
		})})
		defer s.Close()
		c := piped(t, s)
		c.startTLS(s)
		c.do("EHLO client.example", "250")
		start := time.Now()
		c.raw("RSET\r\nNOOP\r\nHELP\r\n")
		c.want("250 2.0.0 forgotten")
		if d := time.Since(start); d != 0 {
			t.Errorf("RSET waited %v", d)
		}
		c.want("250 late")
		if d := time.Since(start); d != time.Hour {
			t.Errorf("NOOP took %v", d)
		}
		s.Close()
		if d := time.Since(start); d != time.Hour {
			t.Errorf("Close came after %v", d)
		}
	})
}

// TestHookInjects puts clear text after the 220 to STARTTLS; the handshake
// still starts.
func TestHookInjects(t *testing.T) {
	s := newServer(t, &Config{Hook: hook(map[string]Answer{"STARTTLS": {Reply: "220 go", Raw: []byte("250 injected\r\n")}})})
	c := piped(t, s)
	c.do("STARTTLS", "220 go")
	c.want("250 injected")
	cfg := s.ClientTLSConfig()
	cfg.ServerName = "::1"
	nc := tls.Client(c.nc, cfg)
	if err := nc.Handshake(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(nc, "NOOP\r\n"); err != nil {
		t.Fatal(err)
	}
	c.r = newReader(nc)
	c.want("250")
}
