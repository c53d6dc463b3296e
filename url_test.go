package submission_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// A URL becomes an address and options, and New takes them.
func TestParseURL(t *testing.T) {
	me := submission.Password{Username: "me", Password: "hunter2"}
	var pin, other [32]byte
	for i := range pin {
		pin[i], other[i] = byte(i), byte(255-i)
	}
	for raw, want := range map[string]struct {
		addr string
		o    submission.Options
	}{
		"smtp://mail.example.net":                   {"mail.example.net", submission.Options{TLS: submission.TLSStartTLS}},
		"smtp://mail.example.net/":                  {"mail.example.net", submission.Options{TLS: submission.TLSStartTLS}},
		"SMTP://mail.example.net:2525":              {"mail.example.net:2525", submission.Options{TLS: submission.TLSStartTLS}},
		"smtp://mail.example.net:465":               {"mail.example.net:465", submission.Options{TLS: submission.TLSStartTLS}},
		"smtps://mail.example.net":                  {"mail.example.net", submission.Options{TLS: submission.TLSImplicit}},
		"smtps://mail.example.net:587":              {"mail.example.net:587", submission.Options{TLS: submission.TLSImplicit}},
		"smtps://[2001:db8::1]":                     {"[2001:db8::1]", submission.Options{TLS: submission.TLSImplicit}},
		"smtps://[2001:db8::1]:465":                 {"[2001:db8::1]:465", submission.Options{TLS: submission.TLSImplicit}},
		"lmtp://localhost:24":                       {"localhost:24", submission.Options{TLS: submission.TLSNone, LMTP: true}},
		"lmtp://localhost":                          {"localhost", submission.Options{TLS: submission.TLSNone, LMTP: true}},
		"lmtp:///run/dovecot/lmtp":                  {"unix:/run/dovecot/lmtp", submission.Options{TLS: submission.TLSNone, LMTP: true}},
		"lmtp:///run/a%20b?from=a@b.example":        {"unix:/run/a b", submission.Options{TLS: submission.TLSNone, LMTP: true, From: "a@b.example"}},
		"lmtp://localhost:24?tls=starttls":          {"localhost:24", submission.Options{TLS: submission.TLSStartTLS, LMTP: true}},
		"smtp://me:hunter2@h:587":                   {"h:587", submission.Options{TLS: submission.TLSStartTLS, Auth: me}},
		"smtp://me%40x.example:p%3Aw%2F%3F%23%40@h": {"h", submission.Options{TLS: submission.TLSStartTLS, Auth: submission.Password{Username: "me@x.example", Password: "p:w/?#@"}}},
		"smtp://h?tls=none":                         {"h", submission.Options{TLS: submission.TLSNone}},
		"smtp://h?tls=implicit":                     {"h", submission.Options{TLS: submission.TLSImplicit}},
		"smtps://h?tls=opportunistic":               {"h", submission.Options{TLS: submission.TLSOpportunistic}},
		"smtp://h?from=a@b.example&name=c.example":  {"h", submission.Options{TLS: submission.TLSStartTLS, From: "a@b.example", LocalName: "c.example"}},
		"smtp://h?timeout=1m30s&sessions=7":         {"h", submission.Options{TLS: submission.TLSStartTLS, Timeouts: submission.Timeouts{Command: 90 * time.Second}, Pool: submission.PoolOptions{MaxSessions: 7}}},
		"smtp://me:hunter2@h?auth=plain,Login":      {"h", submission.Options{TLS: submission.TLSStartTLS, Auth: submission.Password{Username: "me", Password: "hunter2", Mechanisms: []string{"PLAIN", "LOGIN"}}}},
		"smtp://h?pin=sha256:" + hex.EncodeToString(pin[:]) + "&pin=sha256:" + strings.ToUpper(hex.EncodeToString(other[:])): {"h", submission.Options{TLS: submission.TLSStartTLS, PinnedKeys: [][32]byte{pin, other}}},
	} {
		addr, o, err := submission.ParseURL(raw)
		if err != nil || addr != want.addr || !reflect.DeepEqual(*o, want.o) {
			t.Errorf("%s: %q, %+v, %v", raw, addr, o, err)
			continue
		}
		c, err := submission.New(addr, o)
		if err != nil {
			t.Errorf("%s: New: %v", raw, err)
			continue
		}
		c.Close()
	}
}

