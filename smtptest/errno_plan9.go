package smtptest

import "syscall"

// Plan 9 has texts and not numbers for errors, and none of these two.
const (
	errnoReset = syscall.ErrorString("connection reset by peer")
	errnoPipe  = syscall.ErrorString("broken pipe")
)
