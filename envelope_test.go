package submission_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// parameters are what an envelope can ask for, each with the line it makes and
// the keywords without which nothing may be sent.
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
	{"Submitter unknown", func(e *submission.Envelope) { e.Submitter = "<>" }, []string{"AUTH PLAIN"}, " AUTH=<>", ""},
	{"Params", func(e *submission.Envelope) { e.Params = []string{"X-FLAG"} }, []string{"X-FLAG"}, " X-FLAG", ""},
	{"Params with a value", func(e *submission.Envelope) { e.Params = []string{"MT-PRIORITY=-3"} }, []string{"MT-PRIORITY MIXER"}, " MT-PRIORITY=-3", ""},
	{"Params in lower case", func(e *submission.Envelope) { e.Params = []string{"mt-priority=3"} }, []string{"MT-PRIORITY"}, " mt-priority=3", ""},
	{"Params, DELIVERBY", func(e *submission.Envelope) { e.Params = []string{"BY=120;R"} }, []string{"DELIVERBY 30"}, " BY=120;R", ""},
	{"Params, FUTURERELEASE", func(e *submission.Envelope) { e.Params = []string{"HOLDFOR=300"} }, []string{"FUTURERELEASE 1000 2038-01-01"}, " HOLDFOR=300", ""},
	{"Params, several", func(e *submission.Envelope) { e.Params = []string{"A=1", "B", "C=2,3"} }, []string{"A", "B", "C"}, " A=1 B C=2,3", ""},
	{"Recipient.Params", func(e *submission.Envelope) { e.To[0].Params = []string{"RRVS=2014-04-03T23:01:00Z"} }, []string{"RRVS"}, "", " RRVS=2014-04-03T23:01:00Z"},
	{"everything", func(e *submission.Envelope) {
		e.DSN = submission.DSN{Notify: submission.NotifyFailure | submission.NotifyDelay, Return: submission.ReturnFull, EnvelopeID: "id"}
		e.UTF8, e.Body, e.Submitter, e.Params = true, submission.Body8BitMIME, "<>", []string{"X=1"}
		e.To[0].ORCPT, e.To[0].Params = "rfc822;c@d", []string{"Y"}
	}, []string{"DSN", "SMTPUTF8", "8BITMIME", "AUTH LOGIN", "X", "Y"},
		" BODY=8BITMIME SMTPUTF8 RET=FULL ENVID=id AUTH=<> X=1", " NOTIFY=FAILURE,DELAY ORCPT=rfc822;c@d Y"},
}

// The exact lines of MAIL and RCPT for everything that can be asked for.
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

// What is not offered, or was disabled, is asked for of nobody: not an octet is
// written, whichever of the keywords is missing.
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
				s := openSession(t, smtptest.Play(t, greeted(p.keywords...)+"C: QUIT\nS: 221 bye\neof"),
					plainText(func(o *submission.Options) { o.Disable = []string{strings.ToLower(keyword)} }))
				defer s.Close()
				if _, err := send(s, env); !errors.Is(err, submission.ErrUnsupported) {
					t.Errorf("disabled: %v", err)
				}
			})
		}
	}
	t.Run("HELO", func(t *testing.T) {
		s := openSession(t, smtptest.Play(t, "S: 220 hi\nC: HELO client.test.example\nS: 250 hi\nC: QUIT\nS: 221 bye\neof"),
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

// Begin already refuses what the server does not offer.
func TestBeginChecks(t *testing.T) {
	s := openSession(t, smtptest.Play(t, greeted()+"C: QUIT\nS: 221 bye\neof"), plainText())
	defer s.Close()
	env := memoTo("b@test.example")
	env.UTF8 = true
	tx, err := s.Begin(context.Background(), env)
	if tx != nil {
		t.Error("a transaction beside the error")
	}
	verdict{stage: submission.StageMail, is: submission.ErrUnsupported}.check(t, nil, err)
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
			if slices.ContainsFunc(srv.Transcript(), func(l string) bool { return strings.HasPrefix(l, "C: MAIL") }) {
				t.Error("MAIL was sent")
			}
			continue
		}
		if m := srv.Messages(); err != nil || len(m) != 1 || strings.Join(m[0].Params, " ") != "REQUIRETLS" {
			t.Errorf("%v, %+v", err, m)
		}
	}
}

// Parameters that have a field, and such as are none, are refused in Params.
func TestBadParams(t *testing.T) {
	keywords := []string{"SIZE", "8BITMIME", "BINARYMIME", "CHUNKING", "SMTPUTF8", "DSN", "AUTH PLAIN", "X", "BODY", "RET", "ENVID", "NOTIFY", "ORCPT", "REQUIRETLS"}
	for _, p := range []string{
		"SIZE=5", "size=5", "BODY=8BITMIME", "SMTPUTF8", "RET=FULL", "ENVID=x", "AUTH=<>", "REQUIRETLS", "NOTIFY=NEVER", "ORCPT=rfc822;a@b", "Orcpt=x",
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
				t.Errorf("%q: the server is blamed: %v", p, err)
			}
		}
	}
}

// Values of no meaning.
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
			t.Errorf("%s: the server is blamed: %v", name, err)
		}
	}
}

