package submission_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/fe022423/submission"
)

// hostsWithCredentials is what people write where a host is wanted.
var hostsWithCredentials = []string{
	"smtps://me:hunter2@host:465", "smtp://me:hunter2@host", "smtps://me:hunter2@[::1]:465", "smtp://hunter2",
	"me:hunter2@host:587", "me:hunter2@host", "hunter2@host", "hunter2@host:587", "me@hunter2:587", "@hunter2",
	"me:hunter2@[::1]:587", "[me:hunter2@::1]:587", "[me:hunter2@::1]", "me:hunter2@127.0.0.1", "me:hunter2@127.0.0.1:25",
	"hunter2@::1", "fe80::1%hunter2@x", "//me:hunter2@host", "host:587/?pass=hunter2@x", "host:hunter2@x",
	"http://me:hunter2@proxy:8080", "socks5://me:hunter2@proxy:1080", "me:hunter2@host:587\r\n", "me:hunter2\x00@host",
	"mé:hunter2@hóst:587", "me:hunter2@host:99999", "hunter2://", "me:hunter2@host..example",
}

// TestHostsWithCredentialsAreNotRepeated has addresses with credentials in them
// refused, by everything that takes a host, in words that do not repeat them.
func TestHostsWithCredentialsAreNotRepeated(t *testing.T) {
	refusedBy := map[string]func(host string) (option string, err error){
		"New": func(host string) (string, error) {
			_, err := submission.New(host, nil)
			return "addr", err
		},
		"NewSession": func(host string) (string, error) {
			_, err := submission.NewSession(context.Background(), play(t, "whole", "eof"), host, nil)
			return "addr", err
		},
		"SOCKS5": func(host string) (string, error) {
			_, err := submission.SOCKS5(host, nil, nil)
			return "proxyAddr", err
		},
		"LocalAddr": func(host string) (string, error) {
			_, err := submission.New(testHost, &submission.Options{LocalAddr: host})
			return "LocalAddr", err
		},
		"LocalName": func(host string) (string, error) {
			_, err := submission.New(testHost, &submission.Options{LocalName: host})
			return "LocalName", err
		},
		"TLSConfig": func(host string) (string, error) {
			_, err := submission.New(testHost, &submission.Options{TLSConfig: &tls.Config{ServerName: host}})
			return "TLSConfig", err
		},
		"HTTPConnect, as its host": func(host string) (string, error) {
			_, err := submission.HTTPConnect(&url.URL{Scheme: "http", Host: host}, nil)
			return "proxyURL", err
		},
		"HTTPConnect, as its host, TLS": func(host string) (string, error) {
			_, err := submission.HTTPConnect(&url.URL{Scheme: "https", Host: host}, nil)
			return "proxyURL", err
		},
		"HTTPConnect, as its path": func(host string) (string, error) {
			_, err := submission.HTTPConnect(&url.URL{Scheme: "http", Host: "proxy", Path: host}, nil)
			return "proxyURL", err
		},
		"HTTPConnect, as its query": func(host string) (string, error) {
			_, err := submission.HTTPConnect(&url.URL{Scheme: "http", Host: "proxy", RawQuery: host}, nil)
			return "proxyURL", err
		},
		"HTTPConnect, as its fragment": func(host string) (string, error) {
			_, err := submission.HTTPConnect(&url.URL{Scheme: "http", Host: "proxy", Fragment: host}, nil)
			return "proxyURL", err
		},
		"HTTPConnect, opaque": func(host string) (string, error) {
			_, err := submission.HTTPConnect(&url.URL{Scheme: "hunter2", Opaque: host}, nil)
			return "proxyURL", err
		},
		"HTTPConnect, as its scheme": func(host string) (string, error) {
			_, err := submission.HTTPConnect(&url.URL{Scheme: host, Host: "proxy"}, nil)
			return "proxyURL", err
		},
	}
	for by, refuse := range refusedBy {
		for _, host := range hostsWithCredentials {
			t.Run(by+", "+host, func(t *testing.T) {
				option, err := refuse(host)
				e := wantError[*submission.OptionError](t, err)
				if e.Option != option {
					t.Errorf("option %q, want %q", e.Option, option)
				}
				for how, text := range renderings(err) {
					if strings.Contains(text, "hunter2") {
						t.Errorf("%s repeats it: %s", how, text)
					}
				}
				for cause := error(e); cause != nil; cause = errors.Unwrap(cause) {
					if strings.Contains(fmt.Sprintf("%v %+v %#v", cause, cause, cause), "hunter2") {
						t.Errorf("the cause repeats it: %#v", cause)
					}
				}
			})
		}
	}
}

