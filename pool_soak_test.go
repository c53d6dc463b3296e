package submission_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fe022423/submission"
)

var (
	soakMessages = flag.Int("soak", 500, "how many messages TestSoak sends")
	soakSeed     = flag.Uint64("soakseed", 0, "the seed of TestSoak; 0 takes one from the clock")
)

// chance is a source of chance for many goroutines.
type chance struct {
	mu   sync.Mutex
	rand *rand.Rand
}

// n returns a number below n.
func (c *chance) n(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rand.IntN(n)
}

// oneIn is true once in n times.
func (c *chance) oneIn(n int) bool { return c.n(n) == 0 }

// soakServer is a habitServer on a socket that limits, forgets, closes, stalls and
// restarts as chance has it.
type soakServer struct {
	*habitServer
	chance *chance
	limit  int // sessions at a time
	each   int // messages a session

	mu       sync.Mutex
	listener net.Listener // nil while the server is down
	addr     string
}

// up listens, on the port that the server had before.
func (s *soakServer) up() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	addr := s.addr
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	s.listener, s.addr = l, l.Addr().String()
	s.running.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			s.start(nc)
		}
	})
	return nil
}

// down stops listening and cuts all sessions.
func (s *soakServer) down() {
	s.mu.Lock()
	l := s.listener
	s.listener = nil
	s.mu.Unlock()
	if l != nil {
		l.Close()
	}
	s.cut()
}

// act is the habit.
func (s *soakServer) act(p *habitSession, verb, _ string) *habitAnswer {
	c := s.chance
	stall := time.Duration(50+c.n(400)) * time.Millisecond
	switch {
	case verb == "CONNECT":
		s.habitServer.mu.Lock()
		serving := s.serving
		s.habitServer.mu.Unlock()
		if serving > s.limit {
			return &habitAnswer{reply: []string{"", "421 4.7.0 too many connections", "450 4.7.0 too many connections"}[c.n(3)], closes: true}
		}
	case verb == "QUIT":
		if c.oneIn(20) {
			return &habitAnswer{reply: "221 bye", delay: stall}
		}
	case verb == "MAIL" && p.accepted >= s.each:
		return &habitAnswer{reply: []string{"452 4.4.5 enough", "421 4.4.5 enough", "554 5.7.0 enough"}[c.n(3)], closes: c.oneIn(2)}
	case verb == "MAIL" && c.oneIn(200): // forgot the login
		return &habitAnswer{reply: "530 5.7.0 authentication required"}
	case verb == "MESSAGE" && c.oneIn(300): // takes it, and the verdict is lost
		s.record(p.body)
		if c.oneIn(2) {
			return &habitAnswer{delay: 1500 * time.Millisecond, closes: true}
		}
		return &habitAnswer{closes: true, resets: c.oneIn(2)}
	case verb == "MESSAGE" && c.oneIn(100):
		return &habitAnswer{reply: []string{"451 4.3.0 later", "554 5.6.0 no", "452 4.4.5 enough", "503 5.5.1 what", "421 4.3.0 bye"}[c.n(5)], closes: c.oneIn(2)}
	case verb == "MESSAGE" && c.oneIn(100): // after its verdict
		return &habitAnswer{reply: "250 taken", closes: true}
	case verb == "RCPT" && c.oneIn(200):
		return &habitAnswer{reply: []string{"450 4.2.1 later", "550 5.1.1 who", "421 4.3.0 bye"}[c.n(3)], closes: c.oneIn(3)}
	case c.oneIn(800): // silence
		return &habitAnswer{delay: 1500 * time.Millisecond, closes: true}
	case c.oneIn(400):
		return &habitAnswer{closes: true, resets: c.oneIn(2)}
	case c.oneIn(400):
		time.Sleep(stall)
	}
	return nil
}

// soakLedger is what became of each message, as the servers and the client have it.
type soakLedger struct {
	accepted []atomic.Int32
	outcome  []atomic.Int32 // of the last attempt
	damaged  atomic.Int32
}

// The outcomes of a soakLedger.
const (
	soakSent = iota + 1
	soakNotSent
	soakUnknown
)

// soakText is message n. Some are long.
func soakText(n int) string {
	lines := 1 + n%7
	switch {
	case n%97 == 0:
		lines = 5000
	case n%31 == 0:
		lines = 700
	}
	return fmt.Sprintf("Subject: %d\r\n\r\n", n) + strings.Repeat(fmt.Sprintf(".this is a line of message %d, of some length\r\n", n), lines)
}

// record notes that a server accepted a message.
func (l *soakLedger) record(body []byte) {
	n := 0
	if _, err := fmt.Sscanf(string(body[:min(len(body), 40)]), "Subject: %d\r\n", &n); err != nil || n >= len(l.accepted) || !bytes.Equal(body, []byte(soakText(n))) {
		l.damaged.Add(1)
		return
	}
	l.accepted[n].Add(1)
}

