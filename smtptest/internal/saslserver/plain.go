package saslserver

import "strings"

// plain is PLAIN (RFC 4616).
type plain struct {
	accounts map[string]string
	name     string
	asked    bool
}

func (x *plain) User() string { return x.name }

func (x *plain) Next(response []byte) (challenge []byte, done bool, err error) {
	if response == nil && !x.asked {
		x.asked = true
		return nil, false, nil
	}
	parts := strings.Split(string(response), "\x00")
	if len(parts) != 3 || parts[1] == "" || parts[2] == "" {
		return nil, false, errResponse
	}
	x.name = parts[1]
	if !mayLogIn(x.accounts, parts[1], parts[2]) || !mayActAs(x.accounts, parts[0]) {
		return nil, false, ErrCredentials
	}
	return nil, true, nil
}
