//go:build linux || darwin || freebsd

package embedded

import "syscall"

// Room is how many bytes the directory takes.
func (e *embedded) Room() (n int64, known bool) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(e.dir, &fs); err != nil {
		return 0, false
	}
	return int64(fs.Bavail) * int64(fs.Bsize), true
}
