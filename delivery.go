package submission

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	// maxPriority bounds Envelope.Priority in both directions (RFC 6710, 3).
	maxPriority = 9
	// maxSeconds is what nine digits can say: those of HOLDFOR (RFC 4865, 3) and of BY
	// (RFC 2852, 4).
	maxSeconds = 999999999
	// maxYear is what the four digits of a year can say (RFC 3339, 5.6).
	maxYear = 9999
)

// DeliverBy is how soon a message is to be delivered, and what happens when that is not
// possible (RFC 2852, 4). It does not make the delivery faster. The zero value says
// nothing.
type DeliverBy struct {
	// Within is the time that the delivery may take, counted from when the server gets
	// the envelope, rounded up to whole seconds. It is at most 999999999 seconds in
	// either direction. With Return it is positive, and not less than the minimum if
	// the server names one. Otherwise the send fails with ErrOutOfRange. Without Return
	// it may be negative: the time is over, and the sender is to know. It cannot be 0
	// when Return or Trace is set.
	Within time.Duration
	// Return asks the server to return the message when it is too late. Otherwise the
	// server goes on trying and sends a report of the delay.
	Return bool
	// Trace asks for a report from each relay that passes the message on.
	Trace bool
}

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
	b, err := appendHold(b, env)
	if err != nil {
		return b, err
	}
	return env.DeliverBy.append(b)
}

// appendHold appends HOLDFOR or HOLDUNTIL (RFC 4865, 3).
func appendHold(b []byte, env *Envelope) ([]byte, error) {
	switch d, until := env.HoldFor, env.HoldUntil; {
	case d != 0 && !until.IsZero():
		return b, errors.New("both Envelope.HoldFor and Envelope.HoldUntil are set: set one")
	case d < 0:
		return b, outOfRange("Envelope.HoldFor %v is negative", d)
	case wholeSeconds(d) > maxSeconds:
		return b, outOfRange("Envelope.HoldFor %v is more than %d seconds", d, maxSeconds)
	case d > 0:
		return strconv.AppendInt(append(b, " HOLDFOR="...), wholeSeconds(d), 10), nil
	case !until.IsZero():
		return appendDateTime(append(b, " HOLDUNTIL="...), nextSecond(until), "Envelope.HoldUntil")
	}
	return b, nil
}

// append appends BY (RFC 2852, 4).
func (d DeliverBy) append(b []byte) ([]byte, error) {
	n := wholeSeconds(d.Within)
	switch {
	case d == DeliverBy{}:
		return b, nil
	case d.Return && n <= 0:
		return b, outOfRange("Envelope.DeliverBy.Within %v is not positive, as Return needs it", d.Within)
	case d.Within == 0:
		return b, errors.New("Envelope.DeliverBy.Trace without Envelope.DeliverBy.Within")
	case n > maxSeconds || n < -maxSeconds:
		return b, outOfRange("Envelope.DeliverBy.Within %v is more than %d seconds", d.Within, maxSeconds)
	}
	mode := ";N"
	if d.Return {
		mode = ";R"
	}
	if b = append(strconv.AppendInt(append(b, " BY="...), n, 10), mode...); d.Trace {
		b = append(b, 'T')
	}
	return b, nil
}

// appendValidSince appends RRVS (RFC 7293, 3.1). The part of a second is left out, not
// rounded up: a time later than the one that is known could let a mailbox pass that had
// just changed hands.
func appendValidSince(b []byte, since time.Time) ([]byte, error) {
	if since.IsZero() {
		return b, nil
	}
	return appendDateTime(append(b, " RRVS="...), since.UTC(), "Recipient.ValidSince")
}

// checkDelivery holds what the envelope asks of the delivery against the limits that
// the server names with its extensions. A limit that makes no sense is none.
func checkDelivery(env *Envelope, ext Extensions) error {
	if env.HoldFor != 0 || !env.HoldUntil.IsZero() {
		if err := checkHold(env, ext); err != nil {
			return err
		}
	}
	if env.DeliverBy.Return {
		return env.DeliverBy.checkMinimum(ext)
	}
	return nil
}

// checkMinimum holds the time after which the message is to be returned against the
// argument of DELIVERBY, which is only about that (RFC 2852, 3).
func (d DeliverBy) checkMinimum(ext Extensions) error {
	param, _ := ext.Param(extDeliverBy)
	limits := append(strings.Fields(param), "")
	if n, limit := wholeSeconds(d.Within), parseSeconds(limits[0]); n < limit {
		return outOfRange("Envelope.DeliverBy.Within of %d seconds, the server's minimum is %d (%s)", n, limit, extDeliverBy)
	}
	return nil
}

// checkHold holds HoldFor and HoldUntil against the two arguments of FUTURERELEASE
// (RFC 4865, 3).
func checkHold(env *Envelope, ext Extensions) error {
	param, _ := ext.Param(extFutureRelease)
	limits := append(strings.Fields(param), "", "")
	if env.HoldUntil.IsZero() {
		if n, limit := wholeSeconds(env.HoldFor), parseSeconds(limits[0]); limit > 0 && n > limit {
			return outOfRange("Envelope.HoldFor of %d seconds, the server's limit is %d (%s)", n, limit, extFutureRelease)
		}
		return nil
	}
	var limit time.Time
	err := limit.UnmarshalText([]byte(strings.ToUpper(limits[1])))
	if until := nextSecond(env.HoldUntil); err == nil && until.After(limit) {
		return outOfRange("Envelope.HoldUntil %s, the server's limit is %s (%s)",
			until.Format(time.RFC3339), limit.UTC().Format(time.RFC3339), extFutureRelease)
	}
	return nil
}

// wholeSeconds returns d in seconds, rounded up.
func wholeSeconds(d time.Duration) int64 {
	n := int64(d / time.Second)
	if d%time.Second > 0 {
		n++
	}
	return n
}

// nextSecond returns t in UTC, rounded up to a whole second.
func nextSecond(t time.Time) time.Time {
	if part := t.Nanosecond(); part > 0 {
		t = t.Add(time.Second - time.Duration(part))
	}
	return t.UTC()
}

// appendDateTime appends t, which is in UTC, as date-time of RFC 3339, 5.6.
func appendDateTime(b []byte, t time.Time, field string) ([]byte, error) {
	if t.Year() < 0 || t.Year() > maxYear {
		return b, outOfRange("%s is not in a year from 0 to %d", field, maxYear)
	}
	return t.AppendFormat(b, time.RFC3339), nil
}

// parseSeconds reads a number of seconds of one to nine digits, 0 for anything else.
func parseSeconds(s string) int64 {
	n, err := strconv.ParseUint(s, 10, 64) // which takes no sign
	if err != nil || len(s) > len("999999999") {
		return 0
	}
	return int64(n)
}
