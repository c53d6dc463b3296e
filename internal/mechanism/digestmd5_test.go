package mechanism

import (
	"crypto/md5"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/emersion/go-sasl"
	"github.com/fe022423/submission/internal/redact"
)

const rfcChallenge = `realm="elwood.innosoft.com",nonce="OA6MG9tEQGm2hh",qop="auth",algorithm=md5-sess,charset=utf-8`

// beginDigest starts an exchange with a fixed cnonce.
func beginDigest(t *testing.T, c Credentials, service, cnonce string) sasl.Client {
	t.Helper()
	client := begin(t, NewDigestMD5, c)
	client.(*digestMD5).service = service
	client.(*digestMD5).cnonce = func() string { return cnonce }
	return client
}

func TestDigestMD5Vectors(t *testing.T) {
	const imapNonce, imapCnonce = "OA6MG9tEQGm2hh", "OA6MHXh6VqTrRk"
	const host = "elwood.innosoft.com"
	chris := Credentials{Username: "chris", Password: redact.Hide("secret"), Host: host}
	admin := chris
	admin.Identity = "admin"
	test := Credentials{Username: "test", Password: redact.Hide("test"), Realm: "test", Host: "localhost"}
	jose := Credentials{Username: "josé", Password: redact.Hide("sécret"), Host: host}
	tests := []struct {
		name              string
		cred              Credentials
		service           string
		nonce, cnonce     string
		response, rspauth string
	}{
		{"RFC 2831, 4: IMAP", chris, "imap", imapNonce, imapCnonce,
			"d388dad90d4bbd760a152321f2143af7", "ea40f60335c427b5527b84dbabcdfffd"},
		{"RFC 2831, 4: ACAP", chris, "acap", "OA9BSXrbuRhWay", "OA9BSuZWMSpW8m",
			"6084c6db3fede7352c551284490fd0fc", "2f0b3d7c3c2e486600ef710726aa2eae"},
		{"SMTP", chris, "smtp", imapNonce, imapCnonce,
			"52ff44907f72314481b5c098c708ebf3", "84106ee5cb85c426e7ef928db0e49bfa"},
		{"SMTP with authzid", admin, "smtp", imapNonce, imapCnonce,
			"9330ae3c0db64759452274414041fc8c", "76889e3936bb9a98fc18b6cfd1f31e54"},
		{"own realm", test, "smtp", imapNonce, imapCnonce,
			"d33b5a403b382fe81ed932c1a99a1c15", "e8f68cb6791ac3631a931ad011666fd6"},
		{"hashed in ISO 8859-1", jose, "smtp", imapNonce, imapCnonce,
			"c73e3bcee42319c854187724532769cf", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			client := beginDigest(t, tt.cred, tt.service, tt.cnonce)
			got := answer(t, client, strings.Replace(rfcChallenge, imapNonce, tt.nonce, 1))
			realm := host
			if tt.cred.Realm != "" {
				realm = tt.cred.Realm
			}
			want := fmt.Sprintf(`charset=utf-8,username="%s",realm="%s",nonce="%s",nc=00000001,cnonce="%s",digest-uri="%s/%s",response=%s,qop=auth`,
				tt.cred.Username, realm, tt.nonce, tt.cnonce, tt.service, tt.cred.Host, tt.response)
			if tt.cred.Identity != "" {
				want += `,authzid="` + tt.cred.Identity + `"`
			}
			if got != want {
				t.Errorf("response:\n got %s\nwant %s", got, want)
			}
			if err := complete(client); !errors.Is(err, ErrServerProof) {
				t.Errorf("Complete before rspauth: %v", err)
			}
			if tt.rspauth == "" {
				return
			}
			if r := answer(t, client, "rspauth="+tt.rspauth); r != "" {
				t.Errorf("rspauth was answered with %q", r)
			}
			if err := complete(client); err != nil {
				t.Errorf("Complete: %v", err)
			}
		})
	}
}

