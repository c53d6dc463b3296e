package submission

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/fe022423/submission/internal/smtpwire"
)

// secrets is what a session keeps out of the server's words. It is two pointers
// away from a Session, since package fmt follows one when a verb is wrong.
type secrets struct {
	forms   []string // in all usual encodings, the longest first
	plain   string   // a response that is no secret: the user name
	authing bool     // AUTH is under way
}

// public turns a reply of the wire into one for the caller's eyes.
func (c *secrets) public(r smtpwire.Reply) Reply {
	return makeReply(r.Code, c.scrub(string(r.Text)))
}

// minHidden is the shortest secret that is looked for outside of AUTH, in octets:
// a shorter one would be found in any text by chance.
const minHidden = 4

// scrub takes the secrets of this session out of the server's words.
func (c *secrets) scrub(s string) string {
	for _, secret := range c.forms {
		if (c.authing || len(secret) >= minHidden) && strings.Contains(s, secret) {
			s = strings.ReplaceAll(s, secret, "***")
		}
	}
	return s
}

// scrubbed is an error whose text held a secret. What it wraps is still found;
// behind a function no verb of package fmt prints it.
type scrubbed struct {
	text  string
	cause func() error
}

func (e *scrubbed) Error() string { return e.text }
func (e *scrubbed) Unwrap() error { return e.cause() }

// scrubError takes the secrets of this session out of the text of err.
func (c *secrets) scrubError(err error) error {
	if err == nil {
		return nil
	}
	if text := c.scrub(err.Error()); text != err.Error() {
		return &scrubbed{text, func() error { return err }}
	}
	return err
}

// hideResponse encodes a response and sees to it that the server's repeating
// it, in any usual form, does not show it, nor the last field of it, where
// mechanisms that show the secret have it. The fields of others are no text.
func (c *secrets) hideResponse(mech string, response []byte) string {
	if text := string(response); text != c.plain {
		c.hide(text)
		if !shows(mech) {
			return base64.StdEncoding.EncodeToString(response)
		}
		fields := strings.FieldsFunc(text, func(r rune) bool { return r <= 1 })
		if n := len(fields); n > 1 {
			c.hide(strings.TrimPrefix(fields[n-1], "auth=Bearer "))
		}
	}
	return base64.StdEncoding.EncodeToString(response)
}

// hide adds a secret, and its usual encodings, to what scrub takes out.
func (c *secrets) hide(secret string) {
	if secret == "" || slices.Contains(c.forms, secret) {
		return
	}
	h := hex.EncodeToString([]byte(secret))
	c.forms = append(c.forms, secret, h, strings.ToUpper(h))
	for _, alphabet := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
		c.forms = append(c.forms, alphabet.EncodeToString([]byte(secret)))
		for shift := range 3 {
			if core := base64Core(alphabet, secret, shift); len(core) >= minHidden {
				c.forms = append(c.forms, core)
			}
		}
	}
	// The longest first, or what contains another would show its rest.
	slices.SortFunc(c.forms, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
}

// base64Core is what any base64 text holds in which secret begins shift octets
// behind a multiple of three: the characters that no other octet has a part in.
func base64Core(alphabet *base64.Encoding, secret string, shift int) string {
	text := alphabet.WithPadding(base64.NoPadding).EncodeToString([]byte("\x00\x00"[:shift] + secret))
	if (shift+len(secret))%3 != 0 {
		text = text[:len(text)-1]
	}
	return text[(shift*8+5)/6:]
}
