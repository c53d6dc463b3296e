// Package saslserver is the server side of SASL mechanisms (RFC 4422), one mechanism
// in a file. It knows no protocol: a server carries the challenges and responses.
package saslserver

import "errors"

// Exchange is the server side of one run of a mechanism. It is used by one goroutine at
// a time.
type Exchange interface {
	// Next takes a response of the client and returns the next challenge, or done
	// when the client is authenticated. If the client sent no initial response, the
	// first response is nil. An error ends the exchange: a Refusal, or any other for
	// a response that is malformed.
	Next(response []byte) (challenge []byte, done bool, err error)
	// User returns the name of who authenticates, as far as it is known.
	User() string
}

// Refusal is an error about the client's credentials, or about what the client may
// do with them.
type Refusal string

// Error returns the reason.
func (r Refusal) Error() string { return string(r) }

var (
	// ErrCredentials refuses user, password or proof.
	ErrCredentials error = Refusal("user or password is wrong")
	// errInitial refuses an initial response where the server speaks first.
	errInitial = errors.New("the mechanism takes no initial response")
	// errResponse refuses a response that does not follow the mechanism's grammar.
	errResponse = errors.New("malformed response")
)
