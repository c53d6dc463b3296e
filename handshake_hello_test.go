package submission_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/fe022423/submission"
)

func withHELO(o *submission.Options) { o.HELO = true }

func TestHELO(t *testing.T) {
	const helo = "C: HELO client.test.example\nS: 250-mail\nS: 250 SIZE 1000"
	tests := []struct {
		name    string
		options *submission.Options
		script  string
	}{
		{"500", plainText(), hello + "S: 500 what\n" + helo},
		{"501", plainText(), hello + "S: 501 what\n" + helo},
		{"502", plainText(), hello + "S: 502-what\nS: 502-is\nS: 502 that\n" + helo},
		{"504", plainText(), hello + "S: 504\n" + helo},
		{"opportunistic TLS", plainText(withTLS(submission.TLSOpportunistic)), hello + "S: 500 what\n" + helo},
		{"asked for", plainText(withHELO), "S: 220 hi\n" + helo},
		{"asked for, opportunistic TLS", plainText(withHELO, withTLS(submission.TLSOpportunistic)), "S: 220 hi\n" + helo},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			eachDelivery(t, func(t *testing.T, delivery string) {
				s := openSession(t, play(t, delivery, tt.script+quit), tt.options)
				if s.Extensions().Has("SIZE") {
					t.Error("an extension from a reply to HELO")
				}
				if _, ok := s.TLS(); ok {
					t.Error("TLS")
				}
				s.Close()
			})
		})
	}
}

func TestHelloRefused(t *testing.T) {
	const helo = "S: 502 what\nC: HELO client.test.example\n"
	auth := plainText(withAuth(testPassword))
	starttls := plainText(withTLS(submission.TLSStartTLS))
	tests := []refusal{
		{name: "550", script: hello + "S: 550 not you" + quit, code: 550, text: "550 not you"},
		{name: "503", script: hello + "S: 503 bad sequence" + quit, code: 503},
		{name: "505", script: hello + "S: 505 unheard of" + quit, code: 505},
		{name: "521", script: hello + "S: 521 no mail" + quit, code: 521},
		{name: "554", script: hello + "S: 554-no\nS: 554 no" + quit, code: 554, text: "no; no"},
		{name: "557", script: hello + "S: 557 unheard of" + quit, code: 557},
		{name: "450", script: hello + "S: 450 later" + quit, code: 450, temporary: true},
		{name: "456", script: hello + "S: 456 unheard of" + quit, code: 456, temporary: true},
		{name: "421", script: hello + "S: 421 closing\neof", code: 421, temporary: true},
		{name: "421 and a hang-up", script: hello + "S: 421 closing\nclose\neof", code: 421, temporary: true},
		{name: "550 and a hang-up", script: hello + "S: 550 no\nclose\nC: QUIT\neof", code: 550},
		{name: "354", script: hello + "S: 354 go on\neof", code: 354, protocol: true},
		{name: "334", script: hello + "S: 334\neof", code: 334, protocol: true},
		{name: "garbage", script: hello + "S! hello yourself\neof", protocol: true},
		{name: "mixed codes", script: hello + "S: 250-mail\nS: 550 no\neof", protocol: true, text: "changes its code"},
		{name: "mixed codes, refusal first", script: hello + "S: 502-mail\nS: 250 SIZE\neof", protocol: true},
		{name: "garbage in the list", script: hello + "S: 250-mail\nS! SIZE 100\neof", protocol: true},
		{name: "EOF", script: hello + "close\neof", temporary: true, is: io.EOF},
		{name: "half a reply", script: hello + "S: 250-mail\nS: 250-SIZE\nclose\neof", temporary: true, is: io.ErrUnexpectedEOF},
		{name: "reset", script: hello + "reset\neof", temporary: true},
		{name: "10,000 keywords", script: hello + "S> " + strings.Repeat(`250-X\r\n`, 10_000) + "\nstall\neof", protocol: true, text: "too many lines"},

		{name: "HELO 502", script: hello + helo + "S: 502 nor that" + quit, code: 502, text: "nor that"},
		{name: "HELO 450", script: hello + helo + "S: 450 later" + quit, code: 450, temporary: true},
		{name: "HELO 421", script: hello + helo + "S: 421 closing\neof", code: 421, temporary: true},
		{name: "HELO 354", script: hello + helo + "S: 354 go on\neof", code: 354, protocol: true},
		{name: "HELO garbage", script: hello + helo + "S! hi\neof", protocol: true},
		{name: "HELO EOF", script: hello + helo + "close\neof", temporary: true, is: io.EOF},
		{name: "HELO asked for, refused", options: plainText(withHELO),
			script: "S: 220 hi\nC: HELO client.test.example\nS: 500 what" + quit, code: 500},

		{name: "502, AUTH wanted", options: auth, script: hello + "S: 502 what" + quit, code: 502, is: submission.ErrUnsupported},
		{name: "500, STARTTLS wanted", options: starttls, script: hello + "S: 500 what" + quit, code: 500, is: submission.ErrUnsupported},
		{name: "500, TLSAuto", options: plainText(withTLS(submission.TLSAuto)), script: hello + "S: 500 what" + quit, code: 500, is: submission.ErrUnsupported},
		{name: "504, AUTH wanted under opportunistic TLS",
			options: plainText(withTLS(submission.TLSOpportunistic), withAuth(testPassword)),
			script:  hello + "S: 504 what" + quit, code: 504, is: submission.ErrUnsupported},
	}
	for _, r := range tests {
		r.stage = submission.StageHello
		r.run(t)
	}
	r := refusal{name: "HELO asked for, STARTTLS wanted", stage: submission.StageStartTLS, is: submission.ErrUnsupported,
		options: plainText(withHELO, withTLS(submission.TLSStartTLS)),
		script:  "S: 220 hi\nC: HELO client.test.example\nS: 250 mail" + quit}
	r.run(t)
}

