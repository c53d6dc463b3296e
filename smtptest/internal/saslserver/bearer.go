package saslserver

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// bearer is XOAUTH2 or OAUTHBEARER. The client sends one message with a token. If the
// server refuses the token, it sends the reason, and the client sends an answer that
// means nothing. The token of an account is its password.
type bearer struct {
	accounts map[string]string
	parse    func(message string) (user, token string, ok bool)
	reason   string // why the server refuses a token, in JSON
	answer   string // the client's answer to the reason

	name    string
	asked   bool
	refused bool
}

// newXOAuth2 returns XOAUTH2, which Google defined.
func newXOAuth2(accounts map[string]string) *bearer {
	return &bearer{
		accounts: accounts,
		parse:    parseXOAuth2,
		reason:   `{"status":"401","schemes":"Bearer","scope":"mail"}`,
		answer:   "",
	}
}

// newOAuthBearer returns OAUTHBEARER (RFC 7628).
func newOAuthBearer(accounts map[string]string) *bearer {
	return &bearer{
		accounts: accounts,
		parse:    parseOAuthBearer,
		reason:   `{"status":"invalid_token"}`,
		answer:   "\x01",
	}
}

func (x *bearer) User() string { return x.name }

func (x *bearer) Next(response []byte) (challenge []byte, done bool, err error) {
	if x.refused {
		if string(response) != x.answer {
			return nil, false, errResponse
		}
		return nil, false, Refusal("the token is not valid")
	}
	if response == nil && !x.asked {
		x.asked = true
		return nil, false, nil
	}
	user, token, ok := x.parse(string(response))
	if !ok {
		return nil, false, errResponse
	}
	if x.name = user; user == "" {
		x.name = x.owner(token)
	}
	if !mayLogIn(x.accounts, x.name, token) {
		x.refused = true
		return []byte(x.reason), false, nil
	}
	return nil, true, nil
}

// owner returns the first account in alphabetical order that has the token.
func (x *bearer) owner(token string) string {
	for _, account := range slices.Sorted(maps.Keys(x.accounts)) {
		if x.accounts[account] == token {
			return account
		}
	}
	return ""
}

// parseXOAuth2 parses "user=" user ^A "auth=Bearer " token ^A ^A.
func parseXOAuth2(message string) (user, token string, ok bool) {
	parts := strings.Split(message, "\x01")
	if len(parts) != 4 || parts[2] != "" || parts[3] != "" || !utf8.ValidString(message) {
		return "", "", false
	}
	user, hasUser := strings.CutPrefix(parts[0], "user=")
	auth, hasAuth := strings.CutPrefix(parts[1], "auth=")
	token, ok = parseBearer(auth)
	return user, token, ok && hasUser && hasAuth && user != ""
}

// parseOAuthBearer parses the client-resp of RFC 7628, 3.1. It checks only the form of
// host and port, because a test may give its server any name. It refuses the flag "p":
// there is no channel binding.
func parseOAuthBearer(message string) (user, token string, ok bool) {
	header, rest, ok := strings.Cut(message, "\x01")
	if !ok || !utf8.ValidString(header) {
		return "", "", false
	}
	parts := strings.Split(header, ",")
	if len(parts) != 3 || parts[0] != "n" && parts[0] != "y" || parts[2] != "" {
		return "", "", false
	}
	if parts[1] != "" {
		if user, ok = parseAuthzid(parts[1]); !ok {
			return "", "", false
		}
	}
	values, ok := parseKeyValues(rest)
	if !ok {
		return "", "", false
	}
	if host, given := values["host"]; given && host == "" {
		return "", "", false
	}
	if port, given := values["port"]; given && !validPort(port) {
		return "", "", false
	}
	token, ok = parseBearer(values["auth"])
	return user, token, ok
}

// parseAuthzid returns the identity in a gs2-authzid (RFC 5801, 4).
func parseAuthzid(s string) (string, bool) {
	name, ok := strings.CutPrefix(s, "a=")
	if !ok || name == "" || strings.ContainsRune(name, 0) {
		return "", false
	}
	bare := strings.NewReplacer("=2C", "", "=3D", "").Replace(name)
	return strings.NewReplacer("=2C", ",", "=3D", "=").Replace(name), !strings.Contains(bare, "=")
}

// parseKeyValues parses *kvpair kvsep of RFC 7628, 3.1. It refuses a key that comes
// twice.
func parseKeyValues(s string) (map[string]string, bool) {
	values := map[string]string{}
	for s != "\x01" {
		pair, rest, ended := strings.Cut(s, "\x01")
		key, value, ok := strings.Cut(pair, "=")
		if _, twice := values[key]; !ended || !ok || twice || !validKey(key) || !validPairValue(value) {
			return nil, false
		}
		values[key], s = value, rest
	}
	return values, true
}

func validKey(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool { return c|0x20 < 'a' || c|0x20 > 'z' })
}

func validPairValue(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return (c < ' ' || c > '~') && !strings.ContainsRune("\t\r\n", c) })
}

// validPort accepts a port number without leading zeros.
func validPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && strconv.FormatUint(n, 10) == s && n > 0
}

// parseBearer returns the token in the value of an Authorization header (RFC 6750,
// 2.1). It ignores the case of the scheme. It accepts any visible ASCII in a token,
// which is more than the RFC allows.
func parseBearer(auth string) (token string, ok bool) {
	scheme, token, _ := strings.Cut(auth, " ")
	visible := !strings.ContainsFunc(token, func(c rune) bool { return c <= ' ' || c > '~' })
	return token, strings.EqualFold(scheme, "Bearer") && token != "" && visible
}
