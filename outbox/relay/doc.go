// Package relay is an outbox table: mail is stored by the transaction that it belongs to, in
// your own database, and moved to an outbox.Outbox afterwards.
//
//	tx, err := db.BeginTx(ctx, nil)
//	defer tx.Rollback()
//	tx.ExecContext(ctx, "INSERT INTO orders ...")
//	relay.Insert(ctx, tx, env, msg, nil)
//	err = tx.Commit()
//
// A transaction that is rolled back leaves no mail; one that is committed is followed by its
// mail, whatever crashes in between. Nothing has to reach the queue while your transaction is
// open. Schema is the table, once; Insert stores a message; Run, in one process or in several,
// moves the rows to the queue, whose workers send them.
//
// # What is promised
//
// A row is deleted only after the queue said that the message is durable. If Run ends in
// between, the row is moved again, the queue recognizes its key, and the row goes then: nobody
// gets it twice. That needs the same queue as before, and it needs the queue to know the key:
// it does so for as long as the message is not sent, and for outbox.Options.Keep longer. A row
// that was perhaps moved before that time is not moved again; it is marked.
//
// # The table
//
// It is called outbox_relay. A row that can never be moved is kept, with the reason in its
// column error, and logged: its key belongs to another message, it is damaged, it was written by
// a version that this program does not know, or it was perhaps moved too long ago. Other rows
// go on. When you have mended the cause, let it be moved:
//
//	UPDATE outbox_relay SET error = NULL, tried = NULL WHERE id = '...'
//
// Set tried to NULL only if you know that the message is not in the queue and was not sent.
//
// Any driver of database/sql for SQLite, PostgreSQL, MySQL and MariaDB will do. The rows are as
// readable as the database is.
package relay
