//go:build unix

package load

import (
	"context"
	"io"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/outbox"
)

// maxGrowth is what the heap may grow by, however large a message is: the client of the engine
// asks for 500 parts of 128 KiB ahead, and as much may be garbage; the rest are caches.
const maxGrowth = 256 << 20

// TestLargeMessage queues and sends a message of 1 GiB, with -large, else of 160 MiB, in
// memory that does not grow with it.
func TestLargeMessage(t *testing.T) {
	size := int64(few(160, 1024)) << 20
	client := smtpServer(t, 1)
	ob := open(t, place(t))
	peak := watchHeap(t)
	start := time.Now()
	_, err := ob.Enqueue(t.Context(), envelope, io.LimitReader(lines{}, size), nil)
	must(t, err)
	t.Logf("%d MiB queued: %.0f MiB/s, heap + %d MiB", size>>20, float64(size>>20)/time.Since(start).Seconds(), peak()>>20)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	start = time.Now()
	must(t, ob.Work(ctx, &outbox.WorkOptions{
		Client: func(string) (*submission.Client, error) { return client, nil },
		OnDone: func(_ context.Context, r outbox.Record) {
			if cancel(); r.Status != outbox.Sent {
				t.Errorf("%+v", r)
			}
		},
	}))
	grown := peak()
	t.Logf("sent: %.0f MiB/s, heap + %d MiB, limit %d", float64(size>>20)/time.Since(start).Seconds(), grown>>20, maxGrowth>>20)
	if grown > maxGrowth {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
}

// lines are octets of a message without an end.
type lines struct{}

func (lines) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = octets[64+i%64]
	}
	return len(p), nil
}

// watchHeap returns a function that says how much the heap grew at most.
func watchHeap(t *testing.T) (peak func() uint64) {
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	runtime.GC()
	var mu sync.Mutex
	before, most := heap(), uint64(0)
	look := func() uint64 {
		mu.Lock()
		defer mu.Unlock()
		most = max(most, heap())
		return most - min(most, before)
	}
	ticker, done := time.NewTicker(20*time.Millisecond), make(chan struct{})
	t.Cleanup(func() { ticker.Stop(); close(done) })
	go func() {
		for {
			select {
			case <-ticker.C:
				look()
			case <-done:
				return
			}
		}
	}()
	return look
}
