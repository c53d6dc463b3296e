package hint

import "strings"

// Server is how the server is reached.
type Server struct {
	Port   int  // 0 when it is not known
	Socket bool // over a Unix socket
	LMTP   bool
}

// Reply is what the server said. The zero Reply is none.
type Reply struct {
	Code     int
	Enhanced [3]int // RFC 3463; zero when there is none
}

// permanent reports whether the code is 5yz.
func (r Reply) permanent() bool { return r.Code/100 == 5 }

// The ports of mail.
const (
	portSMTP        = 25
	portSubmissions = 465 // implicit TLS, RFC 8314
	portSubmission  = 587
)

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

// otherServer names what speaks like this, "" when it is not known. said may be
// no more than the first octets.
func (s Server) otherServer(said string) string {
	for _, o := range otherServers {
		n := min(len(said), len(o.begin))
		if n >= shortestBegin && strings.EqualFold(said[:n], o.begin[:n]) {
			return s.wrongServer(o.what)
		}
	}
	return ""
}

// wrongServer says that a server is not one that takes mail.
func (s Server) wrongServer(what string) string {
	check := "check the host and the port; mail is usually submitted to port 587 or 465"
	switch {
	case s.Socket:
		check = "check the path of the socket"
	case s.LMTP:
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

// tooMany is the advice when a server ends a connection at once.
const tooMany = "perhaps too many connections are open: PoolOptions.MaxSessions"
