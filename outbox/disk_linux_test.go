package outbox_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/fe022423/submission/outbox"
	"github.com/fe022423/submission/smtptest"
)

// smallDisk is a directory with room for few megabytes.
func smallDisk(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can mount a small disk")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=48m"); errors.Is(err, syscall.EPERM) { // a container; .ci/run says so
		t.Skip("root may not mount here")
	} else if err != nil {
		t.Fatal("mounting a small disk: ", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// fill takes all the room of a disk, and returns how to give it back.
func fill(t *testing.T, disk string) (free func()) {
	t.Helper()
	name := filepath.Join(disk, "filler")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for n := 1 << 20; n > 0; {
		if _, err = f.Write(make([]byte, n)); err != nil {
			n /= 2
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal("the disk is not full: ", err)
	}
	return func() { os.Remove(name) }
}

// A full disk refuses new mail at once, by a clear error, small and large; what was
// acknowledged stays, nothing is sent as long as no mark can be written, and when there is
// room again everything goes on by itself.
func TestFullDisk(t *testing.T) {
	disk := smallDisk(t)
	srv := smtptest.New(t, nil)
	dir := filepath.Join(disk, "queue")
	engine := make(chan error, 100)
	ob := open(t, func(o *outbox.Options) {
		o.Dir = dir
		o.Observe = func(e outbox.Event) {
			if e.Kind == outbox.EventEngine {
				engine <- e.Err
			}
		}
	})
	outbox.Hasten(ob)
	sizes := []int{100, 100 << 10, 300 << 10} // a record's, inline, an object
	put := func(size int) error {
		_, err := ob.Enqueue(deadline(t), envelope(), bytes.NewReader(make([]byte, size)), nil)
		return err
	}
	w := work(t, ob, srv, nil)
	if err := put(100); err != nil {
		t.Fatal(err)
	}
	w.must(outbox.Sent)
	w.stop()
	srv.Reset()
	for _, size := range sizes {
		if err := put(size); err != nil {
			t.Fatal(err)
		}
	}
	free := fill(t, disk)
	for _, size := range sizes {
		err := put(size)
		if !errors.Is(err, outbox.ErrFull) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "left") {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	w = work(t, ob, srv, nil)
	for range sizes { // no mark finds room
		if err := <-engine; !strings.Contains(err.Error(), "left") {
			t.Error(err)
		}
	}
	if n := len(srv.Messages()); n != 0 {
		t.Errorf("%d messages were sent without a mark", n)
	}
	free()
	for range sizes {
		w.must(outbox.Sent)
	}
	for _, size := range sizes {
		if err := put(size); err != nil {
			t.Error(err)
		}
		w.must(outbox.Sent)
	}
	w.stop()
	if n := len(srv.Messages()); n != 2*len(sizes) {
		t.Errorf("%d messages", n)
	}
}

// A directory that was full when its Outbox was closed has all that was acknowledged.
func TestFullDiskAndReopen(t *testing.T) {
	disk := smallDisk(t)
	srv := smtptest.New(t, nil)
	in := func(o *outbox.Options) { o.Dir = filepath.Join(disk, "queue") }
	ob := open(t, in)
	acknowledged := 0
	for { // until it says that it is full
		_, err := ob.Enqueue(deadline(t), envelope(), bytes.NewReader(make([]byte, 300<<10)), nil)
		if errors.Is(err, outbox.ErrFull) {
			break
		}
		if acknowledged++; err != nil || acknowledged > 1000 {
			t.Fatal(acknowledged, err)
		}
	}
	free := fill(t, disk)
	ob.Close()
	if ob, err := outbox.Open(deadline(t), &outbox.Options{Dir: filepath.Join(disk, "queue")}); err == nil {
		ob.Close() // there may be just enough for it
	} else if !strings.Contains(err.Error(), disk) {
		t.Errorf("opened on a full disk: %v", err)
	}
	free()
	ob = open(t, in)
	w := work(t, ob, srv, nil)
	for range acknowledged {
		w.must(outbox.Sent)
	}
	w.stop()
	if s, err := ob.Stats(deadline(t)); err != nil || s.Counts[outbox.Sent] != acknowledged || len(srv.Messages()) != acknowledged {
		t.Errorf("%d acknowledged, %+v, %d messages, %v", acknowledged, s, len(srv.Messages()), err)
	}
	if _, err := ob.Enqueue(deadline(t), envelope(), bytes.NewReader(make([]byte, 300<<10)), nil); err != nil {
		t.Error(err)
	}
}
