//go:build linux

package interop

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// pop3 reads a mailbox (RFC 1939). It alters nothing but what RFC 1939, 3
// prescribes: it undoes the byte-stuffing.
type pop3 struct {
	nc net.Conn
	r  *bufio.Reader
}

const pop3Time = time.Minute // for a whole session

func dialPOP3(addr, user, password string) (*pop3, error) {
	nc, err := net.DialTimeout("tcp", addr, pop3Time)
	if err != nil {
		return nil, err
	}
	nc.SetDeadline(time.Now().Add(pop3Time))
	p := &pop3{nc: nc, r: bufio.NewReader(nc)}
	if _, err = p.reply(); err == nil {
		_, err = p.command("USER " + user)
	}
	if err == nil {
		_, err = p.command("PASS " + password)
	}
	if err != nil {
		nc.Close()
		return nil, err
	}
	return p, nil
}

// quit ends the session; only then does the server delete.
func (p *pop3) quit() error {
	defer p.nc.Close()
	_, err := p.command("QUIT")
	return err
}

func (p *pop3) command(line string) (string, error) {
	if _, err := fmt.Fprintf(p.nc, "%s\r\n", line); err != nil {
		return "", err
	}
	return p.reply()
}

func (p *pop3) reply() (string, error) {
	line, err := p.r.ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimSuffix(line, "\r\n")
	if !strings.HasPrefix(line, "+OK") {
		return "", fmt.Errorf("POP3: %s", line)
	}
	return strings.TrimPrefix(strings.TrimPrefix(line, "+OK"), " "), nil
}

// count returns the number of messages.
func (p *pop3) count() (int, error) {
	line, err := p.command("STAT")
	if err != nil {
		return 0, err
	}
	n, _, _ := strings.Cut(line, " ")
	return strconv.Atoi(n)
}

// retrieve returns message n, counted from 1.
func (p *pop3) retrieve(n int) ([]byte, error) {
	if _, err := p.command(fmt.Sprintf("RETR %d", n)); err != nil {
		return nil, err
	}
	var msg []byte
	for {
		line, err := p.r.ReadSlice('\n')
		for err == bufio.ErrBufferFull {
			msg = append(msg, undot(line, msg)...)
			line, err = p.r.ReadSlice('\n')
		}
		if err != nil {
			return nil, err
		}
		if string(line) == ".\r\n" && atLineStart(msg) {
			return msg, nil
		}
		msg = append(msg, undot(line, msg)...)
	}
}

// undot removes the dot that the server put before one at the start of a line;
// sofar is what precedes part.
func undot(part, sofar []byte) []byte {
	if atLineStart(sofar) {
		return bytes.TrimPrefix(part, []byte("."))
	}
	return part
}

func atLineStart(sofar []byte) bool {
	return len(sofar) == 0 || sofar[len(sofar)-1] == '\n'
}

func (p *pop3) remove(n int) error {
	_, err := p.command(fmt.Sprintf("DELE %d", n))
	return err
}
