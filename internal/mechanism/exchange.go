package mechanism

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/emersion/go-sasl"
	"github.com/fe022423/submission/internal/redact"
)

const (
	// maxCommand is the longest AUTH command, with its CRLF (RFC 4954, 4). An
	// initial response that does not fit waits for a challenge.
	maxCommand = 512
	// maxChallenge is the longest text of a 334 (RFC 4954, 4). The longest honest
	// challenges are NTLM's and GSSAPI's, of some thousand octets.
	maxChallenge = 12288
	// maxRounds is the most challenges in an exchange. NTLM and GSSAPI need two or
	// three.
	maxRounds = 16
	// maxName is the longest name of a mechanism (RFC 4422, 3.1).
	maxName = 20
)

// The reply codes that an exchange acts on (RFC 4954, 4).
const (
	codeAuthenticated = 235
	codeContinue      = 334
)

// IsName checks the name of a mechanism (RFC 4422, 3.1).
func IsName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return s != "" && len(s) <= maxName
}

// ShowsSecret reports whether the mechanism sends a secret that anyone on the way
// could read and use. The name is in upper case.
func ShowsSecret(name string) bool {
	return slices.Contains([]string{sasl.Plain, sasl.Login, XOAuth2, sasl.OAuthBearer}, name)
}

// Server is the other end of an exchange: it takes one line and gives one reply.
type Server interface {
	// Say sends a line, shown and then secret, and reads the reply to it. Nobody
	// but the server may see secret. text is valid until the next call. After an
	// error the exchange is over.
	Say(shown, secret string) (code int, text []byte, err error)
}

// Exchange is one AUTH command and what follows it (RFC 4954, 4).
type Exchange struct {
	Name    string // of the mechanism, in upper case
	Client  sasl.Client
	Server  Server
	Secrets *redact.Set // gets every response, which the server may repeat
	Public  string      // a response that is not secret: the user name

	rounds    int  // challenges so far
	responses int  // that were not empty
	shown     bool // a response had the secret in it, readable
}

// Ending is how an exchange ended: facts, of which the caller makes a verdict.
// Only a Code of 235 without Err is success.
type Ending struct {
	// Code and Text are the server's last reply; Code is 0 where none came.
	Code int
	Text []byte
	// Cancelled says that the client gave up, for the reason in Err. The reply
	// answers the "*" then; whatever it says, the exchange has failed.
	Cancelled bool
	// Challenged says that the server asked for a response, Shown that it was shown
	// the secret in a form that can be read.
	Challenged, Shown bool
	// Err is the error of the Server; or why the client gave up, or does not
	// believe a 235, which is ErrServerProof; or the reason for its refusal that
	// the server gave within the exchange, which is a *RefusalError.
	Err error
	// Reason is such a reason where Err is the error of the Server, nil for none.
	Reason error
}

// completer is a client that knows whether success may be believed.
type completer interface{ Complete() error }

// Slow is a client whose answer to a challenge takes its time: NextContext is Next
// and gives up when ctx is done.
type Slow interface {
	NextContext(ctx context.Context, challenge []byte) ([]byte, error)
}

// Next is client.Next within ctx.
func Next(ctx context.Context, client sasl.Client, challenge []byte) ([]byte, error) {
	if slow, ok := client.(Slow); ok {
		return slow.NextContext(ctx, challenge)
	}
	return client.Next(challenge)
}

// Complete asks a client whether success may be believed. One that cannot tell is
// believed.
func Complete(client sasl.Client) error {
	if c, ok := client.(completer); ok {
		return c.Complete()
	}
	return nil
}

// Run runs the exchange from the AUTH command to the final reply. initial is what
// the client's Start returned; nil means that it begins with a challenge.
func (x *Exchange) Run(ctx context.Context, initial []byte) Ending {
	e := x.run(ctx, initial)
	e.Challenged, e.Shown = x.rounds > 0, x.shown
	return e
}

