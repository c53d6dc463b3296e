//go:build unix && !aix

package link

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fe022423/submission/smtptest"
)

// tcpPair returns the two ends of a connection over the loopback interface.
func tcpPair(t testing.TB) (client, server *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); s.Close() })
	return c.(*net.TCPConn), s.(*net.TCPConn)
}

var certificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

// corked is a connection whose writes can be held back, so that several TLS records
// leave in one segment.
type corked struct {
	net.Conn
	mu   sync.Mutex
	held bytes.Buffer
	cork bool
}

func (c *corked) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cork {
		return c.held.Write(p)
	}
	return c.Conn.Write(p)
}

func (c *corked) uncork() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cork = false
	c.Conn.Write(c.held.Bytes())
}

// arrive waits until octets, or an end, are in the kernel for nc.
func arrive(t testing.TB, nc *net.TCPConn) {
	t.Helper()
	rc, err := nc.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for range 5000 {
		there := false
		rc.Control(func(fd uintptr) {
			_, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
			there = err != syscall.EAGAIN
		})
		if there {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("nothing arrives")
}

// hidden is a connection of which nobody sees that it is a socket, as a wrapper that
// counts octets may be.
type hidden struct{ net.Conn }

// late is a connection whose user is not scheduled for a while after a deadline
// was set.
type late struct {
	*net.TCPConn
	lag time.Duration
}

func (l late) SetReadDeadline(at time.Time) error {
	err := l.TCPConn.SetReadDeadline(at)
	if !at.IsZero() {
		time.Sleep(l.lag)
	}
	return err
}

// mustSee checks that a look sees a reply that waits, time after time, and takes
// nothing of it.
func mustSee(t *testing.T, l *Link) {
	t.Helper()
	for range 3 {
		if !l.Waiting() {
			t.Fatal("the look misses what waits")
		}
	}
	if r, why := l.Hear(Command); why != nil || r.Code != 250 || string(r.Text) != "unasked" {
		t.Errorf("then %v, %v is heard, want the whole reply", r, why)
	}
}

// mustSeeNothing checks that a look on a quiet connection says so, and that the link
// works afterwards.
func mustSeeNothing(t *testing.T, l *Link, say func(string)) {
	t.Helper()
	for range 3 {
		if l.Waiting() || l.WaitingCheaply() {
			t.Fatal("the look sees what is not there")
		}
	}
	if why := l.Look(Mail); why != nil {
		t.Fatalf("Look: %v", why)
	}
	if why := l.Glance(Mail); why != nil {
		t.Fatalf("Glance: %v", why)
	}
	say("250 asked\r\n")
	if r, why := l.Hear(Command); why != nil || string(r.Text) != "asked" {
		t.Errorf("then %v, %v is heard", r, why)
	}
}

// A look on what stands on a socket, in each way in which it may.
func TestLookOnSocket(t *testing.T) {
	write := func(nc net.Conn) func(string) {
		return func(text string) { io.WriteString(nc, text) }
	}
	t.Run("TCP", func(t *testing.T) {
		client, server := tcpPair(t)
		l := New(client, Config{Limits: limits})
		mustSeeNothing(t, l, write(server))
		io.WriteString(server, unasked)
		arrive(t, client)
		mustSee(t, l)
	})
	t.Run("hidden", func(t *testing.T) {
		client, server := tcpPair(t)
		l := New(hidden{client}, Config{Limits: limits})
		mustSeeNothing(t, l, write(server))
		io.WriteString(server, unasked)
		arrive(t, client)
		mustSee(t, l)
	})
	t.Run("a layer", func(t *testing.T) {
		client, server := tcpPair(t)
		l := New(&layer{Conn: client}, Config{Limits: limits})
		mustSeeNothing(t, l, write(server))
		io.WriteString(server, unasked)
		arrive(t, client)
		mustSee(t, l)
	})
	t.Run("a socket that is late", func(t *testing.T) {
		client, server := tcpPair(t)
		l := New(late{client, 5 * time.Millisecond}, Config{Limits: limits})
		mustSeeNothing(t, l, write(server))
		io.WriteString(server, unasked)
		arrive(t, client)
		mustSee(t, l)
	})
	t.Run("a deadline that has passed", func(t *testing.T) {
		client, server := tcpPair(t)
		l := New(client, Config{Limits: limits})
		client.SetReadDeadline(past)
		if l.Waiting() {
			t.Error("the look sees what is not there")
		}
		io.WriteString(server, unasked)
		arrive(t, client)
		mustSee(t, l)
	})
	for name, end := range map[string]func(client, server *net.TCPConn){
		"the end": func(client, server *net.TCPConn) { server.Close(); arrive(t, client) },
		// The kernel tells of a reset once: nobody else may ask.
		"a reset": func(client, server *net.TCPConn) {
			server.SetLinger(0)
			server.Close()
			time.Sleep(50 * time.Millisecond)
		},
		"closed here": func(client, server *net.TCPConn) { client.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			client, server := tcpPair(t)
			l := New(client, Config{Limits: limits})
			end(client, server)
			if !l.Waiting() || l.Look(Mail) == nil {
				t.Error("the look misses it")
			}
		})
	}
}

// A look on TLS over a socket: what waits may be in the kernel, or in the TLS
// connection already, or may be no more than a session ticket.
func TestLookOnTLS(t *testing.T) {
	for _, lag := range []time.Duration{0, 5 * time.Millisecond} {
		open := func(t *testing.T, tickets bool) (l *Link, raw *net.TCPConn, server *tls.Conn, cork *corked) {
			client, far := tcpPair(t)
			cork = &corked{Conn: far}
			var nc net.Conn = client
			if lag > 0 {
				nc = late{client, lag}
			}
			c, s := tlsOver(t, nc, cork, tickets)
			return New(c, Config{Limits: limits}), client, s, cork
		}
		t.Run(fmt.Sprintf("quiet, late by %v", lag), func(t *testing.T) {
			l, _, server, _ := open(t, false)
			mustSeeNothing(t, l, func(text string) { io.WriteString(server, text) })
		})
		t.Run(fmt.Sprintf("a ticket, late by %v", lag), func(t *testing.T) {
			l, raw, server, _ := open(t, true)
			arrive(t, raw)
			mustSeeNothing(t, l, func(text string) { io.WriteString(server, text) })
		})
		t.Run(fmt.Sprintf("in the kernel, late by %v", lag), func(t *testing.T) {
			l, raw, server, _ := open(t, false)
			io.WriteString(server, unasked)
			arrive(t, raw)
			mustSee(t, l)
		})
		t.Run(fmt.Sprintf("in the kernel after a ticket, late by %v", lag), func(t *testing.T) {
			l, _, server, _ := open(t, true)
			io.WriteString(server, unasked)
			time.Sleep(10 * time.Millisecond) // the ticket came before it
			mustSee(t, l)
		})
		t.Run(fmt.Sprintf("in the TLS connection, late by %v", lag), func(t *testing.T) {
			l, _, server, cork := open(t, false)
			cork.cork = true
			io.WriteString(server, "250 asked\r\n")
			io.WriteString(server, unasked)
			cork.uncork()
			if r, why := l.Hear(Command); why != nil || string(r.Text) != "asked" {
				t.Fatal(r, why)
			}
			if l.r.Buffered() > 0 {
				t.Fatal("both records were read: the test shows nothing")
			}
			if there, _ := l.input.waiting(); there {
				t.Fatal("the second record is in the kernel: the test shows nothing")
			}
			if !l.WaitingCheaply() {
				t.Error("it takes no time to see it, and a cheap look misses it")
			}
			mustSee(t, l)
		})
		t.Run(fmt.Sprintf("the end, late by %v", lag), func(t *testing.T) {
			l, raw, server, _ := open(t, false)
			server.Close()
			arrive(t, raw)
			if !l.Waiting() {
				t.Fatal("the look misses it")
			}
			if why := l.Look(Mail); why == nil || why.Kind != Ended {
				t.Errorf("%v", why)
			}
		})
	}
}

// A look on TLS over a connection in memory, which can be asked or not.
func TestLookOnTLSOverPipe(t *testing.T) {
	for name, pipe := range map[string]func() (client, server net.Conn){
		"cannot be asked": net.Pipe,
		"can be asked": func() (client, server net.Conn) {
			near, far := net.Pipe()
			return &counted{Conn: near}, far
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := pipe()
				client, server := tlsOver(t, near, far, false)
				l := New(client, Config{Limits: limits})
				defer l.Break(&Failure{Kind: GivenUp})
				begun := time.Now()
				if l.Waiting() {
					t.Fatal("the look sees what is not there")
				}
				took(t, begun, time.Millisecond)
				go io.WriteString(server, unasked)
				synctest.Wait()
				begun = time.Now()
				if !l.Waiting() {
					t.Fatal("the look misses what waits")
				}
				took(t, begun, 0)
				go server.Close()
				mustSee(t, l)
			})
		})
	}
}

