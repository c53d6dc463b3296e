// Package address holds the grammar of mail addresses and host names: mailboxes
// and domains of RFC 5321, 4.1.2, address literals, internationalized names, and
// the characters that no address may hold.
//
// What a function returns may be written into a command as it stands.
package address

import (
	"errors"
	"unicode/utf8"
)

var (
	errNotUTF8 = errors.New("not valid UTF-8")
	errControl = errors.New("control character")
)

// CheckText refuses what no address may hold: control characters, and octets
// that are not UTF-8.
func CheckText(s string) error {
	if !utf8.ValidString(s) {
		return errNotUTF8
	}
	for _, r := range s {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return errControl
		}
	}
	return nil
}

// IsKeyword checks an esmtp-keyword (RFC 5321, 4.1.2).
func IsKeyword(s string) bool {
	for i := range len(s) {
		if !isAlnum(s[i]) && (i == 0 || s[i] != '-') {
			return false
		}
	}
	return s != ""
}

// IsASCII reports whether every octet of s is ASCII.
func IsASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func isAlnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
