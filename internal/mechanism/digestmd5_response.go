package mechanism

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"strings"
)

// maxDigestResponse is where a response is too long (RFC 2831, 2.1.2).
const maxDigestResponse = 4096

const (
	// digestCount is the nonce-count of an initial authentication, the only
	// kind there is here: every exchange has a nonce of its own.
	digestCount = "00000001"
	digestQOP   = "auth"
)

// digestResponse is what both sides hash and most of what the client sends.
type digestResponse struct {
	utf8                  bool // the server offered charset=utf-8
	user, realm, password digestString
	nonce, cnonce         string
	uri                   string // digest-uri
	authzid               string // "" = none
}

// clientProof is the response-value of RFC 2831, 2.1.2.1.
func (r *digestResponse) clientProof() string { return r.hash("AUTHENTICATE:" + r.uri) }

// serverProof is the response-value of RFC 2831, 2.1.3.
func (r *digestResponse) serverProof() string { return r.hash(":" + r.uri) }

func (r *digestResponse) hash(a2 string) string {
	secret := md5.Sum([]byte(r.user.hashed + ":" + r.realm.hashed + ":" + r.password.hashed))
	a1 := string(secret[:]) + ":" + r.nonce + ":" + r.cnonce
	if r.authzid != "" {
		a1 += ":" + r.authzid
	}
	return hexMD5(strings.Join([]string{hexMD5(a1), r.nonce, digestCount, r.cnonce, digestQOP, hexMD5(a2)}, ":"))
}

func (r *digestResponse) encode() ([]byte, error) {
	var b strings.Builder
	if r.utf8 {
		b.WriteString("charset=utf-8,")
	}
	b.WriteString("username=" + quoteDigest(r.user.sent))
	b.WriteString(",realm=" + quoteDigest(r.realm.sent))
	b.WriteString(",nonce=" + quoteDigest(r.nonce))
	b.WriteString(",nc=" + digestCount)
	b.WriteString(",cnonce=" + quoteDigest(r.cnonce))
	b.WriteString(",digest-uri=" + quoteDigest(r.uri))
	b.WriteString(",response=" + r.clientProof())
	b.WriteString(",qop=" + digestQOP)
	if r.authzid != "" {
		// UTF-8 whatever the charset (RFC 2831, 2.1.2).
		b.WriteString(",authzid=" + quoteDigest(r.authzid))
	}
	if b.Len() >= maxDigestResponse {
		return nil, fmt.Errorf("a DIGEST-MD5 response of %d octets; the limit is %d", b.Len(), maxDigestResponse-1)
	}
	return []byte(b.String()), nil
}

// digestString is a string as it goes on the wire and as it is hashed.
type digestString struct{ sent, hashed string }

// encodeDigest applies RFC 2831, 2.1.2.1: what ISO 8859-1 can express is hashed
// in it, string by string, so that stored hashes serve HTTP as well; without
// charset=utf-8 it is sent in it, too. It reports whether that was possible.
func encodeDigest(s string, utf8Offered bool) (digestString, bool) {
	latin, ok := toLatin1(s)
	switch {
	case utf8Offered && ok:
		return digestString{s, latin}, true
	case utf8Offered:
		return digestString{s, s}, true
	}
	return digestString{latin, latin}, ok
}

func toLatin1(s string) (string, bool) {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		if r > 0xff {
			return "", false
		}
		b = append(b, byte(r))
	}
	return string(b), true
}

func fromLatin1(s string) string {
	var b strings.Builder
	for i := range len(s) {
		b.WriteRune(rune(s[i]))
	}
	return b.String()
}

func quoteDigest(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

func hexMD5(s string) string {
	sum := md5.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}
