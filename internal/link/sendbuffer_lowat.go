//go:build linux || darwin

package link

import (
	"net"
	"runtime"
	"syscall"
)

// unsentLimit is how much of a message may wait unsent in the kernel, in octets.
// The time for the final reply begins when the last octet has been handed over:
// with megabytes still to be sent a slow line would be taken for a silent server.
const unsentLimit = 256 << 10

// boundSendBuffer sets TCP_NOTSENT_LOWAT, which bounds what was not sent and
// leaves the window alone. It is an optimisation of time limits: a connection that
// does not know the option does without.
func boundSendBuffer(nc net.Conn) {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return
	}
	rc, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	option := 25 // Linux, netinet/tcp.h
	if runtime.GOOS == "darwin" {
		option = 0x201
	}
	rc.Control(func(fd uintptr) {
		syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, option, unsentLimit)
	})
}
