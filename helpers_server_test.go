package submission_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-sasl"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// testHost is the server of the scripts.
const testHost = "mail.test.example"

// plainText returns options for sessions without TLS, changed by each of set.
func plainText(set ...func(*submission.Options)) *submission.Options {
	o := &submission.Options{TLS: submission.TLSNone, LocalName: "client.test.example"}
	for _, f := range set {
		f(o)
	}
	return o
}

func withTLS(m submission.TLSMode) func(*submission.Options) {
	return func(o *submission.Options) { o.TLS = m }
}

func withAuth(a submission.Auth) func(*submission.Options) {
	return func(o *submission.Options) { o.Auth = a }
}

// withAuthInClear is withAuth for a session in clear text over a pipe, whose host is
// not this machine.
func withAuthInClear(a submission.Auth) func(*submission.Options) {
	return func(o *submission.Options) { o.Auth, o.InsecureAuth = a, true }
}

var testPassword = submission.Password{Username: "username", Password: "password"}

func password(set ...func(*submission.Password)) submission.Password {
	p := testPassword
	for _, f := range set {
		f(&p)
	}
	return p
}

func mechanisms(names ...string) func(*submission.Password) {
	return func(p *submission.Password) { p.Mechanisms = names }
}

// openSession makes a session over nc. When there is none, the test fails.
func openSession(t testing.TB, nc net.Conn, o *submission.Options) *submission.Session {
	t.Helper()
	s, err := submission.NewSession(context.Background(), nc, testHost, o)
	if err != nil {
		t.Fatalf("NewSession: %v", err)
	}
	return s
}

// scriptedClient returns a Client whose first connection plays the first script, and so
// on. All of the scripts must be played.
func scriptedClient(t *testing.T, set func(*submission.Options), scripts ...string) *submission.Client {
	t.Helper()
	var dialed atomic.Int32
	var peers []net.Conn
	for _, script := range scripts {
		peers = append(peers, play(t, "whole", script))
	}
	o := plainText()
	o.Dialer = dialFunc(func(context.Context, string, string) (net.Conn, error) {
		n := int(dialed.Add(1))
		if n > len(scripts) {
			return nil, fmt.Errorf("there is no script for dial number %d", n)
		}
		return peers[n-1], nil
	})
	if set != nil {
		set(o)
	}
	c, err := submission.New(testHost, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		if n := int(dialed.Load()); n != len(scripts) {
			t.Errorf("the Client dialed %d times, want %d", n, len(scripts))
		}
	})
	return c
}

