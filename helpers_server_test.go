package submission_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// testHost is the server of the scripts.
const testHost = "mail.test.example"

// deliveries are the ways in which a script's server lines can arrive.
var deliveries = []string{"whole", "bytes", "joined"}

// eachDelivery runs f as a subtest for each of deliveries.
func eachDelivery(t *testing.T, f func(t *testing.T, delivery string)) {
	t.Helper()
	for _, d := range deliveries {
		t.Run(d, func(t *testing.T) { f(t, d) })
	}
}

// play is smtptest.Play with a script that is delivered in one of deliveries.
func play(t testing.TB, delivery, script string) net.Conn {
	t.Helper()
	return smtptest.Play(t, "deliver "+delivery+"\n"+script)
}

// plainText returns options for sessions without TLS, changed by each of set.
func plainText(set ...func(*submission.Options)) *submission.Options {
	o := &submission.Options{TLS: submission.TLSNone, LocalName: "client.test.example"}
	for _, f := range set {
		f(o)
	}
	return o
}

// openSession makes a session over nc and fails the test when there is none.
func openSession(t testing.TB, nc net.Conn, o *submission.Options) *submission.Session {
	t.Helper()
	s, err := submission.NewSession(context.Background(), nc, testHost, o)
	if err != nil {
		t.Fatalf("NewSession: %v", err)
	}
	return s
}

// wantError returns the T in err's tree and fails the test when there is none.
func wantError[T error](t testing.TB, err error) T {
	t.Helper()
	var want T
	if !errors.As(err, &want) {
		t.Fatalf("error %v (%T), want a %T", err, err, want)
	}
	checkErrorText(t, err)
	return want
}

// checkErrorText checks what holds for the text of every error: one line,
// printable, and the package named once.
func checkErrorText(t testing.TB, err error) {
	t.Helper()
	text := err.Error()
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		t.Errorf("error text with control characters: %q", text)
	}
	if strings.Count(text, "submission: ") != 1 || !strings.HasPrefix(text, "submission: ") {
		t.Errorf("error text %q, want one %q in front", text, "submission: ")
	}
}

// isTemporary asks err whether trying later may help.
func isTemporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}

// addrConn is a connection that claims to be between other addresses.
type addrConn struct {
	net.Conn
	local, remote net.Addr
}

func (c addrConn) LocalAddr() net.Addr  { return c.local }
func (c addrConn) RemoteAddr() net.Addr { return c.remote }

// between returns nc with TCP addresses, "ip:port" each.
func between(nc net.Conn, local, remote string) net.Conn {
	return addrConn{nc, tcpAddr(local), tcpAddr(remote)}
}

// away returns nc as a connection to another machine, at port 587.
func away(nc net.Conn) net.Conn { return between(nc, "192.0.2.1:40000", "192.0.2.25:587") }

type tcpAddr string

func (tcpAddr) Network() string  { return "tcp" }
func (a tcpAddr) String() string { return string(a) }

// dialFunc is a function that is a Dialer.
type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

func (f dialFunc) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return f(ctx, network, addr)
}
