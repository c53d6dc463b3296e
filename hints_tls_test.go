package submission_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fe022423/submission"
)

// An alert of the server, or what our own side says of a version, leads to the
// field of TLSConfig that it is about.
func TestHintAlert(t *testing.T) {
	alert := func(code byte) string { return fmt.Sprintf(`S> \x15\x03\x03\x00\x02\x02\x%02x`, code) }
	const fields = "MinVersion|CipherSuites|Certificates|CurvePreferences|ServerName|NextProtos"
	for code, field := range map[byte]string{
		70: "MinVersion", 40: "CipherSuites", 71: "CipherSuites", 116: "Certificates", 42: "Certificates", 48: "Certificates",
		112: "ServerName", 120: "NextProtos", 80: "", 10: "", 50: "",
	} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, err := submission.NewSession(t.Context(), play(t, "whole", "C* 1\n"+alert(code)+"\nclose"), testHost, plainText(withTLS(submission.TLSImplicit)))
				wantError[*submission.TLSError](t, err)
				var has []string
				if field != "" {
					has = append(has, "TLSConfig."+field)
				}
				hasNot := slices.DeleteFunc(words(fields), func(f string) bool { return f == field })
				wantSays(t, err, has, append(hasNot, "TLSNone", "InsecureSkipVerify"))
			})
		})
	}
}

// The same from servers that mean it.
func TestHintAlertOfServers(t *testing.T) {
	client := func(set func(*tls.Config)) func(*submission.Options) {
		return func(o *submission.Options) { set(o.TLSConfig) }
	}
	given := func(c *tls.Config) {
		c.Certificates = []tls.Certificate{(*authority)(nil).issue(t, forNames("client.example"))}
	}
	for _, tt := range []struct {
		name        string
		server      func(*tls.Config)
		set         func(*tls.Config)
		has, hasNot string
	}{
		{name: "an old version", server: func(c *tls.Config) { c.MaxVersion = tls.VersionTLS11; c.MinVersion = tls.VersionTLS10 }, has: "MinVersion", hasNot: "CipherSuites|MaxVersion"},
		{name: "a new version", server: func(c *tls.Config) { c.MinVersion = tls.VersionTLS13 }, set: func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, has: "MaxVersion", hasNot: "CipherSuites"},
		{name: "no cipher suite in common", server: func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 },
			set: func(c *tls.Config) {
				c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
			}, has: "CipherSuites", hasNot: "MinVersion|Certificates"},
		{name: "a client certificate is wanted, TLS 1.3", server: func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert }, has: "wants a client certificate|TLSConfig.Certificates", hasNot: "does not accept"},
		{name: "a client certificate is wanted, TLS 1.2", server: func(c *tls.Config) { c.ClientAuth, c.MaxVersion = tls.RequireAnyClientCert, tls.VersionTLS12 }, has: "TLSConfig.Certificates", hasNot: "does not accept"},
		{name: "another client certificate is wanted", server: func(c *tls.Config) { c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool() },
			set: given, has: "does not accept the client certificate|TLSConfig.Certificates", hasNot: "wants a client certificate"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bothWays(t, func(t *testing.T, mode submission.TLSMode) {
				p := newHintPeer(t, forNames(testHost))
				tt.server(p.cfg)
				set := tt.set
				if set == nil {
					set = func(*tls.Config) {}
				}
				err := p.dial(t, mode, client(set))
				wantError[*submission.TLSError](t, err)
				wantSays(t, err, words(tt.has), append(words(tt.hasNot), "TLSNone", "CurvePreferences"))
			})
		})
	}
}

// A server that chooses a version which was not offered is refused by this side.
func TestHintOldServerHello(t *testing.T) {
	const serverHello = `S> \x16\x03\x01\x00\x2a\x02\x00\x00\x26\x03\x01` + "%s" + `\x00\xc0\x13\x00`
	script := "C* 1\n" + strings.Replace(serverHello, "%s", strings.Repeat(`\x01`, 32), 1) + "\nstall"
	_, err := submission.NewSession(t.Context(), play(t, "whole", script), testHost, plainText(withTLS(submission.TLSImplicit)))
	wantSays(t, err, []string{"TLSConfig.MinVersion"}, []string{"CipherSuites"})
}

