package relay

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/outbox"
)

const insertRow = "INSERT INTO " + table + " (id, version, envelope, item, body) VALUES (?, ?, ?, ?, ?)"

// Insert stores a message in the transaction tx: it is sent if you commit, and never was if you
// roll back. It refuses what outbox.Outbox.Enqueue would refuse, with the same errors, before
// anything is stored. A nil Item is the zero Item. It asks the database one more thing, what it
// is; so a message takes two statements.
//
// If Item.Key is empty the key in the queue is the id of the row, which is random. With a key of
// your own, such as the number of the order, outbox.IDOf tells the ID that the message will have
// in the queue, for outbox.Outbox.Get. Another message with that key, in the queue or in the
// table, makes this one a duplicate, which is not sent, or a conflict, which is kept and marked
// when Run finds it.
//
// msg is read to its end, into memory, and is one value of one row. PostgreSQL and SQLite take 1 GB,
// MySQL and MariaDB what their max_allowed_packet says, 16 MiB or 64 MiB if nobody set it.
//
// After an error of the database the transaction may be unusable: roll it back.
func Insert(ctx context.Context, tx *sql.Tx, env submission.Envelope, msg io.Reader, it *outbox.Item) error {
	if tx == nil {
		return failed("insert", errors.New("no transaction"))
	}
	r, err := newRow(env, msg, it)
	if err != nil {
		return failed("insert", err)
	}
	d, err := dialectOf(ctx, tx)
	if err == nil {
		_, err = tx.ExecContext(ctx, d.bind(insertRow), r.id, rowVersion, r.envelope, r.item, r.body)
	}
	return failed("insert", err)
}

// newRow checks a message and reads it.
func newRow(env submission.Envelope, msg io.Reader, it *outbox.Item) (*row, error) {
	if it == nil {
		it = &outbox.Item{}
	}
	if err := (outbox.Message{Envelope: env, Body: msg, Item: it}).Check(); err != nil {
		return nil, err
	}
	r := &row{id: rand.Text()}
	var err error
	if r.envelope, err = encode(env); err != nil {
		return nil, fmt.Errorf("the envelope: %w", err)
	}
	if r.item, err = encode(it); err != nil {
		return nil, fmt.Errorf("the item: %w", err)
	}
	if r.body, err = io.ReadAll(msg); err != nil {
		return nil, fmt.Errorf("the message cannot be read: %w", err)
	}
	return r, nil
}

func failed(step string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("relay: %s: %w", step, err)
}
