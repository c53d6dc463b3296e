//go:build unix && !aix

package link

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A connection without deadlines is given some: every limit holds on it as on any
// other.
func TestLimitsWithoutDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		nc := noDeadlines{w}
		l := New(nc, Config{Limits: limits})
		if l.Raw() != nc {
			t.Errorf("the raw connection is a %T", l.Raw())
		}
		w.say("250 one\r\n")
		if _, why := l.Hear(Command); why != nil {
			t.Fatal(why)
		}
		time.Sleep(time.Hour) // longer than the deadline that was left
		time.AfterFunc(limits.Command-1, func() { w.say("250 two\r\n") })
		if _, why := l.Hear(Command); why != nil {
			t.Fatal(why)
		}
		begun := time.Now()
		_, why := l.Hear(Final)
		took(t, begun, limits.DataFinal)
		if f := wantFailure(t, l, TimedOut, Final); f != why || f.Limit != limits.DataFinal || !errors.Is(f, os.ErrDeadlineExceeded) {
			t.Errorf("%v", why)
		}
		if !w.isClosed() {
			t.Error("not closed")
		}
	})
}

// A write whose time is up ends, and says that it was the time.
func TestWriteWithoutDeadlines(t *testing.T) {
	for name, cancelled := range map[string]bool{"time-out": false, "cancel": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWire()
				l := New(noDeadlines{w}, Config{Limits: limits})
				if !l.Write([]byte("taken ")) {
					t.Fatal("not written")
				}
				time.Sleep(time.Hour)
				if w.isClosed() {
					t.Fatal("a write that was done closed the connection")
				}
				w.block = true
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				want, kind := limits.DataBlock, TimedOut
				if cancelled {
					want, kind = time.Second, Cancelled
					time.AfterFunc(want, cancel)
				}
				l.Begin(ctx)
				begun := time.Now()
				if l.Write([]byte("not taken")) {
					t.Error("written")
				}
				l.LastWord(Message)
				took(t, begun, want)
				wantFailure(t, l, kind, Message)
				l.End()
			})
		})
	}
}

// The error of a write that failed within its time is that of the connection.
func TestWriteFailsWithoutDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		w.refuse = errBroken
		l := New(noDeadlines{w}, Config{Limits: limits})
		if l.Write([]byte("x")) {
			t.Error("written")
		}
		if why := l.Settled(Message); why == nil || why.Err != errBroken || why.Kind != Failed {
			t.Errorf("%v", why)
		}
	})
}

// What is read ahead is given out whole and in order, and no more is read ahead than
// a buffer.
func TestReadAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		nc := newTimed(noDeadlines{w})
		text := strings.Repeat("0123456789", 2000)
		w.say(text, text)
		synctest.Wait()
		w.mu.Lock()
		left := len(strings.Join(w.in, ""))
		w.mu.Unlock()
		if left != 2*len(text)-timedBuffer {
			t.Errorf("%d octets are read ahead, want %d", 2*len(text)-left, timedBuffer)
		}
		w.hangUp(errBroken)
		var got []byte
		for p := make([]byte, 777); ; {
			nc.SetReadDeadline(time.Now().Add(time.Second))
			n, err := nc.Read(p)
			got = append(got, p[:n]...)
			if err != nil {
				if err != errBroken {
					t.Errorf("in the end: %v", err)
				}
				break
			}
		}
		if string(got) != text+text {
			t.Errorf("%d octets were read, want %d, or they differ", len(got), 2*len(text))
		}
		for range 2 {
			if _, err := nc.Read(make([]byte, 1)); err != errBroken {
				t.Errorf("after the end: %v", err)
			}
		}
	})
}

// The deadline of a Read can be set while it waits, in either direction.
func TestReadDeadlineMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nc := newTimed(noDeadlines{newWire()})
		defer nc.Close()
		begun := time.Now()
		time.AfterFunc(time.Second, func() { nc.SetReadDeadline(time.Now().Add(4 * time.Second)) })
		_, err := nc.Read(make([]byte, 1))
		if took(t, begun, 5*time.Second); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%v", err)
		}
		nc.SetReadDeadline(time.Now().Add(time.Minute))
		begun = time.Now()
		time.AfterFunc(time.Second, func() { nc.SetReadDeadline(past) })
		_, err = nc.Read(make([]byte, 1))
		if took(t, begun, time.Second); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%v", err)
		}
		nc.SetReadDeadline(never)
		begun = time.Now()
		time.AfterFunc(time.Hour, func() { nc.Close() })
		_, err = nc.Read(make([]byte, 1))
		if took(t, begun, time.Hour); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%v", err)
		}
	})
}

// SetDeadline is for reads and writes.
func TestSetDeadlineOfTimed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		w.block = true
		nc := newTimed(noDeadlines{w})
		nc.SetDeadline(time.Now().Add(time.Second))
		begun := time.Now()
		if _, err := nc.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read: %v", err)
		}
		took(t, begun, time.Second)
		nc.SetDeadline(time.Now().Add(time.Second))
		if _, err := nc.Write(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Write: %v", err)
		}
		took(t, begun, 2*time.Second)
	})
}

// No goroutine is left behind, however the link ends: the bubble would say so.
func TestTimedEnds(t *testing.T) {
	for name, end := range map[string]func(l *Link, w *wire){
		"break":                    func(l *Link, w *wire) { l.Break(&Failure{Kind: GivenUp}) },
		"break, with input unread": func(l *Link, w *wire) { w.say("250 x\r\n"); synctest.Wait(); l.Break(&Failure{Kind: GivenUp}) },
		"quit":                     func(l *Link, w *wire) { w.say("221 bye\r\n"); l.Hear(Quit); l.Quit() },
		"the server ends":          func(l *Link, w *wire) { w.hangUp(io.EOF); l.Hear(Command) },
		"cancel, with input unread": func(l *Link, w *wire) {
			w.say("250 x\r\n")
			synctest.Wait()
			ctx, cancel := context.WithCancel(context.Background())
			l.Begin(ctx)
			cancel()
			l.End()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWire()
				l := New(noDeadlines{w}, Config{Limits: limits})
				end(l, w)
				synctest.Wait()
				if !w.isClosed() || l.Usable() {
					t.Error("not closed")
				}
			})
		})
	}
}

// TLS stands on a connection without deadlines as on any other.
func TestTLSWithoutDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		l := New(noDeadlines{near}, Config{Limits: limits})
		var server *tls.Conn
		err := l.Handshake(time.Second, func() error {
			client, s := tlsOver(t, l.Conn(), far, false)
			server = s
			l.Upgrade(client)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		if l.Waiting() {
			t.Error("the look sees what is not there")
		}
		took(t, begun, time.Millisecond)
		go io.WriteString(server, unasked)
		synctest.Wait()
		mustSee(t, l)
		begun = time.Now()
		l.Hear(Command)
		took(t, begun, limits.Command)
		wantFailure(t, l, TimedOut, Command)
		far.Close()
	})
}

// A layer that stands on a connection without deadlines is what gets them.
func TestLayerWithoutDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, order := (*Link)(nil), []string{}
		w := newWire()
		w.onClose = func(first bool) {
			if first {
				order = append(order, "raw")
			}
		}
		l = New(&layer{Conn: noDeadlines{w}, onClose: func() { order = append(order, "layer") }}, Config{Limits: limits})
		if l.Raw() != (noDeadlines{w}) {
			t.Errorf("the raw connection is a %T", l.Raw())
		}
		l.Break(&Failure{Kind: GivenUp})
		if len(order) != 2 || order[0] != "raw" {
			t.Errorf("closed in the order %q", order)
		}
	})
}
