//go:build linux

package interop

import (
	"bytes"
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"github.com/fe022423/submission"
)

// What the servers offer, seen with Postfix 3.7 and Dovecot 2.3: Postfix offers
// DSN, SMTPUTF8 and SIZE with its limit from the first EHLO on. Dovecot connects
// to the server that it relays to only once the user is known: before AUTH
// it offers neither DSN nor VRFY, and SIZE with the limit of its own
// configuration, a bare SIZE if there is none. To a second EHLO after AUTH it
// offers both, and as SIZE that of the relay less 1024: the client asks once more
// when an envelope needs what seems to be missing. Dovecot never offers SMTPUTF8.

// unsupported checks that the message was refused for want of an extension and
// that nobody got it.
func unsupported(t *testing.T, s server, m message, err error) {
	t.Helper()
	sendError(t, err, submission.NotSent)
	if !errors.Is(err, submission.ErrUnsupported) {
		t.Errorf("got %v, want ErrUnsupported", err)
	}
	s.expect(t, m)
}

// mustOffer checks a session's offer: Postfix has everything, so that a test
// can never pass for Dovecot's reasons on both.
func mustOffer(t *testing.T, s server, session *submission.Session, keyword string) bool {
	t.Helper()
	offered := session.Extensions().Has(keyword)
	if s.name == "Postfix" && !offered {
		t.Fatalf("Postfix does not offer %s", keyword)
	}
	return offered
}

// TestDSN asks for delivery reports with every parameter of RFC 3461 and reads
// the report that comes back.
func TestDSN(t *testing.T) {
	eachServer(t, func(t *testing.T, s server) {
		for _, tr := range transfers {
			t.Run(tr.name, func(t *testing.T) {
				session := s.dial(t, tr.options)
				m := newMessage("with a receipt\r\n")
				// Octets that xtext must encode.
				id := "id+" + rand.Text() + "=1 2"
				env := submission.Envelope{
					To: []submission.Recipient{
						{Addr: "bob@test.example", ORCPT: "rfc822;o=ld+bob@test.example", Notify: submission.NotifySuccess | submission.NotifyFailure},
						{Addr: "carol@test.example", Notify: submission.NotifyNever},
					},
					DSN: submission.DSN{Return: submission.ReturnHeaders, EnvelopeID: id},
				}
				res, err := session.Send(limited(t), env, m.reader())
				accepted(t, m, res, err)
				s.expect(t, m, "bob@test.example", "carol@test.example")
				checkReport(t, s.report(t, id), m)
			})
		}
	})
}

// report takes the delivery report for the envelope identifier out of the mailbox.
func (l *lab) report(t *testing.T, id string) []byte {
	t.Helper()
	var report []byte
	l.sift(t, func(raw []byte) bool {
		mine := bytes.Contains(raw, []byte("\r\nOriginal-Envelope-Id: "+id+"\r\n"))
		if mine {
			report = raw
		}
		return mine
	})
	if report == nil {
		t.Fatalf("no delivery report for %q", id)
	}
	return report
}

func checkReport(t *testing.T, report []byte, m message) {
	t.Helper()
	text := string(report)
	for _, want := range []string{
		"\r\nOriginal-Recipient: rfc822;o=ld+bob@test.example\r\n",
		"\r\nFinal-Recipient: rfc822; bob@test.example\r\n",
		"\r\nAction: delivered\r\n",
		string(m.line()),
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the report lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "carol@") || strings.Contains(text, "with a receipt") {
		t.Errorf("the report tells of a NEVER recipient or of the body, despite RET=HDRS:\n%s", text)
	}
}

// TestSMTPUTF8 sends from and to addresses that need the extension.
func TestSMTPUTF8(t *testing.T) {
	eachServer(t, func(t *testing.T, s server) {
		for _, c := range []struct{ name, from, to string }{
			{"sender", "jürgen@test.example", "bob@test.example"},
			{"recipient", account, "μαρία@test.example"},
			{"both", "jürgen@test.example", "μαρία@test.example"},
		} {
			for _, tr := range transfers {
				t.Run(c.name+" "+tr.name, func(t *testing.T) {
					var w wire
					session := s.dial(t, tr.options, w.trace)
					m := newMessage("internationalised\r\n")
					env := submission.Envelope{From: c.from, To: submission.To(c.to)}
					res, err := session.Send(limited(t), env, m.reader())
					if !mustOffer(t, s, session, "SMTPUTF8") {
						unsupported(t, s, m, err)
						w.noMail(t)
						return
					}
					accepted(t, m, res, err)
					for _, d := range s.expect(t, m, c.to) {
						if want := "<" + c.from + ">"; header(d.trace, "Return-Path") != want {
							t.Errorf("Return-Path: want %s in %q", want, d.trace)
						}
					}
				})
			}
		}
	})
}

// TestInternationalDomain sends to a domain that is not ASCII: its A-labels do,
// whether or not SMTPUTF8 is offered.
func TestInternationalDomain(t *testing.T) {
	eachServer(t, func(t *testing.T, s server) {
		m := newMessage("to an international domain\r\n")
		res, err := s.client(t).Send(limited(t), submission.Envelope{To: submission.To("bob@тест.example")}, m.reader())
		accepted(t, m, res, err)
		s.expect(t, m, "bob@"+idnDomain)
	})
}

// TestNullSender sends without a return path, as reports are sent.
func TestNullSender(t *testing.T) {
	eachServer(t, func(t *testing.T, s server) {
		m := newMessage("do not answer\r\n")
		env := submission.Envelope{From: submission.NullSender, To: submission.To("bob@test.example")}
		res, err := s.client(t).Send(limited(t), env, m.reader())
		accepted(t, m, res, err)
		for _, d := range s.expect(t, m, "bob@test.example") {
			// Postfix writes a Return-Path of no address for it.
			if got := header(d.trace, "Return-Path"); got != "<>" {
				t.Errorf("Return-Path: got %q, want <>", got)
			}
		}
	})
}
