package outbox_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fe022423/submission/outbox"
	"github.com/fe022423/submission/smtptest"
)

// A record goes when it was kept long enough, and only if it is over.
func TestRecordsExpire(t *testing.T) {
	srv := smtptest.New(t, &smtptest.Config{Hook: smtptest.On("RCPT", "bad@example.net", "550 no")})
	ob := open(t, nil)
	w := work(t, ob, srv, nil)
	sent := enqueue(t, ob, envelope(), &outbox.Item{Key: "k"})
	w.must(outbox.Sent)
	bad := enqueue(t, ob, envelope("bad@example.net"), nil)
	w.must(outbox.Failed)
	w.stop()
	queued := enqueue(t, ob, envelope(), nil)
	for _, c := range []struct {
		after time.Duration
		left  []outbox.ID
	}{{23 * time.Hour, []outbox.ID{sent, bad, queued}}, {25 * time.Hour, []outbox.ID{bad, queued}}} {
		if err := outbox.Sweep(ob, time.Now().Add(c.after)); err != nil {
			t.Fatal(err)
		}
		var got []outbox.ID
		for r := range ob.List(deadline(t), outbox.Filter{}) {
			got = append(got, r.ID)
		}
		if !slices.Equal(got, c.left) {
			t.Errorf("after %v: %v, want %v", c.after, got, c.left)
		}
	}
	if again := enqueue(t, ob, envelope(), &outbox.Item{Key: "k"}); again != sent { // the key is free
		t.Errorf("%q", again)
	}
}

// A worker that slept past its lease while it waited for the verdict is taken for dead by
// another process; what the server said to it wins all the same, and nothing is sent twice.
// That the engine fails meanwhile changes nothing.
func TestVerdictAfterTheLease(t *testing.T) {
	url, _ := natsServer(t)
	reached, free := make(chan struct{}), make(chan struct{})
	srv := smtptest.New(t, &smtptest.Config{Hook: func(c smtptest.Command) *smtptest.Answer {
		if c.Verb == "MESSAGE" {
			close(reached)
			<-free
		}
		return nil
	}})
	var late atomic.Int64
	in := func(o *outbox.Options) {
		o.Dir, o.URL = "", url
		o.Observe = func(e outbox.Event) {
			if e.Kind == outbox.EventLate {
				late.Add(1)
			}
		}
	}
	one, two := open(t, in), open(t, in)
	var asked atomic.Int64
	asked.Store(-1 << 60)
	outbox.SetSeam(one, func(call string) error {
		if call != "last" {
			return nil
		}
		if n := asked.Add(1); n == 2 || n == 3 { // the first one finds that the record was moved
			return errors.New("the disk is gone")
		}
		return nil
	})
	lease := func(w *outbox.WorkOptions) { w.Lease = time.Second }
	id := enqueue(t, one, envelope(), nil)
	w := work(t, one, srv, func(w *outbox.WorkOptions) { w.Lease = time.Second })
	<-reached
	// The other process finds the mark: as if the lease were over, it gets the message again.
	if err := outbox.Redeliver(one, id); err != nil {
		t.Fatal(err)
	}
	other := work(t, two, srv, lease)
	if r := other.must(outbox.Held); r.ID != id {
		t.Errorf("%+v", r)
	}
	asked.Store(0)
	close(free)
	if r := w.must(outbox.Sent); r.ID != id {
		t.Errorf("%+v", r)
	}
	if r := get(t, two, id); r.Status != outbox.Sent || late.Load() != 1 || len(srv.Messages()) != 1 {
		t.Errorf("%+v, %d late, %d messages", r, late.Load(), len(srv.Messages()))
	}
}

// A crash between the object and its message leaves an orphan, which is swept when it is old.
func TestOrphansAreSwept(t *testing.T) {
	ob := open(t, nil)
	large := func() *bytes.Reader { return bytes.NewReader(make([]byte, 300<<10)) }
	kept, err := ob.Enqueue(deadline(t), envelope(), large(), nil)
	if err != nil {
		t.Fatal(err)
	}
	outbox.SetSeam(ob, newCrash(3).seam) // put, put done, publish
	if _, err := ob.Enqueue(deadline(t), envelope(), large(), nil); !errors.Is(err, outbox.Abandoned) {
		t.Fatal(err)
	}
	outbox.SetSeam(ob, nil)
	for _, c := range []struct {
		age  time.Duration
		want int
	}{{time.Hour, 0}, {0, 1}, {0, 0}} {
		if n, err := outbox.SweepObjects(ob, c.age); n != c.want || err != nil {
			t.Errorf("%v: %d swept, %v", c.age, n, err)
		}
	}
	if _, r, err := ob.Message(deadline(t), kept); err != nil {
		t.Error(err)
	} else {
		r.Close()
	}
}

