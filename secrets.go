package submission

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/fe022423/submission/internal/smtpwire"
)

// public turns a reply of the wire into one for the caller's eyes.
func (c *conn) public(r smtpwire.Reply) Reply {
	return makeReply(r.Code, c.scrub(string(r.Text)))
}

// minHidden is the shortest secret that is looked for outside of AUTH, in octets:
// a shorter one would be found in any text by chance.
const minHidden = 4

// scrub takes the secrets of this session out of the server's words.
func (c *conn) scrub(s string) string {
	for _, secret := range c.secrets {
		if (c.authing || len(secret) >= minHidden) && strings.Contains(s, secret) {
			s = strings.ReplaceAll(s, secret, "***")
		}
	}
	return s
}

// hideResponse encodes a response and sees to it that the server's repeating
// it, in any usual form, does not show it, nor the last field of it, where
// mechanisms that show the secret have it.
func (c *conn) hideResponse(response []byte) string {
	if text := string(response); text != c.plain {
		c.hide(text)
		fields := strings.FieldsFunc(text, func(r rune) bool { return r <= 1 })
		if n := len(fields); n > 1 {
			c.hide(strings.TrimPrefix(fields[n-1], "auth=Bearer "))
		}
	}
	return base64.StdEncoding.EncodeToString(response)
}

// hide adds a secret, and its usual encodings, to what scrub takes out.
func (c *conn) hide(secret string) {
	if secret == "" || slices.Contains(c.secrets, secret) {
		return
	}
	h := hex.EncodeToString([]byte(secret))
	c.secrets = append(c.secrets, secret, h, strings.ToUpper(h),
		base64.StdEncoding.EncodeToString([]byte(secret)),
		base64.RawStdEncoding.EncodeToString([]byte(secret)))
	// The longest first, or what contains another would show its rest.
	slices.SortFunc(c.secrets, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
}
