package mechanism

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"hash"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/fe022423/submission/internal/redact"
)

func beginScram(t *testing.T, create constructor, c Credentials, nonce string) (client sasl.Client, first string) {
	t.Helper()
	client, err := create(c)
	if err != nil {
		t.Fatal(err)
	}
	client.(*scramClient).nonce = func() string { return nonce }
	_, ir, err := client.Start()
	if err != nil {
		t.Fatal(err)
	}
	return client, string(ir)
}

func TestScramVectors(t *testing.T) {
	tests := []struct {
		name                      string
		create                    constructor
		nonce, first, final, sign string
	}{
		{"RFC 5802, 5", NewScramSHA1, "fyko+d2lbbFgONRv9qkxdawL",
			"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
			"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
			"v=rmF9pqV8S7suAoZWja4dJRkFsKQ="},
		{"RFC 7677, 3", NewScramSHA256, "rOprNGfwEbeRWgbNEkqO",
			"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
			"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
			"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			client, first := beginScram(t, tt.create, Credentials{Username: "user", Password: redact.Hide("pencil")}, tt.nonce)
			if want := "n,,n=user,r=" + tt.nonce; first != want {
				t.Errorf("client-first-message %q, want %q", first, want)
			}
			if got := answer(t, client, tt.first); got != tt.final {
				t.Errorf("client-final-message %q, want %q", got, tt.final)
			}
			if err := complete(client); !errors.Is(err, ErrServerProof) {
				t.Errorf("Complete before the signature: %v", err)
			}
			if got := answer(t, client, tt.sign); got != "" {
				t.Errorf("the signature was answered with %q", got)
			}
			if err := complete(client); err != nil {
				t.Errorf("Complete: %v", err)
			}
		})
	}
}

// scramServer follows RFC 5802, 3 from the messages alone. It returns what it
// takes for the proof of the client, and its own signature.
func scramServer(h func() hash.Hash, password, first, challenge, final string) (proof, signature string, err error) {
	parts := strings.Split(challenge, ",")
	salt, err := base64.StdEncoding.DecodeString(parts[1][2:])
	if err != nil {
		return "", "", err
	}
	salted, err := pbkdf2.Key(h, password, salt, 4096, h().Size())
	if err != nil {
		return "", "", err
	}
	mac := func(key []byte, text string) []byte {
		m := hmac.New(h, key)
		m.Write([]byte(text))
		return m.Sum(nil)
	}
	bare := strings.SplitN(first, ",", 3)[2]
	message := bare + "," + challenge + "," + final[:strings.LastIndex(final, ",p=")]
	key := mac(salted, "Client Key")
	stored := h()
	stored.Write(key)
	for i, o := range mac(stored.Sum(nil), message) {
		key[i] ^= o
	}
	b64 := base64.StdEncoding.EncodeToString
	return "p=" + b64(key), "v=" + b64(mac(mac(salted, "Server Key"), message)), nil
}

