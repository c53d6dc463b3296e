package submission_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/fe022423/submission"
)

// ticketPeer is a TLS server that fails when a session ticket is offered, as how
// says. It sends tickets with every handshake.
func ticketPeer(t *testing.T, implicit bool, version uint16, how string) (addr string, ca *authority, handshakes *atomic.Int32) {
	t.Helper()
	ca, handshakes = newAuthority(t, "ca"), new(atomic.Int32)
	cfg := &tls.Config{Certificates: []tls.Certificate{ca.issue(t, forIPs("127.0.0.1"))}, MaxVersion: version}
	addr = listen(t, func(nc net.Conn) {
		if !implicit && !talk(nc, true) {
			return
		}
		handshakes.Add(1)
		offered := false
		mine := cfg.Clone()
		mine.SetSessionTicketKeys([][32]byte{{1}})
		mine.UnwrapSession = func(ticket []byte, _ tls.ConnectionState) (*tls.SessionState, error) {
			offered = len(ticket) > 0 // TLS 1.2 asks without one too
			if offered && how == "an alert" {
				return nil, errors.New("no tickets today")
			}
			return nil, nil
		}
		secured := tls.Server(&hangUpConn{Conn: nc, how: how, before: func() bool { return offered && how != "an alert" }}, mine)
		if secured.Handshake() != nil {
			return
		}
		if implicit {
			io.WriteString(secured, "220 hi\r\n")
		}
		talk(secured, false)
		io.Copy(io.Discard, nc)
	})
	return addr, ca, handshakes
}

// hangUpConn is a connection that is cut at a write before which before says so.
type hangUpConn struct {
	net.Conn
	before func() bool
	how    string
}

func (c *hangUpConn) Write(p []byte) (int, error) {
	if !c.before() {
		return c.Conn.Write(p)
	}
	switch c.how {
	case "a reset":
		c.Conn.(*net.TCPConn).SetLinger(0)
	case "garbage":
		c.Conn.Write([]byte("554 what\r\n"))
	case "silence":
		io.Copy(io.Discard, c.Conn)
	}
	c.Conn.Close()
	return 0, io.ErrClosedPipe
}

// TestTicketThatFails has a server fail whenever a session ticket is offered: the
// handshake is tried once more without it, and costs nobody a send.
func TestTicketThatFails(t *testing.T) {
	t.Parallel()
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, how := range []string{"an alert", "an end", "a reset", "garbage", "silence"} {
			t.Run(tls.VersionName(version)+", "+how, func(t *testing.T) {
				bothWays(t, func(t *testing.T, mode submission.TLSMode) {
					for _, dialer := range []submission.Dialer{nil, new(net.Dialer)} {
						addr, ca, handshakes := ticketPeer(t, mode == submission.TLSImplicit, version, how)
						cache := &countingCache{}
						o := &submission.Options{TLS: mode, Dialer: dialer, TLSConfig: &tls.Config{RootCAs: ca.pool(), ClientSessionCache: cache}}
						if how == "silence" {
							o.Timeouts.TLS = 300 * time.Millisecond
						}
						c, err := submission.New(addr, o)
						if err != nil {
							t.Fatal(err)
						}
						for i := range 3 {
							s, err := c.Dial(context.Background())
							if err != nil {
								t.Fatalf("dial %d: %v", i+1, err)
							}
							if st, _ := s.TLS(); st.DidResume {
								t.Error("resumed")
							}
							s.Noop(context.Background()) // with it come the tickets of TLS 1.3
							s.Close()
						}
						if got := handshakes.Load(); got != 5 {
							t.Errorf("%d handshakes, want 5: one, and two each", got)
						}
						c.Close()
					}
				})
			})
		}
	}
}

