package submission_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/emersion/go-sasl"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// Which addresses name a Unix socket. One that is refused is not repeated.
func TestUnixAddress(t *testing.T) {
	for addr, path := range map[string]string{
		"unix:/run/mail.sock":          "/run/mail.sock",
		"unix:/run/user@1000/a b:24":   "/run/user@1000/a b:24",
		"unix:/run/dovecot/сокет":      "/run/dovecot/сокет",
		"unix:":                        "",
		"unix:geheim.sock":             "",
		"unix:./geheim":                "",
		"unix:@geheim":                 "",
		"unix://me:geheim@host/socket": "",
		"unix:/run/geheim\x00":         "",
		"unix:/run/geheim\r\nRSET":     "",
		"unix:/run/geheim\xff":         "",
		"unix:25":                      "",
	} {
		var network, dialed string
		o := &submission.Options{Dialer: dialFunc(func(_ context.Context, n, a string) (net.Conn, error) {
			network, dialed = n, a
			return nil, errors.New("no")
		})}
		c, err := submission.New(addr, o)
		if path == "" {
			if e := wantError[*submission.OptionError](t, err); e.Option != "addr" || strings.Contains(err.Error(), "geheim") {
				t.Errorf("%q: %v", addr, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", addr, err)
			continue
		}
		e := wantError[*submission.ConnectError](t, c.Ping(t.Context()))
		if network != "unix" || dialed != path || e.Addr != path || e.Stage != submission.StageDial {
			t.Errorf("%q: dialed %s %q, the error says %q", addr, network, dialed, e.Addr)
		}
		c.Close()
	}
}

// Options that make no sense with a Unix socket.
func TestUnixOptions(t *testing.T) {
	connect, err := submission.HTTPConnect(&url.URL{Scheme: "http", Host: "proxy.example"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for option, list := range map[string][]*submission.Options{
		"LocalAddr": {{LocalAddr: "127.0.0.1"}, {LocalAddr: "[::1]:24"}},
		"Dialer":    {{Dialer: mustSOCKS5(t, nil)}, {Dialer: connect}, {Dialer: submission.Fallback(&net.Dialer{}, connect)}},
	} {
		for _, o := range list {
			_, err := submission.New("unix:/run/s", o)
			if e := wantError[*submission.OptionError](t, err); e.Option != option {
				t.Errorf("%v, want one about %s", err, option)
			}
		}
	}
}

// atSocket starts a server at a Unix socket and returns a Client for it.
func atSocket(t *testing.T, config smtptest.Config, o submission.Options) (*smtptest.Server, *submission.Client) {
	t.Helper()
	config.Network = "unix"
	srv := smtptest.NewServer(&config)
	t.Cleanup(srv.Close)
	o.TLSConfig = srv.ClientTLSConfig()
	c, err := submission.New("unix:"+srv.Addr(), &o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return srv, c
}

// Over a Unix socket TLS is off unless it is askedAuth for, the greeting names localhost, and
// a password may be sent.
func TestUnixSocket(t *testing.T) {
	for _, lmtp := range []bool{false, true} {
		for _, mode := range []submission.TLSMode{submission.TLSAuto, submission.TLSNone, submission.TLSOpportunistic, submission.TLSStartTLS, submission.TLSImplicit} {
			config := smtptest.Config{LMTP: lmtp, RequireAuth: true, LenientClearText: true, Accounts: map[string]string{"me": "a secret"}, Mechanisms: []string{"PLAIN"}}
			secure := mode != submission.TLSAuto && mode != submission.TLSNone
			if mode == submission.TLSImplicit {
				config.TLS = smtptest.ImplicitTLS
			}
			srv, c := atSocket(t, config, submission.Options{LMTP: lmtp, TLS: mode, Auth: submission.Password{Username: "me", Password: "a secret"}})
			for range 2 {
				if _, err := c.Send(t.Context(), letters(3), strings.NewReader(memo)); err != nil {
					t.Errorf("LMTP %v, %v: %v", lmtp, mode, err)
				}
			}
			if m := srv.Messages(); len(m) != 2 || m[1].TLS != secure || m[1].Session != 1 || len(m[1].To) != 3 {
				t.Errorf("LMTP %v, %v: %+v", lmtp, mode, m)
			}
			greeting := map[bool]string{false: "C: EHLO localhost", true: "C: LHLO localhost"}[lmtp]
			if !slices.Contains(unnumbered(srv), greeting) {
				t.Errorf("LMTP %v, %v: no %s in %q", lmtp, mode, greeting, srv.Transcript())
			}
		}
	}
}

// Some of the recipients are refused by their final replies over a Unix socket.
func TestUnixSocketPartly(t *testing.T) {
	c := finalsCase{finals: []string{"250", "550", "450"}, chunked: true}
	_, client := atSocket(t, smtptest.Config{LMTP: true, Hook: c.hook}, submission.Options{LMTP: true})
	res, err := client.Send(t.Context(), letters(3), strings.NewReader(memo))
	c.check(t, res, err)
	s, err := client.Dial(t.Context()) // your own session, too
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	res, err = send(s, letters(3))
	c.check(t, res, err)
}

// A session that the server ended while it rested is seen to be so.
func TestUnixSocketEnded(t *testing.T) {
	srv, client := atSocket(t, smtptest.Config{LMTP: true, Hook: func(c smtptest.Command) *smtptest.Answer {
		if c.Verb == "MESSAGE" && c.Session == 1 {
			return &smtptest.Answer{Reply: "250 ok", Close: true}
		}
		return nil
	}}, submission.Options{LMTP: true})
	for range 3 {
		if _, err := client.Send(t.Context(), letters(1), strings.NewReader(memo)); err != nil {
			t.Error(err)
		}
	}
	if n := len(srv.Messages()); n != 3 || srv.Sessions() != 2 {
		t.Errorf("%d messages in %d sessions", n, srv.Sessions())
	}
}

// A connection from a Dialer counts as local only when its far end is here.
func TestUnixSocketLocal(t *testing.T) {
	for _, far := range farEnds {
		nc := addrConn{play(t, "whole", strings.Replace(offersPlain, "client.test.example", "localhost", 1)), nil, far.addr}
		var may bool
		o := &submission.Options{Auth: mayShow(&may), Dialer: dialFunc(func(context.Context, string, string) (net.Conn, error) { return nc, nil })}
		c, err := submission.New("unix:/run/s", o)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Ping(t.Context()); !errors.Is(err, errAsked) {
			t.Fatal(err)
		}
		if c.Close(); may != far.near {
			t.Errorf("%v: may show %v, want %v", far.addr, may, far.near)
		}
	}
}

// A mechanism is told the host and no port.
func TestUnixSocketServerInfo(t *testing.T) {
	var host string
	port := -1
	srv := smtptest.NewServer(&smtptest.Config{Network: "unix", TLS: smtptest.NoTLS, Accounts: map[string]string{"me": "a secret"}})
	defer srv.Close()
	o := &submission.Options{Auth: askedAuth(func(s submission.ServerInfo) { host, port = s.Host, s.Port })}
	c, err := submission.New("unix:"+srv.Addr(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Ping(t.Context()); !errors.Is(err, errAsked) || host != "localhost" || port != 0 {
		t.Errorf("host %q, port %d, %v", host, port, err)
	}
}

// A connection over a Unix socket that you hand in greets as localhost, too.
func TestUnixSocketHandedIn(t *testing.T) {
	srv := smtptest.NewServer(&smtptest.Config{Network: "unix", LMTP: true})
	defer srv.Close()
	nc, err := net.Dial("unix", srv.Addr())
	if err != nil {
		t.Fatal(err)
	}
	s := openSession(t, nc, &submission.Options{LMTP: true, TLS: submission.TLSNone})
	mustSend(t, s, letters(2))
	s.Close()
	if !slices.Contains(unnumbered(srv), "C: LHLO localhost") {
		t.Errorf("%q", srv.Transcript())
	}
}

// Who cannot connect is told the path, and nothing about ports.
func TestUnixSocketErrors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nobody")
	c, err := submission.New("unix:"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	err = c.Ping(t.Context())
	if e := wantError[*submission.ConnectError](t, err); e.Addr != path || e.Hint != "" || !errors.Is(err, fs.ErrNotExist) || !e.Temporary() {
		t.Errorf("%v, hint %q, temporary %v", err, e.Hint, e.Temporary())
	}
	ports := []string{"port", "587", "465", "on the way"}
	for name, tc := range map[string]struct {
		script string
		set    func(*submission.Options)
		has    string
	}{
		"IMAP":        {script: "S! * OK IMAP4rev1 ready\neof", has: "this is an IMAP server: check the path of the socket"},
		"NNTP":        {script: "S: 200 news\neof", has: "check the path"},
		"silence":     {script: "stall\neof", has: "if this socket speaks TLS from the first byte"},
		"the end":     {script: "close\neof", has: "if this socket speaks TLS"},
		"no STARTTLS": {script: "S: 220 hi\nC: EHLO localhost\nS: 250-mail\nS: 250 XXXXXXXA" + quit, set: withTLS(submission.TLSStartTLS), has: "STARTTLS"},
		"clear text":  {script: "S! 220 mail.test.example\nstall", set: withTLS(submission.TLSImplicit), has: "perhaps this socket wants TLSStartTLS"},
		"no answer":   {has: "no answer within 30s"},
	} {
		synctestRun(t, name, func(t *testing.T) {
			o := &submission.Options{Dialer: dialFunc(waitsInVain)}
			if tc.script != "" {
				nc := smtptest.Play(t, tc.script)
				o.Dialer = dialFunc(func(context.Context, string, string) (net.Conn, error) { return nc, nil })
			}
			if tc.set != nil {
				tc.set(o)
			}
			c, err := submission.New("unix:/run/s", o)
			if err != nil {
				t.Fatal(err)
			}
			err = c.Ping(t.Context())
			wantSays(t, err, []string{tc.has, "/run/s"}, ports)
			c.Close()
			synctest.Wait()
		})
	}
}

// askedAuth returns an Auth that tells f what it was askedAuth about, and goes no further.
func askedAuth(f func(submission.ServerInfo)) submission.Auth {
	return submission.AuthFunc(func(_ context.Context, s submission.ServerInfo) (sasl.Client, error) {
		f(s)
		return nil, errAsked
	})
}

// A Unix socket has no other addresses to go on to when the server ends before it greets.
func TestUnixSocketHasNoOtherAddress(t *testing.T) {
	_, c := atSocket(t, smtptest.Config{Hook: func(smtptest.Command) *smtptest.Answer { return &smtptest.Answer{Close: true} }}, submission.Options{})
	t.Chdir(t.TempDir())
	for _, name := range []string{"127.0.0.1:0", "[::1]:0"} { // what "localhost" stands for
		ln, err := net.Listen("unix", name)
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		go func() {
			if nc, err := ln.Accept(); err == nil {
				nc.Close()
				t.Errorf("%s was dialed", name)
			}
		}()
	}
	e := wantError[*submission.ConnectError](t, c.Ping(t.Context()))
	if e.Stage != submission.StageGreeting || !e.Temporary() {
		t.Errorf("%v", e)
	}
}
