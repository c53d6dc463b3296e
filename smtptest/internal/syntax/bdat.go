package syntax

import (
	"strconv"
	"strings"
)

// BDAT parses the argument of BDAT, `size [LAST]` (RFC 3030, 2).
func BDAT(arg string) (size int64, last, ok bool) {
	digits, end, more := strings.Cut(arg, " ")
	if more && !strings.EqualFold(end, "LAST") || digits == "" || !validSize(digits) {
		return 0, false, false
	}
	size, err := strconv.ParseInt(digits, 10, 64)
	return size, more, err == nil
}
