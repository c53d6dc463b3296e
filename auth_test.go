package submission_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// AUTH with Password that succeeds.
func TestAuthSucceeds(t *testing.T) {
	identity := func(p *submission.Password) { p.Identity = "admin" }
	longest := strings.Repeat("x", 362) // a line of 509 octets; one more octet of base64 makes it 513
	longer := longest + "x"
	setPassword := func(s string) func(*submission.Password) {
		return func(p *submission.Password) { p.Password = s }
	}
	tests := []struct {
		name     string
		password submission.Password
		script   string
	}{
		{"PLAIN", password(), offersAuth("PLAIN") + authPlain + authOK},
		{"235 in lines", password(), offersAuth("PLAIN") + authPlain + "S: 235-2.7.0 a\nS: 235 2.7.0 b"},
		{"bare 235", password(), offersAuth("PLAIN") + authPlain + "S: 235"},
		{"PLAIN with an identity", password(identity), offersAuth("PLAIN") + "C: AUTH PLAIN " + b64("admin\x00username\x00password") + "\n" + authOK},
		{"LOGIN", password(), offersAuth("LOGIN") + authLogin + authOK},
		{"LOGIN, no prompts", password(), offersAuth("LOGIN") + "C: AUTH LOGIN\nS: 334 \n" + sendUser + "S: 334\n" + sendPass + authOK},
		{"LOGIN, prompts the wrong way round", password(), offersAuth("LOGIN") + "C: AUTH LOGIN\nS: 334 UGFzc3dvcmQ6\n" + sendUser + "S: 334 VXNlcm5hbWU6\n" + sendPass + authOK},
		{"LOGIN, prompts without meaning", password(), offersAuth("LOGIN") + "C: AUTH LOGIN\nS: 334 " + b64("\xff\x00?") + "\n" + sendUser + "S: 334 " + b64(strings.Repeat("Kennwort ", 400)) + "\n" + sendPass + authOK},
		{"clear mechanisms by preference", password(), offersAuth("LOGIN PLAIN") + authPlain + authOK},
		{"own preference", password(mechanisms("LOGIN", "PLAIN")), offersAuth("PLAIN LOGIN") + authLogin + authOK},
		{"own list, lower case", password(mechanisms("x-none", "login")), offersAuth("PLAIN LOGIN") + authLogin + authOK},
		{"lower case offered", password(), hello + "S: 250-mail\nS: 250 auth plain\n" + authPlain + authOK},
		{"AUTH=", password(), hello + "S: 250-mail\nS: 250 AUTH=PLAIN LOGIN\n" + authPlain + authOK},
		{"several AUTH lines", password(mechanisms("LOGIN")), hello + "S: 250-mail\nS: 250-AUTH GSSAPI\nS: 250-AUTH=PLAIN\nS: 250 AUTH LOGIN\n" + authLogin + authOK},
		{"504, the next", password(), offersAuth("PLAIN LOGIN") + authPlain + "S: 504 5.5.4 what\n" + authLogin + authOK},
		{"534, the next", password(), offersAuth("PLAIN LOGIN") + authPlain + "S: 534-5.7.9 too\nS: 534 5.7.9 weak\n" + authLogin + authOK},
		{"504 in the middle, the next", password(mechanisms("LOGIN", "PLAIN")),
			offersAuth("PLAIN LOGIN") + "C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\n" + sendUser + "S: 504 no\n" + authPlain + authOK},
		{"longest line", password(setPassword(longest)), offersAuth("PLAIN") + "C: AUTH PLAIN " + b64("\x00username\x00"+longest) + "\n" + authOK},
		{"too long for the line", password(setPassword(longer)), offersAuth("PLAIN") + "C: AUTH PLAIN\nS: 334 \nC: " + b64("\x00username\x00"+longer) + "\n" + authOK},
		{"too long for the line, and a text", password(setPassword(longer)), offersAuth("PLAIN") + "C: AUTH PLAIN\nS: 334 " + b64("go on") + "\nC: " + b64("\x00username\x00"+longer) + "\n" + authOK},
		{"too long for the line, 504, the next", password(setPassword(longer)), offersAuth("PLAIN LOGIN") + "C: AUTH PLAIN\nS: 504 no\nC: AUTH LOGIN\nS: 334\n" + sendUser + "S: 334\nC: " + b64(longer) + "\n" + authOK},
		{"UTF-8", password(func(p *submission.Password) { p.Username, p.Password = "josé", "sécret" }),
			offersAuth("PLAIN") + "C: AUTH PLAIN " + b64("\x00josé\x00sécret") + "\n" + authOK},
		{"control characters in a password", password(setPassword("a\r\nb")), offersAuth("PLAIN") + "C: AUTH PLAIN " + b64("\x00username\x00a\r\nb") + "\n" + authOK},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			eachDelivery(t, func(t *testing.T, delivery string) {
				s := openSession(t, play(t, delivery, tt.script+"\nC: NOOP\nS: 250 ok"+quit), plainText(withAuthInClear(tt.password)))
				if err := s.Noop(context.Background()); err != nil {
					t.Error(err)
				}
				s.Close()
			})
		})
	}
}

