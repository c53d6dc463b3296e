package mechanism

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/fe022423/submission/internal/redact"
)

// Flags of MS-NLMP, 2.2.2.5.
const (
	ntlmUnicode     = 0x00000001 | 0x00000200 | 0x00080000 | 0x00800000
	ntlmOEM         = 0x00000002
	ntlmLMKey       = 0x00000080
	ntlmKeyExchange = 0x40000000
)

// ntlmTarget is the target information of MS-NLMP, 4.2.4: domain and server.
const ntlmTarget = "\x02\x00\x0c\x00D\x00o\x00m\x00a\x00i\x00n\x00\x01\x00\x0c\x00S\x00e\x00r\x00v\x00e\x00r\x00\x00\x00\x00\x00"

const ntlmServerChallenge = "\x01\x23\x45\x67\x89\xab\xcd\xef"

// ntlmChallenge is a CHALLENGE message (MS-NLMP, 2.2.1.2).
func ntlmChallenge(flags uint32, target string) string {
	b := []byte("NTLMSSP\x00\x02\x00\x00\x00")
	b = append(b, 0, 0, 0, 0, 48, 0, 0, 0) // no target name
	b = binary.LittleEndian.AppendUint32(b, flags)
	b = append(b, ntlmServerChallenge...)
	b = append(b, make([]byte, 8)...)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(target)))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(target)))
	b = binary.LittleEndian.AppendUint32(b, 48)
	return string(b) + target
}

// ntlmFields reads the fields of an AUTHENTICATE message (MS-NLMP, 2.2.1.3).
func ntlmFields(message string) (nt, domain, user string, ok bool) {
	if len(message) < 64 || message[:12] != "NTLMSSP\x00\x03\x00\x00\x00" {
		return "", "", "", false
	}
	ok = true
	field := func(at int) string {
		length := int(binary.LittleEndian.Uint16([]byte(message[at:])))
		offset := int(binary.LittleEndian.Uint32([]byte(message[at+4:])))
		if offset < 64 || offset+length > len(message) {
			ok = false
			return ""
		}
		return message[offset : offset+length]
	}
	text := func(s string) string {
		units := make([]uint16, len(s)/2)
		for i := range units {
			units[i] = uint16(s[2*i]) | uint16(s[2*i+1])<<8
		}
		return string(utf16.Decode(units))
	}
	return field(20), text(field(28)), text(field(36)), ok
}

// ntProof computes NTProofStr (MS-NLMP, 3.3.2).
func ntProof(ntowfv2, challenge, temp string) string {
	key, _ := hex.DecodeString(ntowfv2)
	m := hmac.New(md5.New, key)
	m.Write([]byte(challenge + temp))
	return hex.EncodeToString(m.Sum(nil))
}

// The values of MS-NLMP, 4.2.4 for user "User", password "Password", domain "Domain".
const (
	ntowfv2Vector = "0c868a403bfd7a93a3001ef22ef02e3f"
	ntProofVector = "68cd0ab851e51c96aabc927bebef6a1c"
)

func TestNTProofOfTheTestItself(t *testing.T) {
	temp := "\x01\x01" + strings.Repeat("\x00", 14) + strings.Repeat("\xaa", 8) + "\x00\x00\x00\x00" + ntlmTarget + "\x00\x00\x00\x00"
	if got := ntProof(ntowfv2Vector, ntlmServerChallenge, temp); got != ntProofVector {
		t.Fatalf("NTProofStr %s, want %s", got, ntProofVector)
	}
}

func TestNTLM(t *testing.T) {
	tests := []struct{ name, username, domain, wantUser, wantDomain string }{
		{"Domain", "User", "Domain", "User", "Domain"},
		{"in the name", `Domain\User`, "", "User", "Domain"},
		{"both, agreeing", `Domain\User`, "DOMAIN", "User", "Domain"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			client, err := NewNTLM(Credentials{Username: tt.username, Domain: tt.domain, Password: redact.Hide("Password")})
			if err != nil {
				t.Fatal(err)
			}
			_, negotiate, err := client.Start()
			if err != nil || !bytes.HasPrefix(negotiate, []byte("NTLMSSP\x00\x01\x00\x00\x00")) {
				t.Fatalf("Start = %q, %v", negotiate, err)
			}
			if complete(client) == nil {
				t.Error("complete before the challenge")
			}
			nt, domain, user, ok := ntlmFields(answer(t, client, ntlmChallenge(ntlmUnicode, ntlmTarget)))
			if !ok || domain != tt.wantDomain || user != tt.wantUser {
				t.Fatalf("domain %q, user %q, %v", domain, user, ok)
			}
			// Client challenge and time are not the vector's; the key is.
			if temp := nt[16:]; hex.EncodeToString([]byte(nt[:16])) != ntProof(ntowfv2Vector, ntlmServerChallenge, temp) || !strings.Contains(temp, ntlmTarget) {
				t.Errorf("response %x", nt)
			}
			if err := complete(client); err != nil {
				t.Errorf("Complete: %v", err)
			}
		})
	}
}

