package submission_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// STARTTLS is required, and there is none: no session, and the reason in the error.
func TestStartTLSRefused(t *testing.T) {
	tests := []refusal{
		{name: "not offered", script: hello + "S: 250-mail\nS: 250 SIZE" + quit, is: submission.ErrUnsupported, text: "STARTTLS"},
		{name: "454", script: offersTLS + "S: 454 TLS not available" + quit, code: 454, temporary: true},
		{name: "502", script: offersTLS + "S: 502 what" + quit, code: 502},
		{name: "501", script: offersTLS + "S: 501-a\nS: 501 b" + quit, code: 501},
		{name: "554", script: offersTLS + "S: 554 no" + quit, code: 554},
		{name: "554 and a hang-up", script: offersTLS + "S: 554 no\nclose\nC: QUIT\neof", code: 554},
	}
	for _, r := range tests {
		r.stage = submission.StageStartTLS
		for _, mode := range []submission.TLSMode{submission.TLSStartTLS, submission.TLSAuto} {
			r := r
			r.name += ", " + mode.String()
			r.options = plainText(withTLS(mode))
			r.run(t)
		}
	}
	r := refusal{name: "disabled", stage: submission.StageStartTLS, is: submission.ErrUnsupported,
		script: hello + "S: 250-mail\nS: 250 STARTTLS" + quit,
		options: plainText(withTLS(submission.TLSStartTLS), func(o *submission.Options) {
			o.Disable = []string{"starttls"}
		})}
	r.run(t)
}

// Replies to STARTTLS after which neither TLS nor clear text is safe. No mode writes another
// octet.
func TestStartTLSBroken(t *testing.T) {
	tests := []refusal{
		{name: "421", script: offersTLS + "S: 421 closing\neof", code: 421, temporary: true},
		{name: "354", script: offersTLS + "S: 354 go on\neof", code: 354, protocol: true},
		{name: "250", script: offersTLS + "S: 250 fine\neof", code: 250, protocol: true},
		{name: "221", script: offersTLS + "S: 221 bye\neof", code: 221, protocol: true},
		{name: "garbage", script: offersTLS + "S! go on\neof", protocol: true},
		{name: "mixed codes", script: offersTLS + "S: 220-go\nS: 454 no\neof", protocol: true},
		{name: "TLS at once", script: offersTLS + `S> \x16\x03\x03\x00\x05` + "\neof", protocol: true},
		{name: "EOF", script: offersTLS + "close\neof", temporary: true, is: io.EOF},
		{name: "half a reply", script: offersTLS + "S> 220 g\nclose\neof", temporary: true, is: io.ErrUnexpectedEOF},
		{name: "reset", script: offersTLS + "reset\neof", temporary: true},
	}
	for _, r := range tests {
		r.stage = submission.StageStartTLS
		for _, mode := range []submission.TLSMode{submission.TLSStartTLS, submission.TLSOpportunistic} {
			r := r
			r.name += ", " + mode.String()
			r.options = plainText(withTLS(mode))
			r.run(t)
		}
	}
}

// Octets that follow the 220 in the same segment: the command injection of CVE-2011-0411,
// against the client.
func TestStartTLSInjection(t *testing.T) {
	tests := []refusal{
		{name: "a line", script: offersTLS + "S: 220 go\nS! 250-mail\nS! 250 AUTH PLAIN\neof"},
		{name: "half a line", script: offersTLS + "S: 220 go\nS> 25\neof"},
		{name: "one octet", script: offersTLS + "S: 220 go\nS> 2\neof"},
		{name: "CR LF", script: offersTLS + `S> 220 go\r\n\r\n` + "\neof"},
		{name: "TLS record", script: offersTLS + "S: 220 go\nS> " + `\x16\x03\x03\x00\x05hello` + "\neof"},
		{name: "after several lines", script: offersTLS + "S: 220-go\nS: 220 on\nS! 454 no\neof"},
		{name: "garbage", script: offersTLS + `S> 220 go\r\n\x00` + "\neof"},
	}
	// What they are is shown.
	tests[0].text, tests[2].text, tests[5].text = `beginning "250-mail\r\n250 AUTH PLAIN\r\n"`, `beginning "2"`, `beginning "454 no\r\n"`
	for _, r := range tests {
		r.stage, r.protocol = submission.StageStartTLS, true
		for _, mode := range []submission.TLSMode{submission.TLSStartTLS, submission.TLSOpportunistic} {
			t.Run(r.name+", "+mode.String(), func(t *testing.T) {
				r := r
				r.options = plainText(withTLS(mode))
				r.check(t, play(t, "joined", r.script))
			})
		}
	}
}

