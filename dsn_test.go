package submission_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/fe022423/submission"
)

// All 256 values of Notify, for the envelope, for a recipient, and for both.
func TestNotify(t *testing.T) {
	for n := range 256 {
		notify := submission.Notify(n)
		var names []string
		for _, part := range []struct {
			bit  submission.Notify
			name string
		}{{submission.NotifyNever, "NEVER"}, {submission.NotifySuccess, "SUCCESS"}, {submission.NotifyFailure, "FAILURE"}, {submission.NotifyDelay, "DELAY"}} {
			if notify&part.bit != 0 {
				names = append(names, part.name)
			}
		}
		good := n < 16 && (notify&submission.NotifyNever == 0 || notify == submission.NotifyNever)
		env := memoTo("b@test.example")
		env.DSN.Notify = notify
		own := memoTo("b@test.example")
		own.To[0].Notify = notify
		if !good {
			for _, e := range []submission.Envelope{env, own} {
				if err := wantNothing(t, []string{"DSN"}, e); errors.Is(err, submission.ErrUnsupported) {
					t.Errorf("the error says that the server is at fault: %v", err)
				}
			}
			continue
		}
		value := strings.Join(names, ",")
		if notify.String() != value {
			t.Errorf("Notify(%d) is %q, want %q", n, notify, value)
		}
		rcpt := plainRcpt
		if n != 0 {
			rcpt += " NOTIFY=" + value
		}
		wantLines(t, []string{"DSN"}, env, plainMail, rcpt)
		wantLines(t, []string{"DSN"}, own, plainMail, rcpt)
		if n != 0 {
			own.DSN.Notify = submission.NotifyDelay
			wantLines(t, []string{"DSN"}, own, plainMail, rcpt)
		}
	}
	// Each recipient has its own.
	env := memoTo("b@test.example", "c@test.example", "d@test.example")
	env.DSN.Notify = submission.NotifyFailure
	env.To[1].Notify = submission.NotifyNever
	env.To[2].Notify = submission.NotifySuccess | submission.NotifyDelay
	wantLines(t, []string{"DSN"}, env, plainMail, plainRcpt+" NOTIFY=FAILURE",
		"RCPT TO:<c@test.example> NOTIFY=NEVER", "RCPT TO:<d@test.example> NOTIFY=SUCCESS,DELAY")
}

// Values of DSN.Return, good and bad.
func TestReturn(t *testing.T) {
	for value, good := range map[submission.Return]bool{
		submission.ReturnFull: true, submission.ReturnHeaders: true, "full": false, "HEADERS": false, "FULL ": false, "FULL\r\nRSET": false, "X": false,
	} {
		env := memoTo("b@test.example")
		env.DSN.Return = value
		if good {
			wantLines(t, []string{"DSN"}, env, plainMail+" RET="+string(value), plainRcpt)
			continue
		}
		wantNothing(t, []string{"DSN"}, env)
	}
}

// Values of DSN.EnvelopeID, and how they are encoded.
func TestEnvelopeID(t *testing.T) {
	for id, want := range map[string]string{
		"QQ314159":                 "QQ314159",
		"e=mc2+x":                  "e+3Dmc2+2Bx",
		"a b":                      "a+20b",
		" ":                        "+20",
		"<x@y>":                    "<x@y>",
		"+++":                      "+2B+2B+2B",
		"~!\"#$%&'()*,-./:;?[\\]^": "~!\"#$%&'()*,-./:;?[\\]^",
		repeat("x", 100):           repeat("x", 100),
		repeat("+", 33) + "x":      repeat("+2B", 33) + "x",
	} {
		env := memoTo("b@test.example")
		env.DSN.EnvelopeID = id
		wantLines(t, []string{"DSN"}, env, plainMail+" ENVID="+want, plainRcpt)
	}
	for _, id := range []string{repeat("x", 101), repeat("+", 34), repeat(" ", 33) + "xx", "a\r\nb", "a\nb", "a\x00", "\x7f", "\t", "ü", "\xff"} {
		env := memoTo("b@test.example")
		env.DSN.EnvelopeID = id
		if err := wantNothing(t, []string{"DSN", "SMTPUTF8"}, env); errors.Is(err, submission.ErrUnsupported) {
			t.Errorf("the error says that the server is at fault: %v", err)
		}
	}
}