// AUTH with Password that fails.
func TestAuthRefused(t *testing.T) {
	plain, both := offersAuth("PLAIN")+authPlain, offersAuth("PLAIN LOGIN")+authPlain
	tests := []authRefusal{
		{name: "535", mechanism: "PLAIN", script: both + "S: 535 5.7.8 wrong" + quit, code: 535, text: []string{"535 5.7.8 wrong"}},
		{name: "535 in lines", mechanism: "PLAIN", script: both + "S: 535-5.7.8 Username and Password\nS: 535 5.7.8 not accepted" + quit, code: 535,
			text: []string{"Username and Password; 5.7.8 not accepted"}},
		{name: "535 and a hang-up", mechanism: "PLAIN", script: both + "S: 535 wrong\nclose\nC: QUIT\neof", code: 535},
		{name: "454", mechanism: "PLAIN", script: both + "S: 454 4.7.0 later" + quit, code: 454, temporary: true},
		{name: "432", mechanism: "PLAIN", script: both + "S: 432 4.7.12 change it" + quit, code: 432, temporary: true},
		{name: "451", mechanism: "PLAIN", script: both + "S: 451 later" + quit, code: 451, temporary: true},
		{name: "500", mechanism: "PLAIN", script: both + "S: 500 what" + quit, code: 500},
		{name: "501", mechanism: "PLAIN", script: both + "S: 501 what" + quit, code: 501},
		{name: "503", mechanism: "PLAIN", script: both + "S: 503 what" + quit, code: 503},
		{name: "530", mechanism: "PLAIN", script: both + "S: 530 5.7.0 STARTTLS first" + quit, code: 530, text: []string{"TLS"}},
		{name: "538", mechanism: "PLAIN", script: both + "S: 538 5.7.11 encrypt" + quit, code: 538, text: []string{"TLS"}},
		{name: "550", mechanism: "PLAIN", script: both + "S: 550 no" + quit, code: 550},
		{name: "556", mechanism: "PLAIN", script: both + "S: 556 unheard of" + quit, code: 556},
		{name: "504, nothing left", mechanism: "PLAIN", script: plain + "S: 504 what" + quit, code: 504},
		{name: "534, nothing left", mechanism: "PLAIN", script: plain + "S: 534 too weak" + quit, code: 534, text: []string{"too weak"}},
		{name: "504 to all", mechanism: "LOGIN", script: both + "S: 504 what\nC: AUTH LOGIN\nS: 504 nor that" + quit, code: 504, text: []string{"nor that"}},
		{name: "504, then 535", mechanism: "LOGIN", script: both + "S: 504 what\n" + authLogin + "S: 535 wrong" + quit, code: 535},
		{name: "504, and the next is not allowed", auth: password(mechanisms("PLAIN")), mechanism: "PLAIN", script: both + "S: 504 what" + quit, code: 504},
		{name: "421", mechanism: "PLAIN", script: both + "S: 421 closing\neof", code: 421, temporary: true},
		{name: "421 and a hang-up", mechanism: "PLAIN", script: both + "S: 421 closing\nclose\neof", code: 421, temporary: true},
		{name: "221", mechanism: "PLAIN", script: both + "S: 221 bye\neof", code: 221, temporary: true},
		{name: "221 in the middle", mechanism: "LOGIN", script: offersAuth("LOGIN") + "C: AUTH LOGIN\nS: 334\n" + sendUser + "S: 221 bye\nclose\neof", code: 221, temporary: true},
		{name: "421 in the middle", mechanism: "LOGIN", script: offersAuth("LOGIN") + "C: AUTH LOGIN\nS: 334\n" + sendUser + "S: 421 closing\neof", code: 421, temporary: true},
		{name: "EOF", mechanism: "PLAIN", script: both + "close\neof", temporary: true, is: io.EOF},
		{name: "EOF in the middle", mechanism: "LOGIN", script: offersAuth("LOGIN") + "C: AUTH LOGIN\nS: 334\n" + sendUser + "close\neof", temporary: true, is: io.EOF},
		{name: "half a reply", mechanism: "PLAIN", script: both + "S> 235 2.7\nclose\neof", temporary: true, is: io.ErrUnexpectedEOF},
		{name: "half of several lines", mechanism: "PLAIN", script: both + "S: 235-2.7.0\nclose\neof", temporary: true, is: io.ErrUnexpectedEOF},
		{name: "reset", mechanism: "PLAIN", script: both + "reset\neof", temporary: true},
		{name: "garbage", mechanism: "PLAIN", script: both + "S! welcome\neof", protocol: true},
		{name: "mixed codes", mechanism: "PLAIN", script: both + "S: 235-a\nS: 535 b\neof", protocol: true},
		{name: "250", mechanism: "PLAIN", script: both + "S: 250 fine\neof", protocol: true},
		{name: "220", mechanism: "PLAIN", script: both + "S: 220 fine\neof", protocol: true},
		{name: "236", mechanism: "PLAIN", script: both + "S: 236 fine\neof", protocol: true},
		{name: "354", mechanism: "PLAIN", script: both + "S: 354 go on\neof", protocol: true},
		{name: "LOGIN: 535 at the user name", mechanism: "LOGIN", script: offersAuth("LOGIN") + "C: AUTH LOGIN\nS: 334\n" + sendUser + "S: 535 who" + quit, code: 535},

		{name: "334 after a complete PLAIN", mechanism: "PLAIN", script: both + "S: 334 \nC: *\nS: 501 cancelled" + quit},
		{name: "334 after a complete PLAIN, 235 to the *", mechanism: "PLAIN", script: both + "S: 334 \nC: *\nS: 235 welcome\neof"},
		{name: "334 after a complete PLAIN, 334 to the *", mechanism: "PLAIN", script: both + "S: 334 \nC: *\nS: 334 \neof"},
		{name: "334 after a complete PLAIN, 535 to the *", mechanism: "PLAIN", script: both + "S: 334 \nC: *\nS: 535 wrong" + quit},
		{name: "334 after a complete PLAIN, 504 to the *", mechanism: "PLAIN", script: both + "S: 334 \nC: *\nS: 504 what" + quit},
		{name: "334 after a complete PLAIN, 421 to the *", mechanism: "PLAIN", script: both + "S: 334 \nC: *\nS: 421 closing\neof"},
		{name: "334 after a complete PLAIN, EOF", mechanism: "PLAIN", script: both + "S: 334 \nC: *\nclose\neof"},
		{name: "LOGIN asks a third time", mechanism: "LOGIN", script: offersAuth("LOGIN PLAIN X") + "C: AUTH LOGIN\nS: 334\n" + sendUser + "S: 334\n" + sendPass + "S: 334\nC: *\nS: 501 cancelled" + quit,
			auth: password(mechanisms("LOGIN", "PLAIN"))},

		{name: "LOGIN: 235 at once", mechanism: "LOGIN", script: offersAuth("LOGIN") + "C: AUTH LOGIN\nS: 235 welcome\neof", is: submission.ErrServerProof},
		{name: "LOGIN: 235 at the user name", mechanism: "LOGIN", script: offersAuth("LOGIN") + "C: AUTH LOGIN\nS: 334\n" + sendUser + "S: 235 welcome\neof", is: submission.ErrServerProof},
		{name: "235 before a response that was too long for the line", mechanism: "PLAIN",
			auth:   password(func(p *submission.Password) { p.Password = strings.Repeat("x", 400) }),
			script: offersAuth("PLAIN") + "C: AUTH PLAIN\nS: 235 welcome\neof", is: submission.ErrServerProof},
	}
	for _, r := range tests {
		r.run(t)
	}
}

