// Package redact keeps secrets out of what is printed: a value that no verb
// shows, and the set of a session's secrets that is taken out of every text from
// elsewhere.
package redact

import (
	"fmt"
	"io"
	"log/slog"
)

// Mask stands where a secret stood.
const Mask = "***"

// Hidden is a value that printing does not reach. Package fmt, slog, JSON and
// XML show Mask. Where fmt may not call methods, in an unexported field, it shows
// the address of a function, whatever the verb; of a pointer it would show what
// it points at. The zero Hidden hides the zero value of T.
type Hidden[T any] struct{ reveal func() T }

// Hide returns v, hidden.
func Hide[T any](v T) Hidden[T] { return Hidden[T]{func() T { return v }} }

// Secret is a hidden string: a password, a token.
type Secret = Hidden[string]

// Reveal returns the value.
func (h Hidden[T]) Reveal() T {
	if h.reveal == nil {
		var zero T
		return zero
	}
	return h.reveal()
}

// IsZero reports whether nothing was ever hidden here.
func (h Hidden[T]) IsZero() bool { return h.reveal == nil }

// Format implements fmt.Formatter for every verb.
func (Hidden[T]) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, Mask) }

// MarshalText implements encoding.TextMarshaler, which also serves JSON and XML.
func (Hidden[T]) MarshalText() ([]byte, error) { return []byte(Mask), nil }

// LogValue implements slog.LogValuer.
func (Hidden[T]) LogValue() slog.Value { return slog.StringValue(Mask) }
