package submission_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/fe022423/submission"
)

// wantSays checks that the text of err names each of has and none of hasNot. A hint
// must not be given where it is wrong, so the tables of the hint tests have both.
func wantSays(t testing.TB, err error, has, hasNot []string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	checkErrorText(t, err)
	for _, want := range has {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not said: %v", want, err)
		}
	}
	for _, not := range hasNot {
		if strings.Contains(err.Error(), not) {
			t.Errorf("%q is said: %v", not, err)
		}
	}
}

// words is a list of words, separated by "|".
func words(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, "|")
}

// hinted is a session that must not come about, and what its error says.
type hinted struct {
	name        string
	script      string // of the server
	remote      string // "ip:port" of the server; "" for port 587
	set         func(*submission.Options)
	has, hasNot string // separated by "|"
	is          error
	isNot       error
	temporary   bool
}

// run plays the script in every delivery, in fake time.
func (h hinted) run(t *testing.T) {
	t.Helper()
	t.Run(h.name, func(t *testing.T) {
		eachDelivery(t, func(t *testing.T, delivery string) {
			synctest.Test(t, func(t *testing.T) {
				remote := h.remote
				if remote == "" {
					remote = "192.0.2.25:587"
				}
				o := plainText()
				if h.set != nil {
					h.set(o)
				}
				_, err := submission.NewSession(t.Context(), between(play(t, delivery, h.script), "192.0.2.1:40000", remote), testHost, o)
				wantSays(t, err, words(h.has), words(h.hasNot))
				if h.is != nil && !errors.Is(err, h.is) {
					t.Errorf("%v is no %v", err, h.is)
				}
				if h.isNot != nil && errors.Is(err, h.isNot) {
					t.Errorf("%v is %v", err, h.isNot)
				}
				if isTemporary(err) != h.temporary {
					t.Errorf("temporary %v: %v", isTemporary(err), err)
				}
			})
		})
	})
}

// hintPeer is a small server with a certificate of an authority that the client
// knows.
type hintPeer struct {
	ca       *authority
	cfg      *tls.Config
	greeting string // under implicit TLS, instead of the usual one
	hello    string // the reply to EHLO under TLS
	inClear  string // said past TLS, in place of that reply
	addr     string // host:port that the client was told
}

// newHintPeer makes a server whose certificate has the template's names and times.
func newHintPeer(t *testing.T, template *x509.Certificate) *hintPeer {
	t.Helper()
	ca := newAuthority(t, "the issuer")
	return &hintPeer{ca: ca, cfg: &tls.Config{Certificates: []tls.Certificate{ca.issue(t, template)}}, greeting: "220 hi\r\n", hello: "250 mail\r\n"}
}

// serve is one session: with TLS from the first byte, or from the first STARTTLS on.
func (p *hintPeer) serve(raw net.Conn, implicit bool) {
	defer raw.Close()
	if !implicit && !talk(raw, true) {
		return
	}
	secured := tls.Server(raw, p.cfg)
	if secured.Handshake() != nil {
		return
	}
	if implicit {
		io.WriteString(secured, p.greeting)
	}
	if p.greeting == "" {
		return
	}
	in := bufio.NewReader(secured)
	for {
		line, err := in.ReadString('\n')
		switch {
		case err != nil:
			return
		case strings.HasPrefix(line, "QUIT"):
			io.WriteString(secured, "221 bye\r\n")
		case p.inClear != "":
			io.WriteString(raw, p.inClear)
		default:
			io.WriteString(secured, p.hello)
		}
	}
}

// dial dials the server and returns the error.
func (p *hintPeer) dial(t *testing.T, mode submission.TLSMode, set ...func(*submission.Options)) error {
	t.Helper()
	o := plainText(withTLS(mode))
	o.TLSConfig = &tls.Config{RootCAs: p.ca.pool()}
	for _, f := range set {
		f(o)
	}
	addr := listen(t, func(nc net.Conn) { p.serve(nc, mode == submission.TLSImplicit) })
	o.Dialer = dialFunc(func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, addr)
	})
	if p.addr == "" {
		p.addr = testHost
	}
	c, err := submission.New(p.addr, o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.Ping(t.Context())
}