// parseStrictly reads a digest-response by the letter of RFC 2831: tokens,
// quoted-strings, one comma between directives, no white space between words.
func parseStrictly(s string) (map[string]string, error) {
	const separators = "()<>@,;:\\\"/[]?={} \t"
	token := func() string {
		n := 0
		for n < len(s) && s[n] > 32 && s[n] < 127 && !strings.Contains(separators, s[n:n+1]) {
			n++
		}
		head := s[:n]
		s = s[n:]
		return head
	}
	quoted := map[string]bool{"username": true, "realm": true, "nonce": true, "cnonce": true, "digest-uri": true, "authzid": true}
	got := map[string]string{}
	for {
		name := token()
		if _, twice := got[name]; twice || name == "" || !strings.HasPrefix(s, "=") {
			return nil, fmt.Errorf("directive %q before %q", name, s)
		}
		s = s[1:]
		if strings.HasPrefix(s, `"`) != quoted[name] {
			return nil, fmt.Errorf("%s has quotes, or lacks them, before %q", name, s)
		}
		if !quoted[name] {
			got[name] = token()
		} else {
			value := []byte{}
			for s = s[1:]; ; s = s[1:] {
				if s == "" {
					return nil, fmt.Errorf("%s has no closing quote", name)
				}
				if s[0] < 32 || s[0] == 127 {
					return nil, fmt.Errorf("%s has a control character", name)
				}
				if s[0] == '"' {
					break
				}
				if s[0] == '\\' {
					s = s[1:]
					if s == "" || s[0] < 32 || s[0] > 126 {
						return nil, fmt.Errorf("%s has a bad quoted-pair", name)
					}
				}
				value = append(value, s[0])
			}
			s = s[1:]
			got[name] = string(value)
		}
		if s == "" {
			return got, nil
		}
		if s[0] != ',' {
			return nil, fmt.Errorf("no comma before %q", s)
		}
		s = s[1:]
	}
}

// proofs computes response and rspauth from a parsed digest-response as a
// server does that keeps passwords in the charset of the hash.
func proofs(r map[string]string, user, realm, password string) (response, rspauth string) {
	h := func(parts ...string) string {
		return fmt.Sprintf("%x", md5.Sum([]byte(strings.Join(parts, ":"))))
	}
	inner := md5.Sum([]byte(user + ":" + realm + ":" + password))
	a1 := []string{string(inner[:]), r["nonce"], r["cnonce"]}
	if authzid, ok := r["authzid"]; ok {
		a1 = append(a1, authzid)
	}
	kd := func(method string) string {
		return h(h(a1...), r["nonce"], r["nc"], r["cnonce"], r["qop"], h(method, r["digest-uri"]))
	}
	return kd("AUTHENTICATE"), kd("")
}

