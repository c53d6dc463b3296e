//go:build unix

package cluster

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"

	"github.com/fe022423/submission/smtptest"
)

// board is what is known of a trial: what the mail servers accepted, and what the clients say.
type board struct {
	mu      sync.Mutex
	changed *sync.Cond

	accepted map[string]int // by the first recipient
	cuts     int            // final replies that never came: each makes a message uncertain
	promised map[string]bool
	done     map[string]string // by ID: the status of which OnDone was told last
	events   map[string]int    // of the clients, by kind
	wrong    []string          // what must not happen
}

func newBoard() *board {
	b := &board{accepted: map[string]int{}, promised: map[string]bool{}, done: map[string]string{}, events: map[string]int{}}
	b.changed = sync.NewCond(&b.mu)
	return b
}

func (b *board) note(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
	b.changed.Broadcast()
}

// await waits until is returns true, or ctx is done. is is called with the board locked.
func (b *board) await(ctx context.Context, is func() bool) error {
	defer context.AfterFunc(ctx, b.changed.Broadcast)()
	b.mu.Lock()
	defer b.mu.Unlock()
	for !is() {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		b.changed.Wait()
	}
	return nil
}

// hear takes a line of a client.
func (b *board) hear(line string) {
	word, rest, _ := strings.Cut(line, " ")
	b.note(func() {
		switch word {
		case "promised":
			b.promised[rest] = true
		case "done":
			id, status, _ := strings.Cut(rest, " ")
			b.done[id] = status
		case "event":
			b.events[rest]++
		case "wrong":
			b.wrong = append(b.wrong, rest)
		}
	})
}

func keyOf(addr string) string { key, _, _ := strings.Cut(addr, "@"); return key }

// accept counts every message that is accepted. A server that says so is a hook of its own.
func (b *board) accept(c smtptest.Command) {
	b.note(func() { b.accepted[keyOf(c.Message.To[0])]++ })
}

// faults answers one message in ten with 451, cuts one in a hundred before it is accepted,
// and one in a hundred after it.
func (b *board) faults(c smtptest.Command) *smtptest.Answer {
	if c.Verb != "MESSAGE" {
		return nil
	}
	switch n := rand.N(100); {
	case n < 10:
		return &smtptest.Answer{Reply: "451 4.3.0 later"}
	case n == 10:
		b.note(func() { b.cuts++ })
		return &smtptest.Answer{Close: true, Reset: true}
	case n == 11:
		b.note(func() { b.cuts++ })
		b.accept(c)
		return &smtptest.Answer{Close: true}
	}
	b.accept(c)
	return nil
}
