package submission_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/fe022423/submission"
)

func TestReplies(t *testing.T) {
	tests := []struct {
		name, script string
		want         submission.Reply
		text         string // of String
		temporary    bool
		permanent    bool
	}{
		{name: "text", script: "S: 250 ok", want: submission.Reply{Code: 250, Lines: []string{"ok"}}, text: "250 ok"},
		{name: "bare", script: "S: 250", want: submission.Reply{Code: 250, Lines: []string{""}}, text: "250"},
		{name: "bare with a space", script: "S: 250 ", want: submission.Reply{Code: 250, Lines: []string{""}}, text: "250"},
		{name: "lines", script: "S: 250-a\nS: 250-\nS: 250 c", want: submission.Reply{Code: 250, Lines: []string{"a", "", "c"}}, text: "250 a;; c"},
		{name: "bare end", script: "S: 250-a\nS: 250", want: submission.Reply{Code: 250, Lines: []string{"a", ""}}, text: "250 a;"},
		{name: "spaces are text", script: "S: 250   a ", want: submission.Reply{Code: 250, Lines: []string{"  a "}}, text: "250   a "},
		{name: "enhanced", script: "S: 250 2.1.5 ok", want: submission.Reply{Code: 250, Enhanced: submission.EnhancedCode{2, 1, 5}, Lines: []string{"2.1.5 ok"}}, text: "250 2.1.5 ok"},
		{name: "enhanced alone", script: "S: 550 5.1.1", want: submission.Reply{Code: 550, Enhanced: submission.EnhancedCode{5, 1, 1}, Lines: []string{"5.1.1"}}, text: "550 5.1.1", permanent: true},
		{name: "enhanced, three digits", script: "S: 450 4.999.123 x", want: submission.Reply{Code: 450, Enhanced: submission.EnhancedCode{4, 999, 123}, Lines: []string{"4.999.123 x"}}, text: "450 4.999.123 x", temporary: true},
		{name: "enhanced in lines", script: "S: 550-5.7.1 no\nS: 550 5.7.1 never", want: submission.Reply{Code: 550, Enhanced: submission.EnhancedCode{5, 7, 1}, Lines: []string{"5.7.1 no", "5.7.1 never"}}, text: "550 5.7.1 no; 5.7.1 never", permanent: true},
		{name: "enhanced of another class", script: "S: 550 4.1.1 x", want: submission.Reply{Code: 550, Lines: []string{"4.1.1 x"}}, text: "550 4.1.1 x", permanent: true},
		{name: "no enhanced code", script: "S: 550 5.1.1234 x", want: submission.Reply{Code: 550, Lines: []string{"5.1.1234 x"}}, text: "550 5.1.1234 x", permanent: true},
		{name: "a version", script: "S: 250 2.1 of it", want: submission.Reply{Code: 250, Lines: []string{"2.1 of it"}}, text: "250 2.1 of it"},
		{name: "a domain", script: "S: 250 2.1.5.example", want: submission.Reply{Code: 250, Lines: []string{"2.1.5.example"}}, text: "250 2.1.5.example"},
		{name: "unknown code", script: "S: 259 x", want: submission.Reply{Code: 259, Lines: []string{"x"}}, text: "259 x"},
		{name: "unknown 4yz", script: "S: 456 x", want: submission.Reply{Code: 456, Lines: []string{"x"}}, text: "456 x", temporary: true},
		{name: "3yz", script: "S: 359 x", want: submission.Reply{Code: 359, Lines: []string{"x"}}, text: "359 x"},
		{name: "552", script: "S: 552 x", want: submission.Reply{Code: 552, Lines: []string{"x"}}, text: "552 x", permanent: true},
		{name: "any octets", script: `S> 250 a\x00\x1b[1m\xff\u00e4` + `\r\n`, want: submission.Reply{Code: 250, Lines: []string{"a\x00\x1b[1m\xffä"}}, text: `250 a\x00\x1b[1m\xffä`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			eachDelivery(t, func(t *testing.T, delivery string) {
				s := openSession(t, play(t, delivery, hello+"S: 250 mail\nC: XYZ\n"+tt.script+quit), plainText())
				defer s.Close()
				r, err := s.Command(context.Background(), "XYZ")
				if err != nil {
					t.Fatal(err)
				}
				if r.Code != tt.want.Code || r.Enhanced != tt.want.Enhanced || !slices.Equal(r.Lines, tt.want.Lines) {
					t.Errorf("%#v, want %#v", r, tt.want)
				}
				if r.String() != tt.text {
					t.Errorf("String %q, want %q", r, tt.text)
				}
				if r.Temporary() != tt.temporary || r.Permanent() != tt.permanent {
					t.Errorf("temporary %v, permanent %v", r.Temporary(), r.Permanent())
				}
			})
		})
	}
}

