//go:build linux

package relay

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fe022423/submission/outbox"
	"github.com/fe022423/submission/outbox/relay"
	"github.com/fe022423/submission/smtptest"
)

// crash abandons a Run at the nth step of its database, and at all after it: before a call, or
// after it with its answer lost.
type crash struct {
	mu   sync.Mutex
	left int
	at   string
	dead context.CancelFunc
}

func (c *crash) seam(s step) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left--; c.left > 0 {
		return nil
	}
	if c.at == "" {
		c.at = fmt.Sprintf("%s %q, after it: %v", s.call, s.query, s.after)
		c.dead()
	}
	return errGone
}

// TestCrashAtEachStep abandons Run at each step, lets the queue send what it has, and runs it again:
// each message is sent once.
func TestCrashAtEachStep(t *testing.T) {
	logged(t)
	atOnce(t, func(t *testing.T, e engine) {
		dsn := e.fresh(t)
		db, happened := e.observed(t, dsn)
		q, srv := open(t, nil), smtptest.New(t, nil)
		work(t, q, srv)
		steps := 1
		for crashAt(t, e, dsn, steps, q, srv, db, happened) {
			steps++
		}
		if steps < 30 {
			t.Errorf("only %d steps", steps)
		}
		t.Logf("%d steps", steps)
	})
}

