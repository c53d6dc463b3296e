package submission_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// TestModesAndPorts has each mode meet each kind of server on each port.
func TestModesAndPorts(t *testing.T) {
	const (
		implicit = iota
		starttls
		opportunistic
		none
	)
	ports := []int{25, 465, 587, 2525}
	modes := []struct {
		mode submission.TLSMode
		does [4]int // on each of ports
	}{
		{submission.TLSAuto, [4]int{starttls, implicit, starttls, starttls}},
		{submission.TLSImplicit, [4]int{implicit, implicit, implicit, implicit}},
		{submission.TLSStartTLS, [4]int{starttls, starttls, starttls, starttls}},
		{submission.TLSOpportunistic, [4]int{opportunistic, opportunistic, opportunistic, opportunistic}},
		{submission.TLSNone, [4]int{none, none, none, none}},
	}
	const (
		secured  = "TLS"
		clear    = "clear text"
		silent   = "no greeting"
		noTLS    = "no TLS there"
		required = "STARTTLS missing"
	)
	servers := []smtptest.TLSMode{smtptest.ImplicitTLS, smtptest.StartTLS, smtptest.NoTLS}
	outcome := [][3]string{
		implicit:      {secured, noTLS, noTLS},
		starttls:      {silent, secured, required},
		opportunistic: {silent, secured, clear},
		none:          {silent, clear, clear},
	}
	for _, m := range modes {
		for i, port := range ports {
			for j, server := range servers {
				t.Run(fmt.Sprintf("%v, port %d, server %d", m.mode, port, server), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						got, took := meet(t, m.mode, port, server)
						want := outcome[m.does[i]][j]
						if got != want {
							t.Errorf("%s, want %s", got, want)
						}
						if limit := 5 * time.Minute; want == silent && took != limit {
							t.Errorf("waited %v for the greeting, want %v", took, limit)
						} else if want != silent && took != 0 {
							t.Errorf("took %v", took)
						}
					})
				})
			}
		}
	}
}

