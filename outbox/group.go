package outbox

import (
	"context"
	"maps"
	"strconv"
	"sync"

	"github.com/nats-io/nats.go"
)

// The engine syncs each publish by itself, one after the other. Those that come while it is
// busy wait here, and are stored together: a batch is synced as a whole, at the price of about
// eight syncs. A few are cheaper one by one.
const (
	minGroup      = 10
	maxGroup      = 256
	maxGroupBytes = 8 << 20
	oneByOne      = 1 // publishes under way at once
)

// grouping is what waits for its turn.
type grouping struct {
	mu      sync.Mutex
	busy    int
	waiting []*waiter
}

// waiter is a publish that waits. It is told what became of it, or what it is to do: alone,
// or for a group of which it is the first.
type waiter struct {
	m    *nats.Msg
	seq  uint64
	err  error
	turn chan []*waiter // receives its group; closed when seq and err are there
}

// send publishes m, in a group if the engine syncs each publish.
func (s *store) send(ctx context.Context, m *nats.Msg) (uint64, error) {
	if s.sync == nil {
		return s.publishOnce(ctx, m)
	}
	return s.publishGrouped(ctx, m)
}

// publishGrouped is publishOnce, together with others if there are many.
func (s *store) publishGrouped(ctx context.Context, m *nats.Msg) (uint64, error) {
	g := &s.group
	g.mu.Lock()
	if g.busy < oneByOne {
		g.busy++
		g.mu.Unlock()
		defer g.next()
		return s.publishOnce(ctx, m)
	}
	w := &waiter{m: m, turn: make(chan []*waiter, 1)}
	g.waiting = append(g.waiting, w)
	g.mu.Unlock()
	select {
	case group, mine := <-w.turn:
		return s.lead(ctx, w, group, mine)
	case <-ctx.Done():
		if g.leave(w) {
			return 0, ctx.Err()
		}
		group, mine := <-w.turn // it is too late to leave; a publish has a limit of its own
		return s.lead(ctx, w, group, mine)
	}
}

// lead does what the turn of w brought.
func (s *store) lead(ctx context.Context, w *waiter, group []*waiter, mine bool) (uint64, error) {
	if mine {
		defer s.group.next()
		if len(group) == 1 {
			return s.publishOnce(ctx, w.m)
		}
		s.publishTogether(context.WithoutCancel(ctx), group)
	}
	if w.err != nil && !maybeStored(w.err) { // it may be about another one of the group
		return s.publishOnce(ctx, w.m)
	}
	return w.seq, w.err
}

// leave reports whether w still waited, and was taken out.
func (g *grouping) leave(w *waiter) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, other := range g.waiting {
		if other == w {
			g.waiting = append(g.waiting[:i], g.waiting[i+1:]...)
			return true
		}
	}
	return false
}

// next ends a turn and gives it to those who wait the longest.
func (g *grouping) next() {
	g.mu.Lock()
	defer g.mu.Unlock()
	n, size := 0, 0
	for n < min(len(g.waiting), maxGroup) && size < maxGroupBytes {
		size += len(g.waiting[n].m.Data)
		n++
	}
	if n < minGroup {
		n = min(n, 1)
	}
	if n == 0 {
		g.busy--
		return
	}
	group := g.waiting[:n:n]
	g.waiting = g.waiting[n:]
	group[0].turn <- group
}

// publishTogether stores a group as a batch, and tells the others of it.
func (s *store) publishTogether(ctx context.Context, group []*waiter) {
	ctx, cancel := context.WithTimeout(ctx, publishTime)
	defer cancel()
	first, err := s.publishBatch(ctx, group)
	for i, w := range group {
		if w.seq, w.err = first+uint64(i), err; i > 0 {
			close(w.turn)
		}
	}
}

// publishBatch returns the sequence of the first one.
func (s *store) publishBatch(ctx context.Context, group []*waiter) (first uint64, err error) {
	batch := newNonce()
	for i, w := range group {
		m := *w.m
		m.Header = maps.Clone(w.m.Header)
		m.Header.Set(headBatch, batch)
		m.Header.Set(headBatchSequence, strconv.Itoa(i+1))
		if i < len(group)-1 {
			if err := s.nc.PublishMsg(&m); err != nil {
				return 0, err
			}
			continue
		}
		m.Header.Set(headCommit, "1")
		ack, err := s.ask(ctx, &m)
		if err != nil {
			return 0, err
		}
		if ack.Count != len(group) || ack.Sequence < uint64(len(group)) {
			return 0, errHalfStored
		}
		first = ack.Sequence - uint64(len(group)) + 1
	}
	return first, nil
}