// TestHELOWithoutAuth has a session that was to be authenticated, on a server
// that is greeted with HELO.
func TestHELOWithoutAuth(t *testing.T) {
	eachDelivery(t, func(t *testing.T, delivery string) {
		nc := play(t, delivery, "S: 220 hi\nC: HELO client.test.example\nS: 250-mail\nS: 250 AUTH PLAIN"+quit)
		_, err := submission.NewSession(context.Background(), nc, testHost, plainText(withHELO, withAuth(testPassword)))
		wantError[*submission.AuthError](t, err)
		if !errors.Is(err, submission.ErrUnsupported) || isTemporary(err) {
			t.Errorf("%v, temporary %v", err, isTemporary(err))
		}
	})
}

func TestExtensions(t *testing.T) {
	type params map[string]string
	const absent = "(absent)"
	tests := []struct {
		name    string
		reply   string
		disable []string
		want    params
		mechs   []string
	}{
		{name: "bare code", reply: "S: 250", want: params{"SIZE": absent, "": absent}},
		{name: "one line", reply: "S: 250 SIZE", want: params{"SIZE": absent}},
		{name: "the first line is no extension", reply: "S: 250-SIZE 10\nS: 250 DSN", want: params{"SIZE": absent, "DSN": ""}},
		{name: "lower case", reply: "S: 250-hi\nS: 250-size 10\nS: 250-Pipelining\nS: 250 auth plain Login",
			want: params{"SIZE": "10", "size": "10", "PIPELINING": "", "AUTH": "plain Login"}, mechs: []string{"PLAIN", "LOGIN"}},
		{name: "white space", reply: "S: 250-hi\nS: 250-  SIZE   10 \nS: 250-\nS: 250-DSN ", want: params{"SIZE": "10", "DSN": ""}},
		{name: "several values", reply: "S: 250-hi\nS: 250 LIMITS RCPTMAX=20 MAILMAX=5", want: params{"LIMITS": "RCPTMAX=20 MAILMAX=5"}},
		{name: "duplicates", reply: "S: 250-hi\nS: 250-SIZE 10\nS: 250-DSN\nS: 250-SIZE 20\nS: 250 DSN", want: params{"SIZE": "10", "DSN": ""}},
		{name: "AUTH in many forms", reply: "S: 250-hi\nS: 250-AUTH PLAIN LOGIN\nS: 250-AUTH=LOGIN CRAM-MD5\nS: 250-auth digest-md5 plain\nS: 250 auth=NTLM",
			want: params{"AUTH=LOGIN": absent}, mechs: []string{"PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5", "NTLM"}},
		{name: "AUTH without mechanisms", reply: "S: 250-hi\nS: 250 AUTH", want: params{"AUTH": ""}},
		{name: "a prefix is another extension", reply: "S: 250-hi\nS: 250-XSIZE 10\nS: 250 SIZES", want: params{"SIZE": absent}},
		{name: "disabled", reply: "S: 250-hi\nS: 250-SIZE 10\nS: 250-AUTH PLAIN\nS: 250-AUTH=LOGIN\nS: 250-chunking\nS: 250 DSN",
			disable: []string{"size", "AUTH", "Chunking", "NONE"},
			want:    params{"SIZE": absent, "CHUNKING": absent, "AUTH": absent, "DSN": ""}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			eachDelivery(t, func(t *testing.T, delivery string) {
				reply := tt.reply
				if i := strings.LastIndex(reply, "S: 250-"); i > strings.LastIndex(reply, "S: 250 ") && i >= 0 {
					reply += "\nS: 250"
				}
				s := openSession(t, play(t, delivery, hello+reply+quit),
					plainText(func(o *submission.Options) { o.Disable = tt.disable }))
				defer s.Close()
				ext := s.Extensions()
				for keyword, want := range tt.want {
					got, ok := ext.Param(keyword)
					if ok != ext.Has(keyword) {
						t.Errorf("%s: Param says %v, Has says %v", keyword, ok, ext.Has(keyword))
					}
					if !ok {
						got = absent
					}
					if got != want {
						t.Errorf("%s: %q, want %q", keyword, got, want)
					}
				}
				mechs := ext.Mechanisms()
				if !slices.Equal(mechs, tt.mechs) {
					t.Errorf("mechanisms %q, want %q", mechs, tt.mechs)
				}
				for i := range mechs {
					mechs[i] = "SPOILT"
				}
				if again := ext.Mechanisms(); !slices.Equal(again, tt.mechs) {
					t.Errorf("the caller's slice is the session's: %q", again)
				}
			})
		})
	}
}

