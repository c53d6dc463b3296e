package submission_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// wantOutOfRange sends an envelope that the server is not asked about, because a value
// of it is out of a range. The error says which.
func wantOutOfRange(t *testing.T, keywords []string, env submission.Envelope, says ...string) {
	t.Helper()
	err := wantNothing(t, keywords, env)
	if !errors.Is(err, submission.ErrOutOfRange) || errors.Is(err, submission.ErrUnsupported) {
		t.Errorf("error %v, want ErrOutOfRange", err)
	}
	for _, text := range says {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error %v, want it to say %q", err, text)
		}
	}
}

// All priorities of RFC 6710, and those next to them.
func TestPriority(t *testing.T) {
	for n := -11; n <= 11; n++ {
		env := memoTo("b@test.example")
		env.Priority = n
		switch {
		case n < -9 || n > 9:
			wantOutOfRange(t, []string{"MT-PRIORITY"}, env, fmt.Sprintf("Priority %d", n), "-9", "9")
			err := wantError[*submission.SenderError](t, checkNothing(t, []string{"MT-PRIORITY"}, env))
			if err.Addr != "a@test.example" || err.Reply != nil {
				t.Errorf("%+v", err)
			}
		case n == 0:
			wantLines(t, nil, env, plainMail, plainRcpt)
			wantLines(t, []string{"MT-PRIORITY"}, env, plainMail, plainRcpt)
		default:
			wantLines(t, []string{"MT-PRIORITY MIXER"}, env, fmt.Sprintf("%s MT-PRIORITY=%d", plainMail, n), plainRcpt)
		}
	}
}

// Values of HoldFor: what is sent, and what is refused before it is.
func TestHoldFor(t *testing.T) {
	const longest = 999999999 * time.Second
	for _, tt := range []struct {
		holdFor time.Duration
		offer   string // of FUTURERELEASE
		want    string // "" is a refusal
		says    string // of the refusal
	}{
		{0, "1 2030-01-01T00:00:00Z", "-", ""},
		{1, "1 2030-01-01T00:00:00Z", "1", ""},
		{time.Second, "1 2030-01-01T00:00:00Z", "1", ""},
		{time.Second + 1, "1 2030-01-01T00:00:00Z", "", "2 seconds, the server's limit is 1 "},
		{1500 * time.Millisecond, "2 2030-01-01T00:00:00Z", "2", ""},
		{time.Hour, "3601 2030-01-01T00:00:00Z", "3600", ""},
		{time.Hour, "3600 2030-01-01T00:00:00Z", "3600", ""},
		{time.Hour, "3599 2030-01-01T00:00:00Z", "", "3599"},
		{time.Hour, "3599", "", "3599"},
		{time.Hour, "  3599  2030-01-01T00:00:00Z extra", "", "3599"},
		{longest, "999999999 2030-01-01T00:00:00Z", "999999999", ""},
		{longest, "", "999999999", ""},
		{longest - time.Nanosecond, "", "999999999", ""},
		{longest + time.Nanosecond, "", "", "999999999"},
		{1<<63 - 1, "", "", "999999999"},
		{-1, "", "", "negative"},
		{-1 << 63, "", "", "negative"},
		// What makes no sense is no limit.
		{time.Hour, "3600 0000-01-01T00:00:00Z", "3600", ""},
		{time.Hour, "x 2030-01-01T00:00:00Z", "3600", ""},
		{time.Hour, "0 2030-01-01T00:00:00Z", "3600", ""},
		{time.Hour, "-1 2030-01-01T00:00:00Z", "3600", ""},
		{time.Hour, "+1 2030-01-01T00:00:00Z", "3600", ""},
		{time.Hour, "1.5 2030-01-01T00:00:00Z", "3600", ""},
		{time.Hour, "2030-01-01T00:00:00Z 60", "3600", ""},
		{time.Hour, "99999999999999999999 2030-01-01T00:00:00Z", "3600", ""},
	} {
		env := memoTo("b@test.example")
		env.HoldFor = tt.holdFor
		keywords := []string{"FUTURERELEASE " + tt.offer}
		switch tt.want {
		case "":
			wantOutOfRange(t, keywords, env, "HoldFor", tt.says)
		case "-":
			wantLines(t, keywords, env, plainMail, plainRcpt)
		default:
			wantLines(t, keywords, env, plainMail+" HOLDFOR="+tt.want, plainRcpt)
		}
	}
}

