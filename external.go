package submission

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/emersion/go-sasl"
	"github.com/fe022423/submission/internal/address"
)

// External authenticates with what the connection proves already, usually the
// client certificate in Options.TLSConfig (EXTERNAL, RFC 4422, appendix A).
// identity is the user to act as; empty means the user whom the connection proves.
func External(identity string) Auth {
	return fixedAuth{sasl.External, identity, sasl.NewExternalClient(identity)}
}

// Anonymous authenticates as nobody (ANONYMOUS, RFC 4505). trace is for the records
// of the server: an address or a word of at most 255 characters, or empty.
func Anonymous(trace string) Auth {
	return fixedAuth{sasl.Anonymous, trace, sasl.NewAnonymousClient(trace)}
}

// maxTrace is the longest trace, in characters (RFC 4505, 2).
const maxTrace = 255

// fixedAuth is a mechanism that has no secret and keeps no state.
type fixedAuth struct {
	name   string
	text   string
	client sasl.Client
}

func (f fixedAuth) Mechanism(_ context.Context, s ServerInfo) (sasl.Client, error) {
	if !slices.Contains(s.Mechanisms, f.name) {
		return nil, fmt.Errorf("%w: allowed is %s", errNoMechanism, f.name)
	}
	if address.CheckText(f.text) != nil || len([]rune(f.text)) > maxTrace {
		return nil, errors.New("identity or trace holds a control character, or is longer than 255 characters")
	}
	return f.client, nil
}
