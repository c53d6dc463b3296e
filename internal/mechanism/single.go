package mechanism

import (
	"fmt"

	"github.com/emersion/go-sasl"
)

// single is the state of a mechanism in which the client answers exactly one
// challenge and the server proves nothing.
type single struct {
	prompts int
	err     error
}

func (s *single) reset() { *s = single{} }

// answer counts the challenge and, if it is the first, answers it.
func (s *single) answer(challenge []byte, respond func([]byte) ([]byte, error)) ([]byte, error) {
	s.prompts++
	if s.prompts > 1 {
		return nil, fmt.Errorf("the challenge was answered already: %w", sasl.ErrUnexpectedServerChallenge)
	}
	response, err := respond(challenge)
	s.err = err
	return response, err
}

func (s *single) Complete() error {
	if s.err != nil {
		return s.err
	}
	if s.prompts != 1 {
		return errOutOfTurn
	}
	return nil
}
