package submission

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

// dialHint says what to make of a dial that failed. ctx is that of the caller.
func (c *config) dialHint(ctx context.Context, err error) string {
	var (
		refused *proxy.StatusError
		foreign *proxy.ForeignError
		failed  *proxy.Error
		dns     *net.DNSError
	)
	switch {
	case errors.As(err, &refused):
		return c.refusedConnectHint(refused)
	case errors.As(err, &foreign):
		return foreignProxyHint(foreign)
	case errors.As(err, &failed):
		return ""
	case errors.As(err, &dns):
		if noSuchHost(dns) {
			return "the host " + printable.Text(dns.Name) + " does not exist: check how it is written"
		}
		return ""
	case noAnswer(ctx, err) && slices.Contains(mailPorts, c.port) && !throughProxy(c.Dialer):
		return c.blockedHint()
	}
	return ""
}

var mailPorts = []int{portSMTP, portSubmissions, portSubmission}

// blockedHint is the advice when nothing answers on a port of mail.
func (c *config) blockedHint() string {
	hint := "perhaps port " + strconv.Itoa(c.port) + " is blocked on the way: many hosters block this port"
	if c.port == portSMTP {
		hint += ", and leave 587 open"
	}
	return hint
}

// noAnswer reports whether a dial failed because nothing came back in time.
func noAnswer(ctx context.Context, err error) bool {
	var timeout net.Error
	return !errors.Is(ctx.Err(), context.Canceled) &&
		(errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout())
}

// throughProxy reports whether a dialer goes to a proxy, so that no answer is the
// proxy's.
func throughProxy(d Dialer) bool {
	switch d := d.(type) {
	case *proxy.SOCKS5, *proxy.Connect:
		return true
	case fallback:
		return slices.ContainsFunc(d, throughProxy)
	}
	return false
}

// refusedConnectHint says what to make of the status of an HTTP proxy.
func (c *config) refusedConnectHint(e *proxy.StatusError) string {
	switch {
	case e.Code == http.StatusForbidden && c.port != 443:
		return "many proxies let CONNECT go to port 443 alone: this one has to allow port " + strconv.Itoa(c.port)
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