func TestScramNamesAndBinding(t *testing.T) {
	const nonce = "fyko+d2lbbFgONRv9qkxdawL"
	exporter := Binding{TLSExporter, []byte("\x00\x01binding,=\xff")}
	endPoint := Binding{TLSServerEndPoint, []byte("hash")}
	tests := []struct {
		name     string
		create   constructor
		hash     func() hash.Hash
		cred     Credentials
		header   string // gs2-header
		user     string // saslname
		password string // prepared
	}{
		{"SHA-1, no binding", NewScramSHA1, sha1.New, Credentials{}, "n,,", "u", "p"},
		{"SHA-256, no binding", NewScramSHA256, sha256.New, Credentials{}, "n,,", "u", "p"},
		{"SHA-512, no binding", NewScramSHA512, sha512.New, Credentials{}, "n,,", "u", "p"},
		{"could bind", NewScramSHA256, sha256.New, Credentials{Binding: exporter, Offered: []string{"PLAIN", "SCRAM-SHA-256", "X-PLUS"}}, "y,,", "u", "p"},
		{"could bind, and so could the server", NewScramSHA256, sha256.New, Credentials{Binding: exporter, Offered: []string{"SCRAM-SHA-1-PLUS"}}, "n,,", "u", "p"},
		{"binding of an unknown type", NewScramSHA256, sha256.New, Credentials{Binding: Binding{"tls-unique", []byte("x")}}, "n,,", "u", "p"},
		{"no binding, but the server could", NewScramSHA256, sha256.New, Credentials{Offered: []string{ScramSHA256Plus}}, "n,,", "u", "p"},
		{"SHA-1 bound", NewScramSHA1Plus, sha1.New, Credentials{Binding: exporter, Offered: []string{ScramSHA1Plus}}, "p=tls-exporter,,", "u", "p"},
		{"SHA-256 bound", NewScramSHA256Plus, sha256.New, Credentials{Binding: exporter}, "p=tls-exporter,,", "u", "p"},
		{"SHA-512 bound", NewScramSHA512Plus, sha512.New, Credentials{Binding: endPoint}, "p=tls-server-end-point,,", "u", "p"},
		{"authzid", NewScramSHA256, sha256.New, Credentials{Identity: "admin"}, "n,a=admin,", "u", "p"},
		{"authzid and binding", NewScramSHA256Plus, sha256.New, Credentials{Identity: "a=b,c", Binding: exporter}, "p=tls-exporter,a=a=3Db=2Cc,", "u", "p"},
		{"saslname", NewScramSHA256, sha256.New, Credentials{Username: "=2C,x="}, "n,,", "=3D2C=2Cx=3D", "p"},
		{"r= in the name", NewScramSHA256, sha256.New, Credentials{Username: "a,r=b"}, "n,,", "a=2Cr=3Db", "p"},
		// RFC 4013, 3.
		{"mapped to nothing", NewScramSHA256, sha256.New, Credentials{Username: "I\u00adX", Password: redact.Hide("I\u00adX")}, "n,,", "IX", "IX"},
		{"NFKC", NewScramSHA256, sha256.New, Credentials{Username: "\u2168", Password: redact.Hide("\u00aa\u00bd")}, "n,,", "IX", "a1\u20442"},
		{"non-ASCII space", NewScramSHA256, sha256.New, Credentials{Password: redact.Hide("a\u00a0b")}, "n,,", "u", "a b"},
		{"UTF-8", NewScramSHA256, sha256.New, Credentials{Username: "josé", Identity: "zoé", Password: redact.Hide("sécret")}, "n,a=zoé,", "josé", "sécret"},
		{"unassigned in Unicode 3.2", NewScramSHA256, sha256.New, Credentials{Username: "😀", Password: redact.Hide("😀\u00a0")}, "n,,", "😀", "😀\u00a0"},
		{"password that is no text", NewScramSHA256, sha256.New, Credentials{Password: redact.Hide("\xff\x07")}, "n,,", "u", "\xff\x07"},
		{"empty password", NewScramSHA256, sha256.New, Credentials{Password: redact.Hide("")}, "n,,", "u", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.cred.Username == "" {
				tt.cred.Username = "u"
			}
			if tt.cred.Password.IsZero() {
				tt.cred.Password = redact.Hide("p")
			}
			client, first := beginScram(t, tt.create, tt.cred, nonce)
			if want := tt.header + "n=" + tt.user + ",r=" + nonce; first != want {
				t.Errorf("client-first-message %q, want %q", first, want)
			}
			const challenge = "r=" + nonce + "~server!,s=c2FsdA==,i=4096,x=ignored,y=a=b"
			final := answer(t, client, challenge)
			proof, signature, err := scramServer(tt.hash, tt.password, first, challenge, final)
			if err != nil {
				t.Fatal(err)
			}
			cbind := tt.header
			if strings.HasPrefix(cbind, "p") {
				cbind += string(tt.cred.Binding.Data)
			}
			if want := "c=" + base64.StdEncoding.EncodeToString([]byte(cbind)) + ",r=" + nonce + "~server!," + proof; final != want {
				t.Errorf("client-final-message %q, want %q", final, want)
			}
			answer(t, client, signature+",x=ignored")
			if err := complete(client); err != nil {
				t.Errorf("Complete: %v", err)
			}
		})
	}
}

