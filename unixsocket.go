package submission

import (
	"errors"
	"path/filepath"
	"strings"

	"github.com/fe022423/submission/internal/address"
)

// unixPrefix begins an address that names a Unix socket.
const unixPrefix = "unix:"

// unixHost is the host of a server at a Unix socket: it is on this machine.
const unixHost = "localhost"

// errUnixPath does not repeat the path: what looks like a URL may hold credentials.
var errUnixPath = errors.New(`not "unix:" and an absolute path, such as unix:/run/dovecot/lmtp; it is not repeated here`)

// unixPath returns the path in an address that names a Unix socket, "" for any other
// address.
func unixPath(addr string) (string, error) {
	path, ok := strings.CutPrefix(addr, unixPrefix)
	switch {
	case !ok:
		return "", nil
	case !filepath.IsAbs(path) || strings.HasPrefix(path, "//") || address.CheckText(path) != nil:
		return "", &OptionError{"addr", errUnixPath}
	}
	return path, nil
}

// useSocket makes the configuration one for the server at a Unix socket.
func (c *config) useSocket(path string) error {
	switch {
	case c.LocalAddr != "":
		return &OptionError{"LocalAddr", errors.New("a Unix socket has no IP address to connect from")}
	case throughProxy(c.Dialer):
		return &OptionError{"Dialer", errors.New("a proxy does not reach a Unix socket")}
	}
	c.socket, c.port = path, 0
	if c.TLS == TLSAuto {
		c.TLS = TLSNone // nobody can listen
	}
	return nil
}

// network is what a Dialer is asked for.
func (c *config) network() string {
	if c.socket != "" {
		return "unix"
	}
	return "tcp"
}
