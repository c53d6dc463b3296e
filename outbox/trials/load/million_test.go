//go:build unix

package load

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/outbox"
)

// TestLargeQueue fills a queue, with the messages that are not due yet in front, and prints
// what it takes to open, count, list and send it. What is deferred must not stall what is due.
// -large does it with a million messages (-queued, -deferred), in about 20 minutes.
func TestLargeQueue(t *testing.T) {
	notDue, due := few(300, *deferred), few(700, *queued)
	at := place(t)
	var table strings.Builder
	row := func(what string, start time.Time) {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		fmt.Fprintf(&table, "%-32s %9.3f s  RSS %5d MiB  heap %5d MiB\n", what, time.Since(start).Seconds(), rss(), m.HeapAlloc>>20)
		if *large {
			t.Log(table.String()) // what is known until now
		}
	}

	ob := open(t, at)
	start := time.Now()
	fill(t, ob, notDue, &outbox.Item{NotBefore: time.Now().Add(24 * time.Hour)})
	fill(t, ob, due, nil)
	row(fmt.Sprintf("%d deferred, %d due: filled", notDue, due), start)
	start = time.Now()
	must(t, ob.Close())
	row("closed", start)

	start = time.Now()
	ob = open(t, at)
	row("opened", start)
	start = time.Now()
	s, err := ob.Stats(t.Context())
	must(t, err)
	if s.Counts[outbox.Queued] != notDue+due {
		t.Errorf("%+v", s)
	}
	row("Stats", start)
	start = time.Now()
	n := 0
	for _, err := range ob.List(t.Context(), outbox.Filter{}) {
		must(t, err)
		n++
	}
	if n != notDue+due {
		t.Errorf("%d listed", n)
	}
	row("List, all", start)
	runtime.GC()
	row("after a GC", time.Now())
	start = time.Now()
	client := smtpServer(t, 8)
	first := sendSome(t, ob, client, few(due, 5000))
	row(fmt.Sprintf("first sent after %.3f s, %d sent", first.Seconds(), few(due, 5000)), start)
	must(t, ob.Close())
	t.Log(table.String())
}

func fill(t *testing.T, ob *outbox.Outbox, n int, it *outbox.Item) {
	for left := n; left > 0; left -= 1000 {
		_, err := ob.EnqueueAll(t.Context(), messages(min(left, 1000), it))
		must(t, err)
	}
}

// sendSome sends n messages. It returns when the first one was sent.
func sendSome(t *testing.T, ob *outbox.Outbox, client *submission.Client, n int) (first time.Duration) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	start := time.Now()
	var sent atomic.Int64
	must(t, ob.Work(ctx, &outbox.WorkOptions{
		Client: func(string) (*submission.Client, error) { return client, nil },
		OnDone: func(_ context.Context, r outbox.Record) {
			if r.Status != outbox.Sent {
				t.Errorf("%+v", r)
			}
			switch sent.Add(1) {
			case 1:
				first = time.Since(start)
			case int64(n):
				cancel()
			}
		},
	}))
	return first
}
