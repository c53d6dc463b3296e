package submission_test

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fe022423/submission"
)

func noName(o *submission.Options) { o.LocalName = "" }

// A server that is not one for mail is named. That TLS might begin with the first
// byte is said only where nothing was heard, or a record of TLS.
func TestHintGreeting(t *testing.T) {
	const tooMany = "too many connections|PoolOptions.MaxSessions"
	for _, h := range []hinted{
		{name: "IMAP", script: "S! * OK [CAPABILITY IMAP4rev1 STARTTLS] Dovecot ready.\neof", remote: "192.0.2.25:143",
			has: "IMAP server|* OK [CAPABILITY IMAP4rev1 STARTTLS] Dovecot ready.|587", hasNot: "TLSImplicit|MaxSessions|POP3"},
		{name: "IMAP, a goodbye", script: "S! * BYE too many\neof", has: "IMAP server", hasNot: "TLSImplicit"},
		{name: "POP3", script: "S! +OK POP3 ready\neof", has: "POP3 server|+OK POP3 ready", hasNot: "TLSImplicit|IMAP"},
		{name: "POP3, an error", script: "S! -ERR busy\neof", has: "POP3 server", hasNot: "TLSImplicit"},
		{name: "HTTP", script: "S! HTTP/1.1 400 Bad Request\nS! Server: x\nS!\neof", has: "HTTP server|HTTP/1.1 400 Bad Request", hasNot: "TLSImplicit|Server: x"},
		{name: "HTML", script: "S! <html><title>Bad Request</title></html>\neof", has: "HTTP server", hasNot: "TLSImplicit"},
		{name: "SSH", script: "S! SSH-2.0-OpenSSH_9.9\neof", has: "SSH server|SSH-2.0-OpenSSH_9.9", hasNot: "TLSImplicit"},
		{name: "ManageSieve", script: "S! \"IMPLEMENTATION\" \"Dovecot Pigeonhole\"\neof", has: "ManageSieve server", hasNot: "TLSImplicit"},
		{name: "news", script: "S: 200 news.example ready\neof", has: "NNTP server|200 news.example ready", hasNot: "TLSImplicit"},
		{name: "another code", script: "S: 250 hello\neof", has: "250 hello", hasNot: "TLSImplicit|NNTP|server:"},
		{name: "something else", script: "S! who are you?\neof", has: "who are you?", hasNot: "TLSImplicit|IMAP|POP3|HTTP"},
		{name: "a greeting that turns into a refusal", script: "S: 220-mail.test.example\nS: 521 5.7.1 blocked\neof",
			has: "220-mail.test.example|521 5.7.1 blocked|to refuse", hasNot: "TLSImplicit"},
		{name: "a greeting that turns into a refusal, for now", script: "S: 220-mail.test.example\nS: 450 4.7.1 later\neof",
			has: "220-mail.test.example|450 4.7.1 later|to refuse", hasNot: "TLSImplicit|block list|MaxSessions", temporary: true},
		{name: "a greeting that turns into a refusal, too many", script: "S: 220-mail.test.example\nS: 220-postscreen\nS: 421 4.3.2 All server ports are busy\neof",
			has: "220-mail.test.example|421 4.3.2 All server ports are busy|to refuse|" + tooMany, hasNot: "TLSImplicit|block list", temporary: true},
		{name: "a greeting that turns into something else", script: "S: 220-mail.test.example\nS: 250 fine\neof",
			has: "220-mail.test.example|250 fine", hasNot: "TLSImplicit|to refuse"},
		{name: "bare LF", script: `S> 220 mail.test.example\n` + "\neof", has: "bare LF|220 mail.test.example|CR LF|server's", hasNot: "TLSImplicit"},
		{name: "bare CR", script: `S> 220 mail\rtest\r\n` + "\neof", has: "bare CR", hasNot: "TLSImplicit"},
		{name: "bare LF, no reply", script: `S> RFB 003.008\n` + "\neof", has: "not an SMTP reply: RFB 003.008", hasNot: "CR LF|bare LF"},
		{name: "bare LF, a database", script: `S> J\x00\x00\x00\n8.0.36\x00` + "\neof", has: `not an SMTP reply: J\x00`, hasNot: "CR LF|bare LF"},
		{name: "bare LF, IMAP", script: `S> * OK ready\n` + "\neof", has: "IMAP server", hasNot: "TLSImplicit"},

		{name: "an alert", script: `S> \x15\x03\x01\x00\x02\x02\x46` + "\nclose\neof", has: "TLSImplicit", hasNot: "465"},
		{name: "an alert, 465", script: `S> \x15\x03\x03\x00\x02\x02\x46` + "\nclose\neof", remote: "192.0.2.25:465", has: "TLSImplicit|465"},
		{name: "silence", script: "stall\neof", has: "no answer within|TLSImplicit", hasNot: "465|MaxSessions", temporary: true},
		{name: "silence, 465", script: "stall\neof", remote: "192.0.2.25:465", has: "TLSImplicit|465", hasNot: "MaxSessions", temporary: true},
		{name: "an end", script: "close\neof", has: "TLSImplicit|" + tooMany, hasNot: "465", temporary: true, is: io.EOF},
		{name: "an end, 465", script: "close\neof", remote: "192.0.2.25:465", has: "465|TLSImplicit|" + tooMany, temporary: true},
		{name: "a reset", script: "reset\neof", has: "TLSImplicit|" + tooMany, temporary: true, is: errnoReset},
		{name: "an end in the middle", script: "S> 220 mail.te\nclose\neof", has: `no end of the reply that began "220 mail.te"`, hasNot: "TLSImplicit", temporary: true},
		{name: "an end after a line", script: "S: 220-mail.test.example\nclose\neof", has: `no end of the reply that began "220-mail.test.example"`, hasNot: "TLSImplicit", temporary: true},
		{name: "a reset in the middle", script: "S: 220-mail.test.example\nreset\neof", has: `no end of the reply that began "220-mail.test.example"`, hasNot: "TLSImplicit", temporary: true},
		{name: "silence in the middle", script: "S: 220-mail.test.example\nstall\neof", has: `no end of the reply that began "220-mail.test.example"|no answer within`, hasNot: "TLSImplicit", temporary: true},
		{name: "no end of lines", script: strings.Repeat("S! 220-more\n", 600) + "stall\neof", has: `too many lines|no end of the reply that began "220-more"`, hasNot: "TLSImplicit"},
		{name: "refused", script: "S: 554 5.7.1 no" + quit, remote: "192.0.2.25:465", has: "554 5.7.1 no", hasNot: "TLSImplicit|MaxSessions|("},
		{name: "refused for now", script: "S: 421 4.7.0 later\neof", has: "421 4.7.0 later", hasNot: "TLSImplicit|(", temporary: true},
	} {
		h.run(t)
	}
}

