package submission

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/emersion/go-sasl"
	"github.com/fe022423/submission/internal/mechanism"
	"github.com/fe022423/submission/internal/smtpwire"
)

// Limits on the exchange. The longest honest challenges are NTLM's and
// GSSAPI's, of some thousand octets in two or three rounds.
const (
	maxChallenge = 12288 // of a 334's text (RFC 4954, 4.1)
	maxRounds    = 16
)

// Codes of RFC 4954 that decide how to go on.
const (
	codeAuthenticated = 235
	codeContinue      = 334
	codeNoMechanism   = 504
	codeWeakMechanism = 534
)

// isMechanism checks a mechanism name (RFC 4422, 3.1).
func isMechanism(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return s != "" && len(s) <= 20
}

// completer is a client that knows whether success may be believed.
type completer interface{ Complete() error }

// saslExchange is one AUTH command and what follows it.
type saslExchange struct {
	c      *conn
	name   string
	client sasl.Client
	public string // a response that is not secret: the user name
}

func (x *saslExchange) run(initial []byte) *AuthError {
	c := x.c
	if err := c.idle(StageAuth); err != nil {
		return x.fail(smtpwire.Reply{}, err)
	}
	shown, secret, withheld := "AUTH "+x.name, "", false
	if initial != nil {
		secret = "=" // RFC 4954, 4: an initial response of no octets
		if len(initial) > 0 {
			secret = x.encode(initial)
		}
		if withheld = len(shown)+1+len(secret)+2 > smtpwire.MaxCommandLine; withheld {
			secret = ""
		} else {
			shown += " "
		}
	}
	r, err := x.say(shown, secret)
	for round := 1; err == nil && r.Code == codeContinue; round++ {
		if round > maxRounds {
			return x.cancel(fmt.Errorf("more than %d challenges", maxRounds))
		}
		challenge, cerr := decodeChallenge(r.Text)
		if cerr != nil {
			return x.cancel(cerr)
		}
		response := initial
		if !withheld {
			if response, cerr = x.client.Next(challenge); cerr != nil {
				return x.cancel(cerr)
			}
		}
		withheld = false
		r, err = x.say("", x.encode(response))
	}
	if err == nil && r.Code == codeAuthenticated {
		if err = x.complete(withheld); err == nil {
			err = c.settled(StageAuth)
		}
		if err == nil {
			return nil
		}
	} else if err == nil && r.Code < 400 {
		err = c.unexpected(StageAuth, r)
	}
	return x.fail(r, err)
}

// encode encodes a response. It also sees to it that the server cannot show the
// response by repeating it in any usual form, nor its last field, where mechanisms
// that show the secret have it. The fields of others are no text.
func (x *saslExchange) encode(response []byte) string {
	if text := string(response); text != x.public {
		x.c.secrets.Add(text)
		fields := strings.FieldsFunc(text, func(r rune) bool { return r <= 1 })
		if n := len(fields); n > 1 && shows(x.name) {
			x.c.secrets.Add(strings.TrimPrefix(fields[n-1], "auth=Bearer "))
		}
	}
	return base64.StdEncoding.EncodeToString(response)
}

// say sends one line of the exchange.
func (x *saslExchange) say(shown, secret string) (smtpwire.Reply, error) {
	if err := x.c.settled(StageAuth); err != nil {
		return smtpwire.Reply{}, err
	}
	if err := x.c.secretLine(shown, secret); err != nil {
		return smtpwire.Reply{}, err
	}
	x.c.flush()
	return x.c.reply(StageAuth, x.c.cfg.Timeouts.Command)
}

// complete asks the mechanism whether success may be believed. A server that
// claims it too early has not earned another octet.
func (x *saslExchange) complete(withheld bool) error {
	err := error(nil)
	if withheld {
		err = errors.New("the server accepted before it had the response")
	} else if m, ok := x.client.(completer); ok {
		err = m.Complete()
	}
	if err != nil {
		if !errors.Is(err, ErrServerProof) {
			err = fmt.Errorf("%w: %w", ErrServerProof, err)
		}
		x.c.breakUp(err)
	}
	return err
}

// cancel ends the exchange with "*" (RFC 4954, 4). The server owes a 501;
// whatever it says, the attempt has failed.
func (x *saslExchange) cancel(why error) *AuthError {
	r, err := x.say("*", "")
	if err == nil && r.Code < 400 {
		x.c.breakUp(why)
	}
	return x.fail(smtpwire.Reply{}, why)
}

// fail makes the AuthError. What a mechanism says of a challenge may repeat the
// secret that the server put there.
func (x *saslExchange) fail(r smtpwire.Reply, err error) *AuthError {
	e := &AuthError{Mechanism: x.name, Err: x.c.secrets.CleanError(err)}
	var link *linkError
	switch {
	case r.Code >= 400:
		reply := x.c.public(r)
		e.Reply = &reply
		var refusal *mechanism.RefusalError
		if m, ok := x.client.(completer); err == nil && ok && errors.As(m.Complete(), &refusal) {
			e.Err = x.c.secrets.CleanError(refusal) // said within the exchange
		}
	case errors.As(err, &link):
		e.Reply = link.reply
	}
	return e
}

// decodeChallenge decodes the text of a 334: one line of base64, strictly.
func decodeChallenge(text []byte) ([]byte, error) {
	if len(text) > maxChallenge {
		return nil, fmt.Errorf("challenge of %d octets, the limit is %d", len(text), maxChallenge)
	}
	if bytes.IndexByte(text, '\n') >= 0 {
		return nil, errors.New("challenge of more than one line")
	}
	challenge, err := base64.StdEncoding.Strict().DecodeString(string(text))
	if err != nil {
		return nil, errors.New("challenge is not base64")
	}
	return challenge, nil
}
