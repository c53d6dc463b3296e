package saslserver

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"unicode/utf8"

	"github.com/xdg-go/scram"
)

// scramIterations is the minimum that RFC 5802, 5.1 and RFC 7677, 4 recommend. A test
// does not need more.
const scramIterations = 4096

// scramServer is SCRAM (RFC 5802, RFC 7677), with or without -PLUS.
type scramServer struct {
	accounts map[string]string
	hash     scram.HashGeneratorFcn
	plus     bool              // the mechanism is a -PLUS
	binds    bool              // the server offers a -PLUS on this session
	bindings map[string][]byte // channel bindings by type

	salt  string        // "": derived from the account
	nonce func() string // nil: random

	conv  *scram.ServerConversation
	name  string
	state scramState
}

type scramState uint8

const (
	scramStart scramState = iota // the client speaks first, perhaps after an empty challenge
	scramFirst
	scramFinal
	scramProof // the server's signature was sent; an empty response is the end
)

// The server-error-values (RFC 5802, 7) of the server's own checks. They become the
// text of the 535 reply: RFC 5802, 5.1 allows a server to end the exchange without a
// server-final-message.
const (
	errSCRAMExtension Refusal = "extensions-not-supported"
	errSCRAMCanBind   Refusal = "server-does-support-channel-binding"
	errSCRAMNoBinding Refusal = "channel-binding-not-supported"
	errSCRAMType      Refusal = "unsupported-channel-binding-type"
)

// newSCRAM returns nil if the mechanism is not SCRAM, or has a hash that is not known
// here.
func newSCRAM(mechanism string, accounts map[string]string) *scramServer {
	x := &scramServer{accounts: accounts, plus: isPlus(mechanism)}
	switch strings.TrimSuffix(mechanism, plusSuffix) {
	case "SCRAM-SHA-1":
		x.hash = scram.SHA1
	case "SCRAM-SHA-256":
		x.hash = scram.SHA256
	case "SCRAM-SHA-512":
		x.hash = scram.SHA512
	default:
		return nil
	}
	return x
}

func (x *scramServer) User() string { return x.name }

func (x *scramServer) Next(response []byte) (challenge []byte, done bool, err error) {
	message := string(response)
	switch x.state {
	case scramStart:
		if response == nil {
			x.state = scramFirst
			return nil, false, nil
		}
		fallthrough
	case scramFirst:
		x.state = scramFinal
		challenge, err = x.first(message)
	case scramFinal:
		x.state = scramProof
		challenge, err = x.final(message)
	default:
		if message != "" {
			return nil, false, errResponse
		}
		return nil, true, nil
	}
	return challenge, false, err
}

// first answers the client-first-message.
func (x *scramServer) first(message string) ([]byte, error) {
	if err := checkSCRAMFirst(message); err != nil {
		return nil, err
	}
	flag, _, _ := strings.Cut(message, ",")
	if err := x.judgeFlag(flag); err != nil {
		return nil, err
	}
	server, err := x.hash.NewServer(x.lookUp)
	if err != nil {
		return nil, err
	}
	if x.nonce != nil {
		server.WithNonceGenerator(x.nonce)
	}
	x.conv = server.NewConversation()
	if kind, ok := strings.CutPrefix(flag, "p="); ok {
		x.conv = server.NewConversationWithChannelBindingRequired(scram.ChannelBinding{
			Type: scram.ChannelBindingType(kind),
			Data: x.bindings[kind],
		})
	}
	return x.step(message)
}

// judgeFlag applies the rules of RFC 5802, 6 to the gs2-cbind-flag. It looks at what
// the server supports, not at what the EHLO reply said: if somebody removes -PLUS from
// the reply, the flag "y" shows it.
func (x *scramServer) judgeFlag(flag string) error {
	kind, binding := strings.CutPrefix(flag, "p=")
	switch {
	case flag == "y" && x.binds, x.plus && !binding:
		return errSCRAMCanBind
	case !x.plus && binding:
		return errSCRAMNoBinding
	case binding && len(x.bindings[kind]) == 0:
		return errSCRAMType
	}
	return nil
}

