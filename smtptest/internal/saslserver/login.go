package saslserver

// login is LOGIN (draft-murchison-sasl-login).
type login struct {
	accounts map[string]string
	name     string
	named    bool
	asked    bool
}

func (x *login) User() string { return x.name }

func (x *login) Next(response []byte) (challenge []byte, done bool, err error) {
	switch {
	case response == nil && !x.asked:
		x.asked = true
		return []byte("Username:"), false, nil
	case !x.named:
		x.name, x.named = string(response), true
		return []byte("Password:"), false, nil
	case !mayLogIn(x.accounts, x.name, string(response)):
		return nil, false, ErrCredentials
	}
	return nil, true, nil
}
