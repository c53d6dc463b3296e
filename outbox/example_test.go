package outbox_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/outbox"
	_ "github.com/fe022423/submission/outbox/embedded" // the server in Options.Dir
	"github.com/fe022423/submission/smtptest"
)

func Example() {
	srv := smtptest.NewServer(nil) // in place of your mail server
	defer srv.Close()
	client, err := submission.New(srv.Addr(), &submission.Options{TLS: submission.TLSNone})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	dir, err := os.MkdirTemp("", "outbox")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	ctx, cancel := context.WithCancel(context.Background())
	queue, err := outbox.Open(ctx, &outbox.Options{Dir: dir})
	if err != nil {
		log.Fatal(err)
	}
	defer queue.Close()

	// Where the order is taken. With a key this may be repeated until it succeeds.
	_, err = queue.Enqueue(ctx, submission.Envelope{
		From: "shop@example.org",
		To:   submission.To("customer@example.net"),
	}, strings.NewReader("Subject: Your order\r\n\r\nThank you.\r\n"), &outbox.Item{Key: "order 17"})
	if err != nil {
		log.Fatal(err)
	}

	// Where mail is sent, in this process or in another one: until ctx is done.
	err = queue.Work(ctx, &outbox.WorkOptions{
		Client: func(route string) (*submission.Client, error) { return client, nil },
		OnDone: func(ctx context.Context, r outbox.Record) {
			fmt.Println(r.Key, "is", r.Status)
			cancel()
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: order 17 is sent
}
