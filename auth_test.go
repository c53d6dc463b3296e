package submission_test

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
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

	"github.com/emersion/go-sasl"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

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
		{"LOGIN, prompts of no sense", password(), offersAuth("LOGIN") + "C: AUTH LOGIN\nS: 334 " + b64("\xff\x00?") + "\n" + sendUser + "S: 334 " + b64(strings.Repeat("Kennwort ", 400)) + "\n" + sendPass + authOK},
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
				s := openSession(t, play(t, delivery, tt.script+"\nC: NOOP\nS: 250 ok"+quit), plainText(withAuth(tt.password)))
				if err := s.Noop(context.Background()); err != nil {
					t.Error(err)
				}
				s.Close()
			})
		})
	}
}

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

		{name: "334 behind a complete PLAIN", mechanism: "PLAIN", script: both + "S: 334 \nC: *\nS: 501 cancelled" + quit},
		{name: "334 behind a complete PLAIN, 235 to the *", mechanism: "PLAIN", script: both + "S: 334 \nC: *\nS: 235 welcome\neof"},
		{name: "334 behind a complete PLAIN, 334 to the *", mechanism: "PLAIN", script: both + "S: 334 \nC: *\nS: 334 \neof"},
		{name: "334 behind a complete PLAIN, 535 to the *", mechanism: "PLAIN", script: both + "S: 334 \nC: *\nS: 535 wrong" + quit},
		{name: "334 behind a complete PLAIN, 504 to the *", mechanism: "PLAIN", script: both + "S: 334 \nC: *\nS: 504 what" + quit},
		{name: "334 behind a complete PLAIN, 421 to the *", mechanism: "PLAIN", script: both + "S: 334 \nC: *\nS: 421 closing\neof"},
		{name: "334 behind a complete PLAIN, EOF", mechanism: "PLAIN", script: both + "S: 334 \nC: *\nclose\neof"},
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

// TestChallengeNotBase64 has challenges that must be refused with "*", whose 501
// is read.
func TestChallengeNotBase64(t *testing.T) {
	for name, challenge := range map[string]string{
		"no base64":            "S: 334 Username:",
		"stars":                "S: 334 ****",
		"padding missing":      "S: 334 VXNlcm5hbWU",
		"too much padding":     "S: 334 QQ====",
		"padding in front":     "S: 334 =QQ=",
		"padding in between":   "S: 334 QQ==QQ==",
		"padding alone":        "S: 334 =",
		"bits behind the last": "S: 334 QR==",
		"URL alphabet":         "S: 334 -_-_",
		"space in front":       "S: 334  QUFB",
		"space behind":         "S: 334 QUFB ",
		"space within":         "S: 334 QU FB",
		"several lines":        "S: 334-QUFB\nS: 334 QUFB",
		"NUL":                  `S> 334 QUFB\x00\r\n`,
		"too long":             "S: 334 " + strings.Repeat("QUFB", 3073),
	} {
		r := authRefusal{name: name, mechanism: "LOGIN",
			script: offersAuth("LOGIN") + "C: AUTH LOGIN\n" + challenge + "\nC: *\nS: 501 5.7.0 cancelled" + quit}
		r.run(t)
	}
	t.Run("as long as it may be", func(t *testing.T) {
		s := openSession(t, play(t, "whole", offersAuth("LOGIN")+"C: AUTH LOGIN\nS: 334 "+strings.Repeat("QUFB", 3072)+"\n"+sendUser+"S: 334\n"+sendPass+authOK+quit),
			plainText(withAuth(testPassword)))
		s.Close()
	})
}

// TestAuthUnasked has more in one segment than the client waits for.
func TestAuthUnasked(t *testing.T) {
	for name, script := range map[string]string{
		"235 behind a 334":         offersAuth("LOGIN") + "C: AUTH LOGIN\nS: 334\nS! 235 welcome\neof",
		"334 behind a 334":         offersAuth("LOGIN") + "C: AUTH LOGIN\nS: 334\nS! 334\neof",
		"250 behind a 235":         offersAuth("LOGIN") + authLogin + "S: 235 welcome\nS! 250 and more\neof",
		"half a line behind a 235": offersAuth("LOGIN") + authLogin + "S: 235 welcome\nS> 2\neof",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := submission.NewSession(context.Background(), play(t, "joined", script), testHost, plainText(withAuth(testPassword)))
			r := authRefusal{mechanism: "LOGIN", protocol: true}
			r.checkError(t, err)
		})
	}
}

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
			t.Errorf("speaks of TLS, which is there: %v", err)
		}
		wantCommands(t, srv, "-- TLS", ehlo, "QUIT")
	})
}

// TestAuthOffered checks what AuthError.Offered tells.
func TestAuthOffered(t *testing.T) {
	_, err := submission.NewSession(context.Background(),
		play(t, "whole", offersAuth("plain X-OWN LOGIN")+authPlain+"S: 535 no"+quit), testHost, plainText(withAuth(testPassword)))
	if e := wantError[*submission.AuthError](t, err); !slices.Equal(e.Offered, []string{"PLAIN", "X-OWN", "LOGIN"}) {
		t.Errorf("offered %q", e.Offered)
	}
}

