package mechanism

import (
	"errors"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/fe022423/submission/internal/redact"
)

func TestLoginAnswersByPosition(t *testing.T) {
	prompts := [][2]string{
		{"User Name\x00", "Password\x00"}, // draft-murchison-sasl-login, 2.2
		{"Username:", "Password:"},
		{"Password:", "Username:"},
		{"", ""},
		{"Benutzername:", "\xff\xfe"},
		{"password", "password"},
	}
	for _, p := range prompts {
		client := begin(t, NewLogin, Credentials{Username: "tim", Password: redact.Hide("tanstaaftanstaaf")})
		if complete(client) == nil {
			t.Errorf("%q: complete before anything was sent", p)
		}
		if got := answer(t, client, p[0]); got != "tim" {
			t.Errorf("%q: first answer %q", p, got)
		}
		if complete(client) == nil {
			t.Errorf("%q: complete without the password", p)
		}
		if got := answer(t, client, p[1]); got != "tanstaaftanstaaf" {
			t.Errorf("%q: second answer %q", p, got)
		}
		if err := complete(client); err != nil {
			t.Errorf("%q: %v after both", p, err)
		}
	}
}

func TestLoginThirdChallenge(t *testing.T) {
	client := begin(t, NewLogin, testCredentials())
	answer(t, client, "Username:")
	answer(t, client, "Password:")
	for range 2 {
		if r, err := client.Next([]byte("Password:")); r != nil || !errors.Is(err, sasl.ErrUnexpectedServerChallenge) {
			t.Errorf("Next = %q, %v", r, err)
		}
		if complete(client) == nil {
			t.Error("complete although the server asked for more")
		}
	}
}

func TestLoginEmptyPasswordIsAnEmptyResponse(t *testing.T) {
	client := begin(t, NewLogin, Credentials{Username: "u"})
	answer(t, client, "")
	if got := answer(t, client, ""); got != "" {
		t.Errorf("second answer %q", got)
	}
}
