//go:build linux

package interop

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"os"
	"strings"
	"time"
)

// station is an instance of a server as its supervisor sees it.
type station struct {
	crew
	place
	peer *peer
}

// answer is what the supervisor of a server says when it was started, and after
// each order.
type answer struct{ Error string }

// restartOrder makes the supervisor stop the server and start it again.
const restartOrder = "restart"

// supervisePeer runs one server at a place.
func supervisePeer(role string, orders <-chan string) (err error) {
	s := &station{}
	if err := json.Unmarshal([]byte(role), &s.place); err != nil {
		return err
	}
	if s.peer, err = peerNamed(s.Peer); err != nil {
		return err
	}
	s.dir = s.Dir
	defer func() { err = errors.Join(err, s.stop(), os.RemoveAll(s.Dir)) }()
	if err := s.report(s.begin()); err != nil {
		return err
	}
	for range orders {
		err := s.stop()
		if err == nil {
			err = s.begin()
		}
		if err := s.report(err); err != nil {
			return err
		}
	}
	return nil
}

// report tells the tests whether the server stands.
func (s *station) report(err error) error {
	var a answer
	if err != nil {
		a.Error = fmt.Sprintf("%v\n%s", err, logTails(s.Dir, nil))
	}
	return json.NewEncoder(os.Stdout).Encode(a)
}

// begin starts the server and waits until its ports answer.
func (s *station) begin() error {
	if err := s.peer.start(s); err != nil {
		return err
	}
	if err := s.await(s.probe); err != nil {
		return err
	}
	if s.peer.offers.implicitTLS.given {
		return s.await(func() error { return probeTCP(s.TLSPort) })
	}
	return nil
}

// probe succeeds when the port that begins in clear greets and knows EHLO.
func (s *station) probe() error {
	nc, err := net.DialTimeout("tcp", loopback(s.Port), probeIO)
	if err != nil {
		return err
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(probeIO))
	c := textproto.NewConn(nc)
	if _, _, err := c.ReadResponse(220); err != nil {
		return fmt.Errorf("greeting: %w", err)
	}
	for _, line := range []string{"EHLO client.test.example", "QUIT"} {
		if err := c.PrintfLine("%s", line); err != nil {
			return err
		}
		if _, _, err := c.ReadResponse(2); err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("%s: %w", line, err)
		}
	}
	return nil
}

// configure fills templates of testdata below the directory of the server's name:
// from template to file, below the place's directory.
func (s *station) configure(files map[string]string) error {
	for from, to := range files {
		if err := os.MkdirAll(s.below(to[:strings.LastIndexByte("/"+to, '/')]), 0o755); err != nil {
			return err
		}
		if err := render(strings.ToLower(s.Peer)+"/"+from, s.values(s.peer), s.below(to)); err != nil {
			return err
		}
	}
	return nil
}

// makeStore makes the directories for servers that write a file for each message.
func (s *station) makeStore() error {
	for _, dir := range []string{"store/tmp", "store/new"} {
		if err := os.MkdirAll(s.below(dir), 0o755); err != nil {
			return err
		}
	}
	return nil
}
