package smtptest

import (
	"crypto/tls"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
)

// defaultHostname is Config.Hostname when that is empty.
const defaultHostname = "mail.test.example"

// Server is an SMTP or LMTP server on the loopback interface. It accepts what is correct,
// refuses what is not, and records both; the package comment says how strict it is. Its methods may be called from several
// goroutines at once.
type Server struct {
	config   Config
	listener net.Listener
	folder   string // of the socket, when the server made it
	identity func() (*identity, error)
	accept   sync.Once
	done     chan struct{} // closed by Close
	running  sync.WaitGroup

	mu         sync.Mutex
	hook       Hook
	closed     bool
	open       map[*session]bool
	sessions   int
	roundTrips int
	messages   []Message
	transcript []string
}

// NewServer starts a server; a nil Config is the zero Config. The caller closes it.
// Like httptest.NewServer it panics when it cannot listen, and for no other reason.
//
// To use it in a testing/synctest bubble, call NewServer inside the bubble and
// connect with Pipe, not with Addr. The server starts to accept network connections
// at the first call of Addr, and a bubble cannot wait for those.
func NewServer(c *Config) *Server {
	s := &Server{done: make(chan struct{}), open: map[*session]bool{}}
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

	s.listen()
	return s
}

// Addr returns the address the server listens on, as "host:port"; of a Unix socket it
// is the path.
func (s *Server) Addr() string {
	s.accept.Do(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.closed {
			s.running.Add(1)
			go s.acceptAll()
		}
	})
	return s.listener.Addr().String()
}

func (s *Server) acceptAll() {
	defer s.running.Done()
	for {
		nc, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.start(nc)
	}
}

// Pipe opens a session over an in-memory connection and returns the client's end of
// it: buffered in both directions, with deadlines, and fit for testing/synctest. One
// Read never returns bytes of two Writes. A Write blocks while 1 MiB is unread. With
// ImplicitTLS the client has to start TLS on it. After Server.Close, Pipe returns a
// connection that the server has closed.
//
// The connection has a method InputWaiting() (waiting, known bool), which says whether a Read would
// return at once with bytes, io.EOF or an error. It does not wait, takes nothing, and
// ignores deadlines. So a client can look for input that it did not ask for, as it
// can with MSG_PEEK on a socket.
func (s *Server) Pipe() net.Conn {
	client, server := newPipe(pipeLimit)
	s.start(server)
	return client
}

// start runs a session on nc.
func (s *Server) start(nc net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = nc.Close()
		return
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
}

// Close hangs up on all sessions, stops listening, and waits until every goroutine of
// the server has ended. So it waits for a Hook that still runs. Closing again does
// nothing. What was recorded can still be read.
func (s *Server) Close() {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.done)
		s.stopListening()
		for se := range s.open {
			_ = se.raw.Close()
		}
	}
	s.mu.Unlock()
	s.running.Wait()
}

// SetHook makes h what may answer commands, instead of Config.Hook or the hook that was set
// before; nil is none. It counts for each command that comes after it, in sessions that are
// open as well. A hook that is being asked meanwhile still gives its answer.
func (s *Server) SetHook(h Hook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = h
}

func (s *Server) currentHook() Hook {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hook
}

// Messages returns copies of the messages accepted so far, oldest first. A message is
// recorded before its final reply is sent, so Messages has it even if the client
// never receives that reply.
func (s *Server) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Message, len(s.messages))
	for i, m := range s.messages {
		all[i] = m.clone()
		all[i].Data = slices.Clone(m.Data)
	}
	return all
}

// Transcript returns what was said so far, in the order in which it happened in all
// sessions. A line begins with the number of its session: "[2] C: QUIT". After that it
// is "C: " or "S: " and what the client or the server said. It is "C: <4096 octets>" for
// a message or a chunk, "S> " and a quoted string for Answer.Raw, "-- TLS" where TLS
// started, and "-- protocol: " and what the client did wrong. What a client says in an
// AUTH exchange is shown as ***.
func (s *Server) Transcript() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.transcript)
}

// RoundTrips returns how often the server had to wait for the client after having
// said something: for the next command, message or SASL response. The server keeps
// replies back while input is left, as RFC 2920, 3.2 allows, so commands that the
// client sends together are one round trip. Over a Pipe that is so even if they come
// in several writes: a wait does not count any more when the client goes on without
// having read what the server said. Over a socket the server cannot know that, and
// such commands may count more than once. The greeting is one round trip, a reply to
// QUIT is none, and neither is a TLS handshake.
func (s *Server) RoundTrips() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.roundTrips
}

// Sessions returns how many sessions were opened so far.
func (s *Server) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions
}

// ClientTLSConfig returns a new configuration for clients. It trusts the certificate
// that the server makes for itself and nothing else, so it does not trust one of
// Config.TLSConfig. The certificate names Config.Hostname, localhost, 127.0.0.1 and
// ::1. The client has to set ServerName.
func (s *Server) ClientTLSConfig() *tls.Config {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	id, err := s.identity()
	if err != nil {
		// There is no certificate to trust: the client sees why as a failed handshake.
		cfg.VerifyConnection = func(tls.ConnectionState) error { return err }
		return cfg
	}
	cfg.RootCAs = id.roots
	return cfg
}

// serverTLSConfig is the configuration of one session's TLS.
func (s *Server) serverTLSConfig() (*tls.Config, error) {
	cfg := s.config.TLSConfig.Clone()
	if cfg == nil {
		cfg = new(tls.Config)
	}
	if cfg.MinVersion == 0 {
		cfg.MinVersion = tls.VersionTLS12
	}
	external := func(m string) bool { return strings.EqualFold(m, "EXTERNAL") }
	if cfg.ClientAuth == tls.NoClientCert && slices.ContainsFunc(s.config.Mechanisms, external) {
		cfg.ClientAuth = tls.RequestClientCert
		if cfg.ClientCAs != nil {
			cfg.ClientAuth = tls.VerifyClientCertIfGiven
		}
	}
	if len(cfg.Certificates) > 0 || cfg.GetCertificate != nil || cfg.GetConfigForClient != nil {
		return cfg, nil
	}
	id, err := s.identity()
	if err != nil {
		return nil, err
	}
	cfg.Certificates = []tls.Certificate{id.chain}
	return cfg, nil
}

// log adds a line to the transcript.
func (s *Server) log(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.transcript = append(s.transcript, line)
}

// countRoundTrips adds n to what RoundTrips returns.
func (s *Server) countRoundTrips(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.roundTrips += n
}

// record keeps an accepted message.
func (s *Server) record(m Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = append(s.messages, m)
}
