package outbox_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/fe022423/submission/outbox"
	"github.com/fe022423/submission/smtptest"
)

// lamp is a server that goes out and on again, with the same store and port.
type lamp struct {
	t      *testing.T
	config server.Options
	server *server.Server
}

func newLamp(t *testing.T, jetStream bool) *lamp {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return &lamp{t: t, config: server.Options{
		Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, JetStream: jetStream, StoreDir: t.TempDir(), NoSigs: true,
	}}
}

func (l *lamp) on() string {
	config := l.config
	s, err := server.NewServer(&config)
	if err != nil {
		l.t.Fatal(err)
	}
	go s.Start()
	l.server = s
	l.t.Cleanup(l.off)
	if !s.ReadyForConnections(time.Minute) {
		l.t.Fatal("the server does not start")
	}
	return s.ClientURL()
}

func (l *lamp) off() { l.server.Shutdown(); l.server.WaitForShutdown() }

// lines is a log that several write to.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// Work that begins while no server is up sends what is queued when one comes, and says little
// meanwhile.
func TestWorkWaitsForTheEngine(t *testing.T) {
	lamp, srv, log := newLamp(t, true), smtptest.New(t, nil), &lines{}
	ob, err := outbox.Open(deadline(t), &outbox.Options{URL: lamp.on(), Logger: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ob.Close() })
	id := enqueue(t, ob, envelope(), nil)
	lamp.off()
	w := work(t, ob, srv, nil)
	gone, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if _, err := ob.Get(gone, id); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no NATS server is connected now") {
		t.Errorf("%v", err)
	}
	soon, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_, err = ob.Enqueue(soon, envelope(), text("hello"), &outbox.Item{Key: "k"})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no NATS server is connected now") {
		t.Errorf("%v", err)
	}
	lamp.on()
	w.must(outbox.Sent)
	w.stop()
	for _, want := range []string{"is lost, another one is sought", "connected to a NATS server again"} {
		if strings.Count(log.String(), want) != 1 {
			t.Errorf("the log has not once %q:\n%s", want, log)
		}
	}
	if n := strings.Count(log.String(), "\n"); n > 6 {
		t.Errorf("%d lines:\n%s", n, log)
	}
}

// What is wrong with the servers is said, and nothing secret.
func TestOpenSaysWhatIsWrongWithTheServers(t *testing.T) {
	bare, full := newLamp(t, false), newLamp(t, true)
	for name, c := range map[string]struct {
		options outbox.Options
		want    []string
	}{
		"no JetStream":      {outbox.Options{URL: bare.on()}, []string{"no server with JetStream", "jetstream block"}},
		"too many replicas": {outbox.Options{URL: full.on(), Replicas: 3}, []string{"Options.Replicas is 3", "fewer servers"}},
		"nobody": {outbox.Options{URL: "nats://me:pssst@127.0.0.1:1, nats://pssst@127.0.0.1:2"},
			[]string{"no servers available", "(127.0.0.1:1, 127.0.0.1:2)"}},
		"not a port":     {outbox.Options{URL: "nats://me:pssst@127.0.0.1:x"}, []string{"Options.URL cannot be read"}},
		"not a host":     {outbox.Options{URL: "nats://me:pssst@[127.0.0.1"}, []string{"Options.URL"}},
		"not a password": {outbox.Options{URL: "nats://me:ps%sst@127.0.0.1"}, []string{"Options.URL cannot be read"}},
	} {
		ob, err := outbox.Open(deadline(t), &c.options)
		if err == nil {
			ob.Close()
			t.Errorf("%s: it is open", name)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q in it", name, err, want)
			}
		}
		if strings.Contains(err.Error(), "sst") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %q", name, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := outbox.Open(ctx, &outbox.Options{URL: full.server.ClientURL()}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	nc, err := nats.Connect(full.server.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
	if _, err := outbox.Open(deadline(t), &outbox.Options{Conn: nc}); !errors.Is(err, nats.ErrConnectionClosed) {
		t.Errorf("%v", err)
	}
}

// A list is whole, or it ends with an error: never early because the engine is slow.
func TestListNeverEndsEarly(t *testing.T) {
	lamp := newLamp(t, true)
	url := lamp.on()
	slow := newSlow(t, strings.TrimPrefix(url, "nats://"))
	ob, err := outbox.Open(deadline(t), &outbox.Options{URL: "nats://" + slow.addr()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ob.Close() })
	for range 3 {
		enqueue(t, ob, envelope(), nil)
	}
	slow.hold.Store(true)
	s, err := ob.Stats(deadline(t))
	if err == nil && s.Counts[outbox.Queued] != 3 {
		t.Errorf("%+v", s)
	}
	if slow.hold.Load() {
		t.Error("nothing was held back")
	}
}

// slow passes on what is between a client and a server, but holds the first records back for
// longer than the client waits for them, if it is asked to.
type slow struct {
	net.Listener
	hold atomic.Bool
}

func newSlow(t *testing.T, target string) *slow {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &slow{Listener: l}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", target)
			if err != nil {
				c.Close()
				continue
			}
			go func() { io.Copy(to, c); to.Close() }()
			go s.answers(c, to)
		}
	}()
	return s
}

func (s *slow) addr() string { return s.Addr().String() }

func (s *slow) answers(c, to net.Conn) {
	defer c.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := to.Read(buf)
		if bytes.Contains(buf[:n], []byte("$JS.ACK.")) && s.hold.CompareAndSwap(true, false) {
			time.Sleep(1500 * time.Millisecond) // the client waits for a second
		}
		if _, wrong := c.Write(buf[:n]); wrong != nil || err != nil {
			return
		}
	}
}

// A server of a cluster that does not know a message for a moment is not believed: the
// delivery that it would end is never made again.
func TestMessageThatIsNotKnownForAMoment(t *testing.T) {
	lamp, srv := newLamp(t, true), smtptest.New(t, nil)
	ob, err := outbox.Open(deadline(t), &outbox.Options{URL: lamp.on()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ob.Close() })
	enqueue(t, ob, envelope(), nil)
	var asked atomic.Int64
	outbox.SetSeam(ob, func(call string) error {
		if call == "last" && asked.Add(1) <= 2 {
			return outbox.ErrNotFound
		}
		return nil
	})
	w := work(t, ob, srv, func(o *outbox.WorkOptions) { o.Lease = 50 * time.Millisecond })
	w.must(outbox.Sent)
	w.stop()
}
