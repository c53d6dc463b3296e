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
}

func start(c engine.Config) (engine.Engine, error) {
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
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
	e := &embedded{s, lock, c.Dir}
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

func (e *embedded) Shutdown() {
	e.server.Shutdown()
	e.server.WaitForShutdown()
	e.lock.Close()
}
