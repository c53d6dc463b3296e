//go:build unix

package cluster

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/fe022423/submission/smtptest"
)

// storm is a trial in which all that can happen does, at random moments and at once, while
// messages are queued and sent.
type storm struct {
	messages                                          int
	nodeKills, clientKills, freezes, partitions, rest int // rest: messages after a node is gone for good
}

const (
	clients = 2
	ahead   = 30 // how many messages are in the queue, about
	outage  = 3 * time.Second
)

// trial is a storm that goes on.
type trial struct {
	storm
	t       *testing.T
	ctx     context.Context
	nodes   *nodes
	board   *board
	clients [clients]*client

	mu   sync.Mutex
	left []string // keys to be given
}

// after waits until a part of the messages is done: what happens k-th of n times in its lane.
func (s *trial) after(k, n int) error {
	at := (k + 1) * s.messages / (n + 1)
	return s.board.await(s.ctx, func() bool { return len(s.board.done) >= at })
}

// pass waits until the next messages are done, and no longer than an outage lasts.
func (s *trial) pass(messages int) {
	ctx, cancel := context.WithTimeout(s.ctx, outage)
	defer cancel()
	from := -1
	s.board.await(ctx, func() bool {
		if from < 0 {
			from = len(s.board.done)
		}
		return len(s.board.done) >= from+messages
	})
}

// feed has the clients queue the messages from first on, up to last.
func (s *trial) feed(first, last int) {
	for i := first; i < last; i++ {
		s.left = append(s.left, keyName(i))
	}
	for turn := 0; ; turn++ {
		var key string
		err := s.board.await(s.ctx, func() bool {
			if len(s.board.done) >= last {
				return true
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if len(s.left) == 0 || len(s.board.promised) > len(s.board.done)+ahead {
				return false
			}
			key, s.left = s.left[0], s.left[1:]
			return true
		})
		if err != nil || key == "" {
			return
		}
		if !s.clients[turn%clients].give(key) {
			s.giveBack(key)
		}
	}
}

func (s *trial) giveBack(keys ...string) {
	s.board.note(func() {
		s.mu.Lock()
		s.left = append(s.left, keys...)
		s.mu.Unlock()
	})
}

// lane has something happen n times, one after the other.
func (s *trial) lane(wg *sync.WaitGroup, n int, happen func()) {
	wg.Go(func() {
		for k := range n {
			if s.after(k, n) != nil {
				return
			}
			happen()
		}
	})
}

func (s *trial) killNode() {
	n := s.nodes.list[rand.N(nodeCount)]
	n.kill()
	s.pass(20)
	n.start()
}

func (s *trial) killClient() {
	c := s.clients[rand.N(clients)]
	left := c.kill()
	c.start()
	s.giveBack(left...)
}

// freeze stops a client for longer than its lease.
func (s *trial) freeze() {
	c := s.clients[rand.N(clients)]
	c.freeze()
	ctx, cancel := context.WithTimeout(s.ctx, lease*3/2)
	defer cancel()
	<-ctx.Done()
	c.thaw()
}

func (s *trial) partition() {
	from := rand.N(3)
	heal := s.nodes.partition(rand.N(nodeCount), from != 0, from != 1, []proxyMode{severed, silent}[rand.N(2)])
	defer heal()
	ctx, cancel := context.WithTimeout(s.ctx, outage+rand.N(outage))
	defer cancel()
	<-ctx.Done()
}

// run is the whole trial.
func (s *trial) run() {
	servers := [clients]*smtptest.Server{}
	for i := range s.clients {
		servers[i] = smtptest.NewServer(&smtptest.Config{Hook: s.board.faults, Discard: true})
		s.t.Cleanup(func() { servers[i].Close() })
		s.clients[i] = newClient(s.t, s.board, order{URL: s.nodes.url(), Queue: "storm", SMTP: servers[i].Addr()})
	}
	var lanes, feeding sync.WaitGroup
	s.lane(&lanes, s.nodeKills, s.killNode)
	s.lane(&lanes, s.clientKills, s.killClient)
	s.lane(&lanes, s.freezes, s.freeze)
	s.lane(&lanes, s.partitions, s.partition)
	feeding.Go(func() { s.feed(0, s.messages) })
	lanes.Wait()
	feeding.Wait()
	s.settled(s.messages)

	s.nodes.list[rand.N(nodeCount)].remove()
	s.feed(s.messages, s.messages+s.rest)
	s.settled(s.messages + s.rest)
}

// settled waits until each message is sent or held.
func (s *trial) settled(messages int) {
	s.t.Helper()
	if err := s.board.await(s.ctx, func() bool { return len(s.board.done) >= messages }); err != nil {
		s.board.note(func() {
			s.t.Errorf("of %d messages %d are promised, %d done", messages, len(s.board.promised), len(s.board.done))
		})
	}
}