// Values of HoldUntil: what is sent, and what is refused before it is.
func TestHoldUntil(t *testing.T) {
	newYear := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	east := time.FixedZone("east", 5*60*60+30*60)
	for _, tt := range []struct {
		until time.Time
		offer string // of FUTURERELEASE
		want  string // "" is a refusal
		says  string // of the refusal
	}{
		{time.Time{}, "60 2030-01-01T00:00:00Z", "-", ""},
		{time.Time{}.In(east), "60 2030-01-01T00:00:00Z", "-", ""},
		{newYear, "60 2030-01-01T00:00:00Z", "2030-01-01T00:00:00Z", ""},
		{newYear.In(east), "60 2030-01-01T00:00:00Z", "2030-01-01T00:00:00Z", ""},
		{newYear, "60 2030-01-01T00:00:01Z", "2030-01-01T00:00:00Z", ""},
		{newYear, "60 2029-12-31T23:59:59Z", "", "2029-12-31T23:59:59Z"},
		{newYear, "60 2030-01-01T01:00:00+02:00", "", "2029-12-31T23:00:00Z"},
		{newYear, "60 2030-01-01t00:00:00z", "2030-01-01T00:00:00Z", ""},
		{newYear.Add(time.Second), "60 2030-01-01t00:00:00z", "", "2030-01-01T00:00:00Z"},
		{newYear.Add(-time.Nanosecond), "60 2030-01-01T00:00:00Z", "2030-01-01T00:00:00Z", ""},
		{newYear.Add(time.Nanosecond), "60 2030-01-01T00:00:00Z", "", "2030-01-01T00:00:00Z"},
		{time.Date(2007, 5, 1, 12, 30, 15, 0, time.UTC), "60 2030-01-01T00:00:00Z", "2007-05-01T12:30:15Z", ""},
		{time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), "", "9999-12-31T23:59:59Z", ""},
		{time.Date(9999, 12, 31, 23, 59, 59, 1, time.UTC), "", "", "9999"},
		{time.Date(9999, 12, 31, 23, 0, 0, 0, time.FixedZone("west", -60*60)), "", "", "9999"},
		{time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC), "", "0000-01-01T00:00:00Z", ""},
		{time.Date(-1, 12, 31, 23, 59, 58, 0, time.UTC), "", "", "0"},
		// What makes no sense is no limit.
		{newYear, "60", "2030-01-01T00:00:00Z", ""},
		{newYear, "60 2029-01-01", "2030-01-01T00:00:00Z", ""},
		{newYear, "60 2029-13-01T00:00:00Z", "2030-01-01T00:00:00Z", ""},
		{newYear, "60 2029-01-01T00:00:00", "2030-01-01T00:00:00Z", ""},
		{newYear, "60 1000", "2030-01-01T00:00:00Z", ""},
		{newYear, "2029-01-01T00:00:00Z", "2030-01-01T00:00:00Z", ""},
	} {
		env := memoTo("b@test.example")
		env.HoldUntil = tt.until
		keywords := []string{"FUTURERELEASE " + tt.offer}
		switch tt.want {
		case "":
			wantOutOfRange(t, keywords, env, "HoldUntil", tt.says)
		case "-":
			wantLines(t, keywords, env, plainMail, plainRcpt)
		default:
			wantLines(t, keywords, env, plainMail+" HOLDUNTIL="+tt.want, plainRcpt)
		}
	}
	both := memoTo("b@test.example")
	both.HoldFor, both.HoldUntil = time.Minute, newYear
	err := wantNothing(t, []string{"FUTURERELEASE"}, both)
	wantError[*submission.SenderError](t, err)
	if text := err.Error(); !strings.Contains(text, "HoldFor") || !strings.Contains(text, "HoldUntil") || errors.Is(err, submission.ErrUnsupported) {
		t.Errorf("both: %v", err)
	}
}

