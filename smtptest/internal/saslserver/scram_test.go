package saslserver

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"hash"
	"strconv"
	"strings"
	"testing"
)

// TestSCRAMVectors: RFC 5802, 5 and RFC 7677, 3.
func TestSCRAMVectors(t *testing.T) {
	tests := []struct{ mechanism, nonce, salt, clientFirst, serverFirst, clientFinal, serverFinal string }{
		{"SCRAM-SHA-1", "3rfcNHYJY1ZVvWVs7j", "QSXCR+Q6sek8bf92",
			"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
			"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
			"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
			"v=rmF9pqV8S7suAoZWja4dJRkFsKQ="},
		{"SCRAM-SHA-256", "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", "W22ZaJ0SNY7soEsUEjb6gQ==",
			"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
			"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
			"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
			"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="},
	}
	for _, tt := range tests {
		salt, err := base64.StdEncoding.DecodeString(tt.salt)
		if err != nil {
			t.Fatal(err)
		}
		x := newSCRAM(tt.mechanism, map[string]string{"user": "pencil"})
		x.salt, x.nonce = string(salt), func() string { return tt.nonce }
		for _, step := range []struct{ response, challenge string }{{tt.clientFirst, tt.serverFirst}, {tt.clientFinal, tt.serverFinal}} {
			if got, done, err := x.Next([]byte(step.response)); string(got) != step.challenge || done || err != nil {
				t.Errorf("%s: %q is answered with %q, %v, %v", tt.mechanism, step.response, got, done, err)
			}
		}
		if _, done, err := x.Next([]byte{}); !done || err != nil || x.User() != "user" {
			t.Errorf("%s: %v, %v, user %q at the end", tt.mechanism, done, err, x.User())
		}
	}
}

// scramClient is a client after RFC 5802, 3 that shares no code with the server.
type scramClient struct {
	hash     func() hash.Hash
	header   string // the gs2-header
	name     string // as it is sent
	password string // as it is hashed
	binding  []byte
}

const clientNonce = "rOprNGfwEbeRWgbNEkqO"

func (s scramClient) bare() string { return "n=" + s.name + ",r=" + clientNonce }

func (s scramClient) first() string { return s.header + s.bare() }

// final answers the server-first-message and predicts the server-final-message.
func (s scramClient) final(t *testing.T, challenge string) (message, signature string) {
	t.Helper()
	challenge, _ = strings.CutPrefix(challenge, "334 ")
	attrs := strings.Split(challenge, ",")
	if len(attrs) != 3 || !strings.HasPrefix(attrs[0], "r="+clientNonce) || len(attrs[0]) < len("r="+clientNonce)+16 {
		t.Fatalf("server-first-message %q", challenge)
	}
	salt, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(attrs[1], "s="))
	if err != nil || len(salt) != 16 {
		t.Fatalf("salt %q, %v", attrs[1], err)
	}
	iterations, err := strconv.Atoi(strings.TrimPrefix(attrs[2], "i="))
	if err != nil || iterations < 4096 {
		t.Fatalf("iterations %q, %v", attrs[2], err)
	}
	salted, err := pbkdf2.Key(s.hash, s.password, salt, iterations, s.hash().Size())
	if err != nil {
		t.Fatal(err)
	}
	mac := func(key []byte, text string) []byte {
		m := hmac.New(s.hash, key)
		m.Write([]byte(text))
		return m.Sum(nil)
	}
	clientKey := mac(salted, "Client Key")
	stored := s.hash()
	stored.Write(clientKey)
	unproven := "c=" + b64(s.header+string(s.binding)) + "," + attrs[0]
	auth := s.bare() + "," + challenge + "," + unproven
	proof := mac(stored.Sum(nil), auth)
	for i := range proof {
		proof[i] ^= clientKey[i]
	}
	return unproven + ",p=" + b64(string(proof)), "v=" + b64(string(mac(mac(salted, "Server Key"), auth)))
}

// scramHashes are the hashes by mechanism, without -PLUS.
var scramHashes = map[string]func() hash.Hash{"SCRAM-SHA-1": sha1.New, "SCRAM-SHA-256": sha256.New, "SCRAM-SHA-512": sha512.New}

