package relay

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
)

// Dialect is a kind of database. Only Schema needs it: Insert and Run ask the database.
type Dialect uint8

const (
	SQLite   Dialect = iota + 1
	Postgres         // and what speaks its language
	MySQL            // MySQL and MariaDB
)

// table is the name of the table. Its columns are the same in every dialect, and all text in
// it is ASCII, so that the encoding of the database does not matter.
//
//	seq       the order; the database numbers the rows
//	id        random: it is the key in the queue, and no other row ever has it
//	created   when it was inserted, by the clock of the database
//	version   of the columns envelope, item and body
//	envelope  JSON of a submission.Envelope
//	item      JSON of an outbox.Item
//	body      the octets of the message
//	tried     since when it may be in the queue (RFC 3339); NULL: it is not
//	error     why it is not moved any more; NULL: it is
const table = "outbox_relay"

// Rows with an error stay; the index keeps them out of the way of the others. MySQL has no index of
// a part of the rows, and reads past them.
const (
	schemaSQLite = `CREATE TABLE IF NOT EXISTS outbox_relay (
	seq INTEGER PRIMARY KEY AUTOINCREMENT,
	id TEXT NOT NULL,
	created TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
	version INTEGER NOT NULL,
	envelope TEXT NOT NULL,
	item TEXT NOT NULL,
	body BLOB NOT NULL,
	tried TEXT,
	error TEXT
);
CREATE INDEX IF NOT EXISTS outbox_relay_due ON outbox_relay (seq) WHERE error IS NULL;
`
	schemaPostgres = `CREATE TABLE IF NOT EXISTS outbox_relay (
	seq BIGSERIAL PRIMARY KEY,
	id TEXT NOT NULL,
	created TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
	version INTEGER NOT NULL,
	envelope TEXT NOT NULL,
	item TEXT NOT NULL,
	body BYTEA NOT NULL,
	tried TEXT,
	error TEXT
);
CREATE INDEX IF NOT EXISTS outbox_relay_due ON outbox_relay (seq) WHERE error IS NULL;
`
	schemaMySQL = `CREATE TABLE IF NOT EXISTS outbox_relay (
	seq BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
	id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
	created TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
	version INTEGER NOT NULL,
	envelope LONGTEXT CHARACTER SET ascii NOT NULL,
	item LONGTEXT CHARACTER SET ascii NOT NULL,
	body LONGBLOB NOT NULL,
	tried VARCHAR(64) CHARACTER SET ascii,
	error VARCHAR(255) CHARACTER SET ascii
) ENGINE=InnoDB;
`
)

// Schema is the SQL that makes the table outbox_relay, and does nothing if it is there. It is
// for a migration of yours, or for one db.ExecContext. With MySQL it is one statement, with
// the others two. The Schema of an unknown Dialect is empty.
func Schema(d Dialect) string {
	switch d {
	case SQLite:
		return schemaSQLite
	case Postgres:
		return schemaPostgres
	case MySQL:
		return schemaMySQL
	}
	return ""
}

// skipLocked ends a query for rows that this transaction locks, without those that others have
// locked.
const skipLocked = " FOR UPDATE SKIP LOCKED"

// database is what a *sql.DB and a *sql.Tx have in common.
type database interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// askDialect is valid everywhere, so that it never breaks a transaction, and reads no table.
// It counts the characters of 'ab' from position -1 on. For SQLite that is the last one: 1.
// PostgreSQL starts before the first one and has both: 2. MySQL has the last one too, and
// executes what is a comment for the others: 3.
const askDialect = "SELECT length(substr('ab', -1)) /*! + 2 */"

// dialectOf asks the database what it is: a transaction does not show its driver, and the
// names of drivers are their users' choice.
func dialectOf(ctx context.Context, db database) (Dialect, error) {
	var d Dialect
	if err := db.QueryRowContext(ctx, askDialect).Scan(&d); err != nil {
		return 0, err
	}
	if d < SQLite || d > MySQL {
		return 0, fmt.Errorf("the database is not SQLite, PostgreSQL, MySQL or MariaDB: it answers %d", d)
	}
	return d, nil
}

// bind writes the placeholders of a statement, each a "?", as the dialect has them.
func (d Dialect) bind(query string) string {
	if d != Postgres {
		return query
	}
	var b strings.Builder
	n := 0
	for _, c := range query {
		if c != '?' {
			b.WriteRune(c)
			continue
		}
		n++
		b.WriteString("$" + strconv.Itoa(n))
	}
	return b.String()
}
