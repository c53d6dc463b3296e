package smtptest

import "bytes"

// lineCheck looks for CR and LF that do not stand together, in message octets
// that come in pieces. The zero value is at the start of a message.
type lineCheck struct {
	bare bool // one was seen
	cr   bool // the last octet was a CR
}

// see looks at the next octets. Counting is many times faster than a loop over
// the octets, which matters for a server that discards gigabytes.
func (l *lineCheck) see(p []byte) {
	if len(p) == 0 {
		return
	}
	pairs := bytes.Count(p, []byte("\r\n"))
	lfs := bytes.Count(p, []byte("\n"))
	crs := bytes.Count(p, []byte("\r"))
	if l.cr {
		if p[0] != '\n' {
			l.bare = true
		} else {
			lfs--
		}
	}
	if l.cr = p[len(p)-1] == '\r'; l.cr {
		crs--
	}
	if lfs != pairs || crs != pairs {
		l.bare = true
	}
}
