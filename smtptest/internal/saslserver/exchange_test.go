package saslserver

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
)

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// say gives x a response and returns what a server replies: "334 " and the
// challenge, "235 " and the user, "535 " or "501 " and the reason.
func say(x Exchange, response string) string { return next(x, []byte(response)) }

// begin begins x without an initial response.
func begin(x Exchange) string { return next(x, nil) }

func next(x Exchange, response []byte) string {
	challenge, done, err := x.Next(response)
	switch {
	case errors.As(err, new(Refusal)):
		return "535 " + err.Error()
	case err != nil:
		return "501 " + err.Error()
	case done:
		return "235 " + x.User()
	}
	return "334 " + string(challenge)
}

// want checks that a reply begins with prefix.
func want(t *testing.T, reply, prefix string) {
	t.Helper()
	if !strings.HasPrefix(reply, prefix) {
		t.Errorf("%q, want %q", reply, prefix)
	}
}
