package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A link that broke stays broken, and the first reason stays.
func TestBrokenIsSticky(t *testing.T) {
	w := newWire()
	var closed []*Failure
	l := New(w, Config{Limits: limits, Hooks: Hooks{Closed: func(f *Failure) { closed = append(closed, f) }}})
	if !l.Usable() || l.Failure() != nil {
		t.Fatal("a new link is broken")
	}
	first, second := &Failure{Kind: OutOfStep, Step: Mail}, &Failure{Kind: Ended, Step: Data}
	if l.Break(first) != first || l.Break(second) != second {
		t.Error("Break does not return what it was given")
	}
	w.say("250 ok\r\n")
	var told log
	l.Line("NOOP")
	l.Flush()
	if l.Write([]byte("octets")) {
		t.Error("Write took octets")
	}
	l.Owes(Owed{&told, Mail, 0, false})
	l.HearAll()
	l.Owes(Owed{&told, Rcpt, 3, false})
	l.HearToTheEnd()
	told.check(t, "6 0: missed", "7 3: missed")
	for _, why := range told.missed {
		if why != first {
			t.Errorf("missed for %v, want the first reason", why)
		}
	}
	if _, why := l.Hear(Command); why != first {
		t.Errorf("Hear: %v", why)
	}
	if _, why := l.Exchange(Noop, "NOOP"); why != first {
		t.Errorf("Exchange: %v", why)
	}
	for name, why := range map[string]*Failure{
		"Look": l.Look(Mail), "Glance": l.Glance(Mail), "LastWord": l.LastWord(Mail), "Settled": l.Settled(Mail), "Failure": l.Failure(),
	} {
		if why != first {
			t.Errorf("%s: %v, want the first reason", name, why)
		}
	}
	if r, noise := l.Surplus(Final); r.Code != 0 || noise {
		t.Errorf("Surplus: %v, noise %v", r, noise)
	}
	l.Quit()
	if l.Usable() || w.written() != "" {
		t.Errorf("usable: %v, %q was written", l.Usable(), w.written())
	}
	if len(closed) != 1 || closed[0] != first {
		t.Errorf("Closed was called with %v, want once with the first reason", closed)
	}
}

// threeLayers is a link over a raw connection, a layer that was handed in, and one
// that came later, as STARTTLS does. log gets the order in which they are closed.
func threeLayers(cfg Config) (l *Link, w *wire, order *[]string) {
	order = new([]string)
	w = newWire()
	w.onClose = func(first bool) {
		if first {
			*order = append(*order, "raw")
		}
	}
	handedIn := &layer{Conn: w, onClose: func() { *order = append(*order, "handed in") }}
	l = New(handedIn, cfg)
	l.Upgrade(&layer{Conn: handedIn, onClose: func() { *order = append(*order, "on top") }})
	return l, w, order
}

// A break closes every layer, the raw connection first: another might wait to say
// goodbye.
func TestBreakClosesAllLayers(t *testing.T) {
	l, w, order := threeLayers(Config{Limits: limits})
	l.Break(&Failure{Kind: GivenUp})
	if !slices.Equal(*order, []string{"raw", "handed in", "on top"}) {
		t.Errorf("closed in the order %q", *order)
	}
	l.Break(&Failure{Kind: GivenUp})
	l.Quit()
	if len(*order) != 3 || !w.isClosed() {
		t.Errorf("closed once more: %q", *order)
	}
}

// QUIT lets each layer say goodbye: the raw connection is closed last.
func TestQuitClosesAllLayers(t *testing.T) {
	var closed []*Failure
	l, w, order := threeLayers(Config{Limits: limits, Hooks: Hooks{Closed: func(f *Failure) { closed = append(closed, f) }}})
	w.say("221 bye\r\n")
	l.Quit()
	if !slices.Equal(*order, []string{"on top", "handed in", "raw"}) {
		t.Errorf("closed in the order %q", *order)
	}
	if w.written() != "QUIT\r\n" {
		t.Errorf("%q was written", w.written())
	}
	if len(closed) != 1 || closed[0] != nil {
		t.Errorf("Closed was called with %v, want once with nil", closed)
	}
	if l.Usable() {
		t.Error("the link counts as usable after QUIT")
	}
	l.Quit()
	if len(*order) != 3 || w.written() != "QUIT\r\n" {
		t.Errorf("the second QUIT closed %q and wrote %q", *order, w.written())
	}
}

