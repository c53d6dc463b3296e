package submission_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/fe022423/submission"
)

// What a schedule of shared flights is to be: all of it comes from its seed.

// rideSchedule is one schedule.
type rideSchedule struct {
	world    *rideWorld
	options  *submission.Options
	messages []*rideMessage
	closers  []rideCloser
}

// rideCloser closes the Client at a time.
type rideCloser struct {
	at, deadline time.Duration // deadline 0 is Close
}

// rideMessage is a message of a schedule, and what became of it.
type rideMessage struct {
	n           int
	env         submission.Envelope
	text        string
	way         int
	at          time.Duration // when it is sent
	deadline    time.Duration // 0 for none
	cancelAfter time.Duration // 0 for never
	cancelAt    int           // the event, 0 for none
	fails       bool          // its source does
	refused     bool          // not all of its recipients can get it
	ctx         context.Context
	cancel      context.CancelFunc

	mu       sync.Mutex
	gaveUp   time.Time // zero: it did not
	returned time.Time
	res      *submission.Result
	err      error
}

func newRideSchedule(seed uint64) *rideSchedule {
	dice := rand.New(rand.NewPCG(seed, 0))
	keywords := []string{"PIPELINING"}
	for _, k := range []string{"CHUNKING", "ENHANCEDSTATUSCODES", "8BITMIME", "SIZE 1000000"} {
		if dice.IntN(2) == 0 {
			keywords = append(keywords, k)
		}
	}
	w := newRideWorld(seed, keywords...)
	w.lmtp = dice.IntN(6) == 0
	w.odds = []int{0, 0, 60, 60, 20}[dice.IntN(5)]
	w.slow = []time.Duration{0, 20 * time.Millisecond, 200 * time.Millisecond, time.Second}[dice.IntN(4)]
	o := plainText(withPool(submission.PoolOptions{MaxSessions: 1 + dice.IntN(2)}))
	o.Dialer, o.LMTP, o.EarlyData = w, w.lmtp, dice.IntN(5) == 0
	o.ChunkSize = []int{0, 0, 300, 20_000}[dice.IntN(4)]
	o.Pool.MaxMessages = []int{0, 0, 2, 3}[dice.IntN(4)]
	o.Timeouts = submission.Timeouts{Greeting: 20 * time.Second, Command: 20 * time.Second, DataInit: 20 * time.Second,
		DataBlock: 20 * time.Second, DataFinal: 40 * time.Second}
	if dice.IntN(2) == 0 { // what the client sees is an event too
		o.Trace = &submission.Trace{
			Sent:     func(context.Context, submission.SessionInfo, string) { w.happen() },
			Received: func(context.Context, submission.SessionInfo, submission.Reply) { w.happen() },
			Done:     func(context.Context, submission.SendInfo) { w.happen() },
		}
		o.Logger = slog.New(ridePanics{slog.DiscardHandler, w})
	}
	s := &rideSchedule{world: w, options: o}
	together := dice.IntN(2) == 0
	for n := range 2 + dice.IntN(11) {
		m := newRideMessage(seed, n)
		if together {
			m.at = 0
		}
		s.messages = append(s.messages, m)
		w.texts = append(w.texts, strings.ReplaceAll(strings.TrimSuffix(m.text, "\n"), "\n", "\r\n")+"\r\n")
		if m.text == "" {
			w.texts[n] = ""
		}
	}
	for range []int{0, 0, 0, 0, 1, 2}[dice.IntN(6)] {
		closer := rideCloser{at: rideTime(dice) + rideTime(dice)}
		if dice.IntN(2) == 0 {
			closer.deadline = 1 + rideTime(dice)
		}
		s.closers = append(s.closers, closer)
	}
	w.event = s.cancelAt
	return s
}

// ridePanics notes the panics that the Client catches.
type ridePanics struct {
	slog.Handler
	world *rideWorld
}

func (p ridePanics) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelError }

func (p ridePanics) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		p.world.note(func() { p.world.strange = append(p.world.strange, r.Message+": "+a.String()) })
		return true
	})
	return nil
}

// rideTime is some time, mostly short.
func rideTime(dice *rand.Rand) time.Duration {
	return time.Duration(dice.Int64N([]int64{1e6, 1e8, 3e9, 2e10}[dice.IntN(4)]))
}

// The ways to send.
const (
	rideSend = iota
	rideStream
	rideFunc
	rideTransaction
	ridePrepared
	rideSlow
	rideWayCount
)

func newRideMessage(seed uint64, n int) *rideMessage {
	dice := rand.New(rand.NewPCG(seed, uint64(1+n)))
	m := &rideMessage{n: n, at: rideTime(dice)}
	m.env = submission.Envelope{From: fmt.Sprintf("%d@test.example", n), Partial: dice.IntN(2) == 0}
	kinds := []string{"", "", "", "", "", "", "-no", "-busy"}
	if dice.IntN(3) > 0 {
		kinds = kinds[:1]
	}
	for i := range 1 + dice.IntN(1+dice.IntN(5)) {
		kind := kinds[dice.IntN(len(kinds))]
		m.refused = m.refused || kind != ""
		m.env.To = append(m.env.To, submission.To(fmt.Sprintf("%d.%d%s@test.example", n, i, kind))...)
	}
	if dice.IntN(2) == 0 {
		m.way = dice.IntN(rideWayCount)
	}
	size := dice.IntN([]int{1, 500, 500, 500, 5000, 5000, 60_000, 200_000}[dice.IntN(8)] + 1)
	if size > 0 {
		m.text = fmt.Sprintf("Subject: %d\n\n", n)
		line := fmt.Sprintf(".line of message %d\n\n.\n", n)
		m.text += strings.Repeat(line, size/len(line)) + "the end" + []string{"", "\n", "\n.\n"}[dice.IntN(3)]
	}
	switch dice.IntN(10) {
	case 0:
		m.cancelAfter = 1 + rideTime(dice)
	case 1:
		m.deadline = 1 + rideTime(dice)
	case 2:
		m.cancelAt = 1 + dice.IntN(150)
	}
	m.fails = dice.IntN(30) == 0
	return m
}
