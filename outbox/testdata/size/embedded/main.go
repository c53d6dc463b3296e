// Command embedded is the smallest program that keeps its queue in a directory.
package main

import (
	"context"
	"log"
	"os"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/outbox"
	_ "github.com/fe022423/submission/outbox/embedded"
)

func main() {
	ctx := context.Background()
	client, err := submission.New("mail.example.org", nil)
	if err != nil {
		log.Fatal(err)
	}
	queue, err := outbox.Open(ctx, &outbox.Options{Dir: "queue"})
	if err != nil {
		log.Fatal(err)
	}
	env := submission.Envelope{From: "shop@example.org", To: submission.To("customer@example.net")}
	if _, err := queue.Enqueue(ctx, env, os.Stdin, nil); err != nil {
		log.Fatal(err)
	}
	log.Println(queue.Work(ctx, &outbox.WorkOptions{
		Client: func(string) (*submission.Client, error) { return client, nil },
	}))
}
