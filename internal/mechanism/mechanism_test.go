package mechanism

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/fe022423/submission/internal/redact"
)

type constructor = func(Credentials) (sasl.Client, error)

var constructors = map[string]constructor{
	sasl.Plain: NewPlain,
	sasl.Login: NewLogin,
	DigestMD5:  NewDigestMD5,

	CramMD5:         NewCramMD5,
	ScramSHA1:       NewScramSHA1,
	ScramSHA1Plus:   NewScramSHA1Plus,
	ScramSHA256:     NewScramSHA256,
	ScramSHA256Plus: NewScramSHA256Plus,
	ScramSHA512:     NewScramSHA512,
	ScramSHA512Plus: NewScramSHA512Plus,
	NTLM:            NewNTLM,
	XOAuth2:         NewXOAuth2,

	sasl.OAuthBearer: NewOAuthBearer,
}

var serverFirst = map[string]bool{sasl.Login: true, DigestMD5: true, CramMD5: true}

func begin(t *testing.T, create constructor, c Credentials) sasl.Client {
	t.Helper()
	client, err := create(c)
	if err != nil {
		t.Fatalf("constructor: %v", err)
	}
	if _, _, err := client.Start(); err != nil {
		t.Fatalf("Start: %v", err)
	}
	return client
}

func answer(t *testing.T, client sasl.Client, challenge string) string {
	t.Helper()
	response, err := client.Next([]byte(challenge))
	if err != nil {
		t.Fatalf("Next(%q): %v", challenge, err)
	}
	if response == nil {
		t.Fatalf("Next(%q) is nil: no response is not an empty response", challenge)
	}
	return string(response)
}

func complete(client sasl.Client) error { return client.(completer).Complete() }

func testCredentials() Credentials {
	return Credentials{Username: "chris", Password: redact.Hide("secret"), Host: "elwood.innosoft.com",
		Binding: Binding{TLSExporter, []byte("binding")}}
}

func TestNamesAndInitialResponses(t *testing.T) {
	for name, create := range constructors {
		client, err := create(testCredentials())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		mech, ir, err := client.Start()
		if mech != name || err != nil {
			t.Errorf("Start = %q, %v; want %q", mech, err, name)
		}
		if (ir == nil) != serverFirst[name] {
			t.Errorf("%s: initial response %q", name, ir)
		}
	}
}

func TestCredentialsRefused(t *testing.T) {
	fields := map[string]func(*Credentials){
		"NUL in Username": func(c *Credentials) { c.Username = "chr\x00is" },
		"NUL in Password": func(c *Credentials) { c.Password = redact.Hide("sec\x00ret") },
		"NUL in Identity": func(c *Credentials) { c.Identity = "\x00" },
		"NUL in Realm":    func(c *Credentials) { c.Realm = "r\x00" },
		"NUL in Domain":   func(c *Credentials) { c.Domain = "\x00d" },
		"NUL in Host":     func(c *Credentials) { c.Host = "h\x00" },
		"no Username":     func(c *Credentials) { c.Username = "" },
	}
	for what, spoil := range fields {
		for name, create := range constructors {
			c := testCredentials()
			spoil(&c)
			client, err := create(c)
			if err == nil || client != nil {
				t.Errorf("%s with %s: %v, %v", name, what, client, err)
			} else if strings.ContainsAny(err.Error(), "\x00\r\n") || strings.Contains(err.Error(), "ret") {
				t.Errorf("%s with %s: error shows the value: %q", name, what, err)
			}
		}
	}
}

func TestIdentityIsNeverDropped(t *testing.T) {
	carries := func(name string) bool {
		return name == sasl.Plain || name == DigestMD5 || strings.HasPrefix(name, "SCRAM-")
	}
	for name, create := range constructors {
		c := testCredentials()
		c.Identity = c.Username
		if _, err := create(c); err != nil {
			t.Errorf("%s with Identity = Username: %v", name, err)
		}
		c.Identity = "admin"
		if _, err := create(c); (err == nil) != carries(name) {
			t.Errorf("%s with another Identity: %v", name, err)
		}
	}
}