// TestCredentialsRefusedLocally has credentials that no mechanism can carry.
func TestCredentialsRefusedLocally(t *testing.T) {
	for name, set := range map[string]func(*submission.Password){
		"no user name":       func(p *submission.Password) { p.Username = "" },
		"NUL in Username":    func(p *submission.Password) { p.Username = "user\x00name" },
		"NUL in Password":    func(p *submission.Password) { p.Password = "pass\x00word" },
		"NUL in Identity":    func(p *submission.Password) { p.Identity = "\x00" },
		"NUL in Realm":       func(p *submission.Password) { p.Realm = "\x00" },
		"NUL in Domain":      func(p *submission.Password) { p.Domain = "\x00" },
		"no password, PLAIN": func(p *submission.Password) { p.Password, p.Mechanisms = "", []string{"PLAIN"} },
	} {
		for _, mech := range []string{"PLAIN", "LOGIN", "DIGEST-MD5"} {
			if strings.HasSuffix(name, ", PLAIN") && mech != "PLAIN" {
				continue
			}
			r := authRefusal{name: name + ", " + mech, auth: password(mechanisms(mech), set), script: offersAuth("PLAIN LOGIN DIGEST-MD5") + quit}
			r.run(t)
		}
	}
}

// provingSASL is one that proves the server too.
type provingSASL struct {
	scriptedSASL
	proof error
}

func (c *provingSASL) Complete() error { return c.proof }

func TestOwnMechanism(t *testing.T) {
	tests := []struct {
		name   string
		client *scriptedSASL
		script string
		saw    []string
	}{
		{name: "no initial response", client: &scriptedSASL{name: "X-OWN", responses: [][]byte{[]byte("one"), []byte("two")}},
			script: "C: AUTH X-OWN\nS: 334 " + b64("first") + "\nC: " + b64("one") + "\nS: 334 " + b64("second") + "\nC: " + b64("two") + "\n",
			saw:    []string{"first", "second"}},
		{name: "empty initial response", client: &scriptedSASL{name: "X-OWN", initial: []byte{}}, script: "C: AUTH X-OWN =\n"},
		{name: "initial response", client: &scriptedSASL{name: "X-OWN", initial: []byte{0, 0xff}}, script: "C: AUTH X-OWN AP8=\n"},
		{name: "empty responses", client: &scriptedSASL{name: "X-OWN", responses: [][]byte{{}, nil}},
			script: "C: AUTH X-OWN\nS: 334\nC: \nS: 334 \nC: \n", saw: []string{"", ""}},
		{name: "lower case", client: &scriptedSASL{name: "x-own", initial: []byte("a")}, script: "C: AUTH X-OWN YQ==\n"},
		{name: "16 rounds", client: &scriptedSASL{name: "X-OWN", responses: make([][]byte, 16)},
			script: "C: AUTH X-OWN\n" + strings.Repeat("S: 334\nC: \n", 16), saw: make([]string, 16)},
		{name: "a response longer than any command", client: &scriptedSASL{name: "X-OWN", responses: [][]byte{make([]byte, 9000)}},
			script: "C: AUTH X-OWN\nS: 334\nC: " + b64(string(make([]byte, 9000))) + "\n", saw: []string{""}},
		{name: "an initial response longer than the line", client: &scriptedSASL{name: "X-OWN", initial: make([]byte, 3000), responses: [][]byte{[]byte("more")}},
			script: "C: AUTH X-OWN\nS: 334 \nC: " + b64(string(make([]byte, 3000))) + "\nS: 334 " + b64("x") + "\nC: " + b64("more") + "\n", saw: []string{"x"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			eachDelivery(t, func(t *testing.T, delivery string) {
				client := *tt.client
				s := openSession(t, play(t, delivery, offersAuth("PLAIN X-OWN")+tt.script+authOK+quit), plainText(withAuth(authWith(&client))))
				s.Close()
				if !slices.Equal(client.challenges, tt.saw) {
					t.Errorf("saw the challenges %q, want %q", client.challenges, tt.saw)
				}
			})
		})
	}
}