// TestTicketOnlyOnce has a server that fails every handshake after the first: one
// more is tried without the ticket, and no third.
func TestTicketOnlyOnce(t *testing.T) {
	ca := newAuthority(t, "ca")
	cert := ca.issue(t, forIPs("127.0.0.1"))
	var handshakes atomic.Int32
	addr := listen(t, func(nc net.Conn) {
		if handshakes.Add(1) > 1 {
			exactly(nc, 5)
			return
		}
		secured := tls.Server(nc, &tls.Config{Certificates: []tls.Certificate{cert}})
		io.WriteString(secured, "220 hi\r\n")
		talk(secured, false)
	})
	c, err := submission.New(addr, &submission.Options{TLS: submission.TLSImplicit, TLSConfig: &tls.Config{RootCAs: ca.pool()}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i, want := range []int32{1, 3, 4} { // the ticket is gone after the second
		s, err := c.Dial(context.Background())
		if err == nil {
			s.Noop(context.Background())
			s.Close()
		} else {
			wantError[*submission.TLSError](t, err)
		}
		if got := handshakes.Load(); got != want || (err == nil) != (i == 0) {
			t.Errorf("dial %d: %d handshakes, want %d; %v", i+1, got, want, err)
		}
	}
}

// TestTicketAndNewSession has NewSession fail where a Dial would try again: it has
// one connection.
func TestTicketAndNewSession(t *testing.T) {
	addr, ca, _ := ticketPeer(t, true, tls.VersionTLS13, "an end")
	o := &submission.Options{TLS: submission.TLSImplicit, TLSConfig: &tls.Config{RootCAs: ca.pool(), ClientSessionCache: &countingCache{}}}
	for i := range 2 {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		s, err := submission.NewSession(context.Background(), nc, "127.0.0.1", o)
		if i == 0 {
			if err != nil {
				t.Fatal(err)
			}
			s.Noop(context.Background())
			s.Close()
		} else if e := wantError[*submission.TLSError](t, err); !e.Temporary() {
			t.Errorf("%v", err)
		}
	}
}

// fakeDNS has names stand for addresses of this machine until the test ends.
type fakeDNS struct {
	mu      sync.Mutex
	records map[string][]string
	asked   int
	delay   time.Duration
}

func resolve(t *testing.T, records map[string][]string) *fakeDNS {
	t.Helper()
	d := &fakeDNS{records: records}
	old := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go d.serve(server)
		return client, nil
	}}
	t.Cleanup(func() { net.DefaultResolver = old })
	return d
}

// serve answers questions in the form of TCP (RFC 1035, 4.2.2).
func (d *fakeDNS) serve(nc net.Conn) {
	defer nc.Close()
	for {
		head := make([]byte, 2)
		if _, err := io.ReadFull(nc, head); err != nil {
			return
		}
		question := exactly(nc, int(head[0])<<8|int(head[1]))
		answer := d.answer(question)
		nc.Write(append([]byte{byte(len(answer) >> 8), byte(len(answer))}, answer...))
	}
}

func (d *fakeDNS) answer(question []byte) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	time.Sleep(d.delay)
	var p dnsmessage.Parser
	h, err := p.Start(question)
	if err != nil {
		return nil
	}
	q, err := p.Question()
	if err != nil {
		return nil
	}
	h.Response, h.RecursionAvailable = true, true
	ips, known := d.records[strings.TrimSuffix(q.Name.String(), ".")]
	if !known {
		h.RCode = dnsmessage.RCodeNameError
	}
	d.asked++
	b := dnsmessage.NewBuilder(nil, h)
	b.StartQuestions()
	b.Question(q)
	b.StartAnswers()
	for _, text := range ips {
		ip := net.ParseIP(text)
		header := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 60}
		if v4 := ip.To4(); v4 != nil && q.Type == dnsmessage.TypeA {
			b.AResource(header, dnsmessage.AResource{A: [4]byte(v4)})
		} else if v4 == nil && q.Type == dnsmessage.TypeAAAA {
			b.AAAAResource(header, dnsmessage.AAAAResource{AAAA: [16]byte(ip)})
		}
	}
	message, _ := b.Finish()
	return message
}