// What is wrong is named by its key; nothing that may be a secret is repeated.
func TestParseURLRefuses(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, []byte("hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	for raw, option := range map[string]string{
		"": "URL", "mail.example.net": "URL", "mail.example.net:587": "URL", "me:hunter2@h:587": "URL", "smtp:me:hunter2@h": "URL",
		"http://me:hunter2@h": "URL", "://me:hunter2@h": "URL", "smtp://": "URL", "smtp:///": "URL", "smtp:///path": "URL", "lmtp://": "URL", "lmtp:///": "URL",
		"smtp://me:hunter2@h/path": "URL", "smtp://me:hunter2@h#x": "URL", "smtp://me:hunter2@h#": "URL", "smtp://me:hunter2@h:0": "URL", "smtp://me:hunter2@h:99999": "URL", "smtp://me:hunter2@h:x": "URL",
		"smtp://me:hunter2%@h": "URL", "smtp://me:hunter2%zz@h": "URL", "smtp://me:hunter2/x@h": "URL", "smtp://me:12/hunter2@h": "URL", "smtp://me:hunter2?x@h": "URL", "smtp://me:12?hunter2@h": "URL", "smtp://me:12?hunter=2@h": "URL",
		"smtp://me:12#hunter2@h": "URL", "smtp://me:hunter2\n@h": "URL", "smtp://me:hunter2 @h": "URL", "smtp://me:hunter2@h?a=%zz": "URL", "smtp://me:hunter2@h?a;b": "URL",
		"smtp://me@h": "URL", "smtp://:hunter2@h": "URL", "smtp://@h": "URL",
		"smtp://me:hunter2@h?foo=hunter2": "foo", "smtp://h?foo=1": "foo", "smtp://h?foo": "foo", "smtp://h?TLS=none": "TLS",
		"smtp://h?tls=hunter2": "tls", "smtp://h?tls=": "tls", "smtp://h?tls=auto": "tls", "smtp://h?tls=none&tls=none": "tls",
		"smtp://h?from=": "from", "smtp://h?name=": "name",
		"smtp://h?ca=" + filepath.Join(dir, "none.pem"): "ca", "smtp://h?ca=" + empty: "ca",
		"smtp://h?pin=hunter2": "pin", "smtp://h?pin=sha256:": "pin", "smtp://h?pin=sha256:" + strings.Repeat("0", 63): "pin", "smtp://h?pin=sha256:" + strings.Repeat("0", 65): "pin",
		"smtp://h?pin=sha256:" + strings.Repeat("g", 64): "pin", "smtp://h?pin=" + strings.Repeat("0", 64): "pin",
		"smtp://h?auth=plain": "auth", "smtp://me:hunter2@h?auth=plain,": "auth",
		"smtp://h?proxy=hunter2": "proxy", "smtp://h?proxy=ftp://me:hunter2@p": "proxy", "smtp://h?proxy=socks5://me:hunter2@": "proxy",
		"smtp://h?timeout=hunter2": "timeout", "smtp://h?timeout=0s": "timeout", "smtp://h?timeout=-1s": "timeout", "smtp://h?timeout=30": "timeout",
		"smtp://h?sessions=0": "sessions", "smtp://h?sessions=-1": "sessions", "smtp://h?sessions=hunter2": "sessions",
	} {
		addr, o, err := submission.ParseURL(raw)
		e := (*submission.OptionError)(nil)
		if !errors.As(err, &e) || e.Option != option || addr != "" || o != nil {
			t.Errorf("%s: %q, %v, %v, want an OptionError of %s", raw, addr, o, err, option)
			continue
		}
		for err := error(e); err != nil; err = errors.Unwrap(err) {
			if text := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(text, "hunter2") || strings.Contains(text, "hunter") {
				t.Errorf("%s: repeated: %s", raw, text)
			}
		}
	}
}

// A URL with a CA and one with a pin reach a server whose certificate nobody else knows.
func TestParseURLTrust(t *testing.T) {
	srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.ImplicitTLS, Accounts: map[string]string{"me": "p@ss/word"}})
	defer srv.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	cert := serverCertificate(t, srv)
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	pin := submission.KeyPin(cert)
	if pin != sha256.Sum256(cert.RawSubjectPublicKeyInfo) {
		t.Error("KeyPin is another sum")
	}
	for _, key := range []string{"ca=" + ca, "pin=sha256:" + hex.EncodeToString(pin[:])} {
		addr, o, err := submission.ParseURL("smtps://me:p%40ss%2Fword@" + srv.Addr() + "?" + key)
		if err != nil {
			t.Fatal(err)
		}
		c, err := submission.New(addr, o)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Ping(t.Context()); err != nil {
			t.Errorf("%s: %v", key, err)
		}
		c.Close()
	}
}

// A proxy of a URL is dialed through.
func TestParseURLProxy(t *testing.T) {
	for _, scheme := range []string{"socks5", "http", "https"} {
		_, o, err := submission.ParseURL("smtp://h?proxy=" + scheme + "://me:hunter2@proxy.example.net:1080")
		if err != nil || o.Dialer == nil {
			t.Errorf("%s: %v", scheme, err)
			continue
		}
		if text := fmt.Sprintf("%+v", o.Dialer); !strings.Contains(text, "proxy.example.net:1080") || strings.Contains(text, "hunter2") {
			t.Errorf("%s: %s", scheme, text)
		}
	}
}

// A mode of TLS is text in a file of configuration.
func TestTLSModeText(t *testing.T) {
	modes := []submission.TLSMode{submission.TLSAuto, submission.TLSImplicit, submission.TLSStartTLS, submission.TLSOpportunistic, submission.TLSNone}
	text, err := json.Marshal(modes)
	if err != nil || string(text) != `["auto","implicit","starttls","opportunistic","none"]` {
		t.Errorf("%s, %v", text, err)
	}
	var read []submission.TLSMode
	if err := json.Unmarshal(text, &read); err != nil || !slices.Equal(read, modes) {
		t.Errorf("%v, %v", read, err)
	}
	var mode submission.TLSMode
	if err := mode.UnmarshalText([]byte("StartTLS")); err != nil || mode != submission.TLSStartTLS {
		t.Errorf("%v, %v", mode, err)
	}
	if err := mode.UnmarshalText([]byte("ssl")); err == nil || mode != submission.TLSStartTLS {
		t.Errorf("%v, %v", mode, err)
	}
	if _, err := submission.TLSMode(99).MarshalText(); err == nil {
		t.Error("no error for a mode that is none")
	}
}