func TestScramRefusesCredentials(t *testing.T) {
	tests := map[string]struct {
		create constructor
		cred   Credentials
	}{
		"PLUS without a binding":    {NewScramSHA256Plus, Credentials{Username: "u"}},
		"PLUS with no data":         {NewScramSHA1Plus, Credentials{Username: "u", Binding: Binding{Type: TLSExporter}}},
		"PLUS with no type":         {NewScramSHA512Plus, Credentials{Username: "u", Binding: Binding{Data: []byte("x")}}},
		"PLUS of an unknown type":   {NewScramSHA256Plus, Credentials{Username: "u", Binding: Binding{"tls-unique", []byte("x")}}},
		"PLUS of a forged type":     {NewScramSHA256Plus, Credentials{Username: "u", Binding: Binding{"tls-exporter,,n=x", []byte("x")}}},
		"control in Username":       {NewScramSHA256, Credentials{Username: "a\x07"}},
		"control in Identity":       {NewScramSHA256, Credentials{Username: "u", Identity: "a\n"}},
		"bidirectional Username":    {NewScramSHA256, Credentials{Username: "\u06271"}}, // RFC 4013, 3
		"nothing left of Username":  {NewScramSHA256, Credentials{Username: "\u00ad"}},
		"nothing left of Identity":  {NewScramSHA256, Credentials{Username: "u", Identity: "\u00ad"}},
		"Username not UTF-8":        {NewScramSHA256, Credentials{Username: "\xff"}},
		"Identity not UTF-8":        {NewScramSHA256, Credentials{Username: "u", Identity: "\xff"}},
		"private use in a Username": {NewScramSHA256, Credentials{Username: "\ue000"}},
	}
	for name, tt := range tests {
		if client, err := tt.create(tt.cred); client != nil || err == nil {
			t.Errorf("%s was taken: %v", name, err)
		} else if strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%s: the error shows the value: %q", name, err)
		}
	}
}

const scramNonce = "fyko+d2lbbFgONRv9qkxdawL"

func TestScramFirstMessageRefused(t *testing.T) {
	const r, s = "r=" + scramNonce + "x", "s=QSXCR+Q6sek8bf92"
	tests := map[string]string{
		"empty":                      "",
		"commas":                     ",,",
		"too few":                    r + "," + s,
		"no salt, an extension":      r + ",x=QQ==,i=4096",
		"no count":                   r + "," + s + ",x=4096",
		"wrong order":                s + "," + r + ",i=4096",
		"upper case":                 "R=" + scramNonce + "," + s + ",i=4096",
		"other nonce":                "r=fyko+d2lbbFgONRv9qkxdawl," + s + ",i=4096",
		"nonce cut":                  "r=" + scramNonce[:20] + "," + s + ",i=4096",
		"nonce elsewhere":            "r=x" + scramNonce + "," + s + ",i=4096",
		"nonce without the server's": "r=" + scramNonce + "," + s + ",i=4096",
		"nonce with a space":         r + " ," + s + ",i=4096",
		"nonce not ASCII":            r + "é," + s + ",i=4096",
		"no salt":                    r + ",s=,i=4096",
		"salt not base64":            r + ",s=?,i=4096",
		"salt badly padded":          r + ",s=QQ,i=4096",
		"salt with stray bits":       r + ",s=QR==,i=4096",
		"salt with a line end":       r + ",s=QSXC\r\nR+Q6,i=4096",
		"count 1":                    r + "," + s + ",i=1",
		"count one too low":          r + "," + s + ",i=4095",
		"count one too high":         r + "," + s + ",i=200001",
		"count 2^31-1":               r + "," + s + ",i=2147483647",
		"count beyond every integer": r + "," + s + ",i=99999999999999999999999999",
		"count that wraps":           r + "," + s + ",i=18446744073709555712",
		"count negative":             r + "," + s + ",i=-4096",
		"count signed":               r + "," + s + ",i=+4096",
		"count with leading zero":    r + "," + s + ",i=04096",
		"count in hex":               r + "," + s + ",i=0x1000",
		"count with text":            r + "," + s + ",i=4096 ",
		"no value":                   r + "," + s + ",i=4096,x=",
		"no equals sign":             r + "," + s + ",i=4096,xyz",
		"name not a letter":          r + "," + s + ",i=4096,1=x",
		"comma at the end":           r + "," + s + ",i=4096,",
		"mandatory extension first":  "m=x," + r + "," + s + ",i=4096",
		"mandatory extension last":   r + "," + s + ",i=4096,m=x",
		"NUL":                        r + "," + s + ",i=4096,x=\x00",
		"LF at the end":              r + "," + s + ",i=4096\n",
		"not UTF-8":                  r + "," + s + ",i=4096,x=\xff",
		"the signature at once":      "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
		"rubbish":                    "\xff\xfe",
	}
	for name, challenge := range tests {
		t.Run(name, func(t *testing.T) {
			client, _ := beginScram(t, NewScramSHA1, Credentials{Username: "user", Password: redact.Hide("pencil")}, scramNonce)
			// By itself: the library behind it has errors that quote the server.
			if _, err := parseServerFirst(challenge, scramNonce); err == nil {
				t.Error("the check let it pass")
			}
			r, err := client.Next([]byte(challenge))
			if r != nil || err == nil {
				t.Fatalf("Next = %q, %v", r, err)
			}
			if strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r > '~' }) || len(err.Error()) > 120 {
				t.Errorf("the error shows what the server sent: %q", err)
			}
			if r, again := client.Next([]byte("v=rmF9pqV8S7suAoZWja4dJRkFsKQ=")); r != nil || again == nil || complete(client) == nil {
				t.Errorf("the exchange went on: %q, %v, %v", r, again, complete(client))
			}
		})
	}
}

