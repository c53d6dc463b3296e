package syntax

import "bytes"

// LineCheck finds each CR and LF that does not belong to a CRLF, in message octets
// that come in pieces. The zero value is at the start of a message.
type LineCheck struct {
	bare bool // one was found
	cr   bool // the last octet was a CR
}

// Add checks the next octets. It counts, which is many times faster than a loop
// over the octets: a server that discards gigabytes needs that.
func (l *LineCheck) Add(p []byte) {
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

// Bare says whether a CR or LF stood alone. A CR at the end may still be followed by
// its LF, unless these octets are the last of the message.
func (l *LineCheck) Bare(last bool) bool { return l.bare || last && l.cr }