// meet dials a server with a mode and says in a word what came of it.
func meet(t *testing.T, mode submission.TLSMode, port int, server smtptest.TLSMode) (word string, took time.Duration) {
	srv := smtptest.NewServer(&smtptest.Config{TLS: server})
	defer srv.Close()
	var wire *tap
	o := plainText(withTLS(mode))
	o.TLSConfig = srv.ClientTLSConfig()
	o.Dialer = dialFunc(func(_ context.Context, network, addr string) (net.Conn, error) {
		if want := fmt.Sprintf("%s:%d", testHost, port); network != "tcp" || addr != want {
			t.Errorf("dials %s %s, want %s", network, addr, want)
		}
		wire = &tap{Conn: srv.Pipe()}
		return wire, nil
	})
	c, err := submission.New(fmt.Sprintf("%s:%d", testHost, port), o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	start := time.Now()
	s, err := c.Dial(context.Background())
	took = time.Since(start)
	if err == nil {
		defer s.Close()
		if _, ok := s.TLS(); ok {
			return "TLS", took
		}
		return "clear text", took
	}
	var (
		connect *submission.ConnectError
		tlsErr  *submission.TLSError
		header  tls.RecordHeaderError
	)
	checkErrorText(t, err)
	switch {
	case errors.As(err, &connect) && connect.Stage == submission.StageGreeting:
		if !strings.Contains(connect.Hint, "TLSImplicit") || !strings.Contains(err.Error(), connect.Hint) {
			t.Errorf("no hint at TLSImplicit: %v", err)
		}
		if (port == 465) != strings.Contains(connect.Hint, "465") {
			t.Errorf("port %d, hint %q", port, connect.Hint)
		}
		if len(wire.written()) > 0 {
			t.Errorf("wrote %q before the greeting", wire.written())
		}
		return "no greeting", took
	case errors.As(err, &connect) && connect.Stage == submission.StageStartTLS && errors.Is(err, submission.ErrUnsupported):
		return "STARTTLS missing", took
	case errors.As(err, &tlsErr) && errors.As(err, &header):
		if !strings.Contains(tlsErr.Hint, "TLSStartTLS") || !strings.Contains(err.Error(), tlsErr.Hint) {
			t.Errorf("no hint at TLSStartTLS: %v", err)
		}
		if tlsErr.Temporary() {
			t.Errorf("temporary: %v", err)
		}
		wantOnlyTLS(t, wire.written())
		return "no TLS there", took
	}
	return err.Error(), took
}

func TestDefaultPortsAndAddresses(t *testing.T) {
	tests := []struct {
		addr string
		mode submission.TLSMode
		want string
	}{
		{"mail.test.example", submission.TLSAuto, "mail.test.example:587"},
		{"mail.test.example", submission.TLSImplicit, "mail.test.example:465"},
		{"mail.test.example", submission.TLSStartTLS, "mail.test.example:587"},
		{"mail.test.example", submission.TLSOpportunistic, "mail.test.example:587"},
		{"mail.test.example", submission.TLSNone, "mail.test.example:25"},
		{"mail.test.example:2525", submission.TLSNone, "mail.test.example:2525"},
		{"192.0.2.1", submission.TLSAuto, "192.0.2.1:587"},
		{"192.0.2.1:465", submission.TLSAuto, "192.0.2.1:465"},
		{"2001:db8::1", submission.TLSAuto, "[2001:db8::1]:587"},
		{"[2001:db8::1]", submission.TLSNone, "[2001:db8::1]:25"},
		{"[2001:db8::1]:26", submission.TLSNone, "[2001:db8::1]:26"},
		{"тест.example", submission.TLSAuto, "xn--e1aybc.example:587"},
		{"тест.example:26", submission.TLSAuto, "xn--e1aybc.example:26"},
		{"mail_1.internal", submission.TLSAuto, "mail_1.internal:587"},
		{"localhost", submission.TLSAuto, "localhost:587"},
	}
	stop := errors.New("no need to dial")
	for _, tt := range tests {
		t.Run(tt.addr+" "+tt.mode.String(), func(t *testing.T) {
			dialed := ""
			c, err := submission.New(tt.addr, &submission.Options{TLS: tt.mode, Dialer: dialFunc(
				func(_ context.Context, _, addr string) (net.Conn, error) {
					dialed = addr
					return nil, stop
				})})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			err = c.Ping(context.Background())
			if e := wantError[*submission.ConnectError](t, err); e.Addr != tt.want || e.Stage != submission.StageDial || !errors.Is(err, stop) {
				t.Errorf("%v", err)
			}
			if dialed != tt.want {
				t.Errorf("dials %s, want %s", dialed, tt.want)
			}
		})
	}
}

func TestAddressRefused(t *testing.T) {
	for _, addr := range []string{
		"", ":587", "host:", "host:0", "host:65536", "host:-1", "host:smtp", "host:25:25", "[2001:db8::1", "[192.0.2.1]",
		"[]:25", "a b", "host\r\n:25", "host:25\r\n", "host\x00", "user@host", "host/path", "smtp://host:25", "ho%st",
		strings.Repeat("a", 256), "a\xffb", "fe80::1%a\r\nb", "[fe80::1%\n]:25", "fe80::1%\x00",
	} {
		if _, err := submission.New(addr, nil); err == nil {
			t.Errorf("New takes %q", addr)
		} else if e := wantError[*submission.OptionError](t, err); e.Option != "addr" {
			t.Errorf("%q: option %s", addr, e.Option)
		}
	}
}

// TestWrongPortHints has a client that speaks clear text to a port where the
// server waits for TLS.
func TestWrongPortHints(t *testing.T) {
	tests := []struct {
		script, remote string
		want           []string
	}{
		{"close\neof", "192.0.2.25:465", []string{"465", "TLSImplicit"}},
		{"close\neof", "192.0.2.25:587", []string{"TLSImplicit"}},
		{"reset\neof", "192.0.2.25:465", []string{"465", "TLSImplicit"}},
		{`S> \x15\x03\x01\x00\x02\x02\x46` + "\nclose\neof", "192.0.2.25:465", []string{"465", "TLSImplicit"}}, // an alert
	}
	for _, tt := range tests {
		for _, mode := range []submission.TLSMode{submission.TLSNone, submission.TLSStartTLS, submission.TLSOpportunistic} {
			t.Run(fmt.Sprint(tt.script, tt.remote, mode), func(t *testing.T) {
				nc := between(play(t, "whole", tt.script), "192.0.2.1:4000", tt.remote)
				_, err := submission.NewSession(context.Background(), nc, testHost, plainText(withTLS(mode)))
				e := wantError[*submission.ConnectError](t, err)
				for _, want := range tt.want {
					if !strings.Contains(e.Hint, want) || !strings.Contains(err.Error(), want) {
						t.Errorf("hint %q in %q, want %q in it", e.Hint, err, want)
					}
				}
			})
		}
	}
	t.Run("no hint at a refusal", func(t *testing.T) {
		nc := between(play(t, "whole", "S: 554 no"+quit), "192.0.2.1:4000", "192.0.2.25:465")
		_, err := submission.NewSession(context.Background(), nc, testHost, plainText())
		if e := wantError[*submission.ConnectError](t, err); e.Hint != "" {
			t.Errorf("hint %q", e.Hint)
		}
	})
}

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

// TestStartTLSBroken has replies to STARTTLS after which neither TLS nor clear
// text is safe: in no mode another octet is written.
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

// TestStartTLSInjection has octets behind the 220 in the same segment (the
// command injection of CVE-2011-0411, turned on the client).
func TestStartTLSInjection(t *testing.T) {
	tests := []refusal{
		{name: "a line", script: offersTLS + "S: 220 go\nS! 250-mail\nS! 250 AUTH PLAIN\neof"},
		{name: "half a line", script: offersTLS + "S: 220 go\nS> 25\neof"},
		{name: "one octet", script: offersTLS + "S: 220 go\nS> 2\neof"},
		{name: "CR LF", script: offersTLS + `S> 220 go\r\n\r\n` + "\neof"},
		{name: "TLS record", script: offersTLS + "S: 220 go\nS> " + `\x16\x03\x03\x00\x05hello` + "\neof"},
		{name: "behind several lines", script: offersTLS + "S: 220-go\nS: 220 on\nS! 454 no\neof"},
		{name: "garbage", script: offersTLS + `S> 220 go\r\n\x00` + "\neof"},
	}
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

// TestStartTLSInjectionLate has the same octets in a segment of their own: they
// end up in the handshake, which fails, and nothing follows in clear.
func TestStartTLSInjectionLate(t *testing.T) {
	for _, delivery := range []string{"whole", "bytes"} {
		for _, mode := range []submission.TLSMode{submission.TLSStartTLS, submission.TLSOpportunistic} {
			t.Run(delivery+", "+mode.String(), func(t *testing.T) {
				wire := &tap{Conn: play(t, delivery, offersTLS+"S: 220 go\nS! 250-mail\nS! 250 AUTH PLAIN\nstall")}
				s, err := submission.NewSession(context.Background(), wire, testHost, plainText(withTLS(mode), withAuth(testPassword)))
				if s != nil {
					t.Error("a session")
				}
				e := wantError[*submission.TLSError](t, err)
				if e.Host != testHost || e.Temporary() {
					t.Errorf("host %s, temporary %v", e.Host, e.Temporary())
				}
				if strings.Contains(e.Hint, "TLSStartTLS") {
					t.Errorf("hint at the mode that is in use: %v", err)
				}
				wantOnlyTLS(t, wire.written())
			})
		}
	}
}

// TestOpportunisticGoesOnInClear has no TLS, and no reason to give up.
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
					t.Error("the extensions of the only EHLO are gone")
				}
				if err := s.Noop(context.Background()); err != nil {
					t.Error(err)
				}
				s.Close()
			})
		})
	}
}

