package submission

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fe022423/submission/internal/address"
	"github.com/fe022423/submission/internal/redact"
)

const (
	defaultChunkSize = 1 << 20
	portLMTP         = 24 // "any private mail system"; it must not be 25 (RFC 2033, 5)
	portSMTP         = 25
	portSubmissions  = 465 // implicit TLS, RFC 8314
	portSubmission   = 587
)

// defaultPort is the port of an address without one.
func (o *Options) defaultPort() int {
	switch {
	case o == nil:
		return TLSAuto.defaultPort()
	case o.LMTP:
		return portLMTP
	}
	return o.TLS.defaultPort()
}

// config is Options checked and completed for one server.
type config struct {
	Options
	host          string              // IP address or domain in A-labels
	port          int                 // 0 when not known
	socket        string              // the path of a Unix socket, "" for none
	local         string              // the EHLO argument, "" for the address literal
	auth          redact.Hidden[Auth] // Options.Auth; zero for none
	tlsConfig     *tls.Config
	callersDialer bool // the raw connection comes from Options.Dialer
	callersConn   bool // the connection was handed to NewSession
	memory        sync.Pool
	helloSaysAll  atomic.Bool                   // a second EHLO, after AUTH, brought nothing
	usedSecret    atomic.Pointer[redact.Secret] // by the last AUTH
	shownAddr     string                        // addr without secrets, for hooks
	idleWatch     *watch                        // on what nobody has called for, nil for none
}

// addr returns the address of the server, for the dialer and for errors.
func (c *config) addr() string {
	switch {
	case c.socket != "":
		return c.socket
	case c.port == 0:
		return c.host
	}
	return net.JoinHostPort(c.host, strconv.Itoa(c.port))
}

// configFor checks o for the server at addr.
func configFor(addr string, o *Options) (*config, error) {
	path, err := unixPath(addr)
	if err != nil {
		return nil, err
	}
	host, port := unixHost, 0
	if path == "" {
		if host, port, err = address.SplitHostPort(addr); err != nil {
			return nil, o.refused(addrError(err))
		}
		if port == 0 {
			port = o.defaultPort()
		}
	}
	c, err := newConfig(host, port, o)
	if err == nil && path != "" {
		err = c.useSocket(path)
	}
	if err != nil {
		return nil, err
	}
	c.watchIdle()
	return c, nil
}

// greeting is the command that begins a session.
func (c *config) greeting() string {
	if c.LMTP {
		return "LHLO"
	}
	return "EHLO"
}

// newConfig checks o for a server. A port of 0 takes the default of the mode.
func newConfig(host string, port int, o *Options) (c *config, err error) {
	c = &config{port: port}
	if o != nil {
		c.Options = *o
	}
	defer func() {
		if err != nil {
			c, err = nil, o.refused(err)
		}
	}()
	if c.host, err = address.Host(host); err != nil {
		return nil, addrError(err)
	}
	if err := c.checkNames(); err != nil {
		return nil, err
	}
	if c.TLS > TLSNone {
		return nil, &OptionError{"TLS", fmt.Errorf("unknown mode %d", c.TLS)}
	}
	if c.HELO && c.LMTP {
		return nil, &OptionError{"HELO", errors.New("LMTP is greeted with LHLO, so HELO and LMTP exclude each other")}
	}
	if c.ChunkSize < 0 {
		return nil, &OptionError{"ChunkSize", errors.New("negative")}
	}
	if c.ChunkSize == 0 {
		c.ChunkSize = defaultChunkSize
	}
	if err := c.Timeouts.complete(); err != nil {
		return nil, &OptionError{"Timeouts", err}
	}
	if err := c.Pool.complete(); err != nil {
		return nil, &OptionError{"Pool", err}
	}
	if err := checkLineBreaks(c.Auth); err != nil {
		return nil, err
	}
	if c.Auth != nil {
		c.auth, c.Auth = redact.Hide(c.Auth), nil
	}
	c.Disable = slices.Clone(c.Disable)
	c.PinnedKeys = slices.Clone(c.PinnedKeys)
	c.memory.New = newMemory
	c.tlsConfig, err = c.newTLSConfig()
	return c, err
}

// checkNames checks LocalName, LocalAddr and From.
func (c *config) checkNames() error {
	if c.LocalName != "" {
		name, err := address.Domain(c.LocalName)
		if err == nil {
			err = address.CheckText(c.LocalName)
		}
		if err != nil {
			return &OptionError{"LocalName", err}
		}
		c.local = name
	}
	if c.From != "" && c.From != NullSender {
		if _, err := address.ParsePath(c.From); err != nil {
			return &OptionError{"From", &badAddress{c.From, err}}
		}
	}
	if c.Dialer != nil && c.LocalAddr != "" {
		return &OptionError{"LocalAddr", errors.New("it works with the default dialer only; set the local address in Dialer itself")}
	}
	c.callersDialer = c.Dialer != nil
	if c.Dialer == nil {
		d, err := newDialer(c.LocalAddr)
		if err != nil {
			return &OptionError{"LocalAddr", err}
		}
		c.Dialer = d
	}
	return nil
}

func (t *Timeouts) complete() error {
	for _, f := range []struct {
		value *time.Duration
		std   time.Duration
	}{
		{&t.Dial, 30 * time.Second},
		{&t.TLS, 30 * time.Second},
		{&t.Greeting, time.Minute},
		{&t.Command, 5 * time.Minute},
		{&t.DataInit, 2 * time.Minute},
		{&t.DataBlock, 3 * time.Minute},
		{&t.DataFinal, 10 * time.Minute},
		{&t.Quit, 5 * time.Second},
	} {
		if *f.value < 0 {
			return errors.New("negative")
		}
		if *f.value == 0 {
			*f.value = f.std
		}
	}
	return nil
}

func (p *PoolOptions) complete() error {
	if p.MaxSessions < 0 || p.MaxMessages < 0 || p.IdleTimeout < 0 || p.MaxAge < 0 {
		return errors.New("negative")
	}
	if p.MaxSessions == 0 {
		p.MaxSessions = 10
	}
	if p.MaxIdle == 0 {
		p.MaxIdle = 2
	}
	p.MaxIdle = min(max(p.MaxIdle, 0), p.MaxSessions)
	if p.MaxMessages == 0 {
		p.MaxMessages = 100
	}
	if p.IdleTimeout == 0 {
		p.IdleTimeout = time.Minute
	}
	if p.MaxAge == 0 {
		p.MaxAge = time.Hour
	}
	return nil
}
