package smtptest

import (
	"errors"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// inputWaiter is what a client looks for on a connection.
type inputWaiter interface {
	net.Conn
	InputWaiting() (waiting, known bool)
}

// TestInputWaiting compares InputWaiting with what Read does afterwards.
func TestInputWaiting(t *testing.T) {
	// pipe returns the client's end of a connection after setUp.
	pipe := func(setUp func(client, server *memConn)) func(testing.TB) inputWaiter {
		return func(testing.TB) inputWaiter {
			client, server := newPipe(pipeLimit)
			setUp(client, server)
			return client
		}
	}
	play := func(script string, acts ...string) func(testing.TB) inputWaiter {
		return func(tb testing.TB) inputWaiter {
			nc := Play(tb, script)
			for _, what := range acts {
				if err := act(nc, what); err != nil {
					tb.Error(err)
				}
			}
			return nc.(inputWaiter)
		}
	}
	// fault wraps a client's end to which the server wrote "hello".
	fault := func(f Fault, use func(c *FaultConn)) func(testing.TB) inputWaiter {
		return func(testing.TB) inputWaiter {
			client, server := newPipe(pipeLimit)
			_, _ = server.Write([]byte("hello"))
			c := f.Wrap(client)
			use(c)
			return c
		}
	}
	read := func(n int) func(*FaultConn) { return func(c *FaultConn) { _, _ = c.Read(make([]byte, n)) } }
	write := func(c *FaultConn) { _, _ = c.Write([]byte("abc")) }
	closeIt := func(c *FaultConn) { c.Close() }

	tests := map[string]struct {
		open func(testing.TB) inputWaiter
		want bool
	}{
		"pipe, nothing":        {pipe(func(_, _ *memConn) {}), false},
		"pipe, nothing came":   {pipe(func(c, _ *memConn) { _, _ = c.Write([]byte("x")) }), false},
		"pipe, empty write":    {pipe(func(_, s *memConn) { _, _ = s.Write(nil) }), false},
		"pipe, octets":         {pipe(func(_, s *memConn) { _, _ = s.Write([]byte("x")) }), true},
		"pipe, part read":      {pipe(func(c, s *memConn) { _, _ = s.Write([]byte("xy")); _, _ = c.Read(make([]byte, 1)) }), true},
		"pipe, all read":       {pipe(func(c, s *memConn) { _, _ = s.Write([]byte("xy")); _, _ = c.Read(make([]byte, 2)) }), false},
		"pipe, server closed":  {pipe(func(_, s *memConn) { s.Close() }), true},
		"pipe, half closed":    {pipe(func(_, s *memConn) { _ = s.CloseWrite() }), true},
		"pipe, server reset":   {pipe(func(_, s *memConn) { s.reset() }), true},
		"pipe, client closed":  {pipe(func(c, _ *memConn) { c.Close() }), true},
		"pipe, deadline":       {pipe(func(c, _ *memConn) { _ = c.SetDeadline(time.Now().Add(time.Hour)) }), false},
		"pipe, write deadline": {pipe(func(c, _ *memConn) { _ = c.SetWriteDeadline(time.Now().Add(-1)) }), false},

		"play, said":      {play("S: 220\nC: A"), true},
		"play, unasked":   {play("S! 421\nC: A", `>A\r\n`), true},
		"play, read":      {play("S: 220\nC: A", `<220\r\n`), false},
		"play, part read": {play("S: 220\nC: A", `<220`), true},
		"play, turn":      {play("C: A\nS: 250\nC: B"), false},
		"play, answered":  {play("C: A\nS: 250\nC: B", `>A\r\n`), true},
		"play, stall":     {play("S: 220\nstall", `<220\r\n`), false},
		"play, close":     {play("S: 220\nclose", `<220\r\n`), true},
		"play, reset":     {play("reset"), true},
		"play, closed":    {play("C: A\neof", `>A\r\n`, "x"), true},
		"play, no script": {play("nonsense"), true},

		"fault, none":                {fault(Fault{}, read(0)), true},
		"fault, none, read":          {fault(Fault{}, read(5)), false},
		"fault, none, closed":        {fault(Fault{}, closeIt), true},
		"fault, below the cut":       {fault(Fault{Read: After(3)}, read(2)), true},
		"fault, below, read":         {fault(Fault{Read: After(9)}, read(5)), false},
		"fault, at the cut":          {fault(Fault{Read: After(3)}, read(5)), true},
		"fault, cut at once":         {fault(Fault{Read: After(0)}, read(0)), true},
		"fault, below the stall":     {fault(Fault{Read: After(3), Mode: Stall}, read(2)), true},
		"fault, stalled":             {fault(Fault{Read: After(3), Mode: Stall}, read(5)), false},
		"fault, stalled, closed":     {fault(Fault{Read: After(3), Mode: Stall}, func(c *FaultConn) { read(5)(c); c.Close() }), true},
		"fault, write cut":           {fault(Fault{Write: After(3)}, write), true},
		"fault, write cut, read all": {fault(Fault{Write: After(3)}, func(c *FaultConn) { read(5)(c); write(c) }), true},
		"fault, write stalled":       {fault(Fault{Write: After(3), Mode: Stall}, write), false},
		"fault, before a false one":  {fault(Fault{Write: After(0), Mode: FalseError}, read(5)), false},
		"fault, false error":         {fault(Fault{Write: After(0), Mode: FalseError}, write), true},
		"fault in a fault, stalled": {func(tb testing.TB) inputWaiter {
			return Fault{Read: After(9)}.Wrap(fault(Fault{Read: After(3), Mode: Stall}, read(5))(tb))
		}, false},
		"fault in a fault, below": {func(tb testing.TB) inputWaiter { return Fault{}.Wrap(fault(Fault{Read: After(3)}, read(2))(tb)) }, true},
		"fault around a script":   {func(tb testing.TB) inputWaiter { return Fault{}.Wrap(play("S! 421")(tb)) }, true},
	}
	for name, tt := range tests {
		check := func(t *testing.T) {
			fake := &recorder{TB: t}
			nc := tt.open(fake)
			for range 2 { // the first does not change the second
				if got, known := nc.InputWaiting(); got != tt.want || !known {
					t.Fatalf("InputWaiting: %v, known %v, want %v", got, known, tt.want)
				}
			}
			// What waits is read at once, however late the deadline is; a short one
			// could pass before the Read begins.
			limit := time.Millisecond
			if tt.want {
				limit = time.Minute
			}
			_ = nc.SetReadDeadline(time.Now().Add(limit))
			n, err := nc.Read(make([]byte, 9))
			if at := n > 0 || err != nil && !errors.Is(err, os.ErrDeadlineExceeded); at != tt.want {
				t.Errorf("Read: %d, %v", n, err)
			}
			if reported := len(fake.reports) > 0; reported != (name == "play, no script") {
				t.Errorf("reports %q", fake.reports)
			}
		}
		t.Run(name, check)
		t.Run(name+", in a bubble", func(t *testing.T) { synctest.Test(t, check) })
	}
}

// TestInputWaitingDeadline: a deadline that passed neither counts as input nor hides
// it.
func TestInputWaitingDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := newPipe(pipeLimit)
		for name, nc := range map[string]inputWaiter{
			"pipe":  client,
			"fault": Fault{}.Wrap(client),
			"play":  Play(t, "stall").(inputWaiter),
		} {
			_ = nc.SetDeadline(time.Now().Add(-1))
			if waiting, _ := nc.InputWaiting(); waiting {
				t.Errorf("%s: a deadline that was past counts", name)
			}
			_ = nc.SetDeadline(time.Now().Add(time.Second))
			time.Sleep(2 * time.Second)
			if waiting, _ := nc.InputWaiting(); waiting {
				t.Errorf("%s: a deadline that passed counts", name)
			}
		}
		_, _ = server.Write([]byte("x"))
		if !waits(client) || !waits(Fault{}.Wrap(client)) {
			t.Error("a deadline hides an octet")
		}
	})
}

// TestInputWaitingUnknown wraps a connection that has no InputWaiting.
func TestInputWaitingUnknown(t *testing.T) {
	client, server := newPipe(pipeLimit)
	_, _ = server.Write([]byte("hello"))
	c := Fault{Read: After(5)}.Wrap(struct{ net.Conn }{client})
	if waiting, known := c.InputWaiting(); waiting || known {
		t.Error("InputWaiting of a connection that cannot say it")
	}
	if _, _ = c.Read(make([]byte, 5)); !waits(c) {
		t.Error("no InputWaiting after the cut")
	}
}

// TestInputWaitingMeanwhile has a Read running.
func TestInputWaitingMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := newPipe(pipeLimit)
		c := Fault{}.Wrap(client)
		done := make(chan error)
		go func() {
			_, err := c.Read(make([]byte, 1))
			done <- err
		}()
		synctest.Wait()
		if waits(c) {
			t.Error("InputWaiting though a Read waits")
		}
		_, _ = server.Write([]byte("xy"))
		if err := <-done; err != nil || !waits(c) {
			t.Errorf("%v; one octet is left", err)
		}
	})
}

func waits(c inputWaiter) bool {
	waiting, _ := c.InputWaiting()
	return waiting
}
