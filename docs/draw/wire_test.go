package draw

import (
	"bytes"
	"crypto/tls"
	"net"
	"strconv"
	"strings"
	"sync"
)

// wire is a client's end of a TLS connection that keeps what passed above TLS.
type wire struct {
	*tls.Conn
	mu    sync.Mutex
	turns []turn
}

// turn is what one side said before the other side spoke.
type turn struct {
	client bool
	octets []byte
}

// NetConn returns the TLS connection: the library asks what it stands on whether the
// server said something unasked.
func (w *wire) NetConn() net.Conn { return w.Conn }

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	w.note(false, p[:n])
	return n, err
}

func (w *wire) Write(p []byte) (int, error) {
	w.note(true, p)
	return w.Conn.Write(p)
}

func (w *wire) note(client bool, octets []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(octets) == 0 {
		return
	}
	if n := len(w.turns); n == 0 || w.turns[n-1].client != client {
		w.turns = append(w.turns, turn{client: client})
	}
	last := &w.turns[len(w.turns)-1]
	last.octets = append(last.octets, octets...)
}

// take returns the turns so far and forgets them.
func (w *wire) take() []turn {
	w.mu.Lock()
	defer w.mu.Unlock()
	turns := w.turns
	w.turns = nil
	return turns
}

// flight is what a client sends before it waits for the server, and what the server says
// then: a round trip.
type flight struct {
	lines   []string // of the client; a message or a chunk is one line, theMessage
	replies []string // the last line of each
}

// theMessage stands for the octets of a message, without the dot that ends it.
const theMessage = "(the message)"

// flights reads turns. A flight without lines is a greeting.
func flights(turns []turn) (list []flight) {
	var message bool // the server asked for it
	for _, t := range turns {
		if t.client || len(list) == 0 {
			list = append(list, flight{})
		}
		f := &list[len(list)-1]
		if !t.client {
			f.replies = append(f.replies, replies(t.octets)...)
			message = strings.HasPrefix(f.replies[len(f.replies)-1], "354")
			continue
		}
		if message {
			f.lines = []string{theMessage, "."}
			continue
		}
		f.lines = commands(t.octets)
	}
	return list
}

// commands returns the command lines of a flight.
func commands(octets []byte) (lines []string) {
	for len(octets) > 0 {
		line, rest, _ := bytes.Cut(octets, []byte("\r\n"))
		lines = append(lines, string(line))
		if words := strings.Fields(string(line)); len(words) > 1 && words[0] == "BDAT" {
			if size, err := strconv.Atoi(words[1]); err == nil {
				rest = rest[min(size, len(rest)):]
				lines = append(lines, theMessage)
			}
		}
		octets = rest
	}
	return lines
}

// replies returns the last line of each reply.
func replies(octets []byte) (list []string) {
	for line := range strings.Lines(string(octets)) {
		if len(line) < 4 || line[3] != '-' {
			list = append(list, strings.TrimRight(line, "\r\n"))
		}
	}
	return list
}