func TestScramIterationBounds(t *testing.T) {
	for count, ok := range map[string]bool{
		"4096": true, "4097": true, "100000": true, "200000": true,
		"4095": false, "200001": false, "600000": false, "1000000": false, "99999999999999999999": false,
	} {
		if _, err := parseServerFirst("r="+scramNonce+"x,s=QQ==,i="+count, scramNonce); (err == nil) != ok {
			t.Errorf("%s: %v", count, err)
		}
	}
}

// To derive a key gives up when the context is done, whatever the hash, and
// otherwise makes the key that PBKDF2 makes.
func TestScramKeyObeysContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, create := range map[string]constructor{"SHA-1": NewScramSHA1, "SHA-256": NewScramSHA256, "SHA-512": NewScramSHA512} {
		client, _ := beginScram(t, create, Credentials{Username: "user", Password: redact.Hide("pencil")}, scramNonce)
		r, err := Next(ctx, client, []byte("r="+scramNonce+"x,s=QQ==,i=200000"))
		if r != nil || !errors.Is(err, context.Canceled) || complete(client) == nil {
			t.Errorf("%s: %q, %v", name, r, err)
		}
	}
	for _, h := range []func() hash.Hash{sha1.New, sha256.New, sha512.New} {
		for _, n := range []int{1, 2, 4096, 4097, 10000} {
			got, err := saltedPassword(t.Context(), h, "pencil", []byte("salt"), n)
			want, _ := pbkdf2.Key(h, "pencil", []byte("salt"), n, h().Size())
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d iterations: %x, %v; want %x", n, got, err, want)
			}
		}
	}
}

func TestScramServerProof(t *testing.T) {
	const right = "v=rmF9pqV8S7suAoZWja4dJRkFsKQ="
	tests := map[string]string{
		"empty":                      "",
		"other signature":            "v=rmF9pqV8S7suAoZWja4dJRkFsKA=",
		"signature cut":              "v=rmF9pqV8S7suAoZWja4dJRkFsA==",
		"no signature":               "v=",
		"no signature, an extension": "x=y",
		"a signature of other name":  "x=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
		"signature second":           "x=y," + right,
		"upper case":                 "V=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
		"not base64":                 "v=?",
		"line end in it":             "v=rmF9pqV8S7suAo\nZWja4dJRkFsKQ=",
		"the client's own proof":     "v=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
		"the first message again":    "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
		"not text":                   "\xff",
	}
	wellFormed := map[string]bool{"other signature": true, "signature cut": true, "the client's own proof": true}
	begin := func(t *testing.T) sasl.Client {
		client, _ := beginScram(t, NewScramSHA1, Credentials{Username: "user", Password: redact.Hide("pencil")}, scramNonce)
		answer(t, client, "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096")
		return client
	}
	for name, challenge := range tests {
		t.Run(name, func(t *testing.T) {
			client := begin(t)
			r, err := client.Next([]byte(challenge))
			if r != nil || !errors.Is(err, ErrServerProof) || !errors.Is(complete(client), ErrServerProof) {
				t.Errorf("Next = %q, %v; Complete: %v", r, err, complete(client))
			}
			if _, err := parseServerFinal(challenge); (err == nil) != wellFormed[name] {
				t.Errorf("its form: %v", err)
			}
			if _, again := client.Next([]byte(right)); !errors.Is(again, ErrServerProof) {
				t.Errorf("a second try at the proof: %v", again)
			}
		})
	}
	t.Run("a challenge after the end", func(t *testing.T) {
		client := begin(t)
		answer(t, client, right)
		r, err := client.Next([]byte(right))
		if r != nil || !errors.Is(err, sasl.ErrUnexpectedServerChallenge) || complete(client) == nil {
			t.Errorf("Next = %q, %v; Complete: %v", r, err, complete(client))
		}
	})
	t.Run("success before any challenge", func(t *testing.T) {
		client, _ := beginScram(t, NewScramSHA1, Credentials{Username: "user", Password: redact.Hide("pencil")}, scramNonce)
		if err := complete(client); !errors.Is(err, ErrServerProof) {
			t.Errorf("Complete: %v", err)
		}
	})
	t.Run("begun anew", func(t *testing.T) {
		client := begin(t)
		if _, err := client.Next(nil); err == nil {
			t.Fatal("an empty signature was taken")
		}
		if _, _, err := client.Start(); err != nil {
			t.Fatal(err)
		}
		answer(t, client, "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096")
		answer(t, client, right)
		if err := complete(client); err != nil {
			t.Errorf("Complete: %v", err)
		}
	})
}

