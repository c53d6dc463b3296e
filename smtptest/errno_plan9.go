package smtptest

import "syscall"

// Plan 9 has texts and not numbers for errors, and none of these.
const (
	errnoReset   = syscall.ErrorString("connection reset by peer")
	errnoPipe    = syscall.ErrorString("broken pipe")
	errnoRefused = syscall.ErrorString("connection refused")
)