func TestOwnMechanismFails(t *testing.T) {
	errOwn := errors.New("not like this")
	offers := offersAuth("PLAIN X-OWN")
	tests := []authRefusal{
		{name: "no mechanism", script: offers + quit, is: errOwn,
			auth: submission.AuthFunc(func(context.Context, submission.ServerInfo) (sasl.Client, error) { return nil, errOwn })},
		{name: "no client", script: offers + quit, auth: authWith(nil)},
		{name: "does not start", mechanism: "X-OWN", script: offers + quit, is: errOwn, auth: authWith(&scriptedSASL{name: "X-OWN", startErr: errOwn})},
		{name: "does not answer", mechanism: "X-OWN", script: offers + "C: AUTH X-OWN\nS: 334\nC: *\nS: 501 cancelled" + quit, is: errOwn,
			auth: authWith(&scriptedSASL{name: "X-OWN", nextErr: errOwn})},
		{name: "not one more response", mechanism: "X-OWN", script: offers + "C: AUTH X-OWN\n" + strings.Repeat("S: 334\nC: \n", 16) + "S: 334\nC: *\nS: 501 cancelled" + quit,
			auth: authWith(&scriptedSASL{name: "X-OWN", responses: make([][]byte, 100)})},
		{name: "no name", script: offers + quit, auth: authWith(&scriptedSASL{})},
		{name: "a space in the name", script: offers + quit, auth: authWith(&scriptedSASL{name: "X OWN"})},
		{name: "CR LF in the name", script: offers + quit, auth: authWith(&scriptedSASL{name: "X\r\nRSET"})},
		{name: "a long name", script: offers + quit, auth: authWith(&scriptedSASL{name: strings.Repeat("X", 21)})},
		{name: "a name of no ASCII", script: offers + quit, auth: authWith(&scriptedSASL{name: "ÄH"})},
		{name: "not offered, 504", mechanism: "X-NEW", script: offers + "C: AUTH X-NEW\nS: 504 what" + quit, code: 504, auth: authWith(&scriptedSASL{name: "X-NEW"})},
		{name: "504, the same again", mechanism: "X-OWN", script: offers + "C: AUTH X-OWN\nS: 504 what\nC: AUTH X-OWN\nS: 504 still not" + quit, code: 504, auth: authWith(&scriptedSASL{name: "X-OWN"})},
		{name: "235 before its proof", mechanism: "X-OWN", script: offers + "C: AUTH X-OWN\nS: 235 welcome\neof", is: submission.ErrServerProof,
			auth: authWith(&provingSASL{scriptedSASL: scriptedSASL{name: "X-OWN"}, proof: errOwn})},
		{name: "235 before its proof, whose error is told", mechanism: "X-OWN", script: offers + "C: AUTH X-OWN\nS: 235 welcome\neof", is: errOwn,
			auth: authWith(&provingSASL{scriptedSASL: scriptedSASL{name: "X-OWN"}, proof: errOwn})},
		{name: "535 before its proof", mechanism: "X-OWN", script: offers + "C: AUTH X-OWN\nS: 535 no" + quit, code: 535, isNot: submission.ErrServerProof,
			auth: authWith(&provingSASL{scriptedSASL: scriptedSASL{name: "X-OWN"}, proof: errOwn})},
	}
	for _, r := range tests {
		r.run(t)
	}
	t.Run("proved", func(t *testing.T) {
		s := openSession(t, play(t, "whole", offers+"C: AUTH X-OWN\n"+authOK+quit),
			plainText(withAuth(authWith(&provingSASL{scriptedSASL: scriptedSASL{name: "X-OWN"}}))))
		s.Close()
	})
}

func TestServerInfo(t *testing.T) {
	type want struct {
		host    string
		port    int
		mechs   []string
		tls     bool
		mayShow bool
	}
	check := func(t *testing.T, got submission.ServerInfo, w want) {
		t.Helper()
		if got.Host != w.host || got.Port != w.port || !slices.Equal(got.Mechanisms, w.mechs) || (got.TLS != nil) != w.tls || got.MayShow() != w.mayShow {
			t.Errorf("%+v, MayShow %v; want %+v", got, got.MayShow(), w)
		}
		if got.TLS != nil && !got.TLS.HandshakeComplete {
			t.Error("a state without a handshake")
		}
	}
	var got []submission.ServerInfo
	auth := submission.AuthFunc(func(_ context.Context, s submission.ServerInfo) (sasl.Client, error) {
		got = append(got, s)
		s.Mechanisms = slices.Clone(s.Mechanisms)
		if len(s.Mechanisms) == 0 {
			return nil, errors.New("nothing left")
		}
		return &scriptedSASL{name: s.Mechanisms[0]}, nil
	})
	offers := "S: 220 hi\nC: EHLO client.test.example\nS: 250-mail\nS: 250 auth x-one X-Two x-one\n"
	refused := "C: AUTH X-ONE\nS: 504 no\nC: AUTH X-TWO\nS: 534 no" + quit

	t.Run("over a pipe", func(t *testing.T) {
		got = nil
		_, err := submission.NewSession(context.Background(), play(t, "whole", offers+refused), testHost, plainText(withAuth(auth)))
		if e := wantError[*submission.AuthError](t, err); e.Mechanism != "X-TWO" || e.Reply == nil || e.Reply.Code != 534 {
			t.Errorf("%v", err)
		}
		if len(got) != 3 {
			t.Fatalf("asked %d times", len(got))
		}
		check(t, got[0], want{testHost, 0, []string{"X-ONE", "X-TWO"}, false, true})
		check(t, got[1], want{testHost, 0, []string{"X-TWO"}, false, true})
		check(t, got[2], want{testHost, 0, nil, false, true})
	})
	t.Run("from away", func(t *testing.T) {
		got = nil
		s := openSession(t, away(play(t, "whole", offers+"C: AUTH X-ONE\n"+authOK+quit)), plainText(withAuth(auth)))
		s.Close()
		check(t, got[0], want{testHost, 587, []string{"X-ONE", "X-TWO"}, false, false})
	})
	t.Run("dialed under TLS", func(t *testing.T) {
		got = nil
		srv := serve(t, &smtptest.Config{TLS: smtptest.ImplicitTLS, Hostname: "xn--e1aybc.example",
			Accounts: map[string]string{"u": "p"}, Mechanisms: []string{"X-ONE"}})
		o := plainText(withTLS(submission.TLSImplicit), withAuth(auth))
		o.TLSConfig = srv.ClientTLSConfig()
		o.Dialer = dialFunc(func(context.Context, string, string) (net.Conn, error) { return away(srv.Pipe()), nil })
		c, err := submission.New("тест.example:4465", o)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.Ping(context.Background()); err == nil {
			t.Error("no error")
		}
		check(t, got[0], want{"xn--e1aybc.example", 4465, []string{"X-ONE"}, true, true})
	})
}