// soakSend sends message n in one of the ways there are.
func soakSend(ctx context.Context, c *submission.Client, ch *chance, n int) error {
	text := soakText(n)
	if ch.oneIn(100) { // the caller gives up
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(ch.n(20_000))*time.Microsecond)
		defer cancel()
	}
	env := poolEnvelope
	switch ch.n(8) {
	case 0:
		_, err := c.Send(ctx, env, struct{ io.Reader }{strings.NewReader(text)})
		return err
	case 1:
		_, err := c.SendFunc(ctx, env, func(w io.Writer) error {
			_, err := io.WriteString(w, text)
			return err
		})
		return err
	case 2:
		tx, err := c.Begin(ctx, env)
		if err != nil {
			return err
		}
		defer tx.Abort()
		if _, err := io.WriteString(tx, text); err != nil {
			return err
		}
		if ch.oneIn(2) {
			if err := tx.Prepare(); err != nil {
				return err
			}
		}
		_, err = tx.Commit()
		return err
	case 3:
		if ch.oneIn(20) { // a source that fails: it is not delivered
			_, err := c.Send(ctx, env, io.MultiReader(strings.NewReader(text), readerFunc(func([]byte) (int, error) { return 0, io.ErrUnexpectedEOF })))
			return err
		}
	}
	_, err := c.Send(ctx, env, strings.NewReader(text))
	return err
}

// descriptors is how many files are open, -1 when that is not known.
func descriptors() int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return -1
	}
	return len(list)
}

