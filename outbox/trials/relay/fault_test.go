//go:build linux

package relay

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"testing"
)

// errGone is what a connection says whose process is thought dead.
var errGone = errors.New("this process is gone")

// step is a call to a driver: before it, or after it.
type step struct {
	call  string // begin, exec, query, commit, rollback
	query string
	after bool
	args  []driver.NamedValue
}

// watched is a database whose calls pass seam. If that fails the connection is closed, and the
// call has failed, although it may have been done.
func (e engine) watched(t testing.TB, dsn string, seam func(step) error) *sql.DB {
	t.Helper()
	plain := e.open(t, dsn)
	if e.driver == "mysql" {
		dsn += "?interpolateParams=true" // a statement is one call
	}
	c := &connector{dsn: dsn, driver: plain.Driver(), seam: seam}
	db := sql.OpenDB(c)
	t.Cleanup(func() { db.Close() })
	return db
}

type connector struct {
	dsn    string
	driver driver.Driver
	seam   func(step) error
}

func (c *connector) Driver() driver.Driver { return c.driver }

func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	if err := c.seam(step{call: "connect"}); err != nil {
		return nil, err
	}
	var raw driver.Conn
	var err error
	if d, ok := c.driver.(driver.DriverContext); ok {
		var inner driver.Connector
		if inner, err = d.OpenConnector(c.dsn); err == nil {
			raw, err = inner.Connect(ctx)
		}
	} else {
		raw, err = c.driver.Open(c.dsn)
	}
	if err != nil {
		return nil, err
	}
	return &conn{Conn: raw, seam: c.seam}, nil
}

type conn struct {
	driver.Conn
	seam   func(step) error
	closed bool
}

// IsValid keeps a closed connection out of the pool.
func (c *conn) IsValid() bool { return !c.closed }

func (c *conn) Close() error {
	if c.closed {
		return nil
	}
	c.closed = true
	return c.Conn.Close()
}

// pass does a call between its two steps.
func (c *conn) pass(s step, do func() error) error {
	if c.closed {
		return driver.ErrBadConn
	}
	err := c.seam(s)
	if err == nil {
		if err = do(); err != nil {
			return err
		}
		s.after = true
		err = c.seam(s)
	}
	if err != nil {
		c.Close()
	}
	return err
}

func (c *conn) BeginTx(ctx context.Context, o driver.TxOptions) (tx driver.Tx, err error) {
	err = c.pass(step{call: "begin"}, func() (err error) {
		tx, err = c.Conn.(driver.ConnBeginTx).BeginTx(ctx, o)
		return err
	})
	return &transaction{tx, c}, err
}

type transaction struct {
	driver.Tx
	conn *conn
}

func (t *transaction) Commit() error   { return t.conn.pass(step{call: "commit"}, t.Tx.Commit) }
func (t *transaction) Rollback() error { return t.conn.pass(step{call: "rollback"}, t.Tx.Rollback) }

func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (r driver.Result, err error) {
	err = c.pass(step{call: "exec", query: query, args: args}, func() (err error) {
		r, err = c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
		return err
	})
	return r, err
}

func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (r driver.Rows, err error) {
	err = c.pass(step{call: "query", query: query, args: args}, func() (err error) {
		r, err = c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
		return err
	})
	return r, err
}

func (c *conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	if p, ok := c.Conn.(driver.ConnPrepareContext); ok {
		return p.PrepareContext(ctx, query)
	}
	return c.Conn.Prepare(query)
}

func (c *conn) CheckNamedValue(v *driver.NamedValue) error {
	if k, ok := c.Conn.(driver.NamedValueChecker); ok {
		return k.CheckNamedValue(v)
	}
	return driver.ErrSkip
}
