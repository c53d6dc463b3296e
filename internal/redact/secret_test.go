package redact

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
)

func TestSecretPrintsAsterisks(t *testing.T) {
	for _, s := range []Secret{{}, Hide(""), Hide("secret")} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			if got := fmt.Sprintf(verb, s) + fmt.Sprintf(verb, &s); got != "******" {
				t.Errorf("%s: %q", verb, got)
			}
		}
		if j, err := json.Marshal(s); string(j) != `"***"` || err != nil {
			t.Errorf("JSON: %s, %v", j, err)
		}
		if got := s.LogValue().String(); got != "***" {
			t.Errorf("slog: %q", got)
		}
	}
	if got := (Secret{}).Reveal(); got != "" {
		t.Errorf("the zero Secret is %q", got)
	}
}

// In an unexported field no method is called, and a wrong verb makes package fmt
// follow a pointer.
func TestHiddenInUnexportedFields(t *testing.T) {
	type fields struct {
		text    Secret
		list    Hidden[[]string]
		user    Hidden[*url.Userinfo]
		whole   Hidden[struct{ Word string }]
		failure Hidden[error]
	}
	f := fields{
		Hide("s3cret"), Hide([]string{"s3cret"}), Hide(url.UserPassword("me", "s3cret")),
		Hide(struct{ Word string }{"s3cret"}), Hide(errors.New("s3cret")),
	}
	for _, v := range []any{f, &f, []fields{f}, map[string]*fields{"f": &f}, struct{ any any }{&f}} {
		for _, verb := range "vTtbcdoOqxXUeEfFgGspwz" {
			for _, flags := range []string{"", "+", "#"} {
				if text := fmt.Sprintf("%"+flags+string(verb), v); strings.Contains(text, "s3cret") || strings.Contains(text, "733363726574") {
					t.Errorf("%%%s%c prints %s", flags, verb, text)
				}
			}
		}
	}
	if f.text.Reveal() != "s3cret" || f.user.Reveal().Username() != "me" || f.text.IsZero() || !(Secret{}).IsZero() {
		t.Error("the value is lost")
	}
}
