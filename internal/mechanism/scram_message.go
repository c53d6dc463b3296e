package mechanism

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The iteration counts that a server may ask for: RFC 5802, 5.1 and RFC 7677,
// 4 set the lower bound; the upper one keeps a server from keeping this side
// busy for more than a fraction of a second.
const (
	minScramIterations = 4096
	maxScramIterations = 200_000
)

// scramFirst is what a server-first-message says.
type scramFirst struct {
	nonce      string
	salt       []byte
	iterations int
}

// parseServerFirst parses a server-first-message (RFC 5802, 7) and checks it
// against the nonce that the client sent.
func parseServerFirst(message, nonce string) (s scramFirst, err error) {
	attrs, err := scramAttributes(message)
	if err != nil {
		return s, err
	}
	if len(attrs) < 3 || attrs[0].name != 'r' || attrs[1].name != 's' || attrs[2].name != 'i' {
		return s, malformedScram("nonce, salt and iteration count are not where they should be")
	}
	// RFC 5802, 5.1: the server's nonce is ours and something of its own.
	if added, ours := strings.CutPrefix(attrs[0].value, nonce); !ours || added == "" {
		return s, errors.New("the server's nonce is not the client's and more")
	}
	if strings.ContainsFunc(attrs[0].value, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return s, malformedScram("the nonce is not printable")
	}
	salt, ok := decodeBase64(attrs[1].value)
	if !ok {
		return s, malformedScram("the salt is not base64")
	}
	count := attrs[2].value
	if strings.Trim(count, "0123456789") != "" || count[0] == '0' {
		return s, malformedScram("the iteration count is not a positive number")
	}
	// A number that is out of range for int comes back as its largest value.
	n, _ := strconv.Atoi(count)
	if n < minScramIterations || n > maxScramIterations {
		return s, fmt.Errorf("the server's iteration count is not within %d and %d", minScramIterations, maxScramIterations)
	}
	return scramFirst{attrs[0].value, salt, n}, nil
}

// parseServerFinal returns the signature in a server-final-message (RFC 5802, 7).
func parseServerFinal(message string) ([]byte, error) {
	attrs, err := scramAttributes(message)
	if refusal := new(RefusalError); errors.As(err, &refusal) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrServerProof, err)
	}
	signature, ok := decodeBase64(attrs[0].value)
	if attrs[0].name != 'v' || !ok {
		return nil, fmt.Errorf("%w: it sent no signature", ErrServerProof)
	}
	return signature, nil
}

type scramAttribute struct {
	name  byte
	value string
}

// scramAttributes splits a message of the server. Its errors are those of the
// syntax, a mandatory extension, and the server's own as a *RefusalError.
func scramAttributes(message string) ([]scramAttribute, error) {
	if !utf8.ValidString(message) || strings.ContainsFunc(message, isControl) {
		return nil, malformedScram("it holds octets that are no text")
	}
	var attrs []scramAttribute
	for part := range strings.SplitSeq(message, ",") {
		if len(part) < 3 || !isLetter(part[0]) || part[1] != '=' {
			return nil, malformedScram("an attribute is not name=value")
		}
		if part[0] == 'm' {
			return nil, errors.New("the server requires a SCRAM extension")
		}
		attrs = append(attrs, scramAttribute{part[0], part[2:]})
	}
	if attrs[0].name == 'e' {
		return nil, &RefusalError{Reason: scramReason(attrs[0].value)}
	}
	return attrs, nil
}

// scramReason returns a server-error-value of RFC 5802, 7, which asks to take
// all others for other-error.
func scramReason(value string) string {
	known := []string{
		"invalid-encoding", "extensions-not-supported", "invalid-proof", "channel-bindings-dont-match",
		"server-does-support-channel-binding", "channel-binding-not-supported", "unsupported-channel-binding-type",
		"unknown-user", "invalid-username-encoding", "no-resources",
	}
	if slices.Contains(known, value) {
		return value
	}
	return "other-error"
}

func malformedScram(reason string) error { return errors.New("malformed SCRAM message: " + reason) }

func isLetter(o byte) bool { return 'a' <= o|0x20 && o|0x20 <= 'z' }

func decodeBase64(s string) ([]byte, bool) {
	// Control characters, which the decoder would skip, are ruled out before.
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	return b, err == nil
}