func TestSCRAM(t *testing.T) {
	accounts := map[string]string{"user": "pencil", "admin": "x", "a,b=c": "comma", "IX": "roman", "fi": "ﬁ", "ªuser": "ordinal", "emoji": "🔑"}
	tests := map[string]struct {
		client scramClient
		user   string // "" is 535
	}{
		"right":             {scramClient{header: "n,,", name: "user", password: "pencil"}, "user"},
		"could bind":        {scramClient{header: "y,,", name: "user", password: "pencil"}, "user"},
		"quoted":            {scramClient{header: "n,,", name: "a=2Cb=3Dc", password: "comma"}, "a,b=c"},
		"authzid":           {scramClient{header: "n,a=a=2Cb=3Dc,", name: "user", password: "pencil"}, "user"},
		"as nobody":         {scramClient{header: "n,a=nobody,", name: "user", password: "pencil"}, ""},
		"wrong":             {scramClient{header: "n,,", name: "user", password: "pen"}, ""},
		"name unprepared":   {scramClient{header: "n,,", name: "Ⅸ", password: "roman"}, "IX"},
		"password prepared": {scramClient{header: "n,,", name: "fi", password: "fi"}, "fi"},
		"password as it is": {scramClient{header: "n,,", name: "fi", password: "ﬁ"}, ""},
		"account prepared":  {scramClient{header: "n,,", name: "auser", password: "ordinal"}, "ªuser"},
		"account as it is":  {scramClient{header: "n,,", name: "ªuser", password: "ordinal"}, "ªuser"},
		"prohibited":        {scramClient{header: "n,,", name: "emoji", password: "🔑"}, "emoji"},
	}
	for mechanism, hash := range scramHashes {
		for name, tt := range tests {
			t.Run(mechanism+" "+name, func(t *testing.T) {
				x := newSCRAM(mechanism, accounts)
				tt.client.hash = hash
				final, signature := tt.client.final(t, say(x, tt.client.first()))
				if tt.user == "" {
					want(t, say(x, final), "535 user or password is wrong")
					return
				}
				if got := say(x, final); got != "334 "+signature {
					t.Errorf("%q, want signature %q", got, signature)
				}
				if got := say(x, ""); got != "235 "+tt.user {
					t.Errorf("%q, want user %q", got, tt.user)
				}
			})
		}
	}
}

// TestSCRAMFirst: which client-first-messages the grammar of RFC 5802, 7 allows.
func TestSCRAMFirst(t *testing.T) {
	tests := map[string]string{
		"":                             "501",
		"n,,n=user":                    "501",
		"n,,n=user,r=":                 "501",
		"n,,n=user,r=a b":              "501",
		"n,,n=user,r=é":                "501",
		"n,,n=user,r=a\x00":            "501",
		"n,,n=us\xff,r=a":              "501",
		"n,,r=a,n=user":                "501",
		"n,n=user,r=a":                 "501",
		"x,,n=user,r=a":                "501",
		"n,b=c,n=user,r=a":             "501",
		"N,,n=user,r=a":                "501",
		"n,,n=us=2cer,r=a":             "535 invalid-username-encoding",
		"n,a==,n=user,r=a":             "535 invalid-encoding",
		"n,,m=x,n=user,r=a":            "535 extensions-not-supported",
		"n,,n=user,r=a,m=x":            "535 extensions-not-supported",
		"n,,n=nobody,r=a":              "535 user or password",
		"n,,n=,r=a":                    "535 user or password",
		"p=tls-exporter,,n=user,r=a":   "535 channel-binding-not-supported",
		"n,,n=user,r=a,x=an extension": "334 ",
		"n,a=user,n=user,r=!~":         "334 ",
		"n,,n=user,r=a,x=" + "Grüße":   "334 ",
		"n,,n=user,r=a\r\n":            "501",
		"p=tls-unique,,n=user,r=a":     "535 channel-binding-not-supported",
		"p=,,n=user,r=a":               "535 channel-binding-not-supported",
		"n,,n=user=3D,r=a":             "535 user or password",
		"n,,n=" + strings.Repeat("=2C", 9) + ",r=a": "535 user or password",
	}
	for first, reply := range tests {
		t.Run(first, func(t *testing.T) {
			x := newSCRAM("SCRAM-SHA-1", map[string]string{"user": "pencil"})
			if got := begin(x); got != "334 " {
				t.Errorf("asked with %q", got)
			}
			want(t, say(x, first), reply)
		})
	}
}