// crashAt returns false when there was no such step.
func crashAt(t *testing.T, e engine, dsn string, n int, q *outbox.Outbox, srv *smtptest.Server, db *sql.DB, happened <-chan struct{}) bool {
	t.Helper()
	srv.Reset()
	for i := range 2 {
		insert(t, db, numbered("crash", i), "hello", nil)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c := &crash{left: n, dead: cancel}
	moved := make(chan struct{}, 1)
	dying := e.watched(t, dsn, func(s step) error {
		select {
		case moved <- struct{}{}:
		default:
		}
		return c.seam(s)
	})
	ended := make(chan error, 1)
	go func() { ended <- relay.Run(ctx, dying, q) }()
	over := func() bool { return ctx.Err() != nil || count(t, db, "1 = 1") == 0 }
	for limit := deadline(t); !over(); {
		select {
		case <-moved:
		case <-ctx.Done():
		case <-limit.Done():
			t.Fatal("it came to no end")
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	dying.Close()
	stop := run(t, db, q)
	until(t, happened, "the table is empty", func() bool { return count(t, db, "1 = 1") == 0 })
	stop()
	once(t, srv, "crash", 2)
	if t.Failed() {
		t.Fatalf("crash %d at %s", n, c.at)
	}
	return c.at != ""
}

// TestRestartOfTheDatabase: Run outlives a database that crashes, and goes on when it is back.
func TestRestartOfTheDatabase(t *testing.T) {
	eachDatabase(t, func(t *testing.T, e engine) {
		if e.server == nil {
			return // see TestDatabaseIsLocked
		}
		logs := logged(t)
		dsn := e.fresh(t)
		db, happened := e.observed(t, dsn)
		q, srv := open(t, nil), smtptest.New(t, nil)
		work(t, q, srv)
		for i := range 60 {
			insert(t, db, numbered("to", i), "hello", nil)
		}
		run(t, db, q)
		if _, err := srv.Wait(deadline(t), 10); err != nil {
			t.Fatal(err)
		}
		e.server.kill()
		until(t, happened, "a failure is logged", func() bool { return strings.Contains(logs(), "moving rows") })
		if err := e.server.start(); err != nil {
			t.Fatal(err)
		}
		after := e.open(t, dsn)
		insert(t, after, numbered("to", 60), "hello", nil)
		once(t, srv, "to", 61)
		until(t, happened, "the table is empty", func() bool { return count(t, after, "1 = 1") == 0 })
	})
}

// TestDatabaseIsLocked: SQLite refuses what others have locked, at once if nothing else is set.
func TestDatabaseIsLocked(t *testing.T) {
	logs := logged(t)
	e := engines[0]
	dsn, _, _ := strings.Cut(e.fresh(t), "?")
	db, happened := e.observed(t, dsn)
	other := e.open(t, dsn)
	q, srv := open(t, nil), smtptest.New(t, nil)
	work(t, q, srv)
	insert(t, db, numbered("to", 0), "hello", nil)
	lock, err := other.Conn(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if _, err := lock.ExecContext(deadline(t), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	run(t, db, q)
	until(t, happened, "a failure is logged", func() bool { return strings.Contains(logs(), "locked") })
	if _, err := lock.ExecContext(deadline(t), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	once(t, srv, "to", 1)
	until(t, happened, "the table is empty", func() bool { return count(t, db, "1 = 1") == 0 })
}

// TestRowThatTheDatabaseCannotRead: the others are moved and leave the table.
func TestRowThatTheDatabaseCannotRead(t *testing.T) {
	logged(t)
	atOnce(t, func(t *testing.T, e engine) {
		dsn := e.fresh(t)
		db := e.open(t, dsn)
		q, srv := open(t, nil), smtptest.New(t, nil)
		work(t, q, srv)
		bad := insert(t, db, "bad@example.net", "bad", nil)
		for i := range 5 {
			insert(t, db, numbered("to", i), "hello", nil)
		}
		happened := make(chan struct{}, 1)
		var mu sync.Mutex
		mended := false
		failing := e.watched(t, dsn, func(s step) error {
			select {
			case happened <- struct{}{}:
			default:
			}
			mu.Lock()
			defer mu.Unlock()
			if strings.HasPrefix(s.query, "SELECT body") && s.args[0].Value == int64(1) && !mended {
				return errors.New("page 17 is damaged")
			}
			return nil
		})
		run(t, failing, q)
		until(t, happened, "one row is left", func() bool { return count(t, db, "1 = 1") == 1 })
		once(t, srv, "to", 5)
		mu.Lock()
		mended = true
		mu.Unlock()
		until(t, happened, "the table is empty", func() bool { return count(t, db, "1 = 1") == 0 })
		if _, err := q.Get(deadline(t), bad); err != nil {
			t.Error(err)
		}
	})
}

// TestForgottenRow: a row that was perhaps moved so long ago that the queue has forgotten it is
// not moved again.
func TestForgottenRow(t *testing.T) {
	logged(t)
	atOnce(t, func(t *testing.T, e engine) {
		db, happened := e.observed(t, e.fresh(t))
		q := open(t, func(o *outbox.Options) { o.Keep = time.Hour })
		long, short := time.Now().Add(-48*time.Hour).UTC().Format(time.RFC3339), time.Now().Add(-time.Minute).UTC().Format(time.RFC3339)
		for name, c := range map[string]struct {
			tried, key       string
			known, left, has bool
		}{
			"long ago, forgotten":                {long, "", false, true, false},
			"long ago, its own key, forgotten":   {long, "forgotten", false, true, false},
			"long ago, known":                    {long, "", true, false, true},
			"long ago, its own key, known":       {long, "known", true, false, true},
			"a minute ago":                       {short, "", false, false, true},
			"nobody knows when":                  {"yesterday", "", false, true, false},
			"a minute ago, and in the queue":     {short, "", true, false, true},
			"never":                              {"", "", false, false, true},
			"never, and its own key is in there": {"", "before", true, false, true},
		} {
			must(t, db, "DELETE FROM outbox_relay")
			id := insert(t, db, "a@example.net", "hello", &outbox.Item{Key: c.key})
			if c.tried != "" {
				must(t, db, "UPDATE outbox_relay SET tried = '"+c.tried+"'")
			}
			if c.known {
				key := c.key
				if key == "" {
					if err := db.QueryRow("SELECT id FROM outbox_relay").Scan(&key); err != nil {
						t.Fatal(err)
					}
				}
				if got, err := q.Enqueue(deadline(t), envelope("a@example.net"), strings.NewReader(text("hello")), &outbox.Item{Key: key}); err != nil || got != id {
					t.Fatal(got, err)
				}
			}
			stop := run(t, db, q)
			until(t, happened, name+": it is done with", func() bool { return count(t, db, "error IS NULL") == 0 })
			stop()
			_, err := q.Get(deadline(t), id)
			if has := err == nil; has != c.has || (count(t, db, "error LIKE '%perhaps it was moved%'") == 1) != c.left {
				t.Errorf("%s: in the queue: %v (%v), left: %d", name, has, err, count(t, db, "1 = 1"))
			}
		}
	})
}