// pipedClient returns a Client of srv that uses in-memory connections.
func pipedClient(t *testing.T, srv *smtptest.Server, pool submission.PoolOptions) *submission.Client {
	t.Helper()
	o := plainText()
	o.Pool = pool
	o.Dialer = dialFunc(func(context.Context, string, string) (net.Conn, error) { return srv.Pipe(), nil })
	c, err := submission.New(testHost, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func poolSend(c *submission.Client) error {
	_, err := c.Send(context.Background(), poolEnvelope, strings.NewReader("Subject: pool\n\ntext\n"))
	return err
}

// serve starts a server that is closed with the test. When the test fails, it prints
// the end of the transcript.
func serve(t testing.TB, c *smtptest.Config) *smtptest.Server {
	srv := smtptest.NewServer(c)
	t.Cleanup(func() {
		srv.Close()
		if t.Failed() {
			text := strings.Join(srv.Transcript(), "\n")
			t.Logf("the transcript:\n%s", text[max(0, len(text)-maxShown):])
		}
	})
	return srv
}

// holdingServer is a server that answers a message only after release.
func holdingServer(release <-chan struct{}) *smtptest.Server {
	return smtptest.NewServer(&smtptest.Config{TLS: smtptest.NoTLS, Hook: func(c smtptest.Command) *smtptest.Answer {
		if c.Verb == "MESSAGE" {
			<-release
		}
		return nil
	}})
}

// mechanismServer is a fake server with one account: "user", "right-password".
func mechanismServer(t *testing.T, version uint16, mechanisms ...string) (*smtptest.Server, *submission.Options) {
	t.Helper()
	srv := smtptest.NewServer(&smtptest.Config{
		Accounts:   map[string]string{"user": "right-password"},
		Mechanisms: mechanisms,
		TLSConfig:  &tls.Config{MaxVersion: version},
	})
	t.Cleanup(srv.Close)
	return srv, &submission.Options{TLSConfig: srv.ClientTLSConfig()}
}

// login opens a session with auth and returns the mechanism that was used.
func login(t *testing.T, srv *smtptest.Server, o *submission.Options, auth submission.Auth) (used string, err error) {
	t.Helper()
	options := *o
	options.Auth = auth
	options.Trace = &submission.Trace{Sent: func(_ context.Context, _ submission.SessionInfo, line string) {
		if name, ok := strings.CutPrefix(line, "AUTH "); ok {
			used, _, _ = strings.Cut(name, " ")
		}
		if strings.Contains(line, "right") || strings.Contains(line, "wrong") {
			t.Errorf("the trace shows a secret: %q", line)
		}
	}}
	c, err := submission.New(srv.Addr(), &options)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	err = c.Ping(context.Background())
	return used, err
}

// scriptedSASL is a sasl.Client that sends fixed responses.
type scriptedSASL struct {
	name      string
	initial   []byte
	startErr  error
	responses [][]byte // by challenge
	nextErr   error    // after the last of responses

	challenges []string
}

func (c *scriptedSASL) Start() (string, []byte, error) { return c.name, c.initial, c.startErr }

func (c *scriptedSASL) Next(challenge []byte) ([]byte, error) {
	c.challenges = append(c.challenges, string(challenge))
	if n := len(c.challenges) - 1; n < len(c.responses) {
		return c.responses[n], nil
	}
	return nil, c.nextErr
}

// authWith is an Auth that always returns client.
func authWith(client sasl.Client) submission.AuthFunc {
	return func(context.Context, submission.ServerInfo) (sasl.Client, error) { return client, nil }
}

// dialFunc makes a Dialer of a function.
type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

func (f dialFunc) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return f(ctx, network, addr)
}

// addrConn is a connection that reports other addresses.
type addrConn struct {
	net.Conn
	local, remote net.Addr
}

func (c addrConn) LocalAddr() net.Addr { return c.local }

func (c addrConn) RemoteAddr() net.Addr { return c.remote }

// between returns nc with other addresses, "ip:port" each.
func between(nc net.Conn, local, remote string) net.Conn {
	return addrConn{nc, tcpAddr(local), tcpAddr(remote)}
}

// away returns nc with the addresses of a connection to port 587 of another machine.
func away(nc net.Conn) net.Conn { return between(nc, "192.0.2.1:40000", "192.0.2.25:587") }

type tcpAddr string

func (tcpAddr) Network() string { return "tcp" }

func (a tcpAddr) String() string { return string(a) }

// listen calls serve with each connection to a port of this machine. When the test ends,
// it closes the connections and waits for the calls to return.
func listen(t testing.TB, serve func(net.Conn)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var (
		running sync.WaitGroup
		mu      sync.Mutex
		open    []net.Conn
		over    bool
	)
	running.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, nc)
			if over {
				nc.Close()
			}
			mu.Unlock()
			running.Go(func() {
				defer nc.Close()
				serve(nc)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		over = true
		for _, nc := range open {
			nc.Close()
		}
		mu.Unlock()
		running.Wait()
	})
	return l.Addr().String()
}

// exactly reads n octets, fewer if the connection ends.
func exactly(r io.Reader, n int) []byte {
	b := make([]byte, n)
	io.ReadFull(r, b)
	return b
}

// drip writes text to nc, one octet each minute.
func drip(nc net.Conn, text string) {
	for i := range len(text) {
		time.Sleep(time.Minute)
		if _, err := io.WriteString(nc, text[i:i+1]); err != nil {
			return
		}
	}
}

// talk is a small SMTP server. It answers commands until QUIT, or until STARTTLS, when it
// returns true.
func talk(nc net.Conn, greet bool) bool {
	if greet {
		io.WriteString(nc, "220 hi\r\n")
	}
	in := bufio.NewReader(nc)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return false
		}
		switch verb, _, _ := strings.Cut(strings.TrimSpace(line), " "); verb {
		case "EHLO":
			io.WriteString(nc, "250-mail\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n")
		case "STARTTLS":
			io.WriteString(nc, "220 go\r\n")
			return true
		case "AUTH":
			io.WriteString(nc, "235 ok\r\n")
		case "QUIT":
			io.WriteString(nc, "221 bye\r\n")
			return false
		default:
			io.WriteString(nc, "250 ok\r\n")
		}
	}
}

// connectProxy is an HTTP proxy that answers a CONNECT with answer or, if answer is
// empty, makes a tunnel to the fake server. It keeps the last request.
type connectProxy struct {
	srv     *smtptest.Server
	answer  string
	request *http.Request
}

func (p *connectProxy) serve(nc net.Conn) {
	defer nc.Close()
	req, err := http.ReadRequest(bufio.NewReader(nc))
	if err != nil {
		return
	}
	p.request = req
	if p.answer != "" {
		io.WriteString(nc, p.answer)
		io.Copy(io.Discard, nc)
		return
	}
	up, err := net.Dial("tcp", p.srv.Addr())
	if err != nil {
		return
	}
	defer up.Close()
	// The proxy's own answer and the greeting go out in one segment.
	greeting, err := bufio.NewReaderSize(up, 4096).ReadString('\n')
	if err != nil {
		return
	}
	io.WriteString(nc, "HTTP/1.1 200 Connection established\r\nVia: proxy\r\n\r\n"+greeting)
	go func() {
		io.Copy(up, nc)
		up.Close()
	}()
	io.Copy(nc, up)
}

