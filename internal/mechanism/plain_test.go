package mechanism

import (
	"encoding/base64"
	"errors"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/fe022423/submission/internal/redact"
)

func TestPlain(t *testing.T) {
	tests := []struct {
		name string
		cred Credentials
		want string
	}{
		{"no authzid", Credentials{Username: "username", Password: redact.Hide("password")}, "AHVzZXJuYW1lAHBhc3N3b3Jk"},
		{"authzid (RFC 4616, 4)", Credentials{Username: "Kurt", Password: redact.Hide("xipj3plmq"), Identity: "Ursel"},
			base64.StdEncoding.EncodeToString([]byte("Ursel\x00Kurt\x00xipj3plmq"))},
		{"UTF-8", Credentials{Username: "josé", Password: redact.Hide("sécret")},
			base64.StdEncoding.EncodeToString([]byte("\x00jos\xc3\xa9\x00s\xc3\xa9cret"))},
		{"what PLAIN has no use for", Credentials{Username: "u", Password: redact.Hide("p"), Realm: "r", Domain: "d", Host: "h"},
			base64.StdEncoding.EncodeToString([]byte("\x00u\x00p"))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			client, err := NewPlain(tt.cred)
			if err != nil {
				t.Fatal(err)
			}
			mech, ir, err := client.Start()
			if got := base64.StdEncoding.EncodeToString(ir); mech != "PLAIN" || got != tt.want || err != nil {
				t.Errorf("Start = %q, %q, %v; want %q", mech, got, err, tt.want)
			}
			if err := complete(client); err != nil {
				t.Errorf("Complete: %v", err)
			}
		})
	}
}

func TestPlainTakesNoChallenge(t *testing.T) {
	client := begin(t, NewPlain, testCredentials())
	for _, challenge := range []string{"", "Password:"} {
		if r, err := client.Next([]byte(challenge)); r != nil || !errors.Is(err, sasl.ErrUnexpectedServerChallenge) {
			t.Errorf("Next(%q) = %q, %v", challenge, r, err)
		}
	}
}

func TestPlainRefusesAnEmptyPassword(t *testing.T) {
	if _, err := NewPlain(Credentials{Username: "u"}); err == nil {
		t.Error("an empty password was taken")
	}
}
