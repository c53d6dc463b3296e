//go:build !plan9

package smtptest

import "syscall"

// What a socket's errors wrap after a RST, and after the other end has closed.
const (
	errnoReset = syscall.ECONNRESET
	errnoPipe  = syscall.EPIPE
)
