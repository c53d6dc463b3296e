// Package engine is where package embedded tells package outbox that it is linked in.
package engine

import (
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// Config is what an engine in this process is started with.
type Config struct {
	Dir          string        // made with mode 0700 if it is missing
	SyncInterval time.Duration // 0 is a sync at each write
	Logger       *slog.Logger
}

// Engine is a server in this process.
type Engine interface {
	Room() (n int64, known bool) // how many bytes the directory takes
	Connect(...nats.Option) (*nats.Conn, error)
	// Sync returns when what the server acknowledged is durable; with a SyncInterval at once.
	Sync() error
	// SyncStaged does that for the batches that are not committed yet.
	SyncStaged() error
	Shutdown() // returns when the directory may be opened again
}

// Starter starts an engine.
type Starter func(Config) (Engine, error)

var (
	mu      sync.Mutex
	starter Starter
)

// Register is called once, by package embedded.
func Register(s Starter) {
	mu.Lock()
	defer mu.Unlock()
	starter = s
}

// Registered is what Register was called with, nil if package embedded is not linked in.
func Registered() Starter {
	mu.Lock()
	defer mu.Unlock()
	return starter
}
