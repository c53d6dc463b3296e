package smtptest

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
)

// defaultHostname is Config.Hostname when that is empty.
const defaultHostname = "mail.test.example"

// maxStory is how many lines of the transcript New logs at most: nobody reads more, and the
// last ones tell what went wrong.
const maxStory = 500

// Server is an SMTP or LMTP server on the loopback interface. It accepts what is correct,
// refuses what is not, and records both; the package comment says how strict it is. Its
// methods may be called from several goroutines at once.
type Server struct {
	config   Config
	address  string // of the listener, also while there is none
	folder   string // of the socket, when the server made it
	identity func() (*identity, error)
	running  sync.WaitGroup

	mu        sync.Mutex
	hook      Hook
	listener  net.Listener // nil while the server is down
	accepting bool         // somebody asked for the address
	closed    bool         // for good
	open      map[*session]bool

	sessions   int
	roundTrips int
	transcript []string
	messages   []Message
	handedOut  int            // how many of messages Next has returned
	waiting    []chan Message // those who called Next, in their order
	arrival    chan struct{}  // closed by the next message; nil if nobody waits for it
}

// New is NewServer for one test. When the test ends, it closes the server, and logs the
// transcript, or its last 500 lines, if the test failed. If the server cannot listen, it calls t.Fatalf.
func New(t testing.TB, c *Config) *Server {
	t.Helper()
	s, err := open(c)
	if err != nil {
		t.Fatalf("smtptest: cannot listen: %v", err)
	}
	t.Cleanup(func() {
		t.Helper()
		s.Close()
		if t.Failed() {
			t.Logf("smtptest: %s", s.story())
		}
	})
	return s
}

// story is the transcript for the reader of a failed test.
func (s *Server) story() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	lines, without := s.transcript, ""
	switch n := len(lines) - maxStory; {
	case len(lines) == 0:
		return s.lastSaid()
	case n > 0:
		lines, without = lines[n:], fmt.Sprintf(", without its first %d lines", n)
	}
	return "the transcript" + without + ":\n" + strings.Join(lines, "\n")
}

// NewServer starts a server; a nil Config is the zero Config. The caller closes it.
// Like httptest.NewServer it panics when it cannot listen, and for no other reason. A test
// is better served by New.
//
// To use it in a testing/synctest bubble, call NewServer inside the bubble and
// connect with DialContext or Pipe, not with Addr. The server starts to accept network
// connections at the first call of Addr or URL, and a bubble cannot wait for those.
func NewServer(c *Config) *Server {
	s, err := open(c)
	if err != nil {
		panic("smtptest: cannot listen: " + err.Error())
	}
	return s
}

// open returns a server that listens.
func open(c *Config) (*Server, error) {
	s := &Server{open: map[*session]bool{}}
	if c != nil {
		s.config = *c
	}
	if s.config.Hostname == "" {
		s.config.Hostname = defaultHostname
	}
	if s.config.Extensions == nil {
		s.config.Extensions = DefaultExtensions()
	}
	if s.config.Mechanisms == nil {
		s.config.Mechanisms = []string{"PLAIN", "LOGIN", "DIGEST-MD5"}
	}
	s.config.Extensions = slices.Clone(s.config.Extensions)
	s.config.Mechanisms = slices.Clone(s.config.Mechanisms)
	s.config.Accounts = maps.Clone(s.config.Accounts)
	s.config.TLSConfig = s.config.TLSConfig.Clone()
	s.hook = s.config.Hook
	s.identity = sync.OnceValues(func() (*identity, error) { return newIdentity(s.config.Hostname) })
	return s, s.listen()
}

// SetHook makes h what may answer commands, instead of Config.Hook or the hook that was set
// before; nil is none. It counts for each command that comes after it, in sessions that are
// open as well. A hook that is being asked meanwhile still gives its answer.
func (s *Server) SetHook(h Hook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = h
}

// Pipe opens a session over an in-memory connection and returns the client's end of
// it: buffered in both directions, with deadlines, and fit for testing/synctest. One
// Read never returns bytes of two Writes. A Write blocks while 1 MiB is unread. With
// ImplicitTLS the client has to start TLS on it. After Stop and Close, Pipe returns a
// connection that the server has closed.
//
// The connection has a method InputWaiting() (waiting, known bool), which says whether a Read would
// return at once with bytes, io.EOF or an error. It does not wait, takes nothing, and
// ignores deadlines. So a client can look for input that it did not ask for, as it
// can with MSG_PEEK on a socket.
func (s *Server) Pipe() net.Conn {
	client, server := newPipe(pipeLimit)
	s.serve(server, nil)
	return client
}

// serve runs a session on nc, which the listener from accepted, if any. While the server
// is down, and if the listener is one from before, it closes nc and says false.
func (s *Server) serve(nc net.Conn, from net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil || from != nil && from != s.listener {
		_ = nc.Close()
		return false
	}
	s.sessions++
	se := newSession(s, nc, s.sessions)
	s.open[se] = true
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		se.run()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.open, se)
	}()
	return true
}

// hangUp closes the connections of all sessions. It needs mu.
func (s *Server) hangUp() {
	for se := range s.open {
		close(se.gone)
		_ = se.raw.Close()
	}
	clear(s.open)
}

// Close hangs up on all sessions, stops listening, and waits until every goroutine of
// the server has ended. So it waits for a Hook that still runs. Next and Wait do not wait
// any more. Closing again does nothing. What was recorded can still be read.
func (s *Server) Close() {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		s.stopListening()
		s.removeFolder()
		s.hangUp()
		s.wakeAll()
	}
	s.mu.Unlock()
	s.running.Wait()
}
