// Command url is the smallest program that keeps its queue in a cluster.
package main

import (
	"context"
	"log"
	"os"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/outbox"
)

func main() {
	ctx := context.Background()
	client, err := submission.New("mail.example.org", nil)
	if err != nil {
		log.Fatal(err)
	}
	queue, err := outbox.Open(ctx, &outbox.Options{URL: "nats://nats.example.org"})
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
