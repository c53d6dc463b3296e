package submission_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/fe022423/submission"
)

// The benchmarks of this file hold figures against their limits: one that is missed
// fails. Rates are ratios to a bare socket that carries the same octets in the same
// flights, measured in the same run.

// within reports a figure beside its limit, and fails when that is missed.
func within(b *testing.B, unit string, got, limit float64) {
	b.ReportMetric(got, unit)
	b.ReportMetric(limit, unit+"-limit")
	if got > limit {
		b.Errorf("%.4g %s, the limit is %.4g", got, unit, limit)
	}
}

// allocsPerRun counts what a send allocates, once the pools are filled.
func allocsPerRun(b *testing.B, send func()) (mallocs, octets float64) {
	const runs = 500
	for range 20 {
		send()
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		send()
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / runs, float64(after.TotalAlloc-before.TotalAlloc) / runs
}

var sinkModes = []struct{ name, offer string }{{"DATA", ""}, {"BDAT", "250-CHUNKING\r\n"}}

// sinkClient returns a Client of a sink in a process of its own.
func sinkClient(b *testing.B, offer string, set ...func(*submission.Options)) *submission.Client {
	b.Helper()
	c, err := submission.New(sink{offer}.listen(b, false), plainText(set...))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	return c
}

// BenchmarkGoalAllocations counts the allocations of a message.
func BenchmarkGoalAllocations(b *testing.B) {
	var fifty []string
	for i := range 50 {
		fifty = append(fifty, fmt.Sprintf("recipient-%d@test.example", i))
	}
	for _, mode := range sinkModes {
		for _, tc := range []struct {
			name        string
			to          []string
			size        int
			cancellable bool
			allocs      float64
			octets      float64 // 0 is no limit
		}{
			{"4KiB", fifty[:1], 4 << 10, false, 4, 0},
			{"4KiB-cancellable", fifty[:1], 4 << 10, true, 6, 0},
			{"50-recipients", fifty, 4 << 10, false, 8, 0},
			{"63KiB", fifty[:1], 63 << 10, false, 8, 64 << 10},
			{"65KiB", fifty[:1], 65 << 10, false, 8, 64 << 10},
			{"1MiB", fifty[:1], 1 << 20, false, 32, 256 << 10},
		} {
			b.Run(mode.name+"/"+tc.name, func(b *testing.B) {
				c := sinkClient(b, mode.offer)
				ctx := context.Background()
				if tc.cancellable {
					var cancel context.CancelFunc
					ctx, cancel = context.WithCancel(ctx)
					defer cancel()
				}
				msg := lines(tc.size)
				r := bytes.NewReader(msg)
				env := submission.Envelope{From: "sender@test.example", To: submission.To(tc.to...), Partial: len(tc.to) > 1}
				send := func() {
					r.Reset(msg)
					if _, err := c.Send(ctx, env, r); err != nil {
						b.Fatal(err)
					}
				}
				var allocs, octets float64
				for b.Loop() {
					allocs, octets = allocsPerRun(b, send)
				}
				within(b, "allocs", float64(int(allocs)), tc.allocs) // what a collection costs the pools does not count
				if tc.octets > 0 {
					within(b, "octets", octets, tc.octets)
				}
			})
		}
	}
}

// holdSession takes the only session of a Client until release is called.
func holdSession(b *testing.B, c *submission.Client) (release func()) {
	b.Helper()
	ahead, err := c.Begin(context.Background(), submission.Envelope{From: "sender@test.example", To: submission.To("recipient@test.example")})
	if err == nil {
		io.WriteString(ahead, "text\r\n") // the sink knows no empty message
		err = ahead.Prepare()
	}
	if err != nil {
		b.Fatal(err)
	}
	return func() {
		if _, err := ahead.Commit(); err != nil {
			b.Error(err)
		}
	}
}

// sendsThatWait starts n sends of 4 KiB that wait for the session of c.
func sendsThatWait(b *testing.B, ctx context.Context, c *submission.Client, n int) *sync.WaitGroup {
	b.Helper()
	msg := lines(4 << 10)
	env := submission.Envelope{From: "sender@test.example", To: submission.To("recipient@test.example")}
	var sends sync.WaitGroup
	for range n {
		sends.Go(func() {
			if _, err := c.Send(ctx, env, bytes.NewReader(msg)); err != nil && !errors.Is(err, context.Canceled) {
				b.Error(err)
			}
		})
	}
	for c.Stats().Waiting < n {
		time.Sleep(time.Millisecond)
	}
	return &sends
}

// BenchmarkGoalWaiters measures the heap of sends that wait with 4 KiB each.
func BenchmarkGoalWaiters(b *testing.B) {
	const n = 10_000
	for b.Loop() {
		c := sinkClient(b, "", withPool(submission.PoolOptions{MaxSessions: 1, MaxMessages: 1 << 30}))
		release := holdSession(b, c)
		before := heap()
		sends := sendsThatWait(b, context.Background(), c, n)
		within(b, "heap-KiB/waiter", float64(heap()-before)/n/1024, 12)
		release()
		sends.Wait()
		// The runtime keeps the descriptor of each goroutine that there was.
		within(b, "heap-KiB-after", float64(max(heap(), before)-before)/1024, 6<<10)
	}
}

func heap() uint64 {
	for range 3 { // a pool lets go of its content at the second
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkGoalWaitersCancelled measures how long 30,000 waiters take to leave.
func BenchmarkGoalWaitersCancelled(b *testing.B) {
	leave := func(n int) time.Duration {
		c := sinkClient(b, "", withPool(submission.PoolOptions{MaxSessions: 1}))
		release := holdSession(b, c)
		defer release()
		ctx, cancel := context.WithCancel(context.Background())
		sends := sendsThatWait(b, ctx, c, n)
		runtime.GC()
		began := time.Now()
		cancel()
		sends.Wait()
		return time.Since(began)
	}
	for b.Loop() {
		few, many := leave(3000), leave(30_000)
		b.ReportMetric(float64(many.Milliseconds()), "ms/30000")
		within(b, "times-as-long-as-3000", float64(many)/float64(max(few, time.Millisecond)), 20)
	}
}

// BenchmarkGoalUnderLoad sends from 64 goroutines over one session, and writes the same
// octets over a bare socket in the same flights.
func BenchmarkGoalUnderLoad(b *testing.B) {
	const senders, each = 64, 200
	msg := lines(4 << 10)
	env := submission.Envelope{From: "sender@test.example", To: submission.To("recipient@test.example")}
	b.Run("DATA", func(b *testing.B) {
		for b.Loop() {
			raw := rawFlights(b, sink{}.listen(b, false), msg, senders*each)
			c := sinkClient(b, "", withPool(submission.PoolOptions{MaxSessions: 1, MaxMessages: 1 << 30}))
			release := holdSession(b, c)
			start := make(chan struct{})
			var sends sync.WaitGroup
			for range senders {
				sends.Go(func() {
					<-start
					for range each {
						if _, err := c.Send(context.Background(), env, bytes.NewReader(msg)); err != nil {
							b.Error(err)
						}
					}
				})
			}
			began := time.Now()
			close(start)
			for c.Stats().Waiting < senders {
				runtime.Gosched()
			}
			release()
			sends.Wait()
			ours := float64(senders*each) / time.Since(began).Seconds()
			b.ReportMetric(ours, "msg/s")
			b.ReportMetric(raw, "raw-msg/s")
			b.ReportMetric(ours/raw, "of-raw")
			b.ReportMetric(0.8, "of-raw-goal")
		}
	})
}

// rawFlights sends n messages over a bare socket, each with the envelope of the next one
// behind it, and returns how many a second.
func rawFlights(b *testing.B, addr string, msg []byte, n int) float64 {
	b.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	in := bufio.NewReader(nc)
	read := func(lines int) {
		for range lines {
			if _, err := in.ReadSlice('\n'); err != nil {
				b.Fatal(err)
			}
		}
	}
	const envelope = "RSET\r\nMAIL FROM:<sender@test.example> BODY=8BITMIME\r\nRCPT TO:<recipient@test.example>\r\nDATA\r\n"
	read(1)
	io.WriteString(nc, envelope)
	read(4)
	flight := []byte(string(msg) + ".\r\n" + envelope)
	began := time.Now()
	for range n {
		if _, err := nc.Write(flight); err != nil {
			b.Fatal(err)
		}
		read(5)
	}
	return float64(n) / time.Since(began).Seconds()
}

// BenchmarkGoalStream sends 64 MiB and, in turns, the same octets over a bare socket.
func BenchmarkGoalStream(b *testing.B) {
	block := lines(1 << 20)
	size := int64(len(block)) * 64
	for _, tc := range []struct {
		name, offer string
		goal        float64
	}{{"DATA", "", 0.6}, {"BDAT", "250-CHUNKING\r\n", 0.75}} {
		b.Run(tc.name, func(b *testing.B) {
			addr := sink{}.listen(b, false)
			c := sinkClient(b, tc.offer)
			env := submission.Envelope{From: "sender@test.example", To: submission.To("recipient@test.example")}
			var ours, raw time.Duration
			for b.Loop() {
				for range 8 {
					began := time.Now()
					bare(b, addr, false, &repeated{block: block, left: size})
					raw += time.Since(began)
					began = time.Now()
					if _, err := c.Send(context.Background(), env, &repeated{block: block, left: size}); err != nil {
						b.Fatal(err)
					}
					ours += time.Since(began)
				}
			}
			b.ReportMetric(float64(raw)/float64(ours), "of-raw")
			b.ReportMetric(tc.goal, "of-raw-goal")
		})
	}
}