// listenOn serves each connection to one port of several addresses, those in down
// excepted. It notes the addresses in the order of their connections.
func listenOn(t *testing.T, ips, down []string, serve func(ip string, nc net.Conn)) (port string, seen func() []string) {
	t.Helper()
	var mu sync.Mutex
	var order []string
	var listeners []net.Listener
	for try := 0; ; try++ {
		listeners, port = nil, "0"
		for _, ip := range ips {
			l, err := net.Listen("tcp", net.JoinHostPort(ip, port))
			if err != nil {
				break
			}
			listeners = append(listeners, l)
			_, port, _ = net.SplitHostPort(l.Addr().String())
		}
		if len(listeners) == len(ips) {
			break
		}
		for _, l := range listeners {
			l.Close()
		}
		if try == 10 {
			t.Skipf("this machine has not all of %v", ips)
		}
	}
	for i, l := range listeners {
		ip := ips[i]
		t.Cleanup(func() { l.Close() })
		if slices.Contains(down, ip) {
			l.Close()
			continue
		}
		go func() {
			for {
				nc, err := l.Accept()
				if err != nil {
					return
				}
				mu.Lock()
				order = append(order, ip)
				mu.Unlock()
				go func() {
					defer nc.Close()
					serve(ip, nc)
				}()
			}
		}()
	}
	return port, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(order)
	}
}

// TestNextAddress has a host with several addresses, of which some refuse, or
// accept and end before a greeting: the next is tried (RFC 5321, 5.1).
func TestNextAddress(t *testing.T) {
	ends := func(nc net.Conn) {}
	resets := func(nc net.Conn) { nc.(*net.TCPConn).SetLinger(0) }
	half := func(nc net.Conn) { io.WriteString(nc, "22") }
	works := func(nc net.Conn) { talk(nc, true) }
	says := func(text string) func(net.Conn) {
		return func(nc net.Conn) { io.WriteString(nc, text+"\r\n"); exactly(nc, len("QUIT\r\n")) }
	}
	const a, b, c, six = "127.0.0.1", "127.0.0.2", "127.0.0.3", "::1"
	tests := []struct {
		name  string
		ips   []string
		serve map[string]func(net.Conn) // nil refuses
		ok    bool
		code  int
		last  string // where the session came about, or the answer
		tried int
	}{
		{name: "the first ends", ips: []string{a, b}, serve: map[string]func(net.Conn){a: ends, b: works}, ok: true, last: b, tried: 2},
		{name: "the first resets", ips: []string{a, b}, serve: map[string]func(net.Conn){a: resets, b: works}, ok: true, last: b, tried: 2},
		{name: "half a greeting", ips: []string{a, b}, serve: map[string]func(net.Conn){a: half, b: works}, ok: true, last: b, tried: 2},
		{name: "two end", ips: []string{a, b, c}, serve: map[string]func(net.Conn){a: ends, b: ends, c: works}, ok: true, last: c, tried: 3},
		{name: "one ends, one refuses", ips: []string{a, b, c}, serve: map[string]func(net.Conn){a: ends, b: nil, c: works}, ok: true, last: c, tried: 2},
		{name: "one refuses, one ends", ips: []string{a, b, c}, serve: map[string]func(net.Conn){a: nil, b: ends, c: works}, ok: true, last: c, tried: 2},
		{name: "IPv6 ends, IPv4 works", ips: []string{six, a}, serve: map[string]func(net.Conn){six: ends, a: works}, ok: true, last: a, tried: 2},
		{name: "IPv6 works", ips: []string{six, a}, serve: map[string]func(net.Conn){six: works, a: ends}, ok: true, last: six, tried: 1},
		{name: "all end", ips: []string{a, b}, serve: map[string]func(net.Conn){a: ends, b: ends}, tried: 2},
		{name: "one ends, the others refuse", ips: []string{a, b, c}, serve: map[string]func(net.Conn){a: ends, b: nil, c: nil}, tried: 1},
		{name: "an answer is final", ips: []string{a, b}, serve: map[string]func(net.Conn){a: says("554 no"), b: works}, code: 554, last: a, tried: 1},
		{name: "421 is an answer", ips: []string{a, b}, serve: map[string]func(net.Conn){a: says("421 no"), b: works}, code: 421, last: a, tried: 1},
		{name: "the next answers", ips: []string{a, b, c}, serve: map[string]func(net.Conn){a: ends, b: says("554 no"), c: works}, code: 554, last: b, tried: 2},
	}
	for _, tt := range tests {
		for _, implicit := range []bool{false, true} {
			if implicit && (tt.code != 0 || tt.name == "half a greeting") {
				continue
			}
			t.Run(fmt.Sprint(tt.name, ", implicit TLS ", implicit), func(t *testing.T) {
				ca := newAuthority(t, "ca")
				cert := ca.issue(t, forNames("many.test.example"))
				var down []string
				for ip, serve := range tt.serve {
					if serve == nil {
						down = append(down, ip)
					}
				}
				port, seen := listenOn(t, tt.ips, down, func(ip string, nc net.Conn) {
					if tt.ok && ip == tt.last && implicit {
						secured := tls.Server(nc, &tls.Config{Certificates: []tls.Certificate{cert}})
						io.WriteString(secured, "220 hi\r\n")
						talk(secured, false)
						return
					}
					tt.serve[ip](nc)
				})
				resolve(t, map[string][]string{"many.test.example": tt.ips})
				o := plainText()
				if implicit {
					o.TLS, o.TLSConfig = submission.TLSImplicit, &tls.Config{RootCAs: ca.pool()}
				}
				c, err := submission.New("many.test.example:"+port, o)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				err = c.Ping(context.Background())
				order := seen()
				if (err == nil) != tt.ok || len(order) != tt.tried || tt.last != "" && order[len(order)-1] != tt.last {
					t.Errorf("tried %v: %v", order, err)
				}
				if tt.ok {
					return
				}
				if !isTemporary(err) != (tt.code >= 500) {
					t.Errorf("temporary %v: %v", isTemporary(err), err)
				}
				if e := new(submission.ConnectError); errors.As(err, &e) && (e.Stage != submission.StageGreeting || tt.code != 0 && e.Reply.Code != tt.code) {
					t.Errorf("%v", err)
				}
			})
		}
	}
}