// leaf is a string somewhere in a value.
type leaf struct {
	path  string
	value reflect.Value
}

// leaves finds every string in v, which must have something in every slice, so
// that no field is left out.
func leaves(t *testing.T, path string, v reflect.Value) []leaf {
	t.Helper()
	switch v.Kind() {
	case reflect.String:
		return []leaf{{path, v}}
	case reflect.Struct:
		var list []leaf
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				list = append(list, leaves(t, path+"."+f.Name, v.Field(i))...)
			}
		}
		return list
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Array { // PinnedKeys
			return nil
		}
		if v.Len() == 0 {
			t.Fatalf("%s is empty: nothing can be tried there", path)
		}
		return leaves(t, path+"[]", v.Index(v.Len()-1))
	case reflect.Map, reflect.Array:
		t.Fatalf("%s: a %v, which is not looked into", path, v.Kind())
	}
	return nil
}

// injections are what must not get from a field into a command line.
var injections = []string{"\r\nINJECTED", "\nINJECTED", "\rINJECTED", "\x00INJECTED", "\x7fINJECTED", "\x1bINJECTED", "\x0bINJECTED", "\r\n.\r\nINJECTED", "\r\n"}

// tries are the values to try in a field whose good value is v.
func tries(v string) []string {
	var list []string
	for _, in := range injections {
		list = append(list, in, v+in, in+v, v[:len(v)/2]+in+v[len(v)/2:], v+in+v)
	}
	return list
}

// fullEnvelope has something good in every field.
func fullEnvelope() submission.Envelope {
	return submission.Envelope{
		From: "from@test.example",
		To: []submission.Recipient{
			{Addr: "first@test.example"},
			{Addr: "to@test.example", Notify: submission.NotifyFailure, ORCPT: "rfc822;orig@test.example", Params: []string{"X-RCPT", "X-RCPT-VALUE=value"}},
		},
		DSN:  submission.DSN{Notify: submission.NotifyDelay, Return: submission.ReturnFull, EnvelopeID: "envelope"},
		Body: submission.Body8BitMIME, UTF8: true, Submitter: "submitter@test.example", Size: 7,
		Params: []string{"X-MAIL", "X-MAIL-VALUE=value"},
	}
}

// No string in an Envelope, in any field, gets a control character out: not an
// octet is written.
func TestInjectionEnvelope(t *testing.T) {
	srv := smtptest.NewServer(&smtptest.Config{
		TLS: smtptest.NoTLS, Accounts: map[string]string{"user": "secret"},
		Extensions: append(smtptest.DefaultExtensions(), "X-MAIL", "X-MAIL-VALUE", "X-RCPT", "X-RCPT-VALUE"),
	})
	defer srv.Close()
	nc := record(srv.Pipe())
	s := openSession(t, nc, plainText())
	defer s.Close()
	good := fullEnvelope()
	if _, err := send(s, good); err != nil {
		t.Fatalf("the good envelope: %v", err)
	}
	start := len(nc.written())
	n := len(leaves(t, "Envelope", reflect.ValueOf(&good).Elem()))
	for _, partial := range []bool{false, true} {
		for i := range n {
			env := fullEnvelope()
			env.Partial = partial
			at := leaves(t, "Envelope", reflect.ValueOf(&env).Elem())[i]
			base := at.value.String()
			for _, v := range tries(base) {
				at.value.SetString(v)
				env.Partial = partial && !strings.HasPrefix(at.path, "Envelope.To[]")
				res, err := send(s, env)
				if e, ok := err.(*submission.SendError); !ok || res != nil || e.Outcome != submission.NotSent || e.Temporary() || errors.Is(err, submission.ErrUnsupported) {
					t.Errorf("%s = %q: %v, %v", at.path, v, res, err)
				} else {
					checkErrorText(t, err)
				}
				if out := nc.written(); len(out) != start {
					t.Fatalf("%s = %q: written %q", at.path, v, out[start:])
				}
			}
		}
	}
	if n != 9 {
		t.Errorf("%d string fields were tried, 9 were there when this was written", n)
	}
	// With a partial envelope the good recipient gets its mail, and only that.
	for _, v := range tries("to@test.example") {
		env := fullEnvelope()
		env.Partial = true
		env.To[1].Addr = v
		if _, err := send(s, env); wantError[*submission.SendError](t, err).Outcome != submission.PartlySent {
			t.Errorf("%q: %v", v, err)
		}
	}
	if bytes.Contains(nc.written(), []byte("INJECTED")) {
		t.Error("an injection was written")
	}
}

