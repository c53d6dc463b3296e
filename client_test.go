package submission_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

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
			t.Errorf("New accepts %q", addr)
		} else if e := wantError[*submission.OptionError](t, err); e.Option != "addr" {
			t.Errorf("%q: option %s", addr, e.Option)
		}
	}
}

// Fifty goroutines share one Client.
func TestManyGoroutines(t *testing.T) {
	srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.NoTLS})
	defer srv.Close()
	o := plainText()
	o.Pool = submission.PoolOptions{MaxIdle: 10, MaxMessages: 1000} // no session is closed before the end
	c, err := submission.New(srv.Addr(), o)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	const goroutines, each = 50, 4
	for g := range goroutines {
		group.Go(func() {
			for i := range each {
				to := fmt.Sprintf("to-%d-%d@test.example", g, i)
				text := "Subject: " + to + "\n\n" + strings.Repeat("x", g*2000) + "\n"
				if _, err := c.Send(context.Background(), memoTo(to), strings.NewReader(text)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	c.Close()
	seen := map[string]bool{}
	for _, m := range srv.Messages() {
		if len(m.To) != 1 || !bytes.HasPrefix(m.Data, []byte("Subject: "+m.To[0]+"\r\n")) {
			t.Errorf("message to %v begins %.60q", m.To, m.Data)
		}
		seen[strings.Join(m.To, " ")] = true
	}
	if len(seen) != goroutines*each {
		t.Errorf("%d messages arrived, want %d", len(seen), goroutines*each)
	}
	if n := srv.Sessions(); n > 10 {
		t.Errorf("%d sessions, the pool allows 10", n)
	}
}

func TestPing(t *testing.T) {
	srv := smtptest.NewServer(&smtptest.Config{Accounts: map[string]string{"user": "right"}})
	defer srv.Close()
	for password, ok := range map[string]bool{"right": true, "wrong": false} {
		c, err := submission.New(srv.Addr(), &submission.Options{
			TLSConfig: srv.ClientTLSConfig(),
			Auth:      submission.Password{Username: "user", Password: password},
		})
		if err != nil {
			t.Fatal(err)
		}
		err = c.Ping(context.Background())
		if ok && err != nil {
			t.Error(err)
		}
		if !ok {
			wantError[*submission.AuthError](t, err)
		}
		c.Close()
	}
}

// Close of a Client lets a message that is under way end.
func TestCloseWhileSending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.NoTLS, Hook: func(c smtptest.Command) *smtptest.Answer {
			if c.Verb == "MESSAGE" {
				<-hold
			}
			return nil
		}})
		defer srv.Close()
		o := plainText()
		o.Dialer = dialFunc(func(context.Context, string, string) (net.Conn, error) { return srv.Pipe(), nil })
		c, err := submission.New(testHost, o)
		if err != nil {
			t.Fatal(err)
		}
		sent := make(chan error, 1)
		go func() {
			_, err := c.Send(context.Background(), memoTo("b@test.example"), strings.NewReader(memo))
			sent <- err
		}()
		synctest.Wait()
		closed := make(chan struct{})
		go func() { c.Close(); close(closed) }()
		synctest.Wait()
		select {
		case <-closed:
			t.Error("Close did not wait for the message")
		default:
		}
		_, err = c.Send(context.Background(), memoTo("b@test.example"), strings.NewReader(memo))
		if !errors.Is(err, submission.ErrClosed) {
			t.Errorf("Send after Close: %v", err)
		}
		close(hold)
		if err := <-sent; err != nil {
			t.Errorf("the message under way: %v", err)
		}
		<-closed
		if n := len(srv.Messages()); n != 1 {
			t.Errorf("the server accepted %d messages", n)
		}
	})
}
