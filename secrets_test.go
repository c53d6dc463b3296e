package submission_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// wantNoPart checks that text holds neither secretWord nor a part of it that is
// longer than chance explains.
func wantNoPart(t *testing.T, where, text string) {
	t.Helper()
	wantNoSecret(t, where, text)
	const part = 6
	for i := range len(secretWord) - part + 1 {
		if strings.Contains(text, secretWord[i:i+part]) {
			t.Errorf("%s shows a part of the secret: %.300q", where, text)
			return
		}
	}
}

// knowsPassword are Auths that know their secret before the session begins.
var knowsPassword = map[string]submission.Auth{
	"Password":  submission.Password{Username: secretUser, Password: secretWord},
	"*Password": &submission.Password{Username: secretUser, Password: secretWord},
	"embedded":  struct{ submission.Password }{submission.Password{Username: secretUser, Password: secretWord}},
}

// TestSecretsBeforeAuth has a server that repeats the password from its first
// octet on, as one does that knows it from an earlier session.
func TestSecretsBeforeAuth(t *testing.T) {
	const mail = "S: 220 hi\nC: EHLO client.test.example\n"
	places := map[string]string{
		"greeting 554":            "S: 554 @" + quit,
		"greeting 554 in lines":   "S: 554-no\nS: 554 @" + quit,
		"greeting 421":            "S: 421 @\neof",
		"greeting 250":            "S: 250 @\neof",
		"greeting garbage":        "S! @\neof",
		"greeting half a code":    "S! 22@\neof",
		"greeting mixed codes":    "S: 220-hi\nS: 554 @\neof",
		"greeting and more":       "S: 220 hi\nS! 250 @\neof",
		"greeting, a reply ahead": "S: 220 @\nS! 220 @\neof",
		"EHLO 550":                mail + "S: 550 @" + quit,
		"EHLO 421":                mail + "S: 421 @\neof",
		"EHLO garbage":            mail + "S! @\neof",
		"EHLO 354":                mail + "S: 354 @\neof",
		"EHLO, then HELO":         mail + "S: 502 @" + quit,
		"EHLO, as the server":     mail + "S: 250 @" + quit,
		"EHLO, as an extension":   mail + "S: 250-mail\nS: 250 X-@" + quit,
		"EHLO, as a mechanism":    mail + "S: 250-mail\nS: 250 AUTH GSSAPI @" + quit,
		"EHLO, AUTH=":             mail + "S: 250-mail\nS: 250 AUTH=@ GSSAPI" + quit,
		"STARTTLS 454":            mail + "S: 250-mail\nS: 250 STARTTLS\nC: STARTTLS\nS: 454 @" + quit,
	}
	for authName, auth := range knowsPassword {
		for placeName, place := range places {
			for echoName, echo := range echoes(secretWord) {
				if strings.Contains(echo, " ") && strings.Contains(place, "=@") {
					continue
				}
				t.Run(authName+", "+placeName+", "+echoName, func(t *testing.T) {
					script := strings.ReplaceAll(place, "@", echo)
					var w watch
					o := plainText(withAuthInClear(auth), w.options)
					if strings.Contains(script, "STARTTLS") {
						o.TLS = submission.TLSStartTLS
					}
					s, err := submission.NewSession(context.Background(), play(t, "joined", script), testHost, o)
					if err == nil {
						t.Fatalf("a session: %v", s)
					}
					if len(w.trace) == 0 || strings.HasPrefix(w.trace[0], "closed") {
						w.trace = append(w.trace, "nothing that is a reply came")
						w.text.WriteByte('\n')
						w.js.WriteByte('\n')
					}
					w.check(t, err)
					var auth *submission.AuthError
					if errors.As(err, &auth) {
						wantNoSecret(t, "what is offered", strings.Join(auth.Offered, " "))
					}
				})
			}
		}
	}
}

