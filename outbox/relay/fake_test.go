package relay

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/outbox"
)

// fake is a database with one table, and the queue, of which every call is written down in one
// list. It understands the statements of this package only, and rolls nothing back.
type fake struct {
	dialect Dialect
	fail    func(call string) error                     // nil: nothing
	enqueue func(ctx context.Context, key string) error // nil: all is well

	mu    sync.Mutex
	rows  map[int64]*row
	next  int64
	calls []string
	moved []string // the keys that the queue has
}

func (f *fake) call(format string, args ...any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := fmt.Sprintf(format, args...)
	f.calls = append(f.calls, c)
	if f.fail != nil {
		return f.fail(c)
	}
	return nil
}

// mover is a Run of this database and queue.
func (f *fake) mover(t *testing.T) *mover {
	db := sql.OpenDB(f)
	t.Cleanup(func() { db.Close() })
	return &mover{db: db, queue: f, log: slog.New(slog.NewTextHandler(io.Discard, nil))}
}

// add inserts a row with its number as its key.
func (f *fake) add(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.rows == nil {
		f.rows = map[int64]*row{}
	}
	for range n {
		f.next++
		f.rows[f.next] = &row{seq: f.next, id: fmt.Sprint("id", f.next), version: "1", envelope: `{"From":"a@example.org","To":[{"Addr":"b@example.net"}]}`, item: "{}"}
	}
}

func (f *fake) left() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.rows)
}

// The queue.

func (f *fake) Enqueue(ctx context.Context, _ submission.Envelope, _ io.Reader, it *outbox.Item) (outbox.ID, error) {
	if err := f.call("enqueue %s", it.Key); err != nil {
		return "", err
	}
	if f.enqueue != nil {
		if err := f.enqueue(ctx, it.Key); err != nil {
			return "", err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.moved = append(f.moved, it.Key)
	return outbox.IDOf(it.Key), nil
}

func (f *fake) Get(context.Context, outbox.ID) (outbox.Record, error) {
	return outbox.Record{}, errors.Join(f.call("get"), outbox.ErrNotFound)
}

func (f *fake) Keep() time.Duration { return 24 * time.Hour }

// The database.

func (f *fake) Connect(context.Context) (driver.Conn, error) { return &fakeConn{f}, f.call("connect") }
func (f *fake) Driver() driver.Driver                        { return nil }

type fakeConn struct{ *fake }

func (c *fakeConn) Prepare(string) (driver.Stmt, error) { return nil, errors.New("not here") }
func (c *fakeConn) Close() error                        { return nil }
func (c *fakeConn) Begin() (driver.Tx, error)           { return nil, errors.New("not here") }
func (c *fakeConn) BeginTx(_ context.Context, o driver.TxOptions) (driver.Tx, error) {
	return c, c.call("begin %v", sql.IsolationLevel(o.Isolation))
}
func (c *fakeConn) Commit() error   { return c.call("commit") }
func (c *fakeConn) Rollback() error { return c.call("rollback") }

func (c *fakeConn) ExecContext(_ context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if err := c.call("%s", query); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	at := func(i int) *row {
		return cmp.Or(c.rows[args[i].Value.(int64)], &row{})
	}
	switch {
	case strings.HasPrefix(query, "DELETE"):
		delete(c.rows, at(0).seq)
	case strings.Contains(query, "SET tried = NULL"):
		at(0).tried = ""
	case strings.Contains(query, "SET tried"):
		r := at(1)
		r.tried = cmp.Or(r.tried, args[0].Value.(string))
	case strings.Contains(query, "SET error"):
		at(1).why = args[0].Value.(string)
	}
	return driver.RowsAffected(1), nil
}

func (c *fakeConn) QueryContext(_ context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if err := c.call("%s", query); err != nil {
		return nil, err
	}
	locking := strings.HasSuffix(query, skipLocked)
	if locking && c.dialect == SQLite {
		return nil, errors.New("near FOR: syntax error")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	answer := &fakeRows{}
	var after, limit int64
	switch n, _ := fmt.Sscanf(query, "SELECT seq FROM outbox_relay WHERE error IS NULL AND seq > %d ORDER BY seq LIMIT %d", &after, &limit); {
	case query == askDialect:
		answer.add(int64(c.dialect))
	case n == 2:
		for _, seq := range slices.Sorted(maps.Keys(c.rows)) {
			if seq > after && c.rows[seq].why == "" && len(answer.list) < int(limit) {
				answer.add(seq)
			}
		}
	case strings.HasPrefix(query, "SELECT body"):
		answer.add([]byte("body"))
	case strings.HasPrefix(query, "SELECT seq, id"):
		words := strings.FieldsFunc(query, func(c rune) bool { return strings.ContainsRune(" (,)", c) })
		for _, seq := range slices.Sorted(maps.Keys(c.rows)) {
			if r := c.rows[seq]; slices.Contains(words, fmt.Sprint(seq)) {
				answer.add(r.seq, r.id, r.version, r.envelope, r.item, r.tried)
			}
		}
	}
	return answer, nil
}

type fakeRows struct{ list [][]driver.Value }

func (r *fakeRows) add(v ...driver.Value) { r.list = append(r.list, v) }
func (r *fakeRows) Columns() []string {
	if len(r.list) == 0 {
		return nil
	}
	return make([]string, len(r.list[0]))
}
func (r *fakeRows) Close() error { return nil }
func (r *fakeRows) Next(to []driver.Value) error {
	if len(r.list) == 0 {
		return io.EOF
	}
	copy(to, r.list[0])
	r.list = r.list[1:]
	return nil
}
