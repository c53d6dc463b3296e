package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/outbox"
	"github.com/fe022423/submission/smtptest"
)

func TestDeferredMessage(t *testing.T) {
	srv := smtptest.New(t, &smtptest.Config{Hook: smtptest.Times(1, smtptest.On("RCPT", "", "451 later"))})
	ob := open(t, nil)
	ctx := deadline(t)
	settled := make(chan outbox.Record, 10)
	w := work(t, ob, srv, func(w *outbox.WorkOptions) {
		w.Backoff = func(attempt int, err *submission.SendError) time.Duration {
			settled <- outbox.Record{Attempts: attempt, Err: err.Error()}
			return time.Hour
		}
	})
	id := enqueue(t, ob, envelope(), nil)
	if r := <-settled; r.Attempts != 1 || !strings.Contains(r.Err, "451") {
		t.Errorf("%+v", r)
	}
	var r outbox.Record
	for r.Status != outbox.Deferred {
		if r = get(t, ob, id); ctx.Err() != nil {
			t.Fatal("not deferred")
		}
	}
	if wait := time.Until(r.NotBefore); wait < 59*time.Minute || !strings.Contains(r.Recipients[0].Reply, "451") {
		t.Errorf("%+v", r)
	}
	if err := ob.Retry(ctx, id); err != nil {
		t.Fatal(err)
	}
	if r := w.must(outbox.Sent); r.Attempts != 2 || r.Uncertain != 0 {
		t.Errorf("%+v", r)
	}
}

func TestTimeIsOver(t *testing.T) {
	srv := smtptest.New(t, &smtptest.Config{Hook: smtptest.On("RCPT", "late@example.net", "451 later")})
	ob := open(t, nil)
	past := enqueue(t, ob, envelope(), &outbox.Item{Deadline: time.Now().Add(-time.Hour)})
	late := enqueue(t, ob, envelope("late@example.net"), &outbox.Item{Deadline: time.Now().Add(30 * time.Minute)})
	w := work(t, ob, srv, func(w *outbox.WorkOptions) {
		w.Backoff = func(int, *submission.SendError) time.Duration { return time.Hour }
	})
	got := map[outbox.ID]outbox.Record{}
	for range 2 {
		r := w.must(outbox.Failed)
		got[r.ID] = r
	}
	if !strings.Contains(got[past].Err, "time was over") || !strings.Contains(got[late].Err, "no time is left") {
		t.Errorf("%+v", got)
	}
	if err := ob.Retry(deadline(t), past); err != nil { // its deadline does not count any more
		t.Fatal(err)
	}
	w.must(outbox.Sent)
	if m := srv.Messages(); len(m) != 1 {
		t.Errorf("%d messages", len(m))
	}
}

func TestNotBeforeAndCancel(t *testing.T) {
	srv := smtptest.New(t, nil)
	ob := open(t, nil)
	later := enqueue(t, ob, envelope(), &outbox.Item{NotBefore: time.Now().Add(time.Hour)})
	gone := enqueue(t, ob, envelope(), nil)
	if err := ob.Cancel(deadline(t), gone); err != nil {
		t.Fatal(err)
	}
	w := work(t, ob, srv, nil)
	last := enqueue(t, ob, envelope(), &outbox.Item{Priority: outbox.Low})
	if r := w.must(outbox.Sent); r.ID != last {
		t.Errorf("%+v", r)
	}
	w.stop()
	if r := get(t, ob, later); r.Status != outbox.Queued || r.Attempts != 0 {
		t.Errorf("%+v", r)
	}
	if n := len(srv.Messages()); n != 1 {
		t.Errorf("%d messages", n)
	}
}

func TestPrioritiesInOrder(t *testing.T) {
	srv := smtptest.New(t, nil)
	ob := open(t, nil)
	var want []outbox.ID
	for _, p := range []outbox.Priority{outbox.Low, outbox.Normal, outbox.High} {
		want = append([]outbox.ID{enqueue(t, ob, envelope(), &outbox.Item{Priority: p})}, want...)
	}
	w := work(t, ob, srv, func(w *outbox.WorkOptions) { w.Workers = 1 })
	for i := range want {
		if r := w.must(outbox.Sent); r.ID != want[i] {
			t.Errorf("%d: %+v", i, r)
		}
	}
}

