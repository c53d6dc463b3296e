package saslserver

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestMD4: RFC 1320, A.5, and lengths around that of a block.
func TestMD4(t *testing.T) {
	for message, want := range map[string]string{
		"":                           "31d6cfe0d16ae931b73c59d7e0c089c0",
		"a":                          "bde52cb31de33e46245e05fbdbd6fb24",
		"abc":                        "a448017aaf21d8525fc10ae87aa6729d",
		"message digest":             "d9130a8164549fe818874806e1c7014b",
		"abcdefghijklmnopqrstuvwxyz": "d79e1c308aa5bbcdeea8ed63df412da9",
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789": "043f8582f241db351ce627e153e7f0e4",
		strings.Repeat("1234567890", 8):                                  "e33b4ddc9c38f2199c3e7b164fcc0536",
	} {
		if got := hex.EncodeToString(md4([]byte(message))); got != want {
			t.Errorf("%q: %s, want %s", message, got, want)
		}
	}
	seen := map[string]int{}
	for n := range 130 {
		sum := string(md4(make([]byte, n)))
		if other, ok := seen[sum]; ok || len(sum) != 16 {
			t.Errorf("%d octets have the digest of %d", n, other)
		}
		seen[sum] = n
	}
}

// TestNTLMVectors: MS-NLMP, 4.2.4.
func TestNTLMVectors(t *testing.T) {
	key := ntowfv2("Password", "User", "Domain")
	if got := hex.EncodeToString(key); got != "0c868a403bfd7a93a3001ef22ef02e3f" {
		t.Errorf("NTOWFv2 %s", got)
	}
	info := "\x02\x00\x0c\x00D\x00o\x00m\x00a\x00i\x00n\x00\x01\x00\x0c\x00S\x00e\x00r\x00v\x00e\x00r\x00\x00\x00\x00\x00"
	temp := "\x01\x01" + strings.Repeat("\x00", 14) + strings.Repeat("\xaa", 8) + "\x00\x00\x00\x00" + info + "\x00\x00\x00\x00"
	x := newNTLM(map[string]string{"User": "Password"}, "h.example")
	x.server, x.state = [8]byte{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef}, ntlmAuthenticate
	proof := hmacMD5(key, x.server[:], []byte(temp))
	if got := hex.EncodeToString(proof); got != "68cd0ab851e51c96aabc927bebef6a1c" {
		t.Errorf("NTProofStr %s", got)
	}
	if got := hex.EncodeToString(hmacMD5(key, proof)); got != "8de40ccadbc14a82f15cb0ad0de95ca3" {
		t.Errorf("session base key %s", got)
	}
	m := ntlmClient{domain: "Domain", user: "User", response: string(proof) + temp}.message()
	if _, done, err := x.Next(m); !done || err != nil {
		t.Errorf("%v, %v", done, err)
	}
}

// ntlmClient makes AUTHENTICATE messages.
type ntlmClient struct {
	domain, user, password string
	flags                  []byte // the value of MsvAvFlags; nil for none
	response               string // "" is computed
	mic                    bool
	negotiate              []byte // for the MIC
}

const clientNegotiate = "NTLMSSP\x00\x01\x00\x00\x00\x07\x82\x88\xa2" + // Unicode and OEM, extended session security
	"\x00\x00\x00\x00\x28\x00\x00\x00" + "\x00\x00\x00\x00\x28\x00\x00\x00" + "\x0a\x00\x63\x45\x00\x00\x00\x0f"

// respond answers a CHALLENGE message.
func (a ntlmClient) respond(challenge string) []byte {
	length, offset := binary.LittleEndian.Uint16([]byte(challenge[40:])), binary.LittleEndian.Uint32([]byte(challenge[44:]))
	info := challenge[offset : offset+uint32(length)]
	if a.flags != nil {
		pair := binary.LittleEndian.AppendUint16([]byte("\x06\x00"), uint16(len(a.flags)))
		info = string(pair) + string(a.flags) + info
	}
	temp := "\x01\x01\x00\x00\x00\x00\x00\x00" + "\x11\x22\x33\x44\x55\x66\xd7\x01" + "clientch" + "\x00\x00\x00\x00" + info + "\x00\x00\x00\x00"
	mac := func(key []byte, parts ...string) string {
		m := hmac.New(md5.New, key)
		m.Write([]byte(strings.Join(parts, "")))
		return string(m.Sum(nil))
	}
	key := []byte(mac(md4(wide(a.password)), string(wide(strings.ToUpper(a.user)+a.domain))))
	proof := mac(key, challenge[24:32], temp)
	a.response = proof + temp
	m := a.message()
	if a.mic {
		mic := mac([]byte(mac(key, proof)), string(a.negotiate), challenge, string(m))
		copy(m[72:], mic)
	}
	return m
}

