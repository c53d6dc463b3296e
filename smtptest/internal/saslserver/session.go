package saslserver

import (
	"crypto/x509"
	"maps"
	"slices"
	"strings"
)

// plusSuffix is the end of the name of a mechanism with channel binding (RFC 5802, 4).
const plusSuffix = "-PLUS"

// Session is what the mechanisms know of a server and of one session with it.
type Session struct {
	Accounts    map[string]string // passwords by user name
	Hostname    string            // of the server; also the realm of DIGEST-MD5
	Mechanisms  []string          // what the server may offer; case does not count
	Bindings    map[string][]byte // channel bindings by type; none in clear text
	Certificate *x509.Certificate // the client's, nil for none
}

// New returns an exchange with the mechanism, whose name is in upper case. It
// returns nil for a mechanism that is not known here.
func (s *Session) New(mechanism string) Exchange {
	switch mechanism {
	case "PLAIN":
		return &plain{accounts: s.Accounts}
	case "LOGIN":
		return &login{accounts: s.Accounts}
	case "DIGEST-MD5":
		return newDigest(s.Accounts, s.Hostname)
	case "CRAM-MD5":
		return newCRAM(s.Accounts, s.Hostname)
	case "NTLM":
		return newNTLM(s.Accounts, s.Hostname)
	case "XOAUTH2":
		return newXOAuth2(s.Accounts)
	case "OAUTHBEARER":
		return newOAuthBearer(s.Accounts)
	case "EXTERNAL":
		return &external{accounts: s.Accounts, certificate: s.Certificate}
	case "ANONYMOUS":
		return &anonymous{}
	}
	if x := newSCRAM(mechanism, s.Accounts); x != nil {
		x.bindings = s.Bindings
		x.binds = slices.ContainsFunc(s.Offered(), isPlus)
		return x
	}
	return nil
}

// Offered returns those of Mechanisms that the client can use: the ones that have
// something to authenticate or to bind with. Names that are not known here are
// kept.
func (s *Session) Offered() []string {
	return slices.DeleteFunc(slices.Clone(s.Mechanisms), func(m string) bool { return !s.usable(m) })
}

// usable says whether there is something to authenticate with.
func (s *Session) usable(mechanism string) bool {
	switch strings.ToUpper(mechanism) {
	case "EXTERNAL":
		return s.Certificate != nil
	case "ANONYMOUS":
		return true
	}
	return len(s.Accounts) > 0 && (len(s.Bindings) > 0 || !isPlus(mechanism))
}

func isPlus(mechanism string) bool {
	return strings.HasSuffix(strings.ToUpper(mechanism), plusSuffix)
}

func mayLogIn(accounts map[string]string, user, password string) bool {
	want, ok := accounts[user]
	return ok && want == password
}

// mayActAs accepts an authorization identity that is an account, and none at all.
func mayActAs(accounts map[string]string, identity string) bool {
	_, ok := accounts[identity]
	return ok || identity == ""
}

// findAccount returns the account with that name, or else the first one, in alphabetical
// order, that a less strict rule accepts.
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
