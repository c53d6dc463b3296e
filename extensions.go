package submission

import (
	"slices"
	"strconv"
	"strings"
)

// Keywords of the extensions that this package acts on.
const (
	extPipelining = "PIPELINING" // RFC 2920
	extSize       = "SIZE"       // RFC 1870
	ext8BitMIME   = "8BITMIME"   // RFC 6152
	extBinaryMIME = "BINARYMIME" // RFC 3030
	extChunking   = "CHUNKING"   // RFC 3030
	extSMTPUTF8   = "SMTPUTF8"   // RFC 6531
	extDSN        = "DSN"        // RFC 3461
	extAuth       = "AUTH"       // RFC 4954
	extStartTLS   = "STARTTLS"   // RFC 3207
	extRequireTLS = "REQUIRETLS" // RFC 8689
	extLimits     = "LIMITS"     // RFC 9422

	extMTPriority    = "MT-PRIORITY"   // RFC 6710
	extFutureRelease = "FUTURERELEASE" // RFC 4865
	extDeliverBy     = "DELIVERBY"     // RFC 2852
	extRRVS          = "RRVS"          // RFC 7293

	extEnhancedCodes = "ENHANCEDSTATUSCODES" // RFC 2034
)

// Extensions is what a server offered in its reply to EHLO (RFC 5321, 4.1.1.1),
// except the extensions in Options.Disable. A value never changes; a session gets a
// new one with each EHLO. The zero value offers nothing, like a server that was
// greeted with HELO.
type Extensions struct {
	list []extension
}

type extension struct{ keyword, param string }

// parseExtensions reads the lines of an EHLO reply after the first, which names the
// server. Of a keyword that comes twice the first line counts, but the lines of
// AUTH, and its old form "AUTH=LOGIN", are merged.
func parseExtensions(lines, disable []string) Extensions {
	var e Extensions
	if len(lines) < 2 {
		return e
	}
	for _, line := range lines[1:] {
		keyword, param, _ := strings.Cut(strings.TrimSpace(line), " ")
		keyword = strings.ToUpper(keyword)
		if first, ok := strings.CutPrefix(keyword, "AUTH="); ok {
			keyword, param = extAuth, strings.TrimSpace(first+" "+param)
		}
		if keyword == "" || slices.ContainsFunc(disable, func(d string) bool { return strings.EqualFold(d, keyword) }) {
			continue
		}
		param = strings.TrimSpace(param)
		if i := e.index(keyword); i < 0 {
			e.list = append(e.list, extension{keyword, param})
		} else if keyword == extAuth {
			e.list[i].param = strings.TrimSpace(e.list[i].param + " " + param)
		}
	}
	return e
}

func (e Extensions) index(keyword string) int {
	for i := range e.list {
		if strings.EqualFold(e.list[i].keyword, keyword) {
			return i
		}
	}
	return -1
}

// exceeds reports whether e offers what other does not.
func (e Extensions) exceeds(other Extensions) bool {
	return slices.ContainsFunc(e.list, func(x extension) bool { return !slices.Contains(other.list, x) })
}

// keywords returns the keywords in the order of the reply.
func (e Extensions) keywords() []string {
	var list []string
	for _, x := range e.list {
		list = append(list, x.keyword)
	}
	return list
}

// Has reports whether the server offers the extension. Case does not matter.
func (e Extensions) Has(keyword string) bool { return e.index(keyword) >= 0 }

// Param returns the text after the keyword, "" when there is none. ok is false
// when the server does not offer the extension.
func (e Extensions) Param(keyword string) (param string, ok bool) {
	if i := e.index(keyword); i >= 0 {
		return e.list[i].param, true
	}
	return "", false
}

// maxMechanisms bounds the list of mechanisms. Servers offer up to twenty; thousands
// would cost time and fill an error.
const maxMechanisms = 100

// Mechanisms returns the SASL mechanisms that the server offers for AUTH, in upper
// case and in the server's order, each once: the first 100. The caller may change the
// slice.
func (e Extensions) Mechanisms() []string {
	param, _ := e.Param(extAuth)
	var list []string
	for m := range strings.FieldsSeq(param) {
		if len(list) == maxMechanisms {
			break
		}
		if m = strings.ToUpper(m); !slices.Contains(list, m) {
			list = append(list, m)
		}
	}
	return list
}

// Size returns the size of the largest message that the server accepts, in bytes;
// 0 means that it names no limit (RFC 1870, 4). ok is false when the server does
// not offer SIZE.
func (e Extensions) Size() (limit int64, ok bool) {
	param, ok := e.Param(extSize)
	if param == "" {
		return 0, ok // without the allocation of an error
	}
	if n, err := strconv.ParseInt(param, 10, 64); err == nil && n > 0 {
		limit = n
	}
	return limit, ok
}

// Names of limits (RFC 9422, 4).
const (
	limitMail       = "MAILMAX"
	limitRcpt       = "RCPTMAX"
	limitRcptDomain = "RCPTDOMAINMAX"
)

// maxLimitDigits is how many digits a limit may have.
const maxLimitDigits = 6

// Limit returns a limit that the server names with LIMITS (RFC 9422): MAILMAX is how many
// messages a session may carry, RCPTMAX how many recipients a message may have,
// RCPTDOMAINMAX how many different domains the recipients of a session may have. Case
// does not matter. ok is false when the server does not name it, or its value is not
// a number of one to six digits, of which the first is not 0.
func (e Extensions) Limit(name string) (n int, ok bool) {
	param, _ := e.Param(extLimits)
	for limit := range strings.FieldsSeq(param) {
		key, value, _ := strings.Cut(limit, "=")
		if !strings.EqualFold(key, name) || len(value) > maxLimitDigits || !startsWithDigit(value) {
			continue
		}
		if n, err := strconv.Atoi(value); err == nil {
			return n, true
		}
	}
	return 0, false
}

// startsWithDigit reports whether s starts with a digit other than 0.
func startsWithDigit(s string) bool { return s != "" && s[0] >= '1' && s[0] <= '9' }