// counted answers that it does not know whether input waits.
type counted struct{ net.Conn }

func (*counted) InputWaiting() (waiting, known bool) { return true, false }

// A look takes no more time than it must: none on a connection that can be asked,
// a millisecond on one that cannot. It is fake time that is measured.
func TestLookTakes(t *testing.T) {
	for name, tc := range map[string]struct {
		open  func(*wire) net.Conn
		quiet time.Duration // for a look on a quiet connection
	}{
		"not a socket":             {func(w *wire) net.Conn { return w }, time.Millisecond},
		"asked, known":             {func(w *wire) net.Conn { return asked{w, true} }, 0},
		"asked, not known":         {func(w *wire) net.Conn { return asked{w, false} }, time.Millisecond},
		"a layer":                  {func(w *wire) net.Conn { return &layer{Conn: w} }, time.Millisecond},
		"a layer on asked":         {func(w *wire) net.Conn { return &layer{Conn: asked{w, true}} }, 0},
		"a layer on not known":     {func(w *wire) net.Conn { return &layer{Conn: asked{w, false}} }, time.Millisecond},
		"no deadlines":             {func(w *wire) net.Conn { return noDeadlines{w} }, time.Millisecond},
		"no deadlines, asked":      {func(w *wire) net.Conn { return unlimited{asked{w, true}} }, 0},
		"a layer on no deadlines":  {func(w *wire) net.Conn { return &layer{Conn: noDeadlines{w}} }, time.Millisecond},
		"hidden, although it asks": {func(w *wire) net.Conn { return hidden{asked{w, true}} }, time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWire()
				l := New(tc.open(w), Config{Limits: limits})
				defer l.Break(&Failure{Kind: GivenUp})
				for range 3 {
					begun := time.Now()
					if l.Waiting() {
						t.Fatal("the look sees what is not there")
					}
					took(t, begun, tc.quiet)
					begun = time.Now()
					if l.WaitingCheaply() || l.Glance(Mail) != nil {
						t.Fatal("the cheap look sees what is not there")
					}
					took(t, begun, 0)
				}
				w.say(unasked)
				synctest.Wait()
				begun := time.Now()
				if knows := tc.quiet == 0; knows && !l.WaitingCheaply() {
					t.Error("the cheap look misses what it could know")
				}
				mustSee(t, l)
				w.hangUp(io.EOF)
				synctest.Wait()
				for range 2 {
					if !l.Waiting() {
						t.Error("the look misses the end")
					}
				}
				took(t, begun, 0)
				if why := l.Look(Rcpt); why == nil || why.Kind != Ended {
					t.Errorf("Look: %v", why)
				}
			})
		})
	}
}

