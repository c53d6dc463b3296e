package relay

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/outbox"
)

const (
	pollTime   = time.Second      // how often an empty table is looked at
	firstPause = time.Second      // after a round in which nothing could be moved
	lastPause  = 30 * time.Second // it doubles up to this
	settleTime = 5 * time.Second  // for what is begun when ctx is done
)

// Run moves rows from the table to the queue until ctx is done, and then returns nil. It may run
// in several processes at once: where the database has FOR UPDATE SKIP LOCKED they share the
// rows, elsewhere they only do some work twice. It looks for rows every second, and goes on
// without a pause as long as it finds many. Rows go roughly in the order in which they were
// inserted.
//
// A database or a queue that fails, a missing table and a full queue are asked again, first
// after one second, at last every 30 seconds, and each failure is logged with slog.Default(). So is a
// row that can never be moved; it keeps the reason, and the others go on. A message that is
// larger than the room in the queue waits, and lets others pass.
//
// Start it again with the same queue, and within outbox.Options.Keep, if it ended between a
// message's way into the queue and the end of its row. Rows for which that is too long ago are
// marked and not moved.
//
// SQLite lets one connection write at a time: give yours a busy timeout, or Insert fails while
// Run writes, and Run waits a second and more whenever you do.
//
// The error is about the arguments, or says that the queue was closed. With PostgreSQL, MySQL
// and MariaDB a transaction is open while rows are moved: some seconds at most, longer only if
// the queue does not answer. It locks the rows that it moves, and nothing that Insert needs.
func Run(ctx context.Context, db *sql.DB, o *outbox.Outbox) error {
	if db == nil || o == nil {
		return failed("run", errors.New("the database or the queue is nil"))
	}
	return failed("run", (&mover{db: db, queue: o, log: slog.Default()}).run(ctx))
}

// queue is what Run needs of an outbox.Outbox.
type queue interface {
	Enqueue(context.Context, submission.Envelope, io.Reader, *outbox.Item) (outbox.ID, error)
	Get(context.Context, outbox.ID) (outbox.Record, error)
	Keep() time.Duration
}

// mover is a call of Run.
type mover struct {
	db      *sql.DB
	queue   queue
	log     *slog.Logger
	dialect Dialect // 0: not asked yet
	locking bool    // the database has FOR UPDATE SKIP LOCKED
	pass
}

func (m *mover) run(ctx context.Context) error {
	pause := firstPause
	for {
		done, more, err := m.round(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, outbox.ErrClosed):
			return err
		case err != nil:
			m.log.Warn("relay: moving rows to the queue", "err", err)
		}
		wait := pollTime
		switch {
		case done > 0 && more:
			wait, pause = 0, firstPause
		case done > 0 || err == nil:
			pause = firstPause
		default:
			wait, pause = pause, min(2*pause, lastPause)
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C:
		}
	}
}

// learn asks the database what it is and what it can do. A statement that it does not know
// fails outside of any transaction.
func (m *mover) learn(ctx context.Context) error {
	if m.dialect != 0 {
		return nil
	}
	const nothing = "SELECT seq FROM " + table + " WHERE seq < 0"
	if err := m.try(ctx, nothing); err != nil {
		return err
	}
	d, err := dialectOf(ctx, m.db)
	if err != nil {
		return err
	}
	m.locking = m.try(ctx, nothing+skipLocked) == nil
	m.dialect = d
	return nil
}

func (m *mover) try(ctx context.Context, query string) error {
	rows, err := m.db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	rows.Next()
	return rows.Err()
}

// lasting is a context that is done settleTime after ctx: what is begun comes to its end, but
// a database that does not answer holds nobody up for good.
func lasting(ctx context.Context) (context.Context, context.CancelFunc) {
	long, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		t := time.NewTimer(settleTime)
		defer t.Stop()
		select {
		case <-t.C:
			cancel()
		case <-long.Done():
		}
	})
	return long, func() { stop(); cancel() }
}
