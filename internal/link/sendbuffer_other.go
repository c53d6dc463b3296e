//go:build !linux && !darwin

package link

import "net"

// unsentLimit is how much of a message may wait unsent in the kernel, in octets.
// The time for the final reply begins when the last octet has been handed over:
// with megabytes still to be sent a slow line would be taken for a silent server.
const unsentLimit = 256 << 10

// boundSendBuffer bounds the kernel's buffer. A connection that does not know
// the option does without.
func boundSendBuffer(nc net.Conn) {
	if tcp, ok := nc.(*net.TCPConn); ok {
		tcp.SetWriteBuffer(unsentLimit)
	}
}
