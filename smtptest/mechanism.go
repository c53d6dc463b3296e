package smtptest

import (
	"maps"
	"slices"
	"strings"
)

// plusSuffix ends the names of the mechanisms with channel binding (RFC 5802, 4).
const plusSuffix = "-PLUS"

// newExchange returns the mechanism, nil for one the server does not speak.
func (s *session) newExchange(mechanism string) exchange {
	c := &s.srv.config
	switch mechanism {
	case "PLAIN":
		return &plainExchange{accounts: c.Accounts}
	case "LOGIN":
		return &loginExchange{accounts: c.Accounts}
	case "DIGEST-MD5":
		return newDigest(c.Accounts, c.Hostname)
	case "CRAM-MD5":
		return newCRAM(c.Accounts, c.Hostname)
	case "NTLM":
		return newNTLM(c.Accounts, c.Hostname)
	case "XOAUTH2":
		return newXOAuth2(c.Accounts)
	case "OAUTHBEARER":
		return newOAuthBearer(c.Accounts)
	case "EXTERNAL":
		return &externalExchange{accounts: c.Accounts, certificate: s.certificate}
	case "ANONYMOUS":
		return &anonymousExchange{}
	}
	if x := newSCRAM(mechanism, c.Accounts); x != nil {
		x.bindings = s.bindings
		x.binds = slices.ContainsFunc(s.mechanisms(), isPlus)
		return x
	}
	return nil
}

// mechanisms are those that AUTH offers in the state of the session.
func (s *session) mechanisms() []string {
	return slices.DeleteFunc(slices.Clone(s.srv.config.Mechanisms), func(m string) bool { return !s.possible(m) })
}

// possible says whether there is anything to authenticate with.
func (s *session) possible(mechanism string) bool {
	switch strings.ToUpper(mechanism) {
	case "EXTERNAL":
		return s.certificate != nil
	case "ANONYMOUS":
		return true
	}
	return len(s.srv.config.Accounts) > 0 && (len(s.bindings) > 0 || !isPlus(mechanism))
}

func isPlus(mechanism string) bool {
	return strings.HasSuffix(strings.ToUpper(mechanism), plusSuffix)
}

func mayLogIn(accounts map[string]string, user, password string) bool {
	want, ok := accounts[user]
	return ok && want == password
}

// mayActAs allows the authorization identities that are accounts.
func mayActAs(accounts map[string]string, identity string) bool {
	_, ok := accounts[identity]
	return ok || identity == ""
}

// findAccount returns the account of that name or else, in the order of the
// alphabet, the first one that is the same by a looser rule.
func findAccount(accounts map[string]string, name string, same func(account string) bool) (account string, ok bool) {
	if _, ok := accounts[name]; ok {
		return name, true
	}
	for _, account := range slices.Sorted(maps.Keys(accounts)) {
		if same(account) {
			return account, true
		}
	}
	return "", false
}