func TestDigestMD5NamesOnTheWire(t *testing.T) {
	const challenge = `nonce="n",algorithm=md5-sess,realm="x"`
	tests := []struct {
		name                            string
		user, password, realm, identity string
		utf8                            bool
		sentUser, sentRealm             string
		hashUser, hashRealm, hashPass   string
	}{
		{"quotes and backslashes", `a"b\c`, `p"\`, `r\"`, `z"\`, true, `a"b\c`, `r\"`, `a"b\c`, `r\"`, `p"\`},
		{"ISO 8859-1, UTF-8 offered", "josé", "sécret", "réalm", "", true, "josé", "réalm", "jos\xe9", "r\xe9alm", "s\xe9cret"},
		{"ISO 8859-1, no charset", "josé", "sécret", "réalm", "zoé", false, "jos\xe9", "r\xe9alm", "jos\xe9", "r\xe9alm", "s\xe9cret"},
		{"beyond it, string by string", "josé", "€cret", "réalm", "ζ", true, "josé", "réalm", "jos\xe9", "r\xe9alm", "€cret"},
		{"beyond it in the name", "ιωάννης", "sécret", "x", "", true, "ιωάννης", "x", "ιωάννης", "x", "s\xe9cret"},
		{"U+00FF is within, U+0100 is not", "ÿ", "Ā", "ÿ", "", true, "ÿ", "ÿ", "\xff", "\xff", "Ā"},
		{"control characters in the password", "u", "\r\n\t\x7f", "r", "", true, "u", "r", "u", "r", "\r\n\t\x7f"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ch := challenge
			if tt.utf8 {
				ch += ",charset=utf-8"
			}
			client := begin(t, NewDigestMD5, Credentials{Username: tt.user, Password: redact.Hide(tt.password),
				Realm: tt.realm, Identity: tt.identity, Host: "mail.example"})
			got, err := parseStrictly(answer(t, client, ch))
			if err != nil {
				t.Fatal(err)
			}
			response, rspauth := proofs(got, tt.hashUser, tt.hashRealm, tt.hashPass)
			want := map[string]string{"username": tt.sentUser, "realm": tt.sentRealm, "nonce": "n", "nc": "00000001",
				"cnonce": got["cnonce"], "digest-uri": "smtp/mail.example", "response": response, "qop": "auth"}
			if tt.identity != "" {
				want["authzid"] = tt.identity
			}
			if tt.utf8 {
				want["charset"] = "utf-8"
			}
			if !maps.Equal(got, want) {
				t.Errorf("response:\n got %q\nwant %q", got, want)
			}
			answer(t, client, "rspauth="+rspauth)
			if err := complete(client); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestDigestMD5BeyondLatin1WithoutCharset(t *testing.T) {
	for _, spoil := range []func(*Credentials){
		func(c *Credentials) { c.Username = "ιωάννης" },
		func(c *Credentials) { c.Password = redact.Hide("€") },
		func(c *Credentials) { c.Realm = "Ā" },
	} {
		c := testCredentials()
		spoil(&c)
		client := begin(t, NewDigestMD5, c)
		if r, err := client.Next([]byte(`nonce="n",algorithm=md5-sess`)); r != nil || err == nil {
			t.Errorf("%v: %q, %v", c, r, err)
		}
	}
}

func TestDigestMD5Realm(t *testing.T) {
	const rest = `,nonce="n",algorithm=md5-sess`
	tests := []struct {
		name, configured, challenge, sent, hashed string
	}{
		{"configured, and offered", "b", `realm="a",realm="b"` + rest, "b", "b"},
		{"configured, not offered", "c", `realm="a",realm="b"` + rest, "c", "c"},
		{"first", "", `realm="a",realm="b"` + rest, "a", "a"},
		{"first, far from the second", "", `realm="a"` + rest + `,realm="b"`, "a", "a"},
		{"host", "", rest, "elwood.innosoft.com", "elwood.innosoft.com"},
		{"first is empty", "", `realm=""` + rest, "", ""},
		{"escaped", "", `realm="a\"\\b"` + rest, `a"\b`, `a"\b`},
		{"ISO 8859-1", "", "realm=\"r\xe9alm\"" + rest, "r\xe9alm", "r\xe9alm"},
		{"UTF-8", "", `realm="réalm"` + rest + ",charset=utf-8", "réalm", "r\xe9alm"},
		{"UTF-8, charset first", "", `charset=utf-8,realm="réalm"` + rest, "réalm", "r\xe9alm"},
		{"UTF-8 beyond ISO 8859-1", "", `realm="ρ"` + rest + ",charset=utf-8", "ρ", "ρ"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := testCredentials()
			c.Realm = tt.configured
			got, err := parseStrictly(answer(t, begin(t, NewDigestMD5, c), tt.challenge))
			if err != nil {
				t.Fatal(err)
			}
			if response, _ := proofs(got, "chris", tt.hashed, "secret"); got["realm"] != tt.sent || got["response"] != response {
				t.Errorf("realm %q, response %s; want %q, %s", got["realm"], got["response"], tt.sent, response)
			}
		})
	}
}

// padded is a good challenge of n octets.
func padded(n int) string {
	const head = `nonce="n",algorithm=md5-sess,x=`
	return head + strings.Repeat("x", n-len(head))
}

func TestDigestMD5TakesChallenge(t *testing.T) {
	tests := map[string]struct{ challenge, nonce string }{
		"the least":               {`nonce="n",algorithm=md5-sess`, "n"},
		"names in upper case":     {`NONCE="n",Algorithm=MD5-Sess,CHARSET=UTF-8,QOP="AUTH"`, "n"},
		"white space everywhere":  {" \tnonce \t=\t \"n\" , algorithm = md5-sess\t", "n"},
		"folded lines":            {"nonce=\"n\",\r\n algorithm\r\n\t=\r\n \r\n\tmd5-sess", "n"},
		"folding in a value":      {"nonce=\"a\r\n\t b\tc d  e\",algorithm=md5-sess", "a b c d  e"},
		"empty elements":          {`,, ,nonce="n", ,,algorithm=md5-sess,,`, "n"},
		"quoted-pair":             {`nonce="a\"\\\b\ c",algorithm=md5-sess`, `a"\b c`},
		"comma and = in quotes":   {`nonce="a,b=c",algorithm=md5-sess`, "a,b=c"},
		"no quotes":               {`nonce=abc,algorithm=md5-sess,qop=auth`, "abc"},
		"base64 without quotes":   {`nonce=ab+/cd==,algorithm=md5-sess,qop=auth`, "ab+/cd=="},
		"quotes too many":         {`nonce="n",algorithm="md5-sess",charset="utf-8"`, "n"},
		"8-bit nonce":             {"nonce=\"\xe9\xff\",algorithm=md5-sess", "\xe9\xff"},
		"qop list":                {`nonce="n",algorithm=md5-sess,qop="auth-int, auth ,auth-conf"`, "n"},
		"qop list with gaps":      {"nonce=\"n\",algorithm=md5-sess,qop=\",,\tauth\"", "n"},
		"qop twice":               {`nonce="n",algorithm=md5-sess,qop="auth-int",qop="auth"`, "n"},
		"qop twice, auth first":   {`nonce="n",algorithm=md5-sess,qop="auth",qop="auth-int"`, "n"},
		"what plain auth ignores": {`nonce="n",algorithm=md5-sess,maxbuf=x,stale=true,cipher="rc4,des",opaque="o",domain="d",domain="e"`, "n"},
		"unknown, repeated":       {`x=1,nonce="n",X="2",algorithm=md5-sess,x-y=z`, "n"},
		"unknown, empty":          {`nonce="n",algorithm=md5-sess,x=""`, "n"},
		"one octet under limit":   {padded(2047), "n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := parseStrictly(answer(t, begin(t, NewDigestMD5, testCredentials()), tt.challenge))
			if err != nil {
				t.Fatal(err)
			}
			response, _ := proofs(got, "chris", "elwood.innosoft.com", "secret")
			if got["nonce"] != tt.nonce || got["response"] != response || got["qop"] != "auth" || got["nc"] != "00000001" {
				t.Errorf("%q", got)
			}
		})
	}
}

