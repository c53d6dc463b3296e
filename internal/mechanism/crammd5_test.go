package mechanism

import (
	"errors"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/fe022423/submission/internal/redact"
)

func TestCramMD5Vectors(t *testing.T) {
	tests := []struct{ user, password, challenge, want string }{
		{"tim", "tanstaaftanstaaf", "<1896.697170952@postoffice.reston.mci.net>", "tim b913a602c7eda7a495b4e6e7334d3890"}, // RFC 2195, 2
		{"user", "pass", "<123456.1322876914@testserver>", "user 287eb355114cf5c471c26a875f1ca4ae"},
		// RFC 2202, 2, test cases 2 and 6: a key beyond the block size.
		{"a b", "Jefe", "what do ya want for nothing?", "a b 750c783e6ab0b503eaa86e310a5db738"},
		{"u", strings.Repeat("\xaa", 80), "Test Using Larger Than Block-Size Key - Hash Key First", "u 6b1ab7fe4bd7bf8f0b62e6ce61b9d0cd"},
	}
	for _, tt := range tests {
		client := begin(t, NewCramMD5, Credentials{Username: tt.user, Password: redact.Hide(tt.password)})
		if complete(client) == nil {
			t.Error("complete before the challenge")
		}
		got := answer(t, client, tt.challenge)
		if got != tt.want {
			t.Errorf("%q: %q, want %q", tt.challenge, got, tt.want)
		}
		if err := complete(client); err != nil {
			t.Errorf("Complete: %v", err)
		}
	}
}

func TestCramMD5EmptyChallenge(t *testing.T) {
	client := begin(t, NewCramMD5, testCredentials())
	if r, err := client.Next(nil); r != nil || err == nil || complete(client) == nil {
		t.Errorf("Next = %q, %v; Complete: %v", r, err, complete(client))
	}
	if _, _, err := client.Start(); err != nil {
		t.Fatal(err)
	}
	answer(t, client, "<1@x>")
}

func TestSecondChallenge(t *testing.T) {
	first := map[string]string{CramMD5: "<1@x>", NTLM: ntlmChallenge(ntlmUnicode, ntlmTarget), XOAuth2: "{}", sasl.OAuthBearer: "{}"}
	for name, challenge := range first {
		client := begin(t, constructors[name], testCredentials())
		answer(t, client, challenge)
		if r, err := client.Next([]byte(challenge)); r != nil || !errors.Is(err, sasl.ErrUnexpectedServerChallenge) {
			t.Errorf("%s: Next = %q, %v", name, r, err)
		}
		if complete(client) == nil {
			t.Errorf("%s: complete although the server asked for more", name)
		}
	}
}