// Under TLS the port is the right one.
func TestHintGreetingUnderTLS(t *testing.T) {
	for name, tt := range map[string]struct{ says, has, hasNot string }{
		"IMAP":   {"* OK ready\r\n", "IMAP server", "TLSImplicit"},
		"an end": {"", "too many connections|PoolOptions.MaxSessions", "TLSImplicit"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newHintPeer(t, forNames(testHost))
			p.greeting = tt.says
			wantSays(t, p.dial(t, submission.TLSImplicit), words(tt.has), words(tt.hasNot))
		})
	}
}

// Who gives up waiting for a greeting is told what silence may mean; who gives up
// for another reason is not.
func TestHintGreetingGivenUp(t *testing.T) {
	for _, late := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if !late {
				time.AfterFunc(time.Second, cancel)
			}
			_, err := submission.NewSession(ctx, between(play(t, "whole", "stall\neof"), "192.0.2.1:4000", "192.0.2.25:465"), testHost, plainText())
			if says := strings.Contains(err.Error(), "TLSImplicit"); says != late {
				t.Errorf("late %v: %v", late, err)
			}
		})
	}
}

// A server may refuse EHLO for the name in it, which nobody chose.
func TestHintHello(t *testing.T) {
	const began = "S: 220 hi\n"
	const ehlo, helo = began + "C: EHLO [192.0.2.1]\n", "C: HELO [192.0.2.1]\n"
	const name = "it was greeted as [192.0.2.1]: set LocalName"
	needs := func(o *submission.Options) { o.LocalName, o.Auth, o.TLS = "", testPassword, submission.TLSStartTLS }
	for _, h := range []hinted{
		{name: "501", set: needs, script: ehlo + "S: 501 5.5.2 Syntax" + quit, has: "501 5.5.2 Syntax|" + name, hasNot: "need EHLO|LMTP", isNot: submission.ErrUnsupported},
		{name: "504", set: needs, script: ehlo + "S: 504 5.5.2 need fully-qualified hostname" + quit, has: name, hasNot: "need EHLO"},
		{name: "550", set: needs, script: ehlo + "S: 550 5.7.1 who" + quit, has: name, hasNot: "need EHLO"},
		{name: "421", set: needs, script: ehlo + "S: 421 4.7.0 later\neof", has: name, hasNot: "need EHLO", temporary: true},
		{name: "450, the name", set: noName, script: ehlo + "S: 450 4.7.1 <[192.0.2.1]>: Helo command rejected: Host not found" + quit, has: name, temporary: true},
		{name: "553, the name", set: noName, script: ehlo + "S: 553 5.5.4 Invalid HELO/EHLO domain" + quit, has: name},
		{name: "554, the name", set: noName, script: ehlo + "S: 554 5.7.1 EHLO name rejected" + quit, has: name},
		{name: "530, something else", set: noName, script: ehlo + "S: 530 5.7.0 STARTTLS before EHLO" + quit, hasNot: "LocalName"},
		{name: "450, something else", set: noName, script: ehlo + "S: 450 4.3.2 busy" + quit, hasNot: "LocalName", temporary: true},
		{name: "554", set: noName, script: ehlo + "S: 554 5.3.2 no service" + quit, hasNot: "LocalName"},
		{name: "500", set: needs, script: ehlo + "S: 500 5.5.1 what" + quit, has: "need EHLO", hasNot: "LocalName", is: submission.ErrUnsupported},
		{name: "502", set: needs, script: ehlo + "S: 502 5.5.1 EHLO?" + quit, has: "need EHLO", hasNot: "LocalName", is: submission.ErrUnsupported},
		{name: "501, LocalName set", script: hello + "S: 501 what\nC: HELO client.test.example\nS: 501 what" + quit, hasNot: "LocalName|greeted as"},
		{name: "550, LocalName set", script: hello + "S: 550 what" + quit, hasNot: "LocalName|greeted as"},
		{name: "501 to HELO too", set: noName, script: ehlo + "S: 501 what\n" + helo + "S: 501 what" + quit, has: name, hasNot: "LMTP"},
		{name: "HELO asked for", set: func(o *submission.Options) { o.LocalName, o.HELO = "", true }, script: began + helo + "S: 501 what" + quit, has: name},
		{name: "neither", set: noName, script: ehlo + "S: 500 5.5.1 Unknown command\n" + helo + "S: 500 5.5.1 Unknown command" + quit, has: "perhaps it is an LMTP server|neither EHLO nor HELO", hasNot: "LocalName"},
		{name: "neither, 502", script: hello + "S: 502 5.5.2 Unknown command\nC: HELO client.test.example\nS: 502 5.5.2 Unknown command" + quit, has: "LMTP server", hasNot: "LocalName"},
		{name: "HELO known, refused", set: noName, script: ehlo + "S: 502 what\n" + helo + "S: 550 no" + quit, has: name, hasNot: "LMTP"},
		{name: "HELO alone, unknown", set: func(o *submission.Options) { o.HELO = true }, script: began + "C: HELO client.test.example\nS: 500 what" + quit, hasNot: "LMTP|LocalName"},
	} {
		h.run(t)
	}
}