// final answers the client-final-message.
func (x *scramServer) final(message string) ([]byte, error) {
	if err := checkSCRAMFinal(message); err != nil {
		return nil, err
	}
	proof, err := x.step(message)
	if err != nil {
		return nil, err
	}
	identity := x.conv.AuthzID()
	if _, ok := x.account(identity); !ok && identity != "" {
		return nil, ErrCredentials
	}
	return proof, nil
}

// step lets the library answer a message. Its error is what a server-final-message would
// say.
func (x *scramServer) step(message string) ([]byte, error) {
	answer, err := x.conv.Step(message)
	if err == nil {
		return []byte(answer), nil
	}
	switch reason := strings.TrimPrefix(answer, "e="); answer {
	case "":
		return nil, errResponse
	case scram.ErrUnknownUser, scram.ErrInvalidProof:
		return nil, ErrCredentials
	default:
		return nil, Refusal(reason)
	}
}

// lookUp returns what a server stores about the account that the client named.
func (x *scramServer) lookUp(name string) (scram.StoredCredentials, error) {
	account, ok := x.account(name)
	if !ok {
		return scram.StoredCredentials{}, ErrCredentials
	}
	x.name = account
	client, err := x.hash.NewClient("", x.accounts[account], "")
	if err != nil {
		// SASLprep prohibits the password, so the client cannot have prepared it.
		client, err = x.hash.NewClientUnprepped("", x.accounts[account], "")
	}
	if err != nil {
		return scram.StoredCredentials{}, err
	}
	salt := x.salt
	if salt == "" {
		// An account always has the same salt: a client may keep what it derived from
		// the salt (RFC 5802, 5.1).
		sum := sha256.Sum256([]byte(account))
		salt = string(sum[:16])
	}
	return client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: salt, Iters: scramIterations})
}

// account finds the account with that name. The client may have prepared the name with
// SASLprep (RFC 5802, 5.1).
func (x *scramServer) account(name string) (account string, ok bool) {
	prepared := x.prepare(name)
	return findAccount(x.accounts, name, func(account string) bool { return x.prepare(account) == prepared })
}

// prepare returns the name as a client sends it. A name that SASLprep prohibits stays as
// it is.
func (x *scramServer) prepare(name string) string {
	client, err := x.hash.NewClient(name, "", "")
	if err != nil {
		return name
	}
	first, err := client.WithNonceGenerator(func() string { return "" }).NewConversation().Step("")
	if err != nil {
		return name
	}
	return strings.TrimSuffix(strings.TrimPrefix(first, "n,,n="), ",r=")
}

// checkSCRAMFirst checks what the library does not check in a client-first-message: that
// it is text, and has no mandatory extension, and has a nonce.
func checkSCRAMFirst(message string) error {
	fields, err := splitSCRAM(message)
	if err != nil {
		return err
	}
	if len(fields) < 4 {
		return errResponse
	}
	nonce, ok := strings.CutPrefix(fields[3], "r=")
	if !ok || nonce == "" || strings.ContainsFunc(nonce, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return errResponse
	}
	return nil
}

// checkSCRAMFinal does the same for a client-final-message: its binding and proof must be
// strict base64.
func checkSCRAMFinal(message string) error {
	fields, err := splitSCRAM(message)
	if err != nil {
		return err
	}
	binding, hasBinding := strings.CutPrefix(fields[0], "c=")
	proof, hasProof := strings.CutPrefix(fields[len(fields)-1], "p=")
	if !hasBinding || !isBase64(binding) || !hasProof || !isBase64(proof) {
		return errResponse
	}
	return nil
}

func isBase64(s string) bool {
	_, err := base64.StdEncoding.Strict().DecodeString(s)
	return err == nil
}

// splitSCRAM splits a message and refuses mandatory extensions.
func splitSCRAM(message string) ([]string, error) {
	isControl := func(c rune) bool { return c < ' ' || c == 0x7f }
	if !utf8.ValidString(message) || strings.ContainsFunc(message, isControl) {
		return nil, errResponse
	}
	fields := strings.Split(message, ",")
	for _, field := range fields {
		if strings.HasPrefix(field, "m=") {
			return nil, errSCRAMExtension
		}
	}
	return fields, nil
}