// Values of DeliverBy: what is sent, and what is refused before it is.
func TestDeliverBy(t *testing.T) {
	const longest = 999999999 * time.Second
	for _, tt := range []struct {
		by    submission.DeliverBy
		offer string // of DELIVERBY
		want  string // "" is a refusal
		says  string // of the refusal
	}{
		{submission.DeliverBy{}, "30", "-", ""},
		{submission.DeliverBy{Within: time.Minute}, "", "60;N", ""},
		{submission.DeliverBy{Within: time.Minute, Return: true}, "", "60;R", ""},
		{submission.DeliverBy{Within: time.Minute, Trace: true}, "", "60;NT", ""},
		{submission.DeliverBy{Within: time.Minute, Return: true, Trace: true}, "", "60;RT", ""},
		{submission.DeliverBy{Within: time.Minute, Return: true}, "59", "60;R", ""},
		{submission.DeliverBy{Within: time.Minute, Return: true}, "60", "60;R", ""},
		{submission.DeliverBy{Within: time.Minute, Return: true}, "61", "", "60 seconds, the server's minimum is 61 "},
		{submission.DeliverBy{Within: time.Minute, Return: true}, "999999999", "", "999999999"},
		{submission.DeliverBy{Within: time.Minute}, "61", "60;N", ""},
		{submission.DeliverBy{Within: time.Minute, Trace: true}, "999999999", "60;NT", ""},
		{submission.DeliverBy{Within: 1, Return: true}, "1", "1;R", ""},
		{submission.DeliverBy{Within: time.Minute + 1, Return: true}, "61", "61;R", ""},
		{submission.DeliverBy{Within: longest, Return: true}, "", "999999999;R", ""},
		{submission.DeliverBy{Within: longest}, "", "999999999;N", ""},
		{submission.DeliverBy{Within: longest + 1}, "", "", "999999999"},
		{submission.DeliverBy{Within: 1<<63 - 1, Return: true}, "", "", "999999999"},
		{submission.DeliverBy{Within: -time.Minute}, "30", "-60;N", ""},
		{submission.DeliverBy{Within: -time.Minute, Trace: true}, "30", "-60;NT", ""},
		{submission.DeliverBy{Within: -1500 * time.Millisecond}, "", "-1;N", ""},
		{submission.DeliverBy{Within: -1}, "", "0;N", ""},
		{submission.DeliverBy{Within: -longest}, "", "-999999999;N", ""},
		{submission.DeliverBy{Within: -longest - time.Second}, "", "", "999999999"},
		{submission.DeliverBy{Within: -1 << 63}, "", "", "999999999"},
		{submission.DeliverBy{Within: -time.Minute, Return: true}, "", "", "positive"},
		{submission.DeliverBy{Within: -1, Return: true}, "", "", "positive"},
		{submission.DeliverBy{Return: true}, "", "", "positive"},
		{submission.DeliverBy{Return: true, Trace: true}, "", "", "positive"},
		// What makes no sense is no minimum.
		{submission.DeliverBy{Within: time.Minute, Return: true}, "x", "60;R", ""},
		{submission.DeliverBy{Within: time.Minute, Return: true}, "-100", "60;R", ""},
		{submission.DeliverBy{Within: time.Minute, Return: true}, "+100", "60;R", ""},
		{submission.DeliverBy{Within: time.Minute, Return: true}, "0", "60;R", ""},
		{submission.DeliverBy{Within: time.Minute, Return: true}, "100s", "60;R", ""},
		{submission.DeliverBy{Within: time.Minute, Return: true}, "9999999999", "60;R", ""},
		{submission.DeliverBy{Within: time.Minute, Return: true}, "100 extra", "", "100"},
	} {
		env := memoTo("b@test.example")
		env.DeliverBy = tt.by
		keywords := []string{"DELIVERBY " + tt.offer}
		switch tt.want {
		case "":
			wantOutOfRange(t, keywords, env, "DeliverBy", tt.says)
		case "-":
			wantLines(t, keywords, env, plainMail, plainRcpt)
		default:
			wantLines(t, keywords, env, plainMail+" BY="+tt.want, plainRcpt)
		}
	}
	// Trace alone names no time.
	env := memoTo("b@test.example")
	env.DeliverBy.Trace = true
	err := wantNothing(t, []string{"DELIVERBY"}, env)
	wantError[*submission.SenderError](t, err)
	if !strings.Contains(err.Error(), "Within") || errors.Is(err, submission.ErrUnsupported) {
		t.Errorf("Trace alone: %v", err)
	}
}