// Values of Recipient.ORCPT, and how they are encoded.
func TestORCPT(t *testing.T) {
	for orcpt, want := range map[string]string{
		"rfc822;a@b":                          "rfc822;a@b",
		"RFC822;a@b":                          "RFC822;a@b",
		"a@b":                                 "rfc822;a@b",
		"e=mc2+x@b":                           "rfc822;e+3Dmc2+2Bx@b",
		"rfc822;e=mc2+x@b":                    "rfc822;e+3Dmc2+2Bx@b",
		`rfc822;"a b"@c`:                      `rfc822;"a+20b"@c`,
		"rfc822;a;b@c":                        "rfc822;a;b@c",
		"x400;/c=us/admd= /":                  "x400;/c+3Dus/admd+3D+20/",
		"unknown;a>b":                         "unknown;a>b",
		"rfc822;a\\b":                         "rfc822;a\\b",
		"имя@test.example":                    `utf-8;\x{438}\x{43C}\x{44F}@test.example`,
		"utf-8;имя@тест.example":              `utf-8;\x{438}\x{43C}\x{44F}@\x{442}\x{435}\x{441}\x{442}.example`,
		"UTF-8;a@b":                           "UTF-8;a@b",
		"utf-8;e=mc2+x@b":                     `utf-8;e\x{3D}mc2\x{2B}x@b`,
		"utf-8;a b\\c@d":                      `utf-8;a\x{20}b\x{5C}c@d`,
		"utf-8;é@b":                           `utf-8;\x{E9}@b`,
		"😀@b":                                 `utf-8;\x{1F600}@b`,
		"rfc822;" + repeat("x", 500-7):        "rfc822;" + repeat("x", 500-7),
		"utf-8;" + repeat("é", 82) + "aa":     "utf-8;" + repeat(`\x{E9}`, 82) + "aa",
		"rfc822;" + repeat("+", 164) + "x":    "rfc822;" + repeat("+2B", 164) + "x",
		"rfc822;a@b> NOTIFY=NEVER":            "rfc822;a@b>+20NOTIFY+3DNEVER",
		"utf-8;\u010d\u010a":                  `utf-8;\x{10D}\x{10A}`,
		"x-local-type;anything that prints ~": "x-local-type;anything+20that+20prints+20~",
	} {
		env := memoTo("b@test.example")
		env.To[0].ORCPT = orcpt
		wantLines(t, []string{"DSN"}, env, plainMail, plainRcpt+" ORCPT="+want)
	}
	for _, orcpt := range []string{
		"rfc822;", ";a@b", "bad type;a@b", "rfc 822;a", "typé;a", "-x;a", "a>b;c", "rfc822;имя@b", "x400;é",
		"rfc822;" + repeat("x", 500-6), "utf-8;" + repeat("é", 83), "a\r\nb", "rfc822;a\r\nb", "rfc822;\x00", "rfc822;\x7f", "rfc822;a\tb",
		"utf-8;a\r\nb", "utf-8;\x00", "utf-8;\u0085", "utf-8;\xff", "\xff", "a\r\n;b", "rfc822\r\nRSET;b",
	} {
		env := memoTo("b@test.example")
		env.To[0].ORCPT = orcpt
		if err := wantNothing(t, []string{"DSN", "SMTPUTF8"}, env); errors.Is(err, submission.ErrUnsupported) {
			t.Errorf("%q: the error says that the server is at fault: %v", orcpt, err)
		}
	}
}

// What asks for DSN is refused if the server does not offer it, and the error names DSN.
func TestDSNNotOffered(t *testing.T) {
	for name, set := range map[string]func(*submission.Envelope){
		"Notify":           func(e *submission.Envelope) { e.DSN.Notify = submission.NotifyNever },
		"Return":           func(e *submission.Envelope) { e.DSN.Return = submission.ReturnFull },
		"EnvelopeID":       func(e *submission.Envelope) { e.DSN.EnvelopeID = "x" },
		"Recipient.Notify": func(e *submission.Envelope) { e.To[0].Notify = submission.NotifyFailure },
		"Recipient.ORCPT":  func(e *submission.Envelope) { e.To[0].ORCPT = "c@d" },
	} {
		for _, keywords := range [][]string{nil, {"PIPELINING", "SIZE", "SMTPUTF8", "X-DSN", "DSNX"}} {
			env := memoTo("b@test.example")
			set(&env)
			err := wantNothing(t, keywords, env)
			if !errors.Is(err, submission.ErrUnsupported) || !strings.Contains(err.Error(), "DSN") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	// A partial envelope goes to the other recipients.
	env := memoTo("c@test.example", "b@test.example")
	env.Partial = true
	env.To[0].Notify = submission.NotifyFailure
	s := openSession(t, play(t, "whole", greeted("PIPELINING")+flightOK+"C: QUIT\nS: 221 bye\neof"), plainText())
	defer s.Close()
	res, err := send(s, env)
	verdict{outcome: submission.PartlySent, stage: submission.StageRcpt, is: submission.ErrUnsupported}.check(t, res, err)
	if r := res.Recipients; r[0].Status == submission.RecipientSent || r[1].Status != submission.RecipientSent {
		t.Errorf("%+v", r)
	}
}

func TestNotifyString(t *testing.T) {
	if got := fmt.Sprint(submission.NotifySuccess|submission.NotifyDelay, submission.Notify(0), submission.NotifyNever); got != "SUCCESS,DELAY  NEVER" {
		t.Errorf("%q", got)
	}
}