// unlimited is a connection without deadlines that can be asked.
type unlimited struct{ asked }

func (unlimited) SetDeadline(time.Time) error      { return errNoDeadline }
func (unlimited) SetReadDeadline(time.Time) error  { return errNoDeadline }
func (unlimited) SetWriteDeadline(time.Time) error { return errNoDeadline }

// A look on net.Pipe sees a peer that is about to write.
func TestLookOnNetPipe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		l := New(near, Config{Limits: limits})
		begun := time.Now()
		if l.Waiting() {
			t.Error("the look sees what is not there")
		}
		took(t, begun, time.Millisecond)
		go io.WriteString(far, unasked)
		synctest.Wait()
		begun = time.Now()
		mustSee(t, l)
		far.Close()
		if !l.Waiting() {
			t.Error("the look misses the end")
		}
		took(t, begun, 0)
	})
}

// A look whose time runs out before the read begins has not looked: a process may
// not be scheduled for a while.
func TestLookThatIsLate(t *testing.T) {
	for name, open := range map[string]func(*wire) net.Conn{
		"not a socket":     func(w *wire) net.Conn { return w },
		"a layer on asked": func(w *wire) net.Conn { return &layer{Conn: asked{w, true}} },
		"a layer":          func(w *wire) net.Conn { return &layer{Conn: w} },
		"asked":            func(w *wire) net.Conn { return asked{w, true} },
	} {
		for _, lag := range []time.Duration{time.Millisecond, 5 * time.Millisecond, 100 * time.Millisecond} {
			t.Run(fmt.Sprintf("%s, by %v", name, lag), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWire()
					w.lag = lag
					l := New(open(w), Config{Limits: limits})
					if l.Waiting() {
						t.Error("the look sees what is not there")
					}
					w.say(unasked)
					mustSee(t, l)
				})
			})
		}
	}
}

