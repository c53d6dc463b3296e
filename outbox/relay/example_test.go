package relay_test

import (
	"context"
	"database/sql"
	"log"
	"strings"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/outbox"
	"github.com/fe022423/submission/outbox/relay"
)

// An order and its confirmation are stored together, or neither is. The table was made once, by
// db.ExecContext(ctx, relay.Schema(relay.Postgres)).
func ExampleInsert() {
	ctx := context.Background()
	db, err := sql.Open("pgx", "postgres://localhost/shop") // with the driver that you use anyway
	if err != nil {
		log.Fatal(err)
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, "INSERT INTO orders (number) VALUES (17)"); err != nil {
		log.Fatal(err)
	}
	err = relay.Insert(ctx, tx, submission.Envelope{
		From: "shop@example.org",
		To:   submission.To("customer@example.net"),
	}, strings.NewReader("Subject: Your order\r\n\r\nThank you.\r\n"), &outbox.Item{Key: "order 17"})
	if err != nil {
		log.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		log.Fatal(err)
	}
	log.Print("the confirmation will be in the queue as ", outbox.IDOf("order 17"))
}

// A worker of your program moves the rows, for as long as it runs.
func ExampleRun() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	db, err := sql.Open("pgx", "postgres://localhost/shop")
	if err != nil {
		log.Fatal(err)
	}
	queue, err := outbox.Open(ctx, &outbox.Options{URL: "nats://localhost"})
	if err != nil {
		log.Fatal(err)
	}
	defer queue.Close()
	if err := relay.Run(ctx, db, queue); err != nil {
		log.Fatal(err)
	}
}
