package smtptest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestPipeSegments(t *testing.T) {
	a, b := newPipe(pipeLimit)
	for _, s := range []string{"one", "two", "", "three"} {
		if n, err := a.Write([]byte(s)); n != len(s) || err != nil {
			t.Fatal(n, err)
		}
	}
	buf := make([]byte, 100)
	if n, err := b.Read(nil); n != 0 || err != nil {
		t.Errorf("empty Read: %d, %v", n, err)
	}
	for _, want := range []string{"one", "two", "three"} {
		if n, err := b.Read(buf); string(buf[:n]) != want || err != nil {
			t.Errorf("Read gives %q, %v, want %q", buf[:n], err, want)
		}
	}
	_, _ = a.Write([]byte("four"))
	for _, want := range []string{"fo", "ur"} {
		if n, err := b.Read(buf[:2]); string(buf[:n]) != want || err != nil {
			t.Errorf("Read gives %q, %v, want %q", buf[:n], err, want)
		}
	}
	if b.LocalAddr().Network() != "pipe" || b.RemoteAddr().String() != "pipe" {
		t.Error("addresses", b.LocalAddr(), b.RemoteAddr())
	}
}

func TestPipeEnds(t *testing.T) {
	buf := make([]byte, 10)
	ends := map[string]struct {
		end           func(c *memConn)
		read, write   error // at the other end
		readL, writeL error // at this one
	}{
		"Close":      {func(c *memConn) { c.Close() }, io.EOF, errnoPipe, net.ErrClosed, net.ErrClosed},
		"reset":      {func(c *memConn) { c.reset() }, errnoReset, errnoPipe, net.ErrClosed, net.ErrClosed},
		"CloseWrite": {func(c *memConn) { _ = c.CloseWrite() }, io.EOF, nil, nil, net.ErrClosed},
	}
	for name, tt := range ends {
		a, b := newPipe(pipeLimit)
		_, _ = a.Write([]byte("last"))
		_, _ = b.Write([]byte("unread"))
		tt.end(a)
		if n, err := b.Read(buf); string(buf[:n]) != "last" || err != nil {
			t.Errorf("%s: Read gives %q, %v", name, buf[:n], err)
		}
		if _, err := b.Read(buf); !errors.Is(err, tt.read) {
			t.Errorf("%s: Read gives %v", name, err)
		}
		if _, err := b.Write(buf); !errors.Is(err, tt.write) {
			t.Errorf("%s: Write gives %v", name, err)
		}
		if _, err := a.Read(buf); !errors.Is(err, tt.readL) {
			t.Errorf("%s: Read gives %v at the closed end", name, err)
		}
		if _, err := a.Write(buf); !errors.Is(err, tt.writeL) {
			t.Errorf("%s: Write gives %v at the closed end", name, err)
		}
	}
}

func TestPipeBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newPipe(10)
		start := time.Now()
		buf := make([]byte, 20)

		_ = b.SetReadDeadline(start.Add(time.Minute))
		if _, err := b.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("Read gives %v after %v", err, time.Since(start))
		}
		var timeout net.Error
		if _, err := b.Read(buf); !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("Read gives %v", err)
		}
		_ = b.SetReadDeadline(time.Time{})

		_ = a.SetWriteDeadline(time.Now().Add(time.Hour))
		if n, err := a.Write(make([]byte, 15)); n != 10 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Write gives %d, %v", n, err)
		}
		// Moving a deadline disarms the old one.
		_ = a.SetDeadline(time.Now().Add(time.Minute))
		_ = a.SetDeadline(time.Now().Add(time.Hour))
		var wg sync.WaitGroup
		for _, c := range []byte("xy") {
			wg.Go(func() {
				if n, err := a.Write(bytes.Repeat([]byte{c}, 15)); n != 15 || err != nil {
					t.Errorf("Write gives %d, %v", n, err)
				}
			})
		}
		time.Sleep(2 * time.Minute)
		got, err := io.ReadAll(io.LimitReader(b, 40))
		if err != nil {
			t.Error(err)
		}
		wg.Wait()
		// Writes of two goroutines do not mingle.
		got = got[10:]
		if !bytes.Equal(got, []byte("xxxxxxxxxxxxxxxyyyyyyyyyyyyyyy")) && !bytes.Equal(got, []byte("yyyyyyyyyyyyyyyxxxxxxxxxxxxxxx")) {
			t.Errorf("got %q", got)
		}

		// Close wakes a reader and, at the other end, a writer.
		wg.Go(func() {
			if _, err := b.Read(buf); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Read gives %v", err)
			}
		})
		wg.Go(func() {
			if n, err := b.Write(make([]byte, 15)); n != 10 || !errors.Is(err, net.ErrClosed) {
				t.Errorf("Write gives %d, %v", n, err)
			}
		})
		synctest.Wait()
		b.Close()
		wg.Wait()
		c, d := newPipe(10)
		wg.Go(func() {
			if n, err := c.Write(make([]byte, 15)); n != 10 || !errors.Is(err, errnoPipe) {
				t.Errorf("Write gives %d, %v", n, err)
			}
		})
		synctest.Wait()
		d.Close()
		wg.Wait()
	})
}
