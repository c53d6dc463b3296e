package mechanism

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/emersion/go-sasl"
	"github.com/fe022423/submission/internal/redact"
)

// DigestMD5 is the name of the mechanism of RFC 2831.
const DigestMD5 = "DIGEST-MD5"

// digestStep is what the client waits for.
type digestStep uint8

const (
	digestWantsChallenge digestStep = iota
	digestWantsProof
	digestDone
)

type digestMD5 struct {
	cred    Credentials
	service string        // serv-type of the digest-uri
	cnonce  func() string // at least 64 bits of entropy a call (RFC 2831, 2.1.2)

	step  digestStep
	proof redact.Secret // the rspauth that the server has to send
	err   error         // why the exchange failed; sticky
}

// NewDigestMD5 returns a client for DIGEST-MD5 (RFC 2831) with qop=auth and the
// digest-uri smtp/Host. It reads Username, Password, Identity, Realm and Host.
// Without Realm it takes the first realm of the server, or Host when the server
// names none. All strings are UTF-8; where the server did not offer that
// charset they have to be within ISO 8859-1.
//
// Complete is ErrServerProof until the server's rspauth was verified.
func NewDigestMD5(c Credentials) (sasl.Client, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	for _, s := range []string{c.Username, c.Password.Reveal(), c.Identity, c.Realm} {
		if !utf8.ValidString(s) {
			return nil, errors.New("DIGEST-MD5 needs credentials in UTF-8")
		}
	}
	for _, s := range []string{c.Username, c.Identity, c.Realm} {
		if strings.ContainsFunc(s, isControl) {
			return nil, errors.New("DIGEST-MD5 cannot carry a control character in a name")
		}
	}
	if c.Host == "" || strings.ContainsFunc(c.Host, notInHost) {
		return nil, errors.New("DIGEST-MD5 needs the host name of the server")
	}
	return &digestMD5{cred: c, service: "smtp", cnonce: rand.Text}, nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// notInHost lets pass more than the grammar of RFC 2831, 2.1.2, which knows
// neither IPv6 literals nor underscores.
func notInHost(r rune) bool { return r <= ' ' || r >= 0x7f || r == '"' || r == '\\' || r == '/' }

func (d *digestMD5) Start() (string, []byte, error) {
	d.step, d.proof, d.err = digestWantsChallenge, redact.Secret{}, nil
	return DigestMD5, nil, nil
}

func (d *digestMD5) Next(challenge []byte) ([]byte, error) {
	if d.err != nil {
		return nil, d.err
	}
	var response []byte
	switch d.step {
	case digestWantsChallenge:
		response, d.err = d.respond(challenge)
		d.step = digestWantsProof
	case digestWantsProof:
		response, d.err = []byte{}, d.verify(challenge)
		d.step = digestDone
	default:
		d.err = fmt.Errorf("the exchange was over: %w", sasl.ErrUnexpectedServerChallenge)
	}
	if d.err != nil {
		return nil, d.err
	}
	return response, nil
}

func (d *digestMD5) Complete() error {
	if d.err != nil {
		return d.err
	}
	if d.step != digestDone {
		return ErrServerProof
	}
	return nil
}

// respond answers the digest-challenge and computes the proof to expect.
func (d *digestMD5) respond(challenge []byte) ([]byte, error) {
	c, err := parseDigestChallenge(challenge)
	if err != nil {
		return nil, err
	}
	realm := d.cred.Host
	if len(c.realms) > 0 {
		realm = c.realms[0]
	}
	if d.cred.Realm != "" {
		realm = d.cred.Realm
	}
	user, okUser := encodeDigest(d.cred.Username, c.utf8)
	collection, okRealm := encodeDigest(realm, c.utf8)
	password, okPassword := encodeDigest(d.cred.Password.Reveal(), c.utf8)
	if !okUser || !okRealm || !okPassword {
		return nil, errors.New("the server takes ISO 8859-1 only, and the credentials are not within it")
	}
	r := digestResponse{
		utf8:     c.utf8,
		user:     user,
		realm:    collection,
		password: password,
		nonce:    c.nonce,
		cnonce:   d.cnonce(),
		uri:      d.service + "/" + d.cred.Host,
		authzid:  d.cred.Identity,
	}
	d.proof = redact.Hide(r.serverProof())
	return r.encode()
}

// verify checks the response-auth of RFC 2831, 2.1.3.
func (d *digestMD5) verify(challenge []byte) error {
	list, err := parseDirectives(challenge)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrServerProof, err)
	}
	var proofs []string
	for _, dir := range list {
		if dir.name == "rspauth" {
			proofs = append(proofs, dir.value)
		}
	}
	if len(proofs) != 1 {
		return fmt.Errorf("%w: it sent %d rspauth directives, not one", ErrServerProof, len(proofs))
	}
	if subtle.ConstantTimeCompare([]byte(proofs[0]), []byte(d.proof.Reveal())) != 1 {
		return fmt.Errorf("%w: its rspauth is wrong", ErrServerProof)
	}
	return nil
}
