//go:build unix

package cluster

import (
	"io"
	"net"
	"sync"
	"testing"
)

// A proxy stands in front of one address of a node. It passes everything on, until it is told
// otherwise.

type proxyMode int

const (
	passing proxyMode = iota
	severed           // connections are closed, new ones too
	silent            // connections stay and are accepted, but nothing gets through until later
	mute              // as silent, for what the node says only
)

type proxy struct {
	listener net.Listener
	target   string

	mu      sync.Mutex
	changed *sync.Cond
	mode    proxyMode
	closed  bool
	conns   map[net.Conn]bool
}

func newProxy(t testing.TB, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, target: target, conns: map[net.Conn]bool{}}
	p.changed = sync.NewCond(&p.mu)
	go p.serve()
	t.Cleanup(p.close)
	return p
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

// set changes the mode. What silent kept back goes on its way, unless it is severed.
func (p *proxy) set(m proxyMode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mode = m
	if m == severed {
		p.hangUp()
	}
	p.changed.Broadcast()
}

func (p *proxy) hangUp() {
	for c := range p.conns {
		c.Close()
	}
}

func (p *proxy) close() {
	p.listener.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.hangUp()
	p.changed.Broadcast()
}

// keep notes a connection, so that it can be closed. It refuses when there is to be none.
func (p *proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.mode == severed {
		c.Close()
		return false
	}
	p.conns[c] = true
	return true
}

func (p *proxy) forget(c net.Conn) {
	c.Close()
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
}

// gate waits as long as nothing may pass.
func (p *proxy) gate(fromNode bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for !p.closed && (p.mode == silent || p.mode == mute && fromNode) {
		p.changed.Wait()
	}
}

func (p *proxy) serve() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		if p.keep(c) {
			go p.join(c)
		}
	}
}

func (p *proxy) join(from net.Conn) {
	defer p.forget(from)
	p.gate(false)
	to, err := net.Dial("tcp", p.target)
	if err != nil || !p.keep(to) {
		return
	}
	defer p.forget(to)
	var both sync.WaitGroup
	both.Go(func() { p.pump(to, from, false) })
	both.Go(func() { p.pump(from, to, true) })
	both.Wait()
}

func (p *proxy) pump(to io.WriteCloser, from io.ReadCloser, fromNode bool) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		p.gate(fromNode)
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