func TestDigestMD5RefusesChallenge(t *testing.T) {
	const good = `nonce="n",algorithm=md5-sess`
	tests := map[string]string{
		"empty":                        "",
		"white space":                  " \t",
		"commas":                       ",,",
		"no nonce":                     `realm="a",algorithm=md5-sess`,
		"empty nonce":                  `nonce="",algorithm=md5-sess`,
		"nonce twice":                  good + `,nonce="n"`,
		"nonce twice, other case":      good + `,NONCE="m"`,
		"no algorithm":                 `nonce="n"`,
		"algorithm twice":              good + `,algorithm=md5-sess`,
		"algorithm md5":                `nonce="n",algorithm=md5`,
		"algorithm empty":              `nonce="n",algorithm=""`,
		"charset twice":                good + `,charset=utf-8,charset=utf-8`,
		"charset other":                good + `,charset=iso-8859-1`,
		"charset other, then utf-8":    good + `,charset=x,charset=utf-8`,
		"stale twice":                  good + `,stale=true,stale=true`,
		"maxbuf twice":                 good + `,maxbuf=1,maxbuf=1`,
		"qop without auth":             good + `,qop="auth-int,auth-conf"`,
		"qop empty":                    good + `,qop=""`,
		"qop of unknown":               good + `,qop="authx,xauth"`,
		"qop list without quotes":      good + `,qop=auth-int,auth`,
		"quote missing at the end":     `algorithm=md5-sess,nonce="n`,
		"backslash at the end":         `algorithm=md5-sess,nonce="n\`,
		"escaped closing quote":        `algorithm=md5-sess,nonce="n\"`,
		"quote inside a bare value":    `algorithm=md5-sess,nonce=a"b"`,
		"backslash in a bare value":    `algorithm=md5-sess,nonce=a\b`,
		"8-bit bare value":             "algorithm=md5-sess,nonce=\xe9",
		"no value":                     good + `,stale=`,
		"no value before a comma":      good + `,stale=,x=y`,
		"no equals sign":               good + `,stale`,
		"no name":                      good + `,="x"`,
		"name in quotes":               good + `,"stale"=true`,
		"separator in a name":          good + `,st/ale=true`,
		"DEL in a name":                good + ",st\x7fale=true",
		"8-bit name":                   good + ",\xe9=true",
		"semicolon for comma":          `nonce="n";algorithm=md5-sess`,
		"space for comma":              `nonce="n" algorithm=md5-sess`,
		"text after a quoted string":   `nonce="n"x,algorithm=md5-sess`,
		"realm not in UTF-8":           good + ",charset=utf-8,realm=\"\xe9\"",
		"second realm not in UTF-8":    good + ",charset=utf-8,realm=\"a\",realm=\"\xff\"",
		"NUL":                          good + "\x00",
		"NUL in quotes":                "algorithm=md5-sess,nonce=\"a\x00b\"",
		"DEL in quotes":                "algorithm=md5-sess,nonce=\"a\x7fb\"",
		"escaped NUL":                  "algorithm=md5-sess,nonce=\"a\\\x00b\"",
		"escaped LF":                   "algorithm=md5-sess,nonce=\"a\\\nb\"",
		"escaped DEL":                  "algorithm=md5-sess,nonce=\"a\\\x7fb\"",
		"escaped 8-bit":                "algorithm=md5-sess,nonce=\"a\\\xe9b\"",
		"bare LF between":              "nonce=\"n\",\n algorithm=md5-sess",
		"bare CR between":              "nonce=\"n\",\r algorithm=md5-sess",
		"CRLF without fold":            "nonce=\"n\",\r\nalgorithm=md5-sess",
		"CRLF at the end":              good + "\r\n",
		"CRLF without fold, in quotes": "algorithm=md5-sess,nonce=\"a\r\nb\"",
		"bare LF in quotes":            "algorithm=md5-sess,nonce=\"a\n b\"",
		"a proof at once":              "rspauth=ea40f60335c427b5527b84dbabcdfffd",
		"rubbish":                      "\xff\xfe\xfd",
		"at the limit":                 padded(2048),
		"far beyond it":                strings.Repeat(good+",", 1000),
	}
	for name, challenge := range tests {
		t.Run(name, func(t *testing.T) {
			client := begin(t, NewDigestMD5, testCredentials())
			r, err := client.Next([]byte(challenge))
			if r != nil || err == nil {
				t.Fatalf("Next = %q, %v", r, err)
			}
			if text := err.Error(); strings.ContainsFunc(text, isControl) || !utf8.ValidString(text) || len(text) > 120 {
				t.Errorf("the error shows what the server sent: %q", text)
			}
			for _, next := range []string{rfcChallenge, `rspauth=""`} {
				if again, err2 := client.Next([]byte(next)); again != nil || err2 == nil || complete(client) == nil {
					t.Errorf("the exchange went on: %q, %v, %v", again, err2, complete(client))
				}
			}
		})
	}
}

