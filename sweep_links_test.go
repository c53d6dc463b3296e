package submission_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"slices"
	"testing"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// sweepLinks are connections that stand between the client and the one that is
// cut. None of them shows a socket.
var sweepLinks = map[string]func(net.Conn) net.Conn{
	"plain wrapper": hideAll,
	"unbuffered":    unbuffered,
}

// unbuffered returns a connection like net.Pipe that leads to nc: what comes from
// there waits in a write until it is read. It ends with nc.
func unbuffered(nc net.Conn) net.Conn {
	near, far := net.Pipe()
	go func() {
		defer far.Close()
		io.Copy(far, plainConn{nc})
	}()
	go func() {
		defer nc.Close()
		io.Copy(plainConn{nc}, far)
	}()
	return near
}

// over returns the case with another connection between its client and its
// server. What Options.TLSClient returns may be any connection, also one that
// encrypts nothing: so it is put where TLS would be.
func (c sweepCase) over(wrap func(net.Conn) net.Conn) sweepCase {
	switch c.config.TLS {
	case smtptest.NoTLS:
		c.options.TLS = submission.TLSImplicit
		c.options.TLSClient = func(_ context.Context, nc net.Conn, _ *tls.Config) (net.Conn, error) { return wrap(nc), nil }
	default:
		c.options.TLSClient = func(ctx context.Context, nc net.Conn, cfg *tls.Config) (net.Conn, error) {
			secured := tls.Client(wrap(nc), cfg)
			return plainConn{secured}, secured.HandshakeContext(ctx)
		}
		c.options.InsecureAuth = true // nobody can see what this TLS is worth
	}
	return c
}

// everyNth keeps a choice of points, the first and the last among them.
func everyNth(n int, list []int64) (kept []int64) {
	if *fullSweep {
		return list
	}
	for i := 0; i < len(list); i += n {
		kept = append(kept, list[i])
	}
	if last := list[len(list)-1]; !slices.Contains(kept, last) {
		kept = append(kept, last)
	}
	return kept
}

// TestCutSweepOverLinks is TestCutSweep over connections that cannot be asked
// whether something waits, at a choice of its points.
func TestCutSweepOverLinks(t *testing.T) {
	for name, wrap := range sweepLinks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var all verdicts
			for _, c := range sweepCases() {
				c = c.over(wrap)
				t.Run(c.name, func(t *testing.T) {
					var good, v verdicts
					read, written := c.bubble(t, smtptest.Fault{}, &good)
					if good.sent+good.partly != 1 {
						t.Fatalf("the session does not succeed uncut: %+v", good)
					}
					stride := 5
					if len(c.message) > 1000 {
						stride = 19
					}
					secure := c.options.Auth != nil
					for _, n := range everyNth(stride, points(read, secure)) {
						c.bubble(t, smtptest.Fault{Read: smtptest.After(n)}, &v)
					}
					for _, n := range everyNth(stride, points(written, secure)) {
						c.bubble(t, smtptest.Fault{Write: smtptest.After(n)}, &v)
						c.bubble(t, smtptest.Fault{Write: smtptest.After(n), Mode: smtptest.FalseError}, &v)
					}
					t.Logf("%+v", v)
					all.cells += v.cells
					all.wrong += v.wrong
				})
			}
			t.Logf("%d cells, %d contradictions", all.cells, all.wrong)
		})
	}
}
