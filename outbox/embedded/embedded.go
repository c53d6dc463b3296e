package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/fe022423/submission/outbox/internal/engine"
)

// startTime bounds how long the server may take to read its directory: a large queue takes a
// while after a crash.
const startTime = 2 * time.Minute

// The import is all that a program needs, as with the drivers of database/sql.
func init() { engine.Register(start) }

type embedded struct {
	server *server.Server
	lock   *os.File
	dir    string
	names  *names

	always bool          // every write is synced
	stop   chan struct{} // ends the syncs of the names at an interval
	ended  chan struct{}
}

func start(c engine.Config) (engine.Engine, error) {
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return nil, err
	}
	lock, err := lockFile(filepath.Join(c.Dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("directory %s: %w", c.Dir, err)
	}
	s, err := server.NewServer(options(c))
	if err != nil {
		lock.Close()
		return nil, err
	}
	s.SetLoggerV2(logger{c.Logger}, false, false, false)
	go s.Start()
	e := &embedded{
		server: s, lock: lock, dir: c.Dir, names: &names{dir: dir}, always: c.SyncInterval <= 0,
		stop: make(chan struct{}), ended: make(chan struct{}),
	}
	go e.syncNames(c)
	if !s.ReadyForConnections(startTime) || !s.JetStreamEnabled() {
		e.Shutdown()
		return nil, errors.New("the embedded server did not start: its reason is in the log (Options.Logger)")
	}
	return e, nil
}

// options are those of a server for one process: no port, no signals, every write synced
// unless that was given up.
func options(c engine.Config) *server.Options {
	o := &server.Options{
		ServerName: "outbox",
		DontListen: true,
		NoSigs:     true,
		JetStream:  true,
		StoreDir:   c.Dir,
		SyncAlways: c.SyncInterval <= 0,
	}
	if c.SyncInterval > 0 {
		o.SyncInterval = c.SyncInterval
	}
	return o
}

func (e *embedded) Connect(o ...nats.Option) (*nats.Conn, error) {
	return nats.Connect("", append(o, nats.InProcessServer(e.server))...)
}

// Sync makes durable what was stored, as far as the server leaves that open.
func (e *embedded) Sync() error {
	if !e.always {
		return nil
	}
	return e.names.sync()
}

// SyncStaged does that for what was stored of batches that are not committed yet: after a
// failure in the middle of a commit the server completes it from there.
func (e *embedded) SyncStaged() error {
	if !e.always {
		return nil
	}
	return e.names.syncStaged()
}

// syncNames does it at the interval at which the server syncs its files, if it has one.
func (e *embedded) syncNames(c engine.Config) {
	defer close(e.ended)
	if e.always {
		return
	}
	t := time.NewTicker(c.SyncInterval)
	defer t.Stop()
	for {
		select {
		case <-e.stop:
			return
		case <-t.C:
		}
		if err := e.names.sync(); err != nil && c.Logger != nil {
			c.Logger.Error("outbox: syncing the directories of the queue", "err", err)
		}
	}
}

func (e *embedded) Shutdown() {
	close(e.stop)
	<-e.ended
	e.server.Shutdown()
	e.server.WaitForShutdown()
	e.lock.Close()
}