// After TLS has begun the name was good enough once.
func TestHintHelloUnderTLS(t *testing.T) {
	p := newHintPeer(t, forNames(testHost))
	p.hello = "501 5.5.4 no\r\n"
	wantSays(t, p.dial(t, submission.TLSStartTLS, noName), []string{"501 5.5.4 no"}, []string{"LocalName"})
	wantSays(t, p.dial(t, submission.TLSImplicit, noName), []string{"set LocalName"}, nil)
}

// What is not a reply is shown, and so is what a reply that does not end began with.
func TestHintReplyShown(t *testing.T) {
	for _, h := range []hinted{
		{name: "a line without a code", script: hello + "S: 250-mail\nS! SIZE 1000\nS! 250 DSN\neof", has: "not an SMTP reply: SIZE 1000", hasNot: "DSN|("},
		{name: "the first line without a code", script: hello + "S! mail.test.example at your service\neof", has: "not an SMTP reply: mail.test.example at your service"},
		{name: "no end, silence", script: hello + "S: 250-mail\nS: 250-SIZE 1000\nstall\neof", has: `no end of the reply that began "250-mail"|no answer within 5m0s`, temporary: true},
		{name: "no end, half a line", script: hello + "S> 250\nstall\neof", has: `no end of the reply that began "250"`, temporary: true},
		{name: "no end, the end", script: hello + "S: 250-mail\nS: 250-SIZE 1000\nclose\neof", has: `no end of the reply that began "250-mail"|closed the connection`, temporary: true, is: io.ErrUnexpectedEOF},
		{name: "no end of lines", script: hello + "S: 250-mail\nS> " + strings.Repeat(`250-X\r\n`, 10_000) + "\nstall\neof", has: `too many lines|no end of the reply that began "250-mail"`},
		{name: "too large", script: hello + "S: 250-mail\n" + strings.Repeat("S! 250-"+strings.Repeat("x", 1000)+"\n", 100) + "stall\neof", has: `too large|no end of the reply that began "250-mail"`},
		{name: "silence", script: hello + "stall\neof", has: "no answer within 5m0s", hasNot: "no end of", temporary: true},
		{name: "the end", script: hello + "close\neof", has: "closed the connection", hasNot: "no end of", temporary: true},
		{name: "a long line", script: hello + "S! " + strings.Repeat("x", 1000) + "\neof", has: strings.Repeat("x", 200), hasNot: strings.Repeat("x", 201)},
	} {
		h.run(t)
	}
}

