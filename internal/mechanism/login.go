package mechanism

import (
	"fmt"

	"github.com/emersion/go-sasl"
)

type login struct {
	cred     Credentials
	prompted int
}

// NewLogin returns a client for LOGIN (draft-murchison-sasl-login). It sends
// Username to the first challenge and Password to the second, whatever they
// say: servers word, spell and translate the prompts at will. A third challenge
// is an error. There is no initial response, because some servers do not
// expect one; an Identity other than Username is refused. Complete is nil when
// both were asked for and nothing more.
func NewLogin(c Credentials) (sasl.Client, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if err := c.checkOneIdentity(); err != nil {
		return nil, err
	}
	return &login{cred: c}, nil
}

func (l *login) Start() (string, []byte, error) {
	l.prompted = 0
	return sasl.Login, nil, nil
}

func (l *login) Next([]byte) ([]byte, error) {
	l.prompted++
	switch l.prompted {
	case 1:
		return []byte(l.cred.Username), nil
	case 2:
		return []byte(l.cred.Password.Reveal()), nil
	}
	return nil, fmt.Errorf("user name and password were sent already: %w", sasl.ErrUnexpectedServerChallenge)
}

func (l *login) Complete() error {
	if l.prompted != 2 {
		return errOutOfTurn
	}
	return nil
}