func TestNTLMNames(t *testing.T) {
	tests := []struct{ username, domain, wantUser, wantDomain string }{
		{"user", "", "user", ""},
		{"user@example.com", "", "user@example.com", ""},
		{"user@example.com", "D", "user@example.com", "D"},
		{`D\a\b`, "", `a\b`, "D"},
		{"josé", "ÄÖ", "josé", "ÄÖ"},
	}
	for _, tt := range tests {
		client := begin(t, NewNTLM, Credentials{Username: tt.username, Domain: tt.domain, Password: redact.Hide("p")})
		_, domain, user, ok := ntlmFields(answer(t, client, ntlmChallenge(ntlmUnicode, ntlmTarget)))
		if !ok || user != tt.wantUser || domain != tt.wantDomain {
			t.Errorf("%q in %q: user %q, domain %q", tt.username, tt.domain, user, domain)
		}
	}
}

func TestNTLMClientChallengeIsFresh(t *testing.T) {
	seen := map[string]bool{}
	for range 50 {
		nt, _, _, _ := ntlmFields(answer(t, begin(t, NewNTLM, testCredentials()), ntlmChallenge(ntlmUnicode, ntlmTarget)))
		if c := nt[32:40]; seen[c] {
			t.Fatalf("client challenge %x was used before", c)
		} else {
			seen[c] = true
		}
	}
}

func TestNTLMRefusesCredentials(t *testing.T) {
	tests := map[string]Credentials{
		"two domains":           {Username: `A\u`, Domain: "B"},
		"backslash in Domain":   {Username: "u", Domain: `A\B`},
		"Username not UTF-8":    {Username: "\xff"},
		"Domain not UTF-8":      {Username: "u", Domain: "\xff"},
		"Password not UTF-8":    {Username: "u", Password: redact.Hide("\xff")},
		"another Identity":      {Username: "u", Identity: "v"},
		"Username is not there": {Domain: "D"},
	}
	for name, c := range tests {
		if client, err := NewNTLM(c); client != nil || err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func TestNTLMRefusesChallenge(t *testing.T) {
	good := ntlmChallenge(ntlmUnicode, ntlmTarget)
	tests := map[string]string{
		"empty":                   "",
		"text":                    "ntlm supported",
		"cut":                     good[:47],
		"target cut":              good[:len(good)-1],
		"other signature":         "X" + good[1:],
		"a NEGOTIATE message":     good[:8] + "\x01" + good[9:],
		"an AUTHENTICATE message": good[:8] + "\x03" + good[9:],
		"no Unicode":              ntlmChallenge(ntlmOEM, ntlmTarget),
		"LM key":                  ntlmChallenge(ntlmUnicode|ntlmLMKey, ntlmTarget),
		"key exchange":            ntlmChallenge(ntlmUnicode|ntlmKeyExchange, ntlmTarget),
		"target without its end":  ntlmChallenge(ntlmUnicode, ntlmTarget[:len(ntlmTarget)-4]),
		"a pair beyond the end":   ntlmChallenge(ntlmUnicode, "\x02\x00\xff\xffD\x00\x00\x00\x00\x00"),
		"too long":                ntlmChallenge(ntlmUnicode, "\x02\x00\xff\x7f"+strings.Repeat("D", 0x7fff)+"\x00\x00\x00\x00"),
	}
	for name, challenge := range tests {
		t.Run(name, func(t *testing.T) {
			client := begin(t, NewNTLM, testCredentials())
			r, err := client.Next([]byte(challenge))
			if r != nil || err == nil || complete(client) == nil {
				t.Fatalf("Next = %q, %v; Complete: %v", r, err, complete(client))
			}
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%v looks like an end of the connection", err)
			}
			if text := err.Error(); strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("the error shows what the server sent: %q", text)
			}
		})
	}
}