// swallows is a layer that gives nothing out, whatever waits below.
type swallows struct {
	*layer
	never *wire
}

func (s swallows) Read(p []byte) (int, error)          { return s.never.Read(p) }
func (s swallows) SetReadDeadline(at time.Time) error  { return s.never.SetReadDeadline(at) }
func (s swallows) SetWriteDeadline(at time.Time) error { return nil }

// Octets that wait and are not given out are something, but a look at them ends.
func TestLookEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		never := newWire()
		l := New(&layer{Conn: asked{w, true}}, Config{Limits: limits})
		l.Upgrade(swallows{&layer{Conn: asked{w, true}}, never})
		l.timer = swallows{&layer{Conn: asked{w, true}}, never}
		w.say("\x17\x03\x03")
		begun := time.Now()
		if !l.Waiting() {
			t.Error("octets wait, and the look says that there are none")
		}
		if got := time.Since(begun); got < maxLookTime || got > 3*maxLookTime {
			t.Errorf("it took %v", got)
		}
	})
}

// Look reads what was said, so that a 421 is told apart from noise, and gives a part
// of a reply a second to become whole.
func TestLook(t *testing.T) {
	for _, tc := range []struct {
		name, script string
		kind         Kind
		reply        Reply
		took         time.Duration
	}{
		{"a reply", "S! 250 what", Unasked, Reply{250, "what"}, 0},
		{"a refusal", "S! 550 no", Unasked, Reply{550, "no"}, 0},
		{"421", "S! 421 idle", Closing, Reply{421, "idle"}, 0},
		{"421 and an end", "S! 421 idle\nclose", Closing, Reply{421, "idle"}, 0},
		{"221", "S! 221 idle", Closing, Reply{221, "idle"}, 0},
		{"an end", "close", Ended, Reply{}, 0},
		{"a reset", "reset", Failed, Reply{}, 0},
		{"garbage", "S! hello", Malformed, Reply{}, 0},
		{"half a reply and an end", "S> 25\nclose", Ended, Reply{}, 0},
		{"half a reply and silence", "S> 25\nstall", Unasked, Reply{}, time.Second},
	} {
		for name, look := range map[string]func(*Link) *Failure{
			"Look":   func(l *Link) *Failure { return l.Look(Rcpt) },
			"Glance": func(l *Link) *Failure { return l.Glance(Rcpt) },
		} {
			t.Run(tc.name+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l := New(smtptest.Play(t, tc.script+"\neof"), Config{Limits: limits, Clean: strings.ToLower})
					begun := time.Now()
					why := look(l)
					took(t, begun, tc.took)
					if f := wantFailure(t, l, tc.kind, Rcpt); f != why || f.Reply != tc.reply {
						t.Errorf("%v, reply %v, want %v", why, f.Reply, tc.reply)
					}
					if look(l) != why {
						t.Error("a second look gives another reason")
					}
				})
			})
		}
	}
}

