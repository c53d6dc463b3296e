package mechanism

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/Azure/go-ntlmssp"
	"github.com/emersion/go-sasl"
	"github.com/fe022423/submission/internal/redact"
)

// NTLM is the name of the mechanism of MS-NLMP.
const NTLM = "NTLM"

// maxNTLMChallenge bounds a CHALLENGE message: its target information is copied
// into the answer, whose lengths are 16 bits wide.
const maxNTLMChallenge = 8 << 10

type ntlm struct {
	single
	account  string // DOMAIN\user, or user
	password redact.Secret
}

// NewNTLM returns a client for NTLM (MS-NLMP), version 2 of the response only,
// without session security. It reads Username, Password and Domain; Username
// may be DOMAIN\user instead. The server proves nothing: Complete is nil once
// its challenge was answered. An Identity other than Username is refused.
func NewNTLM(c Credentials) (sasl.Client, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if err := c.checkOneIdentity(); err != nil {
		return nil, err
	}
	if !utf8.ValidString(c.Username) || !utf8.ValidString(c.Domain) || !utf8.ValidString(c.Password.Reveal()) {
		return nil, errors.New("NTLM needs credentials in UTF-8")
	}
	if strings.Contains(c.Domain, `\`) {
		return nil, errors.New("the domain holds a backslash")
	}
	account := c.Username
	if domain, _, ok := strings.Cut(account, `\`); ok && c.Domain != "" && !strings.EqualFold(domain, c.Domain) {
		return nil, errors.New("the user name has a domain other than the one given")
	} else if !ok && c.Domain != "" {
		account = c.Domain + `\` + account
	}
	return &ntlm{account: account, password: c.Password}, nil
}

func (n *ntlm) Start() (string, []byte, error) {
	n.reset()
	// Domain and workstation of this message are the client machine's.
	negotiate, err := ntlmssp.NewNegotiateMessage("", "")
	if err != nil {
		return "", nil, err
	}
	return NTLM, negotiate, nil
}

func (n *ntlm) Next(challenge []byte) ([]byte, error) { return n.answer(challenge, n.authenticate) }

func (n *ntlm) authenticate(challenge []byte) ([]byte, error) {
	if len(challenge) > maxNTLMChallenge {
		return nil, fmt.Errorf("an NTLM challenge of %d octets; the limit is %d", len(challenge), maxNTLMChallenge)
	}
	response, err := ntlmssp.NewAuthenticateMessage(challenge, n.account, n.password.Reveal(), nil)
	if err != nil {
		// Not wrapped: an EOF in there is one of the message, not of the connection.
		return nil, fmt.Errorf("NTLM challenge: %v", err)
	}
	return response, nil
}