// TestAuthMayBlock has an Auth that waits, for a token say, until the caller
// gives up.
func TestAuthMayBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		ctx, cancel := context.WithTimeout(context.WithValue(context.Background(), key{}, "value"), time.Minute)
		defer cancel()
		auth := submission.AuthFunc(func(ctx context.Context, _ submission.ServerInfo) (sasl.Client, error) {
			if ctx.Value(key{}) != "value" {
				t.Error("not the caller's context")
			}
			<-ctx.Done()
			return nil, ctx.Err()
		})
		start := time.Now()
		s, err := submission.NewSession(ctx, play(t, "whole", offersAuth("PLAIN")+"stall"), testHost, plainText(withAuth(auth)))
		if took := time.Since(start); took != time.Minute || s != nil {
			t.Errorf("took %v, session %v", took, s)
		}
		if wantError[*submission.AuthError](t, err); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
	})
}

// TestAuthPanics has an Auth or a Trace of the caller's panic: the panic is the
// caller's, and the connection is closed.
func TestAuthPanics(t *testing.T) {
	panics := func() { panic("the caller's") }
	for name, set := range map[string]func(*submission.Options){
		"Auth": withAuth(submission.AuthFunc(func(context.Context, submission.ServerInfo) (sasl.Client, error) {
			panics()
			return nil, nil
		})),
		"Trace": func(o *submission.Options) {
			o.Trace = &submission.Trace{Received: func(r submission.Reply) {
				if r.Code == 250 {
					panics()
				}
			}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("the panic is gone")
				}
			}()
			submission.NewSession(context.Background(), play(t, "whole", offersAuth("PLAIN")+"eof"), testHost, plainText(set))
		})
	}
}

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
					_, err := submission.NewSession(ctx, play(t, "whole", tt.script+"stall\neof"), testHost, plainText(withAuth(testPassword)))
					if took := time.Since(start); took != want {
						t.Errorf("took %v, want %v", took, want)
					}
					if tt.name == "cancellation" {
						return // what went wrong before it is told
					}
					r := authRefusal{mechanism: tt.mechanism, temporary: true, is: is}
					r.checkError(t, err)
				})
			})
		}
	}
}

// TestAuthDrips has the reply to AUTH come an octet a minute.
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
		_, err := submission.NewSession(context.Background(), client, testHost, plainText(withAuth(testPassword)))
		if took := time.Since(start); took != 5*time.Minute {
			t.Errorf("took %v", took)
		}
		r := authRefusal{mechanism: "PLAIN", temporary: true, is: os.ErrDeadlineExceeded}
		r.checkError(t, err)
	})
}

