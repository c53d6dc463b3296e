package mechanism

import (
	"crypto/hmac"
	"crypto/md5"
	"encoding/hex"
	"errors"

	"github.com/emersion/go-sasl"
)

// CramMD5 is the name of the mechanism of RFC 2195.
const CramMD5 = "CRAM-MD5"

type cramMD5 struct {
	single
	cred Credentials
}

// NewCramMD5 returns a client for CRAM-MD5 (RFC 2195). It answers one challenge
// with Username and the HMAC-MD5 of the challenge under Password. An empty
// challenge is an error, because the answer to it would serve for ever, and so
// is an Identity other than Username. The server proves nothing: Complete is
// nil once the challenge was answered.
func NewCramMD5(c Credentials) (sasl.Client, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if err := c.checkOneIdentity(); err != nil {
		return nil, err
	}
	return &cramMD5{cred: c}, nil
}

func (c *cramMD5) Start() (string, []byte, error) {
	c.reset()
	return CramMD5, nil, nil
}

func (c *cramMD5) Next(challenge []byte) ([]byte, error) { return c.answer(challenge, c.digest) }

func (c *cramMD5) digest(challenge []byte) ([]byte, error) {
	if len(challenge) == 0 {
		return nil, errors.New("the challenge is empty")
	}
	mac := hmac.New(md5.New, []byte(c.cred.Password.Reveal()))
	mac.Write(challenge)
	return []byte(c.cred.Username + " " + hex.EncodeToString(mac.Sum(nil))), nil
}
