package redact

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
)

// minLength is the shortest secret that is looked for outside of AUTH, in octets:
// a shorter one would be found in any text by chance.
const minLength = 4

// Set is the secrets of a session, each in all its usual encodings. The zero Set
// is empty and ready for use. It is used by one goroutine at a time.
type Set struct {
	// InAuth says that AUTH is under way: a text may then repeat a secret of any
	// length.
	InAuth bool

	forms Hidden[[]string] // the longest first
}

// Add adds a secret, and its usual encodings, to what Clean takes out.
func (s *Set) Add(secret string) {
	forms := s.forms.Reveal()
	if secret == "" || slices.Contains(forms, secret) {
		return
	}
	h := hex.EncodeToString([]byte(secret))
	forms = append(forms, secret, h, strings.ToUpper(h))
	for _, alphabet := range alphabets {
		forms = append(forms, alphabet.EncodeToString([]byte(secret)))
		for shift := range 3 {
			if core := base64Core(alphabet, secret, shift); len(core) >= minLength {
				forms = append(forms, core)
			}
		}
	}
	// The longest first, or what contains another would show its rest.
	slices.SortFunc(forms, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	s.forms = Hide(forms)
}

// Clean returns text with Mask in place of each secret.
func (s *Set) Clean(text string) string {
	for _, form := range s.forms.Reveal() {
		if (s.InAuth || len(form) >= minLength) && strings.Contains(text, form) {
			text = strings.ReplaceAll(text, form, Mask)
		}
	}
	return text
}

// CleanError returns err, or where its text holds a secret an error with the text
// cleaned, which wraps err.
func (s *Set) CleanError(err error) error {
	if err == nil {
		return nil
	}
	if text := s.Clean(err.Error()); text != err.Error() {
		return &cleanedError{text, Hide(err)}
	}
	return err
}

// cleanedError is an error whose text held a secret. What it wraps is found by
// errors.Is and errors.As, and not printed.
type cleanedError struct {
	text  string
	cause Hidden[error]
}

func (e *cleanedError) Error() string { return e.text }
func (e *cleanedError) Unwrap() error { return e.cause.Reveal() }

// ShownIn reports whether text holds the secret: as it is, in base64 at any
// offset, or in hexadecimal.
func ShownIn(text string, secret Secret) bool {
	s := secret.Reveal()
	if s == "" {
		return false
	}
	if strings.Contains(text, s) || strings.Contains(strings.ToLower(text), hex.EncodeToString([]byte(s))) {
		return true
	}
	for _, alphabet := range alphabets {
		for shift := range 3 {
			if core := base64Core(alphabet, s, shift); core != "" && strings.Contains(text, core) {
				return true
			}
		}
	}
	return false
}

var alphabets = []*base64.Encoding{base64.StdEncoding, base64.URLEncoding}

// base64Core is what every base64 text holds in which secret begins shift octets
// after a multiple of three: the characters that no other octet has a part in.
func base64Core(alphabet *base64.Encoding, secret string, shift int) string {
	text := alphabet.WithPadding(base64.NoPadding).EncodeToString([]byte("\x00\x00"[:shift] + secret))
	if (shift+len(secret))%3 != 0 {
		text = text[:len(text)-1]
	}
	return text[(shift*8+5)/6:]
}