// A layer whose Close waits for the peer, as that of TLS does, has what is left of
// Limits.Quit.
func TestQuitIsBounded(t *testing.T) {
	for _, answered := range []time.Duration{0, 5 * time.Second, time.Hour} {
		t.Run(answered.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWire()
				rawClosed := make(chan struct{})
				w.onClose = func(first bool) {
					if first {
						close(rawClosed)
					}
				}
				l := New(&layer{Conn: w, onClose: func() { <-rawClosed }}, Config{Limits: limits})
				reply := time.AfterFunc(answered, func() { w.say("221 bye\r\n") })
				defer reply.Stop()
				start := time.Now()
				l.Quit()
				took(t, start, limits.Quit)
				if l.Usable() || !w.isClosed() {
					t.Error("not closed")
				}
			})
		})
	}
}

// A connection that does not take QUIT is given Limits.Quit, too.
func TestQuitNotTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		w.block = true
		l := New(w, Config{Limits: limits})
		start := time.Now()
		l.Quit()
		took(t, start, limits.Quit)
		if !w.isClosed() {
			t.Error("not closed")
		}
	})
}

// Whatever answers QUIT, the session ends at once and well.
func TestQuitAnswers(t *testing.T) {
	for _, answer := range []string{"S: 221 bye", "S: 250 ok", "S: 500 what", "S: 421 bye", "S: rubbish", "close", "reset"} {
		synctest.Test(t, func(t *testing.T) {
			calls := 0
			l := played(t, "C: QUIT\n"+answer+"\neof", func(c *Config) {
				c.Closed = func(f *Failure) {
					if calls++; f != nil {
						t.Errorf("%s: closed for %v", answer, f)
					}
				}
			})
			start := time.Now()
			l.Quit()
			took(t, start, 0)
			if calls != 1 || l.Usable() {
				t.Errorf("%s: closed %d times, usable %v", answer, calls, l.Usable())
			}
		})
	}
}

// With NoQuitWait nobody waits for the reply.
func TestNoQuitWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := played(t, "C: QUIT\nstall\neof", func(c *Config) { c.NoQuitWait = true })
		start := time.Now()
		l.Quit()
		took(t, start, 0)
	})
}

// No QUIT is said on a session that said something unasked.
func TestNoQuitAfterSurplus(t *testing.T) {
	w := newWire()
	l := New(w, Config{Limits: limits})
	w.say("250 ok\r\n250 one more\r\n")
	l.Line("NOOP")
	l.Flush()
	l.Hear(Noop)
	l.Quit()
	if w.written() != "NOOP\r\n" || !w.isClosed() {
		t.Errorf("%q was written, closed %v", w.written(), w.isClosed())
	}
	wantFailure(t, l, Unasked, Quit)
}

// When the context of a call is done the raw connection closes at once, whatever
// stands on it, and a caller who gives up is not confused with a server that is slow.
func TestCancelClosesRaw(t *testing.T) {
	cause := errors.New("the user pressed a key")
	contexts := map[string]func() (context.Context, func()){
		"cancel":   func() (context.Context, func()) { return context.WithCancel(context.Background()) },
		"deadline": func() (context.Context, func()) { return context.WithTimeout(context.Background(), 3*time.Second) },
		"cause": func() (context.Context, func()) {
			ctx, cancel := context.WithCancelCause(context.Background())
			return ctx, func() { cancel(cause) }
		},
	}
	for name, make := range contexts {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := make()
				defer cancel()
				w := newWire()
				l := New(&layer{Conn: w}, Config{Limits: limits})
				begun := time.Now()
				at := time.Duration(-1)
				w.onClose = func(first bool) {
					w.mu.Lock()
					defer w.mu.Unlock()
					if first {
						at = time.Since(begun)
					}
				}
				l.Begin(ctx)
				if name != "deadline" {
					time.AfterFunc(3*time.Second, cancel)
				}
				var told log
				l.Owes(Owed{&told, Mail, 0, false})
				l.Owes(Owed{&told, Data, 0, false})
				l.HearAll()
				took(t, begun, 3*time.Second)
				f := wantFailure(t, l, Cancelled, Mail)
				if !errors.Is(f.Err, ctx.Err()) || name == "cause" && !errors.Is(f.Err, cause) || f.Limit != 0 {
					t.Errorf("%v, limit %v: want the error of the context", f, f.Limit)
				}
				told.check(t, "6 0: missed", "8 0: missed")
				l.End()
				if l.Failure() != f {
					t.Errorf("End changed the reason to %v", l.Failure())
				}
				// The raw connection is not closed by the goroutine of the call.
				synctest.Wait()
				w.mu.Lock()
				defer w.mu.Unlock()
				if at != 3*time.Second {
					t.Errorf("the raw connection was closed after %v", at)
				}
			})
		})
	}
}

