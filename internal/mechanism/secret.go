package mechanism

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

const withheld = "***"

// Secret is a string that printing does not reach: package fmt, slog, JSON and
// XML show asterisks, and where fmt cannot ask the value (unexported fields,
// %w and %p on something else) an address. The zero value is the empty string.
type Secret struct{ text *string }

// NewSecret returns s as a Secret.
func NewSecret(s string) Secret { return Secret{&s} }

func (s Secret) reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// Format implements fmt.Formatter for every verb.
func (Secret) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, withheld) }

// MarshalText implements encoding.TextMarshaler, which also serves JSON and XML.
func (Secret) MarshalText() ([]byte, error) { return []byte(withheld), nil }

// LogValue implements slog.LogValuer.
func (Secret) LogValue() slog.Value { return slog.StringValue(withheld) }

// ShownIn reports whether a text from elsewhere, a server's reply perhaps, holds
// the secret: as it is, in base64 at any offset, or in hexadecimal.
func (s Secret) ShownIn(text string) bool {
	secret := s.reveal()
	if secret == "" {
		return false
	}
	if strings.Contains(text, secret) || strings.Contains(strings.ToLower(text), hex.EncodeToString([]byte(secret))) {
		return true
	}
	for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for offset := range 3 {
			// The first and the last digit may hold bits of a neighbour.
			digits := e.EncodeToString(append(make([]byte, offset), secret...))
			first := (offset*8 + 5) / 6
			last := (offset + len(secret)) * 8 / 6
			if first < last && strings.Contains(text, digits[first:last]) {
				return true
			}
		}
	}
	return false
}
