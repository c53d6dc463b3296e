package outbox

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
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
		all := len(list)
		list = slices.DeleteFunc(list, func(at found) bool { return !f.may(at, now) })
		show := func(e *entry) bool {
			r := e.state.record()
			return !f.passes(r, now) || yield(r, nil)
		}
		if len(list) > all/fewRecords {
			var more bool
			if list, more = o.readAll(ctx, list, show); !more {
				return
			}
		}
		for _, at := range list {
			e, err := o.last(ctx, at.id)
			if errors.Is(err, ErrNotFound) {
				continue
			}
			if err != nil {
				yield(Record{}, failed("list", err))
				return
			}
			if !show(e) {
				return
			}
		}
	}
}

// fewRecords: up to one in so many is read by a request of its own. For more it is faster to
// read everything.
const fewRecords = 20

// readAll shows the records in list by reading all that is stored, in its order. It returns
// those that it did not find, because they have changed meanwhile or because reading failed,
// and false if show did.
func (o *Outbox) readAll(ctx context.Context, list []found, show func(*entry) bool) (rest []found, more bool) {
	errStop := errors.New("it was told to stop")
	shown := make([]bool, len(list))
	err := o.each(ctx, false, func(m jetstream.Msg) error {
		meta, err := m.Metadata()
		if err != nil {
			return err
		}
		seq := meta.Sequence.Stream
		i, is := slices.BinarySearchFunc(list, seq, func(at found, seq uint64) int { return cmp.Compare(at.seq, seq) })
		if !is {
			return nil
		}
		shown[i] = true
		if !show(o.entryOf(m.Subject(), seq, nats.Header(m.Headers()), m.Data())) {
			return errStop
		}
		return nil
	})
	for i, at := range list {
		if !shown[i] {
			rest = append(rest, at)
		}
	}
	return rest, err != errStop
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
	readBatch = 64          // with their octets, of up to 256 KiB each
	scanIdle  = time.Minute // after which the engine forgets a scan that died
)

// scan calls f for each record and message, with what their headers say.
func (o *Outbox) scan(ctx context.Context, f func(found) error) error {
	return o.each(ctx, true, func(m jetstream.Msg) error {
		at, err := o.foundIn(m)
		if err == nil {
			err = f(at)
		}
		return err
	})
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
