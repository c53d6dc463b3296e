// Package mimefield reads what MIME writes: the fields Content-Type and Content-Disposition
// (RFC 2045, RFC 2183, RFC 2231), encoded words (RFC 2047), character sets and transfer
// encodings.
//
// It is strict where a program that sends mail is wrong, and knows the character sets that
// the standard library knows: UTF-8, US-ASCII and ISO-8859-1.
package mimefield

import (
	"fmt"
	"strings"
)

// Parse splits a field into its value, in lower case, and its parameters, by their names in
// lower case. What RFC 2231 splits and encodes is put together and decoded, and so are
// encoded words in a parameter, which no RFC allows and many programs write.
func Parse(field string) (value string, params map[string]string, err error) {
	s := &scanner{rest: field}
	value, err = s.value()
	if err != nil {
		return "", nil, err
	}
	var list parameters
	for s.rest != "" {
		name, text, err := s.parameter()
		if err == nil && name != "" {
			err = list.add(name, text)
		}
		if err != nil {
			return "", nil, err
		}
	}
	params, err = list.join()
	if err != nil {
		return "", nil, err
	}
	return strings.ToLower(value), params, nil
}

// scanner reads tokens from the start of rest.
type scanner struct{ rest string }

// skip skips white space and comments (RFC 822, 3.1.4, which RFC 2045 builds on).
func (s *scanner) skip() error {
	for {
		s.rest = strings.TrimLeft(s.rest, " \t\r\n")
		if !strings.HasPrefix(s.rest, "(") {
			return nil
		}
		end := commentEnd(s.rest)
		if end < 0 {
			return fmt.Errorf("a bracket is missing: %q", s.rest)
		}
		s.rest = s.rest[end:]
	}
}

// commentEnd returns where the comment ends that begins s, -1 if it does not end.
func commentEnd(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return -1
}

// value reads what stands before the parameters: a token, or two with a slash between.
func (s *scanner) value() (string, error) {
	if err := s.skip(); err != nil {
		return "", err
	}
	value := s.token()
	if rest, ok := strings.CutPrefix(s.rest, "/"); ok && value != "" {
		s.rest = rest
		value += "/" + s.token()
	}
	if value == "" {
		return "", fmt.Errorf("no value: %q", s.rest)
	}
	return value, s.skip()
}

// token reads a token, which may be empty (RFC 2045, 5.1).
func (s *scanner) token() string {
	end := strings.IndexFunc(s.rest, func(c rune) bool {
		return c <= ' ' || c > '~' || strings.ContainsRune(`()<>@,;:\"/[]?=`, c)
	})
	if end < 0 {
		end = len(s.rest)
	}
	token := s.rest[:end]
	s.rest = s.rest[end:]
	return token
}

// parameter reads a semicolon and the parameter after it. The name is empty if there is
// none, as after a semicolon too many.
func (s *scanner) parameter() (name, text string, err error) {
	rest, ok := strings.CutPrefix(s.rest, ";")
	if !ok {
		return "", "", fmt.Errorf("%q where a semicolon is due", s.rest)
	}
	s.rest = rest
	if err := s.skip(); err != nil || s.rest == "" || s.rest[0] == ';' {
		return "", "", err
	}
	if name = strings.ToLower(s.token()); name == "" {
		return "", "", fmt.Errorf("%q where the name of a parameter is due", s.rest)
	}
	if err := s.skip(); err != nil {
		return "", "", err
	}
	if s.rest, ok = strings.CutPrefix(s.rest, "="); !ok {
		return "", "", fmt.Errorf("%s has no value", name)
	}
	if err := s.skip(); err != nil {
		return "", "", err
	}
	if text, err = s.text(name); err != nil {
		return "", "", err
	}
	return name, text, s.skip()
}

// text reads the value of a parameter: a token or a quoted string.
func (s *scanner) text(name string) (string, error) {
	if strings.HasPrefix(s.rest, `"`) {
		return s.quoted()
	}
	text := s.token()
	switch {
	case s.rest != "" && !strings.ContainsRune(" \t\r\n;(", rune(s.rest[0])):
		c := []rune(s.rest)[0]
		return "", fmt.Errorf("%s: a value with %c needs quotation marks", name, c)
	case text == "":
		return "", fmt.Errorf("%s has no value", name)
	}
	return text, nil
}

func (s *scanner) quoted() (string, error) {
	var text strings.Builder
	for i := 1; i < len(s.rest); i++ {
		switch c := s.rest[i]; {
		case c == '"':
			s.rest = s.rest[i+1:]
			return text.String(), nil
		case c == '\\' && i+1 < len(s.rest):
			i++
			text.WriteByte(s.rest[i])
		default:
			text.WriteByte(c)
		}
	}
	return "", fmt.Errorf("a quotation mark is missing: %q", s.rest)
}