// TestSecretsInTheClear tries every way to send a secret over every kind of
// connection.
func TestSecretsInTheClear(t *testing.T) {
	accounts := map[string]string{"username": "password"}
	insecure := func(_ *smtptest.Server, o *submission.Options) { o.InsecureAuth = true }
	tlsWith := func(change func(*tls.Config)) func(*smtptest.Server, *submission.Options) {
		return func(srv *smtptest.Server, o *submission.Options) {
			o.TLSConfig = srv.ClientTLSConfig()
			change(o.TLSConfig)
		}
	}
	connections := []struct {
		name    string
		server  smtptest.TLSMode
		mode    submission.TLSMode
		host    string // "" is testHost
		remote  string // "" is a pipe
		dialed  bool   // by a Dialer of the caller's
		options func(*smtptest.Server, *submission.Options)
		may     bool
	}{
		{name: "clear text", server: smtptest.NoTLS, mode: submission.TLSNone, remote: "192.0.2.25:587"},
		{name: "clear text over IPv6", server: smtptest.NoTLS, mode: submission.TLSNone, remote: "[2001:db8::25]:587"},
		{name: "clear text in a private network", server: smtptest.NoTLS, mode: submission.TLSNone, remote: "10.0.0.25:587"},
		{name: "link-local", server: smtptest.NoTLS, mode: submission.TLSNone, remote: "[fe80::1%eth0]:587"},
		{name: "unspecified address", server: smtptest.NoTLS, mode: submission.TLSNone, remote: "0.0.0.0:587"},
		{name: "no IP address", server: smtptest.NoTLS, mode: submission.TLSNone, remote: "localhost:587"},
		{name: "localhost by name only", server: smtptest.NoTLS, mode: submission.TLSNone, host: "localhost", remote: "192.0.2.25:587"},
		{name: "opportunistic, nothing offered", server: smtptest.NoTLS, mode: submission.TLSOpportunistic, remote: "192.0.2.25:587"},
		{name: "clear text, leave given", server: smtptest.NoTLS, mode: submission.TLSNone, remote: "192.0.2.25:587", options: insecure, may: true},
		{name: "loopback", server: smtptest.NoTLS, mode: submission.TLSNone, remote: "127.0.0.1:587", may: true},
		{name: "loopback net", server: smtptest.NoTLS, mode: submission.TLSNone, remote: "127.1.2.3:587", may: true},
		{name: "loopback over IPv6", server: smtptest.NoTLS, mode: submission.TLSNone, remote: "[::1]:587", may: true},
		{name: "loopback, v4-mapped", server: smtptest.NoTLS, mode: submission.TLSNone, remote: "[::ffff:127.0.0.1]:587", may: true},
		{name: "pipe", server: smtptest.NoTLS, mode: submission.TLSNone, may: true},
		{name: "own dialer to loopback, a tunnel perhaps", server: smtptest.NoTLS, mode: submission.TLSNone, remote: "127.0.0.1:587", dialed: true},
		{name: "own dialer to loopback, asked for it", server: smtptest.NoTLS, mode: submission.TLSNone, host: "127.0.0.1", remote: "127.0.0.1:587", dialed: true, may: true},
		{name: "own dialer to loopback, asked for ::1", server: smtptest.NoTLS, mode: submission.TLSNone, host: "[::1]", remote: "[::1]:587", dialed: true, may: true},
		{name: "own dialer to loopback, asked for localhost", server: smtptest.NoTLS, mode: submission.TLSNone, host: "localhost", remote: "127.0.0.1:587", dialed: true, may: true},
		{name: "own dialer, asked for localhost, got elsewhere", server: smtptest.NoTLS, mode: submission.TLSNone, host: "localhost", remote: "192.0.2.25:587", dialed: true},
		{name: "TLS", server: smtptest.ImplicitTLS, mode: submission.TLSImplicit, remote: "192.0.2.25:465", options: tlsWith(func(*tls.Config) {}), may: true},
		{name: "STARTTLS", server: smtptest.StartTLS, mode: submission.TLSStartTLS, remote: "192.0.2.25:587", options: tlsWith(func(*tls.Config) {}), may: true},
		{name: "opportunistic, offered", server: smtptest.StartTLS, mode: submission.TLSOpportunistic, remote: "192.0.2.25:587", options: tlsWith(func(*tls.Config) {}), may: true},
		{name: "TLS not verified", server: smtptest.ImplicitTLS, mode: submission.TLSImplicit, remote: "192.0.2.25:465",
			options: tlsWith(func(c *tls.Config) { c.InsecureSkipVerify = true })},
		{name: "STARTTLS not verified", server: smtptest.StartTLS, mode: submission.TLSStartTLS, remote: "192.0.2.25:587",
			options: tlsWith(func(c *tls.Config) { c.InsecureSkipVerify = true })},
		{name: "TLS not verified to loopback", server: smtptest.ImplicitTLS, mode: submission.TLSImplicit, remote: "127.0.0.1:465",
			options: tlsWith(func(c *tls.Config) { c.InsecureSkipVerify = true }), may: true},
		{name: "TLS not verified, leave given", server: smtptest.ImplicitTLS, mode: submission.TLSImplicit, remote: "192.0.2.25:465", may: true,
			options: func(srv *smtptest.Server, o *submission.Options) {
				o.TLSConfig, o.InsecureAuth = &tls.Config{InsecureSkipVerify: true}, true
			}},
		{name: "TLS verified by the caller", server: smtptest.ImplicitTLS, mode: submission.TLSImplicit, remote: "192.0.2.25:465", may: true,
			options: tlsWith(func(c *tls.Config) {
				c.InsecureSkipVerify, c.VerifyConnection = true, func(tls.ConnectionState) error { return nil }
			})},
		{name: "TLS with a pin", server: smtptest.ImplicitTLS, mode: submission.TLSImplicit, remote: "192.0.2.25:465", may: true,
			options: func(srv *smtptest.Server, o *submission.Options) { o.PinnedKeys = [][32]byte{serverPin(t, srv)} }},
	}
	ways := []struct {
		name string
		auth submission.Auth
		sent string // the AUTH command, up to the secret
	}{
		{"PLAIN", password(mechanisms("PLAIN")), "AUTH PLAIN ***"},
		{"LOGIN", password(mechanisms("LOGIN")), "AUTH LOGIN"},
		{"a PLAIN of the caller's", authWith(sasl.NewPlainClient("", "username", "password")), "AUTH PLAIN ***"},
		{"a LOGIN of the caller's", authWith(sasl.NewLoginClient("username", "password")), "AUTH LOGIN ***"},
		{"a bearer token", authWith(sasl.NewOAuthBearerClient(&sasl.OAuthBearerOptions{Username: "u", Token: "t"})), "AUTH OAUTHBEARER ***"},
		{"XOAUTH2", authWith(&scriptedSASL{name: "XOAUTH2", initial: []byte("user=u\x01auth=Bearer t\x01\x01")}), "AUTH XOAUTH2 ***"},
		{"lower case", authWith(&scriptedSASL{name: "plain", initial: []byte("\x00username\x00password")}), "AUTH PLAIN ***"},
	}
	for _, conn := range connections {
		for _, way := range ways {
			t.Run(conn.name+", "+way.name, func(t *testing.T) {
				srv := serve(t, &smtptest.Config{TLS: conn.server, Accounts: accounts,
					Mechanisms: []string{"PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER"},
					Hook: func(c smtptest.Command) *smtptest.Answer {
						if c.Verb == "AUTH" && c.Line != "AUTH LOGIN" {
							return &smtptest.Answer{Reply: "235 2.7.0 welcome"}
						}
						return nil
					}})
				o := plainText(withTLS(conn.mode), withAuth(way.auth))
				if conn.options != nil {
					conn.options(srv, o)
				}
				host := conn.host
				if host == "" {
					host = testHost
				}
				nc := srv.Pipe()
				if conn.remote != "" {
					nc = between(nc, "192.0.2.1:40000", conn.remote)
				}
				var s *submission.Session
				var err error
				if conn.dialed {
					o.Dialer = dialFunc(func(context.Context, string, string) (net.Conn, error) { return nc, nil })
					var c *submission.Client
					if c, err = submission.New(host, o); err != nil {
						t.Fatal(err)
					}
					defer c.Close()
					s, err = c.Dial(context.Background())
				} else {
					s, err = submission.NewSession(context.Background(), nc, strings.Trim(host, "[]"), o)
				}
				if conn.may {
					if err != nil {
						t.Fatal(err)
					}
					s.Close()
					if said := commands(srv); !slices.Contains(said, way.sent) {
						t.Errorf("said %q, want %q", said, way.sent)
					}
					return
				}
				if s != nil || !errors.Is(err, submission.ErrInsecureAuth) {
					t.Fatalf("%v, %v", s, err)
				}
				if e := wantError[*submission.AuthError](t, err); e.Temporary() || e.Reply != nil {
					t.Errorf("temporary %v, reply %v", e.Temporary(), e.Reply)
				}
				for _, line := range commands(srv) {
					if strings.HasPrefix(line, "AUTH") || line == "***" {
						t.Errorf("said %q", line)
					}
				}
			})
		}
	}
}