// A context that is done while a write waits ends the write.
func TestCancelEndsWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		w.block = true
		l := New(w, Config{Limits: limits})
		ctx, cancel := context.WithCancel(context.Background())
		l.Begin(ctx)
		time.AfterFunc(time.Second, cancel)
		begun := time.Now()
		if l.Write(make([]byte, 100)) {
			t.Error("the octets were taken")
		}
		took(t, begun, time.Second)
		if why := l.LastWord(Message); why == nil {
			t.Error("no failure")
		}
		wantFailure(t, l, Cancelled, Message)
		took(t, begun, time.Second)
		l.End()
	})
}

// A link that was cancelled while its call was at an end is broken, whatever the
// call had achieved.
func TestCancelledAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		l := New(w, Config{Limits: limits})
		ctx, cancel := context.WithCancel(context.Background())
		l.Begin(ctx)
		if why := l.Cancelled(Mail); why != nil {
			t.Errorf("cancelled: %v", why)
		}
		cancel()
		l.End()
		if f := l.Failure(); f == nil || f.Kind != Cancelled || !w.isClosed() {
			t.Errorf("%v, closed %v", f, w.isClosed())
		}
	})
}

// Cancelled notices a context that is done before the connection shows it.
func TestCancelled(t *testing.T) {
	w := newWire()
	l := New(w, Config{Limits: limits})
	ctx, cancel := context.WithCancel(context.Background())
	l.Begin(ctx)
	cancel()
	if why := l.Cancelled(Rcpt); why == nil || why.Kind != Cancelled || why.Step != Rcpt {
		t.Errorf("Cancelled: %v", why)
	}
	if why := l.Cancelled(Data); why != nil {
		t.Errorf("Cancelled a second time: %v", why)
	}
	l.End()
	wantFailure(t, l, Cancelled, Rcpt)
	if !w.isClosed() {
		t.Error("not closed")
	}
}

// Between calls, and after a call, no context touches the link.
func TestContextLetsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		l := New(w, Config{Limits: limits})
		for range 3 {
			ctx, cancel := context.WithCancel(context.Background())
			l.Begin(ctx)
			l.Line("NOOP")
			l.Flush()
			w.say("250 ok\r\n")
			if _, why := l.Hear(Noop); why != nil {
				t.Fatal(why)
			}
			l.End()
			cancel()
			synctest.Wait()
		}
		if !l.Usable() || w.isClosed() {
			t.Error("a context that was let go closed the link")
		}
		l.Begin(context.Background())
		l.End()
		if !l.Usable() {
			t.Error("broken by a context that is never done")
		}
	})
}

// A link over a context that is done from the start is closed at once.
func TestBeginWithDoneContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		l := New(w, Config{Limits: limits})
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		l.Begin(ctx)
		synctest.Wait()
		if !w.isClosed() {
			t.Error("not closed")
		}
		l.End()
		if f := l.Failure(); f == nil || f.Kind != Cancelled {
			t.Errorf("failure %v", f)
		}
	})
}

