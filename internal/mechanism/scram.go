package mechanism

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/emersion/go-sasl"
	"github.com/fe022423/submission/internal/redact"
	"github.com/xdg-go/scram"
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
	hash     scram.HashGeneratorFcn
	username string // username and identity are prepared
	identity string
	password redact.Secret
	binding  Binding       // zero in mechanisms without -PLUS
	couldUse bool          // could bind, but the server seems unable to
	nonce    func() string // nil = the library's own, 192 bits of entropy

	conv *scram.ClientConversation
	sent string // the nonce of the client
	step scramStep
	err  error // why the exchange failed; sticky
}

// NewScramSHA1 returns a client for SCRAM-SHA-1 (RFC 5802). It reads Username,
// Password, Identity, Binding and Offered.
//
// User name, identity and password are prepared with SASLprep. The server may
// ask for 4096 to 1,000,000 iterations. A Binding, and no -PLUS mechanism in
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

func scramHash(name string) scram.HashGeneratorFcn {
	switch strings.TrimSuffix(name, plusSuffix) {
	case ScramSHA512:
		return scram.SHA512
	case ScramSHA256:
		return scram.SHA256
	}
	return scram.SHA1
}

func (s *scramClient) Start() (string, []byte, error) {
	s.step, s.err = scramWantsFirst, nil
	client, err := s.hash.NewClientUnprepped(s.username, s.password.Reveal(), s.identity)
	if err != nil {
		return "", nil, err
	}
	if s.nonce != nil {
		client.WithNonceGenerator(s.nonce)
	}
	switch {
	case s.binding.Type != "":
		s.conv = client.NewConversationWithChannelBinding(
			scram.ChannelBinding{Type: scram.ChannelBindingType(s.binding.Type), Data: s.binding.Data})
	case s.couldUse:
		s.conv = client.NewConversationAdvertisingChannelBinding()
	default:
		s.conv = client.NewConversation()
	}
	first, err := s.conv.Step("")
	if err != nil {
		return "", nil, err
	}
	s.sent = first[strings.LastIndex(first, ",r=")+len(",r="):]
	return s.name, []byte(first), nil
}

func (s *scramClient) Next(challenge []byte) ([]byte, error) {
	if s.err != nil {
		return nil, s.err
	}
	var response string
	switch s.step {
	case scramWantsFirst:
		response, s.err = s.proof(string(challenge))
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

// proof answers the server-first-message. It is checked before the library
// sees it: the derivation of the key costs as much as the server asks for, and
// the library's errors quote the server.
func (s *scramClient) proof(challenge string) (string, error) {
	if err := checkServerFirst(challenge, s.sent); err != nil {
		return "", err
	}
	return s.conv.Step(challenge)
}

func (s *scramClient) verify(challenge string) error {
	if err := checkServerFinal(challenge); err != nil {
		return err
	}
	if _, err := s.conv.Step(challenge); err != nil || !s.conv.Valid() {
		return fmt.Errorf("%w: its signature is wrong", ErrServerProof)
	}
	return nil
}
