package mechanism

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"encoding/base64"
	"hash"
	"strings"
)

// iterationsBetweenLooks is how many iterations run until the context is looked at:
// some milliseconds.
const iterationsBetweenLooks = 4096

// saltedPassword is the function Hi of RFC 5802, 2.2, which is PBKDF2 with one
// block (RFC 8018, 5.2). That of the standard library knows no context.
func saltedPassword(ctx context.Context, h func() hash.Hash, password string, salt []byte, iterations int) ([]byte, error) {
	prf := hmac.New(h, []byte(password))
	prf.Write(salt)
	prf.Write([]byte{0, 0, 0, 1})
	u := prf.Sum(nil)
	key := append([]byte(nil), u...)
	for n := 1; n < iterations; n++ {
		if n%iterationsBetweenLooks == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		prf.Reset()
		prf.Write(u)
		u = prf.Sum(u[:0])
		for i := range key {
			key[i] ^= u[i]
		}
	}
	return key, nil
}

// newNonce returns a nonce of 192 bits, in characters that SCRAM allows.
func newNonce() string {
	raw := make([]byte, 24)
	rand.Read(raw)
	return base64.StdEncoding.EncodeToString(raw)
}

// saslName quotes a name (RFC 5802, 5.1).
func saslName(s string) string { return strings.NewReplacer("=", "=3D", ",", "=2C").Replace(s) }
