package mechanism

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/fe022423/submission/internal/redact"
)

const rfcToken = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="

func TestOAuthInitialResponse(t *testing.T) {
	token := redact.Hide(rfcToken)
	tests := []struct {
		name   string
		create constructor
		cred   Credentials
		want   string
	}{
		{"RFC 7628, 4.1", NewOAuthBearer, Credentials{Username: "user@example.com", Password: token, Host: "server.example.com", Port: 587},
			"n,a=user@example.com,\x01host=server.example.com\x01port=587\x01auth=Bearer " + rfcToken + "\x01\x01"},
		{"no host and port", NewOAuthBearer, Credentials{Username: "u", Password: token},
			"n,a=u,\x01auth=Bearer " + rfcToken + "\x01\x01"},
		{"saslname", NewOAuthBearer, Credentials{Username: "a=,b", Password: token},
			"n,a=a=3D=2Cb,\x01auth=Bearer " + rfcToken + "\x01\x01"},
		{"XOAUTH2", NewXOAuth2, Credentials{Username: "user@example.com", Password: token, Host: "h", Port: 587},
			"user=user@example.com\x01auth=Bearer " + rfcToken + "\x01\x01"},
		{"XOAUTH2, UTF-8", NewXOAuth2, Credentials{Username: "josé", Identity: "josé", Password: token},
			"user=josé\x01auth=Bearer " + rfcToken + "\x01\x01"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			client, err := tt.create(tt.cred)
			if err != nil {
				t.Fatal(err)
			}
			if _, ir, err := client.Start(); string(ir) != tt.want || err != nil {
				t.Errorf("Start = %q, %v; want %q", ir, err, tt.want)
			}
			if err := complete(client); err != nil {
				t.Errorf("Complete: %v", err)
			}
		})
	}
}

func TestOAuthRefusesCredentials(t *testing.T) {
	spoilt := map[string]func(*Credentials){
		"no token":            func(c *Credentials) { c.Password = redact.Secret{} },
		"line end in token":   func(c *Credentials) { c.Password = redact.Hide("abc\n") },
		"^A in token":         func(c *Credentials) { c.Password = redact.Hide("abc\x01auth=x") },
		"space in token":      func(c *Credentials) { c.Password = redact.Hide("abc def") },
		"DEL in token":        func(c *Credentials) { c.Password = redact.Hide("abc\x7f") },
		"token not ASCII":     func(c *Credentials) { c.Password = redact.Hide("é") },
		"^A in Username":      func(c *Credentials) { c.Username = "u\x01auth=Bearer x" },
		"line end in a name":  func(c *Credentials) { c.Username = "u\n" },
		"an Identity besides": func(c *Credentials) { c.Identity = "v" },
	}
	for name, spoil := range spoilt {
		for _, create := range []constructor{NewXOAuth2, NewOAuthBearer} {
			c := testCredentials()
			spoil(&c)
			if client, err := create(c); client != nil || err == nil {
				t.Errorf("%s was taken", name)
			}
		}
	}
	for _, c := range []Credentials{{Host: "a\x01b"}, {Host: "a b"}, {Port: -1}, {Port: 65536}} {
		c.Username, c.Password = "u", redact.Hide("t")
		if client, err := NewOAuthBearer(c); client != nil || err == nil {
			t.Errorf("host %q, port %d was taken", c.Host, c.Port)
		}
	}
}

func TestOAuthRefusal(t *testing.T) {
	const google = `{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}`
	tests := []struct{ name, challenge, reason string }{
		{"JSON", google, google},
		{"not JSON", "no", "no"},
		{"empty", "", ""},
		{"control characters", "{\r\n\x1b[31m\"status\":\"é\xff\"}", `{???[31m"status":"??"}`},
		{"long", strings.Repeat("x", 9000), strings.Repeat("x", 512)},
		{"echo", `{"status":"` + rfcToken + `"}`, "***"},
		{"echo in base64", base64.StdEncoding.EncodeToString([]byte("user=u\x01auth=Bearer " + rfcToken + "\x01\x01")), "***"},
		{"echo in hex", strings.ToUpper(hex.EncodeToString([]byte(rfcToken))), "***"},
		{"echo escaped", `{"status":"\u0076` + rfcToken[1:] + `"}`, "***"},
		{"echo as a key", `{"a":[{"\u0076` + rfcToken[1:] + `":1}]}`, "***"},
		{"echo far in", strings.Repeat(" ", 2000) + rfcToken, "***"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for dummy, create := range map[string]constructor{"": NewXOAuth2, "\x01": NewOAuthBearer} {
				client := begin(t, create, Credentials{Username: "u", Password: redact.Hide(rfcToken)})
				if got := answer(t, client, tt.challenge); got != dummy {
					t.Errorf("answered with %q, want %q", got, dummy)
				}
				var refusal *RefusalError
				if err := complete(client); !errors.As(err, &refusal) || refusal.Reason != tt.reason {
					t.Errorf("Complete: %v, want %q", err, tt.reason)
				} else if strings.ContainsAny(err.Error(), "\r\n") || !strings.HasSuffix(err.Error(), tt.reason) || strings.HasSuffix(err.Error(), ": ") {
					t.Errorf("error text %q", err)
				}
				if _, _, err := client.Start(); err != nil || complete(client) != nil {
					t.Errorf("begun anew: %v, %v", err, complete(client))
				}
				answer(t, client, tt.challenge)
			}
		})
	}
}

func FuzzOAuthReason(f *testing.F) {
	f.Add(`{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}`)
	f.Add(`{"status":"\u0076F9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="}`)
	f.Fuzz(func(t *testing.T, challenge string) {
		client := begin(t, NewXOAuth2, Credentials{Username: "u", Password: redact.Hide(rfcToken)})
		if got := answer(t, client, challenge); got != "" {
			t.Fatalf("answered with %q", got)
		}
		var refusal *RefusalError
		if err := complete(client); !errors.As(err, &refusal) {
			t.Fatalf("Complete: %v", err)
		}
		if r := refusal.Reason; len(r) > maxReason || strings.Contains(r, rfcToken) || strings.ContainsFunc(r, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Fatalf("reason %q", r)
		}
	})
}
