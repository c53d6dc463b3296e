package submission

import (
	"fmt"
	"strconv"
)

// maxPriority bounds Envelope.Priority in both directions (RFC 6710, 3).
const maxPriority = 9

// outOfRange says which value of the envelope is beyond which limit.
func outOfRange(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrOutOfRange, fmt.Sprintf(format, args...))
}

// appendDelivery checks what the envelope asks of the delivery, as far as it needs no
// server, and appends the parameters of MAIL that ask for it.
func appendDelivery(b []byte, env *Envelope) ([]byte, error) {
	if n := env.Priority; n < -maxPriority || n > maxPriority {
		return b, outOfRange("Envelope.Priority %d is not from -%d to %[2]d", n, maxPriority)
	} else if n != 0 {
		b = strconv.AppendInt(append(b, " MT-PRIORITY="...), int64(n), 10)
	}
	return b, nil
}