// TestNextAddressIsTheDefaultDialers has a Dialer of the caller's, and an address in
// place of a name: neither has another address.
func TestNextAddressIsTheDefaultDialers(t *testing.T) {
	port, seen := listenOn(t, []string{"127.0.0.1", "127.0.0.2"}, nil, func(ip string, nc net.Conn) {
		if ip == "127.0.0.2" {
			talk(nc, true)
		}
	})
	dns := resolve(t, map[string][]string{"many.test.example": {"127.0.0.1", "127.0.0.2"}})
	for name, dial := range map[string]func(o *submission.Options) string{
		"Dialer":  func(o *submission.Options) string { o.Dialer = new(net.Dialer); return "many.test.example:" + port },
		"address": func(*submission.Options) string { return "127.0.0.1:" + port },
	} {
		o := plainText()
		c, err := submission.New(dial(o), o)
		if err != nil {
			t.Fatal(err)
		}
		before := len(seen())
		wantError[*submission.ConnectError](t, c.Ping(context.Background()))
		if got := len(seen()) - before; got != 1 {
			t.Errorf("%s: %d connections", name, got)
		}
		c.Close()
	}
	asked := dns.asked
	o := plainText()
	c, err := submission.New("127.0.0.1:"+port, o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Ping(context.Background())
	if dns.asked != asked {
		t.Error("an address was looked up")
	}
}

// TestTimeToDialIsForAllAddresses has a look-up eat Timeouts.Dial.
func TestTimeToDialIsForAllAddresses(t *testing.T) {
	port, seen := listenOn(t, []string{"127.0.0.1", "127.0.0.2"}, nil, func(string, net.Conn) {})
	dns := resolve(t, map[string][]string{"many.test.example": {"127.0.0.1", "127.0.0.2"}})
	dns.delay = 200 * time.Millisecond // twice a look, once for each family
	o := plainText()
	o.Timeouts.Dial = 10 * time.Second
	c, err := submission.New("many.test.example:"+port, o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	wantError[*submission.ConnectError](t, c.Ping(context.Background()))
	if got := len(seen()); got != 2 {
		t.Errorf("with time for both looks: %d connections", got)
	}
	o.Timeouts.Dial = 700 * time.Millisecond
	c2, err := submission.New("many.test.example:"+port, o)
	if err != nil {
		t.Fatal(err)
	}
	defer c2.Close()
	start := time.Now()
	wantError[*submission.ConnectError](t, c2.Ping(context.Background()))
	if got := len(seen()); got != 3 || time.Since(start) > time.Second {
		t.Errorf("without it: %d more connections in %v", got-2, time.Since(start))
	}
}

// TestLocalByAnotherName has the default dialer find that a host is this machine.
func TestLocalByAnotherName(t *testing.T) {
	port, _ := listenOn(t, []string{"127.0.0.1"}, nil, func(_ string, nc net.Conn) { talk(nc, true) })
	resolve(t, map[string][]string{"mail.test.example": {"127.0.0.1"}})
	for _, dialer := range []submission.Dialer{nil, new(net.Dialer)} {
		var may bool
		c, err := submission.New("mail.test.example:"+port, plainText(withAuth(mayShow(&may)), func(o *submission.Options) { o.Dialer = dialer }))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Ping(context.Background()); !errors.Is(err, errAsked) || may != (dialer == nil) {
			t.Errorf("Dialer %v: may show %v; %v", dialer, may, err)
		}
		c.Close()
	}
}

// TestDialFailsForGood has errors of dialing that trying again does not mend, alone
// and among others: several are permanent only if all are.
func TestDialFailsForGood(t *testing.T) {
	nxdomain := &net.DNSError{Err: "no such host", Name: testHost, IsNotFound: true}
	dead := func(err error) submission.Dialer {
		return dialFunc(func(context.Context, string, string) (net.Conn, error) { return nil, err })
	}
	proxy := func(status string) submission.Dialer {
		d, _ := connectTo(t, "HTTP/1.1 "+status+"\r\n\r\n")
		return d
	}
	permanent := map[string]submission.Dialer{
		"NXDOMAIN": dead(nxdomain), "NXDOMAIN in an OpError": dead(&net.OpError{Op: "dial", Net: "tcp", Err: nxdomain}),
		"403": proxy("403 Forbidden"), "407": proxy("407 no"),
	}
	temporary := map[string]submission.Dialer{
		"refused": dead(&net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", errnoRefused)}), "502": proxy("502 Bad Gateway"),
		"SERVFAIL": dead(&net.DNSError{Err: "server misbehaving", Name: testHost, IsTemporary: true}),
		"unclear":  dead(&net.DNSError{Err: "no such host", Name: testHost, IsNotFound: true, IsTemporary: true}),
	}
	check := func(name string, d submission.Dialer, want bool) {
		t.Helper()
		err := viaProxy(t, d, testHost)
		if e := wantError[*submission.ConnectError](t, err); e.Temporary() != want {
			t.Errorf("%s: temporary %v: %v", name, e.Temporary(), err)
		}
	}
	for p, first := range permanent {
		check(p, first, false)
		check("Fallback of "+p, submission.Fallback(first), false)
		for q, second := range permanent {
			check(p+", "+q, submission.Fallback(first, second), false)
			check(p+", "+q+", nested", submission.Fallback(submission.Fallback(first), second), false)
		}
		for q, second := range temporary {
			check(p+", "+q, submission.Fallback(first, second), true)
			check(q+", "+p, submission.Fallback(second, first), true)
			check(p+", "+q+", nested", submission.Fallback(submission.Fallback(first, second), first), true)
			check(p+", "+q+", joined", dialFunc(func(ctx context.Context, network, addr string) (net.Conn, error) {
				_, err1 := first.DialContext(ctx, network, addr)
				_, err2 := second.DialContext(ctx, network, addr)
				return nil, errors.Join(err1, err2)
			}), true)
		}
	}
	for q, d := range temporary {
		check(q, d, true)
	}
	t.Run("a name that does not exist", func(t *testing.T) {
		resolve(t, map[string][]string{})
		c, err := submission.New("nowhere.test.example", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if e := wantError[*submission.ConnectError](t, c.Ping(context.Background())); e.Temporary() || e.Stage != submission.StageDial {
			t.Errorf("temporary %v: %v", e.Temporary(), e)
		}
	})
}

// connectTo is an HTTPConnect dialer to a proxy that says answer.
func connectTo(t *testing.T, answer string) (submission.Dialer, *connectProxy) {
	t.Helper()
	p := &connectProxy{answer: answer}
	d, err := submission.HTTPConnect(&url.URL{Scheme: "http", Host: listen(t, p.serve)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d, p
}
