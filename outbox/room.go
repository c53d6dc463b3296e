package outbox

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/nats-io/nats.go"
)

// The disk of an embedded engine must not become full: its files then refuse every write
// until it is started again. So each write asks the file system first.
const (
	// spareForMail is how much room Enqueue leaves on the disk, for the records of what is
	// queued, and for the engine when it rewrites a file of 8 MiB to drop what was deleted.
	spareForMail = 16 << 20
	// spareForRecords is how much room records leave, for what the engine itself writes.
	spareForRecords = 1 << 20
)

// diskRoom is an error that wraps ErrFull if n more bytes would not leave spare bytes free.
func (s *store) diskRoom(n, spare int64) error {
	if s.free == nil {
		return nil
	}
	if free, known := s.free(); known && free < n+spare {
		return fmt.Errorf("%w: the disk of directory %s has %d bytes left, of which %d stay free", ErrFull, s.dir, free, spare)
	}
	return nil
}

// roomHint says what a time-out of an embedded engine may be about.
func (o *Outbox) roomHint(err error) error {
	if err == nil || o.options.Dir == "" || !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, nats.ErrTimeout) {
		return err
	}
	f, wrong := os.CreateTemp(o.options.Dir, "room")
	if wrong == nil {
		_, wrong = f.Write(make([]byte, 64<<10))
		f.Close()
		os.Remove(f.Name())
	}
	if wrong != nil {
		return fmt.Errorf("%w; the directory takes no more: %w", err, wrong)
	}
	return fmt.Errorf("%w; if the disk of %s was full for a while, close the Outbox and open it again", err, o.options.Dir)
}
