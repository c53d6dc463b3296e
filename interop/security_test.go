//go:build linux

package interop

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fe022423/submission"
)

// TestTLSModes sends over each kind of connection. The server's own Received
// header must say that it saw TLS, or that it saw none.
func TestTLSModes(t *testing.T) {
	eachServer(t, func(t *testing.T, s server) {
		for _, c := range []struct {
			name     string
			addr     string
			mode     submission.TLSMode
			protocol string // RFC 3848
		}{
			{"clear", s.clear, submission.TLSNone, "ESMTPA"},
			{"STARTTLS", s.clear, submission.TLSStartTLS, "ESMTPSA"},
			{"auto", s.clear, submission.TLSAuto, "ESMTPSA"},
			{"opportunistic", s.clear, submission.TLSOpportunistic, "ESMTPSA"},
			{"implicit", s.secure, submission.TLSImplicit, "ESMTPSA"},
		} {
			t.Run(c.name, func(t *testing.T) {
				client := s.clientOf(t, c.addr, func(o *submission.Options) { o.TLS = c.mode })
				session, err := client.Dial(limited(t))
				if err != nil {
					t.Fatal(err)
				}
				state, secured := session.TLS()
				if want := c.protocol == "ESMTPSA"; secured != want || state.HandshakeComplete != want {
					t.Errorf("TLS: got %v and handshake %v, want %v", secured, state.HandshakeComplete, want)
				}
				if err := session.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
				m := newMessage("over " + c.name + "\r\n")
				res, err := client.Send(limited(t), submission.Envelope{To: submission.To("bob@test.example")}, m.reader())
				accepted(t, m, res, err)
				for _, d := range s.expect(t, m, "bob@test.example") {
					// The submission server's trace header is the lowest.
					last := d.trace[strings.LastIndex(d.trace, "Received: "):]
					if !strings.Contains(last, "with "+c.protocol+" ") && !strings.Contains(last, "with "+c.protocol+"\r\n") {
						t.Errorf("want %s in %q", c.protocol, last)
					}
				}
			})
		}
	})
}

// TestCertificate checks whom the client trusts, on both kinds of port.
func TestCertificate(t *testing.T) {
	eachServer(t, func(t *testing.T, s server) {
		strangers := x509.NewCertPool()
		for _, c := range []struct {
			name    string
			config  *tls.Config
			pins    [][32]byte
			trusted bool
		}{
			{"address", &tls.Config{RootCAs: roots(s.CA)}, nil, true},
			{"name", &tls.Config{RootCAs: roots(s.CA), ServerName: serverName}, nil, true},
			{"wrong name", &tls.Config{RootCAs: roots(s.CA), ServerName: "other.example"}, nil, false},
			{"unknown CA", &tls.Config{RootCAs: strangers}, nil, false},
			{"pinned key", &tls.Config{RootCAs: strangers}, [][32]byte{s.pin(t)}, true},
			{"other pinned key", &tls.Config{RootCAs: roots(s.CA)}, [][32]byte{{1}}, false},
		} {
			for port, addr := range map[string]string{"STARTTLS": s.clear, "implicit": s.secure} {
				t.Run(c.name+" "+port, func(t *testing.T) {
					client := s.clientOf(t, addr, func(o *submission.Options) {
						o.TLSConfig, o.PinnedKeys = c.config, c.pins
						if port == "implicit" {
							o.TLS = submission.TLSImplicit
						}
					})
					err := client.Ping(limited(t))
					if c.trusted {
						if err != nil {
							t.Error(err)
						}
						return
					}
					failure, ok := errors.AsType[*submission.TLSError](err)
					if !ok {
						t.Fatalf("got %v, want a *TLSError", err)
					}
					if failure.Temporary() {
						t.Errorf("temporary: %v", err)
					}
				})
			}
		}
	})
}

// pin is the SHA-256 of the servers' SubjectPublicKeyInfo.
func (s server) pin(t *testing.T) [32]byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.Dir, "cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(cert.RawSubjectPublicKeyInfo)
}

// TestWrongPort mixes the ports up: the error must come with advice.
func TestWrongPort(t *testing.T) {
	eachServer(t, func(t *testing.T, s server) {
		t.Run("TLS to a clear port", func(t *testing.T) {
			err := s.clientOf(t, s.clear, func(o *submission.Options) { o.TLS = submission.TLSImplicit }).Ping(limited(t))
			failure, ok := errors.AsType[*submission.TLSError](err)
			if !ok || failure.Hint == "" {
				t.Errorf("got %v, want a *TLSError with a hint", err)
			}
		})
		t.Run("clear text to a TLS port", func(t *testing.T) {
			// The server waits for a ClientHello as we wait for a greeting.
			err := s.clientOf(t, s.secure, func(o *submission.Options) {
				o.TLS, o.Timeouts.Greeting = submission.TLSNone, 300*time.Millisecond
			}).Ping(limited(t))
			failure, ok := errors.AsType[*submission.ConnectError](err)
			if !ok || failure.Hint == "" || failure.Stage != submission.StageGreeting {
				t.Errorf("got %v, want a *ConnectError with a hint", err)
			}
		})
	})
}

// refused checks the error of wrong credentials.
func refused(t *testing.T, err error, mechanism string) {
	t.Helper()
	failure, ok := errors.AsType[*submission.AuthError](err)
	if !ok {
		t.Errorf("got %v, want an *AuthError", err)
		return
	}
	if failure.Reply == nil || failure.Reply.Code != 535 {
		t.Errorf("got the reply %v, want a 535: %v", failure.Reply, err)
	}
	if failure.Temporary() {
		t.Errorf("temporary: %v", err)
	}
	if mechanism != "" && failure.Mechanism != mechanism {
		t.Errorf("mechanism: got %q, want %q", failure.Mechanism, mechanism)
	}
	if len(failure.Offered) == 0 {
		t.Errorf("no mechanisms offered in %+v", failure)
	}
	if strings.Contains(err.Error(), "not-the-password") || strings.Contains(err.Error(), "not-the-token") || strings.Contains(err.Error(), password) {
		t.Errorf("the error tells the secret: %v", err)
	}
}

// TestSendUnauthenticated sends with wrong credentials and with none: nothing
// may be delivered.
func TestSendUnauthenticated(t *testing.T) {
	eachServer(t, func(t *testing.T, s server) {
		for _, tr := range transfers {
			t.Run(tr.name, func(t *testing.T) {
				m := newMessage("from a stranger\r\n")
				env := submission.Envelope{To: submission.To("bob@test.example")}

				wrong := func(o *submission.Options) {
					o.Auth = submission.Password{Username: account, Password: "not-the-password"}
				}
				_, err := s.client(t, tr.options, wrong).Send(limited(t), env, m.reader())
				refused(t, err, "")
				if failure := sendError(t, err, submission.NotSent); failure.Stage != submission.StageAuth {
					t.Errorf("stage: got %v, want AUTH", failure.Stage)
				}

				none := func(o *submission.Options) { o.Auth = nil }
				_, err = s.client(t, tr.options, none).Send(limited(t), env, m.reader())
				failure := sendError(t, err, submission.NotSent)
				// Postfix refuses the recipient, Dovecot the sender.
				if failure.Stage != submission.StageRcpt && failure.Stage != submission.StageMail {
					t.Errorf("stage: got %v, want MAIL or RCPT", failure.Stage)
				}
				if failure.Reply == nil || !failure.Reply.Permanent() || failure.Temporary() {
					t.Errorf("got the reply %v, want a permanent refusal: %v", failure.Reply, err)
				}
				s.expect(t, m)
			})
		}
	})
}
