package saslserver

import (
	"crypto/md5"
	"crypto/rand"
	"encoding/hex"
	"strings"
	"unicode/utf8"
)

const (
	// maxDigestResponse is the length that a response must not reach (RFC 2831, 2.1.2).
	maxDigestResponse = 4096
	// digestNonceCount is the nonce count of an initial authentication.
	digestNonceCount = "00000001"
)

// digest is DIGEST-MD5 (RFC 2831): initial authentication with qop auth. It refuses a
// response without a directive that the challenge requires, even if the grammar makes
// it optional.
type digest struct {
	accounts map[string]string
	realm    string
	nonce    string
	name     string
	state    digestState
}

type digestState uint8

const (
	digestStart     digestState = iota
	digestChallenge             // the challenge was sent
	digestProof                 // rspauth was sent; an empty response is the end
)

func newDigest(accounts map[string]string, realm string) *digest {
	return &digest{accounts: accounts, realm: realm, nonce: rand.Text()}
}

func (x *digest) User() string { return x.name }

func (x *digest) Next(response []byte) (challenge []byte, done bool, err error) {
	switch x.state {
	case digestStart:
		if response != nil {
			return nil, false, errInitial
		}
		x.state = digestChallenge
		return []byte(`realm="` + quoteDigest(x.realm) + `",nonce="` + x.nonce +
			`",qop="auth",charset=utf-8,algorithm=md5-sess`), false, nil
	case digestChallenge:
		proof, err := x.verify(response)
		if err != nil {
			return nil, false, err
		}
		x.state = digestProof
		return []byte("rspauth=" + proof), false, nil
	}
	if len(response) > 0 {
		return nil, false, errResponse
	}
	return nil, true, nil
}

// verify checks a digest-response and returns the server's proof.
func (x *digest) verify(response []byte) (proof string, err error) {
	if len(response) >= maxDigestResponse {
		return "", errResponse
	}
	d, ok := parseDigest(string(response))
	if !ok || !x.wellFormed(d) {
		return "", errResponse
	}
	user, latin1 := d["username"].value, d["charset"].value == ""
	x.name = user
	if latin1 {
		x.name = fromLatin1(user)
	}
	password, known := x.accounts[x.name]
	h := digestHash{
		user:     toLatin1(x.name),
		realm:    x.realm,
		password: toLatin1(password),
		nonce:    x.nonce,
		cnonce:   d["cnonce"].value,
		authzid:  d["authzid"].value,
		uri:      d["digest-uri"].value,
	}
	switch {
	case !known, !mayActAs(x.accounts, h.authzid):
		return "", ErrCredentials
	case d["response"].value != h.sum("AUTHENTICATE:"):
		return "", ErrCredentials
	}
	return h.sum(":"), nil
}

// wellFormed checks all directives except the proof: whether they are quoted or not,
// and the values that the challenge determines.
func (x *digest) wellFormed(d map[string]directive) bool {
	for _, name := range []string{"username", "realm", "nonce", "cnonce", "digest-uri", "authzid"} {
		if v, ok := d[name]; ok && !v.quoted {
			return false
		}
	}
	for _, name := range []string{"nc", "qop", "response", "charset", "maxbuf", "cipher"} {
		if v, ok := d[name]; ok && v.quoted {
			return false
		}
	}
	_, hasQop := d["qop"]
	_, hasCharset := d["charset"]
	_, hasAuthzid := d["authzid"]
	utf8Text := utf8.ValidString(d["username"].value) && utf8.ValidString(d["authzid"].value)
	return d["username"].value != "" && d["cnonce"].value != "" &&
		d["realm"].value == x.realm && d["nonce"].value == x.nonce &&
		d["nc"].value == digestNonceCount &&
		strings.HasPrefix(d["digest-uri"].value, "smtp/") && len(d["digest-uri"].value) > len("smtp/") &&
		(!hasQop || d["qop"].value == "auth") &&
		(!hasCharset || strings.EqualFold(d["charset"].value, "utf-8") && utf8Text) &&
		(!hasAuthzid || d["authzid"].value != "")
}

// digestHash has what response-value is computed from (RFC 2831, 2.1.2.1). Its values
// are encoded as the hash needs them.
type digestHash struct {
	user, realm, password, nonce, cnonce, authzid, uri string
}

// sum returns the response-value. A2 begins with prefix, which is different for the
// client and the server.
func (h digestHash) sum(prefix string) string {
	secret := md5.Sum([]byte(h.user + ":" + h.realm + ":" + h.password))
	a1 := string(secret[:]) + ":" + h.nonce + ":" + h.cnonce
	if h.authzid != "" {
		a1 += ":" + h.authzid
	}
	return md5Hex(md5Hex(a1) + ":" + h.nonce + ":" + digestNonceCount + ":" +
		h.cnonce + ":auth:" + md5Hex(prefix+h.uri))
}

func md5Hex(s string) string {
	sum := md5.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}

// toLatin1 converts s to ISO 8859-1 if that has all of its characters.
func toLatin1(s string) string {
	b := make([]byte, 0, len(s))
	for _, c := range s {
		if c > 0xff {
			return s
		}
		b = append(b, byte(c))
	}
	return string(b)
}

func fromLatin1(s string) string {
	runes := make([]rune, len(s))
	for i := range len(s) {
		runes[i] = rune(s[i])
	}
	return string(runes)
}

// directive is the value of a directive, without its quotes.
type directive struct {
	value  string
	quoted bool
}

// parseDigest parses a digest-response: 1#( name "=" ( token | quoted-string ) ). It
// refuses a name that comes twice.
func parseDigest(s string) (map[string]directive, bool) {
	all := map[string]directive{}
	for {
		s = strings.TrimLeft(s, " \t\r\n,")
		if s == "" {
			return all, len(all) > 0
		}
		name, rest, ok := strings.Cut(s, "=")
		name = strings.ToLower(name)
		if _, twice := all[name]; !ok || twice || !isToken(name) {
			return nil, false
		}
		var d directive
		if d, s, ok = cutValue(rest); !ok {
			return nil, false
		}
		all[name] = d
		s = strings.TrimLeft(s, " \t\r\n")
		if s != "" && s[0] != ',' {
			return nil, false
		}
	}
}

// cutValue parses the value at the start of s and returns what follows it.
func cutValue(s string) (d directive, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		n := strings.IndexAny(s, " \t\r\n,")
		if n < 0 {
			n = len(s)
		}
		return directive{value: s[:n]}, s[n:], isToken(s[:n])
	}
	var value []byte
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return directive{value: string(value), quoted: true}, s[i+1:], true
		case c == '\\' && i+1 < len(s):
			i++
			value = append(value, s[i])
		default:
			value = append(value, c)
		}
	}
	return directive{}, "", false
}

// isToken checks token of RFC 2831, 7.2.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool {
		return c <= ' ' || c >= 0x7f || strings.ContainsRune(`()<>@,;:\"/[]?={}`, c)
	})
}

func quoteDigest(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s)
}
