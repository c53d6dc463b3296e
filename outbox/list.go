package outbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Filter says which records List returns. The zero value is all of them.
type Filter struct {
	Status    []Status      // any of these; none is every status
	Route     string        // of this route; "" is every route
	OlderThan time.Duration // queued at least so long ago
}

// List returns the records that were there when it began, in the order in which they were
// last changed. Records that change meanwhile are returned as they are then, if they
// still pass the filter; those that are gone are left out. After an error it ends.
func (o *Outbox) List(ctx context.Context, f Filter) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		list, err := o.newest(ctx)
		if err != nil {
			yield(Record{}, failed("list", err))
			return
		}
		now := time.Now()
		for _, at := range list {
			if !f.may(at, now) {
				continue
			}
			e, err := o.last(ctx, at.id)
			if errors.Is(err, ErrNotFound) {
				continue
			}
			if err != nil {
				yield(Record{}, failed("list", err))
				return
			}
			if r := e.state.record(); f.passes(r, now) && !yield(r, nil) {
				return
			}
		}
	}
}

// may reports whether a record can pass, by what its headers say. What cannot be read is held.
func (f Filter) may(at found, now time.Time) bool {
	return len(f.Status) == 0 || slices.Contains(f.Status, at.status) || slices.Contains(f.Status, Held)
}

func (f Filter) passes(r Record, now time.Time) bool {
	return (len(f.Status) == 0 || slices.Contains(f.Status, r.Status)) &&
		(f.Route == "" || f.Route == r.Route) &&
		(f.OlderThan <= 0 || now.Sub(r.Enqueued) >= f.OlderThan)
}

// Stats are figures of a queue.
type Stats struct {
	Counts       map[Status]int // messages, and records that are kept, by their status
	OldestQueued time.Duration  // how long ago the oldest was queued that is Queued or Deferred; 0 without one
	Bytes        int64          // of all that is stored
}

// Stats counts the records. It reads the headers of all of them: with many that takes a while.
func (o *Outbox) Stats(ctx context.Context) (Stats, error) {
	s := Stats{Counts: map[Status]int{}}
	list, err := o.newest(ctx)
	if err != nil {
		return s, failed("stats", err)
	}
	now := time.Now()
	for _, f := range list {
		s.Counts[f.status]++
		if f.status == Queued || f.status == Deferred {
			s.OldestQueued = max(s.OldestQueued, now.Sub(f.enqueued))
		}
	}
	info, err := o.stream.Info(ctx)
	if err == nil {
		s.Bytes = int64(info.State.Bytes)
	}
	if large, wrong := within(ctx, o.store, o.large.Status); wrong == nil {
		s.Bytes += int64(large.Size())
	} else if err == nil {
		err = wrong
	}
	return s, failed("stats", err)
}

// found is what the headers say of a record.
type found struct {
	id                ID
	seq               uint64
	isState           bool
	status            Status
	changed, enqueued time.Time
}

// newest is the newest record of each message, in the order of their sequences.
func (o *Outbox) newest(ctx context.Context) ([]found, error) {
	if err := o.begin(); err != nil {
		return nil, err
	}
	all := map[ID]found{}
	err := o.scan(ctx, func(f found) error {
		if f.seq > all[f.id].seq {
			all[f.id] = f
		}
		return nil
	})
	return slices.SortedFunc(maps.Values(all), func(a, b found) int { return cmp.Compare(a.seq, b.seq) }), err
}

const (
	scanBatch = 500
	scanIdle  = time.Minute // after which the engine forgets a scan that died
)

// errScan: records were lost on their way here, because it took too long or their server died.
var errScan = errors.New("the list is not whole")

// scan calls f for each record and message, with what their headers say. It ends when there is
// nothing more, whatever is deleted meanwhile: it never waits for a number of messages.
// One that died on its way is begun again, so f may be called more than once for one record.
func (o *Outbox) scan(ctx context.Context, f func(found) error) (err error) {
	began := time.Now()
	for pause := publishPause; ; pause = min(2*pause, time.Second) {
		if err = o.scanOnce(ctx, f); err == nil || !isSilent(err) {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		if ctx.Err() != nil || began.Add(publishAll).Before(time.Now()) {
			return o.explained(err)
		}
	}
}

func (o *Outbox) scanOnce(ctx context.Context, f func(found) error) error {
	c, err := o.stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		FilterSubjects: []string{o.name + ".*.m.*", o.name + ".*.s"}, AckPolicy: jetstream.AckNonePolicy,
		HeadersOnly: true, MemoryStorage: true, InactiveThreshold: scanIdle,
		Replicas: o.stream.CachedInfo().Config.Replicas, // with one it may be on a server that is down
	})
	if err != nil {
		return err
	}
	defer o.stream.DeleteConsumer(context.WithoutCancel(ctx), c.CachedInfo().Name)
	handed := uint64(0) // how many came
	for ctx.Err() == nil {
		batch, err := c.FetchNoWait(scanBatch)
		if err != nil {
			return err
		}
		n := 0
		for m := range batch.Messages() {
			n++
			at, err := o.foundIn(m)
			if err == nil {
				err = f(at)
			}
			if err != nil {
				return err
			}
		}
		if err := batch.Error(); err != nil {
			return err
		}
		if n > 0 {
			handed += uint64(n)
			continue
		}
		// There is nothing more, or the engine is slow: only it knows.
		info, err := within(ctx, o.store, c.Info)
		switch {
		case err != nil:
			return err
		case info.Delivered.Consumer != handed:
			return fmt.Errorf("%w: of %d records %d came", errScan, info.Delivered.Consumer, handed)
		case info.NumPending == 0:
			return nil
		}
	}
	return ctx.Err()
}

func (o *Outbox) foundIn(m jetstream.Msg) (found, error) {
	meta, err := m.Metadata()
	if err != nil {
		return found{}, err
	}
	h := m.Headers()
	at := found{seq: meta.Sequence.Stream, status: Status(h.Get(headStatus))}
	at.id, at.isState = o.idOf(m.Subject())
	if !slices.Contains(statuses, at.status) {
		at.status = Held
	}
	at.changed, _ = time.Parse(time.RFC3339Nano, h.Get(headChanged))
	at.enqueued, _ = time.Parse(time.RFC3339Nano, h.Get(headEnqueued))
	return at, nil
}
