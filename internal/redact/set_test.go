package redact

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestShownIn(t *testing.T) {
	const password = "korrekt-Pferd?7"
	s := Hide(password)
	for _, form := range []string{
		password, base64.StdEncoding.EncodeToString([]byte(password)),
		hex.EncodeToString([]byte(password)), strings.ToUpper(hex.EncodeToString([]byte(password))),
	} {
		if !ShownIn("x "+form+" y", s) {
			t.Errorf("not seen: %q", form)
		}
	}
	for before := range 6 {
		for after := range 6 {
			whole := []byte(strings.Repeat("\xfe", before) + password + strings.Repeat("\xfd", after))
			for _, e := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding, base64.RawStdEncoding} {
				if text := e.EncodeToString(whole); !ShownIn(text, s) {
					t.Errorf("not seen: %q", text)
				}
			}
		}
	}
	for _, text := range []string{"", "korrekt-Pferd", "invalid_token", base64.StdEncoding.EncodeToString([]byte("korrekt-Pferd!7"))} {
		if ShownIn(text, s) {
			t.Errorf("seen in %q", text)
		}
	}
	if ShownIn("anything", Secret{}) || ShownIn("", Hide("")) {
		t.Error("the empty secret was seen")
	}
}

func TestSetCleans(t *testing.T) {
	const password = "korrekt-Pferd?7"
	var s Set
	if got := s.Clean(password); got != password {
		t.Errorf("the empty Set makes %q of it", got)
	}
	s.Add("")
	s.Add(password)
	s.Add(password)
	s.Add("abc")
	s.Add(`a"b\cdefg`)
	h := hex.EncodeToString([]byte(password))
	for text, want := range map[string]string{
		"no " + password + " here":                                         "no *** here",
		h + " " + strings.ToUpper(h):                                       "*** ***",
		base64.StdEncoding.EncodeToString([]byte(password)):                "***",
		base64.RawURLEncoding.EncodeToString([]byte("x\x00" + password)):   "eAB***c",
		"abcd is no secret, nor is " + hex.EncodeToString([]byte("short")): "abcd is no secret, nor is 73686f7274",
		"616263 is":                    "616263 is", // as short as the secret
		fmt.Sprintf("%q", `a"b\cdefg`): "***",
		"a%22b%5Ccdefg":                "***",
	} {
		if got := s.Clean(text); !strings.Contains(got, want) || strings.Contains(got, password) {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
	s.InAuth = true
	if got := s.Clean("abcd"); got != "***d" {
		t.Errorf("within AUTH a short secret shows: %q", got)
	}
}

func TestSetCleansErrors(t *testing.T) {
	var s Set
	s.Add("s3cret?!")
	cause := errors.New("it said s3cret?!")
	err := s.CleanError(fmt.Errorf("failed: %w", cause))
	if err.Error() != "failed: it said ***" || !errors.Is(err, cause) {
		t.Errorf("%v", err)
	}
	for _, v := range []any{err, s, &s, struct{ e error }{err}, struct{ s Set }{s}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%p"} {
			if text := fmt.Sprintf(verb, v); strings.Contains(text, "s3cret") || strings.Contains(text, hex.EncodeToString([]byte("s3cret"))) {
				t.Errorf("%s prints %s", verb, text)
			}
		}
	}
	if errors.Unwrap(err) != nil {
		t.Error("what was cleaned is handed out")
	}
	if other := errors.New("other"); s.CleanError(other) != other || s.CleanError(nil) != nil {
		t.Error("an error without a secret is not returned as it is")
	}
}

func TestWeakSecrets(t *testing.T) {
	for secret, weak := range map[string]bool{
		"e": true, "hunter2": true, "accepted": true, "Accepted": true, "ACCEPTED": true, "enhancedstatuscodes": true, "größenwahn": true,
		"12345678": true, "192.0.2.25": true, "2026-11-26": true, "2.1.0": true,
		"hunter22": false, "qWertZuiop": false, "correct horse": false, "correcthorsebatterystaple": false, "1234567x": false, "geheim-wort": false, "passw0rd": false,
	} {
		var s Set
		s.Add(secret)
		if got := s.Clean("<" + secret + ">"); (got != "<***>") != weak {
			t.Errorf("outside of AUTH %s became %s", secret, got)
		}
		s.InAuth = true
		if got := s.Clean("<" + secret + ">"); got != "<***>" {
			t.Errorf("within AUTH %s became %s", secret, got)
		}
	}
}

func TestCleanStart(t *testing.T) {
	const secret = "korrekt-Pferd?7"
	var s Set
	s.Add(secret)
	for n := range len(secret) + 1 {
		want := "x " + secret[:n]
		if n >= minStart {
			want = "x ***"
		}
		if got := s.CleanStart("x " + secret[:n]); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := s.CleanStart(secret + " and korr"); got != "*** and ***" {
		t.Error(got)
	}
	if got := s.CleanStart("kor"); got != "kor" {
		t.Error(got)
	}
}

// A copy of a Set does not see what is added to the other.
func TestSetCopies(t *testing.T) {
	var s Set
	s.Add("first-one")
	other := s
	other.Add("second-one")
	s.Add("third-one")
	if s.Clean("second-one") != "second-one" || other.Clean("third-one") != "third-one" || other.Clean("first-one second-one") != "*** ***" {
		t.Error("the copies share their secrets")
	}
}
