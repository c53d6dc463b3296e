package smtptest

// loginExchange is LOGIN (draft-murchison-sasl-login).
type loginExchange struct {
	accounts map[string]string
	name     string
	named    bool
	asked    bool
}

func (x *loginExchange) user() string { return x.name }

func (x *loginExchange) next(response []byte) (challenge []byte, done bool, err error) {
	switch {
	case response == nil && !x.asked:
		x.asked = true
		return []byte("Username:"), false, nil
	case !x.named:
		x.name, x.named = string(response), true
		return []byte("Password:"), false, nil
	case !mayLogIn(x.accounts, x.name, string(response)):
		return nil, false, errCredentials
	}
	return nil, true, nil
}
