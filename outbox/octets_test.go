package outbox_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/outbox"
	"github.com/fe022423/submission/smtptest"
)

var wholeSweep = flag.Bool("wholesweep", false, "end the process at each octet, not at a sample of them")

// octetSweep is a kind of message, and of session, within which a process ends at each octet.
type octetSweep struct {
	size    int    // of the message, about
	to      int    // recipients
	refused bool   // the second one is, for good
	verb    string // DATA or BDAT
	policy  outbox.Policy
}

func (s *octetSweep) String() string {
	text := fmt.Sprintf("%d bytes to %d, %s, %v", s.size, s.to, s.verb, [...]string{outbox.Hold: "hold", outbox.Resend: "resend", outbox.Drop: "drop"}[s.policy])
	if s.refused {
		text += ", one refused"
	}
	return text
}

const (
	shortSize  = 300
	inlineSize = 70 << 10
	objectSize = 300 << 10
)

func octetSweeps() (list []*octetSweep) {
	for _, verb := range []string{"DATA", "BDAT"} {
		for _, policy := range []outbox.Policy{outbox.Hold, outbox.Resend} {
			list = append(list,
				&octetSweep{shortSize, 1, false, verb, policy},
				&octetSweep{shortSize, 3, true, verb, policy})
			if policy == outbox.Hold {
				list = append(list,
					&octetSweep{shortSize, 3, false, verb, policy},
					&octetSweep{inlineSize, 3, false, verb, policy},
					&octetSweep{objectSize, 1, false, verb, policy})
			}
		}
		list = append(list, &octetSweep{shortSize, 3, true, verb, outbox.Drop})
	}
	return list
}

// TestCrashAtEachOctet ends the process that sends at each octet that it writes to the mail
// server, and at each that it reads from it, and looks what its successor on the same queue
// makes of the message: it is never lost; it is never accepted twice with Hold, and with
// Resend only if its record counts it; and it is held only if the mark stood when the process
// ended, which is so from the last write of the message on and never before.
//
// The default is a sample of the octets that has all of those around the mark, the verdict
// and the edges of writes; -wholesweep takes each octet, of long messages each of the
// commands, the replies, the ends, the edges and a sample within.
func TestCrashAtEachOctet(t *testing.T) {
	engine := open(t, func(o *outbox.Options) { o.SyncInterval = time.Hour }) // only processes end
	nc := outbox.Conn(engine)
	var mu sync.Mutex
	total := map[string]int{}
	t.Run("sweep", func(t *testing.T) {
		for i, s := range octetSweeps() {
			t.Run(s.String(), func(t *testing.T) {
				t.Parallel()
				r := newOctetRun(t, s, nc, fmt.Sprint("sweep", i))
				r.run()
				t.Logf("%v: %d cells: %v", s, len(r.cells), r.count)
				mu.Lock()
				defer mu.Unlock()
				for k, n := range r.count {
					total[k] += n
				}
			})
		}
	})
	t.Logf("in all: %v", total)
}

// octetRun is one sweep: a chain of processes on one queue. Each finishes what its predecessor
// left, and ends within the session for a message of its own.
type octetRun struct {
	*octetSweep
	t     *testing.T
	nc    *nats.Conn
	name  string
	srv   *smtptest.Server
	watch *outbox.Outbox // of somebody who only looks on
	body  []byte
	cells []*octetCell
	count map[string]int

	accepted map[string]int // by the first recipient

	mu   sync.Mutex
	told map[outbox.ID]outbox.Status
}

// octetCell is a message whose first process ends.
type octetCell struct {
	n        int
	end      octet
	id       outbox.ID
	status   outbox.Status // when the process ended
	accepted int           // by then
}

func newOctetRun(t *testing.T, s *octetSweep, nc *nats.Conn, name string) *octetRun {
	r := &octetRun{octetSweep: s, t: t, nc: nc, name: name, count: map[string]int{}, accepted: map[string]int{}, told: map[outbox.ID]outbox.Status{}}
	c := &smtptest.Config{Hook: func(c smtptest.Command) *smtptest.Answer {
		if c.Verb == "RCPT" && s.refused && bytes.HasPrefix([]byte(c.Addr), []byte("b")) {
			return &smtptest.Answer{Reply: "550 5.1.1 nobody"}
		}
		return nil
	}}
	if s.verb == "DATA" {
		c.Extensions = []string{"PIPELINING", "SIZE 52428800", "8BITMIME", "ENHANCEDSTATUSCODES"}
	}
	r.srv = smtptest.NewServer(c) // New would log the sessions of all cells
	t.Cleanup(r.srv.Close)
	r.watch = r.open()
	line := []byte("0123456789 .. 0123456789\r\n.and a dot\r\n")
	r.body = append([]byte("Subject: test\r\n\r\n"), bytes.Repeat(line, s.size/len(line))...)
	return r
}

