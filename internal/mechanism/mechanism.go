// Package mechanism holds the client side of the SASL mechanisms (RFC 4422) of
// the submission client, one in a file.
//
// A constructor checks its Credentials and returns a client, or an error before
// anything was sent. A client runs one exchange at a time: Start begins it and
// forgets an earlier one, Next answers challenges, and the method
//
//	Complete() error
//
// which every client here has, says whether a positive reply may be believed:
// it is nil once the client has sent all it has to say and, where the mechanism
// proves the server too, once that proof was verified. A client is used by one
// goroutine at a time.
//
// Where the server gives its reason for a refusal within the exchange, Next
// answers so that the server can finish it with its negative reply, and
// Complete returns the reason as a *RefusalError.
//
// Errors name the rule that was broken, never the value that broke it.
package mechanism

import (
	"errors"
	"fmt"
	"strings"

	"github.com/fe022423/submission/internal/redact"
)

// ErrServerProof says that the server claimed success without having shown
// that it knows the user's secret. Whoever answered may be an impostor.
var ErrServerProof = errors.New("the server did not prove that it knows the password")

var errOutOfTurn = errors.New("the server reported success out of turn")

// RefusalError is the reason a server gave for a refusal within the exchange,
// before its final reply.
type RefusalError struct {
	Reason string // printable ASCII of bounded length, without the secret; may be empty
}

// Error returns one line with the reason.
func (e *RefusalError) Error() string {
	if e.Reason == "" {
		return "the server refused without a reason"
	}
	return "the server refused: " + e.Reason
}

// Credentials are what the mechanisms work with. Only Username is always
// required; each constructor says what else it reads. No field may hold a NUL.
type Credentials struct {
	Username string // the authentication identity
	Password redact.Secret
	Identity string // the authorization identity; "" leaves it to the server
	Realm    string // the collection of accounts that holds Username; "" takes the server's first
	Domain   string // the Windows domain of Username
	Host     string // the server as the caller named it, without a port
	Port     int    // the server's port; 0 = not to be told
	Binding  Binding
	Offered  []string // the mechanisms that the server offers, in upper case
}

// check finds what no mechanism can carry.
func (c *Credentials) check() error {
	fields := []struct{ name, value string }{
		{"user name", c.Username},
		{"password", c.Password.Reveal()},
		{"authorization identity", c.Identity},
		{"realm", c.Realm},
		{"domain", c.Domain},
		{"host", c.Host},
	}
	for _, f := range fields {
		if strings.ContainsRune(f.value, 0) {
			return fmt.Errorf("the %s holds a NUL octet", f.name)
		}
	}
	if c.Username == "" {
		return errors.New("the user name is empty")
	}
	return nil
}

// checkOneIdentity serves the mechanisms that have no place for an
// authorization identity: to leave it out would be to act as somebody else.
func (c *Credentials) checkOneIdentity() error {
	if c.Identity != "" && c.Identity != c.Username {
		return errors.New("the mechanism cannot carry an authorization identity")
	}
	return nil
}