// Look sees what is buffered, on any connection and without reading.
func TestLookAtBuffer(t *testing.T) {
	w := newWire()
	l := New(w, Config{Limits: limits})
	w.say("250 ok\r\n250 more\r\n")
	l.Hear(Noop)
	if !l.Waiting() || !l.WaitingCheaply() || l.Glance(Mail) == nil {
		t.Error("the look misses what is buffered")
	}
	if f := wantFailure(t, l, Unasked, Mail); f.Reply != (Reply{250, "more"}) {
		t.Errorf("%v", f)
	}
}

// Surplus is what came after the last reply owed, and breaks the link. A part of a
// reply has a second to become whole.
func TestSurplus(t *testing.T) {
	for _, tc := range []struct {
		more  string
		then  func(*wire)
		want  Reply
		noise bool
		kind  Kind
		took  time.Duration
	}{
		{more: ""},
		{more: "", then: func(w *wire) { w.hangUp(io.EOF) }},
		{more: "550 more\r\n", want: Reply{550, "more"}, kind: Unasked},
		{more: "550-more\r\n550 yet\r\n", want: Reply{550, "more\nyet"}, kind: Unasked},
		{more: "550 more\r\n250 yet\r\n", want: Reply{550, "more"}, kind: Unasked},
		{more: "421 bye\r\n", want: Reply{421, "bye"}, kind: Closing},
		{more: "what\r\n", noise: true, kind: Malformed},
		{more: "55", noise: true, kind: Unasked, took: time.Second},
		{more: "55", then: func(w *wire) { w.hangUp(io.EOF) }, noise: true, kind: Ended},
		{more: "55", then: func(w *wire) { time.AfterFunc(time.Second/2, func() { w.say("0 more\r\n") }) },
			want: Reply{550, "more"}, kind: Unasked, took: time.Second / 2},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWire()
			l := New(w, Config{Limits: limits})
			w.say("250 ok\r\n" + tc.more)
			if tc.then != nil {
				tc.then(w)
			}
			l.Hear(Final)
			begun := time.Now()
			if r, noise := l.Surplus(Final); r != tc.want || noise != tc.noise {
				t.Errorf("%q: %v, noise %v, want %v, %v", tc.more, r, noise, tc.want, tc.noise)
			}
			took(t, begun, tc.took)
			if tc.more == "" {
				if !l.Usable() {
					t.Error("broken by nothing")
				}
				return
			}
			wantFailure(t, l, tc.kind, Final)
		})
	}
}

// Last words may be more than was owed, too.
func TestSurplusAfterClosing(t *testing.T) {
	for _, tc := range []struct {
		more  []string
		want  Reply
		noise bool
		took  time.Duration
	}{
		{},
		{more: []string{"250 queued\r\n"}, want: Reply{250, "queued"}},
		{more: []string{"25", "0 queued\r\n"}, want: Reply{250, "queued"}},
		{more: []string{"25"}, noise: true, took: time.Second},
		{more: []string{"what\r\n"}, noise: true},
	} {
		for _, stop := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				w := newWire()
				l := New(asked{w, true}, Config{Limits: limits})
				w.say(append([]string{"421 bye\r\n", "550 no\r\n"}, tc.more...)...)
				var told log
				l.Owes(Owed{&told, Rcpt, 0, false})
				if !stop {
					l.Owes(Owed{&told, Final, 0, false})
				}
				begun := time.Now()
				if stop {
					l.HearAll() // nothing is heard after a 421 here
				} else {
					l.HearToTheEnd()
					took(t, begun, tc.took)
				}
				r, noise := l.Surplus(Final)
				if stop && (r.Code != 0 || noise) || !stop && (r != tc.want || noise != tc.noise) {
					t.Errorf("%q: %v, noise %v, want %v, %v", tc.more, r, noise, tc.want, tc.noise)
				}
				wantFailure(t, l, Closing, Rcpt)
				if !w.isClosed() {
					t.Error("not closed")
				}
			})
		}
	}
}