// A ClientHello with keys against quantum computers takes more than one packet, and
// some servers, or what stands in front of them, fail at that without a word.
func TestHintLargeHello(t *testing.T) {
	classical := func(o *submission.Options) { o.TLSConfig = &tls.Config{CurvePreferences: []tls.CurveID{tls.X25519}} }
	hybrid := func(o *submission.Options) {
		o.TLSConfig = &tls.Config{CurvePreferences: []tls.CurveID{tls.X25519, tls.X25519MLKEM768}}
	}
	old := func(o *submission.Options) { o.TLSConfig = &tls.Config{MaxVersion: tls.VersionTLS12} }
	other := func(o *submission.Options) {
		o.TLSClient = func(ctx context.Context, nc net.Conn, c *tls.Config) (net.Conn, error) {
			t := tls.Client(nc, c)
			return t, t.HandshakeContext(ctx)
		}
	}
	const hint, tooMany = "TLSConfig.CurvePreferences", "PoolOptions.MaxSessions"
	answers := `S> \x16\x03\x03\x00\x2a\x02\x00\x00\x26\x03\x03` + strings.Repeat(`\x01`, 32) + `\x00\xc0\x2f\x00` + "\n"
	for _, h := range []hinted{
		{name: "an end", script: "C* 1000\nclose", has: hint + "|perhaps", temporary: true},
		{name: "a reset", script: "C* 1000\nreset", has: hint, temporary: true},
		{name: "silence", script: "C* 1000\nstall", has: hint, temporary: true},
		{name: "an end, keys asked for", set: hybrid, script: "C* 1000\nclose", has: hint, temporary: true},
		{name: "an end, classical keys", set: classical, script: "C* 100\nclose", hasNot: hint, temporary: true},
		{name: "an end, TLS 1.2", set: old, script: "C* 100\nclose", hasNot: hint, temporary: true},
		{name: "an end, another stack", set: other, script: "C* 100\nclose", hasNot: hint, temporary: true},
		{name: "an end after the answer", script: "C* 1000\n" + answers + "close", hasNot: hint, temporary: true},
		{name: "silence after the answer", script: "C* 1000\n" + answers + "stall", hasNot: hint, temporary: true},
		{name: "an alert", script: "C* 1000\n" + `S> \x15\x03\x03\x00\x02\x02\x28` + "\nclose", hasNot: hint},
	} {
		set := h.set
		for _, mode := range []submission.TLSMode{submission.TLSImplicit, submission.TLSStartTLS} {
			h := h
			h.name += ", " + mode.String()
			h.set = func(o *submission.Options) {
				if o.TLS = mode; set != nil {
					set(o)
				}
			}
			if mode == submission.TLSStartTLS {
				h.script = offersTLS + "S: 220 go\n" + h.script
			}
			// A server that is full ends a connection at once, but not after its greeting.
			full := mode == submission.TLSImplicit && strings.HasPrefix(h.name, "an end,") && !strings.Contains(h.name, "another stack")
			t.Run(h.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					o := plainText()
					h.set(o)
					_, err := submission.NewSession(t.Context(), play(t, "whole", h.script), testHost, o)
					wantError[*submission.TLSError](t, err)
					wantSays(t, err, words(h.has), append(words(h.hasNot), "TLSNone"))
					if says := strings.Contains(err.Error(), tooMany); says != full && h.name != "a reset, TLSImplicit" {
						t.Errorf("%s: %v, want %v: %v", tooMany, says, full, err)
					}
					if isTemporary(err) != h.temporary {
						t.Errorf("temporary %v: %v", isTemporary(err), err)
					}
				})
			})
		}
	}
}

// Who gives up waiting for the handshake is told about it too; who gives up for
// another reason is not.
func TestHintLargeHelloGivenUp(t *testing.T) {
	for _, late := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if !late {
				time.AfterFunc(time.Second, cancel)
			}
			_, err := submission.NewSession(ctx, play(t, "whole", "stall"), testHost, plainText(withTLS(submission.TLSImplicit)))
			if says := strings.Contains(err.Error(), "CurvePreferences"); says != late {
				t.Errorf("late %v: %v", late, err)
			}
		})
	}
}

