package proxy

import (
	"net"

	"github.com/fe022423/submission/internal/redact"
)

// Conn is a connection to a server through a proxy.
type Conn struct {
	net.Conn          // what is read and written: the raw connection, or TLS with the proxy
	raw      net.Conn // the connection to the proxy
	server   serverAddr
	secrets  redact.Set
	buffered []byte // octets that came with the proxy's answer and belong to the server
}

// NetConn returns the connection to the proxy, to be closed and looked at.
func (c *Conn) NetConn() net.Conn { return c.raw }

// RemoteAddr returns the address that the proxy was asked for. That of the
// connection to the proxy says nothing about where the server is.
func (c *Conn) RemoteAddr() net.Addr { return c.server }

// Secrets returns the credentials for the proxy, which it knows, and so perhaps
// says, also in the name of the server.
func (c *Conn) Secrets() redact.Set { return c.secrets }

func (c *Conn) Read(p []byte) (int, error) {
	if len(c.buffered) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.buffered)
	c.buffered = c.buffered[n:]
	return n, nil
}

// serverAddr is the address of a server as the proxy knows it.
type serverAddr string

// Network names no network of this machine.
func (serverAddr) Network() string { return "proxy" }

func (a serverAddr) String() string { return string(a) }