// Replies after which nothing more may be sent, not even QUIT.
func TestReplyBreaksTheSession(t *testing.T) {
	line := strings.Repeat("x", 1000)
	for name, reply := range map[string]string{
		"garbage":         "S! ok",
		"mixed codes":     "S! 250-a\nS! 251 b",
		"too many lines":  strings.Repeat("S! 250-\n", 512) + "S! 250",
		"too large":       strings.Repeat("S! 250-"+line+"\n", 70) + "S! 250",
		"line too long":   "S! 250 " + strings.Repeat(line, 17),
		"bare LF":         `S> 250 a\n`,
		"0yz":             "S! 050 x",
		"7yz":             "S! 750 x",
		"second digit":    "S! 265 x",
		"letters":         "S! 2x0 x",
		"no code":         "S! - x",
		"EOF":             "close",
		"half a line":     "S> 250 o\nclose",
		"half a reply":    "S: 250-a\nclose",
		"reset":           "reset",
		"hyphen, no more": "S! 250-\nclose",
	} {
		t.Run(name, func(t *testing.T) {
			eachDelivery(t, func(t *testing.T, delivery string) {
				s := openSession(t, play(t, delivery, hello+"S: 250 mail\nC: XYZ\n"+reply+"\neof"), plainText())
				defer s.Close()
				if r, err := s.Command(context.Background(), "XYZ"); err == nil {
					t.Fatalf("reply %v", r)
				} else {
					checkErrorText(t, err)
				}
				if s.Usable() {
					t.Error("usable")
				}
				if _, err := s.Command(context.Background(), "XYZ"); !errors.Is(err, submission.ErrClosed) {
					t.Errorf("the next command: %v", err)
				}
			})
		})
	}
}

// Replies that are as large as they may be.
func TestReplyLimits(t *testing.T) {
	for name, reply := range map[string]string{
		"512 lines":      strings.Repeat("S: 250-\n", 511) + "S: 250",
		"16 KiB line":    "S: 250 " + strings.Repeat("x", 16<<10-6),
		"nearly 64 KiB":  strings.Repeat("S: 250-"+strings.Repeat("x", 1000)+"\n", 64) + "S: 250 x",
		"past 512 octet": "S: 250 " + strings.Repeat("x", 2000),
	} {
		t.Run(name, func(t *testing.T) {
			s := openSession(t, play(t, "joined", hello+"S: 250 mail\nC: XYZ\n"+reply+quit), plainText())
			defer s.Close()
			if r, err := s.Command(context.Background(), "XYZ"); err != nil || r.Code != 250 {
				t.Errorf("%v, %v", r, err)
			}
		})
	}
}

// An enhanced code counts if it has the right form and the class of its reply.
func TestEnhancedCode(t *testing.T) {
	for text, want := range map[string]submission.EnhancedCode{
		"550 5.1.1 no": {5, 1, 1}, "550 5.1.1": {5, 1, 1}, "550 5.123.999 x": {5, 123, 999}, "450 4.7.1 x": {4, 7, 1},
		"550 4.1.1 x": {}, "450 5.1.1 x": {}, "550 2.1.1 x": {}, "550 5.1 x": {}, "550 5.1.1x": {}, "550 5.1.1.1 x": {}, "550 5.1234.1 x": {}, "550 x 5.1.1": {},
		"550 5..1 x": {}, "550  5.1.1 x": {}, "550": {}, "550 5": {}, "550 6.1.1 x": {}, "550-5.1.1 a\\r\\n550 5.1.2 b": {5, 1, 1}, "550-5.1.1\\r\\n550 b": {5, 1, 1},
	} {
		t.Run(text, func(t *testing.T) {
			s := openSession(t, play(t, "whole", greeted()+"C: MAIL FROM:<a@test.example>\nS> "+text+"\\r\\n\nC: QUIT\nS: 221 bye\neof"), plainText())
			defer s.Close()
			_, err := send(s, memoTo("b@test.example"))
			r := wantError[*submission.SendError](t, err).Reply
			if r == nil || r.Enhanced != want {
				t.Errorf("%v, want %v", r, want)
			}
		})
	}
}
