// Package printable makes text of the server safe to print on a terminal and into a
// log.
package printable

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxShown is the most text of the server in an error or a log line, in octets.
const maxShown = 1 << 10

// Write appends s to b. It escapes everything that a terminal could act on, or that
// could split a log line or hide text.
func Write(b *strings.Builder, s string) {
	for i, r := range s {
		switch {
		case i >= maxShown:
			b.WriteString("...")
			return
		case r == utf8.RuneError:
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				const hex = "0123456789abcdef"
				b.WriteString(`\x`)
				b.WriteByte(hex[s[i]>>4])
				b.WriteByte(hex[s[i]&15])
				continue
			}
			b.WriteRune(r)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
		}
	}
}

// Quoted returns s in quotes, so that one can see where it begins and ends.
func Quoted(s string) string { return strconv.Quote(s[:min(len(s), maxShown)]) }

// Text returns s as Write writes it.
func Text(s string) string {
	var b strings.Builder
	Write(&b, s)
	return b.String()
}
