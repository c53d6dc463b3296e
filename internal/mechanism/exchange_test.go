package mechanism

import (
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/fe022423/submission/internal/redact"
)

// replies is a Server that says one reply after the other, and then fails.
type replies struct {
	replies []string
	said    []string // with | between what may be shown and what may not
}

func (r *replies) Say(shown, secret string) (int, []byte, error) {
	r.said = append(r.said, shown+"|"+secret)
	if len(r.said) > len(r.replies) {
		return 0, nil, io.ErrUnexpectedEOF
	}
	code, text, _ := strings.Cut(r.replies[len(r.said)-1], " ")
	n, err := strconv.Atoi(code)
	return n, []byte(text), err
}

func TestExchange(t *testing.T) {
	cred := Credentials{Username: "tim", Password: redact.Hide("tanstaaf"), Host: "h"}
	tests := []struct {
		name      string
		create    constructor
		public    string
		replies   []string
		said      []string
		code      int
		cancelled bool
		err       error  // in Ending.Err
		text      string // of Ending.Err
	}{
		{name: "PLAIN", create: NewPlain, replies: []string{"235 ok"}, said: []string{"AUTH PLAIN |AHRpbQB0YW5zdGFhZg=="}, code: 235},
		{name: "LOGIN", create: NewLogin, replies: []string{"334 ", "334 ", "235 ok"}, said: []string{"AUTH LOGIN|", "|dGlt", "|dGFuc3RhYWY="}, code: 235},
		{name: "refused", create: NewPlain, replies: []string{"535 no"}, said: []string{"AUTH PLAIN |AHRpbQB0YW5zdGFhZg=="}, code: 535},
		{name: "refused with a reason", create: NewXOAuth2, replies: []string{"334 e30=", "535 no"},
			said: []string{"AUTH XOAUTH2 |dXNlcj10aW0BYXV0aD1CZWFyZXIgdGFuc3RhYWYBAQ==", "|"}, code: 535, text: "the server refused: {}"},
		{name: "a code that ends nothing", create: NewPlain, replies: []string{"250 ok"}, said: []string{"AUTH PLAIN |AHRpbQB0YW5zdGFhZg=="}, code: 250},
		{name: "hung up", create: NewLogin, replies: []string{"334 "}, said: []string{"AUTH LOGIN|", "|dGlt"}, err: io.ErrUnexpectedEOF, text: "unexpected EOF"},
		{name: "success too early", create: NewLogin, replies: []string{"334 ", "235 ok"}, said: []string{"AUTH LOGIN|", "|dGlt"}, code: 235,
			err: ErrServerProof, text: "the server did not prove that it knows the password: the server reported success out of turn"},
		{name: "no base64", create: NewLogin, replies: []string{"334 User name:", "501 ok"}, said: []string{"AUTH LOGIN|", "*|"}, code: 501, cancelled: true, text: "challenge is not base64"},
		{name: "two lines", create: NewLogin, replies: []string{"334 a\nb", "235 ok"}, said: []string{"AUTH LOGIN|", "*|"}, code: 235, cancelled: true, text: "challenge of more than one line"},
		{name: "one challenge too many", create: NewLogin, replies: []string{"334 ", "334 ", "334 "}, said: []string{"AUTH LOGIN|", "|dGlt", "|dGFuc3RhYWY=", "*|"}, cancelled: true,
			err: sasl.ErrUnexpectedServerChallenge, text: "user name and password were sent already: sasl: unexpected server challenge"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			client, err := tt.create(cred)
			if err != nil {
				t.Fatal(err)
			}
			name, initial, err := client.Start()
			if err != nil {
				t.Fatal(err)
			}
			secrets := redact.Set{InAuth: true} // the password of RFC 4616 is a word
			server := &replies{replies: tt.replies}
			x := Exchange{Name: name, Client: client, Server: server, Secrets: &secrets, Public: "tim"}
			got := x.Run(t.Context(), initial)
			if !slices.Equal(server.said, tt.said) {
				t.Errorf("said %q, want %q", server.said, tt.said)
			}
			if got.Code != tt.code || got.Cancelled != tt.cancelled || tt.err != nil && !errors.Is(got.Err, tt.err) {
				t.Errorf("ended with %+v", got)
			}
			if text := errorText(got.Err); text != tt.text {
				t.Errorf("error %q, want %q", text, tt.text)
			}
			if sent := strings.Contains(strings.Join(server.said, " "), "dGFuc3RhYWY") || len(initial) > 0; sent && secrets.Clean("tim tanstaaf") != "tim ***" {
				t.Errorf("%q is left of the secret", secrets.Clean("tim tanstaaf"))
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// An initial response that would make the command too long waits for a challenge,
// and a server that accepts before it is not believed.
func TestExchangeHoldsALongResponse(t *testing.T) {
	const fits = 512 - len("AUTH X \r\n")
	for n, replied := range map[int][]string{
		fits / 4 * 3: {"235 ok"},
		fits/4*3 + 1: {"334 ", "235 ok"},
		4000:         {"334 ", "235 ok"},
	} {
		server := &replies{replies: replied}
		x := Exchange{Name: "X", Client: sasl.NewExternalClient(""), Server: server, Secrets: new(redact.Set)}
		if got := x.Run(t.Context(), make([]byte, n)); got.Code != 235 || got.Err != nil || len(server.said) != len(replied) {
			t.Errorf("%d octets: %+v after %d lines", n, got, len(server.said))
		}
	}
	server := &replies{replies: []string{"235 ok"}}
	x := Exchange{Name: "X", Client: sasl.NewExternalClient(""), Server: server, Secrets: new(redact.Set)}
	if got := x.Run(t.Context(), make([]byte, 600)); !errors.Is(got.Err, ErrServerProof) {
		t.Errorf("ended with %+v", got)
	}
}

func TestExchangeLimits(t *testing.T) {
	client, _ := NewXOAuth2(Credentials{Username: "u", Password: redact.Hide("t")})
	server := &replies{replies: []string{"334 " + strings.Repeat("AAAA", maxChallenge/4+1), "501 ok"}}
	x := Exchange{Name: XOAuth2, Client: client, Server: server, Secrets: new(redact.Set)}
	if got := x.Run(t.Context(), nil); !got.Cancelled || errorText(got.Err) != "challenge of 12292 octets, the limit is 12288" {
		t.Errorf("ended with %+v", got)
	}
	server = &replies{replies: append(slices.Repeat([]string{"334 "}, maxRounds+1), "501 ok")}
	x = Exchange{Name: "X", Client: echo{}, Server: server, Secrets: new(redact.Set)}
	if got := x.Run(t.Context(), nil); !got.Cancelled || errorText(got.Err) != "more than 16 challenges" || len(server.said) != maxRounds+2 {
		t.Errorf("ended with %+v after %d lines", got, len(server.said))
	}
}

// echo is a client that has an answer to everything.
type echo struct{}

func (echo) Start() (string, []byte, error)        { return "X", nil, nil }
func (echo) Next(challenge []byte) ([]byte, error) { return challenge, nil }

// A response that is too long for the command waits for a 334, whose text nobody
// needs: servers write words there, or a space more.
func TestTextOfNeededChallengeOnly(t *testing.T) {
	long := strings.Repeat("x", 500)
	cred := Credentials{Username: "tim", Password: redact.Hide(long), Host: "h"}
	longName := Credentials{Username: long, Password: redact.Hide("tanstaaf"), Host: "h"}
	external := func(Credentials) (sasl.Client, error) { return sasl.NewExternalClient(long), nil }
	for name, create := range map[string]func() (sasl.Client, error){
		"PLAIN":         func() (sasl.Client, error) { return NewPlain(cred) },
		"OAUTHBEARER":   func() (sasl.Client, error) { return NewOAuthBearer(cred) },
		"XOAUTH2":       func() (sasl.Client, error) { return NewXOAuth2(cred) },
		"SCRAM-SHA-256": func() (sasl.Client, error) { return NewScramSHA256(longName) },
		"EXTERNAL":      func() (sasl.Client, error) { return external(cred) },
	} {
		for _, text := range []string{"", " ", "  ", "go on", "VXNlcm5hbWU6", "Username:", "=", "a\nb", "\x00\xff", strings.Repeat("QUFB", 5000)} {
			client, err := create()
			if err != nil {
				t.Fatal(err)
			}
			mechanism, initial, err := client.Start()
			if err != nil {
				t.Fatal(err)
			}
			server := &replies{replies: []string{"334 " + text, "535 no"}}
			x := Exchange{Name: mechanism, Client: client, Server: server, Secrets: new(redact.Set)}
			if got := x.Run(t.Context(), initial); got.Cancelled || got.Code != 535 || len(server.said) != 2 || server.said[0] != "AUTH "+name+"|" {
				t.Errorf("%s, %q: %+v, said %q", name, text, got, server.said)
			}
		}
	}
}

// What an Ending tells of how far an exchange got.
func TestEndingTellsWhatWasShown(t *testing.T) {
	cred := Credentials{Username: "tim", Password: redact.Hide("tanstaaf"), Host: "h"}
	long := cred
	long.Password = redact.Hide(strings.Repeat("x", 500))
	for _, tt := range []struct {
		name              string
		create            constructor
		cred              Credentials
		replies           []string
		challenged, shown bool
	}{
		{"PLAIN", NewPlain, cred, []string{"504 no"}, false, true},
		{"PLAIN, held back", NewPlain, long, []string{"504 no"}, false, false},
		{"PLAIN, held back and sent", NewPlain, long, []string{"334 ", "504 no"}, true, true},
		{"LOGIN", NewLogin, cred, []string{"504 no"}, false, false},
		{"LOGIN, the name", NewLogin, cred, []string{"334 ", "504 no"}, true, false},
		{"LOGIN, the password", NewLogin, cred, []string{"334 ", "334 ", "504 no"}, true, true},
		{"CRAM-MD5", NewCramMD5, cred, []string{"334 YQ==", "504 no"}, true, false},
		{"hung up", NewPlain, cred, nil, false, true},
	} {
		client, err := tt.create(tt.cred)
		if err != nil {
			t.Fatal(err)
		}
		name, initial, _ := client.Start()
		x := Exchange{Name: name, Client: client, Server: &replies{replies: tt.replies}, Secrets: new(redact.Set), Public: "tim"}
		if got := x.Run(t.Context(), initial); got.Challenged != tt.challenged || got.Shown != tt.shown {
			t.Errorf("%s: %+v", tt.name, got)
		}
	}
}
