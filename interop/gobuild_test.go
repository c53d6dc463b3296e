//go:build linux

package interop

import (
	"fmt"
	"os/exec"
)

// goBuild builds a program of a module in a directory here, with one of its
// go.mod files. Its dependencies come through Go's module proxy or from its cache.
func goBuild(dir, mod, pkg, to string) error {
	out, err := exec.Command("go", "build", "-C", dir, "-modfile="+mod, "-o", to, pkg).CombinedOutput()
	if err != nil {
		return fmt.Errorf("go build %s: %w: %s", pkg, err, out)
	}
	return nil
}
