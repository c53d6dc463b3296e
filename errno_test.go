//go:build !plan9

package submission_test

import "syscall"

// What the errors of connections wrap.
const (
	errnoInUse       = syscall.EADDRINUSE
	errnoRefused     = syscall.ECONNREFUSED
	errnoPipe        = syscall.EPIPE
	errnoReset       = syscall.ECONNRESET
	errnoUnreachable = syscall.EHOSTUNREACH
)