func TestDigestMD5Proof(t *testing.T) {
	const right = "84106ee5cb85c426e7ef928db0e49bfa"
	tests := []struct {
		name, challenge string
		ok              bool
	}{
		{"right", "rspauth=" + right, true},
		{"in quotes", `rspauth="` + right + `"`, true},
		{"with white space and strangers", ` x="y" , RSPAUTH = ` + right + ` ,`, true},
		{"wrong", "rspauth=ea40f60335c427b5527b84dbabcdfffd", false},
		{"the client's own response", "rspauth=52ff44907f72314481b5c098c708ebf3", false},
		{"one digit short", "rspauth=" + right[:31], false},
		{"one digit long", "rspauth=" + right + "0", false},
		{"last digit wrong", "rspauth=" + right[:31] + "b", false},
		{"upper case", "rspauth=" + strings.ToUpper(right), false},
		{"empty value", `rspauth=""`, false},
		{"empty challenge", "", false},
		{"missing", `x="y"`, false},
		{"twice", "rspauth=" + right + ",rspauth=" + right, false},
		{"malformed", "rspauth=" + right + ",x", false},
		{"a second digest-challenge", rfcChallenge, false},
		{"too long", "rspauth=" + right + `,x="` + strings.Repeat("x", 2048) + `"`, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			client := beginDigest(t, testCredentials(), "smtp", "OA6MHXh6VqTrRk")
			answer(t, client, rfcChallenge)
			r, err := client.Next([]byte(tt.challenge))
			if tt.ok {
				if err != nil || r == nil || len(r) > 0 || complete(client) != nil {
					t.Errorf("Next = %q, %v; Complete: %v", r, err, complete(client))
				}
				return
			}
			if r != nil || !errors.Is(err, ErrServerProof) || !errors.Is(complete(client), ErrServerProof) {
				t.Errorf("Next = %q, %v; Complete: %v", r, err, complete(client))
			}
			if _, again := client.Next([]byte("rspauth=" + right)); !errors.Is(again, ErrServerProof) {
				t.Errorf("a second try at the proof: %v", again)
			}
		})
	}
}

