package redact

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// minLength is the shortest base64 text that is looked for where a longer
	// secret may stand in it, in characters.
	minLength = 4
	// minStrong is the shortest secret that is looked for outside of AUTH, in
	// octets: a shorter one would be found in any text by chance.
	minStrong = 8
	// maxWord is the longest word that servers say by chance, in letters.
	maxWord = 20
	// minStart is how much of a secret must stand at the end of a text that was
	// cut off to be taken for its start, in octets.
	minStart = 4
)

// Set is the secrets of a session, each in all its usual forms. The zero Set is
// empty and ready for use. It is used by one goroutine at a time; a copy is
// independent.
type Set struct {
	// InAuth says that AUTH is under way, where a text may repeat any secret.
	// Elsewhere one that is weak is left alone: to replace a word that servers say
	// by chance would damage their replies and give the secret away.
	InAuth bool

	forms Hidden[[]form] // the longest first
}

// form is a form of a secret.
type form struct {
	text string
	weak bool
}

// Add adds a secret, and its usual forms, to what Clean takes out.
func (s *Set) Add(secret string) {
	if secret == "" {
		return
	}
	var forms []form
	for _, text := range formsOf(secret) {
		forms = append(forms, form{text, isWeak(text)})
	}
	s.add(forms)
}

func (s *Set) add(more []form) {
	forms := slices.Clone(s.forms.Reveal())
	for _, f := range more {
		if !slices.Contains(forms, f) {
			forms = append(forms, f)
		}
	}
	// The longest first, or what contains another would show its rest.
	slices.SortStableFunc(forms, func(a, b form) int { return cmp.Compare(len(b.text), len(a.text)) })
	s.forms = Hide(forms)
}

// AddAll adds what other holds.
func (s *Set) AddAll(other Set) { s.add(other.forms.Reveal()) }

// formsOf returns a secret as it is, in the encodings that protocols have, and in
// the escapes of those who quote it.
func formsOf(secret string) []string {
	h := hex.EncodeToString([]byte(secret))
	forms := []string{secret, h, strings.ToUpper(h), inner(strconv.Quote(secret)), inner(strconv.QuoteToASCII(secret)),
		url.QueryEscape(secret), url.PathEscape(secret), url.User(secret).String()}
	if j, err := json.Marshal(secret); err == nil {
		forms = append(forms, inner(string(j)))
	}
	for _, alphabet := range alphabets {
		forms = append(forms, alphabet.EncodeToString([]byte(secret)))
		for shift := range 3 {
			if core := base64Core(alphabet, secret, shift); len(core) >= minLength {
				forms = append(forms, core)
			}
		}
	}
	return forms
}

// inner takes the quotes off.
func inner(quoted string) string { return quoted[1 : len(quoted)-1] }

// isWeak reports whether a text is found in others by chance: it is short, a plain
// word or a number.
func isWeak(s string) bool {
	return len(s) < minStrong || isWord(s) || strings.Trim(s, "0123456789.,:-+/ ") == ""
}

// isWord reports whether s is letters alone, in the case that a word has: small,
// large, or a large one first.
func isWord(s string) bool {
	_, first := utf8.DecodeRuneInString(s)
	rest := s[first:]
	return !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsLetter(r) }) &&
		utf8.RuneCountInString(s) <= maxWord && (rest == strings.ToLower(rest) || s == strings.ToUpper(s))
}

// Clean returns text with Mask in place of each secret. The text must be whole: it
// was neither cut nor escaped.
func (s *Set) Clean(text string) string {
	for _, f := range s.forms.Reveal() {
		if (s.InAuth || !f.weak) && strings.Contains(text, f.text) {
			text = strings.ReplaceAll(text, f.text, Mask)
		}
	}
	return text
}

// CleanStart is Clean for a text whose rest never came: the start of a secret may
// stand at its end.
func (s *Set) CleanStart(text string) string {
	text = s.Clean(text)
	longest := 0
	for _, f := range s.forms.Reveal() {
		if f.weak && !s.InAuth {
			continue
		}
		for n := min(len(f.text), len(text)); n >= minStart && n > longest; n-- {
			if strings.HasSuffix(text, f.text[:n]) {
				longest = n
			}
		}
	}
	if longest == 0 {
		return text
	}
	return text[:len(text)-longest] + Mask
}

// CleanError returns err, or where its text holds a secret an error with the text
// cleaned, in which errors.Is and errors.As find what they find in err.
func (s *Set) CleanError(err error) error {
	if err == nil {
		return nil
	}
	if text := s.Clean(err.Error()); text != err.Error() {
		return &cleanedError{text, Hide(err)}
	}
	return err
}

// cleanedError is an error whose text held a secret. It has no method Unwrap: who
// walks a chain of errors prints each of them.
type cleanedError struct {
	text  string
	cause Hidden[error]
}

func (e *cleanedError) Error() string        { return e.text }
func (e *cleanedError) Is(target error) bool { return errors.Is(e.cause.Reveal(), target) }
func (e *cleanedError) As(target any) bool   { return errors.As(e.cause.Reveal(), target) }

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