// Values of Recipient.ValidSince: what is sent, and what is refused before it is.
func TestValidSince(t *testing.T) {
	since := time.Date(2014, 4, 3, 23, 1, 0, 0, time.UTC)
	west := time.FixedZone("west", -8*60*60)
	for _, tt := range []struct {
		since time.Time
		want  string // "" is a refusal
	}{
		{time.Time{}, "-"},
		{time.Time{}.In(west), "-"},
		{since, "2014-04-03T23:01:00Z"},
		{since.In(west), "2014-04-03T23:01:00Z"},
		{since.Add(time.Second - 1), "2014-04-03T23:01:00Z"},
		{since.Add(-1), "2014-04-03T23:00:59Z"},
		{time.Date(1997, 11, 24, 14, 22, 1, 0, west), "1997-11-24T22:22:01Z"},
		{time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC), "9999-12-31T23:59:59Z"},
		{time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), ""},
		{time.Date(9999, 12, 31, 16, 0, 0, 0, west), ""},
		{time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC), "0000-01-01T00:00:00Z"},
		{time.Date(0, 1, 1, 0, 0, 0, -1, time.UTC), ""},
	} {
		env := memoTo("b@test.example")
		env.To[0].ValidSince = tt.since
		switch tt.want {
		case "":
			wantOutOfRange(t, []string{"RRVS"}, env, "Recipient.ValidSince", "9999")
			if err := wantError[*submission.AddressError](t, checkNothing(t, []string{"RRVS"}, env)); err.Addr != "b@test.example" {
				t.Errorf("%+v", err)
			}
		case "-":
			wantLines(t, nil, env, plainMail, plainRcpt)
		default:
			wantLines(t, []string{"RRVS"}, env, plainMail, plainRcpt+" RRVS="+tt.want)
		}
	}
	// Each recipient has its own.
	env := memoTo("b@test.example", "c@test.example", "d@test.example")
	env.To[0].ValidSince, env.To[2].ValidSince = since, since.Add(time.Hour)
	wantLines(t, []string{"RRVS"}, env, plainMail, plainRcpt+" RRVS=2014-04-03T23:01:00Z",
		"RCPT TO:<c@test.example>", "RCPT TO:<d@test.example> RRVS=2014-04-04T00:01:00Z")
}

// A partial envelope goes to the other recipients, where the server lacks RRVS as well as
// where the time has no form. Without Partial nothing is sent.
func TestValidSincePartial(t *testing.T) {
	for name, tt := range map[string]struct {
		since  time.Time
		status submission.RecipientStatus
		is     error
	}{
		"not offered":  {time.Date(2014, 4, 3, 23, 1, 0, 0, time.UTC), submission.RecipientUnsent, submission.ErrUnsupported},
		"out of range": {time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), submission.RecipientInvalid, submission.ErrOutOfRange},
	} {
		t.Run(name, func(t *testing.T) {
			env := memoTo("c@test.example", "b@test.example")
			env.To[0].ValidSince = tt.since
			if err := wantNothing(t, []string{"PIPELINING"}, env); !errors.Is(err, tt.is) {
				t.Errorf("all or nothing: %v", err)
			}
			env.Partial = true
			s := openSession(t, play(t, "whole", greeted("PIPELINING")+flightOK+"C: QUIT\nS: 221 bye\neof"), plainText())
			defer s.Close()
			res, err := send(s, env)
			verdict{outcome: submission.PartlySent, stage: submission.StageRcpt, is: tt.is}.check(t, res, err)
			if r := res.Recipients; r[0].Status != tt.status || r[0].Reply.Code != 0 || r[1].Status != submission.RecipientSent {
				t.Errorf("%+v", r)
			}
			if e := wantError[*submission.AddressError](t, err); e.Addr != "c@test.example" || e.Reply != nil {
				t.Errorf("%+v", e)
			}
			// Nobody is left.
			env.To = env.To[:1]
			if err := wantNothing(t, []string{"PIPELINING"}, env); !errors.Is(err, tt.is) {
				t.Errorf("nobody left: %v", err)
			}
		})
	}
}