// Challenges that the client must cancel with "*". It reads the reply to that.
func TestChallengeNotBase64(t *testing.T) {
	for name, challenge := range map[string]string{
		"not base64":          "S: 334 Username:",
		"stars":               "S: 334 ****",
		"padding missing":     "S: 334 VXNlcm5hbWU",
		"too much padding":    "S: 334 QQ====",
		"padding first":       "S: 334 =QQ=",
		"padding in between":  "S: 334 QQ==QQ==",
		"padding alone":       "S: 334 =",
		"bits after the last": "S: 334 QR==",
		"URL alphabet":        "S: 334 -_-_",
		"space before":        "S: 334  QUFB",
		"space after":         "S: 334 QUFB ",
		"space within":        "S: 334 QU FB",
		"several lines":       "S: 334-QUFB\nS: 334 QUFB",
		"NUL":                 `S> 334 QUFB\x00\r\n`,
		"too long":            "S: 334 " + strings.Repeat("QUFB", 3073),
	} {
		r := authRefusal{name: name, mechanism: "LOGIN",
			script: offersAuth("LOGIN") + "C: AUTH LOGIN\n" + challenge + "\nC: *\nS: 501 5.7.0 cancelled" + quit}
		r.run(t)
	}
	t.Run("as long as it may be", func(t *testing.T) {
		s := openSession(t, play(t, "whole", offersAuth("LOGIN")+"C: AUTH LOGIN\nS: 334 "+strings.Repeat("QUFB", 3072)+"\n"+sendUser+"S: 334\n"+sendPass+authOK+quit),
			plainText(withAuthInClear(testPassword)))
		s.Close()
	})
}

