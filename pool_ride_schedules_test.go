package submission_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fe022423/submission"
)

var (
	rideSchedules = flag.Int("rides", 300, "how many schedules TestRideSchedules runs")
	rideSeed      = flag.Uint64("rideseed", 0, "the seed of the first of them; 0 takes one from the clock")
)

// Random schedules of messages that share flights: senders that come, give up and have
// refused recipients, servers that refuse, hang up and fall silent, lines that are cut, and
// a Client that is closed meanwhile. The server knows what it accepted. Each schedule has a
// seed, which is printed when it shows a contradiction:
//
//	go test -run TestRideSchedules -rides 20000 .
//	go test -run TestRideSchedules -rides 1 -rideseed 4711 .
func TestRideSchedules(t *testing.T) {
	first := *rideSeed
	if first == 0 {
		first = uint64(time.Now().UnixNano())
	}
	t.Logf("seeds from %d", first)
	var all rideTotals
	failed := 0
	for i := range *rideSchedules {
		wrong := runRideSchedule(t, first+uint64(i), &all)
		for _, text := range wrong {
			t.Errorf("seed %d: %s", first+uint64(i), text)
		}
		if len(wrong) > 0 {
			if failed++; failed == 10 {
				break
			}
		}
	}
	t.Logf("%+v, %d with contradictions", all, failed)
	if all.Schedules >= 100 && all.Shared < all.Messages/10 {
		t.Error("hardly any flight was shared")
	}
}

// rideTotals is what happened in all schedules.
type rideTotals struct {
	Schedules, Messages                int
	Shared, Chained                    int // see rideWorld
	Faults, GaveUp                     int
	Sent, PartlySent, NotSent, Unknown int
}

// runRideSchedule runs the schedule of a seed, and returns what contradicts.
func runRideSchedule(t *testing.T, seed uint64, all *rideTotals) (wrong []string) {
	defer func() {
		if r := recover(); r != nil { // of synctest: something waits for ever
			panic(fmt.Sprintf("seed %d: %v", seed, r))
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		s := newRideSchedule(seed)
		wrong = s.run(t)
		s.count(all)
	})
	return wrong
}

// cancelAt has those give up whose event it is.
func (s *rideSchedule) cancelAt(event int) {
	for _, m := range s.messages {
		if m.cancelAt == event {
			m.giveUp()
		}
	}
}

func (m *rideMessage) giveUp() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.gaveUp.IsZero() && m.returned.IsZero() {
		m.gaveUp = time.Now()
	}
	m.cancel()
}

// run carries the schedule out and returns what contradicts.
func (s *rideSchedule) run(t *testing.T) []string {
	c, err := submission.New(testHost, s.options)
	if err != nil {
		t.Fatal(err)
	}
	var senders, closers sync.WaitGroup
	for _, m := range s.messages {
		m.ctx, m.cancel = context.WithCancel(t.Context())
	}
	for _, m := range s.messages {
		senders.Go(func() {
			defer m.cancel()
			time.Sleep(m.at)
			m.send(c)
		})
	}
	for _, closer := range s.closers {
		closers.Go(func() {
			time.Sleep(closer.at)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if closer.deadline > 0 {
				ctx, cancel = context.WithTimeout(ctx, closer.deadline)
				defer cancel()
			}
			c.Shutdown(ctx)
		})
	}
	senders.Wait()
	c.Close()
	closers.Wait()
	wrong := s.contradictions(c)
	s.world.cut()
	s.world.running.Wait()
	return append(wrong, s.world.strange...)
}

// send sends the message and notes what came of it.
func (m *rideMessage) send(c *submission.Client) {
	ctx := m.ctx
	if m.deadline > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, m.deadline)
		defer cancel()
	}
	if m.cancelAfter > 0 {
		defer time.AfterFunc(m.cancelAfter, m.giveUp).Stop()
	}
	began := time.Now()
	res, err := m.caught(ctx, c)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.res, m.err, m.returned = res, err, time.Now()
	if !m.gaveUp.IsZero() && m.gaveUp.Before(began) {
		m.gaveUp = began // before it began
	}
	if m.gaveUp.IsZero() && m.deadline > 0 && m.returned.Sub(began) >= m.deadline {
		m.gaveUp = began.Add(m.deadline)
	}
}

// caught is by, with a panic as an error: the seed is to be shown.
func (m *rideMessage) caught(ctx context.Context, c *submission.Client) (res *submission.Result, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	return m.by(ctx, c)
}

// by sends the message in its way.
func (m *rideMessage) by(ctx context.Context, c *submission.Client) (*submission.Result, error) {
	source := io.Reader(strings.NewReader(m.text))
	if m.fails {
		source = io.MultiReader(source, readerFunc(func([]byte) (int, error) { return 0, errMine }))
	}
	switch m.way {
	case rideStream:
		source = struct{ io.Reader }{source}
	case rideSlow:
		plain := source
		source = readerFunc(func(p []byte) (int, error) {
			time.Sleep(50 * time.Millisecond)
			return plain.Read(p[:min(len(p), 9000)])
		})
	case rideFunc:
		return c.SendFunc(ctx, m.env, func(w io.Writer) error {
			_, err := io.Copy(w, source)
			return err
		})
	case rideTransaction, ridePrepared:
		tx, err := c.Begin(ctx, m.env)
		if err != nil {
			return nil, err
		}
		defer tx.Abort()
		if _, err := io.Copy(tx, source); err != nil {
			tx.Abort()
			return tx.Commit() // what became of it
		}
		if m.way == ridePrepared {
			if err := tx.Prepare(); err != nil {
				return nil, err
			}
		}
		return tx.Commit()
	}
	return c.Send(ctx, m.env, source)
}
