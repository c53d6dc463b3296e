package outbox

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fe022423/submission"
)

// WorkOptions say how the messages of a queue are sent. A panic in one of the functions is
// caught and told to Options.Observe; unless it is in OnDone its message is held.
type WorkOptions struct {
	// Client returns the client for Item.Route: always the same one, or one for each tenant.
	// It is asked at each attempt and must not be nil. When it fails the message is deferred.
	Client func(route string) (*submission.Client, error)
	// Workers is how many messages are sent at once; 0 is 8. More than the sessions of the
	// clients only wait for each other.
	Workers int
	// Grace is how long Work waits, after ctx is done, for what it has begun. What it cuts
	// off before its end was not sent and is tried again; what it cuts off in the wait for
	// the verdict is uncertain. 0 is a minute.
	Grace time.Duration
	// MaxAge is how long a message is tried, counted from when it was queued; 0 is five days,
	// the least that RFC 5321, 4.5.4.1 advises.
	MaxAge time.Duration
	// Lease is how long a message stays with a worker that gives no sign of life; 0 is 30 s.
	// All processes that work on a queue should have the same.
	Lease time.Duration
	// Backoff returns the time until the next attempt. attempt is the number of the one that
	// failed, from 1 on. Nil is a minute after the first, twice as long after each further
	// one, up to an hour, shortened at random by up to a half; after a 421 and after refusals
	// that speak of a rate, at least five minutes.
	Backoff func(attempt int, err *submission.SendError) time.Duration
	// OnUncertain is what happens to a message whose outcome is unknown. The zero value is Hold.
	OnUncertain Policy
	// Limit returns the limiter of a route, or nil. Nil limits nothing.
	Limit func(route string) Limiter
	// OnDone is called, at least once, for a message that is Sent, PartlySent, Failed, Held or
	// Dropped by the policy. It is called by the goroutine that sent it, and holds it up.
	OnDone func(context.Context, Record)
}

const (
	defaultWorkers = 8
	defaultGrace   = time.Minute
	defaultMaxAge  = 5 * 24 * time.Hour
	defaultLease   = 30 * time.Second
	// idlePoll is how often a worker that has nothing to do looks for messages that became
	// due. Enqueue and Retry wake it at once.
	idlePoll = time.Second
)

// work is a call of Work.
type work struct {
	*Outbox
	WorkOptions
	name   string          // names this call in the marks
	send   context.Context // of what is begun: it outlives the call's context by Grace
	writes context.Context // of what must be written even then
	cut    atomic.Int64    // messages that Grace made uncertain
}

// Work sends what is due, with as many calls and processes at once as you like, until ctx is
// done or the Outbox is closed. Then it takes no further message and finishes what it has
// begun, within Grace. It returns nil, or an error that says how many messages Grace made
// uncertain. An engine that cannot be reached, at its beginning or later, is asked again and
// again; the Logger is told when that begins and when it ends.
func (o *Outbox) Work(ctx context.Context, w *WorkOptions) error {
	if w == nil || w.Client == nil {
		return failed("work", errors.New("WorkOptions.Client is nil"))
	}
	k := &work{Outbox: o, WorkOptions: *w, name: newNonce()}
	k.defaults()
	o.mu.Lock()
	if o.closed {
		o.mu.Unlock()
		return failed("work", ErrClosed)
	}
	o.workers.Add(1)
	o.mu.Unlock()
	defer o.workers.Done()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(o.stop, cancel)()
	consumers, err := k.consumersAtLast(ctx)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return failed("work", err)
	}
	var end context.CancelFunc
	k.send, end = graceful(ctx, k.Grace)
	defer end()
	k.writes = context.WithoutCancel(ctx)

	var background sync.WaitGroup
	background.Go(func() { k.keepHouse(ctx) })
	k.dispatch(ctx, consumers)
	cancel()
	background.Wait()
	if n := k.cut.Load(); n > 0 {
		return fmt.Errorf("outbox: work: Grace of %v cut off %d messages that waited for the verdict of the server: they are uncertain", k.Grace, n)
	}
	return nil
}

func (k *work) defaults() {
	if k.Workers <= 0 {
		k.Workers = defaultWorkers
	}
	if k.Grace <= 0 {
		k.Grace = defaultGrace
	}
	if k.MaxAge <= 0 {
		k.MaxAge = defaultMaxAge
	}
	if k.Lease <= 0 {
		k.Lease = defaultLease
	}
	if k.Backoff == nil {
		k.Backoff = defaultBackoff
	}
}

// graceful is a context that is done d after ctx.
func graceful(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
			cancel()
		case <-late.Done():
		}
	})
	return late, func() { stop(); cancel() }
}

// dispatch hands out messages until ctx is done, and waits for the workers. It fetches no
// more than there are workers free, so that nothing waits with its lease running.
func (k *work) dispatch(ctx context.Context, consumers []jetstream.Consumer) {
	var busy sync.WaitGroup
	defer busy.Wait()
	free := make(chan struct{}, k.Workers)
	for range k.Workers {
		free <- struct{}{}
	}
	wake := make(chan struct{}, 1)
	if sub, err := k.nc.Subscribe(k.wakeSubject(), func(*nats.Msg) { signal(wake) }); err == nil {
		defer sub.Unsubscribe()
	}
	poll := time.NewTicker(k.poll)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-free:
		}
		slots := 1 + drain(free)
		got := 0
		for _, c := range consumers {
			for _, m := range k.fetch(ctx, c, slots-got) {
				got++
				busy.Go(func() {
					defer func() { free <- struct{}{} }()
					k.deliver(ctx, m)
				})
			}
		}
		for range slots - got {
			free <- struct{}{}
		}
		if got > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-wake:
		case <-poll.C:
		}
	}
}

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// drain takes what is in c now.
func drain(c <-chan struct{}) (n int) {
	for {
		select {
		case <-c:
			n++
		default:
			return n
		}
	}
}
