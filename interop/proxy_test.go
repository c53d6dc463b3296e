//go:build linux

package interop

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/fe022423/submission"
)

// resolverName is 127.0.0.1 to the resolver of every C library, without a look-up,
// but no address literal to Go: it reaches the proxy as a name. localhost would
// not do, since it may be ::1 to a proxy that tries only the first address.
const resolverName = "127.1"

// TestProxy sends through SOCKS5 and HTTP proxies, by address and by name.
func TestProxy(t *testing.T) {
	eachServer(t, func(t *testing.T, s server) {
		right, wrong := url.UserPassword(proxyUser, proxyPassword), url.UserPassword(proxyUser, "wrong")
		socks := func(port int, user *url.Userinfo) func() (submission.Dialer, error) {
			return func() (submission.Dialer, error) { return submission.SOCKS5(loopback(port), user, nil) }
		}
		connect := func(user *url.Userinfo) func() (submission.Dialer, error) {
			return func() (submission.Dialer, error) {
				return submission.HTTPConnect(&url.URL{Scheme: "http", User: user, Host: loopback(s.HTTPProxy)}, nil)
			}
		}
		open := func() (submission.Dialer, error) {
			return submission.HTTPConnect(&url.URL{Scheme: "http", Host: loopback(s.HTTPOpen)}, nil)
		}
		for _, c := range []struct {
			name    string
			dialer  func() (submission.Dialer, error)
			byName  bool
			reaches bool
		}{
			{"SOCKS5", socks(s.SOCKS, nil), false, true},
			{"SOCKS5 by name", socks(s.SOCKS, nil), true, true},
			{"SOCKS5 with a password", socks(s.SOCKSAuth, right), true, true},
			{"SOCKS5 with a wrong password", socks(s.SOCKSAuth, wrong), true, false},
			{"SOCKS5 without the password", socks(s.SOCKSAuth, nil), true, false},
			{"CONNECT", open, false, true},
			{"CONNECT by name", open, true, true},
			{"CONNECT with a password", connect(right), false, true},
			{"CONNECT with a password by name", connect(right), true, true},
			{"CONNECT with a wrong password", connect(wrong), true, false},
			{"CONNECT without the password", connect(nil), true, false},
		} {
			for _, mode := range []submission.TLSMode{submission.TLSStartTLS, submission.TLSImplicit} {
				t.Run(c.name+" "+mode.String(), func(t *testing.T) {
					dialer, err := c.dialer()
					if err != nil {
						t.Fatal(err)
					}
					addr := s.clear
					if mode == submission.TLSImplicit {
						addr = s.secure
					}
					if c.byName {
						addr = strings.Replace(addr, "127.0.0.1", resolverName, 1)
					}
					client := s.clientOf(t, addr, func(o *submission.Options) {
						o.TLS, o.Dialer, o.TLSConfig.ServerName = mode, dialer, serverName
					})
					m := newMessage("by proxy\r\n")
					res, err := client.Send(limited(t), submission.Envelope{To: submission.To("bob@test.example")}, m.reader())
					if c.reaches {
						accepted(t, m, res, err)
						s.expect(t, m, "bob@test.example")
						return
					}
					sendError(t, err, submission.NotSent)
					failure, ok := errors.AsType[*submission.ConnectError](err)
					if !ok || failure.Stage != submission.StageProxy {
						t.Errorf("got %v, want a *ConnectError of the proxy", err)
					}
					if strings.Contains(err.Error(), proxyPassword) || strings.Contains(err.Error(), "wrong") {
						t.Errorf("the error tells the password: %v", err)
					}
					s.expect(t, m)
				})
			}
		}
	})
}

// TestProxyToNowhere asks the proxies for a port on which nothing listens.
func TestProxyToNowhere(t *testing.T) {
	l, err := running()
	if err != nil {
		t.Fatal(err)
	}
	port, err := freePort(nil)
	if err != nil {
		t.Fatal(err)
	}
	dialer, err := submission.SOCKS5(loopback(l.SOCKS), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	client, err := submission.New(loopback(port), &submission.Options{Dialer: dialer})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	err = client.Ping(limited(t))
	if failure, ok := errors.AsType[*submission.ConnectError](err); !ok || failure.Stage != submission.StageProxy {
		t.Errorf("got %v, want a *ConnectError of the proxy", err)
	}
}