// TakeIn reads what waits outside the buffer, on each kind of connection, for Surplus
// to see.
func TestTakeIn(t *testing.T) {
	for name, open := range map[string]func(*wire) net.Conn{
		"not a socket":     func(w *wire) net.Conn { return w },
		"asked":            func(w *wire) net.Conn { return asked{w, true} },
		"a layer on asked": func(w *wire) net.Conn { return &layer{Conn: asked{w, true}} },
		"a layer":          func(w *wire) net.Conn { return &layer{Conn: w} },
		"no deadlines":     func(w *wire) net.Conn { return noDeadlines{w} },
	} {
		for _, lag := range []time.Duration{0, 5 * time.Millisecond} {
			t.Run(fmt.Sprintf("%s, late by %v", name, lag), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWire()
					w.lag = lag
					l := New(open(w), Config{Limits: limits})
					defer l.Break(&Failure{Kind: GivenUp})
					w.say("250 ok\r\n")
					l.Hear(Final)
					l.TakeIn()
					if r, noise := l.Surplus(Final); r.Code != 0 || noise || !l.Usable() {
						t.Fatalf("%v, %v: there is nothing", r, noise)
					}
					w.say("550 more\r\n")
					synctest.Wait()
					l.TakeIn()
					if r, _ := l.Surplus(Final); r != (Reply{550, "more"}) {
						t.Errorf("%v", r)
					}
					l.TakeIn() // of a link that is broken: nothing
				})
			})
		}
	}
}

// LastWord breaks a link that a write failed on, after a moment for a reply that
// came before.
func TestLastWord(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(*wire)
		kind Kind
		took time.Duration
	}{
		{"nothing comes", func(*wire) {}, Failed, time.Second},
		{"a refusal", func(w *wire) { w.say("552 too large\r\n") }, Unasked, 0},
		{"421, a moment later", func(w *wire) { time.AfterFunc(time.Second/2, func() { w.say("421 bye\r\n") }) }, Closing, time.Second / 2},
		{"an end", func(w *wire) { w.hangUp(io.EOF) }, Failed, 0},
		{"garbage", func(w *wire) { w.say("what\r\n") }, Malformed, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWire()
				w.refuse = errBroken
				l := New(w, Config{Limits: limits})
				if l.Write([]byte("octets")) {
					t.Fatal("written")
				}
				tc.do(w)
				begun := time.Now()
				why := l.LastWord(Message)
				took(t, begun, tc.took)
				f := wantFailure(t, l, tc.kind, Message)
				if why != f || tc.kind == Failed && f.Err != errBroken {
					t.Errorf("%v", why)
				}
			})
		})
	}
}

// A look on a socket allocates nothing: it is done for each message.
func TestLookAllocatesNothing(t *testing.T) {
	client, _ := tcpPair(t)
	l := New(client, Config{Limits: limits})
	if n := testing.AllocsPerRun(100, func() {
		if l.Waiting() || l.WaitingCheaply() || l.Look(Mail) != nil || l.Glance(Mail) != nil {
			t.Error("the look sees what is not there")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// tlsOver secures both ends of a connection. Session tickets, which the server sends
// with its part of the handshake, are what a client has not read afterwards.
func tlsOver(t testing.TB, client, server net.Conn, tickets bool) (c, s *tls.Conn) {
	t.Helper()
	s = tls.Server(server, &tls.Config{Certificates: []tls.Certificate{certificate()}, SessionTicketsDisabled: !tickets})
	c = tls.Client(client, &tls.Config{InsecureSkipVerify: true, ClientSessionCache: tls.NewLRUClientSessionCache(1)})
	shaken := make(chan error, 1)
	go func() { shaken <- s.Handshake() }()
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-shaken; err != nil {
		t.Fatal(err)
	}
	return c, s
}
