package saslserver

import (
	"strings"
	"testing"
)

// TestDigestVectors: the first two are those of RFC 2831, 4.
func TestDigestVectors(t *testing.T) {
	base := digestHash{user: "chris", realm: "elwood.innosoft.com", password: "secret",
		nonce: "OA6MG9tEQGm2hh", cnonce: "OA6MHXh6VqTrRk"}
	tests := []struct {
		change        func(*digestHash)
		client, proof string
	}{
		{func(h *digestHash) { h.uri = "imap/elwood.innosoft.com" }, "d388dad90d4bbd760a152321f2143af7", "ea40f60335c427b5527b84dbabcdfffd"},
		{func(h *digestHash) {
			h.uri, h.nonce, h.cnonce = "acap/elwood.innosoft.com", "OA9BSXrbuRhWay", "OA9BSuZWMSpW8m"
		}, "6084c6db3fede7352c551284490fd0fc", "2f0b3d7c3c2e486600ef710726aa2eae"},
		{func(h *digestHash) {}, "52ff44907f72314481b5c098c708ebf3", "84106ee5cb85c426e7ef928db0e49bfa"},
		{func(h *digestHash) { h.authzid = "admin" }, "9330ae3c0db64759452274414041fc8c", "76889e3936bb9a98fc18b6cfd1f31e54"},
		{func(h *digestHash) {
			h.user, h.password, h.realm, h.uri = "test", "test", "test", "smtp/localhost"
		}, "d33b5a403b382fe81ed932c1a99a1c15", "e8f68cb6791ac3631a931ad011666fd6"},
		{func(h *digestHash) { h.user, h.password = toLatin1("josé"), toLatin1("sécret") }, "c73e3bcee42319c854187724532769cf", ""},
		{func(h *digestHash) { h.user, h.password = "josé", "sécret" }, "584451d8fa052bc17dc2513a3a52f7c5", ""},
	}
	for _, tt := range tests {
		h := base
		h.uri = "smtp/elwood.innosoft.com"
		tt.change(&h)
		if got := h.sum("AUTHENTICATE:"); got != tt.client {
			t.Errorf("%+v: response %s, want %s", h, got, tt.client)
		}
		if got := h.sum(":"); tt.proof != "" && got != tt.proof {
			t.Errorf("%+v: rspauth %s, want %s", h, got, tt.proof)
		}
	}
}

