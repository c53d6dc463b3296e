package submission_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/fe022423/submission"
)

func withHELO(o *submission.Options) { o.HELO = true }

// When HELO is used.
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
		{"Options.HELO", plainText(withHELO), "S: 220 hi\n" + helo},
		{"Options.HELO, opportunistic TLS", plainText(withHELO, withTLS(submission.TLSOpportunistic)), "S: 220 hi\n" + helo},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			eachDelivery(t, func(t *testing.T, delivery string) {
				s := openSession(t, play(t, delivery, tt.script+quit), tt.options)
				if s.Extensions().Has("SIZE") {
					t.Error("the reply to HELO gave an extension")
				}
				if _, ok := s.TLS(); ok {
					t.Error("TLS")
				}
				s.Close()
			})
		})
	}
}

// Replies to EHLO and HELO with which there is no session.
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
		{name: "Options.HELO, refused", options: plainText(withHELO),
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
	r := refusal{name: "Options.HELO, STARTTLS wanted", stage: submission.StageStartTLS, is: submission.ErrUnsupported,
		options: plainText(withHELO, withTLS(submission.TLSStartTLS)),
		script:  "S: 220 hi\nC: HELO client.test.example\nS: 250 mail" + quit}
	r.run(t)
}

// With HELO there is no AUTH: if Options.Auth is set, there is no session.
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

// The name that EHLO and HELO send.
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

// Names that New and NewSession refuse.
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
		"text after it":      "[192.0.2.1]x",
		"short IPv4 literal": "[192.0.2]",
		"CR LF in a literal": "[192.0.2.1\r\n]",
		"not UTF-8":          "a\xffb",
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
				t.Error("Temporary is true")
			}
		})
	}
}
