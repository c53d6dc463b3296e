//go:build !plan9

package submission_test

import "syscall"

// What the errors of connections wrap.
const (
	errnoInUse       = syscall.EADDRINUSE
	errnoRefused     = syscall.ECONNREFUSED
	errnoReset       = syscall.ECONNRESET
	errnoUnreachable = syscall.EHOSTUNREACH
)