// TestDigest drives the mechanism with responses that a client could send.
func TestDigest(t *testing.T) {
	accounts := map[string]string{"chris": "secret", `a"\b`: "x", "josé": "sécret", "日本": "語", "admin": ""}
	const realm = "elwood.innosoft.com"
	// The proof is filled in where a response says RESPONSE.
	tests := map[string]struct {
		response string
		hash     digestHash
		err      error
	}{
		"good":          {`username="chris",realm="elwood.innosoft.com",nonce="NONCE",cnonce="c",nc=00000001,qop=auth,digest-uri="smtp/h",response=RESPONSE,charset=utf-8`, digestHash{user: "chris", password: "secret"}, nil},
		"spaced":        {` ,nonce="NONCE" , realm="elwood.innosoft.com",, username="chris",cnonce="c",nc=00000001,digest-uri="smtp/h",response=RESPONSE,maxbuf=100,`, digestHash{user: "chris", password: "secret"}, nil},
		"quoted-pair":   {`username="a\"\\b",realm="elwood.innosoft.com",nonce="NONCE",cnonce="c",nc=00000001,digest-uri="smtp/h",response=RESPONSE`, digestHash{user: `a"\b`, password: "x"}, nil},
		"authzid":       {`username="chris",authzid="admin",realm="elwood.innosoft.com",nonce="NONCE",cnonce="c",nc=00000001,digest-uri="smtp/h",response=RESPONSE`, digestHash{user: "chris", password: "secret", authzid: "admin"}, nil},
		"as nobody":     {`username="chris",authzid="nobody",realm="elwood.innosoft.com",nonce="NONCE",cnonce="c",nc=00000001,digest-uri="smtp/h",response=RESPONSE`, digestHash{user: "chris", password: "secret", authzid: "nobody"}, ErrCredentials},
		"latin 1":       {`charset=utf-8,username="josé",realm="elwood.innosoft.com",nonce="NONCE",cnonce="c",nc=00000001,digest-uri="smtp/h",response=RESPONSE`, digestHash{user: "jos\xe9", password: "s\xe9cret"}, nil},
		"not latin 1":   {`charset=utf-8,username="日本",realm="elwood.innosoft.com",nonce="NONCE",cnonce="c",nc=00000001,digest-uri="smtp/h",response=RESPONSE`, digestHash{user: "日本", password: "語"}, nil},
		"UTF-8 hashed":  {`charset=utf-8,username="josé",realm="elwood.innosoft.com",nonce="NONCE",cnonce="c",nc=00000001,digest-uri="smtp/h",response=RESPONSE`, digestHash{user: "josé", password: "sécret"}, ErrCredentials},
		"no charset":    {`username="jos` + "\xe9" + `",realm="elwood.innosoft.com",nonce="NONCE",cnonce="c",nc=00000001,digest-uri="smtp/h",response=RESPONSE`, digestHash{user: "jos\xe9", password: "s\xe9cret"}, nil},
		"bad UTF-8":     {`charset=utf-8,username="jos` + "\xe9" + `",realm="elwood.innosoft.com",nonce="NONCE",cnonce="c",nc=00000001,digest-uri="smtp/h",response=RESPONSE`, digestHash{user: "jos\xe9", password: "s\xe9cret"}, errResponse},
		"wrong":         {`username="chris",realm="elwood.innosoft.com",nonce="NONCE",cnonce="c",nc=00000001,digest-uri="smtp/h",response=RESPONSE`, digestHash{user: "chris", password: "Secret"}, ErrCredentials},
		"unknown user":  {`username="nobody",realm="elwood.innosoft.com",nonce="NONCE",cnonce="c",nc=00000001,digest-uri="smtp/h",response=RESPONSE`, digestHash{user: "nobody"}, ErrCredentials},
		"authzid twist": {`username="chris",authzid="admin",realm="elwood.innosoft.com",nonce="NONCE",cnonce="c",nc=00000001,digest-uri="smtp/h",response=RESPONSE`, digestHash{user: "chris", password: "secret"}, ErrCredentials},
		"empty authzid": {`username="chris",authzid="",realm="elwood.innosoft.com",nonce="NONCE",cnonce="c",nc=00000001,digest-uri="smtp/h",response=RESPONSE`, digestHash{user: "chris", password: "secret"}, errResponse},
		"realm":         {`username="chris",realm="x",nonce="NONCE",cnonce="c",nc=00000001,digest-uri="smtp/h",response=RESPONSE`, digestHash{user: "chris", password: "secret"}, errResponse},
		"nonce":         {`username="chris",realm="elwood.innosoft.com",nonce="x",cnonce="c",nc=00000001,digest-uri="smtp/h",response=RESPONSE`, digestHash{user: "chris", password: "secret"}, errResponse},
		"no cnonce":     {`username="chris",realm="elwood.innosoft.com",nonce="NONCE",nc=00000001,digest-uri="smtp/h",response=RESPONSE`, digestHash{user: "chris", password: "secret"}, errResponse},
		"nc":            {`username="chris",realm="elwood.innosoft.com",nonce="NONCE",cnonce="c",nc=00000002,digest-uri="smtp/h",response=RESPONSE`, digestHash{user: "chris", password: "secret"}, errResponse},
		"quoted nc":     {`username="chris",realm="elwood.innosoft.com",nonce="NONCE",cnonce="c",nc="00000001",digest-uri="smtp/h",response=RESPONSE`, digestHash{user: "chris", password: "secret"}, errResponse},
		"bare user":     {`username=chris,realm="elwood.innosoft.com",nonce="NONCE",cnonce="c",nc=00000001,digest-uri="smtp/h",response=RESPONSE`, digestHash{user: "chris", password: "secret"}, errResponse},
		"uri":           {`username="chris",realm="elwood.innosoft.com",nonce="NONCE",cnonce="c",nc=00000001,digest-uri="imap/h",response=RESPONSE`, digestHash{user: "chris", password: "secret"}, errResponse},
		"qop":           {`username="chris",realm="elwood.innosoft.com",nonce="NONCE",cnonce="c",nc=00000001,qop=auth-int,digest-uri="smtp/h",response=RESPONSE`, digestHash{user: "chris", password: "secret"}, errResponse},
		"twice":         {`username="chris",username="chris",realm="elwood.innosoft.com",nonce="NONCE",cnonce="c",nc=00000001,digest-uri="smtp/h",response=RESPONSE`, digestHash{user: "chris", password: "secret"}, errResponse},
		"no comma":      {`username="chris" realm="elwood.innosoft.com",nonce="NONCE",cnonce="c",nc=00000001,digest-uri="smtp/h",response=RESPONSE`, digestHash{user: "chris", password: "secret"}, errResponse},
		"open quote":    {`username="chris",realm="elwood.innosoft.com",nonce="NONCE",cnonce="c",nc=00000001,response=RESPONSE,digest-uri="smtp/h`, digestHash{user: "chris", password: "secret"}, errResponse},
		"too long":      {`username="chris",realm="elwood.innosoft.com",nonce="NONCE",cnonce="c",nc=00000001,response=RESPONSE,digest-uri="smtp/h",x=` + strings.Repeat("x", 4000), digestHash{user: "chris", password: "secret"}, errResponse},
		"nothing":       {``, digestHash{}, errResponse},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			x := newDigest(accounts, realm)
			challenge, done, err := x.Next(nil)
			if done || err != nil {
				t.Fatal(done, err)
			}
			d, ok := parseDigest(string(challenge))
			if !ok || d["realm"].value != realm || d["qop"].value != "auth" || d["algorithm"].value != "md5-sess" || d["charset"].value != "utf-8" {
				t.Fatalf("challenge %q", challenge)
			}
			h := tt.hash
			h.realm, h.nonce, h.cnonce, h.uri = realm, d["nonce"].value, "c", "smtp/h"
			response := strings.NewReplacer("NONCE", h.nonce, "RESPONSE", h.sum("AUTHENTICATE:")).Replace(tt.response)
			challenge, done, err = x.Next([]byte(response))
			if done || err != tt.err {
				t.Fatalf("%v, %v, want %v", done, err, tt.err)
			}
			if err != nil {
				return
			}
			if string(challenge) != "rspauth="+h.sum(":") {
				t.Errorf("proof %q", challenge)
			}
			if _, done, err = x.Next([]byte("A")); done || err != errResponse {
				t.Errorf("%v, %v after an answer to the proof", done, err)
			}
			if _, done, err = x.Next([]byte{}); !done || err != nil {
				t.Errorf("%v, %v at the end", done, err)
			}
		})
	}
}

func FuzzParseDigest(f *testing.F) {
	f.Add(`username="chris",realm="elwood.innosoft.com",nonce="x\"y",nc=00000001, response=abc,`)
	f.Fuzz(func(t *testing.T, s string) {
		d, ok := parseDigest(s)
		if !ok {
			return
		}
		var again []string
		for name, v := range d {
			if v.quoted {
				again = append(again, name+`="`+quoteDigest(v.value)+`"`)
			} else {
				again = append(again, name+"="+v.value)
			}
		}
		d2, ok := parseDigest(strings.Join(again, ", "))
		if !ok || len(d2) != len(d) {
			t.Fatalf("%q does not survive: %v", s, d)
		}
		for name, v := range d {
			if d2[name] != v {
				t.Errorf("%s: %v became %v", name, v, d2[name])
			}
		}
	})
}
