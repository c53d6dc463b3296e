package mechanism

import (
	"errors"

	"github.com/emersion/go-sasl"
)

type plain struct{ cred Credentials }

// NewPlain returns a client for PLAIN (RFC 4616). It sends Username, Password
// and, when it is set, Identity in one message, which is the initial response;
// any challenge to it is an error. An empty password is refused: the grammar
// of the message has no place for it.
//
// The server proves nothing, so Complete is always nil. A caller that withheld
// the initial response has to see to it that it was sent.
func NewPlain(c Credentials) (sasl.Client, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if c.Password.Reveal() == "" {
		return nil, errors.New("the password is empty")
	}
	return &plain{c}, nil
}

// client is made anew each time because its fields would print.
func (p *plain) client() sasl.Client {
	return sasl.NewPlainClient(p.cred.Identity, p.cred.Username, p.cred.Password.Reveal())
}

func (p *plain) Start() (string, []byte, error) { return p.client().Start() }

func (p *plain) Next(challenge []byte) ([]byte, error) { return p.client().Next(challenge) }

func (p *plain) Complete() error { return nil }