// TestSecretsOfTheSessionBefore has a server that repeats, with the greeting of another
// session of the Client, what it was shown in the one before: also what no Auth knows
// from the start.
func TestSecretsOfTheSessionBefore(t *testing.T) {
	inner := map[string]submission.Auth{
		"Password": submission.Password{Username: secretUser, Password: secretWord},
		"OAuth2":   submission.OAuth2{Username: secretUser, Token: func(context.Context, bool) (string, error) { return secretWord, nil }},
	}
	for name, auth := range inner {
		for around, wrap := range arounds {
			for _, verb := range []string{"CONNECT", "EHLO"} {
				for echoName, echo := range echoes(secretWord) {
					srv := serve(t, &smtptest.Config{TLS: smtptest.NoTLS, Accounts: map[string]string{secretUser: secretWord}, Mechanisms: []string{"CRAM-MD5", "XOAUTH2"},
						Hook: func(c smtptest.Command) *smtptest.Answer {
							if c.Session == 2 && c.Verb == verb {
								return &smtptest.Answer{Reply: "554 " + echo}
							}
							return nil
						}})
					var w watch
					o := plainText(withAuthInClear(wrap(auth)), w.options)
					o.Dialer = dialFunc(func(context.Context, string, string) (net.Conn, error) { return srv.Pipe(), nil })
					o.Pool.MaxMessages = 1
					c, err := submission.New(testHost, o)
					if err != nil {
						t.Fatal(err)
					}
					if err := poolSend(c); err != nil {
						t.Fatal(err)
					}
					err = poolSend(c)
					wantError[*submission.ConnectError](t, err)
					c.Close()
					if w.check(t, err); t.Failed() {
						t.Fatalf("%s, %s, %s, %s", name, around, verb, echoName)
					}
				}
			}
		}
	}
}

// TestExtensionsHoldNoSecret has a server that offers the password.
func TestExtensionsHoldNoSecret(t *testing.T) {
	script := hello + "S: 250-mail\nS: 250-X-" + secretWord + " a " + secretWord + "\nS: 250 AUTH PLAIN " + secretWord +
		"\nC: AUTH PLAIN " + b64("\x00"+secretUser+"\x00"+secretWord) + "\n" + authOK + quit
	s := openSession(t, play(t, "whole", script), plainText(withAuthInClear(knowsPassword["Password"])))
	defer s.Close()
	wantNoSecret(t, "mechanisms", strings.Join(s.Extensions().Mechanisms(), " "))
	wantNoSecret(t, "extensions", fmt.Sprintf("%+v", s.Extensions()))
}

// TestSecretsAtACut has the secret stand where a text that is too long is cut off:
// at any octet, and where the octets of a line have not all come yet.
func TestSecretsAtACut(t *testing.T) {
	auth := submission.Password{Username: secretUser, Password: secretWord}
	open := func(t *testing.T, script string) {
		t.Helper()
		var w watch
		_, err := submission.NewSession(context.Background(), smtptest.Play(t, script), testHost, plainText(withAuthInClear(auth), w.options))
		if err == nil {
			t.Fatal("no error")
		}
		wantNoPart(t, "error", err.Error())
		wantNoPart(t, "trace", strings.Join(w.trace, "\n"))
		wantNoPart(t, "log", w.text.String())
	}
	for _, shape := range []string{"S! x%s\neof", "S! 22%s\neof", "S: 554 %s" + quit, "S: 250 %s\neof", "S: 220-hi\nS: 250 %s\neof", "S: 220 hi\nS! 554 %s\neof"} {
		for _, limit := range []int{200, 1 << 10} {
			for before := limit - len(secretWord) - 8; before <= limit+8; before++ {
				open(t, fmt.Sprintf(shape, strings.Repeat("x", before)+secretWord+strings.Repeat("y", 2000)))
			}
		}
	}
	for n := range len(secretWord) { // what follows comes too late to be read
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			io.WriteString(server, "x"+secretWord[:n])
			io.WriteString(server, secretWord[n:]+"\r\n")
		}()
		_, err := submission.NewSession(context.Background(), client, testHost, plainText(withAuthInClear(auth)))
		wantNoPart(t, "error", err.Error())
	}
}