// TestStartTLSUnaskedBehindRefusal has more behind a refusal than was asked for.
func TestStartTLSUnaskedBehindRefusal(t *testing.T) {
	r := refusal{stage: submission.StageStartTLS, protocol: true, options: plainText(withTLS(submission.TLSOpportunistic))}
	r.check(t, play(t, "joined", offersTLS+"S: 454 no\nS! 250 yes\neof"))
}

// TestHandshakeOfTLSFails has a connection that fails within the handshake.
func TestHandshakeOfTLSFails(t *testing.T) {
	const go220 = "S: 220 go\n"
	tests := []struct {
		name     string
		script   string
		options  func(*submission.Options)
		took     time.Duration
		is       error
		lasting  bool
		cancelAt time.Duration
	}{
		{name: "closed", script: "C* 1\nclose", is: io.EOF},
		{name: "closed before", script: "close"},
		{name: "reset", script: "reset"},
		{name: "half a record, closed", script: "C* 1\n" + `S> \x16\x03\x03\x00` + "\nclose"},
		{name: "alert", script: "C* 1\n" + `S> \x15\x03\x03\x00\x02\x02\x28` + "\nclose", lasting: true},
		{name: "stall", script: "stall", took: 30 * time.Second, is: os.ErrDeadlineExceeded},
		{name: "stall after half a record", script: `S> \x16\x03\x03\x00` + "\nstall", took: 30 * time.Second, is: os.ErrDeadlineExceeded},
		{name: "stall, own limit", script: "stall", options: func(o *submission.Options) { o.Timeouts.TLS = time.Hour },
			took: time.Hour, is: os.ErrDeadlineExceeded},
		{name: "cancelled", script: "stall", cancelAt: 2 * time.Second, took: 2 * time.Second, is: context.Canceled},
	}
	for _, tt := range tests {
		for _, mode := range []submission.TLSMode{submission.TLSImplicit, submission.TLSStartTLS, submission.TLSOpportunistic} {
			t.Run(tt.name+", "+mode.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := context.WithCancel(context.Background())
					defer cancel()
					if tt.cancelAt > 0 {
						time.AfterFunc(tt.cancelAt, cancel)
					}
					script := offersTLS + go220 + tt.script
					if mode == submission.TLSImplicit {
						script = tt.script
					}
					o := plainText(withTLS(mode), withAuth(testPassword))
					if tt.options != nil {
						tt.options(o)
					}
					wire := &tap{Conn: play(t, "whole", script)}
					start := time.Now()
					s, err := submission.NewSession(ctx, wire, testHost, o)
					if took := time.Since(start); took != tt.took {
						t.Errorf("took %v, want %v", took, tt.took)
					}
					if s != nil {
						t.Error("a session")
					}
					e := wantError[*submission.TLSError](t, err)
					if e.Host != testHost || !strings.Contains(err.Error(), testHost) {
						t.Errorf("host %q: %v", e.Host, err)
					}
					if tt.is != nil && !errors.Is(err, tt.is) {
						t.Errorf("%v is no %v", err, tt.is)
					}
					if e.Temporary() == tt.lasting {
						t.Errorf("temporary %v: %v", e.Temporary(), err)
					}
					wantOnlyTLS(t, wire.written())
				})
			})
		}
	}
}