// The same octets in their own segment. The handshake reads them and fails, and nothing is
// sent in clear text.
func TestStartTLSInjectionLate(t *testing.T) {
	for _, delivery := range []string{"whole", "bytes"} {
		for _, mode := range []submission.TLSMode{submission.TLSStartTLS, submission.TLSOpportunistic} {
			t.Run(delivery+", "+mode.String(), func(t *testing.T) {
				wire := record(play(t, delivery, offersTLS+"S: 220 go\nS! 250-mail\nS! 250 AUTH PLAIN\nstall"))
				s, err := submission.NewSession(context.Background(), wire, testHost, plainText(withTLS(mode), withAuth(testPassword)))
				if s != nil {
					t.Error("a session")
				}
				e := wantError[*submission.TLSError](t, err)
				if e.Host != testHost || e.Temporary() {
					t.Errorf("host %s, temporary %v", e.Host, e.Temporary())
				}
				if strings.Contains(e.Hint, "TLSStartTLS") {
					t.Errorf("the hint advises the mode that is in use: %v", err)
				}
				wantOnlyTLS(t, wire.written())
			})
		}
	}
}

// With TLSOpportunistic and a server that has no TLS now, the session continues in clear text.
func TestOpportunisticGoesOnInClear(t *testing.T) {
	for name, script := range map[string]string{
		"not offered":  hello + "S: 250-mail\nS: 250 SIZE 1000",
		"454":          offersTLS + "S: 454 not now",
		"454 in lines": offersTLS + "S: 454-not\nS: 454 now",
		"502":          offersTLS + "S: 502 what",
		"530":          offersTLS + "S: 530 no",
	} {
		t.Run(name, func(t *testing.T) {
			eachDelivery(t, func(t *testing.T, delivery string) {
				s := openSession(t, play(t, delivery, script+"\nC: NOOP\nS: 250 ok"+quit), plainText(withTLS(submission.TLSOpportunistic)))
				if _, ok := s.TLS(); ok {
					t.Error("TLS")
				}
				if n, _ := s.Extensions().Size(); n != 1000 {
					t.Error("the extensions are missing")
				}
				if err := s.Noop(context.Background()); err != nil {
					t.Error(err)
				}
				s.Close()
			})
		})
	}
}

// The server sends more after it refused STARTTLS.
func TestStartTLSUnaskedBehindRefusal(t *testing.T) {
	r := refusal{stage: submission.StageStartTLS, protocol: true, options: plainText(withTLS(submission.TLSOpportunistic))}
	r.check(t, play(t, "joined", offersTLS+"S: 454 no\nS! 250 yes\neof"))
}

// ehloHook answers EHLO with one reply in clear text and another under TLS. "" means the
// server's own reply.
func ehloHook(inClear, secured string) func(smtptest.Command) *smtptest.Answer {
	return func(c smtptest.Command) *smtptest.Answer {
		reply := inClear
		if c.TLS {
			reply = secured
		}
		if c.Verb != "EHLO" || reply == "" {
			return nil
		}
		return &smtptest.Answer{Reply: reply}
	}
}

