package mechanism

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/emersion/go-sasl"
	"github.com/fe022423/submission/internal/redact"
)

// maxReason bounds what is kept of a server's reason.
const maxReason = 512

// bearer is what OAUTHBEARER and XOAUTH2 have in common: one message with the
// token, and one answer to the reason of a refusal.
type bearer struct {
	cred    Credentials
	prompts int
	refusal *RefusalError
}

// checkToken checks the credentials of a mechanism whose Password is a token.
func (c *Credentials) checkToken() error {
	if err := c.check(); err != nil {
		return err
	}
	if err := c.checkOneIdentity(); err != nil {
		return err
	}
	if strings.ContainsFunc(c.Username, isControl) {
		return errors.New("the user name holds a control character")
	}
	// Wider than the b64token of RFC 6750, 2.1, but nothing that could end the
	// field, and no line end of the file that the token was read from.
	token := c.Password.Reveal()
	if strings.TrimRight(token, "\r\n") != token {
		return errors.New("the token ends in a line break: take it off")
	}
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New("the token is empty or holds other than visible ASCII")
	}
	return nil
}

func (b *bearer) start() { b.prompts, b.refusal = 0, nil }

// refuse keeps the reason in a challenge and answers it.
func (b *bearer) refuse(challenge, answer []byte) ([]byte, error) {
	b.prompts++
	if b.prompts > 1 {
		return nil, fmt.Errorf("the refusal was answered already: %w", sasl.ErrUnexpectedServerChallenge)
	}
	b.refusal = &RefusalError{Reason: b.reason(string(challenge))}
	return answer, nil
}

// reason makes the server's text fit to print.
func (b *bearer) reason(text string) string {
	var decoded any
	// JSON has ways to write the token that the text itself does not show.
	_ = json.Unmarshal([]byte(text), &decoded)
	if redact.ShownIn(text, b.cred.Password) || redact.ShownIn(fmt.Sprint(decoded), b.cred.Password) {
		return redact.Mask
	}
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
	return text[:min(len(text), maxReason)]
}

func (b *bearer) Complete() error {
	if b.refusal != nil {
		return b.refusal
	}
	return nil
}
