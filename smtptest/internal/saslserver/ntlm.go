package saslserver

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"strings"
	"time"
)

// ntlm is NTLM (MS-NLMP) of a server that belongs to no domain. It accepts only version
// 2 of the response, and has no session security.
type ntlm struct {
	accounts map[string]string
	hostname string
	name     string
	state    ntlmState

	server    [8]byte // the server's challenge
	negotiate []byte  // the first message, which a MIC covers
	challenge []byte  // the second message, which a MIC covers
}

type ntlmState uint8

const (
	ntlmStart ntlmState = iota // the client speaks first, perhaps after an empty challenge
	ntlmNegotiate
	ntlmAuthenticate
)

func newNTLM(accounts map[string]string, hostname string) *ntlm {
	x := &ntlm{accounts: accounts, hostname: hostname}
	_, _ = rand.Read(x.server[:])
	return x
}

func (x *ntlm) User() string { return x.name }

func (x *ntlm) Next(response []byte) (challenge []byte, done bool, err error) {
	switch x.state {
	case ntlmStart:
		if response == nil {
			x.state = ntlmNegotiate
			return nil, false, nil
		}
		fallthrough
	case ntlmNegotiate:
		x.state = ntlmAuthenticate
		flags, ok := parseNegotiate(response)
		if !ok {
			return nil, false, errResponse
		}
		x.negotiate = response
		x.challenge = ntlmChallenge(flags, x.server, x.hostname, time.Now())
		return x.challenge, false, nil
	}
	if err := x.verify(response); err != nil {
		return nil, false, err
	}
	return nil, true, nil
}

// Lengths within an NTLMv2_RESPONSE (MS-NLMP, 2.2.2.8).
const (
	ntProofLength = 16
	// ntTempPairs is where the pairs of target information begin, after the proof.
	ntTempPairs = 28
)

// verify checks an AUTHENTICATE message (MS-NLMP, 3.3.2). It does not check that the
// client repeats the server's target information.
func (x *ntlm) verify(message []byte) error {
	m, ok := parseAuthenticate(message)
	if !ok {
		return errResponse
	}
	if len(m.response) < ntProofLength+ntTempPairs {
		// NTLM version 1 has 24 octets, an anonymous client has none.
		return Refusal("only NTLMv2 is accepted")
	}
	proof, temp := m.response[:ntProofLength], m.response[ntProofLength:]
	flags, ok := parsePairs(temp[ntTempPairs:])
	if !ok || temp[0] != 1 || temp[1] != 1 {
		return errResponse
	}
	account, known := x.account(m.domain, m.user)
	x.name = account
	key := ntowfv2(x.accounts[account], m.user, m.domain)
	if !known || !hmac.Equal(proof, hmacMD5(key, x.server[:], temp)) {
		return ErrCredentials
	}
	if flags&avFlagMIC == 0 {
		return nil
	}
	mic, rest, ok := m.cutMIC()
	if !ok {
		return errResponse
	}
	// Without key exchange the session key is the base key (3.1.5.1.2).
	if !hmac.Equal(mic, hmacMD5(hmacMD5(key, proof), x.negotiate, x.challenge, rest)) {
		return Refusal("the message integrity code is wrong")
	}
	return nil
}

// account finds the account DOMAIN\user, or else the account user, whatever the domain.
// It ignores case.
func (x *ntlm) account(domain, user string) (string, bool) {
	for _, name := range []string{domain + `\` + user, user} {
		same := func(account string) bool { return strings.EqualFold(account, name) }
		if account, ok := findAccount(x.accounts, name, same); ok {
			return account, true
		}
	}
	return user, false
}

// ntowfv2 returns the key of MS-NLMP, 3.3.2.
func ntowfv2(password, user, domain string) []byte {
	return hmacMD5(md4(utf16LE(password)), utf16LE(strings.ToUpper(user)+domain))
}

func hmacMD5(key []byte, data ...[]byte) []byte {
	mac := hmac.New(md5.New, key)
	for _, d := range data {
		mac.Write(d)
	}
	return mac.Sum(nil)
}
