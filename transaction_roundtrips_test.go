package submission_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// How many round trips a message takes. The server counts how often it had to wait for the
// client.
func TestRoundTrips(t *testing.T) {
	fifty := make([]string, 50)
	for i := range fifty {
		fifty[i] = fmt.Sprintf("recipient-%d@test.example", i)
	}
	pipelining := []string{"PIPELINING", "8BITMIME"}
	chunking := append([]string{"CHUNKING"}, pipelining...)
	for _, tc := range []struct {
		name       string
		extensions []string
		to         []string
		partial    bool
		early      bool
		want       int
	}{
		{"one recipient, DATA", pipelining, fifty[:1], false, false, 2},
		{"one recipient, BDAT", chunking, fifty[:1], false, false, 2},
		{"fifty recipients, BDAT", chunking, fifty, false, false, 2},
		{"fifty recipients, BDAT, partial", chunking, fifty, true, false, 2},
		{"fifty recipients, DATA, partial", pipelining, fifty, true, false, 2},
		{"fifty recipients, DATA, all or nothing", pipelining, fifty, false, false, 3},
		{"one recipient, early", chunking, fifty[:1], false, true, 1},
		{"fifty recipients, early, partial", chunking, fifty, true, true, 1},
		{"fifty recipients, early, all or nothing", chunking, fifty, false, true, 2},
		{"one recipient, early, DATA", pipelining, fifty[:1], false, true, 2},
		{"one recipient, no PIPELINING", []string{"8BITMIME"}, fifty[:1], false, false, 4},
	} {
		t.Run(tc.name, func(t *testing.T) {
			srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.NoTLS, Extensions: tc.extensions})
			defer srv.Close()
			o := plainText()
			o.EarlyData = tc.early
			o.Dialer = dialFunc(func(context.Context, string, string) (net.Conn, error) { return srv.Pipe(), nil })
			c, err := submission.New(testHost, o)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			env := submission.Envelope{From: "sender@test.example", To: submission.To(tc.to...), Partial: tc.partial}
			before := 0
			for i := range 3 {
				if _, err := c.Send(context.Background(), env, strings.NewReader("Subject: warm\n\ntext\n")); err != nil {
					t.Fatal(err)
				}
				if n := srv.RoundTrips() - before; i > 0 && n != tc.want {
					t.Errorf("warm message %d took %d round trips, want %d", i, n, tc.want)
				}
				before = srv.RoundTrips()
			}
		})
	}
}

// The round trips of a first message with STARTTLS and PLAIN, step by step.
func TestRoundTripsCold(t *testing.T) {
	srv := smtptest.NewServer(&smtptest.Config{Accounts: map[string]string{"user": "secret"}})
	defer srv.Close()
	var steps []string
	o := &submission.Options{
		TLSConfig: srv.ClientTLSConfig(),
		Auth:      submission.Password{Username: "user", Password: "secret"},
		Dialer:    dialFunc(func(context.Context, string, string) (net.Conn, error) { return srv.Pipe(), nil }),
		Trace: &submission.Trace{Received: func(_ context.Context, _ submission.SessionInfo, r submission.Reply) {
			steps = append(steps, fmt.Sprint(srv.RoundTrips(), " ", r.Code))
		}},
	}
	c, err := submission.New("localhost", o)
	if err != nil {
		t.Fatal(err)
	}
	env := submission.Envelope{From: "sender@test.example", To: submission.To("recipient@test.example")}
	if _, err := c.Send(context.Background(), env, strings.NewReader("Subject: cold\n\ntext\n")); err != nil {
		t.Fatal(err)
	}
	// Greeting, EHLO, STARTTLS, (one for TLS 1.3), EHLO, AUTH, MAIL+RCPT, message.
	want := "1 220, 2 250, 3 220, 4 250, 5 235, 6 250, 6 250, 7 250"
	if got := strings.Join(steps, ", "); got != want {
		t.Errorf("round trips and codes:\n got %s\nwant %s", got, want)
	}
	c.Close()
}