// TestDigestHidesThePassword has a clear connection over which DIGEST-MD5 may
// go and PLAIN may not.
func TestDigestHidesThePassword(t *testing.T) {
	for _, tt := range []struct {
		name  string
		mechs []string
		want  []string
	}{
		{"default order", nil, []string{ehlo, "AUTH DIGEST-MD5", "***", "***", "QUIT"}},
		{"PLAIN preferred", []string{"PLAIN", "LOGIN", "DIGEST-MD5"}, []string{ehlo, "AUTH DIGEST-MD5", "***", "***", "QUIT"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := serve(t, &smtptest.Config{TLS: smtptest.NoTLS, Accounts: map[string]string{"username": "password"}})
			s := openSession(t, away(srv.Pipe()), plainText(withAuth(password(mechanisms(tt.mechs...)))))
			s.Close()
			wantCommands(t, srv, tt.want...)
		})
	}
	t.Run("504 to DIGEST-MD5", func(t *testing.T) {
		srv := serve(t, &smtptest.Config{TLS: smtptest.NoTLS, Accounts: map[string]string{"username": "password"},
			Hook: func(c smtptest.Command) *smtptest.Answer {
				if c.Verb == "AUTH" {
					return &smtptest.Answer{Reply: "504 what"}
				}
				return nil
			}})
		_, err := submission.NewSession(context.Background(), away(srv.Pipe()), testHost, plainText(withAuth(testPassword)))
		wantError[*submission.AuthError](t, err)
		wantCommands(t, srv, ehlo, "AUTH DIGEST-MD5", "QUIT")
	})
	t.Run("a local server", func(t *testing.T) { // where PLAIN could go, DIGEST-MD5 is tried first all the same
		srv := serve(t, &smtptest.Config{TLS: smtptest.NoTLS, Accounts: map[string]string{"username": "password"}})
		s := openSession(t, srv.Pipe(), plainText(withAuth(testPassword)))
		s.Close()
		wantCommands(t, srv, ehlo, "AUTH DIGEST-MD5", "***", "***", "QUIT")
	})
	t.Run("under TLS", func(t *testing.T) {
		srv := serve(t, &smtptest.Config{TLS: smtptest.ImplicitTLS, Accounts: map[string]string{"username": "password"}, Mechanisms: []string{"DIGEST-MD5", "LOGIN", "PLAIN"}})
		o := plainText(withTLS(submission.TLSImplicit), withAuth(testPassword))
		o.TLSConfig = srv.ClientTLSConfig()
		s := openSession(t, away(srv.Pipe()), o)
		s.Close()
		wantCommands(t, srv, "-- TLS", ehlo, "AUTH PLAIN ***", "QUIT")
	})
}

