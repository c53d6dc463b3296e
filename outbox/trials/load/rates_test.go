//go:build unix

package load

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"maragu.dev/goqite"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/outbox"
)

// TestRates prints how fast messages of 4 KiB are stored, each synced, beside goqite on SQLite
// with the same messages and beside the disk; and how fast they are sent. -large takes two
// minutes; without it the figures are only a sign that it works.
func TestRates(t *testing.T) {
	var table strings.Builder
	fmt.Fprintf(&table, "\ndisk: %.0f syncs/s of 4 KiB, %.0f of 4 MiB\n", syncRate(t, few(20, 500), 4<<10), syncRate(t, few(2, 20), 4<<20))
	fmt.Fprintf(&table, "%-28s %10s %10s %6s\n", "stored, messages/s", "outbox", "goqite", "ratio")
	row := func(what string, ours, theirs float64) {
		fmt.Fprintf(&table, "%-28s %10.0f %10.0f %6.2f\n", what, ours, theirs, ours/theirs)
	}
	for _, writers := range []int{1, 16, 64} {
		n := few(2*writers, 1000+100*writers)
		row(fmt.Sprintf("one by one, %d writers", writers), enqueueRate(t, writers, n), goqiteRate(t, writers, n))
	}
	for _, batch := range []int{100, 1000} {
		for _, writers := range []int{1, 4} {
			n := few(writers, 10_000/batch*writers)
			row(fmt.Sprintf("batches of %d, %d writers", batch, writers), enqueueAllRate(t, writers, n, batch), goqiteBatchRate(t, writers, n, batch))
		}
	}
	fmt.Fprintf(&table, "%-28s %10s %10s\n", "sent", "messages/s", "CPU each")
	for _, workers := range []int{1, 8, 64} {
		n := few(20, 500+40*workers)
		r, each := sendRate(t, workers, n)
		fmt.Fprintf(&table, "%-28s %10.0f %8.0fµs\n", fmt.Sprintf("%d workers", workers), r, each)
	}
	t.Log(table.String())
}

func enqueueRate(t *testing.T, writers, n int) float64 {
	ob := open(t, place(t))
	defer ob.Close()
	return rate(t, writers, n, func(ctx context.Context) error {
		_, err := ob.Enqueue(ctx, envelope, bytes.NewReader(octets), nil)
		return err
	})
}

func goqiteRate(t *testing.T, writers, n int) float64 {
	db, q := goqiteQueue(t)
	defer db.Close()
	return rate(t, writers, n, func(ctx context.Context) error { return q.Send(ctx, goqite.Message{Body: octets}) })
}

func enqueueAllRate(t *testing.T, writers, n, batch int) float64 {
	ob := open(t, place(t))
	defer ob.Close()
	return float64(batch) * rate(t, writers, n, func(ctx context.Context) error {
		_, err := ob.EnqueueAll(ctx, messages(batch, nil))
		return err
	})
}

func goqiteBatchRate(t *testing.T, writers, n, batch int) float64 {
	db, q := goqiteQueue(t)
	defer db.Close()
	return float64(batch) * rate(t, writers, n, func(ctx context.Context) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		for range batch {
			if err := q.SendTx(ctx, tx, goqite.Message{Body: octets}); err != nil {
				return err
			}
		}
		return tx.Commit()
	})
}

// sendRate is how many messages are sent in a second, and the CPU time of each in microseconds.
func sendRate(t *testing.T, workers, n int) (perSecond, each float64) {
	client := smtpServer(t, workers)
	ob := open(t, place(t))
	defer ob.Close()
	for left := n; left > 0; left -= 500 {
		_, err := ob.EnqueueAll(t.Context(), messages(min(left, 500), nil))
		must(t, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var sent atomic.Int64
	w := &outbox.WorkOptions{Workers: workers, Client: func(string) (*submission.Client, error) { return client, nil }}
	w.OnDone = func(_ context.Context, r outbox.Record) {
		if r.Status != outbox.Sent {
			t.Errorf("%+v", r)
		}
		if sent.Add(1) == int64(n) {
			cancel()
		}
	}
	before := cpu()
	perSecond = float64(n) * rate(t, 1, 1, func(context.Context) error { return ob.Work(ctx, w) })
	return perSecond, float64((cpu() - before).Microseconds()) / float64(n)
}
