package submission

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/fe022423/submission/internal/link"
)

// enter begins a call, which leave ends. A call that began before the Client was
// closed comes to its end.
func (p *pool) enter() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return errClientClosed
	}
	p.sends++
	return nil
}

func (p *pool) isClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

func (p *pool) leave() {
	p.mu.Lock()
	p.sends--
	last := p.closed && p.sends == 0
	p.mu.Unlock()
	if last {
		p.retireIdle()
	}
}

// errClientClosed is what a call gets that began too late.
var errClientClosed = fmt.Errorf("client is %w", ErrClosed)

// shutdown refuses new calls, and waits until those that began before have ended and
// every session is closed. When ctx is done first, it cuts off what still runs.
func (p *pool) shutdown(ctx context.Context) error {
	p.mu.Lock()
	p.closed = true
	if p.drained == nil {
		p.drained = make(chan struct{})
	}
	drained := p.drained
	if p.reaper != nil {
		p.reaper.Stop()
		p.reaper = nil
	}
	p.mu.Unlock()
	p.retireIdle()
	select {
	case <-drained:
		return nil
	case <-ctx.Done():
	}
	select {
	case <-drained: // both at once: it came to its end
		return nil
	default:
	}
	p.kill(fmt.Errorf("%w: %w", errClientClosed, link.CauseOf(ctx)))
	return ctx.Err()
}

// retireIdle closes the sessions that rest, where no call that still runs may want
// them.
func (p *pool) retireIdle() {
	p.mu.Lock()
	var idle []*Session
	if p.closed && p.sends == 0 {
		idle, p.idle = p.idle, nil
	}
	p.checkDrained()
	p.mu.Unlock()
	for _, s := range idle {
		p.retire(s)
	}
}

// checkDrained tells those who wait in shutdown when nothing is left. The pool is
// locked.
func (p *pool) checkDrained() {
	if p.drained != nil && p.sends == 0 && p.slots == 0 {
		for _, timer := range []*time.Timer{p.trier, p.reliever} {
			if timer != nil {
				timer.Stop()
			}
		}
		select {
		case <-p.drained:
		default:
			close(p.drained)
		}
	}
}

// kill cuts off what still runs: waiters, dials and sessions.
func (p *pool) kill(why error) {
	p.mu.Lock()
	if p.killed != nil {
		p.mu.Unlock()
		return
	}
	p.killed = why
	for p.waiters.Len() > 0 {
		p.serve(p.waiters.Front().Value.(*waiter), turn{err: why})
	}
	p.endLife(why)
	members := slices.Collect(maps.Keys(p.members))
	p.mu.Unlock()
	for _, s := range members { // closing a connection is code of the caller's, perhaps
		s.link.Kill(why)
	}
}
