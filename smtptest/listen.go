package smtptest

import (
	"cmp"
	"context"
	"net"
	"os"
	"path/filepath"
)

// network is Config.Network, or what "" stands for.
func (s *Server) network() string { return cmp.Or(s.config.Network, "tcp") }

// listen opens what Config.Network and Config.Addr ask for.
func (s *Server) listen() (err error) {
	switch network, addr := s.network(), s.config.Addr; {
	case addr != "":
		s.listener, err = net.Listen(network, addr)
	case network == "unix":
		// The path of a socket has to be short: t.TempDir would be too long.
		if s.folder, err = os.MkdirTemp("", "smtptest"); err == nil {
			s.listener, err = net.Listen(network, filepath.Join(s.folder, "socket"))
		}
	default:
		if s.listener, err = net.Listen(network, "127.0.0.1:0"); err != nil {
			s.listener, err = net.Listen(network, "[::1]:0")
		}
	}
	if err != nil {
		s.removeFolder()
		return err
	}
	s.address = s.listener.Addr().String()
	return nil
}

// stopListening closes the listener. A Unix socket is removed with it. It needs mu.
func (s *Server) stopListening() {
	if s.listener != nil {
		_ = s.listener.Close()
		s.listener = nil
	}
}

func (s *Server) removeFolder() {
	if s.folder != "" {
		_ = os.RemoveAll(s.folder)
	}
}

// Addr returns the address that the server listens on, as "host:port"; of a Unix socket it
// is the path. It stays the same while the server is stopped, and after Close.
func (s *Server) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.accepting {
		s.accepting = true
		s.accept()
	}
	return s.address
}

// accept begins to accept connections, if the server is up. It needs mu.
func (s *Server) accept() {
	l := s.listener
	if l == nil {
		return
	}
	s.running.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			s.serve(nc, l)
		}
	})
}

// Stop takes the server down, as a crash would: it does not listen any more, and every
// session is cut where it is, without a reply. Whoever connects then is refused. What was
// recorded stays, and nothing is added until Start: a message that was not recorded
// before Stop returns is not accepted. Next and Wait go on waiting.
//
// Stop does not wait for a Hook that runs, so a Hook may call it. Stopping again does
// nothing.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.stopListening()
	for se := range s.open {
		se.stopped = true
	}
	s.hangUp()
}

// Start takes the server up again after Stop, on the same address, with the same
// certificate, hook and memory. It does nothing if the server is up, or was closed. It
// panics, as NewServer does, if it cannot listen: while the server was down, another
// program may have taken its port.
func (s *Server) Start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.listener != nil {
		return
	}
	l, err := net.Listen(s.network(), s.address)
	if err != nil {
		panic("smtptest: cannot listen: " + err.Error())
	}
	s.listener = l
	if s.accepting {
		s.accept()
	}
}

// DialContext opens a session as Pipe does, whatever network and address are. So the Server
// itself is a dialer for programs that take one: submission.Options.Dialer, for example. It
// fits testing/synctest. After Stop and Close it fails as a refused connection does, with a
// *net.OpError, and when ctx has ended with ctx.Err() in one.
func (s *Server) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	err := ctx.Err()
	if err == nil {
		client, server := newPipe(pipeLimit)
		if s.serve(server, nil) {
			return client, nil
		}
		err = os.NewSyscallError("connect", errnoRefused)
	}
	return nil, &net.OpError{Op: "dial", Net: network, Addr: dialedAddr{network, addr}, Err: err}
}

// dialedAddr is an address that somebody dialed.
type dialedAddr struct{ network, addr string }

func (a dialedAddr) Network() string { return a.network }
func (a dialedAddr) String() string  { return a.addr }
