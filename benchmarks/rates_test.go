package benchmarks

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fe022423/submission"
)

// senders is how many goroutines want to send where a pool has fewer sessions.
const senders = 64

// contender is a way to do a job, measured in turns with others.
type contender struct {
	name  string
	n     int               // messages a turn
	send  func(n int) error // sends so many
	rates []float64         // of each turn, in messages a second
}

// turns is how often each contender has its turn, after one that does not count.
const turns = 11

// inTurns has each contender send in turns. What else the machine does meets all of them.
func inTurns(b *testing.B, list []*contender) {
	b.Helper()
	for turn := range turns + 1 {
		for _, c := range list {
			began := time.Now()
			if err := c.send(c.n); err != nil {
				b.Fatalf("%s: %v", c.name, err)
			}
			if turn > 0 {
				c.rates = append(c.rates, float64(c.n)/time.Since(began).Seconds())
			}
		}
	}
}

func (c *contender) rate() float64 { return median(c.rates) }

// times is how many times faster c is than another, in the median of the turns.
func (c *contender) times(other *contender) float64 {
	ratios := make([]float64, len(c.rates))
	for i := range ratios {
		ratios[i] = c.rates[i] / other.rates[i]
	}
	return median(ratios)
}

func median(list []float64) float64 { return slices.Sorted(slices.Values(list))[len(list)/2] }

// compare reports the rate of each contender, and the ratio of the last one to the others
// beside the goal. A rate that is missed fails nothing: rates vary with the machine.
func compare(b *testing.B, list []*contender, goals map[string]float64) {
	b.Helper()
	us := list[len(list)-1]
	b.ReportMetric(us.rate(), "msg/s")
	for _, c := range list[:len(list)-1] {
		ratio := us.times(c)
		b.ReportMetric(ratio, "x-"+c.name)
		verdict := ""
		if goal, ok := goals[c.name]; ok {
			b.ReportMetric(goal, "x-"+c.name+"-goal")
			verdict = fmt.Sprintf(", goal %.3g: met", goal)
			if ratio < goal {
				verdict = fmt.Sprintf(", goal %.3g: MISSED", goal)
			}
		}
		b.Logf("%6.0f msg/s, %-16s %6.0f: %5.2f times%s", us.rate(), c.name, c.rate(), ratio, verdict)
	}
}

// one is a contender with one connection and one goroutine.
func (l library) one(b *testing.B, addr string, j job) *contender { return l.many(b, addr, j, 1) }

// many is a contender with so many connections, each with a goroutine of its own.
func (l library) many(b *testing.B, addr string, j job, connections int) *contender {
	b.Helper()
	name := l.name
	if connections > 1 {
		name = fmt.Sprintf("%s-%d", l.name, connections)
	}
	idle := make(chan mailer, connections)
	for range connections {
		m, err := l.open(dialSink(addr), j)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { m.close() })
		idle <- m
	}
	return &contender{name: name, n: 1000, send: func(n int) error {
		return sendFrom(connections, n, func() error {
			m := <-idle
			defer func() { idle <- m }()
			return m.send()
		})
	}}
}

// pooled is package submission with so many goroutines that send.
func pooled(b *testing.B, addr string, j job, goroutines int, set func(*submission.Options, *submission.Envelope)) *contender {
	b.Helper()
	m, err := openOurs(dialSink(addr), j, set)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { m.close() })
	return &contender{name: "ours", n: 4000, send: func(n int) error { return sendFrom(goroutines, n, m.send) }}
}

var bodies = []struct {
	name     string
	keywords []string
}{{"DATA", []string{"PIPELINING"}}, {"BDAT", []string{"PIPELINING", "CHUNKING"}}}

// BenchmarkUnderLoad sends messages of 4 KiB to one recipient from 64 goroutines over
// fewer sessions. net/smtp sends one after the other over one connection, and over as
// many connections as there are sessions; so do we from one goroutine. The bare socket
// sends by DATA what we send over one session.
func BenchmarkUnderLoad(b *testing.B) {
	j := job{to: []string{"recipient@example.com"}, text: text(4 << 10)}
	for _, body := range bodies {
		for _, sessions := range []int{1, 4} {
			b.Run(fmt.Sprintf("%s/sessions=%d", body.name, sessions), func(b *testing.B) {
				addr := startSink(b, body.keywords...)
				list := []*contender{netSMTP.one(b, addr, j)}
				goals := map[string]float64{"net/smtp": 4}
				if sessions > 1 {
					list = append(list, netSMTP.many(b, addr, j, sessions))
				}
				alone := pooled(b, addr, j, 1, nil)
				alone.name = "ourselves-alone"
				list = append(list, goMail.one(b, addr, j), alone, bareSocket(b, addr, j),
					pooled(b, addr, j, senders, func(o *submission.Options, _ *submission.Envelope) { o.Pool.MaxSessions = sessions }))
				for b.Loop() {
					inTurns(b, list)
				}
				compare(b, list, goals)
			})
		}
	}
}

// BenchmarkFiftyRecipients sends messages of 4 KiB to fifty recipients: from one goroutine,
// and from 64 over fewer sessions. The bare socket sends what we send under load.
func BenchmarkFiftyRecipients(b *testing.B) {
	j := job{text: text(4 << 10)}
	for i := range 50 {
		j.to = append(j.to, fmt.Sprintf("recipient-%d@example.com", i))
	}
	goals := map[string]float64{"net/smtp": 20}
	for _, body := range bodies {
		for _, from := range []struct{ goroutines, sessions int }{{1, 1}, {senders, 1}, {senders, 4}} {
			b.Run(fmt.Sprintf("%s/senders=%d/sessions=%d", body.name, from.goroutines, from.sessions), func(b *testing.B) {
				addr := startSink(b, body.keywords...)
				others := []*contender{netSMTP.one(b, addr, j), goMail.one(b, addr, j), bareSocket(b, addr, j)}
				for _, c := range others[:2] {
					c.n = 200
				}
				us := pooled(b, addr, j, from.goroutines, func(o *submission.Options, env *submission.Envelope) {
					o.Pool.MaxSessions, env.Partial = from.sessions, true // the envelope and DATA in one flight
				})
				list := append(others, us)
				for b.Loop() {
					inTurns(b, list)
				}
				compare(b, list, goals)
			})
		}
	}
}

// bareSocket sends messages by DATA over a socket, each with the envelope of the next one
// behind it, and does nothing but count the lines of the replies.
func bareSocket(b *testing.B, addr string, j job) *contender {
	b.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { nc.Close() })
	in := bufio.NewReaderSize(nc, 64<<10)
	read := func(lines int) error {
		for range lines {
			if _, err := in.ReadSlice('\n'); err != nil {
				return err
			}
		}
		return nil
	}
	envelope := "RSET\r\nMAIL FROM:<" + sender + "> BODY=8BITMIME\r\nRCPT TO:<" + strings.Join(j.to, ">\r\nRCPT TO:<") + ">\r\nDATA\r\n"
	replies := 3 + len(j.to)
	if err := read(1); err != nil {
		b.Fatal(err)
	}
	if _, err := nc.Write([]byte(envelope)); err != nil {
		b.Fatal(err)
	}
	if err := read(replies); err != nil {
		b.Fatal(err)
	}
	flight := bytes.Join([][]byte{j.text, []byte(".\r\n"), []byte(envelope)}, nil)
	return &contender{name: "a-bare-socket", n: 4000, send: func(n int) error {
		for range n {
			if _, err := nc.Write(flight); err != nil {
				return err
			}
			if err := read(1 + replies); err != nil {
				return err
			}
		}
		return nil
	}}
}
