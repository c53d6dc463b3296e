package benchmarks

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// TestRoundTrips measures how long a message takes over a line, in round trips: from the
// dial to the verdict, with STARTTLS (TLS 1.3) and PLAIN; over a connection that is there;
// and over one connection that 64 senders share. The clock is that of testing/synctest, so
// the figures are exact, and another one fails.
func TestRoundTrips(t *testing.T) {
	type options = submission.Options
	type envelope = submission.Envelope
	for _, tc := range []struct {
		library
		cold, warm, shared float64
	}{
		{netSMTP, 11, 4, 4},
		{goMail, 14, 7, 7},
		{ours("submission", func(o *options, _ *envelope) { o.Pool.MaxSessions = 1 }), 9, 2, 1},
		{ours("submission, EarlyData", func(o *options, _ *envelope) { o.EarlyData, o.Pool.MaxSessions = true, 1 }), 8, 1, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := smtptest.NewServer(&smtptest.Config{Accounts: map[string]string{user: password}, Hostname: serverHost})
				defer srv.Close()
				login := srv.ClientTLSConfig()
				login.ServerName = serverHost
				began := time.Now()
				m, err := tc.open(dialSlowly(srv), job{to: []string{"recipient@example.com"}, text: text(4 << 10), login: login})
				if err != nil {
					t.Fatal(err)
				}
				defer m.close()
				if err := m.send(); err != nil {
					t.Fatal(err)
				}
				cold := roundTripsSince(began)
				began = time.Now()
				if err := m.send(); err != nil {
					t.Fatal(err)
				}
				warm := roundTripsSince(began)

				const each = 5
				send := m.send
				if _, pooled := m.(*oursMailer); !pooled {
					turn := make(chan mailer, 1)
					turn <- m
					send = func() error {
						defer func(m mailer) { turn <- m }(<-turn)
						return m.send()
					}
				}
				began = time.Now()
				if err := sendFrom(senders, senders*each, send); err != nil {
					t.Fatal(err)
				}
				// The envelope of the first message has nothing to follow.
				shared := (roundTripsSince(began) + tc.shared - tc.warm) / (senders * each)

				t.Logf("cold %g, warm %g, one of %d that share a connection %g", cold, warm, senders*each, shared)
				if cold != tc.cold || warm != tc.warm || shared != tc.shared {
					t.Errorf("want %g, %g, %g", tc.cold, tc.warm, tc.shared)
				}
			})
		})
	}
}

func roundTripsSince(t time.Time) float64 { return float64(time.Since(t)) / float64(roundTrip) }
