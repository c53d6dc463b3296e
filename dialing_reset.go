//go:build !plan9

package submission

import "syscall"

// errReset is what a dial fails with when the server takes the connection and resets it
// at once: a kernel may find that before it says that it is connected.
const errReset = syscall.ECONNRESET