// The server sends more in one segment than the client waits for.
func TestAuthUnasked(t *testing.T) {
	for name, script := range map[string]string{
		"235 after a 334":         offersAuth("LOGIN") + "C: AUTH LOGIN\nS: 334\nS! 235 welcome\neof",
		"334 after a 334":         offersAuth("LOGIN") + "C: AUTH LOGIN\nS: 334\nS! 334\neof",
		"250 after a 235":         offersAuth("LOGIN") + authLogin + "S: 235 welcome\nS! 250 and more\neof",
		"half a line after a 235": offersAuth("LOGIN") + authLogin + "S: 235 welcome\nS> 2\neof",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := submission.NewSession(context.Background(), play(t, "joined", script), testHost, plainText(withAuthInClear(testPassword)))
			r := authRefusal{mechanism: "LOGIN", protocol: true}
			r.checkError(t, err)
		})
	}
}

// Auth is set, and the server offers no AUTH or no mechanism that may be used.
func TestAuthNotOffered(t *testing.T) {
	tests := []authRefusal{
		{name: "no AUTH", script: hello + "S: 250 mail" + quit, is: submission.ErrUnsupported, text: []string{"TLS", "PLAIN LOGIN", "none"}},
		{name: "no mechanism", script: hello + "S: 250-mail\nS: 250 AUTH" + quit, text: []string{"none", "PLAIN LOGIN"}},
		{name: "none in common", script: offersAuth("GSSAPI X-OWN") + quit, text: []string{"GSSAPI X-OWN", "DIGEST-MD5 CRAM-MD5 NTLM PLAIN LOGIN"}},
		{name: "none allowed", auth: password(mechanisms("LOGIN", "CRAM-MD5")), script: offersAuth("PLAIN GSSAPI") + quit, text: []string{"PLAIN GSSAPI", "LOGIN CRAM-MD5"}},
		{name: "an empty list allows none", auth: password(func(p *submission.Password) { p.Mechanisms = []string{} }), script: offersAuth("PLAIN LOGIN") + quit},
		{name: "a mechanism without passwords", auth: password(mechanisms("GSSAPI")), script: offersAuth("PLAIN GSSAPI") + quit, text: []string{"GSSAPI"}},
	}
	for _, r := range tests {
		r.run(t)
	}
	t.Run("under TLS", func(t *testing.T) {
		srv := serve(t, &smtptest.Config{TLS: smtptest.ImplicitTLS})
		o := plainText(withTLS(submission.TLSImplicit), withAuth(testPassword))
		o.TLSConfig = srv.ClientTLSConfig()
		_, err := submission.NewSession(context.Background(), srv.Pipe(), testHost, o)
		r := authRefusal{is: submission.ErrUnsupported}
		r.checkError(t, err)
		if strings.Contains(err.Error(), "TLS") {
			t.Errorf("the error advises TLS, which is in use: %v", err)
		}
		wantCommands(t, srv, "-- TLS", ehlo, "QUIT")
	})
}

