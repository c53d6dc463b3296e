package saslserver

import (
	"strings"
	"testing"
)

// TestBearer: which messages XOAUTH2 and OAUTHBEARER accept.
func TestBearer(t *testing.T) {
	const token = "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg=="
	accounts := map[string]string{"user@example.com": token, "a,b=c": "comma", "é": "accent", "second": token}
	xoauth := func(user, auth string) string { return "user=" + user + "\x01auth=" + auth + "\x01\x01" }
	const malformed, wrong = "501", "535"
	tests := map[string][]struct{ response, want string }{
		"XOAUTH2": {
			{xoauth("user@example.com", "Bearer "+token), "user@example.com"},
			{xoauth("é", "bearer accent"), "é"},
			{xoauth("user@example.com", "Bearer x"), wrong},
			{xoauth("nobody", "Bearer "+token), wrong},
			{xoauth("", "Bearer "+token), malformed},
			{xoauth("second", "Basic "+token), malformed},
			{xoauth("second", "Bearer "), malformed},
			{xoauth("second", "Bearer"), malformed},
			{xoauth("second", "Bearer "+token+" "), malformed},
			{xoauth("second", "Bearer "+token)[1:], malformed},
			{"user=second\x01auth=Bearer " + token + "\x01", malformed},
			{"user=second\x01auth=Bearer " + token + "\x01\x01\x01", malformed},
			{"auth=Bearer " + token + "\x01user=second\x01\x01", malformed},
			{xoauth("\xff", "Bearer "+token), malformed},
			{"", malformed},
		},
		"OAUTHBEARER": {
			// The example of RFC 7628, 4.1, with the account's token.
			{"n,a=user@example.com,\x01host=server.example.com\x01port=143\x01auth=Bearer " + token + "\x01\x01", "user@example.com"},
			{"n,a=user@example.com,\x01auth=Bearer " + token + "\x01\x01", "user@example.com"},
			{"n,,\x01auth=Bearer " + token + "\x01\x01", "second"},
			{"y,a=a=2Cb=3Dc,\x01auth=BEARER comma\x01\x01", "a,b=c"},
			{"n,a=é,\x01x=a b\tc\r\n\x01auth=Bearer accent\x01\x01", "é"},
			{"n,a=user@example.com,\x01auth=Bearer x\x01\x01", wrong},
			{"n,,\x01auth=Bearer x\x01\x01", wrong},
			{"n,a=nobody,\x01auth=Bearer " + token + "\x01\x01", wrong},
			{"n,a=a,b=c,\x01auth=Bearer comma\x01\x01", malformed},
			{"n,a=a=2cb=3Dc,\x01auth=Bearer comma\x01\x01", malformed},
			{"n,a=,\x01auth=Bearer comma\x01\x01", malformed},
			{"n,second,\x01auth=Bearer " + token + "\x01\x01", malformed},
			{"p=tls-exporter,,\x01auth=Bearer " + token + "\x01\x01", malformed},
			{"n,,\x01auth=Bearer " + token + "\x01", malformed},
			{"n,,\x01auth=Bearer " + token + "\x01\x01\x01", malformed},
			{"n,,\x01auth=Bearer " + token, malformed},
			{"n,,\x01host=h\x01\x01", malformed},
			{"n,,\x01host=\x01auth=Bearer " + token + "\x01\x01", malformed},
			{"n,,\x01port=0\x01auth=Bearer " + token + "\x01\x01", malformed},
			{"n,,\x01port=0587\x01auth=Bearer " + token + "\x01\x01", malformed},
			{"n,,\x01port=65536\x01auth=Bearer " + token + "\x01\x01", malformed},
			{"n,,\x01auth=Bearer x\x01auth=Bearer " + token + "\x01\x01", malformed},
			{"n,,\x01h1=x\x01auth=Bearer " + token + "\x01\x01", malformed},
			{"n,,\x01h=\x00\x01auth=Bearer " + token + "\x01\x01", malformed},
			{"n,,\x01auth=Bearer " + token + "\x00\x01\x01", malformed},
			{"\x01", malformed},
			{"", malformed},
		},
	}
	reason := map[string]string{"XOAUTH2": `{"status":"401","schemes":"Bearer","scope":"mail"}`, "OAUTHBEARER": `{"status":"invalid_token"}`}
	right := map[string]string{"XOAUTH2": "", "OAUTHBEARER": "\x01"}
	other := map[string]string{"XOAUTH2": "\x01", "OAUTHBEARER": ""}
	s := Session{Accounts: accounts}
	for mechanism, cases := range tests {
		for _, tt := range cases {
			t.Run(mechanism+" "+tt.response, func(t *testing.T) {
				x := s.New(mechanism)
				got := say(x, tt.response)
				switch tt.want {
				case wrong:
					want(t, got, "334 "+reason[mechanism])
					want(t, say(x, other[mechanism]), "501")
					want(t, say(x, right[mechanism]), "535 the token is not valid")
				case malformed:
					want(t, got, "501")
				default:
					if got != "235 "+tt.want {
						t.Errorf("%q, want user %q", got, tt.want)
					}
				}
			})
		}
	}
}

// FuzzBearer: a message that is accepted has a token, and nobody without the right one
// is authenticated.
func FuzzBearer(f *testing.F) {
	f.Add("user=user\x01auth=Bearer token\x01\x01")
	f.Add("n,a=us=2Cer,\x01host=h\x01port=587\x01auth=Bearer token\x01\x01")
	f.Fuzz(func(t *testing.T, message string) {
		for _, parse := range []func(string) (string, string, bool){parseXOAuth2, parseOAuthBearer} {
			if _, token, ok := parse(message); ok && (token == "" || !strings.Contains(message, " "+token+"\x01")) {
				t.Fatalf("%q: token %q", message, token)
			}
		}
		for _, x := range []*bearer{newXOAuth2(map[string]string{"user": "secret"}), newOAuthBearer(map[string]string{"user": "secret"})} {
			if _, done, _ := x.Next([]byte(message)); done && !strings.Contains(message, "secret") {
				t.Fatalf("%q authenticates", message)
			}
		}
	})
}