func TestPauseAndResume(t *testing.T) {
	srv := smtptest.New(t, nil)
	ob := open(t, nil)
	ctx := deadline(t)
	if err := ob.Pause(ctx, "slow"); err != nil {
		t.Fatal(err)
	}
	slow := enqueue(t, ob, envelope(), &outbox.Item{Route: "slow"})
	w := work(t, ob, srv, func(w *outbox.WorkOptions) { w.Workers, w.Lease = 1, time.Second })
	fast := enqueue(t, ob, envelope(), &outbox.Item{Route: "fast"})
	if r := w.must(outbox.Sent); r.ID != fast {
		t.Errorf("%+v", r)
	}
	if r := get(t, ob, slow); r.Status != outbox.Queued {
		t.Errorf("%+v", r)
	}
	if err := ob.Resume(ctx, "slow"); err != nil {
		t.Fatal(err)
	}
	if r := w.must(outbox.Sent); r.ID != slow {
		t.Errorf("%+v", r)
	}
}

// limiter counts what it is asked for.
type limiter struct {
	mu    sync.Mutex
	asked []int
}

func (l *limiter) Burst() int { return 2 }
func (l *limiter) WaitN(_ context.Context, n int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = append(l.asked, n)
	return nil
}

func TestLimit(t *testing.T) {
	srv := smtptest.New(t, nil)
	ob := open(t, nil)
	l := &limiter{}
	w := work(t, ob, srv, func(w *outbox.WorkOptions) { w.Limit = func(string) outbox.Limiter { return l } })
	var to []string
	for i := range 5 {
		to = append(to, fmt.Sprintf("a%d@example.net", i))
	}
	enqueue(t, ob, envelope(to...), nil)
	w.must(outbox.Sent)
	w.stop()
	if !slices.Equal(l.asked, []int{2, 2, 1}) {
		t.Errorf("%v", l.asked)
	}
}

// What Work has begun comes to its end after its context is done; what Grace cuts off in the
// wait for the verdict is held, and reported.
func TestGrace(t *testing.T) {
	for name, c := range map[string]struct {
		grace time.Duration
		want  outbox.Status
	}{"enough": {time.Minute, outbox.Sent}, "too short": {time.Nanosecond, outbox.Held}} {
		t.Run(name, func(t *testing.T) {
			reached, free := make(chan struct{}), make(chan struct{})
			srv := smtptest.New(t, &smtptest.Config{Hook: func(c smtptest.Command) *smtptest.Answer {
				if c.Verb == "MESSAGE" {
					close(reached)
					<-free
				}
				return nil
			}})
			ob := open(t, nil)
			id := enqueue(t, ob, envelope(), nil)
			client, err := submission.New(srv.Addr(), &submission.Options{TLS: submission.TLSNone})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			ctx, cancel := context.WithCancel(context.Background())
			ended := make(chan error)
			go func() {
				ended <- ob.Work(ctx, &outbox.WorkOptions{Grace: c.grace, Client: func(string) (*submission.Client, error) { return client, nil }})
			}()
			<-reached
			cancel()
			if c.want == outbox.Sent {
				close(free)
			}
			err = <-ended
			if (err != nil) != (c.want == outbox.Held) {
				t.Errorf("Work: %v", err)
			}
			if c.want == outbox.Held {
				close(free)
			}
			if r := get(t, ob, id); r.Status != c.want {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestWorkRefuses(t *testing.T) {
	ob := open(t, nil)
	if err := ob.Work(deadline(t), nil); err == nil {
		t.Error("without options")
	}
	ob.Close()
	if err := ob.Work(deadline(t), &outbox.WorkOptions{Client: func(string) (*submission.Client, error) { return nil, nil }}); !errors.Is(err, outbox.ErrClosed) {
		t.Error(err)
	}
}

// What is not due costs no look at its record, and does not stall what is due: an engine that
// starts delivers all of it.
func TestDeferredMailStallsNothing(t *testing.T) {
	srv := smtptest.New(t, nil)
	ob := open(t, nil)
	const n = 100
	for range n {
		enqueue(t, ob, envelope(), &outbox.Item{NotBefore: time.Now().Add(time.Hour)})
	}
	soon := enqueue(t, ob, envelope(), &outbox.Item{NotBefore: time.Now().Add(time.Millisecond)})
	id := enqueue(t, ob, envelope(), &outbox.Item{NotBefore: time.Now().Add(time.Hour), Key: "retried"})
	if err := ob.Cancel(deadline(t), id); err != nil {
		t.Fatal(err)
	}
	var looks atomic.Int64
	outbox.SetSeam(ob, func(call string) error {
		if call == "last" {
			looks.Add(1)
		}
		return nil
	})
	w := work(t, ob, srv, func(w *outbox.WorkOptions) { w.Workers = 1 })
	if r := w.must(outbox.Sent); r.ID != soon {
		t.Errorf("%+v", r)
	}
	w.stop()
	if got := looks.Load(); got > n/10 {
		t.Errorf("%d looks at records", got)
	}
}
