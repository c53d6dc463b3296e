package smtptest

import (
	"bytes"
	"net"
	"os"
	"sync"
	"time"
)

// stream is one direction of an in-memory connection. It keeps segments apart:
// one read never returns octets of two writes.
type stream struct {
	mu    sync.Mutex
	wake  sync.Cond
	limit int // octets held before the writer blocks; 0 is no limit

	segments []segment
	size     int   // octets in segments
	written  int64 // octets in all
	taken    int64 // how many of them were read
	known    int64 // known of the segment that was read last
	ended    error // the error of a read after the last segment; nil: more may come
	refused  error // the error of a write; nil: the reader is there
	gone     bool  // the reader closed its end
	writing  bool  // a write is running; another one waits for it

	read, write deadline
}

// segment is what one write wrote and no read took yet.
type segment struct {
	octets []byte
	known  int64 // how many octets of the other direction the writer had read
}

func newStream(limit int) *stream {
	s := &stream{limit: limit}
	s.wake.L = &s.mu
	return s
}

// get reads from the first segment.
func (s *stream) get(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.gone:
			return 0, net.ErrClosed
		case s.read.passed:
			return 0, os.ErrDeadlineExceeded
		case len(s.segments) > 0:
			first := &s.segments[0]
			n := copy(p, first.octets)
			s.known = first.known
			if first.octets = first.octets[n:]; len(first.octets) == 0 {
				s.segments = s.segments[1:]
			}
			s.size -= n
			s.taken += int64(n)
			s.wake.Broadcast()
			return n, nil
		case s.ended != nil:
			return 0, s.ended
		case len(p) == 0:
			return 0, nil
		}
		s.wake.Wait()
	}
}

// readWaits says whether a read would have to wait now, and for which deadline.
func (s *stream) readWaits() (bool, time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.read.passed && !s.hasInput(), s.read.at
}

// readable says whether a read would return at once if it had no deadline.
func (s *stream) readable() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hasInput()
}

// hasInput says whether there are octets, an end or an error to read. It needs mu.
func (s *stream) hasInput() bool { return s.gone || len(s.segments) > 0 || s.ended != nil }

// count returns how many octets were written so far, how many of them were read,
// and how many octets of the other direction the writer had read when it wrote what
// was read last.
func (s *stream) count() (written, taken, known int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.written, s.taken, s.known
}

// put writes p, in one segment unless the limit forces more. known is that of the
// segment.
func (s *stream) put(p []byte, known int64) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.writing {
		s.wake.Wait()
	}
	s.writing = true
	defer func() {
		s.writing = false
		s.wake.Broadcast()
	}()
	n := 0
	for {
		switch {
		case s.refused != nil:
			return n, s.refused
		case s.write.passed:
			return n, os.ErrDeadlineExceeded
		case n == len(p):
			return n, nil
		}
		room := len(p) - n
		if s.limit > 0 {
			room = min(room, s.limit-s.size)
		}
		if room == 0 {
			s.wake.Wait()
			continue
		}
		s.segments = append(s.segments, segment{bytes.Clone(p[n : n+room]), known})
		s.size += room
		s.written += int64(room)
		n += room
		s.wake.Broadcast()
		if n == len(p) {
			return n, nil
		}
	}
}

// closeWriter closes the writer's end: after what was written, reads return err, and
// further writes return refused. The first call decides.
func (s *stream) closeWriter(err, refused error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended == nil {
		s.ended = err
	}
	if s.refused == nil {
		s.refused = refused
	}
	s.wake.Broadcast()
}

// closeReader closes the reader's end: what was not read is lost, and writes return
// EPIPE.
func (s *stream) closeReader() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = true
	s.segments, s.size = nil, 0
	if s.refused == nil {
		s.refused = errBrokenPipe()
	}
	s.wake.Broadcast()
}
