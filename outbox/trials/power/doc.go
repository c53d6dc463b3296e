// Package power tries an outbox against failures of the power: on a file system that forgets
// what was not synced. It is for tests only.
//
// Disk keeps two images of a directory tree: what programs see, and what is on the disk. A
// change goes to the first at once, and to the second only by fsync, fdatasync or O_SYNC. Two
// models say what a sync makes durable:
//
//   - Journal is how ext4, XFS and btrfs behave: names are one ordered log. A sync of a file
//     or directory writes its content, and the log up to the last change that it had part
//     in. So the sync of a new file keeps its name too, and the directories above it.
//   - Strict is all that POSIX promises: the sync of a file keeps its bytes and its size, that
//     of a directory keeps the names in it, and each directory is on its own.
//
// After a failure nothing else is there, or, with luck, some of it: any of the writes, each
// perhaps only up to a border of 4 KiB, and some of the names: the oldest ones in Journal, any
// of them in Strict.
package power
