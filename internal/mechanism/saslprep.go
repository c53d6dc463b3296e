package mechanism

import (
	"errors"

	"github.com/xdg-go/stringprep"
)

// prepareName applies SASLprep (RFC 4013) to a name as a query string, which
// may hold code points that Unicode 3.2 had not assigned (RFC 5802, 5.1). What
// is not UTF-8 reads as U+FFFD, which is prohibited.
func prepareName(s string) (string, error) {
	query := stringprep.SASLprep
	query.Prohibits = []stringprep.Set{ // all but A.1, the unassigned code points
		stringprep.TableC1_2, stringprep.TableC2_1, stringprep.TableC2_2, stringprep.TableC3, stringprep.TableC4,
		stringprep.TableC5, stringprep.TableC6, stringprep.TableC7, stringprep.TableC8, stringprep.TableC9,
	}
	prepared, err := query.Prepare(s)
	if err != nil {
		return "", errors.New("a name holds what SASLprep prohibits")
	}
	if prepared == "" && s != "" {
		return "", errors.New("nothing is left of a name after SASLprep")
	}
	return prepared, nil
}

// preparePassword applies SASLprep to a password as a stored string. What it
// prohibits (an emoji, or octets that are not UTF-8) goes as it is: a server that
// has such a password cannot have prepared it, either.
func preparePassword(s string) string {
	if prepared, err := stringprep.SASLprep.Prepare(s); err == nil {
		return prepared
	}
	return s
}