func TestStartForgetsTheLastExchange(t *testing.T) {
	l := begin(t, NewLogin, testCredentials())
	answer(t, l, "")
	answer(t, l, "")
	if _, _, err := l.Start(); err != nil || complete(l) == nil {
		t.Errorf("LOGIN is complete although it was begun anew (%v)", err)
	}
	if got := answer(t, l, ""); got != "chris" {
		t.Errorf("LOGIN began anew with %q", got)
	}
	d := begin(t, NewDigestMD5, testCredentials())
	if _, err := d.Next(nil); err == nil {
		t.Fatal("DIGEST-MD5 took an empty challenge")
	}
	if _, _, err := d.Start(); err != nil || !errors.Is(complete(d), ErrServerProof) {
		t.Errorf("DIGEST-MD5 begun anew: %v, %v", err, complete(d))
	}
	answer(t, d, rfcChallenge)
}

// forms are the ways in which a password could show.
func forms(password string) []string {
	return []string{
		password,
		base64.StdEncoding.EncodeToString([]byte(password)),
		hex.EncodeToString([]byte(password)),
		strings.ToUpper(hex.EncodeToString([]byte(password))),
		strings.Trim(fmt.Sprint([]byte(password)), "[]"),
		fmt.Sprintf("%x", base64.StdEncoding.EncodeToString([]byte(password))),
	}
}

func TestNothingPrintsThePassword(t *testing.T) {
	const password = "korrekt-Pferd-7"
	c := testCredentials()
	c.Password = redact.Hide(password)
	type public struct{ C any }
	type private struct {
		C Credentials
		c Credentials
		p *Credentials
		i any
	}
	values := []any{
		c, &c, c.Password, &c.Password, []Credentials{c}, map[string]*Credentials{"a": &c},
		private{C: c, c: c, p: &c, i: c}, &private{C: c, c: c, p: &c, i: &c},
	}
	for name, create := range constructors {
		client := begin(t, create, c)
		switch {
		case name == DigestMD5:
			answer(t, client, rfcChallenge)
		case name == CramMD5:
			answer(t, client, "<1@x>")
		case name == NTLM:
			answer(t, client, ntlmChallenge(ntlmUnicode, ntlmTarget))
		case strings.HasPrefix(name, "SCRAM-"):
			answer(t, client, "r="+client.(*scramClient).sent+"x,s=QSXCR+Q6sek8bf92,i=4096")
		case strings.Contains(name, "OAUTH"):
			answer(t, client, `{"status":"`+password+`"}`)
		}
		if done := complete(client); done != nil {
			values = append(values, done, done.Error())
		}
		values = append(values, client, public{client}, &public{client}, private{i: client})
	}
	for _, v := range values {
		for _, p := range printed(v) {
			for _, form := range forms(password) {
				if strings.Contains(p, form) {
					t.Errorf("%T shows the password: %q", v, p)
				}
			}
		}
	}
}

// printed returns v in every way that package fmt, slog and the encoders have.
func printed(v any) []string {
	var out []string
	for _, verb := range "vTtbcdoOqxXUeEfFgGspwz" {
		for _, flags := range []string{"", "+", "#", "-20", "020", ".3", " "} {
			out = append(out, fmt.Sprintf("%"+flags+string(verb), v))
		}
	}
	wrongly := "%w" // not a constant, so that vet lets the misuse pass
	out = append(out, fmt.Sprint(v), fmt.Errorf(wrongly, v).Error())
	var b bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&b, nil), slog.NewJSONHandler(&b, nil)} {
		slog.New(h).Info("x", "v", v, slog.Group("g", "v", v))
	}
	out = append(out, b.String(), slog.AnyValue(v).Resolve().String())
	if j, err := json.Marshal(v); err == nil {
		out = append(out, string(j))
	}
	if x, err := xml.Marshal(v); err == nil {
		out = append(out, string(x))
	}
	return out
}