func (a ntlmClient) message() []byte {
	parts := [][]byte{make([]byte, 24), []byte(a.response), wide(a.domain), wide(a.user), wide("WORKSTATION"), nil}
	m := []byte("NTLMSSP\x00\x03\x00\x00\x00")
	offset := 88
	for _, p := range parts {
		m = binary.LittleEndian.AppendUint16(m, uint16(len(p)))
		m = binary.LittleEndian.AppendUint16(m, uint16(len(p)))
		m = binary.LittleEndian.AppendUint32(m, uint32(offset))
		offset += len(p)
	}
	m = binary.LittleEndian.AppendUint32(m, 0xa2888205)
	m = append(m, make([]byte, 8+16)...) // version and MIC
	return slices.Concat(append([][]byte{m}, parts...)...)
}

// wide is UTF-16 for text without surrogates.
func wide(s string) (b []byte) {
	for _, c := range s {
		b = append(b, byte(c), byte(c>>8))
	}
	return b
}

func TestNTLM(t *testing.T) {
	accounts := map[string]string{"user": "secret", "josé": "sécret", `CORP\boss`: "one", "boss": "two", "a@b.example": "upn", "empty": ""}
	mic := []byte{2, 0, 0, 0}
	tests := map[string]struct {
		client ntlmClient
		want   string
	}{
		"no domain":            {ntlmClient{user: "user", password: "secret"}, "235 user"},
		"any domain":           {ntlmClient{domain: "WHATEVER", user: "user", password: "secret"}, "235 user"},
		"any case":             {ntlmClient{domain: "x", user: "USER", password: "secret"}, "235 user"},
		"beyond ASCII":         {ntlmClient{domain: "ÄÖ", user: "josé", password: "sécret"}, "235 josé"},
		"beyond ASCII, case":   {ntlmClient{user: "JOSÉ", password: "sécret"}, "235 josé"},
		"name at domain":       {ntlmClient{user: "a@b.example", password: "upn"}, "235 a@b.example"},
		"domain account":       {ntlmClient{domain: "corp", user: "boss", password: "one"}, `235 CORP\boss`},
		"not that domain":      {ntlmClient{domain: "other", user: "boss", password: "two"}, "235 boss"},
		"the other's password": {ntlmClient{domain: "corp", user: "boss", password: "two"}, "535 user or password is wrong"},
		"wrong password":       {ntlmClient{user: "user", password: "Secret"}, "535 user or password is wrong"},
		"unknown user":         {ntlmClient{user: "nobody", password: "secret"}, "535 user or password is wrong"},
		"unknown, no password": {ntlmClient{user: "nobody"}, "535 user or password is wrong"},
		"no user":              {ntlmClient{}, "535 user or password is wrong"},
		"empty password":       {ntlmClient{user: "empty"}, "235 empty"},
		"flags without MIC":    {ntlmClient{user: "user", password: "secret", flags: []byte{1, 0, 0, 0}}, "235 user"},
		"MIC":                  {ntlmClient{user: "user", password: "secret", flags: mic, mic: true, negotiate: []byte(clientNegotiate)}, "235 user"},
		"wrong MIC":            {ntlmClient{user: "user", password: "secret", flags: mic, mic: true, negotiate: []byte("x")}, "535 the message integrity code is wrong"},
		"missing MIC":          {ntlmClient{user: "user", password: "secret", flags: mic}, "535 the message integrity code is wrong"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			x := newNTLM(accounts, "h.example")
			challenge, _ := strings.CutPrefix(say(x, clientNegotiate), "334 ")
			if got := say(x, string(tt.client.respond(challenge))); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// TestNTLMChallenge looks at the CHALLENGE message octet by octet. A bubble's time
// is 125,911,584,000,000,000 tenths of microseconds after the year 1601.
func TestNTLMChallenge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for hostname, netBIOS := range map[string]string{"mail.test.example": "MAIL", "averylonghostname.example": "AVERYLONGHOSTNA", "h": "H"} {
			x := newNTLM(nil, hostname)
			got, _, err := x.Next([]byte(clientNegotiate))
			if err != nil {
				t.Fatal(err)
			}
			le := binary.LittleEndian
			name, host := wide(netBIOS), wide(hostname)
			var info []byte
			for _, pair := range []struct {
				id    uint16
				value []byte
			}{{2, name}, {1, name}, {4, host}, {3, host}, {7, []byte{0x00, 0x40, 0x6d, 0x25, 0xeb, 0x53, 0xbf, 0x01}}, {0, nil}} {
				info = le.AppendUint16(le.AppendUint16(info, pair.id), uint16(len(pair.value)))
				info = append(info, pair.value...)
			}
			want := []byte("NTLMSSP\x00\x02\x00\x00\x00")
			want = le.AppendUint32(le.AppendUint16(le.AppendUint16(want, uint16(len(name))), uint16(len(name))), 56)
			want = le.AppendUint32(want, 0xa08a8205)
			want = append(want, x.server[:]...)
			want = append(want, make([]byte, 8)...)
			want = le.AppendUint32(le.AppendUint16(le.AppendUint16(want, uint16(len(info))), uint16(len(info))), uint32(56+len(name)))
			want = append(want, make([]byte, 8)...)
			want = slices.Concat(want, name, info)
			if !bytes.Equal(got, want) {
				t.Errorf("%s:\n%x, want\n%x", hostname, got, want)
			}
		}
	})
	if a, b := newNTLM(nil, "h"), newNTLM(nil, "h"); a.server == b.server {
		t.Error("the challenge repeats")
	}
}

