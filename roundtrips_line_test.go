package submission_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// A line on which a round trip takes 20 ms. There is no TCP under it: slowDial takes the
// time of its handshake.
const (
	lineDelay     = 10 * time.Millisecond // in one direction
	lineRoundTrip = 2 * lineDelay
)

// slowDial connects to a server over such a line. The client's end is there after a round
// trip, the server's half a round trip later, when the client's ACK has come.
func slowDial(srv *smtptest.Server) (net.Conn, error) {
	time.Sleep(lineRoundTrip)
	near, far := habitPair()
	l := &slowLine{habitConn: near}
	l.up.later(func() {
		l.server = srv.Pipe()
		go l.carry(far)
	})
	return l, nil
}

// slowLine is the client's end of a line.
type slowLine struct {
	*habitConn // what has come from the server
	up, down   lag
	server     net.Conn // written to by up alone
}

// lag does what it is told lineDelay later, one after the other.
type lag struct {
	mu    sync.Mutex
	queue []func()
}

func (g *lag) later(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.queue = append(g.queue, f)
	time.AfterFunc(lineDelay, func() { // those of one moment come in any order
		g.mu.Lock()
		defer g.mu.Unlock()
		g.queue[0]()
		g.queue = g.queue[1:]
	})
}

func (l *slowLine) Write(p []byte) (int, error) {
	p = bytes.Clone(p)
	l.up.later(func() { l.server.Write(p) })
	return len(p), nil
}

func (l *slowLine) Close() error {
	l.up.later(func() { l.server.Close() })
	return l.habitConn.Close()
}

// carry carries what the server says to the client.
func (l *slowLine) carry(far net.Conn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := l.server.Read(buf)
		if err != nil {
			l.down.later(func() { far.Close() })
			return
		}
		p := bytes.Clone(buf[:n])
		l.down.later(func() { far.Write(p) })
	}
}

// How long messages take over a line, in round trips to the octet: no more than the
// protocol needs, and nothing waits for anything else.
func TestRoundTripsOverALine(t *testing.T) {
	pipelining := []string{"PIPELINING", "8BITMIME"}
	chunking := []string{"PIPELINING", "CHUNKING", "8BITMIME"}
	login := func(mode submission.TLSMode) func(*smtptest.Server, *submission.Options) {
		return func(srv *smtptest.Server, o *submission.Options) {
			o.TLS, o.TLSConfig = mode, srv.ClientTLSConfig()
			o.Auth = submission.Password{Username: "user", Password: "secret", Mechanisms: []string{"PLAIN"}}
		}
	}
	early := func(set func(*smtptest.Server, *submission.Options)) func(*smtptest.Server, *submission.Options) {
		return func(srv *smtptest.Server, o *submission.Options) {
			if o.EarlyData = true; set != nil {
				set(srv, o)
			}
		}
	}
	for _, tc := range []struct {
		name       string
		tls        smtptest.TLSMode
		extensions []string
		set        func(*smtptest.Server, *submission.Options)
		rcpts      int
		cold, warm int
	}{
		// TCP, greeting, EHLO, STARTTLS, TLS 1.3, EHLO, AUTH, envelope, message.
		{"STARTTLS, PLAIN", smtptest.StartTLS, pipelining, login(submission.TLSStartTLS), 1, 9, 2},
		{"STARTTLS, PLAIN, BDAT", smtptest.StartTLS, chunking, login(submission.TLSStartTLS), 1, 9, 2},
		{"STARTTLS, PLAIN, early", smtptest.StartTLS, chunking, early(login(submission.TLSStartTLS)), 1, 8, 1},
		{"implicit TLS, PLAIN", smtptest.ImplicitTLS, pipelining, login(submission.TLSImplicit), 1, 7, 2},
		{"implicit TLS, PLAIN, early", smtptest.ImplicitTLS, chunking, early(login(submission.TLSImplicit)), 1, 6, 1},
		{"clear text", smtptest.NoTLS, pipelining, nil, 1, 5, 2},
		{"clear text, early", smtptest.NoTLS, chunking, early(nil), 1, 4, 1},
		{"fifty recipients, BDAT", smtptest.NoTLS, chunking, nil, 50, 5, 2},
		{"fifty recipients, DATA", smtptest.NoTLS, pipelining, nil, 50, 6, 3},
		{"no PIPELINING", smtptest.NoTLS, []string{"8BITMIME"}, nil, 1, 7, 4},
	} {
		synctestRun(t, tc.name, func(t *testing.T) {
			c := lineClient(t, smtptest.Config{TLS: tc.tls, Extensions: tc.extensions, Accounts: map[string]string{"user": "secret"}}, tc.set)
			env := submission.Envelope{From: "sender@test.example"}
			for i := range tc.rcpts {
				env.To = append(env.To, submission.To(fmt.Sprintf("r%d@test.example", i))...)
			}
			for i, want := range []int{tc.cold, tc.warm, tc.warm} {
				began := time.Now()
				if _, err := c.Send(t.Context(), env, strings.NewReader("Subject: line\n\ntext\n")); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took != time.Duration(want)*lineRoundTrip {
					t.Errorf("message %d took %.2f round trips, want %d", i, inRoundTrips(took), want)
				}
			}
		})
	}
}