// TestHandshakeOfTLSDrips has one octet of a handshake record every second: the
// handshake has thirty of them as a whole.
func TestHandshakeOfTLSDrips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		var dripping sync.WaitGroup
		defer dripping.Wait()
		dripping.Go(func() { io.Copy(io.Discard, server) })
		dripping.Go(func() {
			defer server.Close()
			for _, octet := range append([]byte{0x16, 3, 3, 0x40, 0}, make([]byte, 1000)...) {
				time.Sleep(time.Second)
				if _, err := server.Write([]byte{octet}); err != nil {
					return
				}
			}
		})
		start := time.Now()
		_, err := submission.NewSession(context.Background(), client, testHost, plainText(withTLS(submission.TLSImplicit)))
		e := wantError[*submission.TLSError](t, err)
		if took := time.Since(start); took != 30*time.Second || !e.Temporary() {
			t.Errorf("took %v: %v", took, err)
		}
	})
}

// ehloHook answers EHLO in clear and under TLS with a reply each; "" leaves it to
// the server.
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

// TestStartTLSForgets has a server, or somebody in between, that offers in clear
// what it does not offer under TLS.
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
		t.Errorf("AUTH, offered in clear only: %v", err)
	}
	wantCommands(t, srv, ehlo, "STARTTLS", "-- TLS", ehlo, "QUIT")
}

// TestSecondHello has the EHLO under TLS fail: that is the end, whatever the code
// and the mode.
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

// TestQuitUnderTLS has the QUIT of an encrypted session go unanswered.
func TestQuitUnderTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := smtptest.NewServer(&smtptest.Config{Hook: func(c smtptest.Command) *smtptest.Answer {
			if c.Verb == "QUIT" {
				return &smtptest.Answer{}
			}
			return nil
		}})
		defer srv.Close()
		o := plainText(withTLS(submission.TLSStartTLS))
		o.TLSConfig = srv.ClientTLSConfig()
		s := openSession(t, srv.Pipe(), o)
		start := time.Now()
		s.Close()
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("took %v, want 5s", took)
		}
	})
}

// TestNoStaleDeadline has a session rest for long after each step that set a
// deadline.
func TestNoStaleDeadline(t *testing.T) {
	for _, mode := range []submission.TLSMode{submission.TLSStartTLS, submission.TLSImplicit} {
		t.Run(mode.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &smtptest.Config{TLS: smtptest.StartTLS}
				if mode == submission.TLSImplicit {
					c.TLS = smtptest.ImplicitTLS
				}
				srv := smtptest.NewServer(c)
				defer srv.Close()
				o := plainText(withTLS(mode))
				o.TLSConfig = srv.ClientTLSConfig()
				s := openSession(t, srv.Pipe(), o)
				defer s.Close()
				for _, rest := range []time.Duration{30 * time.Second, 31 * time.Second, 6 * time.Minute, 3 * time.Hour} {
					time.Sleep(rest)
					if err := s.Noop(context.Background()); err != nil {
						t.Fatalf("NOOP %v later: %v", rest, err)
					}
				}
				time.Sleep(time.Hour)
				env := submission.Envelope{From: "a@test.example", To: submission.To("b@test.example")}
				if _, err := s.Send(context.Background(), env, strings.NewReader("late\n")); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
