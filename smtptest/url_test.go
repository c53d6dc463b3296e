package smtptest

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"net"
	"strings"
	"testing"
)

func TestURL(t *testing.T) {
	path := t.TempDir() + "/a socket?#%ü"
	given, _ := newCertificate(t, "given", x509.ExtKeyUsageServerAuth, 0)
	accounts := func(name, password string) map[string]string { return map[string]string{name: password} }
	for name, tt := range map[string]struct {
		config Config
		want   string // with PORT, PIN and PATH
	}{
		"STARTTLS":      {Config{}, "smtp://127.0.0.1:PORT?tls=starttls&pin=sha256:PIN"},
		"implicit":      {Config{TLS: ImplicitTLS}, "smtps://127.0.0.1:PORT?tls=implicit&pin=sha256:PIN"},
		"clear":         {Config{TLS: NoTLS}, "smtp://127.0.0.1:PORT?tls=none"},
		"own TLSConfig": {Config{TLSConfig: &tls.Config{Certificates: []tls.Certificate{given}}}, "smtp://127.0.0.1:PORT?tls=starttls&pin=sha256:PIN"},
		"IPv6":          {Config{Addr: "[::1]:0", TLS: NoTLS}, "smtp://[::1]:PORT?tls=none"},
		"all of IPv4":   {Config{Addr: "0.0.0.0:0", TLS: NoTLS}, "smtp://127.0.0.1:PORT?tls=none"},
		"everywhere":    {Config{Addr: ":0", TLS: NoTLS}, "smtp://127.0.0.1:PORT?tls=none"},
		"all of IPv6":   {Config{Addr: "[::]:0", TLS: NoTLS}, "smtp://[::1]:PORT?tls=none"},

		"LMTP":           {Config{LMTP: true}, "lmtp://127.0.0.1:PORT?tls=starttls&pin=sha256:PIN"},
		"LMTP, implicit": {Config{LMTP: true, TLS: ImplicitTLS}, "lmtp://127.0.0.1:PORT?tls=implicit&pin=sha256:PIN"},
		"LMTP, clear":    {Config{LMTP: true, TLS: NoTLS}, "lmtp://127.0.0.1:PORT?tls=none"},
		"socket": {Config{LMTP: true, TLS: NoTLS, Network: "unix", Addr: path, Accounts: accounts("me", "secret")},
			"lmtp://me:secret@PATH/a%20socket%3F%23%25%C3%BC?tls=none"},
		"socket, SMTP": {Config{TLS: NoTLS, Network: "unix", Addr: path}, "smtp://PATH/a%20socket%3F%23%25%C3%BC?tls=none"},

		"an account":         {Config{TLS: NoTLS, Accounts: accounts("me", "secret")}, "smtp://me:secret@127.0.0.1:PORT?tls=none"},
		"the first":          {Config{TLS: NoTLS, Accounts: map[string]string{"b": "2", "a": "1", "c": "3", "": "0"}}, "smtp://a:1@127.0.0.1:PORT?tls=none"},
		"nobody":             {Config{TLS: NoTLS, Accounts: accounts("", "0")}, "smtp://127.0.0.1:PORT?tls=none"},
		"an address":         {Config{TLS: NoTLS, Accounts: accounts("me@mail.example", "")}, "smtp://me%40mail.example:@127.0.0.1:PORT?tls=none"},
		"special characters": {Config{TLS: NoTLS, Accounts: accounts(`DOMAIN\ü`, "/?#[]@:% &=+\"")}, "smtp://DOMAIN%5C%C3%BC:%2F%3F%23%5B%5D%40%3A%25%20&=+%22@127.0.0.1:PORT?tls=none"},
	} {
		t.Run(name, func(t *testing.T) {
			needsIPv6(t, tt.config.Addr)
			s := newServer(t, &tt.config)
			want := strings.ReplaceAll(tt.want, "PATH", path[:strings.LastIndexByte(path, '/')])
			if c := s.Certificate(); c != nil {
				pin := sha256.Sum256(c.RawSubjectPublicKeyInfo)
				want = strings.ReplaceAll(want, "PIN", hex.EncodeToString(pin[:]))
			}
			_, port, err := net.SplitHostPort(s.Addr())
			if err == nil {
				want = strings.ReplaceAll(want, "PORT", port)
			}
			if got := s.URL(); got != want {
				t.Errorf("%s\nwant %s", got, want)
			}
			if s.Stop(); s.URL() != want {
				t.Errorf("while the server is stopped: %s", s.URL())
			}
		})
	}
}

// A socket whose path is relative has an absolute URL.
func TestURLRelative(t *testing.T) {
	t.Chdir(t.TempDir())
	s := newServer(t, &Config{LMTP: true, TLS: NoTLS, Network: "unix", Addr: "s"})
	if got := s.URL(); !strings.HasPrefix(got, "lmtp:///") || !strings.HasSuffix(got, "/s?tls=none") {
		t.Error(got)
	}
}

// Who asks for the URL can connect.
func TestURLAccepts(t *testing.T) {
	s := newServer(t, nil)
	s.URL()
	nc, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	over(t, nc).do("NOOP", "250")
}
