package submission_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// leaf is a string somewhere in a value.
type leaf struct {
	path  string
	value reflect.Value
}

// leaves finds every string in v. No slice in v may be empty, so that no field is missed.
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
		t.Fatalf("%s is a %v, in which strings are not found", path, v.Kind())
	}
	return nil
}

// injections must not get from a field into a command line.
var injections = []string{"\r\nINJECTED", "\nINJECTED", "\rINJECTED", "\x00INJECTED", "\x7fINJECTED", "\x1bINJECTED", "\x0bINJECTED", "\r\n.\r\nINJECTED", "\r\n"}

// tries are the values to try in a field that has the good value v.
func tries(v string) []string {
	var list []string
	for _, in := range injections {
		list = append(list, in, v+in, in+v, v[:len(v)/2]+in+v[len(v)/2:], v+in+v)
	}
	return list
}

// fullEnvelope has a good value in every field.
func fullEnvelope() submission.Envelope {
	return submission.Envelope{
		From: "from@test.example",
		To: []submission.Recipient{
			{Addr: "first@test.example"},
			{Addr: "to@test.example", Notify: submission.NotifyFailure, ORCPT: "rfc822;orig@test.example", ValidSince: time.Unix(1e9, 0), Params: []string{"X-RCPT", "X-RCPT-VALUE=value"}},
		},
		DSN:  submission.DSN{Notify: submission.NotifyDelay, Return: submission.ReturnFull, EnvelopeID: "envelope"},
		Body: submission.Body8BitMIME, UTF8: true, Submitter: "submitter@test.example", Size: 7, Priority: -5, HoldFor: time.Minute, DeliverBy: submission.DeliverBy{Within: time.Hour},
		Params: []string{"X-MAIL", "X-MAIL-VALUE=value"},
	}
}

// A control character in a string of an Envelope, in whatever field, is refused: no octet is
// written.
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
	// A partial envelope goes to the good recipient, and nothing of the bad one is written.
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

// A control character in a string of Options is refused. One in Password is refused, or goes
// out in base64.
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

// tryDial opens a session with o and returns what was written.
func tryDial(o *submission.Options) (string, error) {
	srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.NoTLS, Accounts: map[string]string{"user": "secret"}})
	defer srv.Close()
	nc := record(srv.Pipe())
	defer nc.Close()
	set := *o
	if set.LocalAddr == "127.0.0.1" {
		// The good value works, but with the default dialer only.
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

// A control character in an argument of a function is refused.
func TestInjectionArguments(t *testing.T) {
	s := openSession(t, play(t, "whole", greeted("SMTPUTF8")+"C: QUIT\nS: 221 bye\neof"), plainText())
	defer s.Close()
	for _, in := range injections {
		for _, v := range []string{in, "x" + in, in + "x", "x@test.example" + in} {
			if _, err := s.Verify(context.Background(), v); err == nil {
				t.Errorf("Verify accepts %q", v)
			}
			if _, err := s.Command(context.Background(), v); err == nil {
				t.Errorf("Command accepts %q", v)
			}
			if _, err := submission.New(v, nil); wantError[*submission.OptionError](t, err).Option != "addr" {
				t.Errorf("New: %v", err)
			}
			if _, err := submission.New("host"+v+":25", nil); err == nil {
				t.Errorf("New accepts %q", v)
			}
			nc := play(t, "whole", "eof")
			if _, err := submission.NewSession(context.Background(), nc, v, plainText()); err == nil {
				t.Errorf("NewSession accepts the host %q", v)
			}
		}
	}
	if !s.Usable() {
		t.Error("the session is lost")
	}
}

// No value adds a parameter of its own to a command.
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
				t.Fatalf("%s with %q: the session is lost", at.path, in)
			}
		}
	}
	for line := range strings.SplitSeq(string(nc.written()), "\r\n") {
		if strings.Contains(line, " INJECTED") {
			t.Errorf("written: %s", line)
		}
	}
}