// heapInUse is what the heap holds, less what a sync.Pool would give back.
func heapInUse() uint64 {
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// Sixty-four goroutines send many messages through one Client, to servers that limit,
// forget, close, stall and restart. The servers know what they accepted: no message is
// lost, none is there twice, and nothing is left over at the end.
//
//	go test -run TestSoak -soak 50000 .
func TestSoak(t *testing.T) {
	messages := *soakMessages
	if testing.Short() {
		messages = min(messages, 300)
	}
	seed := *soakSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d, %d messages", seed, messages)
	goroutines, files := runtime.NumGoroutine(), descriptors()
	for i, part := range []struct {
		name  string
		share int // in percent
		set   func(*submission.Options)
	}{
		{"clear text", 60, func(*submission.Options) {}},
		{"EarlyData", 30, func(o *submission.Options) { o.EarlyData = true }},
		{"TLS", 10, func(o *submission.Options) {
			o.TLS, o.TLSConfig = submission.TLSImplicit, &tls.Config{InsecureSkipVerify: true}
		}},
	} {
		t.Run(part.name, func(t *testing.T) {
			soak(t, messages*part.share/100, &chance{rand: rand.New(rand.NewPCG(seed, uint64(i)))}, part.set)
		})
	}
	for range 100 { // the kernel and the runtime take their time
		if runtime.NumGoroutine() <= goroutines && descriptors() <= files {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if n := runtime.NumGoroutine(); n > goroutines {
		t.Errorf("%d goroutines, %d before", n, goroutines)
	}
	if n := descriptors(); n > files {
		t.Errorf("%d descriptors, %d before", n, files)
	}
}

// soak sends so many messages to servers of its own.
func soak(t *testing.T, messages int, ch *chance, set func(*submission.Options)) {
	ledger := &soakLedger{accepted: make([]atomic.Int32, messages), outcome: make([]atomic.Int32, messages)}
	o := plainText(set)
	o.ChunkSize = 50_000
	o.Timeouts = submission.Timeouts{Dial: time.Second, Greeting: time.Second, Command: time.Second, DataInit: time.Second, DataBlock: time.Second, DataFinal: time.Second, Quit: time.Second, TLS: 5 * time.Second}
	o.Pool = submission.PoolOptions{MaxSessions: 24, MaxIdle: 6, MaxMessages: 40, IdleTimeout: 300 * time.Millisecond, MaxAge: 5 * time.Second}

	var servers []*soakServer
	for i, keywords := range [][]string{{"PIPELINING"}, {"PIPELINING", "CHUNKING", "ENHANCEDSTATUSCODES"}, {"8BITMIME"}, {"PIPELINING", "CHUNKING"}} {
		s := &soakServer{habitServer: newHabitServer(keywords...), chance: ch, limit: 4 + 2*i, each: 8 + 5*i}
		s.record, s.habit = ledger.record, s.act
		if o.TLS == submission.TLSImplicit {
			s.tls = &tls.Config{Certificates: []tls.Certificate{selfSigned()}}
		}
		if err := s.up(); err != nil {
			t.Fatal(err)
		}
		servers = append(servers, s)
	}
	o.Dialer = dialFunc(func(ctx context.Context, network, _ string) (net.Conn, error) {
		s := servers[ch.n(len(servers))]
		s.mu.Lock()
		addr := s.addr
		s.mu.Unlock()
		return new(net.Dialer).DialContext(ctx, network, addr)
	})
	c, err := submission.New(testHost, o)
	if err != nil {
		t.Fatal(err)
	}

	stop := make(chan struct{})
	var chaos, senders sync.WaitGroup
	chaos.Go(func() { // restarts
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Duration(200+ch.n(800)) * time.Millisecond):
			}
			s := servers[ch.n(len(servers))]
			s.down()
			time.Sleep(time.Duration(ch.n(50)) * time.Millisecond)
			for range 50 {
				if err = s.up(); err == nil {
					break
				}
				time.Sleep(20 * time.Millisecond)
			}
			if err != nil {
				t.Error(err)
			}
		}
	})
	chaos.Go(func() { // somebody watches
		for {
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
				if st := c.Stats(); st.Open > st.MaxSessions || st.Open < 0 || st.InUse < 0 || st.Idle < 0 || st.Waiting < 0 {
					t.Errorf("%+v", st)
				}
				ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
				c.Ping(ctx)
				cancel()
			}
		}
	})

	began, before := time.Now(), heapInUse()
	var next, attempts atomic.Int64
	var heap [4]atomic.Uint64
	for range 64 {
		senders.Go(func() {
			for {
				n := int(next.Add(1)) - 1
				if n >= messages {
					return
				}
				for i := range heap {
					if n == messages*(i+1)/(len(heap)+1) {
						heap[i].Store(heapInUse())
					}
				}
				outcome := int32(soakNotSent)
				for range 12 {
					attempts.Add(1)
					err := soakSend(context.Background(), c, ch, n)
					var e *submission.SendError
					if err == nil {
						outcome = soakSent
						break
					}
					if !errors.As(err, &e) {
						t.Errorf("message %d: %T %v", n, err, err)
						break
					}
					if e.Outcome == submission.Unknown {
						outcome = soakUnknown
						break
					}
					if e.Outcome != submission.NotSent || !e.Temporary() && !errors.Is(e, io.ErrUnexpectedEOF) {
						break
					}
					time.Sleep(time.Duration(ch.n(20)) * time.Millisecond)
				}
				ledger.outcome[n].Store(outcome)
			}
		})
	}
	senders.Wait()
	took := time.Since(began)
	close(stop)
	chaos.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := c.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	st := c.Stats()
	if st.Open != 0 || st.Waiting != 0 || st.Idle != 0 || st.InUse != 0 {
		t.Errorf("after Shutdown: %+v", st)
	}
	for _, s := range servers {
		s.down()
		s.running.Wait()
	}

	var count [4]int
	lost, twice, untrue, uncertain := 0, 0, 0, 0
	for n := range messages {
		outcome, accepted := ledger.outcome[n].Load(), ledger.accepted[n].Load()
		count[outcome]++
		switch {
		case accepted > 1:
			twice++
		case outcome == soakSent && accepted == 0:
			lost++
		case outcome == soakNotSent && accepted > 0:
			untrue++
		case outcome == soakUnknown && accepted == 1:
			uncertain++
		}
	}
	if lost+twice+untrue > 0 || ledger.damaged.Load() > 0 {
		t.Errorf("%d lost, %d accepted twice, %d said not to be sent and accepted, %d damaged", lost, twice, untrue, ledger.damaged.Load())
	}
	if st.Sent != uint64(count[soakSent]) || st.Unknown != uint64(count[soakUnknown]) || st.Sent+st.NotSent+st.Unknown != uint64(attempts.Load()) {
		t.Errorf("the client counted %+v, the test %v in %d attempts", st, count[1:], attempts.Load())
	}
	if count[soakSent] < messages*9/10 {
		t.Errorf("only %d of %d messages were sent", count[soakSent], messages)
	}
	dials := 0
	for _, s := range servers {
		dials += s.dials()
	}
	ledger, servers = nil, nil
	after := heapInUse()
	t.Logf("%d sent, %d not sent, %d unknown (%d of them accepted), in %d attempts and %v; %d sessions, %d started again",
		count[soakSent], count[soakNotSent], count[soakUnknown], uncertain, attempts.Load(), took.Round(time.Millisecond), dials, st.Restarts)
	var during []uint64
	for i := range heap {
		during = append(during, heap[i].Load()>>10)
	}
	t.Logf("heap in KiB: %d before, %d on the way, %d after", before>>10, during, after>>10)
	if after > before+(8<<20) {
		t.Error("the heap has grown")
	}
}