func (x *Exchange) run(ctx context.Context, initial []byte) Ending {
	command, secret, held := x.command(initial)
	code, text, err := x.Server.Say(command, secret)
	for err == nil && code == codeContinue {
		if x.rounds++; x.rounds > maxRounds {
			return x.cancel(fmt.Errorf("more than %d challenges", maxRounds))
		}
		response, refused := x.respond(ctx, text, held)
		if refused != nil {
			return x.cancel(refused)
		}
		held = nil
		code, text, err = x.Server.Say("", x.encode(response))
	}
	switch {
	case err != nil:
		return Ending{Err: err, Reason: x.refusalReason()}
	case code == codeAuthenticated:
		err = x.checkSuccess(held != nil)
	case code >= 400:
		err = x.refusalReason()
	}
	return Ending{Code: code, Text: text, Err: err}
}

// command returns the AUTH command and, to follow it, the initial response. One
// that is too long for the command is held back for the first challenge.
func (x *Exchange) command(initial []byte) (command, secret string, held []byte) {
	command = "AUTH " + x.Name
	length := len(command) + len(" ") + base64.StdEncoding.EncodedLen(len(initial)) + len("\r\n")
	switch {
	case initial == nil:
		return command, "", nil
	case len(initial) == 0:
		return command + " ", "=", nil // RFC 4954, 4: an initial response of no octets
	case length > maxCommand:
		return command, "", initial
	}
	return command + " ", x.encode(initial), nil
}

// respond answers a challenge, with what was held back where there is such: the
// challenge asks for no more than that, and nobody needs its text.
func (x *Exchange) respond(ctx context.Context, text, held []byte) ([]byte, error) {
	if held != nil {
		return held, nil
	}
	challenge, err := decodeChallenge(text)
	if err != nil {
		return nil, err
	}
	return Next(ctx, x.Client, challenge)
}

// encode encodes a response. It also sees to it that the server cannot show the
// response by repeating it in any usual form, nor its last field, where
// mechanisms that show the secret have it. The fields of others are no text.
func (x *Exchange) encode(response []byte) string {
	text := string(response)
	if text != "" {
		x.responses++
	}
	if text != "" && !x.isPublic(text) {
		x.shown = x.shown || ShowsSecret(x.Name)
		x.Secrets.Add(text)
		fields := strings.FieldsFunc(text, func(r rune) bool { return r <= 1 })
		if n := len(fields); n > 1 && ShowsSecret(x.Name) {
			x.Secrets.Add(strings.TrimPrefix(fields[n-1], "auth=Bearer "))
		}
	}
	return base64.StdEncoding.EncodeToString(response)
}

// isPublic reports whether a response holds no secret: a name, which a server may
// speak of ever after, or separators alone, with which OAUTHBEARER answers a refusal.
// LOGIN sends the user name first.
func (x *Exchange) isPublic(text string) bool {
	if strings.Trim(text, "\x00\x01") == "" {
		return true
	}
	switch x.Name {
	case sasl.External, sasl.Anonymous:
		return true
	case sasl.Login:
		return x.responses == 1
	}
	return text == x.Public
}

// checkSuccess asks the mechanism whether a 235 may be believed.
func (x *Exchange) checkSuccess(responseHeld bool) error {
	err := error(nil)
	if responseHeld {
		err = errors.New("the server accepted before it had the response")
	} else {
		err = Complete(x.Client)
	}
	if err != nil && !errors.Is(err, ErrServerProof) {
		err = fmt.Errorf("%w: %w", ErrServerProof, err)
	}
	return err
}

// refusalReason returns the reason for a refusal that the server gave within the
// exchange, nil when it gave none.
func (x *Exchange) refusalReason() error {
	var refusal *RefusalError
	if errors.As(Complete(x.Client), &refusal) {
		return refusal
	}
	return nil
}

// cancel ends the exchange with "*" (RFC 4954, 4), to which a 501 is due.
func (x *Exchange) cancel(why error) Ending {
	code, text, err := x.Server.Say("*", "")
	if err != nil {
		code, text = 0, nil
	}
	return Ending{Code: code, Text: text, Cancelled: true, Err: why}
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
