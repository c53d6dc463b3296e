package mechanism

import (
	"fmt"
	"io"
	"log/slog"
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
