//go:build unix && !aix

package link

import (
	"net"
	"syscall"
)

// input is what can be known of a connection's input without reading it: for a
// socket by asking the kernel, else by asking the connection itself.
type input struct {
	asked inputReporter
	rc    syscall.RawConn
	peek  func(fd uintptr)      // made once, so that a look allocates nothing
	read  func(fd uintptr) bool // peek, for a RawConn that only reads
	quiet bool
	octet [1]byte
}

func (in *input) init(nc net.Conn) {
	in.asked, _ = nc.(inputReporter)
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return
	}
	in.rc = rc
	in.peek = func(fd uintptr) {
		_, _, err := syscall.Recvfrom(int(fd), in.octet[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		in.quiet = err == syscall.EAGAIN || err == syscall.EINTR
	}
	in.read = func(fd uintptr) bool {
		in.peek(fd)
		return true
	}
}

// isSocket reports whether the kernel is asked.
func (in *input) isSocket() bool { return in.rc != nil }

// waiting reports whether reading would return at once, with octets or an error.
// known is false when the connection cannot be asked.
func (in *input) waiting() (there, known bool) {
	switch {
	case in.rc != nil:
		in.quiet = false
		// Control does not mind a deadline that has passed, as Read does.
		if in.rc.Control(in.peek) != nil {
			return in.rc.Read(in.read) != nil || !in.quiet, true
		}
		return !in.quiet, true
	case in.asked != nil:
		return in.asked.InputWaiting()
	}
	return false, false
}