func TestDigest(t *testing.T) {
	tests := []struct {
		name     string
		hostname string // and so the server's realm
		accounts map[string]string
		password submission.Password
		code     int // 0 is success
	}{
		{name: "right", accounts: map[string]string{"username": "password"}, password: testPassword},
		{name: "wrong password", accounts: map[string]string{"username": "other"}, password: testPassword, code: 535},
		{name: "unknown user", accounts: map[string]string{"other": "password"}, password: testPassword, code: 535},
		{name: "quotes and backslashes", accounts: map[string]string{`a"b\c, d=e`: `p"q\r`},
			password: submission.Password{Username: `a"b\c, d=e`, Password: `p"q\r`}},
		{name: "quotes and backslashes in the realm", hostname: `re"al\m`, accounts: map[string]string{"username": "password"}, password: testPassword},
		{name: "ISO 8859-1", accounts: map[string]string{"josé": "sécret"}, password: submission.Password{Username: "josé", Password: "sécret"}},
		{name: "beyond ISO 8859-1", accounts: map[string]string{"тест": "пароль"}, password: submission.Password{Username: "тест", Password: "пароль"}},
		{name: "identity", accounts: map[string]string{"username": "password", "admin": "x"},
			password: password(func(p *submission.Password) { p.Identity = "admin" })},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			srv := serve(t, &smtptest.Config{TLS: smtptest.NoTLS, Hostname: tt.hostname, Accounts: tt.accounts, Mechanisms: []string{"DIGEST-MD5", "PLAIN", "LOGIN"}})
			p := tt.password
			p.Mechanisms = []string{"DIGEST-MD5", "PLAIN", "LOGIN"}
			s, err := submission.NewSession(context.Background(), srv.Pipe(), testHost, plainText(withAuth(p)))
			if tt.code == 0 {
				if err != nil {
					t.Fatal(err)
				}
				s.Close()
				wantCommands(t, srv, ehlo, "AUTH DIGEST-MD5", "***", "***", "QUIT")
				return
			}
			r := authRefusal{mechanism: "DIGEST-MD5", code: tt.code}
			r.checkError(t, err)
			wantCommands(t, srv, ehlo, "AUTH DIGEST-MD5", "***", "QUIT")
		})
	}
}

func TestDigestNamesHostAndRealm(t *testing.T) {
	for _, tt := range []struct{ addr, realm, want string }{
		{"тест.example", "", `realm="mail.test.example",digest-uri="smtp/xn--e1aybc.example"`},
		{testHost, "", `realm="mail.test.example",digest-uri="smtp/mail.test.example"`},
		{testHost + ":587", "", `realm="mail.test.example",digest-uri="smtp/mail.test.example"`},
		{"192.0.2.25", "", `realm="mail.test.example",digest-uri="smtp/192.0.2.25"`},
		{testHost, `an"other`, `realm="an\"other",digest-uri="smtp/mail.test.example"`},
	} {
		said := ""
		srv := serve(t, &smtptest.Config{TLS: smtptest.NoTLS, Accounts: map[string]string{"username": "password"}, Hook: func(c smtptest.Command) *smtptest.Answer {
			if c.Verb == "RESPONSE" && said == "" {
				b, _ := base64.StdEncoding.DecodeString(c.Line)
				said = string(b)
			}
			return nil
		}})
		o := plainText(withAuth(password(func(p *submission.Password) { p.Realm = tt.realm })))
		o.Dialer = dialFunc(func(context.Context, string, string) (net.Conn, error) { return srv.Pipe(), nil })
		c, err := submission.New(tt.addr, o)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Ping(context.Background()); (err != nil) != (tt.realm != "") {
			t.Error(err)
		}
		c.Close()
		srv.Close()
		for want := range strings.SplitSeq(tt.want, ",") {
			if !strings.Contains(said, want) {
				t.Errorf("%s: said %q, want %s", tt.addr, said, want)
			}
		}
	}
}

