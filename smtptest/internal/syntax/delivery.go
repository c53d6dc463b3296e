package syntax

import (
	"strconv"
	"strings"
	"time"
)

// maxSecondsDigits bounds the seconds of HOLDFOR (RFC 4865, 3) and of BY (RFC 2852, 4).
const maxSecondsDigits = 9

// DeliverBy is the value of BY (RFC 2852, 4).
type DeliverBy struct {
	Within        time.Duration
	Return, Trace bool
}

// ParsePriority reads the value of MT-PRIORITY: -9 to 9, without a plus sign and without
// a zero in front (RFC 6710, 3).
func ParsePriority(v string) (n int, ok bool) {
	digit := strings.TrimPrefix(v, "-")
	if len(digit) != 1 || !isDigits(digit) || v == "-0" {
		return 0, false
	}
	n, err := strconv.Atoi(v)
	return n, err == nil
}

// ParseInterval reads the value of HOLDFOR, and the first limit that FUTURERELEASE
// names: seconds, of one to nine digits, the first of them not zero (RFC 4865, 3).
func ParseInterval(v string) (d time.Duration, ok bool) {
	if strings.HasPrefix(v, "0") {
		return 0, false
	}
	return parseSeconds(v)
}

// ParseDateTime reads date-time of RFC 3339, 5.6, in any zone and case, and returns it
// in UTC.
func ParseDateTime(v string) (t time.Time, ok bool) {
	if err := t.UnmarshalText([]byte(strings.ToUpper(v))); err != nil {
		return time.Time{}, false
	}
	return t.UTC(), true
}

// ParseDeliverBy reads the value of BY. What is to be returned cannot be late already
// (RFC 2852, 4).
func ParseDeliverBy(v string) (by DeliverBy, ok bool) {
	seconds, mode, _ := strings.Cut(strings.ToUpper(v), ";")
	mode, by.Trace = strings.CutSuffix(mode, "T")
	by.Return = mode == "R"
	unsigned := strings.TrimPrefix(seconds, "-")
	negative := unsigned != seconds
	if !negative {
		unsigned = strings.TrimPrefix(seconds, "+")
	}
	if by.Within, ok = parseSeconds(unsigned); negative {
		by.Within = -by.Within
	}
	if !ok || !by.Return && mode != "N" || by.Return && by.Within <= 0 {
		return DeliverBy{}, false
	}
	return by, true
}

// ParseMinimum reads the value of DELIVERBY in the reply to EHLO (RFC 2852, 3).
func ParseMinimum(v string) (d time.Duration, ok bool) { return parseSeconds(v) }

// ParseValidSince reads the value of RRVS: a date-time, after which ";C" or ";R" may say
// what a relay does that cannot pass it on (RFC 7293, 3.1).
func ParseValidSince(v string) (t time.Time, ok bool) {
	if since, action, cut := strings.Cut(v, ";"); cut {
		if !oneOf("C", "R")(action) {
			return time.Time{}, false
		}
		v = since
	}
	return ParseDateTime(v)
}

func parseSeconds(v string) (d time.Duration, ok bool) {
	if v == "" || len(v) > maxSecondsDigits || !isDigits(v) {
		return 0, false
	}
	n, err := strconv.Atoi(v)
	return time.Duration(n) * time.Second, err == nil
}

func isDigits(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c < '0' || c > '9' })
}

// valid makes the check of a value from the function that reads it.
func valid[T any](parse func(string) (T, bool)) func(string) bool {
	return func(v string) bool {
		_, ok := parse(v)
		return ok
	}
}
