//go:build unix

package cluster

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/fe022423/submission/outbox"
	"github.com/fe022423/submission/smtptest"
)

// pair is two clients of a queue, each with a mail server of its own. The first client is
// frozen, once, by its mail server, at the command verb.
type pair struct {
	board   *board
	servers [2]*smtptest.Server
	clients [2]*client
	once    sync.Once
	frozen  chan struct{}
}

// newPair starts the first client. answer is what the first server says to verb.
func newPair(t *testing.T, n *nodes, queue, verb string) *pair {
	p := &pair{board: newBoard(), frozen: make(chan struct{})}
	for i := range p.servers {
		p.servers[i] = smtptest.NewServer(&smtptest.Config{Discard: true, Hook: func(c smtptest.Command) *smtptest.Answer {
			if i == 0 && c.Verb == verb {
				p.once.Do(func() {
					p.clients[0].freeze()
					close(p.frozen)
				})
			}
			if c.Verb == "MESSAGE" {
				p.board.accept(c)
			}
			return nil
		}})
		t.Cleanup(p.servers[i].Close)
	}
	p.clients[0] = newClient(t, p.board, order{URL: n.url(), Queue: queue, SMTP: p.servers[0].Addr()})
	p.clients[0].give(keyName(0))
	return p
}

// second starts the second client, as soon as the first one is frozen.
func (p *pair) second(ctx context.Context, t *testing.T) {
	select {
	case <-p.frozen:
	case <-ctx.Done():
		t.Fatal("the first client does not come to it")
	}
	o := p.clients[0].order
	o.SMTP = p.servers[1].Addr()
	p.clients[1] = newClient(t, p.board, o)
}

// becomes waits until OnDone, of either client, said that the message is in this status.
func (p *pair) becomes(ctx context.Context, t *testing.T, want outbox.Status) {
	t.Helper()
	if err := p.board.await(ctx, func() bool {
		for _, status := range p.board.done {
			if status == string(want) {
				return true
			}
		}
		return false
	}); err != nil {
		t.Fatalf("the message does not become %s: %v, events %v", want, p.board.done, p.board.events)
	}
}

// A client that is frozen while its server accepts the message is taken for dead, and the
// message is held. The 250 wins when the client thaws.
func testFrozenWithVerdict(t *testing.T, n *nodes) {
	ctx := deadline(t, time.Minute)
	p := newPair(t, n, "verdict", "MESSAGE")
	p.second(ctx, t)
	p.becomes(ctx, t, outbox.Held)
	p.clients[0].thaw()
	p.becomes(ctx, t, outbox.Sent)
	if p.board.events["late"] != 1 || p.board.accepted[keyName(0)] != 1 {
		t.Errorf("events %v, accepted %v", p.board.events, p.board.accepted)
	}
	p.end(t, n, "verdict")
}

// A client that is frozen before its mark does not send what another one has sent meanwhile.
func testFrozenBeforeMark(t *testing.T, n *nodes) {
	ctx := deadline(t, time.Minute)
	p := newPair(t, n, "mark", "RCPT")
	p.second(ctx, t)
	p.becomes(ctx, t, outbox.Sent)
	p.clients[0].thaw()
	p.clients[0].give(keyName(1)) // it goes on to work
	if err := p.board.await(ctx, func() bool { return len(p.board.done) == 2 }); err != nil {
		t.Error(err)
	}
	p.end(t, n, "mark")
	if sent := len(p.servers[0].Messages()); p.board.accepted[keyName(0)] != 1 || sent > 1 {
		t.Errorf("accepted %v, %d by the server of the frozen one", p.board.accepted, sent)
	}
}

func (p *pair) end(t *testing.T, n *nodes, queue string) {
	t.Helper()
	for _, c := range p.clients {
		c.kill()
	}
	ob := open(t, options(n, queue))
	f := count(deadline(t, time.Minute), t, ob, p.board, len(p.board.promised))
	if f.sent != f.messages {
		t.Errorf("%+v", f)
	}
	t.Logf("%+v, events %v", f, p.board.events)
}