func TestDigestMD5SuccessBeforeTheChallenge(t *testing.T) {
	if err := complete(begin(t, NewDigestMD5, testCredentials())); !errors.Is(err, ErrServerProof) {
		t.Errorf("Complete: %v", err)
	}
}

func TestDigestMD5ChallengeAfterTheEnd(t *testing.T) {
	client := beginDigest(t, testCredentials(), "smtp", "OA6MHXh6VqTrRk")
	answer(t, client, rfcChallenge)
	answer(t, client, "rspauth=84106ee5cb85c426e7ef928db0e49bfa")
	r, err := client.Next([]byte("rspauth=84106ee5cb85c426e7ef928db0e49bfa"))
	if r != nil || !errors.Is(err, sasl.ErrUnexpectedServerChallenge) || complete(client) == nil {
		t.Errorf("Next = %q, %v; Complete: %v", r, err, complete(client))
	}
}

func TestDigestMD5Cnonce(t *testing.T) {
	seen := map[string]bool{}
	client := begin(t, NewDigestMD5, testCredentials())
	for range 100 {
		if _, _, err := client.Start(); err != nil {
			t.Fatal(err)
		}
		got, err := parseStrictly(answer(t, client, rfcChallenge))
		if err != nil {
			t.Fatal(err)
		}
		// 13 characters of the base32 alphabet hold 65 bits.
		if c := got["cnonce"]; len(c) < 13 || seen[c] {
			t.Fatalf("cnonce %q is short or was used before", c)
		}
		seen[got["cnonce"]] = true
	}
}

func TestDigestMD5ResponseLimit(t *testing.T) {
	length := func(n int) (int, error) {
		c := testCredentials()
		c.Username = strings.Repeat("u", n)
		r, err := begin(t, NewDigestMD5, c).Next([]byte(rfcChallenge))
		return len(r), err
	}
	short, err := length(1)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := length(4096 - short); n != 4095 || err != nil {
		t.Errorf("at the limit: %d octets, %v", n, err)
	}
	if n, err := length(4096 - short + 1); n != 0 || err == nil {
		t.Errorf("beyond it: %d octets, %v", n, err)
	}
}

