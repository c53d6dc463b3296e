package submission_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
)

// DialContext connects. The connection may end or fall silent at any octet.
func (w *rideWorld) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	nc, err := w.habitServer.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dials++
	dice := rand.New(rand.NewPCG(w.seed, uint64(2000+w.dials)))
	c := &rideConn{habitConn: nc.(*habitConn), world: w, message: -1, up: -1, down: -1, silent: dice.IntN(3) == 0}
	if w.odds > 0 && dice.IntN(w.odds) < 8 {
		at := dice.IntN([]int{200, 2000, 100_000}[dice.IntN(3)])
		if dice.IntN(2) == 0 {
			c.up = at
		} else {
			c.down = at
		}
	}
	return c, nil
}

// rideConn is the client's end of a connection. It reads along.
type rideConn struct {
	*habitConn
	world    *rideWorld
	up, down int  // octets until it ends in that direction; -1 is never
	silent   bool // it does not end, nothing goes through
	fired    bool

	line    []byte // that was begun
	content bool   // of a message, after DATA
	left    int    // of a chunk
	last    bool   // it ends the message
	message int
}

// fire notes that the connection came to its end, once.
func (c *rideConn) fire() {
	if !c.fired {
		c.fired = true
		c.world.note(func() { c.world.faults++ })
	}
}

func (c *rideConn) Write(p []byte) (int, error) {
	c.readAlong(p)
	if c.up < 0 || len(p) <= c.up {
		c.up = max(c.up-len(p), min(c.up, 0))
		return c.habitConn.Write(p)
	}
	n, _ := c.habitConn.Write(p[:c.up])
	c.up = 0
	c.fire()
	if c.silent {
		return len(p), nil
	}
	c.habitConn.Close()
	return n, habitError("write", errnoPipe)
}

func (c *rideConn) Read(p []byte) (int, error) {
	if c.down < 0 {
		return c.habitConn.Read(p)
	}
	if c.down > 0 {
		n, err := c.habitConn.Read(p[:min(len(p), c.down)])
		c.down -= n
		return n, err
	}
	c.fire()
	if !c.silent {
		c.habitConn.Close()
		return 0, habitError("read", errnoReset)
	}
	for {
		if _, err := c.habitConn.Read(p); err != nil {
			return 0, err
		}
	}
}

// InputWaiting says whether a Read would return at once.
func (c *rideConn) InputWaiting() (waiting, known bool) {
	if c.down == 0 {
		return !c.silent, true
	}
	return c.habitConn.InputWaiting()
}

// readAlong finds out which messages have their last octet in what is about to be written.
func (c *rideConn) readAlong(p []byte) {
	for len(p) > 0 {
		if c.left > 0 {
			n := min(c.left, len(p))
			c.left, p = c.left-n, p[n:]
			if c.left == 0 && c.last {
				c.complete()
			}
			continue
		}
		i := bytes.IndexByte(p, '\n') + 1
		if i == 0 {
			c.line = append(c.line, p...)
			return
		}
		c.wholeLine(string(append(c.line, p[:i]...)))
		c.line, p = c.line[:0], p[i:]
	}
}

func (c *rideConn) wholeLine(line string) {
	switch {
	case line == ".\r\n":
		c.content = false
		c.complete()
	case c.content:
	case strings.HasPrefix(line, "Subject: "):
		c.content = true
	case strings.HasPrefix(line, "MAIL FROM:<"):
		fmt.Sscan(strings.FieldsFunc(line, func(r rune) bool { return r == '<' || r == '@' })[1], &c.message)
	case strings.HasPrefix(line, "BDAT "):
		var word string
		fmt.Sscan(line[len("BDAT "):], &c.left, &word)
		if c.last = word == "LAST"; c.last && c.left == 0 {
			c.complete()
		}
	}
}

func (c *rideConn) complete() { c.world.note(func() { c.world.out[c.message] = true }) }