// The text of a reply that does not end may repeat a secret.
func TestHintReplyShownHidesSecrets(t *testing.T) {
	for _, h := range []hinted{
		{name: "no end", script: offersAuth("PLAIN") + authPlain + "S: 535-the password is password\nclose\neof", has: "no end of the reply that began|***", hasNot: "is password", temporary: true,
			set: func(o *submission.Options) { o.Auth, o.InsecureAuth = testPassword, true }},
		{name: "not a reply", script: offersAuth("PLAIN") + authPlain + "S! your password is password\neof", has: "not an SMTP reply|***", hasNot: "is password",
			set: func(o *submission.Options) { o.Auth, o.InsecureAuth = testPassword, true }},
	} {
		h.run(t)
	}
}

// STARTTLS that is not offered: where TLS may be is said first, and that it can be
// done without last, if at all.
func TestHintStartTLSMissing(t *testing.T) {
	offers := func(keywords string) string {
		return hello + "S: 250-mail\nS: 250 " + strings.ReplaceAll(keywords, ", ", "\nS: 250 ") + quit
	}
	const removed = "something on the way may have removed it"
	starttls := withTLS(submission.TLSStartTLS)
	auth := func(o *submission.Options) { o.TLS, o.Auth = submission.TLSStartTLS, testPassword }
	tests := []hinted{
		{name: "not offered", set: starttls, script: offers("SIZE"), has: "TLSImplicit|465|" + removed + "|TLSNone", hasNot: "InsecureAuth|firewall"},
		{name: "struck out", set: starttls, script: offers("XXXXXXXA"), has: "TLSImplicit|465|" + removed + "|XXXXXXXA|TLSNone"},
		{name: "struck out, all of it", set: starttls, script: offers("XXXXXXXX"), has: removed + "|XXXXXXXX"},
		{name: "an extension of the server's own", set: starttls, script: offers("XCLIENT"), has: removed, hasNot: "XCLIENT"},
		{name: "Auth set", set: auth, script: offers("SIZE"), has: "TLSImplicit|465|" + removed, hasNot: "TLSNone"},
		{name: "Auth set, struck out", set: auth, script: offers("XXXXXXXA"), has: "TLSImplicit|" + removed + "|XXXXXXXA", hasNot: "TLSNone"},
		{name: "on 465", set: starttls, remote: "192.0.2.25:465", script: offers("SIZE"), has: removed, hasNot: "TLSImplicit"},
		{name: "disabled", set: func(o *submission.Options) { o.TLS, o.Disable = submission.TLSStartTLS, []string{"starttls"} }, script: offers("STARTTLS"), has: "Options.Disable", hasNot: "on the way|TLSNone|TLSImplicit"},
		{name: "refused", set: starttls, script: offersTLS + "S: 454 4.7.0 not now" + quit, has: "454 4.7.0 not now", hasNot: "TLSNone|on the way", temporary: true},
	}
	for _, h := range tests {
		h.is = submission.ErrUnsupported
		if h.name == "refused" {
			h.is = nil
		}
		h.run(t)
	}
	h := hinted{name: "HELO", set: func(o *submission.Options) { o.TLS, o.HELO = submission.TLSStartTLS, true },
		script: "S: 220 hi\nC: HELO client.test.example\nS: 250 mail" + quit, has: "Options.HELO", hasNot: "on the way|TLSNone|TLSImplicit"}
	h.run(t)
	_, err := submission.NewSession(t.Context(), play(t, "whole", offers("SIZE")), testHost, plainText(starttls))
	if text := err.Error(); strings.Index(text, "TLSNone") < strings.Index(text, "on the way") || strings.Index(text, "on the way") < strings.Index(text, "TLSImplicit") {
		t.Errorf("not in this order: TLSImplicit, on the way, TLSNone: %v", err)
	}
}