// TestProxyRepeatsCredentials has an HTTP proxy that repeats its credentials, in
// its refusal and after its agreement.
func TestProxyRepeatsCredentials(t *testing.T) {
	const user = "proxy-user"
	pair := user + ":" + secretWord
	said := echoes(secretWord)
	said["the pair"], said["the pair in base64"], said["the header"] = pair, b64(pair), "Basic "+b64(pair)
	said["the pair in a URL"] = "http://" + url.UserPassword(user, secretWord).String() + "@proxy/"
	said["user and password"] = user + " and " + secretWord
	for name, word := range map[string]string{"quoted": fmt.Sprintf("%q", secretWord), "escaped": url.QueryEscape(secretWord)} {
		said[name] = word
	}
	places := map[string]string{
		"407":                 "HTTP/1.1 407 @\r\n\r\n",
		"403":                 "HTTP/1.1 403 no @ here\r\n\r\n",
		"502":                 "HTTP/1.1 502 @\r\n\r\n",
		"in the version":      "HTTP/1.1@ 407 no\r\n\r\n",
		"in the code":         "HTTP/1.1 @ no\r\n\r\n",
		"not HTTP":            "@\r\n\r\n",
		"in a header":         "HTTP/1.1 200 OK\r\n@\r\n\r\n",
		"in a header line":    "HTTP/1.1 200 OK\r\nContent-Length: @\r\n\r\n",
		"beyond the cut":      "HTTP/1.1 407 " + strings.Repeat("x", 1015) + "@\r\n\r\n",
		"after 200":           "HTTP/1.1 200 OK\r\n\r\n554 @\r\n",
		"after 200, lines":    "HTTP/1.1 200 OK\r\n\r\n554-no\r\n554 @\r\n",
		"after 200, not SMTP": "HTTP/1.1 200 OK\r\n\r\n@\r\n",
	}
	for place, answer := range places {
		for name, echo := range said {
			t.Run(place+", "+name, func(t *testing.T) {
				addr := listen(t, func(nc net.Conn) {
					if readHeader(nc) {
						io.WriteString(nc, strings.ReplaceAll(answer, "@", strings.ReplaceAll(echo, "\x00", " ")))
					}
				})
				d, err := submission.HTTPConnect(&url.URL{Scheme: "http", Host: addr, User: url.UserPassword(user, secretWord)}, nil)
				if err != nil {
					t.Fatal(err)
				}
				var w watch
				err = viaProxy(t, d, testHost, w.options)
				wantError[*submission.ConnectError](t, err)
				wantNoPart(t, "error", err.Error())
				wantNoSecretInError(t, err)
				wantNoSecret(t, "trace", strings.Join(w.trace, "\n"))
				wantNoSecret(t, "log", w.text.String())
				if strings.Contains(err.Error(), b64(user + ":")[:12]) {
					t.Errorf("the header shows: %v", err)
				}
			})
		}
	}
}