func TestExtensionSize(t *testing.T) {
	for line, want := range map[string]int64{
		"SIZE 10485760":             10485760,
		"size 1":                    1,
		"SIZE":                      0,
		"SIZE 0":                    0,
		"SIZE -5":                   0,
		"SIZE ten":                  0,
		"SIZE 99999999999999999999": 0,
	} {
		s := openSession(t, play(t, "whole", hello+"S: 250-hi\nS: 250 "+line+quit), plainText())
		if got, ok := s.Extensions().Size(); got != want || !ok {
			t.Errorf("%s: %d, %v; want %d", line, got, ok, want)
		}
		s.Close()
	}
	if n, ok := (submission.Extensions{}).Size(); n != 0 || ok {
		t.Errorf("zero Extensions: %d, %v", n, ok)
	}
}

// TestManyExtensions is as long as an EHLO reply may be.
func TestManyExtensions(t *testing.T) {
	var b strings.Builder
	b.WriteString(hello + "S: 250-hi\n")
	for i := range 510 {
		fmt.Fprintf(&b, "S: 250-X%d %d\n", i, i)
	}
	b.WriteString("S: 250 SIZE 7" + quit)
	s := openSession(t, play(t, "joined", b.String()), plainText())
	defer s.Close()
	if p, _ := s.Extensions().Param("X509"); p != "509" {
		t.Errorf("X509 is %q", p)
	}
	if n, _ := s.Extensions().Size(); n != 7 {
		t.Errorf("SIZE is %d", n)
	}
}

