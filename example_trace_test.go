package submission_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// A Trace in the options is told of all that a Client does: what a service makes its
// figures of.
func ExampleTrace() {
	srv, options := demo(refusing("nobody@example.net", "550 5.1.1 no such user"))
	defer srv.Close()
	options.Trace = &submission.Trace{
		DialDone: func(_ context.Context, s submission.SessionInfo, err error) {
			fmt.Println("a session over", s.Network, "was opened:", err == nil)
		},
		Done: func(_ context.Context, i submission.SendInfo) {
			if i.Err != nil {
				fmt.Println("not sent in attempt", i.Attempts)
				return
			}
			fmt.Printf("sent %d bytes to %d recipients, used before: %v\n", i.Bytes, i.Recipients, i.Reused)
		},
	}
	client, err := submission.New(srv.Addr(), options)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	for _, to := range []string{"customer@example.net", "nobody@example.net", "other@example.net"} {
		env := submission.Envelope{From: "shop@example.org", To: submission.To(to)}
		client.Send(context.Background(), env, strings.NewReader(message))
	}
	// Output:
	// a session over tcp was opened: true
	// sent 42 bytes to 1 recipients, used before: false
	// not sent in attempt 1
	// sent 42 bytes to 1 recipients, used before: true
}

// A Trace in a context is told of that call only: here it keeps what was said about one
// message, to be shown when it fails.
func ExampleWithTrace() {
	srv, options := demo(func(c smtptest.Command) *smtptest.Answer {
		if c.Verb == "MESSAGE" {
			return &smtptest.Answer{Reply: "554 5.7.1 looks like spam"}
		}
		return nil
	})
	defer srv.Close()
	client, err := submission.New(srv.Addr(), options)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	if err := client.Ping(context.Background()); err != nil {
		fmt.Println(err)
		return
	}

	var said []string
	ctx := submission.WithTrace(context.Background(), &submission.Trace{
		Sent: func(_ context.Context, _ submission.SessionInfo, line string) { said = append(said, "C: "+line) },
		Received: func(_ context.Context, _ submission.SessionInfo, r submission.Reply) {
			said = append(said, "S: "+r.String())
		},
	})
	env := submission.Envelope{From: "shop@example.org", To: submission.To("customer@example.net")}
	if _, err := client.Send(ctx, env, strings.NewReader(message)); err != nil {
		fmt.Println(strings.Join(said, "\n"))
	}
	// Output:
	// C: MAIL FROM:<shop@example.org> SIZE=42
	// C: RCPT TO:<customer@example.net>
	// S: 250 2.1.0 sender ok
	// S: 250 2.1.5 recipient ok
	// C: BDAT 42 LAST
	// S: 554 5.7.1 looks like spam
}
