package submission_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// An address that is not an envelope address is quoted, and what was meant is shown.
func TestHintAddress(t *testing.T) {
	const name, spaces, one = "an envelope address has no display name: a@x.example (ParseTo)", "no spaces around it: a@x.example", "a@x.example, b@y.example"
	for _, tt := range []struct{ addr, has, hasNot string }{
		{"Anna <a@x.example>", name, spaces + "|, b@"},
		{`"Anna, of x" <a@x.example>`, name, ", b@"},
		{"Änna <a@x.example>", name, ""},
		{"a@x.example (Anna)", name, ""},
		{" a@x.example", spaces, ", b@"},
		{"a@x.example ", spaces, ""},
		{" <a@x.example>", "no spaces around it: <a@x.example>", "ParseTo"},
		{"< a@x.example >", "", "display name"},
		{"<a@x.example> Anna", "", "display name"},
		{"<a@x.example", "", "display name"},
		{"<<a@x.example>>", "", "display name"},
		{"a@x.example\n", "no line break around it: a@x.example", ", b@"},
		{"a@x.example\r\n", "no line break around it: a@x.example", ", b@"},
		{"a@x.example\nb@y.example\n", one, spaces},
		{"a@x.example,b@y.example", one, spaces},
		{"a@x.example, b@y.example", one, ""},
		{"a@x.example;b@y.example", one, ""},
		{"a@x.example b@y.example", one, ""},
		{"Anna <a@x.example>, Bert <b@y.example>", one, ""},
		{"anna", "no @", "display name|spaces around"},
		{"a@b@c d", "", "display name|spaces around"},
		{"a@x..example", "", "display name|spaces around"},
		{"Anna <a@x..example>", "", "display name: "},
		{"Anna", "no @", "display name"},
		{strings.Repeat("a", 70) + "@x.example", "", "display name"},
	} {
		quoted := strconv.Quote(tt.addr)
		check := func(t *testing.T, err error) {
			t.Helper()
			wantSays(t, err, append(words(tt.has), quoted), words(tt.hasNot))
		}
		t.Run(tt.addr, func(t *testing.T) {
			c, err := submission.New(testHost, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_, err = c.Send(t.Context(), submission.Envelope{From: tt.addr, To: submission.To("b@test.example")}, strings.NewReader(memo))
			wantError[*submission.SenderError](t, err)
			check(t, err)
			_, err = c.Send(t.Context(), memoTo(tt.addr), strings.NewReader(memo))
			wantError[*submission.AddressError](t, err)
			check(t, err)
			if strings.Contains(tt.has, one) && !strings.Contains(err.Error(), "Recipient") {
				t.Errorf("no word on Recipient: %v", err)
			}
			_, err = submission.New(testHost, &submission.Options{From: tt.addr})
			if e := wantError[*submission.OptionError](t, err); e.Option != "From" {
				t.Errorf("option %q", e.Option)
			}
			check(t, err)
		})
	}
	// What is wrong is not the address.
	env := memoTo("<b@test.example>")
	env.To[0].ORCPT = "no type;"
	c, err := submission.New(testHost, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = c.Send(t.Context(), env, strings.NewReader(memo))
	wantSays(t, err, []string{`"<b@test.example>"`, "ORCPT"}, []string{"display name", "spaces"})
}

// A parameter, or a flight, that was offered and then refused: what was sent is
// shown, and the option that does without.
func TestHintParameters(t *testing.T) {
	const disable = "Options.Disable"
	text := "S\n\n\u00e9\n"
	size := len("S\r\n\r\n\u00e9\r\n")
	mail := fmt.Sprintf("C: MAIL FROM:<a@test.example> SIZE=%d BODY=8BITMIME\n", size)
	shown := fmt.Sprintf("sent with SIZE=%d BODY=8BITMIME", size)
	const rcpt, data = "C: RCPT TO:<b@test.example>\nS: 250 ok\n", "C: DATA\nS: 354 go\n"
	body := "C: S\nC: \nC: \u00e9\nC: .\n"
	offers := []string{"SIZE 1000", "8BITMIME", "DSN"}
	pipelined := append([]string{"PIPELINING"}, offers...)
	flight := mail + "C: RCPT TO:<b@test.example>\nC: DATA\n"
	for _, tt := range []struct {
		name        string
		offers      []string
		script      string
		env         func(*submission.Envelope)
		has, hasNot string
	}{
		{name: "555", offers: offers, script: mail + "S: 555 5.5.4 Unsupported option: BODY=8BITMIME", has: shown + "|" + disable + "|8BITMIME", hasNot: "PIPELINING"},
		{name: "501 5.5.4", offers: offers, script: mail + "S: 501 5.5.4 Invalid arguments", has: shown + "|" + disable},
		{name: "a word about it", offers: offers, script: mail + "S: 553 no 8BITMIME here", has: shown + "|" + disable},
		{name: "554 5.6.1 to MAIL", offers: offers, script: mail + "S: 554 5.6.1 Body type not supported by Remote Host", has: shown + "|" + disable + "|7-bit"},
		{name: "554 5.6.1 at the end", offers: offers, script: mail + "S: 250 ok\n" + rcpt + data + body + "S: 554 5.6.1 Eight bit data not allowed", has: shown + "|" + disable + "|7-bit"},
		{name: "554 5.6.3 at the end", offers: offers, script: mail + "S: 250 ok\n" + rcpt + data + body + "S: 554 5.6.3 Conversion required", has: shown + "|" + disable},
		{name: "554 5.6.0 at the end", offers: offers, script: mail + "S: 250 ok\n" + rcpt + data + body + "S: 554 5.6.0 Lone CR", hasNot: disable + "|sent with"},
		{name: "another refusal of MAIL", offers: offers, script: mail + "S: 550 5.7.1 not you", hasNot: disable + "|sent with"},
		{name: "too large", offers: offers, script: mail + "S: 552 5.3.4 Message size exceeds fixed limit", hasNot: disable + "|sent with"},
		{name: "nothing sent", script: "C: MAIL FROM:<a@test.example>\nS: 555 5.5.4 what", env: func(e *submission.Envelope) { e.From = "plain" }, hasNot: disable + "|sent with"},
		{name: "RCPT, a parameter", offers: offers, env: func(e *submission.Envelope) { e.To[0].Notify = submission.NotifyFailure },
			script: mail + "S: 250 ok\nC: RCPT TO:<b@test.example> NOTIFY=FAILURE\nS: 555 5.5.4 what", has: "sent with NOTIFY=FAILURE", hasNot: "BODY=8BITMIME|" + disable},
		{name: "RCPT, none", offers: offers, script: mail + "S: 250 ok\nC: RCPT TO:<b@test.example>\nS: 555 5.5.4 what", hasNot: "sent with|" + disable},
		{name: "MAIL, asked for", offers: []string{"DSN"}, env: func(e *submission.Envelope) { e.DSN.Return = submission.ReturnHeaders; e.From = "ascii" },
			script: "C: MAIL FROM:<a@test.example> RET=HDRS\nS: 555 5.5.4 what", has: "sent with RET=HDRS", hasNot: disable},

		{name: "pipelining", offers: pipelined, script: flight + "S: 250 ok\nS: 503 5.5.0 Pipelining not supported\nS: 503 5.5.0 no", has: "one flight|" + disable + "|PIPELINING", hasNot: "sent with"},
		{name: "pipelining, at MAIL", offers: pipelined, script: flight + "S: 554 SMTP synchronization error\nS: 503 no\nS: 503 no", has: "one flight|" + disable + "|PIPELINING"},
		{name: "pipelining, at DATA", offers: pipelined, script: flight + "S: 250 ok\nS: 250 ok\nS: 503 5.5.0 <DATA>: Data command rejected: Improper use of SMTP command pipelining", has: "one flight|" + disable + "|PIPELINING"},
		{name: "pipelining, another refusal", offers: pipelined, script: flight + "S: 250 ok\nS: 550 5.1.1 who\nS: 503 no", hasNot: disable},
		{name: "no pipelining", offers: offers, script: mail + "S: 250 ok\nC: RCPT TO:<b@test.example>\nS: 503 5.5.0 Pipelining not supported", hasNot: disable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env := memoTo("b@test.example")
			msg := text
			if tt.env != nil {
				tt.env(&env)
			}
			if env.From == "plain" || env.From == "ascii" {
				msg, env.From = "S\n\nx\n", "a@test.example"
			}
			s := openSession(t, smtptest.Play(t, greeted(tt.offers...)+tt.script+"\nC: QUIT\nS: 221 bye\neof"), plainText())
			defer s.Close()
			_, err := s.Send(t.Context(), env, strings.NewReader(msg))
			wantError[*submission.SendError](t, err)
			wantSays(t, err, words(tt.has), words(tt.hasNot))
			if n := strings.Count(err.Error(), disable); n > 1 {
				t.Errorf("%d times: %v", n, err)
			}
		})
	}
}
