package hint

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/fe022423/submission/internal/printable"
	"github.com/fe022423/submission/internal/proxy"
)

// Dial is a dial that failed.
type Dial struct {
	Server
	Err        error
	NoSuchHost bool // a *net.DNSError in Err says that the name does not exist
	Cancelled  bool // by the caller
	Proxied    bool // the dialer goes to a proxy, so that no answer is the proxy's
}

// Hint says what to make of the failure, "" when that is not known.
func (d Dial) Hint() string {
	var (
		refused *proxy.StatusError
		foreign *proxy.ForeignError
		failed  *proxy.Error
		dns     *net.DNSError
	)
	switch {
	case errors.As(d.Err, &refused):
		return d.refusedConnectHint(refused)
	case errors.As(d.Err, &foreign):
		return foreignProxyHint(foreign)
	case errors.As(d.Err, &failed):
		return ""
	case errors.As(d.Err, &dns):
		if d.NoSuchHost {
			return "the host " + printable.Text(dns.Name) + " does not exist: check how it is written"
		}
		return ""
	case d.noAnswer() && slices.Contains(mailPorts, d.Port) && !d.Proxied:
		return d.blockedHint()
	}
	return ""
}

var mailPorts = []int{portSMTP, portSubmissions, portSubmission}

// blockedHint is the advice when nothing answers on a port of mail.
func (d Dial) blockedHint() string {
	hint := "perhaps port " + strconv.Itoa(d.Port) + " is blocked on the way: many hosters block this port"
	if d.Port == portSMTP {
		hint += ", and leave 587 open"
	}
	return hint
}

// noAnswer reports whether the dial failed because nothing came back in time.
func (d Dial) noAnswer() bool {
	var timeout net.Error
	return !d.Cancelled &&
		(errors.Is(d.Err, context.DeadlineExceeded) || errors.As(d.Err, &timeout) && timeout.Timeout())
}

// refusedConnectHint says what to make of the status of an HTTP proxy.
func (d Dial) refusedConnectHint(e *proxy.StatusError) string {
	switch {
	case e.Code == http.StatusForbidden && d.Port != 443:
		return "many proxies let CONNECT go to port 443 alone: this one has to allow port " + strconv.Itoa(d.Port)
	case e.Code == http.StatusMethodNotAllowed || e.Code == http.StatusNotImplemented:
		return "perhaps it is a web server and not a proxy"
	case e.Code != http.StatusProxyAuthRequired:
		return ""
	case len(e.Schemes) > 0 && !slices.Contains(e.Schemes, "Basic"):
		return "it asks for " + strings.Join(e.Schemes, " ") + ", and HTTPConnect has only Basic"
	}
	hint := "it wants credentials: user and password in proxyURL"
	if e.Authorized {
		hint = "it does not accept the user or the password in proxyURL"
	}
	if len(e.Schemes) > 0 {
		hint += "; it asks for " + strings.Join(e.Schemes, " ")
	}
	return hint
}

// foreignProxyHint says what answers in place of a proxy.
func foreignProxyHint(e *proxy.ForeignError) string {
	switch {
	case e.Wanted == proxy.WantedTLS:
		return "perhaps proxyURL should begin with http://"
	case e.Wanted == proxy.WantedHTTP && isTLSRecord(e.Said):
		return "it speaks TLS: perhaps proxyURL should begin with https://"
	case e.Wanted == proxy.WantedHTTP && strings.HasPrefix(e.Said, "\x05"):
		return "perhaps it is a SOCKS5 proxy: SOCKS5"
	case e.Wanted == proxy.WantedSOCKS5 && strings.HasPrefix(e.Said, "HTTP/"):
		return "perhaps it is an HTTP proxy: HTTPConnect"
	}
	return ""
}