// More than a thousand deferred messages do not keep the next one from being sent.
func TestDeferredMessagesDoNotStallTheQueue(t *testing.T) {
	srv := smtptest.New(t, nil)
	ob := open(t, func(o *outbox.Options) { o.SyncInterval = time.Minute })
	later := &outbox.Item{NotBefore: time.Now().Add(time.Hour)}
	for range 2 {
		batch := func(yield func(outbox.Message) bool) {
			for i := range 600 {
				if !yield(outbox.Message{Envelope: envelope(), Body: text(fmt.Sprint(i)), Item: later}) {
					return
				}
			}
		}
		if _, err := ob.EnqueueAll(deadline(t), batch); err != nil {
			t.Fatal(err)
		}
	}
	id := enqueue(t, ob, envelope(), nil)
	w := work(t, ob, srv, nil)
	if r := w.must(outbox.Sent); r.ID != id {
		t.Errorf("%+v", r)
	}
}

// The record of what was sent never goes before its message: the message would be sent again.
func TestRecordGoesAfterItsMessage(t *testing.T) {
	srv := smtptest.New(t, nil)
	dir := t.TempDir()
	in := func(o *outbox.Options) { o.Dir = dir }
	ob := open(t, in)
	id := enqueue(t, ob, envelope(), nil)
	outbox.SetSeam(ob, func(call string) error {
		if call == "remove" {
			return outbox.Abandoned
		}
		return nil
	})
	w := work(t, ob, srv, nil)
	w.must(outbox.Sent)
	w.stop()
	ob.Close()
	ob = open(t, in)
	for n := range 3 {
		if err := outbox.Sweep(ob, time.Now().Add(48*time.Hour)); err != nil {
			t.Fatal(err)
		}
		_, body, _ := ob.Message(deadline(t), id)
		_, err := ob.Get(deadline(t), id)
		if body != nil && err != nil || (err == nil) != (n == 0) {
			t.Fatalf("sweep %d: the message is there: %v, its record: %v", n, body != nil, err)
		}
	}
	work(t, ob, srv, nil).stop()
	if n := len(srv.Messages()); n != 1 {
		t.Errorf("%d messages", n)
	}
}

// What a process had in hand when it died is free when the directory is opened again, not
// only after the lease.
func TestDeadPredecessorHoldsNothing(t *testing.T) {
	srv := smtptest.New(t, nil)
	dir := t.TempDir()
	in := func(o *outbox.Options) { o.Dir = dir }
	ob := open(t, in)
	enqueue(t, ob, envelope(), nil)
	c := newCrash(1) // the worker's first look at the record
	outbox.SetSeam(ob, c.seam)
	day := func(w *outbox.WorkOptions) { w.Lease = 24 * time.Hour }
	w := work(t, ob, srv, day)
	<-c.dead
	w.stop()
	ob.Close()
	ob = open(t, in)
	work(t, ob, srv, day).must(outbox.Sent)
}

// A publish whose answer is lost was stored: it is recognized as one's own, and is neither a
// duplicate nor a second message.
func TestAnswerThatIsLost(t *testing.T) {
	srv := smtptest.New(t, nil)
	ob := open(t, nil)
	var calls atomic.Int64
	outbox.SetSeam(ob, func(call string) error {
		if call == "published" && calls.Add(1)%2 == 1 { // each write, once
			return nats.ErrTimeout
		}
		return nil
	})
	id := enqueue(t, ob, envelope(), &outbox.Item{Key: "k"})
	w := work(t, ob, srv, nil)
	if r := w.must(outbox.Sent); r.ID != id || r.Attempts != 1 {
		t.Errorf("%+v", r)
	}
	w.stop()
	if calls.Load() != 6 || len(srv.Messages()) != 1 { // the message, the mark, the verdict
		t.Errorf("%d publishes, %d messages", calls.Load(), len(srv.Messages()))
	}
}

// OnDone is not told of a held message again each time that the directory is opened.
func TestHeldMessageIsToldOnce(t *testing.T) {
	srv := smtptest.New(t, &smtptest.Config{Hook: uncertain(1)})
	dir := t.TempDir()
	in := func(o *outbox.Options) { o.Dir = dir }
	ob := open(t, in)
	enqueue(t, ob, envelope(), &outbox.Item{NotBefore: time.Now().Add(time.Hour)}) // what follows it is delivered again
	w := work(t, ob, srv, nil)
	enqueue(t, ob, envelope(), nil)
	w.must(outbox.Held)
	w.stop()
	ob.Close()
	ob = open(t, in)
	w = work(t, ob, srv, func(w *outbox.WorkOptions) { w.Workers = 1 })
	enqueue(t, ob, envelope(), &outbox.Item{Priority: outbox.Low}) // comes last
	w.must(outbox.Sent)
}
