package submission_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// Where more messages are to be sent than there are sessions, a message takes one round
// trip: the envelope of the next one goes out behind its end.
func TestRoundTripsUnderLoad(t *testing.T) {
	const senders, each = 64, 5
	four := strings.Repeat(strings.Repeat("x", 62)+"\r\n", 64)
	for _, tc := range []struct {
		name       string
		extensions []string
		rcpts      int
		partial    bool
		limit      float64 // round trips a message
	}{
		{"DATA", []string{"PIPELINING"}, 1, false, 1.1},
		{"BDAT", []string{"PIPELINING", "CHUNKING"}, 1, false, 1.1},
		{"DATA, three recipients, partial", []string{"PIPELINING"}, 3, true, 1.1},
		{"BDAT, three recipients", []string{"PIPELINING", "CHUNKING"}, 3, false, 1.1},
		{"DATA, three recipients, all or nothing", []string{"PIPELINING"}, 3, false, 2.1}, // DATA waits for their replies
		{"SIZE and BODY", []string{"PIPELINING", "SIZE 1000000", "8BITMIME"}, 1, false, 1.1},
		{"no PIPELINING", []string{"CHUNKING"}, 1, false, 3.1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.NoTLS, Extensions: tc.extensions})
			defer srv.Close()
			o := plainText(withPool(submission.PoolOptions{MaxSessions: 1, MaxMessages: 1 << 20}))
			o.Dialer = dialFunc(func(context.Context, string, string) (net.Conn, error) { return srv.Pipe(), nil })
			c, err := submission.New(testHost, o)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			env := submission.Envelope{From: "sender@test.example", Partial: tc.partial}
			for i := range tc.rcpts {
				env.To = append(env.To, submission.To(fmt.Sprintf("r%d@test.example", i))...)
			}
			ahead, err := c.Begin(t.Context(), env) // holds the session until all wait
			if err != nil {
				t.Fatal(err)
			}
			if err := ahead.Prepare(); err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			for range senders {
				wg.Go(func() {
					for range each {
						if _, err := c.Send(context.Background(), env, strings.NewReader(four)); err != nil {
							t.Error(err)
						}
					}
				})
			}
			for c.Stats().Waiting < senders {
				time.Sleep(time.Millisecond)
			}
			before := srv.RoundTrips()
			if _, err := ahead.Commit(); err != nil {
				t.Error(err)
			}
			wg.Wait()
			if n := len(srv.Messages()); n != senders*each+1 {
				t.Errorf("%d messages, want %d", n, senders*each+1)
			}
			got := float64(srv.RoundTrips()-before) / (senders * each)
			t.Logf("%.2f round trips a message, limit %.1f", got, tc.limit)
			if got > tc.limit {
				t.Errorf("%.2f round trips a message, limit %.1f", got, tc.limit)
			}
		})
	}
}

// rideServer is a habitServer that greets late, so that sends wait from the start.
func rideServer(keywords ...string) *habitServer {
	srv := newHabitServer(keywords...)
	srv.habit = func(_ *habitSession, verb, _ string) *habitAnswer {
		if verb == "CONNECT" {
			return &habitAnswer{reply: "220 hi", delay: time.Second}
		}
		return nil
	}
	return srv
}