func TestDigestMD5RefusesCredentials(t *testing.T) {
	spoilt := map[string]func(*Credentials){
		"LF in Username":        func(c *Credentials) { c.Username = "a\nb" },
		"DEL in Username":       func(c *Credentials) { c.Username = "a\x7f" },
		"tab in Identity":       func(c *Credentials) { c.Identity = "a\tb" },
		"CR in Realm":           func(c *Credentials) { c.Realm = "\r" },
		"Username not UTF-8":    func(c *Credentials) { c.Username = "\xff" },
		"Password not UTF-8":    func(c *Credentials) { c.Password = redact.Hide("\xff") },
		"Identity not UTF-8":    func(c *Credentials) { c.Identity = "\xff" },
		"Realm not UTF-8":       func(c *Credentials) { c.Realm = "\xff" },
		"no Host":               func(c *Credentials) { c.Host = "" },
		"Host with a quote":     func(c *Credentials) { c.Host = `a"b` },
		"Host with a slash":     func(c *Credentials) { c.Host = "a/b" },
		"Host with a backslash": func(c *Credentials) { c.Host = `a\b` },
		"Host with a space":     func(c *Credentials) { c.Host = "a b" },
		"Host not ASCII":        func(c *Credentials) { c.Host = "тест.example" },
	}
	for name, spoil := range spoilt {
		c := testCredentials()
		spoil(&c)
		if client, err := NewDigestMD5(c); client != nil || err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	for _, host := range []string{"mail.example", "192.0.2.1", "[2001:db8::1]", "2001:db8::1", "under_score"} {
		c := testCredentials()
		c.Host = host
		if _, err := NewDigestMD5(c); err != nil {
			t.Errorf("Host %q: %v", host, err)
		}
	}
}

func FuzzDigestMD5Challenge(f *testing.F) {
	f.Add([]byte(rfcChallenge), []byte("rspauth=84106ee5cb85c426e7ef928db0e49bfa"))
	f.Add([]byte("realm=\"a\\\"\\\\\xe9\", nonce=\"a\r\n\tb\",\r\n algorithm=md5-sess,,qop=\"auth-int,auth\""), []byte(`rspauth="`))
	f.Add([]byte(`nonce=ab+/==,algorithm="MD5-SESS",charset=UTF-8,realm="ρ"`), []byte(",="))
	f.Fuzz(func(t *testing.T, challenge, proof []byte) {
		c := testCredentials()
		c.Username, c.Identity = `chris"\é`, "zoé"
		client := begin(t, NewDigestMD5, c)
		r, err := client.Next(challenge)
		if err != nil {
			if r != nil || complete(client) == nil {
				t.Fatalf("response %q beside %v", r, err)
			}
			return
		}
		if slices.ContainsFunc(r, func(o byte) bool { return o < 32 || o == 127 }) {
			t.Fatalf("control character in %q", r)
		}
		got, err := parseStrictly(string(r))
		if err != nil {
			t.Fatalf("%v in %q", err, r)
		}
		realm := got["realm"]
		if _, ok := got["charset"]; ok {
			realm = fuzzLatin1(realm)
		}
		response, rspauth := proofs(got, "chris\"\\\xe9", realm, "secret")
		if got["response"] != response {
			t.Fatalf("a server would not take %q", r)
		}
		if _, err := client.Next(proof); err == nil && !strings.Contains(string(proof), rspauth) {
			t.Fatalf("%q was taken for a proof", proof)
		} else if err != nil && complete(client) == nil {
			t.Fatal("complete after a failed proof")
		}
	})
}

// fuzzLatin1 is the conversion of RFC 2831, 8, by way of runes.
func fuzzLatin1(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return r > 255 }) {
		return s
	}
	var b []byte
	for _, r := range s {
		b = append(b, byte(r))
	}
	return string(b)
}
