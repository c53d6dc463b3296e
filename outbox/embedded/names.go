package embedded

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// names makes the names of the server's files durable. The server syncs what it writes to a
// file before it answers, but not the directory in which it made the file. Most file systems
// keep the name with the file; POSIX does not promise it, and without its name the file, with
// thousands of messages, is gone after a power failure.
type names struct {
	dir string

	mu    sync.Mutex
	begun uint64 // passes
	known map[string]time.Time

	pass  sync.Mutex // held during one
	ended uint64     // how many passes
}

// sync returns when the names of all files that the server made before the call are durable.
// Calls at the same time share their work.
func (n *names) sync() error {
	n.mu.Lock()
	mine := n.begun + 1 // a pass that has begun already may have looked too early
	n.mu.Unlock()
	n.pass.Lock()
	defer n.pass.Unlock()
	if n.ended >= mine {
		return nil
	}
	n.mu.Lock()
	n.begun++
	n.mu.Unlock()
	if n.known == nil {
		if err := n.first(); err != nil {
			return err
		}
	}
	for dir, was := range n.known {
		now, err := syncChanged(dir, was)
		if err != nil {
			return err
		}
		n.known[dir] = now
	}
	n.ended = n.begun
	return nil
}

// first syncs all directories, those above the queue too: they may be new. It finds those in
// which the server makes files when it stores messages. The others have files that it syncs
// itself, or whose loss costs nothing: consumers are only hints.
func (n *names) first() error {
	for dir := filepath.Dir(n.dir); ; dir = filepath.Dir(dir) {
		if err := syncDir(dir); err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	known := map[string]time.Time{}
	err := filepath.WalkDir(n.dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist): // the server removed it meanwhile
			return nil
		case err != nil || !e.IsDir():
			return err
		case e.Name() == batchesDir: // they come and go
			return fs.SkipDir
		case e.Name() == messagesDir:
			known[path] = time.Time{}
			return nil
		}
		if err := syncDir(path); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
	if err == nil {
		n.known = known
	}
	return err
}

// syncStaged makes durable the names of the files in which the server keeps the batches that
// are not committed yet, each in a directory that it makes for it and removes after it.
func (n *names) syncStaged() error {
	if err := n.sync(); err != nil { // it finds the streams, the first time
		return err
	}
	n.pass.Lock()
	defer n.pass.Unlock()
	for dir := range n.known {
		stream := filepath.Dir(dir)
		staged := filepath.Join(stream, batchesDir)
		if _, err := os.Stat(staged); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := syncDir(stream); err != nil {
			return err
		}
		if err := syncTree(staged); err != nil {
			return err
		}
	}
	return nil
}

// syncTree syncs a directory and those below it. What the server removes meanwhile is left out.
func syncTree(root string) error {
	return filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			err = syncDir(path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}

// batchesDir is what the server calls the directory of those, in that of a stream.
const batchesDir = "batches"

// messagesDir is what the server calls the directory of the messages of a stream.
const messagesDir = "msgs"

// A file system stamps changes with a clock that stands still for up to 10 ms, or for up to 2 s
// if it stores whole seconds: another change in that time cannot be seen.
const (
	fineClock   = 20 * time.Millisecond
	coarseClock = 2 * time.Second
)

// syncChanged syncs a directory unless it has not changed since was. It returns when it has
// changed last, or the zero time if that is so new that it may change again unseen.
func syncChanged(dir string, was time.Time) (time.Time, error) {
	asked := time.Now()
	info, err := os.Stat(dir)
	if err != nil {
		return time.Time{}, err
	}
	changed := info.ModTime()
	if !was.IsZero() && changed.Equal(was) {
		return was, nil
	}
	if err := syncDir(dir); err != nil {
		return time.Time{}, err
	}
	tick := fineClock
	if changed.Nanosecond() == 0 {
		tick = coarseClock
	}
	if asked.Sub(changed) < tick {
		return time.Time{}, nil
	}
	return changed, nil
}

// syncDir makes the names in a directory durable, where the file system has a call for that.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}