// What the server, or an attacker, offers in clear text counts no more under TLS.
func TestStartTLSForgets(t *testing.T) {
	srv := serve(t, &smtptest.Config{Hook: ehloHook(
		"250-mail\n250-SIZE 5\n250-XCLEAR\n250-STARTTLS\n250 AUTH PLAIN", "250-mail\n250-SIZE 7000\n250-STARTTLS\n250 XTLS")})
	o := plainText(withTLS(submission.TLSStartTLS))
	o.TLSConfig = srv.ClientTLSConfig()
	s := openSession(t, srv.Pipe(), o)
	ext := s.Extensions()
	if n, _ := ext.Size(); n != 7000 || ext.Has("XCLEAR") || ext.Has("AUTH") || !ext.Has("XTLS") {
		t.Errorf("%v", ext)
	}
	if st, ok := s.TLS(); !ok || !st.HandshakeComplete {
		t.Error("no TLS")
	}
	s.Close()
	wantCommands(t, srv, ehlo, "STARTTLS", "-- TLS", ehlo, "QUIT")

	srv = serve(t, &smtptest.Config{Hook: ehloHook("250-mail\n250-STARTTLS\n250 AUTH PLAIN", "250 mail")})
	o = plainText(withTLS(submission.TLSStartTLS), withAuth(testPassword))
	o.TLSConfig = srv.ClientTLSConfig()
	_, err := submission.NewSession(context.Background(), srv.Pipe(), testHost, o)
	if wantError[*submission.AuthError](t, err); !errors.Is(err, submission.ErrUnsupported) {
		t.Errorf("AUTH that is offered in clear text only: %v", err)
	}
	wantCommands(t, srv, ehlo, "STARTTLS", "-- TLS", ehlo, "QUIT")
}

// When the EHLO under TLS fails, there is no session, whatever the code and the mode are.
func TestSecondHello(t *testing.T) {
	tests := []struct {
		name      string
		answer    smtptest.Answer
		code      int
		temporary bool
		protocol  bool
		quits     bool
	}{
		{name: "500", answer: smtptest.Answer{Reply: "500 what"}, code: 500, quits: true},
		{name: "501", answer: smtptest.Answer{Reply: "501 what"}, code: 501, quits: true},
		{name: "502", answer: smtptest.Answer{Reply: "502 what"}, code: 502, quits: true},
		{name: "504", answer: smtptest.Answer{Reply: "504 what"}, code: 504, quits: true},
		{name: "554", answer: smtptest.Answer{Reply: "554 what"}, code: 554, quits: true},
		{name: "450", answer: smtptest.Answer{Reply: "450 later"}, code: 450, temporary: true, quits: true},
		{name: "421", answer: smtptest.Answer{Reply: "421 closing"}, code: 421, temporary: true},
		{name: "garbage", answer: smtptest.Answer{Raw: []byte("mail\r\n")}, protocol: true},
		{name: "EOF", answer: smtptest.Answer{Close: true}, temporary: true},
		{name: "half a reply", answer: smtptest.Answer{Raw: []byte("250-"), Close: true}, temporary: true},
	}
	for _, tt := range tests {
		for _, mode := range []submission.TLSMode{submission.TLSStartTLS, submission.TLSOpportunistic} {
			t.Run(tt.name+", "+mode.String(), func(t *testing.T) {
				srv := serve(t, &smtptest.Config{Hook: func(c smtptest.Command) *smtptest.Answer {
					if c.Verb == "EHLO" && c.TLS {
						return &tt.answer
					}
					return nil
				}})
				o := plainText(withTLS(mode))
				o.TLSConfig = srv.ClientTLSConfig()
				r := refusal{options: o, stage: submission.StageHello, code: tt.code, temporary: tt.temporary, protocol: tt.protocol}
				r.check(t, srv.Pipe())
				want := []string{ehlo, "STARTTLS", "-- TLS", ehlo}
				if tt.quits {
					want = append(want, "QUIT")
				}
				srv.Close()
				wantCommands(t, srv, want...)
			})
		}
	}
}
