package submission

import "syscall"

// errReset is what a connection fails with that the server resets.
const errReset = syscall.ErrorString("connection reset by peer")