// Clear text where TLS was to begin is shown, and what speaks so is named.
func TestHintClearText(t *testing.T) {
	implicit, starttls := withTLS(submission.TLSImplicit), withTLS(submission.TLSStartTLS)
	go220 := offersTLS + "S: 220 go\n"
	for _, h := range []hinted{
		{name: "after 220 go", set: starttls, script: go220 + "S! 250-mail.test.example\nstall", has: `agreed to STARTTLS|"250-m"`, hasNot: "TLSStartTLS|TLSImplicit|TLSNone"},
		{name: "after 220 go, a refusal", set: starttls, script: go220 + "S! 454 4.7.0 no certificate\nstall", has: `agreed to STARTTLS|"454 4"`, hasNot: "TLSImplicit"},
		{name: "a greeting", set: implicit, script: "S! 220 mail.test.example ESMTP\nstall", has: `"220 m"|TLSStartTLS`, hasNot: "agreed to|server:"},
		{name: "a greeting in lines", set: implicit, script: "S! 220-mail.test.example ESMTP\nstall", has: `"220-m"|TLSStartTLS`},
		{name: "IMAP", set: implicit, script: "S! * OK ready\nstall", has: `"* OK "|IMAP server`, hasNot: "TLSStartTLS"},
		{name: "POP3", set: implicit, script: "S! +OK ready\nstall", has: `"+OK r"|POP3 server`, hasNot: "TLSStartTLS"},
		{name: "HTTP", set: implicit, script: "S! HTTP/1.1 400 Bad Request\nstall", has: `"HTTP/"|HTTP server`, hasNot: "TLSStartTLS"},
		{name: "a refusal", set: implicit, script: "S! 421 Too many connections\nstall", has: `"421 T"|refuses`, hasNot: "TLSStartTLS"},
		{name: "a refusal for good", set: implicit, script: "S! 554 no\nstall", has: `"554 n"|refuses`, hasNot: "TLSStartTLS"},
		{name: "no text", set: implicit, script: `S> \x1b\x00\x00\x00\xff\xff` + "\nstall", has: `\x1b`, hasNot: "TLSStartTLS|clear text"},
	} {
		t.Run(h.name, func(t *testing.T) {
			o := plainText()
			h.set(o)
			_, err := submission.NewSession(t.Context(), play(t, "whole", h.script), testHost, o)
			wantError[*submission.TLSError](t, err)
			var header tls.RecordHeaderError
			refusesForNow := strings.Contains(h.has, `"4`)
			if !errors.As(err, &header) || isTemporary(err) != refusesForNow {
				t.Errorf("%v, temporary %v", err, isTemporary(err))
			}
			wantSays(t, err, words(h.has), words(h.hasNot))
		})
	}
}

// A reply in clear text in the middle of TLS, as Exim's 421, is shown.
func TestHintClearTextWithinTLS(t *testing.T) {
	bothWays(t, func(t *testing.T, mode submission.TLSMode) {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			p := newHintPeer(t, forNames(testHost))
			p.cfg.MaxVersion = version
			p.inClear = "421 lost.test.example lost input connection\r\n"
			err := p.dial(t, mode)
			if e := wantError[*submission.ConnectError](t, err); e.Stage != submission.StageHello {
				t.Errorf("stage %v", e.Stage)
			}
			var header tls.RecordHeaderError
			if !errors.As(err, &header) || !isTemporary(err) {
				t.Errorf("%v, temporary %v", err, isTemporary(err))
			}
			wantSays(t, err, []string{"clear text in the middle of TLS", `"421 l"`}, []string{"TLSStartTLS", "TLSImplicit"})
			p.inClear = "\x17\x03\x03\x50\x00"
			wantSays(t, p.dial(t, mode), nil, []string{"clear text"})
		}
	})
}

// The text names host and port, the field the host.
func TestTLSErrorNamesThePort(t *testing.T) {
	for addr, want := range map[string]string{testHost: testHost + ":587", testHost + ":2525": testHost + ":2525", "[2001:db8::25]:26": "[2001:db8::25]:26"} {
		p := newHintPeer(t, forNames("other.example"))
		p.addr = addr
		err := p.dial(t, submission.TLSStartTLS)
		wantSays(t, err, []string{"submission: TLS handshake: " + want + ": "}, nil)
		if host, _, _ := net.SplitHostPort(want); wantError[*submission.TLSError](t, err).Host != host {
			t.Errorf("host %q", wantError[*submission.TLSError](t, err).Host)
		}
	}
	_, err := submission.NewSession(t.Context(), play(t, "whole", "close"), testHost, plainText(withTLS(submission.TLSImplicit)))
	wantSays(t, err, []string{"submission: TLS handshake: " + testHost + ": "}, nil)
	wantSays(t, &submission.TLSError{Host: "host", Err: errnoReset}, []string{"submission: TLS handshake: host: "}, nil)
}