func TestNTLMMalformed(t *testing.T) {
	accounts := map[string]string{"user": "secret"}
	negotiates := map[string]string{
		"empty":     "",
		"short":     clientNegotiate[:15],
		"signature": "X" + clientNegotiate[1:],
		"type":      clientNegotiate[:8] + "\x02" + clientNegotiate[9:],
		"OEM only":  clientNegotiate[:12] + "\x06" + clientNegotiate[13:],
	}
	for name, message := range negotiates {
		if _, _, err := newNTLM(accounts, "h").Next([]byte(message)); err != errResponse {
			t.Errorf("NEGOTIATE, %s: %v", name, err)
		}
	}
	if _, _, err := newNTLM(accounts, "h").Next([]byte(clientNegotiate[:16])); err != nil {
		t.Errorf("NEGOTIATE without its optional parts: %v", err)
	}

	set := func(at int, octets ...byte) func([]byte) []byte {
		return func(m []byte) []byte { copy(m[at:], octets); return m }
	}
	responseAt := 88 + 24
	authenticates := map[string]struct {
		change func([]byte) []byte
		want   error
	}{
		"unchanged":              {func(m []byte) []byte { return m }, nil},
		"empty":                  {func([]byte) []byte { return nil }, errResponse},
		"short":                  {func(m []byte) []byte { return m[:63] }, errResponse},
		"cut":                    {func(m []byte) []byte { return m[:100] }, errResponse},
		"signature":              {set(0, 'X'), errResponse},
		"type":                   {set(8, 2), errResponse},
		"OEM":                    {set(60, 2), errResponse},
		"response out of bounds": {set(24, 0, 0, 0, 1), errResponse},
		"offset overflows":       {set(24, 0xff, 0xff, 0xff, 0xff), errResponse},
		"name within the header": {set(40, 0), errResponse},
		"half a character":       {set(36, 3), errResponse},
		"half a domain":          {set(28, 3), errResponse},
		"version 1":              {set(20, 24), Refusal("only NTLMv2 is accepted")},
		"no response":            {set(20, 0, 0), Refusal("only NTLMv2 is accepted")},
		"response type":          {set(responseAt+16, 2), errResponse},
		"pair out of bounds":     {set(responseAt+16+28+2, 0xff, 0xff), errResponse},
		"proof":                  {set(responseAt, 0, 0, 0, 0), ErrCredentials},
		"client challenge":       {set(responseAt+16+16, 'X'), ErrCredentials},
		"another user":           {func(m []byte) []byte { return bytes.Replace(m, wide("user"), wide("usex"), 1) }, ErrCredentials},
	}
	for name, tt := range authenticates {
		x := newNTLM(accounts, "h")
		challenge, _, err := x.Next([]byte(clientNegotiate))
		if err != nil {
			t.Fatal(err)
		}
		m := ntlmClient{domain: "D", user: "user", password: "secret"}.respond(string(challenge))
		if _, done, err := x.Next(tt.change(m)); err != tt.want || done != (err == nil) {
			t.Errorf("AUTHENTICATE, %s: %v, %v", name, done, err)
		}
	}
	// A message that promises a MIC and is too short to have one.
	if _, _, ok := (authenticate{message: make([]byte, 87)}).cutMIC(); ok {
		t.Error("a MIC beyond the end")
	}
}

// FuzzNTLM: no message of a client makes the server panic or authenticate
// somebody who does not know the password.
func FuzzNTLM(f *testing.F) {
	f.Add([]byte(clientNegotiate), ntlmClient{user: "user", password: "guess"}.respond(string(ntlmChallenge(0, [8]byte{}, "h.example", time.Unix(0, 0)))))
	f.Add([]byte(clientNegotiate[:16]), ntlmClient{flags: []byte{2, 0, 0, 0}}.respond(string(ntlmChallenge(0, [8]byte{}, "h.example", time.Unix(0, 0)))))
	f.Fuzz(func(t *testing.T, negotiate, message []byte) {
		x := newNTLM(map[string]string{"user": "secret"}, "h.example")
		if _, _, err := x.Next(negotiate); err != nil {
			return
		}
		if _, done, _ := x.Next(message); done {
			t.Fatalf("%x authenticates", message)
		}
	})
}
