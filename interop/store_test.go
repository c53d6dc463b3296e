//go:build linux

package interop

import (
	"os"
	"path/filepath"
	"strings"
)

// stored is a message in a server's store.
type stored struct {
	to     []string // the recipients; empty where they are in Delivered-To fields
	raw    []byte   // with CRLF
	remove func() error
}

// maildir reads and empties a Maildir: its files hold lines that end in LF.
func maildir(pattern string) ([]stored, error) {
	return storedFiles(pattern, func(raw []byte) []byte {
		return []byte(strings.ReplaceAll(string(raw), "\n", "\r\n"))
	})
}

// spoolFiles reads files that hold a message as it came.
func spoolFiles(pattern string) ([]stored, error) {
	return storedFiles(pattern, func(raw []byte) []byte { return raw })
}

func storedFiles(pattern string, canonical func([]byte) []byte) (all []stored, err error) {
	names, err := filepath.Glob(pattern)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		all = append(all, stored{raw: canonical(raw), remove: func() error { return os.Remove(name) }})
	}
	return all, nil
}
