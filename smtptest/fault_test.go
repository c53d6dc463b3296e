package smtptest

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

func TestFaultCounts(t *testing.T) {
	a, b := newPipe(pipeLimit)
	c := Fault{}.Wrap(a)
	_, _ = b.Write([]byte("hello"))
	_, _ = c.Write([]byte("abc"))
	buf := make([]byte, 4)
	_, _ = c.Read(buf)
	_, _ = c.Read(buf)
	if r, w := c.Octets(); r != 5 || w != 3 {
		t.Errorf("read %d, written %d", r, w)
	}
	if c.LocalAddr() != a.LocalAddr() || c.RemoteAddr() != a.RemoteAddr() {
		t.Error("addresses")
	}
	if c.Close() != nil {
		t.Error("Close failed")
	}
	if _, err := b.Write(buf); !errors.Is(err, errnoPipe) {
		t.Errorf("Write to the closed connection: %v", err)
	}
}

// TestFaultCut cuts at every octet of a small exchange: 5 are written, 5 read.
func TestFaultCut(t *testing.T) {
	for n := range int64(6) {
		for _, write := range []bool{true, false} {
			a, b := newPipe(pipeLimit)
			_, _ = b.Write([]byte("world"))
			f := Fault{Read: After(n)}
			if write {
				f = Fault{Write: After(n)}
			}
			c := f.Wrap(a)
			wn, werr := c.Write([]byte("hello"))
			got := make([]byte, 5)
			rn, rerr := io.ReadFull(c, got)
			// A limit is reached with its last octet, so nothing follows it.
			wantW, wantR := int64(5), n
			if write {
				wantW, wantR = n, 0
			} else if n == 0 {
				wantW = 0
			}
			if int64(wn) != wantW || (werr != nil) != (wantW < 5) || werr != nil && !errors.Is(werr, errnoPipe) {
				t.Errorf("write %v, after %d: Write gives %d, %v", write, n, wn, werr)
			}
			if int64(rn) != wantR || (rerr != nil) != (wantR < 5) {
				t.Errorf("write %v, after %d: Read gives %d, %v", write, n, rn, rerr)
			}
			if r, w := c.Octets(); r != wantR || w != wantW {
				t.Errorf("write %v, after %d: counts %d, %d", write, n, r, w)
			}
			if sent, err := io.ReadAll(b); err != nil || string(sent) != "hello"[:wantW] {
				// The cut closes the client's end, so the server may have no more than that.
				t.Errorf("write %v, after %d: the server got %q, %v", write, n, sent, err)
			}
			if _, err := c.Read(got); err != io.EOF {
				t.Errorf("Read after the cut: %v", err)
			}
			if err := errors.Join(c.SetDeadline(time.Now()), c.SetReadDeadline(time.Time{}), c.SetWriteDeadline(time.Time{}), c.Close()); err != nil {
				t.Errorf("after the cut: %v", err)
			}
			if _, err := c.Read(got); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Read after Close: %v", err)
			}
		}
	}
}

func TestFaultStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newPipe(pipeLimit)
		c := Fault{Write: After(3), Mode: Stall}.Wrap(a)
		start := time.Now()
		_ = c.SetDeadline(start.Add(time.Minute))
		if n, err := c.Write([]byte("hello")); n != 3 || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("Write gives %d, %v after %v", n, err, time.Since(start))
		}
		_, _ = b.Write([]byte("never read"))
		_ = c.SetReadDeadline(start.Add(time.Hour))
		buf := make([]byte, 9)
		if n, err := c.Read(buf); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Hour {
			t.Errorf("Read gives %d, %v after %v", n, err, time.Since(start))
		}
		if n, _ := b.Read(buf); string(buf[:n]) != "hel" {
			t.Errorf("the server got %q", buf[:n])
		}
		_ = c.SetReadDeadline(time.Time{})
		_ = c.SetWriteDeadline(time.Time{})
		go func() {
			time.Sleep(time.Hour)
			c.Close()
		}()
		if n, err := c.Read(buf); n != 0 || !errors.Is(err, net.ErrClosed) || time.Since(start) != 2*time.Hour {
			t.Errorf("Read gives %d, %v after %v", n, err, time.Since(start))
		}
		if _, err := b.Read(buf); err != io.EOF {
			t.Errorf("the server reads %v", err)
		}
	})
}

// TestFaultStallMeanwhile has a Read running when the other direction stalls.
func TestFaultStallMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newPipe(pipeLimit)
		c := Fault{Write: After(1), Mode: Stall}.Wrap(a)
		start := time.Now()
		_ = c.SetDeadline(start.Add(time.Minute))
		done := make(chan error)
		go func() {
			_, err := c.Read(make([]byte, 9))
			done <- err
		}()
		synctest.Wait()
		if n, err := c.Write([]byte("x")); n != 1 || err != nil {
			t.Errorf("Write gives %d, %v", n, err)
		}
		_, _ = b.Write([]byte("too late"))
		if err := <-done; !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("Read gives %v after %v", err, time.Since(start))
		}
	})
}

func TestFaultFalseError(t *testing.T) {
	for _, n := range []int64{0, 1, 4, 5} {
		a, b := newPipe(pipeLimit)
		c := Fault{Write: After(n), Mode: FalseError}.Wrap(a)
		if n == 5 {
			if _, err := c.Write([]byte("abcd")); err != nil {
				t.Fatal(err)
			}
		}
		if k, err := c.Write([]byte("hello")); k != 0 || !errors.Is(err, errnoPipe) {
			t.Errorf("after %d: Write gives %d, %v", n, k, err)
		}
		got, _ := io.ReadAll(b)
		if want := map[bool]string{false: "hello", true: "abcdhello"}[n == 5]; string(got) != want {
			t.Errorf("after %d: delivered %q", n, got)
		}
		if _, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("after %d: Read gives %v", n, err)
		}
	}
}

// TestFaultSweep cuts a session with a server at every octet: the server
// has the message if the client could deliver all of it, and only then.
func TestFaultSweep(t *testing.T) {
	const said = "EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nhello\r\n.\r\n"
	for n := range int64(len(said) + 1) {
		s := NewServer(lenient(Config{}))
		c := Fault{Write: After(n)}.Wrap(s.Pipe())
		k, _ := io.WriteString(c, said)
		if int64(k) != n {
			t.Fatalf("%d of %d octets written", k, n)
		}
		c.Close()
		s.running.Wait()
		s.Close()
		if want := n == int64(len(said)); (len(s.Messages()) == 1) != want {
			t.Errorf("cut after %d of %d: %d messages", n, len(said), len(s.Messages()))
		}
	}
}