// What goes out behind a message: the envelope of the send that waits first, up to where
// a flight ends; never the message itself, and never what is not for this session.
func TestWhatRidesBehindAMessage(t *testing.T) {
	const behind = "RSET|MAIL FROM:<a@test.example>|RCPT TO:<b@test.example>"
	many := submission.Envelope{From: "a@test.example", Partial: true}
	for i := range 200 {
		many.To = append(many.To, submission.To(fmt.Sprintf("somebody-%03d@test.example", i))...)
	}
	two := submission.Envelope{From: "a@test.example", To: submission.To("b@test.example", "c@test.example")}
	dsn := poolEnvelope
	dsn.DSN.Return = submission.ReturnFull
	for _, tc := range []struct {
		name     string
		keywords []string
		env      submission.Envelope // of the second message
		text     string
		set      func(*submission.Options)
		want     string // in the flight that ends the first message; "" for nothing
		fails    bool   // the second message
	}{
		{name: "DATA", keywords: []string{"PIPELINING"}, want: behind + "|DATA"},
		{name: "BDAT", keywords: []string{"PIPELINING", "CHUNKING"}, want: behind},
		{name: "two recipients, DATA", keywords: []string{"PIPELINING"}, env: two, want: behind + "|RCPT TO:<c@test.example>"},
		{name: "two recipients, BDAT", keywords: []string{"PIPELINING", "CHUNKING"}, env: two, want: behind + "|RCPT TO:<c@test.example>"},
		{name: "SIZE, BODY", keywords: []string{"PIPELINING", "SIZE 100000", "8BITMIME"}, text: "\xff\r\n",
			want: "RSET|MAIL FROM:<a@test.example> SIZE=3 BODY=8BITMIME|RCPT TO:<b@test.example>|DATA"},
		{name: "no PIPELINING", keywords: []string{"CHUNKING"}},
		{name: "what is not offered", keywords: []string{"PIPELINING"}, env: dsn, fails: true},
		{name: "too large", keywords: []string{"PIPELINING", "SIZE 30"}, text: strings.Repeat("x", 31), fails: true},
		{name: "8-bit, not offered", keywords: []string{"PIPELINING"}, text: "\xff", fails: true},
		{name: "longer than what is held back", keywords: []string{"PIPELINING"}, text: strings.Repeat("x\r\n", 50_000)},
		{name: "the last message of a session", keywords: []string{"PIPELINING"}, set: func(o *submission.Options) { o.Pool.MaxMessages = 1 }},
		{name: "the last but one", keywords: []string{"PIPELINING"}, set: func(o *submission.Options) { o.Pool.MaxMessages = 2 }, want: behind + "|DATA"},
		{name: "the end of a session's time", keywords: []string{"PIPELINING"}, set: func(o *submission.Options) { o.Pool.MaxAge = time.Nanosecond }},
		{name: "early", keywords: []string{"PIPELINING", "CHUNKING"}, set: func(o *submission.Options) { o.EarlyData = true }},
		{name: "early, DATA", keywords: []string{"PIPELINING"}, set: func(o *submission.Options) { o.EarlyData = true }, want: behind + "|DATA"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := rideServer(tc.keywords...)
				set := []func(*submission.Options){func(o *submission.Options) { o.Pool.MaxSessions = 1 }}
				if tc.set != nil {
					set = append(set, tc.set)
				}
				c := srv.client(t, set...)
				ctx := t.Context()
				first := later(func() error { return sendNumber(ctx, c, 0) })
				env, text := tc.env, tc.text
				if env.From == "" {
					env = poolEnvelope
				}
				if text == "" {
					text = habitText(1)
				}
				second := later(func() error {
					_, err := c.Send(ctx, env, strings.NewReader(text))
					return err
				})
				if err := <-first; err != nil {
					t.Error(err)
				}
				if err := <-second; (err != nil) != tc.fails {
					t.Error(err)
				}
				flights := srv.session(1).flights()
				rides := false
				for _, f := range flights {
					_, after, ok := strings.Cut(f, "RSET|")
					if !ok {
						continue
					}
					if got := "RSET|" + after; got != tc.want {
						t.Errorf("behind the first message: %q, want %q", got, tc.want)
					}
					rides = true
				}
				if rides != (tc.want != "") {
					t.Errorf("flights %q, want %q behind the first message", flights, tc.want)
				}
				wantClosed(t, c, srv)
			})
		})
	}
	t.Run("more than a flight", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			srv := rideServer("PIPELINING")
			c := srv.client(t, withPool(submission.PoolOptions{MaxSessions: 1}))
			first := later(func() error { return sendNumber(t.Context(), c, 0) })
			second := later(func() error {
				_, err := c.Send(t.Context(), many, strings.NewReader(habitText(1)))
				return err
			})
			if err := errors.Join(<-first, <-second); err != nil {
				t.Error(err)
			}
			for _, f := range srv.session(1).flights() {
				if n := len(f); strings.HasPrefix(f, "RSET|") && (n < 3500 || n > 4096) {
					t.Errorf("%d octets ride, want nearly 4096", n)
				}
			}
			wantClosed(t, c, srv)
		})
	})
}
