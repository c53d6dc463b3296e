package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/outbox/internal/engine"
)

// Options say where the queue is kept, and how. Exactly one of URL, Conn and Dir is set.
type Options struct {
	// URL is that of a NATS server with JetStream, or those of several of a cluster, separated
	// by commas. Whether it syncs each write is up to its configuration (sync_interval: always
	// in its jetstream block); a client can neither set it nor find it out, so that Open cannot
	// warn. Without it a power failure may lose what was acknowledged in the last minutes.
	URL string
	// Conn is a connection of yours to such a server. Close leaves it open.
	Conn *nats.Conn
	// Dir is a directory of the queue's own, made with mode 0700 if it is missing: a server
	// in this process keeps the queue there. Import package outbox/embedded for it. It is
	// locked: one Outbox at a time.
	//
	// What was acknowledged survives a failure of the power, if the file system and the disk
	// keep what they are told to sync: bytes by fsync of the file, names by fsync of the file
	// or of the directory. Both kinds were tried; a disk that only says that it has synced
	// cannot be helped.
	Dir string
	// SyncInterval is how often the server in Dir syncs its files. 0 is at each write, before
	// Enqueue returns. With anything else a failure of the power, though not a crash of
	// the process, loses what was stored since the last sync, which took place up to so long
	// ago, or a little longer on a busy disk: messages that were acknowledged, parts of what
	// EnqueueAll stored, and records of what was sent, which is then sent once more, also with
	// the policy Hold.
	SyncInterval time.Duration
	// Name is that of the queue, of letters, digits, "-" and "_"; "" is "outbox".
	Name string
	// Replicas is how many servers of a cluster keep the queue; 0 is 1.
	Replicas int
	// MaxBytes bounds the queue, and once more the messages above 256 KiB, which are kept
	// apart. The room is reserved at once. 0 is no bound but the disk, of which Enqueue leaves
	// 16 MiB free.
	MaxBytes int64
	// Keep is how long the record of a message is kept after it was sent, canceled or
	// dropped, and so how long its key is known. 0 is 24 hours.
	Keep time.Duration
	// Logger takes what needs attention; nil is slog.Default().
	Logger *slog.Logger
	// Observe is told what happens to messages, from the goroutines that do it. It must not
	// block. Nil is nobody. A panic of it is logged, and changes nothing.
	Observe func(Event)
}

const (
	defaultName = "outbox"
	defaultKeep = 24 * time.Hour
	openTime    = 30 * time.Second // for the calls of Open to the engine
	openTry     = 5 * time.Second  // of these: a request to a cluster without a leader is never answered
)

// Outbox is a durable queue for mail. It is safe for concurrent use.
type Outbox struct {
	*store
	options Options
	engine  engine.Engine // nil with URL and Conn
	// delivered is the sequence up to which a predecessor of an engine in this process may
	// have had messages in hand.
	delivered uint64
	checker   *submission.Client
	paused    atomic.Pointer[map[string]bool]

	mu      sync.Mutex
	closed  bool
	workers sync.WaitGroup
	stop    context.Context // done when Close is called
	stopNow context.CancelFunc
	active  map[ID]bool // what workers of this process have in hand
}

// Open makes the streams of the queue, or checks those that are there: it refuses a
// configuration that would lose mail. With Dir it starts the server, and what a process that
// died had in hand is free at once.
//
// With URL one server that can be reached is enough to connect. A cluster that has no majority
// yet is given 30 seconds, or until ctx is done. Later the queue connects again by itself,
// however long all servers were away.
func Open(ctx context.Context, o *Options) (*Outbox, error) {
	ob, err := newOutbox(o)
	if err != nil {
		return nil, failed("open", err)
	}
	ctx, cancel := context.WithTimeout(ctx, openTime)
	defer cancel()
	if err := ob.connect(); err != nil {
		return nil, failed("open", err)
	}
	err = ob.prepareAtLast(ctx)
	if err == nil && ob.engine != nil {
		err = ob.freeLeases(ctx)
	}
	if err != nil {
		ob.disconnect()
		return nil, failed("open", ob.roomHint(err))
	}
	return ob, nil
}

func newOutbox(o *Options) (*Outbox, error) {
	ob := &Outbox{store: &store{again: engineDelay, poll: idlePoll}, active: map[ID]bool{}}
	if o != nil {
		ob.options = *o
	}
	c := &ob.options
	if c.Name == "" {
		c.Name = defaultName
	}
	if c.Keep <= 0 {
		c.Keep = defaultKeep
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.Replicas = max(c.Replicas, 1)
	n := 0
	for _, set := range []bool{c.URL != "", c.Conn != nil, c.Dir != ""} {
		if set {
			n++
		}
	}
	switch {
	case n != 1:
		return nil, errors.New("set exactly one of Options.URL, Conn and Dir")
	case strings.Trim(strings.ToLower(c.Name), "abcdefghijklmnopqrstuvwxyz0123456789-_") != "":
		return nil, fmt.Errorf("Options.Name %q: use letters, digits, - and _", c.Name)
	case c.Dir != "" && c.Replicas > 1:
		return nil, errors.New("Options.Replicas needs a cluster: Options.URL or Conn")
	case c.MaxBytes < 0:
		return nil, errors.New("Options.MaxBytes is negative")
	}
	ob.name = c.Name
	ob.stop, ob.stopNow = context.WithCancel(context.Background())
	ob.paused.Store(&map[string]bool{})
	checker, err := newChecker()
	ob.checker = checker
	return ob, err
}

// Keep is how long a key is known at least after its message was sent, canceled or dropped:
// Options.Keep, or its default. What is repeated later is another message.
func (o *Outbox) Keep() time.Duration { return o.options.Keep }

// connect gets a connection, and starts the server in Dir.
func (o *Outbox) connect() (err error) {
	c := &o.options
	o.remote = c.Dir == ""
	connected := []nats.Option{nats.Name("outbox " + c.Name), nats.MaxReconnects(-1)}
	switch {
	case c.Conn != nil:
		o.nc = c.Conn
	case c.URL != "":
		o.nc, err = o.dial(connected)
	default:
		start := engine.Registered()
		if start == nil {
			return errors.New(`Options.Dir needs the server: import _ "github.com/fe022423/submission/outbox/embedded"`)
		}
		if o.engine, err = start(engine.Config{Dir: c.Dir, SyncInterval: c.SyncInterval, Logger: c.Logger}); err != nil {
			return err
		}
		o.dir, o.free = c.Dir, o.engine.Room
		if c.SyncInterval <= 0 {
			o.sync, o.staged = o.engine.Sync, o.engine.SyncStaged
		}
		o.nc, err = o.engine.Connect(connected...)
	}
	if err == nil {
		o.js, err = jetstream.New(o.nc)
	}
	if err != nil {
		o.disconnect()
	}
	return err
}

func (o *Outbox) disconnect() {
	if o.nc != nil && o.options.Conn == nil {
		o.nc.Close()
	}
	if o.engine != nil {
		o.engine.Shutdown()
	}
}

// Close stops the workers, which finish what they have begun within their Grace, and then the
// server in Dir. The queue stays where it is. A second Close does nothing.
func (o *Outbox) Close() error {
	o.mu.Lock()
	closed := o.closed
	o.closed = true
	o.mu.Unlock()
	if closed {
		return nil
	}
	o.stopNow()
	o.workers.Wait()
	o.disconnect()
	return nil
}

// begin refuses calls after Close.
func (o *Outbox) begin() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return ErrClosed
	}
	return nil
}