func TestScramServerError(t *testing.T) {
	reasons := map[string]string{
		"e=invalid-proof":                                "invalid-proof",
		"e=unknown-user":                                 "unknown-user",
		"e=channel-bindings-dont-match,x=y":              "channel-bindings-dont-match",
		"e=other-error":                                  "other-error",
		"e=pencil":                                       "other-error",
		"e=" + strings.Repeat("x", 5000):                 "other-error",
		"e=server-does-support-channel-binding":          "server-does-support-channel-binding",
		"e=invalid-proof,v=rmF9pqV8S7suAoZWja4dJRkFsKQ=": "invalid-proof",
	}
	for challenge, reason := range reasons {
		for _, final := range []bool{false, true} {
			client, _ := beginScram(t, NewScramSHA1, Credentials{Username: "user", Password: redact.Hide("pencil")}, scramNonce)
			if final {
				answer(t, client, "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096")
			}
			if got := answer(t, client, challenge); got != "" {
				t.Errorf("%q was answered with %q", challenge, got)
			}
			var refusal *RefusalError
			if err := complete(client); !errors.As(err, &refusal) || refusal.Reason != reason || errors.Is(err, ErrServerProof) {
				t.Errorf("%q: Complete: %v", challenge, err)
			}
			if _, err := client.Next([]byte("v=rmF9pqV8S7suAoZWja4dJRkFsKQ=")); err == nil {
				t.Errorf("%q: the exchange went on", challenge)
			}
		}
	}
}

func TestScramNonce(t *testing.T) {
	seen := map[string]bool{}
	client, err := NewScramSHA256(testCredentials())
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		_, ir, err := client.Start()
		if err != nil {
			t.Fatal(err)
		}
		_, nonce, _ := strings.Cut(string(ir), ",r=")
		if len(nonce) < 24 || seen[nonce] || nonce != client.(*scramClient).sent {
			t.Fatalf("nonce %q is short, was used before or is not the one remembered", nonce)
		}
		seen[nonce] = true
	}
}

func FuzzScramServerFirst(f *testing.F) {
	f.Add("r=" + scramNonce + "x,s=QSXCR+Q6sek8bf92,i=4096")
	f.Add("r=" + scramNonce + ",s=QQ==,i=1000000,x=a=b")
	f.Add("m=x,e=y")
	f.Fuzz(func(t *testing.T, challenge string) {
		client, first := beginScram(t, NewScramSHA1, Credentials{Username: "user", Password: redact.Hide("pencil")}, scramNonce)
		// Costly counts would only slow the search down.
		if _, err := parseServerFirst(challenge, scramNonce); err == nil && !strings.Contains(challenge, ",i=4096") {
			return
		}
		r, err := client.Next([]byte(challenge))
		if err != nil || len(r) == 0 {
			if complete(client) == nil {
				t.Fatalf("complete after %q", challenge)
			}
			return
		}
		proof, _, err := scramServer(sha1.New, "pencil", first, challenge, string(r))
		if err != nil || !strings.HasSuffix(string(r), ","+proof) || strings.ContainsFunc(string(r), isControl) {
			t.Fatalf("a server would not take %q after %q (%v)", r, challenge, err)
		}
	})
}

func FuzzScramServerFinal(f *testing.F) {
	f.Add("v=rmF9pqV8S7suAoZWja4dJRkFsKQ=")
	f.Add("e=invalid-proof,x=y")
	f.Fuzz(func(t *testing.T, challenge string) {
		_, err := parseServerFinal(challenge)
		var refusal *RefusalError
		switch {
		case err == nil && !strings.HasPrefix(challenge, "v="):
			t.Fatalf("%q was taken for a signature", challenge)
		case err != nil && !errors.As(err, &refusal) && !errors.Is(err, ErrServerProof):
			t.Fatalf("%q: %v", challenge, err)
		}
	})
}