// TestHostsWithCredentialsGetAdvice checks what the refusal says.
func TestHostsWithCredentialsGetAdvice(t *testing.T) {
	_, err := submission.New("smtps://me:hunter2@host:465", nil)
	for _, want := range []string{"host:port", "Options.Auth", "ParseURL"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not said: %v", want, err)
		}
	}
	_, err = submission.SOCKS5("me:hunter2@proxy:1080", nil, nil)
	if !strings.Contains(err.Error(), "host:port") || strings.Contains(err.Error(), "Options.Auth") {
		t.Errorf("%v", err)
	}
}

// TestProxyDialersDoNotPrint prints dialers through proxies, alone, in each other
// and in what holds them, under every verb.
func TestProxyDialersDoNotPrint(t *testing.T) {
	user := url.UserPassword("the-user", secretWord)
	socks, err := submission.SOCKS5("proxy.test.example:1080", user, nil)
	if err != nil {
		t.Fatal(err)
	}
	connect, err := submission.HTTPConnect(&url.URL{Scheme: "http", Host: "proxy.test.example:8080", User: user}, nil)
	if err != nil {
		t.Fatal(err)
	}
	overSOCKS, err := submission.HTTPConnect(&url.URL{Scheme: "https", Host: "proxy.test.example", User: user}, socks)
	if err != nil {
		t.Fatal(err)
	}
	overConnect, err := submission.SOCKS5("proxy.test.example:1080", user, connect)
	if err != nil {
		t.Fatal(err)
	}
	for name, d := range map[string]submission.Dialer{"SOCKS5": socks, "HTTPConnect": connect, "HTTPConnect over SOCKS5": overSOCKS, "SOCKS5 over HTTPConnect": overConnect} {
		client, err := submission.New(testHost, &submission.Options{Dialer: d})
		if err != nil {
			t.Fatal(err)
		}
		for holder, v := range map[string]any{
			"alone": d, "Fallback": submission.Fallback(d, d), "slice": []submission.Dialer{d}, "Options": submission.Options{Dialer: d},
			"*Options": &submission.Options{Dialer: d}, "struct": struct{ D submission.Dialer }{d}, "hidden": struct{ d submission.Dialer }{d},
			"Client": client, "map": map[string]submission.Dialer{"d": d},
		} {
			for how, text := range renderings(v) {
				wantNoSecret(t, name+", "+holder+", "+how, text)
				if strings.Contains(text, "the-user") {
					t.Errorf("%s, %s, %s shows the user: %s", name, holder, how, text)
				}
			}
		}
		if text := fmt.Sprintf("%v", d); !strings.Contains(text, "proxy.test.example") {
			t.Errorf("%s does not say where it goes: %s", name, text)
		}
		client.Close()
	}
	// A connection prints no more than its dialer.
	nc, err := connectOver(t, user).DialContext(context.Background(), "tcp", "mail.test.example:25")
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for how, text := range renderings(nc) {
		wantNoSecret(t, "connection, "+how, text)
	}
}

// connectOver is an HTTPConnect dialer with a proxy at once.
func connectOver(t *testing.T, user *url.Userinfo) submission.Dialer {
	t.Helper()
	forward := dialFunc(func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			serveConnect("")(server)
		}()
		return client, nil
	})
	d, err := submission.HTTPConnect(&url.URL{Scheme: "http", Host: "proxy.test.example:8080", User: user}, forward)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
