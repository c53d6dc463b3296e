package mechanism

import (
	"errors"
	"strings"

	"github.com/emersion/go-sasl"
)

type oauthBearer struct{ bearer }

// NewOAuthBearer returns a client for OAUTHBEARER (RFC 7628). It sends Username,
// Host, Port and the OAuth 2.0 access token in Password as the initial response.
// A challenge to it is the server's reason for a refusal, in JSON; it is
// answered with a single ^A, and Complete returns it.
func NewOAuthBearer(c Credentials) (sasl.Client, error) {
	if err := c.checkToken(); err != nil {
		return nil, err
	}
	if strings.ContainsFunc(c.Host, notInHost) || c.Port < 0 || c.Port > 0xffff {
		return nil, errors.New("the host name or the port is malformed")
	}
	return &oauthBearer{bearer{cred: c}}, nil
}

func (o *oauthBearer) Start() (string, []byte, error) {
	o.start()
	return sasl.NewOAuthBearerClient(&sasl.OAuthBearerOptions{
		// The library leaves the quoting of RFC 5801, 4 to its caller.
		Username: strings.NewReplacer("=", "=3D", ",", "=2C").Replace(o.cred.Username),
		Token:    o.cred.Password.Reveal(),
		Host:     o.cred.Host,
		Port:     o.cred.Port,
	}).Start()
}

func (o *oauthBearer) Next(challenge []byte) ([]byte, error) {
	return o.refuse(challenge, []byte{1})
}
