//go:build !plan9

package smtptest

import "syscall"

// What a socket's errors wrap after a RST, after the other end has closed, and when nobody
// listens.
const (
	errnoReset   = syscall.ECONNRESET
	errnoPipe    = syscall.EPIPE
	errnoRefused = syscall.ECONNREFUSED
)