// TestSCRAMFinal changes the client-final-message of a good exchange.
func TestSCRAMFinal(t *testing.T) {
	replace := func(from, to string) func(string) string {
		return func(s string) string { return strings.Replace(s, from, to, 1) }
	}
	tests := map[string]struct {
		change func(string) string
		want   string
	}{
		"nothing":           {func(s string) string { return s }, "334"},
		"no binding":        {replace("c=biws,", ""), "501"},
		"other header":      {replace("c=biws,", "c=eSws,"), "535 channel-bindings-dont-match"},
		"binding data":      {replace("c=biws,", "c="+b64("n,,x")+","), "535 channel-bindings-dont-match"},
		"binding no base64": {replace("c=biws,", "c=n,"), "501"},
		"nonce":             {replace("r="+clientNonce, "r="+clientNonce+"x"), "535 other-error"},
		"no nonce":          {replace("r=", "x="), "501"},
		"no proof":          {func(s string) string { return s[:strings.Index(s, ",p=")] }, "501"},
		"short proof":       {func(s string) string { return s[:strings.Index(s, ",p=")] + ",p=QQ==" }, "535"},
		"lax proof":         {func(s string) string { return s[:strings.Index(s, ",p=")] + ",p=QR==" }, "501"},
		"empty proof":       {func(s string) string { return s[:strings.Index(s, ",p=")] + ",p=" }, "535"},
		"extension":         {replace(",p=", ",x=y,p="), "535 user or password"}, // not in the proof
		"mandatory":         {replace(",p=", ",m=y,p="), "535 extensions-not-supported"},
		"empty":             {func(string) string { return "" }, "501"},
		"LF":                {replace(",p=", ",p=\n"), "501"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			x := newSCRAM("SCRAM-SHA-256", map[string]string{"user": "pencil"})
			client := scramClient{hash: sha256.New, header: "n,,", name: "user", password: "pencil"}
			final, _ := client.final(t, say(x, client.first()))
			want(t, say(x, tt.change(final)), tt.want)
			if tt.want == "334" {
				want(t, say(x, "A"), "501") // the server's signature needs an empty response
			}
		})
	}
}

// TestSCRAMSalt: an account has one salt, and no two have the same.
func TestSCRAMSalt(t *testing.T) {
	challenge := func(user string) (nonce, salt string) {
		parts := strings.Split(say(newSCRAM("SCRAM-SHA-1", map[string]string{"a": "x", "b": "x"}), "n,,n="+user+",r=x"), ",")
		return parts[0], parts[1]
	}
	nonce1, salt1 := challenge("a")
	nonce2, salt2 := challenge("a")
	_, salt3 := challenge("b")
	if salt1 != salt2 || salt1 == salt3 || nonce1 == nonce2 {
		t.Errorf("salts %s %s %s, nonces %s %s", salt1, salt2, salt3, nonce1, nonce2)
	}
}

// FuzzSCRAM: no message of a client makes the server panic or authenticate
// somebody who does not know the password.
func FuzzSCRAM(f *testing.F) {
	f.Add("n,,n=user,r=abc", "c=biws,r=abc,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=")
	f.Add("p=tls-exporter,a=x,n=user,r=abc", "c=biws,r=abcdef,x=y,p=AAAA")
	f.Fuzz(func(t *testing.T, first, final string) {
		for _, mechanism := range []string{"SCRAM-SHA-1", "SCRAM-SHA-1-PLUS"} {
			x := newSCRAM(mechanism, map[string]string{"user": "pencil"})
			x.binds, x.bindings = true, map[string][]byte{"tls-exporter": []byte("x")}
			x.nonce = func() string { return "def" }
			for _, response := range []string{first, final, ""} {
				if _, done, err := x.Next([]byte(response)); done {
					t.Fatalf("%q and %q authenticate", first, final)
				} else if err != nil {
					break
				}
			}
		}
	})
}
