//go:build !unix || solaris || aix

package embedded

import (
	"errors"
	"os"
)

// lockFile refuses: without a lock that goes with the process, two servers on one directory
// lose mail.
func lockFile(string) (*os.File, error) {
	return nil, errors.New("an embedded queue needs flock, which this system has not: use Options.URL")
}
