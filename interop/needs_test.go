//go:build linux

package interop

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// need is a file that must be there, and how it comes onto the machine.
type need struct{ path, from string }

// check names everything that is missing on this machine.
func (p *peer) check() error {
	var errs []error
	for _, n := range p.needs {
		if _, err := os.Stat(n.path); err != nil {
			errs = append(errs, fmt.Errorf("%s needs %s: %s", p.name, n.path, n.from))
		}
	}
	return errors.Join(errs...)
}

// cacheDir is where .ci/install puts what cannot be installed.
func cacheDir() string {
	if dir := os.Getenv("INTEROP_CACHE"); dir != "" {
		return dir
	}
	return "/var/cache/submission-interop"
}

// unpacked is a file of an unpacked package.
func unpacked(of, path string) need {
	return need{filepath.Join(cacheDir(), of, path), "run .ci/install"}
}

// installed is a file of an installed package.
func installed(path, pkg string) need { return need{path, "apt-get install " + pkg} }

// modules is a package of npm that .ci/install has put into the cache.
func modules(path string) need {
	return need{filepath.Join(cacheDir(), "npm/node_modules", path), "run .ci/install"}
}