func (r *octetRun) open() *outbox.Outbox {
	return open(r.t, func(o *outbox.Options) {
		o.Dir, o.Conn, o.Name = "", r.nc, r.name
		o.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	})
}

// to is whom the message of a cell is for: of the same length for all cells.
func (r *octetRun) addr(cell, i int) string {
	return fmt.Sprintf("%c%06d@example.net", 'a'+i, cell)
}

func (r *octetRun) enqueue(c *octetCell) {
	r.t.Helper()
	var to []string
	for i := range r.to {
		to = append(to, r.addr(c.n, i))
	}
	env := envelope(to...)
	env.Partial = r.refused
	id, err := r.watch.Enqueue(deadline(r.t), env, bytes.NewReader(r.body), &outbox.Item{Route: fmt.Sprint(c.n), OnUncertain: r.policy})
	if err != nil {
		r.t.Fatal(err)
	}
	c.id = id
}

func (r *octetRun) run() {
	whole := newProcess(r.srv.Addr(), octet{})
	r.life(whole, &octetCell{}) // as it is if nothing happens
	if whole.commit.written == 0 || whole.all.written <= whole.commit.written {
		r.t.Fatalf("the mark stands after %d octets of %d", whole.commit.written, whole.all.written)
	}
	ends := r.ends(whole)
	for i, end := range ends {
		c := &octetCell{n: i + 1, end: end}
		r.cells = append(r.cells, c)
		p := newProcess(r.srv.Addr(), end)
		r.life(p, c)
		record, err := r.watch.Get(deadline(r.t), c.id)
		if err != nil {
			r.t.Fatal(err)
		}
		c.status, c.accepted = record.Status, r.acceptedOf(c)
		marked := end.written > whole.commit.written || end.read > whole.commit.read
		if want := map[bool]outbox.Status{false: outbox.Queued, true: outbox.Committing}[marked]; c.status != want || c.accepted > 0 && !marked {
			r.t.Errorf("%+v of %+v: the process left it %s, accepted %d times, want %s", end, whole.commit, c.status, c.accepted, want)
		}
	}
	r.life(newProcess(r.srv.Addr(), octet{}), nil)
	for _, c := range r.cells {
		r.judge(c)
	}
}

// life is that of a process: it finishes what is there, and then sends the message of its
// cell, if it has one, until it ends or the message is over.
func (r *octetRun) life(p *process, c *octetCell) {
	r.t.Helper()
	if c != nil {
		r.enqueue(c)
	}
	ob := r.open()
	defer ob.Close()
	if err := outbox.FreeLease(ob, outbox.Normal); err != nil {
		r.t.Fatal(err)
	}
	outbox.SetSeam(ob, p.seam)
	mortal, other := p.client(r.t), newProcess(p.addr, octet{}).client(r.t)
	defer mortal.Close()
	defer other.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	over := make(chan struct{}, 1)
	w := &outbox.WorkOptions{Workers: 1, Backoff: noWait, Client: func(route string) (*submission.Client, error) {
		if c != nil && route == fmt.Sprint(c.n) {
			return mortal, nil
		}
		return other, nil
	}}
	w.OnDone = func(_ context.Context, record outbox.Record) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.told[record.ID] = record.Status
		if c != nil && record.ID == c.id || c == nil && len(r.told) == len(r.cells)+1 {
			over <- struct{}{}
		}
	}
	if c == nil && len(r.told) == len(r.cells)+1 {
		return
	}
	ended := make(chan error, 1)
	go func() { ended <- ob.Work(ctx, w) }()
	select {
	case <-p.died:
	case <-over:
		if p.end != (octet{}) {
			r.t.Errorf("%+v: the process did not end", p.end)
		}
	case <-deadline(r.t).Done():
		r.t.Fatalf("%+v: it came to no end", p.end)
	}
	cancel()
	if err := <-ended; err != nil {
		r.t.Error(err)
	}
	p.all = octet{p.written, p.read} // without the QUIT to come
	r.collect()
}
