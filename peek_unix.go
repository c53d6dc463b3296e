//go:build unix

package submission

import (
	"net"
	"syscall"
)

// peeker asks the kernel whether a socket has input or an end of file waiting,
// without taking it and without waiting. The zero peeker knows nothing.
type peeker struct {
	rc    syscall.RawConn
	look  func(fd uintptr) bool // made once, so that a look allocates nothing
	quiet bool
	octet [1]byte
}

func (p *peeker) init(nc net.Conn) {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return
	}
	p.rc = rc
	p.look = func(fd uintptr) bool {
		_, _, err := syscall.Recvfrom(int(fd), p.octet[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		p.quiet = err == syscall.EAGAIN || err == syscall.EINTR
		return true
	}
}

// waiting reports whether reading would return at once, with octets or an
// error. It is false when nothing waits and when it cannot be known.
func (p *peeker) waiting() bool {
	if p.rc == nil {
		return false
	}
	p.quiet = false
	return p.rc.Read(p.look) != nil || !p.quiet
}