func TestCauseOf(t *testing.T) {
	cause := errors.New("cause")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(cause)
	if err := CauseOf(ctx); !errors.Is(err, cause) || !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	ctx, cancel = context.WithCancelCause(context.Background())
	cancel(nil)
	if err := CauseOf(ctx); err != context.Canceled {
		t.Errorf("%v", err)
	}
	ctx, cancel = context.WithCancelCause(context.Background())
	cancel(fmt.Errorf("wrapped: %w", context.Canceled))
	if err := CauseOf(ctx); err.Error() != "wrapped: context canceled" {
		t.Errorf("%v", err)
	}
}

// nothingBelow has a NetConn that gives nothing, as a wrapper may have.
type nothingBelow struct{ net.Conn }

func (nothingBelow) NetConn() net.Conn { return nil }

func TestRaw(t *testing.T) {
	w := newWire()
	for name, tc := range map[string]struct{ given, raw net.Conn }{
		"a connection":       {w, w},
		"a layer":            {&layer{Conn: w}, w},
		"two layers":         {&layer{Conn: &layer{Conn: w}}, w},
		"a layer on nothing": {nothingBelow{w}, nothingBelow{w}},
	} {
		l := New(tc.given, Config{Limits: limits})
		if l.Raw() != tc.raw || l.Conn() != tc.given {
			t.Errorf("%s: raw %T, read and written %T", name, l.Raw(), l.Conn())
		}
	}
}

// A connection may be of a type that cannot be compared.
func TestUncomparable(t *testing.T) {
	type withFunc struct {
		net.Conn
		_ func()
	}
	w := newWire()
	l := New(withFunc{Conn: w}, Config{Limits: limits})
	w.say("250 unasked\r\n")
	if !l.Waiting() {
		t.Error("the look missed it")
	}
	l.Upgrade(withFunc{Conn: w})
	l.Break(&Failure{})
	if !w.isClosed() {
		t.Error("not closed")
	}
}

// After an Upgrade the link reads and writes what is on top, and what was read from
// below is gone.
func TestUpgrade(t *testing.T) {
	below, above := newWire(), newWire()
	l := New(below, Config{Limits: limits})
	below.say("250 ok\r\n250 left over\r\n")
	if r, why := l.Hear(Command); why != nil || string(r.Text) != "ok" {
		t.Fatalf("%v, %v", r, why)
	}
	above.say("220 from above\r\n")
	l.Upgrade(above)
	if l.Conn() != above || l.Raw() != below {
		t.Error("the layers are not in order")
	}
	if r, why := l.Hear(Command); why != nil || string(r.Text) != "from above" {
		t.Fatalf("%v, %v", r, why)
	}
	l.Line("NOOP")
	l.Flush()
	if below.written() != "" || above.written() != "NOOP\r\n" {
		t.Errorf("written below %q, above %q", below.written(), above.written())
	}
	l.Break(&Failure{})
	if !below.isClosed() || !above.isClosed() {
		t.Error("a layer is open")
	}
}

// A handshake has its limit, for reading and for writing, and leaves none behind.
func TestHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		w.block = true
		l := New(w, Config{Limits: limits})
		for _, f := range []func() error{
			func() error { _, err := w.Read(make([]byte, 1)); return err },
			func() error { _, err := w.Write(make([]byte, 1)); return err },
		} {
			begun := time.Now()
			if err := l.Handshake(7*time.Second, f); !isTimeout(err) {
				t.Errorf("Handshake: %v", err)
			}
			took(t, begun, 7*time.Second)
		}
		time.Sleep(time.Hour)
		time.AfterFunc(time.Second, func() { w.say("x") })
		if _, err := w.Read(make([]byte, 1)); err != nil {
			t.Errorf("a deadline is left: %v", err)
		}
		if err := l.Handshake(time.Second, func() error { return io.EOF }); err != io.EOF {
			t.Errorf("Handshake: %v", err)
		}
	})
}

// The text of a Failure names all that is known; it is for tests.
func TestFailureText(t *testing.T) {
	f := &Failure{Kind: Closing, Step: Mail, Reply: Reply{421, "bye"}, Err: io.EOF}
	if text := f.Error(); !strings.Contains(text, `421 "bye"`) || !strings.Contains(text, "EOF") || !errors.Is(f, io.EOF) {
		t.Errorf("%q", text)
	}
}