func TestHelloName(t *testing.T) {
	longest := strings.Repeat("a", 63)
	tests := []struct {
		name, local, localName, want string
	}{
		{name: "IPv4", local: "192.0.2.1:40000", want: "[192.0.2.1]"},
		{name: "IPv6", local: "[2001:db8::1]:40000", want: "[IPv6:2001:db8::1]"},
		{name: "IPv6, full form", local: "[2001:0db8:0:0:1:0:0:1]:40000", want: "[IPv6:2001:db8::1:0:0:1]"},
		{name: "v4-mapped", local: "[::ffff:192.0.2.1]:40000", want: "[192.0.2.1]"},
		{name: "IPv6 with a zone", local: "[fe80::1%eth0]:40000", want: "[IPv6:fe80::1]"},
		{name: "pipe", want: "[127.0.0.1]"},
		{name: "domain", localName: "client.test.example", want: "client.test.example"},
		{name: "single label", localName: "localhost", want: "localhost"},
		{name: "hyphen and digits", localName: "a-1.2-b", want: "a-1.2-b"},
		{name: "longest label", localName: longest + ".example", want: longest + ".example"},
		{name: "IPv4 literal", localName: "[192.0.2.7]", want: "[192.0.2.7]"},
		{name: "IPv6 literal", localName: "[IPv6:2001:db8::7]", want: "[IPv6:2001:db8::7]"},
		{name: "IDN", localName: "тест.example", want: "xn--e1aybc.example"},
		{name: "the option wins", local: "192.0.2.1:40000", localName: "c.example", want: "c.example"},
	}
	for _, tt := range tests {
		for _, verb := range []string{"EHLO", "HELO"} {
			t.Run(tt.name+", "+verb, func(t *testing.T) {
				nc := play(t, "whole", "S: 220 hi\nC: "+verb+" "+tt.want+"\nS: 250 mail"+quit)
				if tt.local != "" {
					nc = between(nc, tt.local, "192.0.2.25:587")
				}
				s := openSession(t, nc, &submission.Options{TLS: submission.TLSNone, LocalName: tt.localName, HELO: verb == "HELO"})
				s.Close()
			})
		}
	}
}

func TestHelloNameRefused(t *testing.T) {
	for name, local := range map[string]string{
		"underscore":         "my_host.example",
		"space":              "a b",
		"leading space":      " a.example",
		"CR LF":              "a.example\r\nMAIL FROM:<x@y>",
		"LF":                 "a\nb",
		"CR":                 "a\r",
		"NUL":                "a\x00b",
		"DEL":                "a\x7fb",
		"tab":                "a\tb",
		"empty label":        "a..b",
		"leading dot":        ".a",
		"trailing dot":       "a.example.",
		"leading hyphen":     "-a.example",
		"trailing hyphen":    "a-.example",
		"label too long":     strings.Repeat("a", 64) + ".example",
		"too long":           strings.Repeat("abcdefg.", 32) + "a",
		"bare IPv6":          "2001:db8::1",
		"half a literal":     "[192.0.2.1",
		"text behind":        "[192.0.2.1]x",
		"short IPv4 literal": "[192.0.2]",
		"CR LF in a literal": "[192.0.2.1\r\n]",
		"no UTF-8":           "a\xffb",
		"port":               "a.example:25",
		"bracket":            "<a>",
	} {
		t.Run(name, func(t *testing.T) {
			o := plainText(func(o *submission.Options) { o.LocalName = local })
			_, err := submission.NewSession(context.Background(), play(t, "whole", "eof"), testHost, o)
			if e := wantError[*submission.OptionError](t, err); e.Option != "LocalName" {
				t.Errorf("NewSession: option %s", e.Option)
			}
			_, err = submission.New(testHost, o)
			if e := wantError[*submission.OptionError](t, err); e.Option != "LocalName" {
				t.Errorf("New: option %s", e.Option)
			}
			if isTemporary(err) {
				t.Error("temporary")
			}
		})
	}
}

func TestReplies(t *testing.T) {
	tests := []struct {
		name, script string
		want         submission.Reply
		text         string // of String, if it is another than the plain one
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

// TestReplyBreaksTheSession has replies to a command after which nothing more
// may be sent, not even QUIT.
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

// TestReplyLimits has replies as large as they may be.
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
