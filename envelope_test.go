package submission_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// parameters are what an envelope can ask for, the parameters of the commands, and the
// keywords that the server must offer.
var parameters = []struct {
	name       string
	set        func(*submission.Envelope)
	keywords   []string // all of them are needed
	mail, rcpt string   // what follows the path
}{
	{"nothing", func(*submission.Envelope) {}, nil, "", ""},
	{"Notify", func(e *submission.Envelope) { e.DSN.Notify = submission.NotifySuccess }, []string{"DSN"}, "", " NOTIFY=SUCCESS"},
	{"Recipient.Notify", func(e *submission.Envelope) { e.To[0].Notify = submission.NotifyNever }, []string{"DSN"}, "", " NOTIFY=NEVER"},
	{"Return", func(e *submission.Envelope) { e.DSN.Return = submission.ReturnHeaders }, []string{"DSN"}, " RET=HDRS", ""},
	{"EnvelopeID", func(e *submission.Envelope) { e.DSN.EnvelopeID = "e=mc2+x" }, []string{"DSN"}, " ENVID=e+3Dmc2+2Bx", ""},
	{"ORCPT", func(e *submission.Envelope) { e.To[0].ORCPT = "e=mc2+x@d" }, []string{"DSN"}, "", " ORCPT=rfc822;e+3Dmc2+2Bx@d"},
	{"UTF8", func(e *submission.Envelope) { e.UTF8 = true }, []string{"SMTPUTF8"}, " SMTPUTF8", ""},
	{"Body8BitMIME", func(e *submission.Envelope) { e.Body = submission.Body8BitMIME }, []string{"8BITMIME"}, " BODY=8BITMIME", ""},
	{"BodyBinaryMIME", func(e *submission.Envelope) { e.Body = submission.BodyBinaryMIME }, []string{"BINARYMIME", "CHUNKING"}, " BODY=BINARYMIME", ""},
	{"Submitter", func(e *submission.Envelope) { e.Submitter = "e=mc2+x@test.example" }, []string{"AUTH PLAIN"}, " AUTH=e+3Dmc2+2Bx@test.example", ""},
	{"Submitter, domain", func(e *submission.Envelope) { e.Submitter = "x@тест.example" }, []string{"AUTH PLAIN"}, " AUTH=x@xn--e1aybc.example", ""},
	{"Submitter, quoted", func(e *submission.Envelope) { e.Submitter = `"a b"@test.example` }, []string{"AUTH PLAIN"}, ` AUTH="a+20b"@test.example`, ""},
	{"Submitter in brackets", func(e *submission.Envelope) { e.Submitter = "<e=mc2+x@test.example>" }, []string{"AUTH PLAIN"}, " AUTH=e+3Dmc2+2Bx@test.example", ""},
	{"Submitter unknown", func(e *submission.Envelope) { e.Submitter = "<>" }, []string{"AUTH PLAIN"}, " AUTH=<>", ""},
	{"Params", func(e *submission.Envelope) { e.Params = []string{"X-FLAG"} }, []string{"X-FLAG"}, " X-FLAG", ""},
	{"Params with a value", func(e *submission.Envelope) { e.Params = []string{"MTRK=YWJj:60"} }, []string{"MTRK"}, " MTRK=YWJj:60", ""},
	{"Params in lower case", func(e *submission.Envelope) { e.Params = []string{"x-flag=3"} }, []string{"X-FLAG MIXER"}, " x-flag=3", ""},
	{"Params, several", func(e *submission.Envelope) { e.Params = []string{"A=1", "B", "C=2,3"} }, []string{"A", "B", "C"}, " A=1 B C=2,3", ""},
	{"Recipient.Params", func(e *submission.Envelope) { e.To[0].Params = []string{"CONNEG", "X-FLAG=2;3"} }, []string{"CONNEG", "X-FLAG"}, "", " CONNEG X-FLAG=2;3"},
	{"HoldFor", func(e *submission.Envelope) { e.HoldFor = 5 * time.Minute }, []string{"FUTURERELEASE 300 2038-01-01T00:00:00Z"}, " HOLDFOR=300", ""},
	{"HoldUntil", func(e *submission.Envelope) { e.HoldUntil = time.Date(2038, 1, 1, 0, 0, 0, 0, time.UTC) },
		[]string{"FUTURERELEASE 300 2038-01-01T00:00:00Z"}, " HOLDUNTIL=2038-01-01T00:00:00Z", ""},
	{"DeliverBy", func(e *submission.Envelope) {
		e.DeliverBy = submission.DeliverBy{Within: 2 * time.Minute, Return: true}
	},
		[]string{"DELIVERBY 120"}, " BY=120;R", ""},
	{"ValidSince", func(e *submission.Envelope) { e.To[0].ValidSince = time.Date(2014, 4, 3, 23, 1, 0, 0, time.UTC) },
		[]string{"RRVS"}, "", " RRVS=2014-04-03T23:01:00Z"},
	{"Priority", func(e *submission.Envelope) { e.Priority = -3 }, []string{"MT-PRIORITY MIXER"}, " MT-PRIORITY=-3", ""},
	{"everything", func(e *submission.Envelope) {
		e.DSN = submission.DSN{Notify: submission.NotifyFailure | submission.NotifyDelay, Return: submission.ReturnFull, EnvelopeID: "id"}
		e.UTF8, e.Body, e.Submitter, e.Params = true, submission.Body8BitMIME, "<>", []string{"X=1"}
		e.Priority, e.HoldFor, e.DeliverBy = 9, time.Minute, submission.DeliverBy{Within: time.Hour, Trace: true}
		e.To[0].ORCPT, e.To[0].Params = "rfc822;c@d", []string{"Y"}
		e.To[0].ValidSince = time.Date(2014, 4, 3, 23, 1, 0, 0, time.UTC)
	}, []string{"DSN", "SMTPUTF8", "8BITMIME", "AUTH LOGIN", "X", "Y", "MT-PRIORITY", "FUTURERELEASE 60", "DELIVERBY 7200", "RRVS"},
		" BODY=8BITMIME SMTPUTF8 RET=FULL ENVID=id MT-PRIORITY=9 HOLDFOR=60 BY=3600;NT AUTH=<> X=1", " NOTIFY=FAILURE,DELAY ORCPT=rfc822;c@d RRVS=2014-04-03T23:01:00Z Y"},
}