// AuthError.Offered lists the mechanisms of the server.
func TestAuthOffered(t *testing.T) {
	_, err := submission.NewSession(context.Background(),
		play(t, "whole", offersAuth("plain X-OWN LOGIN")+authPlain+"S: 535 no"+quit), testHost, plainText(withAuthInClear(testPassword)))
	if e := wantError[*submission.AuthError](t, err); !slices.Equal(e.Offered, []string{"PLAIN", "X-OWN", "LOGIN"}) {
		t.Errorf("offered %q", e.Offered)
	}
}

// Each wait of an AUTH exchange has a limit, and ends with the context.
func TestAuthStalls(t *testing.T) {
	tests := []struct{ name, mechanism, script string }{
		{"AUTH PLAIN", "PLAIN", offersAuth("PLAIN") + authPlain},
		{"half a reply", "PLAIN", offersAuth("PLAIN") + authPlain + "S> 235 2.7\n"},
		{"AUTH LOGIN", "LOGIN", offersAuth("LOGIN") + "C: AUTH LOGIN\n"},
		{"LOGIN, user name", "LOGIN", offersAuth("LOGIN") + "C: AUTH LOGIN\nS: 334\n" + sendUser},
		{"cancellation", "LOGIN", offersAuth("LOGIN") + "C: AUTH LOGIN\nS: 334 ?\nC: *\n"},
	}
	for _, tt := range tests {
		for _, cancelled := range []bool{false, true} {
			t.Run(fmt.Sprint(tt.name, ", cancelled ", cancelled), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := context.WithCancel(context.Background())
					defer cancel()
					want, is := 5*time.Minute, os.ErrDeadlineExceeded
					if cancelled {
						want, is = time.Second, context.Canceled
						time.AfterFunc(want, cancel)
					}
					start := time.Now()
					_, err := submission.NewSession(ctx, play(t, "whole", tt.script+"stall\neof"), testHost, plainText(withAuthInClear(testPassword)))
					if took := time.Since(start); took != want {
						t.Errorf("took %v, want %v", took, want)
					}
					if tt.name == "cancellation" {
						return // the error is why it was cancelled
					}
					r := authRefusal{mechanism: tt.mechanism, temporary: true, is: is}
					r.checkError(t, err)
				})
			})
		}
	}
}

// The limit is for the whole reply to AUTH: octets that arrive a minute apart take too long.
func TestAuthDrips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		var dripping sync.WaitGroup
		defer dripping.Wait()
		dripping.Go(func() {
			defer server.Close()
			io.WriteString(server, "220 hi\r\n")
			io.ReadFull(server, make([]byte, len("EHLO client.test.example\r\n")))
			io.WriteString(server, "250-mail\r\n250 AUTH PLAIN\r\n")
			io.ReadFull(server, make([]byte, len("AUTH PLAIN AHVzZXJuYW1lAHBhc3N3b3Jk\r\n")))
			drip(server, strings.Repeat("235-2.7.0 nearly\r\n", 100))
		})
		start := time.Now()
		_, err := submission.NewSession(context.Background(), client, testHost, plainText(withAuthInClear(testPassword)))
		if took := time.Since(start); took != 5*time.Minute {
			t.Errorf("took %v, want 5m", took)
		}
		r := authRefusal{mechanism: "PLAIN", temporary: true, is: os.ErrDeadlineExceeded}
		r.checkError(t, err)
	})
}