func inRoundTrips(d time.Duration) float64 { return float64(d) / float64(lineRoundTrip) }

// lineClient returns a Client of a server of its own at the other end of a line.
func lineClient(t *testing.T, config smtptest.Config, set func(*smtptest.Server, *submission.Options)) *submission.Client {
	t.Helper()
	srv := smtptest.NewServer(&config)
	o := plainText(withPool(submission.PoolOptions{MaxSessions: 1, MaxMessages: 1 << 20}))
	o.Dialer = dialFunc(func(context.Context, string, string) (net.Conn, error) { return slowDial(srv) })
	if set != nil {
		set(srv, o)
	}
	c, err := submission.New("localhost", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		srv.Close()
	})
	return c
}

// More senders than sessions over a line: a session has a verdict in each round trip, after
// one for the envelope of its first message. The goal is 1.15 a message.
func TestRoundTripsOverALineUnderLoad(t *testing.T) {
	const senders, each = 64, 5
	for _, tc := range []struct {
		name         string
		extensions   []string
		first, every int // round trips
	}{
		{"DATA", []string{"PIPELINING"}, 1, 1},
		{"BDAT", []string{"PIPELINING", "CHUNKING"}, 1, 1},
		{"no PIPELINING", []string{}, 0, 4},
	} {
		for _, sessions := range []int{1, 2, 4} {
			synctestRun(t, fmt.Sprintf("%s, sessions %d", tc.name, sessions), func(t *testing.T) {
				c := lineClient(t, smtptest.Config{TLS: smtptest.NoTLS, Extensions: tc.extensions},
					func(_ *smtptest.Server, o *submission.Options) {
						o.Pool.MaxSessions, o.Pool.MaxIdle = sessions, sessions
					})
				sendFrom := func(senders, each int) {
					errs := make([]error, senders*each)
					var all sync.WaitGroup
					for i := range senders {
						all.Go(func() {
							for j := range each {
								_, errs[i*each+j] = c.Send(t.Context(), memoTo(rcptB), strings.NewReader(strings.Repeat("four KiB of text\r\n", 228)))
							}
						})
					}
					all.Wait()
					if err := errors.Join(errs...); err != nil {
						t.Fatal(err)
					}
				}
				sendFrom(sessions, 1) // they open
				began := time.Now()
				sendFrom(senders, each)
				took := time.Since(began)
				if want := lineRoundTrip * time.Duration(tc.first+tc.every*senders*each/sessions); took != want {
					t.Errorf("%.0f round trips, want %.0f", inRoundTrips(took), inRoundTrips(want))
				}
				t.Logf("%.4f round trips a message", inRoundTrips(took)*float64(sessions)/(senders*each))
			})
		}
	}
}