// socketPair returns the two ends of a TCP connection.
func socketPair(t *testing.T) (left, right net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if left, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if right, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { left.Close(); right.Close() })
	return left, right
}

// selfSigned makes a certificate that no authority has signed.
func selfSigned() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		log.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// tlsOver makes a TLS connection for NewSession to use.
func tlsOver(nc net.Conn, cfg *tls.Config) *tls.Conn {
	cfg = cfg.Clone()
	if cfg.ServerName == "" {
		cfg.ServerName = testHost
	}
	return tls.Client(nc, cfg)
}

// serverPin is the pin of the key in the server's certificate.
func serverPin(t testing.TB, srv *smtptest.Server) [32]byte {
	t.Helper()
	return sha256.Sum256(serverCertificate(t, srv).RawSubjectPublicKeyInfo)
}

// serverCertificate is the certificate that a server of implicit TLS shows.
func serverCertificate(t testing.TB, srv *smtptest.Server) *x509.Certificate {
	t.Helper()
	other := smtptest.Fault{}.Wrap(srv.Pipe())
	defer other.Close()
	nc := tlsOver(other, srv.ClientTLSConfig())
	if err := nc.Handshake(); err != nil {
		t.Fatal(err)
	}
	return nc.ConnectionState().PeerCertificates[0]
}

// bothWays runs f for implicit TLS and for STARTTLS.
func bothWays(t *testing.T, f func(t *testing.T, mode submission.TLSMode)) {
	t.Helper()
	for _, mode := range []submission.TLSMode{submission.TLSImplicit, submission.TLSStartTLS} {
		t.Run(mode.String(), func(t *testing.T) { f(t, mode) })
	}
}

// observed is a Client of a fake server, over pipes, and what it does with them.
type observed struct {
	*submission.Client
	srv   *smtptest.Server
	start time.Time

	mu    sync.Mutex
	conns []*observedConn
}

func (o *observed) dial() net.Conn {
	nc := &observedConn{recorder: record(o.srv.Pipe()), o: o}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.conns = append(o.conns, nc)
	return nc
}

// dials is how many connections the Client has opened.
func (o *observed) dials() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.conns)
}

// written is what the Client has written to its last connection.
func (o *observed) written() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.conns) == 0 {
		return ""
	}
	return string(o.conns[len(o.conns)-1].written())
}

// send sends memo.
func (o *observed) send() (*submission.Result, error) {
	return o.Send(context.Background(), memoTo("b@test.example"), strings.NewReader(memo))
}

// begin starts a transaction that is to succeed.
func (o *observed) begin(t *testing.T) *submission.Transaction {
	t.Helper()
	tx, err := o.Begin(context.Background(), memoTo("b@test.example"))
	if err != nil {
		t.Fatalf("Begin: %v", err)
	}
	return tx
}

// want checks how many connections the Client has opened, and how many messages the
// server has accepted.
func (o *observed) want(t *testing.T, dials, messages int) {
	t.Helper()
	if d, m := o.dials(), len(o.srv.Messages()); d != dials || m != messages {
		t.Errorf("%d connections and %d messages, want %d and %d", d, m, dials, messages)
	}
}

// observedConn is a connection that knows when it was closed.
type observedConn struct {
	*recorder
	o        *observed
	closed   bool
	closedAt time.Duration // since the start of the test
}

func (c *observedConn) Close() error {
	c.o.mu.Lock()
	defer c.o.mu.Unlock()
	if !c.closed {
		c.closed, c.closedAt = true, time.Since(c.o.start)
	}
	return c.recorder.Close()
}

// observe returns a Client of a server with config. Both are closed with the test.
func observe(t *testing.T, config smtptest.Config, set ...func(*submission.Options)) *observed {
	t.Helper()
	config.TLS = smtptest.NoTLS
	o := &observed{srv: serve(t, &config), start: time.Now()}
	options := plainText(set...)
	if options.Dialer == nil {
		options.Dialer = dialFunc(func(context.Context, string, string) (net.Conn, error) { return o.dial(), nil })
	}
	c, err := submission.New(testHost, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	o.Client = c
	return o
}

// oneSession lets the Client open one session at a time.
func oneSession(o *submission.Options) { o.Pool.MaxSessions = 1 }

// endAfterFirst is a hook: the server hangs up after the first message, which it accepts.
func endAfterFirst(c smtptest.Command) *smtptest.Answer {
	if c.Session == 1 && c.Verb == "MESSAGE" {
		return &smtptest.Answer{Reply: "250 taken", Close: true}
	}
	return nil
}

// async starts f. The channel gets its error.
func async(f func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return done
}

// promise tests one promise, in a bubble of testing/synctest.
func promise(t *testing.T, text string, f func(t *testing.T)) {
	t.Run(text, func(t *testing.T) { synctest.Test(t, f) })
}
