package submission

import "strings"

// Hints are read at night: each says what probably is wrong and the one thing to
// try, with the name of the option. A hint must never be wrong. Where the cause is
// not certain it says "perhaps", or there is none. It never advises to give up TLS
// first. The hints of each error type are in a file of their own.

// otherServers are servers that take no mail, by how they begin.
var otherServers = []struct{ begin, what string }{
	{"* OK", "an IMAP server"},
	{"* PREAUTH", "an IMAP server"},
	{"* BYE", "an IMAP server"},
	{"+OK", "a POP3 server"},
	{"-ERR", "a POP3 server"},
	{`"IMPLEMENTATION"`, "a ManageSieve server"},
	{"HTTP/", "an HTTP server"},
	{"<html", "an HTTP server"},
	{"<!doctype", "an HTTP server"},
	{"SSH-", "an SSH server"},
}

// shortestBegin is how much of a beginning has to be there, in octets.
const shortestBegin = 3

// otherServerHint names what speaks like this, "" when it is not known. said may be
// no more than the first octets.
func (c *config) otherServerHint(said string) string {
	for _, s := range otherServers {
		n := min(len(said), len(s.begin))
		if n >= shortestBegin && strings.EqualFold(said[:n], s.begin[:n]) {
			return c.wrongServer(s.what)
		}
	}
	return ""
}

// wrongServer says that a server is not one that takes mail.
func (c *config) wrongServer(what string) string {
	check := "check the host and the port; mail is usually submitted to port 587 or 465"
	switch {
	case c.socket != "":
		check = "check the path of the socket"
	case c.LMTP:
		check = "check the host and the port"
	}
	return "this is " + what + ": " + check
}

// isTLSRecord reports whether text begins like a record of TLS.
func isTLSRecord(text string) bool {
	return text != "" && text[0] >= 20 && text[0] <= 23 && (len(text) == 1 || text[1] == 3)
}

// alternatives joins hints of which each may be the one.
func alternatives(hints ...string) string {
	var given []string
	for _, h := range hints {
		if h != "" {
			given = append(given, h)
		}
	}
	return strings.Join(given, "; or ")
}

// tooManyHint is the advice when a server ends a connection at once.
const tooManyHint = "perhaps too many connections are open: PoolOptions.MaxSessions"