// What the server offers, and its limits, may change with AUTH: a lack or a limit that
// stood before it is asked about once more, and MAIL goes out if it is gone.
func TestDeliveryBehindAuth(t *testing.T) {
	since := time.Date(2014, 4, 3, 23, 1, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		set           func(*submission.Envelope)
		before, after string
		mail, rcpt    string
	}{
		"Priority":         {func(e *submission.Envelope) { e.Priority = 1 }, "SIZE", "MT-PRIORITY", " MT-PRIORITY=1", ""},
		"HoldFor":          {func(e *submission.Envelope) { e.HoldFor = time.Minute }, "SIZE", "FUTURERELEASE 60 2030-01-01T00:00:00Z", " HOLDFOR=60", ""},
		"HoldFor, limit":   {func(e *submission.Envelope) { e.HoldFor = time.Minute }, "FUTURERELEASE 59", "FUTURERELEASE 60", " HOLDFOR=60", ""},
		"HoldUntil, limit": {func(e *submission.Envelope) { e.HoldUntil = since }, "FUTURERELEASE 1 2013-01-01T00:00:00Z", "FUTURERELEASE 1 2015-01-01T00:00:00Z", " HOLDUNTIL=2014-04-03T23:01:00Z", ""},
		"DeliverBy":        {func(e *submission.Envelope) { e.DeliverBy.Within = time.Minute }, "SIZE", "DELIVERBY", " BY=60;N", ""},
		"DeliverBy, limit": {func(e *submission.Envelope) { e.DeliverBy = submission.DeliverBy{Within: time.Minute, Return: true} }, "DELIVERBY 61", "DELIVERBY 60", " BY=60;R", ""},
		"ValidSince":       {func(e *submission.Envelope) { e.To[0].ValidSince = since }, "SIZE", "RRVS", "", " RRVS=2014-04-03T23:01:00Z"},
	} {
		for _, again := range []string{tt.before, tt.after} {
			t.Run(name+"/"+again, func(t *testing.T) {
				script := greeted("AUTH PLAIN", tt.before) + `
					C: AUTH PLAIN AHVzZXIAcGFzc3dvcmQ=
					S: 235 welcome
					C: EHLO client.test.example
					S: 250-mail.test.example
					S: 250 ` + again + "\n"
				if again == tt.after {
					script += "C: " + plainMail + tt.mail + "\nS: 250 ok\nC: " + plainRcpt + tt.rcpt + "\nS: 550 no\n"
				}
				s := openSession(t, play(t, "whole", script+"C: QUIT\nS: 221 bye\neof"), plainText(func(o *submission.Options) {
					o.Auth, o.InsecureAuth = submission.Password{Username: "user", Password: "password"}, true
				}))
				defer s.Close()
				env := memoTo("b@test.example")
				tt.set(&env)
				_, err := send(s, env)
				if again == tt.after {
					verdict{stage: submission.StageRcpt, code: 550}.check(t, nil, err)
				} else if !errors.Is(err, submission.ErrUnsupported) && !errors.Is(err, submission.ErrOutOfRange) {
					t.Errorf("%v, want ErrUnsupported or ErrOutOfRange", err)
				}
			})
		}
	}
}

// A transaction asks for what the envelope said when it began.
func TestDeliveryIsFixedAtBegin(t *testing.T) {
	srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.NoTLS})
	defer srv.Close()
	s := openSession(t, srv.Pipe(), plainText())
	defer s.Close()
	since := time.Date(2014, 4, 3, 23, 1, 0, 0, time.UTC)
	env := memoTo("b@test.example")
	env.Priority, env.HoldFor, env.To[0].ValidSince = 3, time.Minute, since
	env.DeliverBy = submission.DeliverBy{Within: time.Hour, Trace: true}
	tx, err := s.Begin(context.Background(), env)
	if err != nil {
		t.Fatal(err)
	}
	env.Priority, env.HoldFor, env.HoldUntil, env.DeliverBy.Return = -3, time.Hour, since, true
	env.To[0].ValidSince = time.Time{}
	if _, err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	m := srv.Messages()[0]
	if m.Priority != 3 || m.HoldFor != time.Minute || !m.HoldUntil.IsZero() || m.ValidSince[0] != since ||
		m.DeliverBy != (smtptest.DeliverBy{Within: time.Hour, Trace: true}) {
		t.Errorf("%+v", m)
	}
}
