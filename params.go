package submission

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fe022423/submission/internal/address"
)

// typedParams are the parameters that fields of Envelope and Recipient set.
var typedParams = []string{
	"SIZE", "BODY", "SMTPUTF8", "RET", "ENVID", "AUTH", "REQUIRETLS", "MT-PRIORITY",
	"HOLDFOR", "HOLDUNTIL", "BY",
	"NOTIFY", "ORCPT", "RRVS",
}

// appendParams checks the grammar of parameters (RFC 5321, 4.1.2) and appends
// them.
func appendParams(b []byte, params []string) ([]byte, error) {
	for _, p := range params {
		key, value, hasValue := strings.Cut(p, "=")
		if !address.IsKeyword(key) {
			return b, fmt.Errorf("parameter %q: bad keyword", p)
		}
		if slices.Contains(typedParams, strings.ToUpper(key)) {
			return b, fmt.Errorf("parameter %q: set the field of Envelope or Recipient instead", p)
		}
		bad := strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '=' })
		if bad || hasValue && value == "" {
			return b, fmt.Errorf("parameter %q: bad value", p)
		}
		b = append(append(b, ' '), p...)
	}
	return b, nil
}

func unsupported(keyword, what string) error {
	return fmt.Errorf("%w: %s needs %s", ErrUnsupported, what, keyword)
}

// offered checks that the extension of each parameter is there: the one with its name.
func offered(ext Extensions, params []string) error {
	for _, param := range params {
		key, _, _ := strings.Cut(strings.ToUpper(param), "=")
		if !ext.Has(key) {
			return unsupported(key, "parameter "+key)
		}
	}
	return nil
}