func FuzzNTLMChallenge(f *testing.F) {
	f.Add([]byte(ntlmChallenge(ntlmUnicode, ntlmTarget)))
	f.Add([]byte(ntlmChallenge(ntlmUnicode, "\x07\x00\x03\x00abc\x00\x00\x00\x00")))
	f.Add([]byte(ntlmChallenge(ntlmUnicode, "")))
	f.Fuzz(func(t *testing.T, challenge []byte) {
		client := begin(t, NewNTLM, testCredentials())
		r, err := client.Next(challenge)
		if err != nil {
			if r != nil || complete(client) == nil {
				t.Fatalf("response %q beside %v", r, err)
			}
			return
		}
		if _, domain, user, ok := ntlmFields(string(r)); !ok || user != "chris" || domain != "" {
			t.Fatalf("a server would not take %q", r)
		}
	})
}

// A server whose challenge has no target information knows only version 1 of the
// response, as Exim does: nothing is sent that it would refuse as a wrong password.
// Cyrus SASL has none either, but leaves a place for it, and checks version 2.
func TestNTLMVersion1Only(t *testing.T) {
	// As seen from Exim 4.96 and Cyrus SASL 2.1.28. The difference is where the text
	// begins: at octet 40 there is no place for target information.
	exim := "NTLMSSP\x00\x02\x00\x00\x00" + "\x00\x00\x00\x00\x28\x00\x00\x00" + "\x01\x82\x00\x00" + ntlmServerChallenge + strings.Repeat("\x00", 16)
	cyrus := strings.Replace(exim, "\x28", "\x30", 1)

	v1 := map[string]string{"Exim": exim, "Exim, other flags": strings.Replace(exim, "\x01\x82\x00", "\x05\x82\x02", 1)}
	for _, n := range []int{32, 40, 47} { // the fields that follow are of version 2
		v1["Exim, cut after "+strconv.Itoa(n)] = exim[:n]
		v1["Cyrus SASL, cut after "+strconv.Itoa(n)] = cyrus[:n]
	}
	v1["nowhere"] = strings.Replace(exim, "\x28", "\x00", 1)
	for flag, name := range map[uint32]string{
		0x00000004: "REQUEST_TARGET", 0x00010000: "TARGET_TYPE_DOMAIN", 0x00020000: "TARGET_TYPE_SERVER",
		0x00800000: "TARGET_INFO", 0x00080000: "EXTENDED_SESSIONSECURITY",
	} { // each promises what is not there, or is not of a server like Cyrus SASL
		v1["only "+name] = ntlmChallenge(0x8201|flag, "")
	}
	named := []byte(ntlmChallenge(0x00028205, "")) // with a target name, where target information would be
	named[12], named[14], named[16] = 8, 8, 40
	v1["with a target name"] = string(named[:40]) + "M\x00A\x00I\x00L\x00"
	for name, challenge := range v1 {
		client := begin(t, NewNTLM, testCredentials())
		r, err := client.Next([]byte(challenge))
		if r != nil || err == nil || err.Error() != "the server knows only NTLM version 1" || complete(client) == nil {
			t.Errorf("%s: %q, %v", name, r, err)
		}
	}

	for name, challenge := range map[string]string{
		"Cyrus SASL": cyrus, "target information": ntlmChallenge(0x8201, ntlmTarget), "target information, all flags": ntlmChallenge(0x00028205|ntlmUnicode, ntlmTarget),
	} {
		if r, err := begin(t, NewNTLM, testCredentials()).Next([]byte(challenge)); len(r) == 0 || err != nil {
			t.Errorf("%s: %q, %v", name, r, err)
		}
	}

	for name, challenge := range map[string]string{ // which are none at all
		"empty": "", "another message": "NTLMSSP\x00\x01\x00\x00\x00" + strings.Repeat("\x00", 20), "no signature": strings.Repeat("x", 48), "short": "NTLMSSP\x00\x02\x00\x00\x00",
	} {
		if r, err := begin(t, NewNTLM, testCredentials()).Next([]byte(challenge)); r != nil || err == nil || strings.Contains(err.Error(), "version 1") {
			t.Errorf("%s: %q, %v", name, r, err)
		}
	}
}
