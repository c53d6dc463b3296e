package submission

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// checkLineBreaks refuses a user name or a password that ends in a line break. It
// was read from a file together with the end of its line, and no server knows it so.
func checkLineBreaks(a Auth) error {
	var user, password string
	switch a := a.(type) {
	case OAuth2:
		user = a.Username
	case *OAuth2:
		if a != nil {
			user = a.Username
		}
	default:
		if p, ok := asPassword(a); ok {
			user, password = p.Username, p.Password
		}
	}
	if err := lineBreak(user, password); err != nil {
		return &OptionError{"Auth", err}
	}
	return nil
}

// lineBreak says which of a user name and a password ends in a line break.
func lineBreak(user, password string) error {
	ends := func(s string) bool { return strings.HasSuffix(s, "\n") || strings.HasSuffix(s, "\r") }
	switch {
	case ends(password):
		return errors.New("the password ends in a line break: take it off")
	case ends(user):
		return errors.New("the user name ends in a line break: take it off")
	}
	return nil
}

// checkPassword refuses a Password that no server can accept.
func checkPassword(a Auth) error {
	p, ok := asPassword(a)
	switch {
	case !ok:
		return nil
	case p.Username == "":
		return &OptionError{"Auth", errors.New("the user name is empty: perhaps a variable is not set")}
	case p.Password == "":
		return &OptionError{"Auth", errors.New("the password is empty: perhaps a variable is not set")}
	case p.Mechanisms == nil || slices.ContainsFunc(p.Mechanisms, isPasswordMechanism):
		return nil
	case len(p.Mechanisms) == 0:
		return &OptionError{"Auth", errors.New("Password.Mechanisms is empty and allows none; nil allows the usual ones")}
	}
	var named, known []string
	for _, m := range p.Mechanisms {
		named = append(named, strconv.Quote(m))
	}
	for _, m := range passwordMechanisms {
		known = append(known, m.name)
	}
	return &OptionError{"Auth", fmt.Errorf("Password.Mechanisms allows no mechanism for passwords but %s; those are %s",
		strings.Join(named, " "), strings.Join(known, " "))}
}

func asPassword(a Auth) (p Password, ok bool) {
	switch a := a.(type) {
	case Password:
		return a, true
	case *Password:
		if a != nil {
			return *a, true
		}
	}
	return Password{}, false
}

func isPasswordMechanism(name string) bool { return takesPassword(strings.ToUpper(name)) }
