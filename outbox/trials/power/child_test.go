//go:build linux

package power

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/outbox"
	_ "github.com/fe022423/submission/outbox/embedded"
)

// task is what a child is to do: it looks at what is there and says it, and then queues, and
// sends, until the power fails. A last child does not queue, and ends when all is over.
type task struct {
	Life    int
	Dir     string
	Addr    string // of the SMTP server; "" sends nothing
	Policy  outbox.Policy
	Sync    time.Duration
	Writers int
	Batch   int  // every tenth time so many at once
	Batches bool // always
	Large   int  // every so manieth message is a large one; 0 is none
	Last    bool
}

const childTask = "OUTBOX_POWER_TASK"

func TestMain(m *testing.M) {
	if text := os.Getenv(childTask); text != "" {
		var k task
		if err := json.Unmarshal([]byte(text), &k); err != nil {
			panic(err)
		}
		if err := k.run(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, "child:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// say writes a line to the parent: a word, and what it is about.
func say(word string, what any) {
	b, err := json.Marshal(what)
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s %s\n", word, b) // one write
}

func (k *task) run(ctx context.Context) error {
	ob, err := outbox.Open(ctx, &outbox.Options{Dir: k.Dir, SyncInterval: k.Sync, Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))})
	if err != nil {
		return err
	}
	defer ob.Close()
	if !k.Last || k.Addr == "" {
		if err := k.audit(ctx, ob); err != nil {
			return err
		}
	}
	if k.Addr != "" {
		stop, err := k.work(ctx, ob)
		if err != nil {
			return err
		}
		defer stop()
	}
	if k.Last {
		if k.Addr == "" {
			return nil
		}
		for over := false; !over; {
			s, err := ob.Stats(ctx)
			if err != nil {
				return err
			}
			over = s.Counts[outbox.Queued]+s.Counts[outbox.Deferred]+s.Counts[outbox.Committing] == 0
		}
		return k.audit(ctx, ob)
	}
	var writers sync.WaitGroup
	for w := range k.Writers {
		writers.Go(func() {
			for n := 0; ; n++ {
				k.enqueue(ctx, ob, fmt.Sprintf("%d-%d-%d", k.Life, w, n), n)
			}
		})
	}
	writers.Wait()
	return nil
}

// enqueue queues a message, or a batch, and says that it was acknowledged.
func (k *task) enqueue(ctx context.Context, ob *outbox.Outbox, name string, n int) {
	if k.Batch == 0 || n%10 != 5 && !k.Batches {
		key := fmt.Sprintf("%s-0-1-%d", name, k.size(n))
		if _, err := ob.Enqueue(ctx, envelope(key), bytes.NewReader(body(key)), &outbox.Item{Key: key}); err == nil {
			say("acknowledged", []string{key})
		}
		return
	}
	var keys []string
	for i := range k.Batch {
		keys = append(keys, fmt.Sprintf("%s-%d-%d-%d", name, i, k.Batch, k.size(n+i)))
	}
	_, err := ob.EnqueueAll(ctx, func(yield func(outbox.Message) bool) {
		for _, key := range keys {
			if !yield(outbox.Message{Envelope: envelope(key), Body: bytes.NewReader(body(key)), Item: &outbox.Item{Key: key}}) {
				return
			}
		}
	})
	if err == nil {
		say("acknowledged", keys)
	}
}

func (k *task) size(n int) int {
	if k.Large > 0 && n%k.Large == k.Large-1 {
		return 300_000 + n
	}
	return 100 + 37*(n%100)
}

// A key tells all of its message: life-writer-number-index-batch-size. body is its octets.
func body(key string) []byte {
	size := 0
	fmt.Sscan(key[strings.LastIndexByte(key, '-')+1:], &size)
	line := []byte(key + " line of a message, CRLF at its end\r\n")
	b := append([]byte("Subject: "+key+"\r\n\r\n"), bytes.Repeat(line, size/len(line)+1)...)
	return b
}

func envelope(key string) submission.Envelope {
	return submission.Envelope{From: "me@example.org", To: submission.To("k" + key + "@example.net")}
}

// found is what a child sees of a message.
type found struct {
	Key       string
	Status    outbox.Status
	Uncertain int
	Wrong     string // what is the matter with its octets
}

// audit says what is there.
func (k *task) audit(ctx context.Context, ob *outbox.Outbox) error {
	var all []found
	for r, err := range ob.List(ctx, outbox.Filter{}) {
		if err != nil {
			return err
		}
		f := found{Key: r.Key, Status: r.Status, Uncertain: r.Uncertain}
		if r.Status != outbox.Sent {
			f.Wrong = wrong(ctx, ob, r)
		}
		all = append(all, f)
	}
	say("found", all)
	return nil
}

func wrong(ctx context.Context, ob *outbox.Outbox, r outbox.Record) string {
	_, rest, err := ob.Message(ctx, r.ID)
	if err != nil {
		return err.Error()
	}
	defer rest.Close()
	got, err := io.ReadAll(rest)
	if err != nil {
		return err.Error()
	}
	if !bytes.Equal(got, body(r.Key)) {
		return "other octets"
	}
	return ""
}

func (k *task) work(ctx context.Context, ob *outbox.Outbox) (stop func(), err error) {
	client, err := submission.New(k.Addr, &submission.Options{TLS: submission.TLSNone})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		ended <- ob.Work(ctx, &outbox.WorkOptions{
			Workers: workers, OnUncertain: k.Policy,
			Client:  func(string) (*submission.Client, error) { return client, nil },
			Backoff: func(int, *submission.SendError) time.Duration { return 0 },
		})
	}()
	return func() {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			fmt.Fprintln(os.Stderr, "child:", err)
		}
		client.Close()
	}, nil
}

const workers = 16 // enough to be stored in groups