// TestDigestHostile has servers that do not know the password, or do not know
// the mechanism. No other mechanism is tried after that.
func TestDigestHostile(t *testing.T) {
	const good = `realm="r",nonce="OA6MG9tEQGm2hh",qop="auth",algorithm=md5-sess,charset=utf-8`
	challenge := func(s string) string { return "334 " + b64(s) }
	const response = "(a response)"
	tests := []struct {
		name    string
		replies []string // to AUTH and to each response
		said    []string // behind AUTH
		proof   bool     // ErrServerProof
	}{
		{name: "235 at once", replies: []string{"235 welcome"}, proof: true},
		{name: "235 without rspauth", replies: []string{challenge(good), "235 welcome"}, said: []string{response}, proof: true},
		{name: "wrong rspauth", replies: []string{challenge(good), challenge("rspauth=" + strings.Repeat("0", 32)), "501 cancelled"}, said: []string{response, "*", "QUIT"}, proof: true},
		{name: "wrong rspauth, 235 to the *", replies: []string{challenge(good), challenge("rspauth=" + strings.Repeat("0", 32)), "235 welcome"}, said: []string{response, "*"}, proof: true},
		{name: "short rspauth", replies: []string{challenge(good), challenge("rspauth=0"), "501 cancelled"}, said: []string{response, "*", "QUIT"}, proof: true},
		{name: "empty rspauth", replies: []string{challenge(good), challenge(`rspauth=""`), "501 cancelled"}, said: []string{response, "*", "QUIT"}, proof: true},
		{name: "two rspauth", replies: []string{challenge(good), challenge("rspauth=0,rspauth=1"), "501 cancelled"}, said: []string{response, "*", "QUIT"}, proof: true},
		{name: "no rspauth", replies: []string{challenge(good), challenge("x=y"), "501 cancelled"}, said: []string{response, "*", "QUIT"}, proof: true},
		{name: "empty second challenge", replies: []string{challenge(good), "334 ", "501 cancelled"}, said: []string{response, "*", "QUIT"}, proof: true},
		{name: "the challenge again", replies: []string{challenge(good), challenge(good), "501 cancelled"}, said: []string{response, "*", "QUIT"}, proof: true},
		{name: "535", replies: []string{challenge(good), "535 wrong"}, said: []string{response, "QUIT"}},

		{name: "empty challenge", replies: []string{"334 ", "501 cancelled"}, said: []string{"*", "QUIT"}},
		{name: "no nonce", replies: []string{challenge(`realm="r",qop="auth",algorithm=md5-sess`), "501 cancelled"}, said: []string{"*", "QUIT"}},
		{name: "two nonces", replies: []string{challenge(good + `,nonce="x"`), "501 cancelled"}, said: []string{"*", "QUIT"}},
		{name: "no algorithm", replies: []string{challenge(`nonce="x",qop="auth"`), "501 cancelled"}, said: []string{"*", "QUIT"}},
		{name: "two algorithms", replies: []string{challenge(good + `,algorithm=md5-sess`), "501 cancelled"}, said: []string{"*", "QUIT"}},
		{name: "another algorithm", replies: []string{challenge(`nonce="x",algorithm=md5`), "501 cancelled"}, said: []string{"*", "QUIT"}},
		{name: "another charset", replies: []string{challenge(`nonce="x",algorithm=md5-sess,charset=latin1`), "501 cancelled"}, said: []string{"*", "QUIT"}},
		{name: "qop without auth", replies: []string{challenge(`nonce="x",qop="auth-int,auth-conf",algorithm=md5-sess`), "501 cancelled"}, said: []string{"*", "QUIT"}},
		{name: "string without an end", replies: []string{challenge(`nonce="x,algorithm=md5-sess`), "501 cancelled"}, said: []string{"*", "QUIT"}},
		{name: "too long", replies: []string{challenge(good + `,x="` + strings.Repeat("x", 2048-len(good)-5) + `"`), "501 cancelled"}, said: []string{"*", "QUIT"}},
		{name: "too long, 235 to the *", replies: []string{challenge(good + `,x="` + strings.Repeat("x", 2048) + `"`), "235 welcome"}, said: []string{"*"}},
		{name: "no text", replies: []string{challenge("\x00\xff"), "501 cancelled"}, said: []string{"*", "QUIT"}},

		{name: "unquoted strings", replies: []string{challenge(`realm=r,nonce=abc,qop=auth,algorithm="md5-sess",charset=utf-8`), "535 wrong"}, said: []string{response, "QUIT"}},
		{name: "several realms and white space", replies: []string{challenge(" realm=\"r\" ,\trealm=\"s\", nonce = \"x\",,algorithm=MD5-sess"), "535 wrong"}, said: []string{response, "QUIT"}},
		{name: "as long as it may be", replies: []string{challenge(good + `,x="` + strings.Repeat("x", 2047-len(good)-5) + `"`), "535 wrong"}, said: []string{response, "QUIT"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var said []string
			answered := 0
			srv := serve(t, &smtptest.Config{TLS: smtptest.NoTLS, Accounts: map[string]string{"username": "password"},
				Hook: func(c smtptest.Command) *smtptest.Answer {
					switch {
					case c.Verb == "AUTH" && answered == 0 && c.Line == "AUTH DIGEST-MD5":
					case c.Verb == "RESPONSE" && c.Line == "*":
						said = append(said, "*")
					case c.Verb == "RESPONSE":
						said = append(said, response)
					case c.Verb == "EHLO" || c.Verb == "CONNECT":
						return nil
					default:
						said = append(said, c.Line)
						return nil
					}
					answered++
					return &smtptest.Answer{Reply: tt.replies[answered-1]}
				}})
			_, err := submission.NewSession(context.Background(), srv.Pipe(), testHost, plainText(withAuth(testPassword)))
			srv.Close()
			if !slices.Equal(said, tt.said) {
				t.Errorf("said %q behind AUTH, want %q", said, tt.said)
			}
			if e := wantError[*submission.AuthError](t, err); e.Mechanism != "DIGEST-MD5" || e.Temporary() {
				t.Errorf("%v", err)
			}
			if errors.Is(err, submission.ErrServerProof) != tt.proof {
				t.Errorf("ErrServerProof %v, want %v: %v", !tt.proof, tt.proof, err)
			}
		})
	}
}

// addrless is a connection that does not know its ends.
type addrless struct{ net.Conn }

func (addrless) LocalAddr() net.Addr { return nil }

func (addrless) RemoteAddr() net.Addr { return nil }

// TestConnectionWithoutAddresses has ServerInfo.Port be 0 then, and nothing is
// known to be local.
func TestConnectionWithoutAddresses(t *testing.T) {
	script := "S: 220 hi\nC: EHLO client.test.example\nS: 250-mail\nS: 250 AUTH PLAIN" + quit
	_, err := submission.NewSession(context.Background(), addrless{play(t, "whole", script)}, testHost, plainText(withAuth(testPassword)))
	if !errors.Is(err, submission.ErrInsecureAuth) {
		t.Errorf("%v", err)
	}
	var port = -1
	auth := submission.AuthFunc(func(_ context.Context, s submission.ServerInfo) (sasl.Client, error) {
		port = s.Port
		return nil, errors.New("no")
	})
	submission.NewSession(context.Background(), addrless{play(t, "whole", script)}, testHost, plainText(withAuth(auth)))
	if port != 0 {
		t.Errorf("port %d", port)
	}
}