// The exact lines of MAIL and RCPT for everything that an envelope can ask for.
func TestParameters(t *testing.T) {
	for _, p := range parameters {
		t.Run(p.name, func(t *testing.T) {
			env := memoTo("b@test.example")
			p.set(&env)
			wantLines(t, p.keywords, env, plainMail+p.mail, plainRcpt+p.rcpt)
			lower := make([]string, len(p.keywords))
			for i, k := range p.keywords {
				lower[i] = strings.ToLower(k)
			}
			wantLines(t, lower, env, plainMail+p.mail, plainRcpt+p.rcpt)
		})
	}
}

// What the server does not offer, or Options.Disable lists, is refused, whichever of the
// keywords is missing: no octet is written.
func TestParametersNotOffered(t *testing.T) {
	others := []string{"PIPELINING", "SIZE", "STARTTLS", "VRFY", "ENHANCEDSTATUSCODES", "ETRN"}
	for _, p := range parameters {
		for missing := range p.keywords {
			t.Run(fmt.Sprintf("%s/%s", p.name, p.keywords[missing]), func(t *testing.T) {
				env := memoTo("b@test.example")
				p.set(&env)
				rest := append(slices.Delete(slices.Clone(p.keywords), missing, missing+1), others...)
				err := wantNothing(t, rest, env)
				keyword, _, _ := strings.Cut(p.keywords[missing], " ")
				if !errors.Is(err, submission.ErrUnsupported) || !strings.Contains(err.Error(), keyword) {
					t.Errorf("error %v, want ErrUnsupported that names %s", err, keyword)
				}
				s := openSession(t, play(t, "whole", greeted(p.keywords...)+"C: QUIT\nS: 221 bye\neof"),
					plainText(func(o *submission.Options) { o.Disable = []string{strings.ToLower(keyword)} }))
				defer s.Close()
				if _, err := send(s, env); !errors.Is(err, submission.ErrUnsupported) {
					t.Errorf("disabled: %v", err)
				}
			})
		}
	}
	t.Run("HELO", func(t *testing.T) {
		s := openSession(t, play(t, "whole", "S: 220 hi\nC: HELO client.test.example\nS: 250 hi\nC: QUIT\nS: 221 bye\neof"),
			plainText(func(o *submission.Options) { o.HELO = true }))
		defer s.Close()
		for _, p := range parameters {
			if len(p.keywords) == 0 {
				continue
			}
			env := memoTo("b@test.example")
			p.set(&env)
			if _, err := send(s, env); !errors.Is(err, submission.ErrUnsupported) {
				t.Errorf("%s: %v", p.name, err)
			}
		}
	})
}

