//go:build linux

package interop

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"path/filepath"
	"strings"
	"time"
)

const probeIO = 5 * time.Second // per connection

// probeSASL succeeds once Dovecot's auth service has listed its mechanisms.
func (s *settings) probeSASL() error {
	nc, err := net.DialTimeout("unix", filepath.Join(s.Dir, "auth"), probeIO)
	if err != nil {
		return err
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(probeIO))
	if _, err := io.WriteString(nc, "VERSION\t1\t2\nCPID\t1\n"); err != nil {
		return err
	}
	for r := bufio.NewReader(nc); ; {
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		if line == "DONE\n" {
			return nil
		}
	}
}

// probes are what must succeed before the first test: every server answers, is
// ours, and offers AUTH.
func (s *settings) probes() []func() error {
	return []func() error{
		func() error { return s.probeSMTP(s.Postfix, false) },
		func() error { return s.probeSMTP(s.PostfixTLS, true) },
		func() error { return s.probeSMTP(s.PostfixImpatient, false) },
		func() error { return s.probeSMTP(s.PostfixCyrus, false) },
		func() error { return s.probeSMTP(s.Dovecot, false) },
		func() error { return s.probeSMTP(s.DovecotTLS, true) },
		s.probePOP3,
		func() error { return probeTCP(s.LMTP) },
		func() error { return probeTCP(s.SOCKS) },
		func() error { return probeTCP(s.SOCKSAuth) },
		func() error { return probeTCP(s.HTTPProxy) },
		func() error { return probeTCP(s.HTTPOpen) },
		func() error { return probeTCP(s.Tokens) },
	}
}

func (s *settings) probeSMTP(port int, overTLS bool) error {
	nc, err := net.DialTimeout("tcp", loopback(port), probeIO)
	if err != nil {
		return err
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(probeIO))
	if overTLS {
		nc = tls.Client(nc, &tls.Config{RootCAs: roots(s.CA), ServerName: serverName})
	}
	c := textproto.NewConn(nc)
	_, greeting, err := c.ReadResponse(220)
	if err != nil {
		return fmt.Errorf("port %d: greeting: %w", port, err)
	}
	if !strings.Contains(greeting, s.ID) {
		return fmt.Errorf("port %d is another run's: %s", port, greeting)
	}
	if err := c.PrintfLine("EHLO [127.0.0.1]"); err != nil {
		return err
	}
	_, offer, err := c.ReadResponse(250)
	if err != nil {
		return fmt.Errorf("port %d: EHLO: %w", port, err)
	}
	if !strings.Contains(offer, "\nAUTH ") {
		return fmt.Errorf("port %d: no AUTH in %q", port, offer)
	}
	return c.PrintfLine("QUIT")
}

func (s *settings) probePOP3() error {
	nc, err := net.DialTimeout("tcp", loopback(s.POP3), probeIO)
	if err != nil {
		return err
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(probeIO))
	line, err := bufio.NewReader(nc).ReadString('\n')
	if err == nil && !strings.HasPrefix(line, "+OK "+s.ID) {
		err = fmt.Errorf("port %d is another run's: %q", s.POP3, line)
	}
	return err
}

func probeTCP(port int) error {
	nc, err := net.DialTimeout("tcp", loopback(port), probeIO)
	if err != nil {
		return err
	}
	return nc.Close()
}
