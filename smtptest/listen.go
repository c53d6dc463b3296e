package smtptest

import (
	"cmp"
	"net"
	"os"
	"path/filepath"
)

// listen opens what Config.Network and Config.Addr ask for.
func (s *Server) listen() {
	var err error
	switch network, addr := cmp.Or(s.config.Network, "tcp"), s.config.Addr; {
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
		panic("smtptest: cannot listen: " + err.Error())
	}
}

// stopListening closes the listener. A Unix socket is removed with it.
func (s *Server) stopListening() {
	_ = s.listener.Close()
	s.removeFolder()
}

func (s *Server) removeFolder() {
	if s.folder != "" {
		_ = os.RemoveAll(s.folder)
	}
}
