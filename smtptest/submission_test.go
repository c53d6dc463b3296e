package smtptest_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

const letter = "From: a@b.example\nTo: c@d.example\nSubject: hello\n\nIt is done.\n"

var envelope = submission.Envelope{From: "a@b.example", To: submission.To("c@d.example")}

// A program that is configured by the URL alone sends, authenticated and over TLS where the
// server has that.
func TestURLConfiguresClient(t *testing.T) {
	accounts := map[string]string{"shop@b.example": "/?#[]@:% &=+\"ü", "zz": "another"}
	for _, mode := range []smtptest.TLSMode{smtptest.StartTLS, smtptest.ImplicitTLS, smtptest.NoTLS} {
		for name, config := range map[string]smtptest.Config{
			"tcp":         {},
			"IPv6":        {Addr: "[::1]:0"},
			"everywhere":  {Addr: ":0"},
			"LMTP":        {LMTP: true},
			"LMTP socket": {LMTP: true, Network: "unix"},
		} {
			config.TLS, config.Accounts, config.RequireAuth = mode, accounts, true
			t.Run(fmt.Sprint(name, ", mode ", mode), func(t *testing.T) { sendByURL(t, &config) })
		}
	}
}

func sendByURL(t *testing.T, config *smtptest.Config) {
	if l, err := net.Listen("tcp", "[::1]:0"); err == nil {
		l.Close()
	} else if strings.HasPrefix(config.Addr, "[") {
		t.Skip(err)
	}
	srv := smtptest.New(t, config)
	addr, o, err := submission.ParseURL(srv.URL())
	if err != nil {
		t.Fatal(err)
	}
	c, err := submission.New(addr, o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Send(t.Context(), envelope, strings.NewReader(letter)); err != nil {
		t.Error(err)
	}
	m, err := srv.Next(t.Context())
	if err != nil || m.Auth != "shop@b.example" || m.TLS != (config.TLS != smtptest.NoTLS) {
		t.Errorf("%+v, %v", m, err)
	}
}

// The pin is that of a certificate that the Config brings, too, and no other is trusted.
func TestURLPins(t *testing.T) {
	other := smtptest.New(t, nil)
	srv := smtptest.New(t, &smtptest.Config{TLS: smtptest.ImplicitTLS})
	pinned := other.URL()[strings.Index(other.URL(), "&pin="):]
	for url, good := range map[string]bool{srv.URL(): true, srv.URL()[:strings.Index(srv.URL(), "&pin=")] + pinned: false} {
		addr, o, err := submission.ParseURL(url)
		if err != nil {
			t.Fatal(err)
		}
		c, err := submission.New(addr, o)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Ping(t.Context()); (err == nil) != good {
			t.Errorf("%s: %v", url, err)
		}
		c.Close()
	}
}

// The server itself is the Dialer, in a bubble; while it is stopped, messages are not sent,
// and trying again may help.
func TestDialerForClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := smtptest.New(t, &smtptest.Config{Hook: smtptest.Greylist(time.Hour)})
		var dialer submission.Dialer = srv
		c, err := submission.New("mail.test.example:587", &submission.Options{Dialer: dialer, TLSConfig: srv.ClientTLSConfig()})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		send := func() error {
			_, err := c.Send(t.Context(), envelope, strings.NewReader(letter))
			return err
		}
		if err := send(); err == nil || !strings.Contains(err.Error(), "451") {
			t.Errorf("the first try: %v", err)
		}
		srv.Stop()
		e, ok := send().(*submission.SendError)
		if !ok || e.Outcome != submission.NotSent || !e.Temporary() {
			t.Errorf("while it is stopped: %v", e)
		}
		time.Sleep(time.Hour)
		srv.Start()
		if err := send(); err != nil {
			t.Error(err)
		}
		if m, err := srv.Next(t.Context()); err != nil || m.From != "a@b.example" || !m.TLS {
			t.Errorf("%+v, %v", m, err)
		}
		if srv.Certificate().DNSNames[0] != "mail.test.example" {
			t.Errorf("%v", srv.Certificate().DNSNames)
		}
	})
}