// No string in Options or Password is written as it is: an error comes first,
// or only its base64 goes out.
func TestInjectionOptions(t *testing.T) {
	full := func() (*submission.Options, *submission.Password) {
		return &submission.Options{TLS: submission.TLSNone, LocalName: "client.test.example", From: "from@test.example", Disable: []string{"DSN"},
				LocalAddr: "127.0.0.1"},
			&submission.Password{Username: "user", Password: "secret", Identity: "identity", Realm: "realm", Domain: "domain", Mechanisms: []string{"PLAIN"}}
	}
	lines := regexp.MustCompile(`^(EHLO client\.test\.example|AUTH [A-Z0-9-]+( [A-Za-z0-9+/=]+)?|[A-Za-z0-9+/]*=*|\*|QUIT)$`)
	for _, mechanism := range []string{"PLAIN", "LOGIN", "DIGEST-MD5"} {
		o, p := full()
		n := len(leaves(t, "Options", reflect.ValueOf(o).Elem()))
		m := len(leaves(t, "Password", reflect.ValueOf(p).Elem()))
		if n != 4 || m != 6 {
			t.Errorf("%d and %d string fields were tried, 4 and 6 were there when this was written", n, m)
		}
		for i := range n + m {
			o, p := full()
			p.Mechanisms = []string{mechanism}
			var at leaf
			if i < n {
				at = leaves(t, "Options", reflect.ValueOf(o).Elem())[i]
			} else {
				at = leaves(t, "Password", reflect.ValueOf(p).Elem())[i-n]
			}
			for _, v := range tries(at.value.String()) {
				base := at.value.String()
				at.value.SetString(v)
				o.Auth = *p
				wire, err := tryDial(o)
				var option *submission.OptionError
				switch name := strings.TrimPrefix(at.path, "Options."); {
				case i >= n || name == "Disable[]":
				case !errors.As(err, &option) || option.Option != name || len(wire) > 0:
					t.Errorf("%s = %q: %v, written %q", at.path, v, err, wire)
				}
				if err != nil {
					checkErrorText(t, err)
				}
				for line := range strings.SplitSeq(strings.TrimSuffix(wire, "\r\n"), "\r\n") {
					if !lines.MatchString(line) {
						t.Errorf("%s = %q: written %q", at.path, v, line)
					}
				}
				at.value.SetString(base)
			}
		}
	}
}

// tryDial makes a session with o, if that can be, and returns what was written.
func tryDial(o *submission.Options) (string, error) {
	srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.NoTLS, Accounts: map[string]string{"user": "secret"}})
	defer srv.Close()
	nc := record(srv.Pipe())
	defer nc.Close()
	set := *o
	if set.LocalAddr == "127.0.0.1" {
		// It is for the default dialer, and good.
		set.LocalAddr = ""
		set.Dialer = dialFunc(func(context.Context, string, string) (net.Conn, error) { return nc, nil })
	}
	c, err := submission.New(testHost, &set)
	if err == nil {
		err = c.Ping(context.Background())
		c.Close()
	}
	return string(nc.written()), err
}

// Nor do the arguments of functions.
func TestInjectionArguments(t *testing.T) {
	s := openSession(t, smtptest.Play(t, greeted("SMTPUTF8")+"C: QUIT\nS: 221 bye\neof"), plainText())
	defer s.Close()
	for _, in := range injections {
		for _, v := range []string{in, "x" + in, in + "x", "x@test.example" + in} {
			if _, err := s.Verify(context.Background(), v); err == nil {
				t.Errorf("Verify takes %q", v)
			}
			if _, err := s.Command(context.Background(), v); err == nil {
				t.Errorf("Command takes %q", v)
			}
			if _, err := submission.New(v, nil); wantError[*submission.OptionError](t, err).Option != "addr" {
				t.Errorf("New: %v", err)
			}
			if _, err := submission.New("host"+v+":25", nil); err == nil {
				t.Errorf("New takes %q", v)
			}
			nc := smtptest.Play(t, "eof")
			if _, err := submission.NewSession(context.Background(), nc, v, plainText()); err == nil {
				t.Errorf("NewSession takes the host %q", v)
			}
		}
	}
	if !s.Usable() {
		t.Error("it cost the session")
	}
}

// What could become a parameter of its own does not.
func TestNoParameterThroughValues(t *testing.T) {
	srv := smtptest.NewServer(&smtptest.Config{
		TLS: smtptest.NoTLS, Accounts: map[string]string{"user": "secret"},
		Extensions: append(smtptest.DefaultExtensions(), "X-MAIL", "X-MAIL-VALUE", "X-RCPT", "X-RCPT-VALUE", "INJECTED"),
	})
	defer srv.Close()
	nc := record(srv.Pipe())
	s := openSession(t, nc, plainText())
	defer s.Close()
	good := fullEnvelope()
	for i := range leaves(t, "Envelope", reflect.ValueOf(&good).Elem()) {
		for _, in := range []string{" INJECTED", "> INJECTED", " INJECTED=1", "<> INJECTED", "\u00a0INJECTED", "\u2028 INJECTED", ",INJECTED", ";INJECTED", "=INJECTED", "\t INJECTED"} {
			env := fullEnvelope()
			at := leaves(t, "Envelope", reflect.ValueOf(&env).Elem())[i]
			at.value.SetString(at.value.String() + in)
			send(s, env)
			if !s.Usable() {
				t.Fatalf("%s with %q cost the session", at.path, in)
			}
		}
	}
	for line := range strings.SplitSeq(string(nc.written()), "\r\n") {
		if strings.Contains(line, " INJECTED") {
			t.Errorf("written: %s", line)
		}
	}
}
