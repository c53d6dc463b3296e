package mechanism

import "github.com/emersion/go-sasl"

// XOAuth2 is the name of the mechanism that came before OAUTHBEARER.
const XOAuth2 = "XOAUTH2"

type xoauth2 struct{ bearer }

// NewXOAuth2 returns a client for XOAUTH2. It sends Username and the OAuth 2.0
// access token in Password as the initial response. A challenge to it is the
// server's reason for a refusal, in JSON; it is answered with an empty
// response, and Complete returns it.
func NewXOAuth2(c Credentials) (sasl.Client, error) {
	if err := c.checkToken(); err != nil {
		return nil, err
	}
	return &xoauth2{bearer{cred: c}}, nil
}

func (x *xoauth2) Start() (string, []byte, error) {
	x.start()
	return XOAuth2, []byte("user=" + x.cred.Username + "\x01auth=Bearer " + x.cred.Password.Reveal() + "\x01\x01"), nil
}

func (x *xoauth2) Next(challenge []byte) ([]byte, error) { return x.refuse(challenge, []byte{}) }