// TestProxyRepeatsShortCredentials has credentials that are too short to be looked
// for anywhere but in the answer to them.
func TestProxyRepeatsShortCredentials(t *testing.T) {
	for _, answer := range []string{"407 me:hunter2 is wrong", "407 hunter2", "407 " + b64("me:hunter2"), "407 Basic " + b64("me:hunter2")} {
		p := &connectProxy{answer: "HTTP/1.1 " + answer + "\r\n\r\n"}
		d, err := submission.HTTPConnect(&url.URL{Scheme: "http", Host: listen(t, p.serve), User: url.UserPassword("me", "hunter2")}, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = viaProxy(t, d, testHost)
		if text := err.Error(); strings.Contains(text, "hunter2") || strings.Contains(text, b64("me:hunter2")) || !strings.Contains(text, "407") {
			t.Errorf("%q: %v", answer, err)
		}
		for cause := err; cause != nil; cause = errors.Unwrap(cause) {
			if strings.Contains(fmt.Sprintf("%+v", cause), "hunter2") {
				t.Errorf("%q: cause %+v", answer, cause)
			}
		}
	}
}

// TestSOCKSServerRepeatsCredentials has the server after a SOCKS5 proxy repeat the
// proxy's credentials.
func TestSOCKSServerRepeatsCredentials(t *testing.T) {
	for name, echo := range echoes(secretWord) {
		p := &socksProxy{user: "proxy-user", password: secretWord, server: func(nc net.Conn, ok []byte) {
			nc.Write(append(ok, "554 "+strings.ReplaceAll(echo, "\x00", " ")+"\r\n"...))
			exactly(nc, len("QUIT\r\n"))
		}}
		d, _ := p.start(t, url.UserPassword("proxy-user", secretWord))
		for around, dialer := range map[string]submission.Dialer{
			"alone": d, "Fallback": submission.Fallback(d),
			"a layer": dialFunc(func(ctx context.Context, network, addr string) (net.Conn, error) {
				nc, err := d.DialContext(ctx, network, addr)
				return layered{nc}, err
			}),
		} {
			var w watch
			err := viaProxy(t, dialer, testHost, w.options)
			wantError[*submission.ConnectError](t, err)
			w.check(t, err)
			if t.Failed() {
				t.Fatalf("%s, %s", name, around)
			}
		}
	}
}

// TestCertificatesHoldNoSecret has a certificate whose names are the password, and
// the errors of its verification.
func TestCertificatesHoldNoSecret(t *testing.T) {
	ca := newAuthority(t, "the issuer")
	var none *authority
	for _, secret := range []string{secretWord, `a"b\c,d+e;f<g>h=i`, "geheim\x1b[2J\r\nwort", "Geheim-wört-9", "#geheim-9 "} {
		named := func(set func(*x509.Certificate, string)) *x509.Certificate {
			return changed(forNames("other.example"), func(c *x509.Certificate) { set(c, secret) })
		}
		names := map[string]*x509.Certificate{
			"common name":               named(func(c *x509.Certificate, s string) { c.Subject.CommonName = s }),
			"in a common name, far out": named(func(c *x509.Certificate, s string) { c.Subject.CommonName = strings.Repeat("x", 1010) + s }),
			"organization":              named(func(c *x509.Certificate, s string) { c.Subject.Organization = []string{"x", "of " + s} }),
			"another attribute": named(func(c *x509.Certificate, s string) {
				c.Subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: []int{1, 2, 3, 4}, Value: s}}
			}),
			"base64": named(func(c *x509.Certificate, s string) {
				c.Subject.CommonName = base64.StdEncoding.EncodeToString([]byte(s))
			}),
		}
		if !strings.ContainsFunc(secret, func(r rune) bool { return r < ' ' || r > '~' }) {
			names["DNS name"] = named(func(c *x509.Certificate, s string) { c.DNSNames = []string{"a.example", s} })
			names["e-mail address"] = named(func(c *x509.Certificate, s string) { c.EmailAddresses = []string{s} })
		}
		for name, template := range names {
			for issued, by := range map[string]*authority{"by an unknown authority": none, "for another host": ca} {
				t.Run(fmt.Sprintf("%s %q, %s", name, secret, issued), func(t *testing.T) {
					if issued == "for another host" && name == "e-mail address" {
						return // not in any error
					}
					copied := *template
					p := newPeer(t, true, &tls.Config{Certificates: []tls.Certificate{by.issue(t, &copied)}})
					var wire *recorder
					for _, wrapped := range []bool{false, true} {
						o := &submission.Options{TLS: submission.TLSImplicit, Dialer: p.dialer(&wire), TLSConfig: &tls.Config{RootCAs: ca.pool()},
							Auth: submission.Password{Username: secretUser, Password: secret}}
						var told []error
						o.Trace = &submission.Trace{
							Closed:   func(_ submission.SessionInfo, err error) { told = append(told, err) },
							DialDone: func(_ context.Context, _ submission.SessionInfo, err error) { told = append(told, err) },
						}
						if wrapped { // as a stack of the caller's may do
							o.TLSClient = func(ctx context.Context, nc net.Conn, cfg *tls.Config) (net.Conn, error) {
								c := tls.Client(nc, cfg)
								if err := c.HandshakeContext(ctx); err != nil {
									return nil, fmt.Errorf("stack: %w", err)
								}
								return c, nil
							}
						}
						c, err := submission.New(testHost, o)
						if err != nil {
							t.Fatal(err)
						}
						err = c.Ping(context.Background())
						c.Close()
						e := wantError[*submission.TLSError](t, err)
						texts := []string{err.Error(), e.Hint, fmt.Sprintf("%+v", e.Err)}
						if len(told) != 2 {
							t.Errorf("the hooks were told %v", told)
						}
						for _, err := range append(told, err) {
							texts = append(texts, err.Error())
							var verification *tls.CertificateVerificationError
							if errors.As(err, &verification) {
								for _, cert := range verification.UnverifiedCertificates {
									texts = append(texts, cert.Subject.String(), cert.Issuer.String(), fmt.Sprint(cert.DNSNames, cert.EmailAddresses, cert.Subject.Names))
								}
							} else {
								t.Errorf("the cause is lost: %v", err)
							}
						}
						for _, text := range texts {
							for form, part := range makeSecretForms(secret) {
								if strings.Contains(text, part) {
									t.Errorf("wrapped %v: %s shows in %.600q", wrapped, form, text)
								}
							}
							if strings.Contains(text, strings.ReplaceAll(secret, ",", `\,`)) || strings.Contains(strings.ReplaceAll(text, `\`, ""), strings.ReplaceAll(secret, `\`, "")) {
								t.Errorf("wrapped %v: an escaped form shows in %.600q", wrapped, text)
							}
						}
					}
				})
			}
		}
	}
}

// TestOptionsInErrorsHoldNoSecret has the password stand in an option too, by
// mistake, which an error then repeats.
func TestOptionsInErrorsHoldNoSecret(t *testing.T) {
	p := submission.Password{Username: secretUser, Password: secretWord}
	for name, set := range map[string]func(*submission.Options){
		"LocalName":            func(o *submission.Options) { o.LocalName = secretWord },
		"LocalAddr":            func(o *submission.Options) { o.LocalAddr = secretWord },
		"From":                 func(o *submission.Options) { o.From = "a@" + secretWord },
		"From, the local part": func(o *submission.Options) { o.From = secretWord + "\r@b.example" },
	} {
		o := plainText(withAuthInClear(p), set)
		_, err := submission.New(testHost, o)
		wantError[*submission.OptionError](t, err)
		wantNoSecretInError(t, err)
		_, err = submission.NewSession(context.Background(), play(t, "whole", "eof"), testHost, o)
		wantError[*submission.OptionError](t, err)
		wantNoSecretInError(t, err)
		if t.Failed() {
			t.Fatal(name)
		}
	}
	for _, addr := range []string{secretWord, secretWord + ":25", "host:" + secretWord, "[" + secretWord + "]", "[" + secretWord + "]:25"} {
		_, err := submission.New(addr, plainText(withAuthInClear(p)))
		wantError[*submission.OptionError](t, err)
		wantNoSecretInError(t, err)
		_, err = submission.NewSession(context.Background(), play(t, "whole", "eof"), addr, plainText(withAuthInClear(p)))
		wantError[*submission.OptionError](t, err)
		wantNoSecretInError(t, err)
	}
	user := url.UserPassword("u", secretWord)
	for _, host := range []string{secretWord, secretWord + ":80"} {
		_, err := submission.HTTPConnect(&url.URL{Scheme: "http", Host: host, User: user}, nil)
		wantNoSecretInError(t, err)
		_, err = submission.HTTPConnect(&url.URL{Scheme: secretWord, Host: "h", User: user}, nil)
		wantNoSecretInError(t, err)
		_, err = submission.SOCKS5(strings.TrimSuffix(host, ":80"), user, nil)
		wantNoSecretInError(t, err)
	}
	for name, script := range map[string]string{
		"offered": offersAuth("GSSAPI") + quit, "not offered": hello + "S: 250 mail" + quit, "nothing": hello + "S: 250-mail\nS: 250 AUTH" + quit,
	} {
		q := p
		q.Mechanisms = []string{secretWord, "PLAIN"}
		_, err := submission.NewSession(context.Background(), play(t, "whole", script), testHost, plainText(withAuthInClear(q)))
		if wantError[*submission.AuthError](t, err); !strings.Contains(err.Error(), "PLAIN") {
			t.Errorf("%s: %v", name, err)
		}
		wantNoSecretInError(t, err)
	}
	t.Run("the host", func(t *testing.T) {
		const word = "geheimnis-9.example" // a host name, and the password
		q := submission.Password{Username: secretUser, Password: word}
		for name, o := range map[string]*submission.Options{
			"dial": plainText(withAuthInClear(q), func(o *submission.Options) {
				o.Dialer = dialFunc(func(_ context.Context, _, addr string) (net.Conn, error) {
					return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: addr}}
				})
			}),
			"greeting": plainText(withAuthInClear(q), func(o *submission.Options) {
				o.Dialer = dialFunc(func(context.Context, string, string) (net.Conn, error) {
					return play(t, "whole", "S: 554 no"+quit), nil
				})
			}),
			"TLS": plainText(withTLS(submission.TLSImplicit), withAuthInClear(q), func(o *submission.Options) {
				o.Dialer = dialFunc(func(context.Context, string, string) (net.Conn, error) { return play(t, "whole", "C* 1\nclose"), nil })
			}),
			"TLS, the name": plainText(withTLS(submission.TLSImplicit), withAuthInClear(q), func(o *submission.Options) {
				srv := serve(t, &smtptest.Config{TLS: smtptest.ImplicitTLS, Hostname: "other.example"})
				o.TLSConfig = &tls.Config{RootCAs: srv.ClientTLSConfig().RootCAs, ServerName: word}
				o.Dialer = dialFunc(func(context.Context, string, string) (net.Conn, error) { return srv.Pipe(), nil })
			}),
		} {
			c, err := submission.New(word, o)
			if err != nil {
				t.Fatal(err)
			}
			err = c.Ping(context.Background())
			if err == nil {
				t.Fatalf("%s: no error", name)
			}
			for how, text := range renderings(err) {
				if strings.Contains(text, word) {
					t.Errorf("%s, %s: %s", name, how, text)
				}
			}
			c.Close()
		}
	})
}

// weakWords are passwords that stand in replies by chance: too short, or a plain
// word, or a number.
var weakWords = []string{"e", "ok", "2.1.0", "wrong", "hunter2", "accepted", "Accepted", "ACCEPTED", "authentication", "12345678", "192.0.2.25", "2026-11-26"}

// TestWeakSecretsDamageNoReply has servers whose ordinary words are the password:
// a reply about a message stays what it was, and so does not give the password
// away.
func TestWeakSecretsDamageNoReply(t *testing.T) {
	for _, word := range weakWords {
		for _, partial := range []bool{false, true} {
			t.Run(fmt.Sprint(word, ", partial ", partial), func(t *testing.T) {
				said := func(code string) string { return code + " 2.1.0 is " + word + " now" }
				replies := map[string]string{"CONNECT": said("220"), "MAIL": said("250"), "RCPT": said("250"), "MESSAGE": strings.Replace(said("250"), "2.1.0", "2.0.0", 1), "NOOP": said("250"), "RSET": said("250"), "VRFY": said("252")}
				refuse := ""
				srv := serve(t, &smtptest.Config{TLS: smtptest.NoTLS, Accounts: map[string]string{secretUser: word}, Mechanisms: []string{"PLAIN"},
					Hook: func(c smtptest.Command) *smtptest.Answer {
						if c.Verb == refuse {
							return &smtptest.Answer{Reply: said("550")}
						}
						if r, ok := replies[c.Verb]; ok {
							return &smtptest.Answer{Reply: r}
						}
						return nil
					}})
				var seen []string
				s := openSession(t, srv.Pipe(), plainText(withAuthInClear(submission.Password{Username: secretUser, Password: word}), func(o *submission.Options) {
					o.Disable = []string{"CHUNKING"}
					o.Trace = &submission.Trace{Received: func(_ context.Context, _ submission.SessionInfo, r submission.Reply) { seen = append(seen, r.String()) }}
				}))
				defer s.Close()
				if !slices.Contains(seen, said("220")) {
					t.Errorf("the greeting was seen as %q", seen)
				}
				env := submission.Envelope{From: "a@test.example", To: submission.To("b@test.example"), Partial: partial}
				res, err := s.Send(context.Background(), env, strings.NewReader("x\n"))
				if err != nil {
					t.Fatal(err)
				}
				if got := res.Reply.String(); strings.Contains(got, "***") {
					t.Errorf("the final reply became %q", got)
				}
				if got := res.Recipients[0].Reply.String(); got != said("250") {
					t.Errorf("the reply to RCPT became %q", got)
				}
				if r, err := s.Verify(context.Background(), "b"); err != nil || r.String() != said("252") {
					t.Errorf("VRFY: %v, %v", r, err)
				}
				for _, refuse = range []string{"MAIL", "RCPT", "DATA"} {
					_, err := s.Send(context.Background(), env, strings.NewReader("x\n"))
					e := wantError[*submission.SendError](t, err)
					if e.Reply == nil || e.Reply.String() != said("550") || !strings.Contains(err.Error(), said("550")) {
						t.Errorf("%s: %v", refuse, err)
					}
				}
				for _, line := range seen {
					if strings.Contains(line, "***") && !strings.HasPrefix(line, "235") {
						t.Errorf("seen: %q", line)
					}
				}
			})
		}
	}
}

// TestWeakSecretsWithinAuth has the same words come back in answer to AUTH, where
// they are the password.
func TestWeakSecretsWithinAuth(t *testing.T) {
	for _, word := range weakWords {
		script := offersAuth("PLAIN") + "C: AUTH PLAIN " + b64("\x00"+secretUser+"\x00"+word) + "\nS: 535 <" + word + "> no" + quit
		_, err := submission.NewSession(context.Background(), play(t, "whole", script), testHost,
			plainText(withAuthInClear(submission.Password{Username: secretUser, Password: word})))
		if e := wantError[*submission.AuthError](t, err); strings.Contains(e.Reply.String(), "<"+word+">") || !strings.Contains(e.Reply.String(), "<***>") {
			t.Errorf("%s: %v", word, err)
		}
	}
}

// TestWeakSecretsDamageNoTextOfOurs has passwords that are words of this package's own
// errors: an asterisk there would give the password away.
func TestWeakSecretsDamageNoTextOfOurs(t *testing.T) {
	for _, tt := range []struct {
		mechanism, script, text string // without what follows a text that says no more
		clear                   bool   // the password may not be shown
	}{
		{"LOGIN", offersAuth("X-FOO") + quit[1:], "no mechanism in common: allowed are LOGIN, offered are X-FOO", false},
		{"PLAIN", offersAuth("PLAIN") + quit[1:], "credentials not sent without verified TLS (use TLSStartTLS or TLSImplicit)", true},
		{"LOGIN", offersAuth("LOGIN") + "C: AUTH LOGIN\nS: 235 ok\neof", "the server did not prove that it knows the password: the server reported success out of turn", false},
		{"LOGIN", offersAuth("LOGIN") + "C: AUTH LOGIN\nS: 334 !\nC: *\nS: 501 no" + quit, "challenge is not base64", false},
		{"CRAM-MD5", offersAuth("CRAM-MD5") + "C: AUTH CRAM-MD5\nS: 334 \nC: *\nS: 501 no" + quit, "the challenge is empty", false},
		{"CRAM-MD5", offersAuth("CRAM-MD5") + "C: AUTH CRAM-MD5\nclose\neof", "the server closed the connection", false},
	} {
		for _, word := range append(strings.FieldsFunc(tt.text, func(r rune) bool { return strings.ContainsRune(" ,:()", r) }), "e", "s") {
			p := submission.Password{Username: secretUser, Password: word, Mechanisms: []string{tt.mechanism}}
			o := plainText(withAuthInClear(p))
			o.InsecureAuth = !tt.clear
			_, err := submission.NewSession(context.Background(), away(play(t, "whole", tt.script)), testHost, o)
			if e := wantError[*submission.AuthError](t, err); !strings.Contains(e.Error(), tt.text) {
				t.Errorf("%s: %v", word, e)
			}
		}
	}
}

// TestWeakSecretsInChallenges has a client of the caller's whose error repeats the
// challenge, in which the server repeats the password.
func TestWeakSecretsInChallenges(t *testing.T) {
	for _, word := range weakWords {
		client := &scriptedSASL{name: "X-OWN", initial: []byte(word), nextErr: fmt.Errorf("what is <%s>?", word)}
		script := offersAuth("X-OWN") + "C: AUTH X-OWN " + b64(word) + "\nS: 334 " + b64(word) + "\nC: *\nS: 501 no" + quit
		_, err := submission.NewSession(context.Background(), play(t, "whole", script), testHost, plainText(withAuthInClear(authWith(client))))
		if e := wantError[*submission.AuthError](t, err); !strings.Contains(e.Error(), "<***>") {
			t.Errorf("%s: %v", word, e)
		}
	}
}

// TestSeparatorsAreNoSecret has a server refuse a token in words that hold the octet
// with which OAUTHBEARER answers a refusal, in hexadecimal.
func TestSeparatorsAreNoSecret(t *testing.T) {
	const reason = `{"status":"401"}`
	exchange := "C: AUTH OAUTHBEARER " + b64("n,a=user,\x01host="+testHost+"\x01port=587\x01auth=Bearer stale-token-1\x01\x01") +
		"\nS: 334 " + b64(reason) + "\nC: AQ==\nS: 535 5.7.8 status 401\n"
	k := &tokens{first: "stale-token-1", second: "stale-token-1"}
	_, err := submission.NewSession(context.Background(), away(play(t, "whole", offersAuth("OAUTHBEARER")+exchange+exchange+quit[1:])), testHost, plainText(withAuthInClear(k.auth())))
	wantSays(t, err, []string{"535 5.7.8 status 401", reason}, []string{"***"})
}

// TestStrongSecretsAreReplacedEverywhere has passwords that no server says by
// chance.
func TestStrongSecretsAreReplacedEverywhere(t *testing.T) {
	for _, word := range []string{"password1", "hunter22", "correct horse", "qWertZuiop", "correcthorsebatterystaple", "12345678x", "geheim-wort", "пароль-дня"} {
		srv := serve(t, &smtptest.Config{TLS: smtptest.NoTLS, Accounts: map[string]string{secretUser: word}, Mechanisms: []string{"PLAIN"},
			Hook: func(c smtptest.Command) *smtptest.Answer {
				if c.Verb == "RCPT" {
					return &smtptest.Answer{Reply: "550 <" + word + ">"}
				}
				return nil
			}})
		s := openSession(t, srv.Pipe(), plainText(withAuthInClear(submission.Password{Username: secretUser, Password: word})))
		_, err := s.Send(context.Background(), submission.Envelope{From: "a@test.example", To: submission.To("b@test.example")}, strings.NewReader("x\n"))
		if e := wantError[*submission.SendError](t, err); e.Reply.String() != "550 <***>" {
			t.Errorf("%s: %v", word, err)
		}
		s.Close()
	}
}
