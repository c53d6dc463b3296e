//go:build unix

package cluster

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/fe022423/submission/outbox"
	"github.com/fe022423/submission/smtptest"
)

// again queues the message of a key once, and tells a promise from an error.
func again(ctx context.Context, ob *outbox.Outbox, key string) (duplicate bool, err error) {
	env, body := letter(key)
	_, err = ob.Enqueue(ctx, env, body, &outbox.Item{Key: key})
	if errors.Is(err, outbox.ErrDuplicate) {
		return true, nil
	}
	return false, err
}

// The leader is stopped, or killed, while messages are queued, at several moments. Who has no
// promise asks again with the same key. Each message is there once.
func testLeaderStopped(t *testing.T, n *nodes) {
	rounds, each := 1, 30 // a round takes as long as the choice of a leader
	if *large {
		rounds = 6
	}
	ctx := deadline(t, 2*time.Minute)
	ob := open(t, options(n, "leader"))
	js := n.aside()
	b := newBoard()
	duplicates, failed := 0, 0
	for round := range rounds {
		leader := n.list[n.leader(ctx, js, "leader")]
		stop, start := leader.kill, leader.start
		if round%2 == 1 {
			stop, start = leader.freeze, leader.thaw
		}
		keys := make(chan string, each)
		for i := range each {
			keys <- keyName(round*each + i)
		}
		close(keys)
		var queueing sync.WaitGroup
		for range 4 {
			queueing.Go(func() {
				for key := range keys {
					duplicate, tries := false, 0
					for err := error(context.Canceled); err != nil && ctx.Err() == nil; tries++ {
						short, cancel := context.WithTimeout(ctx, time.Second) // some answers are not waited for
						duplicate, err = again(short, ob, key)
						cancel()
					}
					b.note(func() {
						b.promised[key] = true
						failed += tries - 1
						if duplicate {
							duplicates++
						}
					})
				}
			})
		}
		b.await(ctx, func() bool { return len(b.promised) >= round*each+each/3 })
		stop()
		queueing.Wait()
		start()
	}
	drain(ctx, t, n, ob, b, rounds*each)
	if failed > 10*rounds*each { // each call waits for an answer, and does not fail at once
		t.Errorf("asked again %d times", failed)
	}
	t.Logf("%d messages in %d stops of the leader: %d times no answer, of which %d had been stored", rounds*each, rounds, failed, duplicates)
}

// drain sends what is queued and counts it.
func drain(ctx context.Context, t *testing.T, n *nodes, ob *outbox.Outbox, b *board, messages int) {
	t.Helper()
	srv := smtptest.NewServer(&smtptest.Config{Discard: true, Hook: func(c smtptest.Command) *smtptest.Answer {
		if c.Verb == "MESSAGE" {
			b.accept(c)
		}
		return nil
	}})
	defer srv.Close()
	mailer := newMailer(srv.Addr())
	defer mailer.Close()
	w := workOptions(mailer)
	w.OnDone = func(_ context.Context, r outbox.Record) { b.note(func() { b.done[string(r.ID)] = string(r.Status) }) }
	working, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- ob.Work(working, w) }()
	if err := b.await(ctx, func() bool { return len(b.done) >= messages }); err != nil {
		t.Error(err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if f := count(deadline(t, time.Minute), t, ob, b, messages); f.sent != messages {
		t.Errorf("%+v", f)
	}
}

// An answer that is lost for good on the way: asked again, over another connection or the
// same one, the message turns out to be stored.
func testAnswerLost(t *testing.T, n *nodes) {
	ctx := deadline(t, time.Minute)
	ob := open(t, options(n, "answer"))
	mode := func(m proxyMode) {
		for _, self := range n.list {
			self.clients.set(m)
		}
	}
	mode(mute)
	short, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if _, err := again(short, ob, keyName(0)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	mode(severed)
	mode(passing)
	if duplicate, err := again(ctx, ob, keyName(0)); !duplicate || err != nil {
		t.Errorf("asked again: it was not there, %v", err)
	}
	b := newBoard()
	b.promised[keyName(0)] = true
	drain(ctx, t, n, ob, b, 1)
}

// Without a majority Enqueue says so, after a time that is bounded, and its message is not
// taken for another one's. When the others wake, it is there once.
func testNoMajority(t *testing.T, n *nodes) {
	ctx := deadline(t, 2*time.Minute)
	open(t, options(n, "majority")).Close()
	leader := n.leader(ctx, n.aside(), "majority")
	o := options(n, "majority")
	o.URL = "nats://" + n.list[leader].clients.addr() // the one that stays awake
	ob := open(t, o)
	for i, self := range n.list {
		if i != leader {
			self.freeze()
		}
	}
	for range 2 { // the second one comes while the first one is not decided
		short, cancel := context.WithTimeout(ctx, time.Second)
		_, err := again(short, ob, keyName(0))
		cancel()
		says(t, err, "outbox: enqueue: ")
		if errors.Is(err, outbox.ErrNotFound) || errors.Is(err, outbox.ErrConflict) {
			t.Errorf("it is taken for another one's: %v", err)
		}
	}
	_, err := again(ctx, ob, keyName(0))
	says(t, err, "outbox: enqueue: ", "perhaps a majority of its 3 replicas is not up")
	if errors.Is(err, outbox.ErrNotFound) || errors.Is(err, outbox.ErrConflict) || ctx.Err() != nil {
		t.Errorf("without a majority: %v", err)
	}
	for _, self := range n.list {
		self.thaw()
	}
	for _, err = again(ctx, ob, keyName(0)); err != nil && ctx.Err() == nil; _, err = again(ctx, ob, keyName(0)) {
		t.Logf("Enqueue, after it: %v", err)
	}
	b := newBoard()
	b.promised[keyName(0)] = err == nil
	drain(ctx, t, n, ob, b, 1)
}
