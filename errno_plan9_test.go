package submission_test

import "syscall"

// Plan 9 has texts and not numbers for errors.
const (
	errnoInUse       = syscall.ErrorString("address in use")
	errnoRefused     = syscall.ErrorString("connection refused")
	errnoPipe        = syscall.ErrorString("broken pipe")
	errnoReset       = syscall.ErrorString("connection reset by peer")
	errnoUnreachable = syscall.ErrorString("no route to host")
)
