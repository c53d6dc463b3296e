package mechanism

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strings"

	"github.com/emersion/go-sasl"
	"github.com/fe022423/submission/internal/redact"
)

// The names of the SCRAM mechanisms (RFC 5802, RFC 7677, and SHA-512 in their
// manner).
const (
	ScramSHA1       = "SCRAM-SHA-1"
	ScramSHA1Plus   = "SCRAM-SHA-1-PLUS"
	ScramSHA256     = "SCRAM-SHA-256"
	ScramSHA256Plus = "SCRAM-SHA-256-PLUS"
	ScramSHA512     = "SCRAM-SHA-512"
	ScramSHA512Plus = "SCRAM-SHA-512-PLUS"
)

const plusSuffix = "-PLUS"

// scramStep is what the client waits for.
type scramStep uint8

const (
	scramWantsFirst scramStep = iota
	scramWantsFinal
	scramDone
)

type scramClient struct {
	name     string
	hash     func() hash.Hash
	username string // username and identity are prepared
	identity string
	password redact.Secret
	binding  Binding // zero in mechanisms without -PLUS
	couldUse bool    // could bind, but the server seems unable to
	nonce    func() string

	bare      string // the client-first-message without its gs2-header
	sent      string // the nonce of the client
	signature []byte // what proves the server
	step      scramStep
	err       error // why the exchange failed; sticky
}

// NewScramSHA1 returns a client for SCRAM-SHA-1 (RFC 5802). It reads Username,
// Password, Identity, Binding and Offered.
//
// User name, identity and password are prepared with SASLprep. The server may
// ask for 4096 to 200,000 iterations. A Binding, and no -PLUS mechanism in
// Offered, makes the client say so in the exchange, which uncovers somebody in
// the middle who struck the -PLUS mechanisms from the list.
//
// Complete is ErrServerProof until the server's signature was verified.
func NewScramSHA1(c Credentials) (sasl.Client, error) { return newScram(ScramSHA1, c) }

// NewScramSHA1Plus is NewScramSHA1 for SCRAM-SHA-1-PLUS; Binding is required.
func NewScramSHA1Plus(c Credentials) (sasl.Client, error) { return newScram(ScramSHA1Plus, c) }

// NewScramSHA256 is NewScramSHA1 for SCRAM-SHA-256 (RFC 7677).
func NewScramSHA256(c Credentials) (sasl.Client, error) { return newScram(ScramSHA256, c) }

// NewScramSHA256Plus is NewScramSHA1 for SCRAM-SHA-256-PLUS (RFC 7677); Binding
// is required.
func NewScramSHA256Plus(c Credentials) (sasl.Client, error) { return newScram(ScramSHA256Plus, c) }

// NewScramSHA512 is NewScramSHA1 for SCRAM-SHA-512.
func NewScramSHA512(c Credentials) (sasl.Client, error) { return newScram(ScramSHA512, c) }

// NewScramSHA512Plus is NewScramSHA1 for SCRAM-SHA-512-PLUS; Binding is required.
func NewScramSHA512Plus(c Credentials) (sasl.Client, error) { return newScram(ScramSHA512Plus, c) }

func newScram(name string, c Credentials) (sasl.Client, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	username, err := prepareName(c.Username)
	if err != nil {
		return nil, err
	}
	identity, err := prepareName(c.Identity)
	if err != nil {
		return nil, err
	}
	s := &scramClient{
		name:     name,
		hash:     scramHash(name),
		username: username,
		identity: identity,
		password: redact.Hide(preparePassword(c.Password.Reveal())),
		nonce:    newNonce,
	}
	if strings.HasSuffix(name, plusSuffix) {
		if err := c.Binding.check(); err != nil {
			return nil, err
		}
		s.binding = Binding{c.Binding.Type, slices.Clone(c.Binding.Data)}
		return s, nil
	}
	// RFC 5802, 6: to a server that can bind, after all, this would be the
	// sign of an attack, whichever of its -PLUS mechanisms was passed over.
	offersPlus := slices.ContainsFunc(c.Offered, func(m string) bool {
		return strings.HasPrefix(m, "SCRAM-") && strings.HasSuffix(m, plusSuffix)
	})
	s.couldUse = c.Binding.check() == nil && !offersPlus
	return s, nil
}

func scramHash(name string) func() hash.Hash {
	switch strings.TrimSuffix(name, plusSuffix) {
	case ScramSHA512:
		return sha512.New
	case ScramSHA256:
		return sha256.New
	}
	return sha1.New
}

func (s *scramClient) Start() (string, []byte, error) {
	s.step, s.err, s.signature = scramWantsFirst, nil, nil
	s.sent = s.nonce()
	s.bare = "n=" + saslName(s.username) + ",r=" + s.sent
	return s.name, []byte(s.header() + s.bare), nil
}

// header is the gs2-header (RFC 5802, 7).
func (s *scramClient) header() string {
	flag, identity := "n", ""
	if s.binding.Type != "" {
		flag = "p=" + s.binding.Type
	} else if s.couldUse {
		flag = "y"
	}
	if s.identity != "" {
		identity = "a=" + saslName(s.identity)
	}
	return flag + "," + identity + ","
}

// Next is NextContext without a limit.
func (s *scramClient) Next(challenge []byte) ([]byte, error) {
	return s.NextContext(context.Background(), challenge)
}

// NextContext answers a challenge. To derive the key takes its time, which ctx cuts
// short.
func (s *scramClient) NextContext(ctx context.Context, challenge []byte) ([]byte, error) {
	if s.err != nil {
		return nil, s.err
	}
	var response string
	switch s.step {
	case scramWantsFirst:
		response, s.err = s.proof(ctx, string(challenge))
		s.step = scramWantsFinal
	case scramWantsFinal:
		s.err = s.verify(string(challenge))
		s.step = scramDone
	default:
		s.err = fmt.Errorf("the exchange was over: %w", sasl.ErrUnexpectedServerChallenge)
	}
	var refusal *RefusalError
	if s.err != nil && !errors.As(s.err, &refusal) {
		return nil, s.err
	}
	return []byte(response), nil
}

func (s *scramClient) Complete() error {
	if s.err != nil {
		return s.err
	}
	if s.step != scramDone {
		return ErrServerProof
	}
	return nil
}

// proof answers the server-first-message (RFC 5802, 3).
func (s *scramClient) proof(ctx context.Context, challenge string) (string, error) {
	server, err := parseServerFirst(challenge, s.sent)
	if err != nil {
		return "", err
	}
	salted, err := saltedPassword(ctx, s.hash, s.password.Reveal(), server.salt, server.iterations)
	if err != nil {
		return "", err
	}
	final := "c=" + base64.StdEncoding.EncodeToString(append([]byte(s.header()), s.binding.Data...)) + ",r=" + server.nonce
	message := s.bare + "," + challenge + "," + final
	key := s.hmac(salted, "Client Key")
	stored := s.hash()
	stored.Write(key)
	for i, o := range s.hmac(stored.Sum(nil), message) {
		key[i] ^= o
	}
	s.signature = s.hmac(s.hmac(salted, "Server Key"), message)
	return final + ",p=" + base64.StdEncoding.EncodeToString(key), nil
}

func (s *scramClient) hmac(key []byte, text string) []byte {
	m := hmac.New(s.hash, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

// verify checks the server's signature.
func (s *scramClient) verify(challenge string) error {
	signature, err := parseServerFinal(challenge)
	if err != nil {
		return err
	}
	if !hmac.Equal(signature, s.signature) {
		return fmt.Errorf("%w: its signature is wrong", ErrServerProof)
	}
	return nil
}
