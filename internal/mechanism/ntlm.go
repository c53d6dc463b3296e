package mechanism

import (
	"bytes"
	"encoding/binary"
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

// The parts of a CHALLENGE message (MS-NLMP, 2.2.1.2), in octets from its start.
const (
	ntlmHeader     = "NTLMSSP\x00\x02\x00\x00\x00"
	ntlmNameLength = 12 // of the target's name
	ntlmTargetName = 16 // where the text of the target's name begins
	ntlmFlags      = 20
	ntlmFieldsOf1  = 32 // the fields that version 1 needs end here
	ntlmTargetInfo = 40 // how long the target information is
	ntlmFieldsOf2  = 48 // the fields that version 2 needs end here
)

// ntlmFlagsOfCyrus are the flags of a challenge of Cyrus SASL: text in Unicode,
// NTLM, and a signature.
const ntlmFlagsOfCyrus = 0x00008201

// errNTLM1 says that the server cannot check the response of version 2: it would
// take it for a wrong password.
var errNTLM1 = errors.New("the server knows only NTLM version 1")

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
	if knowsOnlyNTLM1(challenge) {
		return nil, errNTLM1
	}
	response, err := ntlmssp.NewAuthenticateMessage(challenge, n.account, n.password.Reveal(), nil)
	if err != nil {
		// Not wrapped: an EOF in there is one of the message, not of the connection.
		return nil, fmt.Errorf("NTLM challenge: %v", err)
	}
	return response, nil
}

// knowsOnlyNTLM1 reports whether a CHALLENGE message lacks the target information that
// version 2 of the response is made of (MS-NLMP, 3.3.2). Cyrus SASL leaves it empty
// and checks version 2 all the same: it is known by the place it leaves for it, where
// Exim begins its text, and by flags that promise no target.
func knowsOnlyNTLM1(challenge []byte) bool {
	if len(challenge) < ntlmFieldsOf1 || !bytes.HasPrefix(challenge, []byte(ntlmHeader)) {
		return false // nor is it a challenge
	}
	if len(challenge) < ntlmFieldsOf2 {
		return true
	}
	text := binary.LittleEndian.Uint32(challenge[ntlmTargetName:])
	if binary.LittleEndian.Uint16(challenge[ntlmTargetInfo:]) > 0 { // or the name itself stands there
		return text < ntlmFieldsOf2 && binary.LittleEndian.Uint16(challenge[ntlmNameLength:]) > 0
	}
	isCyrus := text == ntlmFieldsOf2 &&
		binary.LittleEndian.Uint32(challenge[ntlmFlags:]) == ntlmFlagsOfCyrus
	return !isCyrus
}