// REQUIRETLS needs the extension and TLS.
func TestRequireTLS(t *testing.T) {
	env := memoTo("b@test.example")
	env.RequireTLS = true
	if err := wantNothing(t, []string{"REQUIRETLS"}, env); !errors.Is(err, submission.ErrUnsupported) {
		t.Errorf("in clear text: %v", err)
	}
	for _, offered := range []bool{true, false} {
		keywords := []string{"PIPELINING"}
		if offered {
			keywords = append(keywords, "REQUIRETLS")
		}
		srv := smtptest.NewServer(&smtptest.Config{Extensions: keywords})
		s := openSession(t, srv.Pipe(), &submission.Options{TLSConfig: srv.ClientTLSConfig(), LocalName: "client.test.example"})
		_, err := send(s, env)
		s.Close()
		srv.Close()
		if !offered {
			verdict{stage: submission.StageMail, is: submission.ErrUnsupported}.check(t, nil, err)
			if slices.ContainsFunc(unnumbered(srv), func(l string) bool { return strings.HasPrefix(l, "C: MAIL") }) {
				t.Error("MAIL was sent")
			}
			continue
		}
		if m := srv.Messages(); err != nil || len(m) != 1 || strings.Join(m[0].Params, " ") != "REQUIRETLS" {
			t.Errorf("%v, %+v", err, m)
		}
	}
}

// In Params, a parameter that has a field is refused, and what is not a parameter.
func TestBadParams(t *testing.T) {
	keywords := []string{"SIZE", "8BITMIME", "BINARYMIME", "CHUNKING", "SMTPUTF8", "DSN", "AUTH PLAIN", "X", "BODY", "RET", "ENVID", "NOTIFY", "ORCPT", "REQUIRETLS", "MT-PRIORITY", "FUTURERELEASE", "HOLDFOR", "HOLDUNTIL", "DELIVERBY", "BY", "RRVS"}
	for _, p := range []string{
		"SIZE=5", "size=5", "BODY=8BITMIME", "SMTPUTF8", "RET=FULL", "ENVID=x", "AUTH=<>", "REQUIRETLS", "NOTIFY=NEVER", "ORCPT=rfc822;a@b", "Orcpt=x",
		"MT-PRIORITY=3", "mt-priority=3", "MT-PRIORITY", "HOLDFOR=60", "HoldUntil=2030-01-01T00:00:00Z", "BY=120;R", "by=120;n", "RRVS=2014-04-03T23:01:00Z",
		"", "=", "=1", "X=", "X=a b", "X=a=b", "X=a\tb", "X=a\r\nRSET", "X\r\nRSET", "X=\x00", "X=\x7f", "X=ü", "X=\xff", "X Y", " X", "X ", "X\n", "-X", "X_Y", "X+=1", "Ü=1", "X=1 Y=2", "X>",
	} {
		for _, recipient := range []bool{false, true} {
			env := memoTo("b@test.example")
			if recipient {
				env.To[0].Params = []string{p}
			} else {
				env.Params = []string{p}
			}
			if err := wantNothing(t, keywords, env); errors.Is(err, submission.ErrUnsupported) {
				t.Errorf("%q: the error says that the server is at fault: %v", p, err)
			}
		}
	}
}

// Values that have no meaning are refused.
func TestBadEnvelopes(t *testing.T) {
	for name, set := range map[string]func(*submission.Envelope){
		"Body":             func(e *submission.Envelope) { e.Body = "9BIT" },
		"Body, lower case": func(e *submission.Envelope) { e.Body = "8bitmime" },
		"Size":             func(e *submission.Envelope) { e.Size = -1 },
		"Submitter":        func(e *submission.Envelope) { e.Submitter = "nobody" },
		"Submitter, UTF-8": func(e *submission.Envelope) { e.Submitter = "имя@test.example" },
		"From":             func(e *submission.Envelope) { e.From = "" },
		"To":               func(e *submission.Envelope) { e.To = nil },
	} {
		env := memoTo("b@test.example")
		set(&env)
		if err := wantNothing(t, []string{"SIZE", "8BITMIME", "SMTPUTF8", "AUTH PLAIN"}, env); errors.Is(err, submission.ErrUnsupported) {
			t.Errorf("%s: the error says that the server is at fault: %v", name, err)
		}
	}
}
