package relay

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/fe022423/submission/outbox"
)

const (
	batch      = 50 // rows of a round
	passRounds = 20 // rounds of a pass; then the first rows have their turn again

	maxFailures = 3                // of a round: then it is not about single rows
	roundTime   = 10 * time.Second // after which a round begins no further row
)

// pass goes through the table in rounds, so that rows that cannot be moved now do not hold up
// those after them.
type pass struct {
	after  int64 // it has come so far
	rounds int
	single bool // a row at a time: the database failed within a round, perhaps at one row
}

func (p *pass) size() int {
	if p.single {
		return 1
	}
	return batch
}

// round moves rows, in two transactions. The first one says which rows are tried from now on.
// It is committed before any of them can be in the queue: otherwise nobody could tell a row that
// was moved, sent and forgotten by the queue, while the database was away, from one that was
// never moved. The second one moves the rows and deletes them. done counts the rows that are
// done with; more says that the pass is not over.
func (m *mover) round(ctx context.Context) (done int, more bool, err error) {
	if err := m.learn(ctx); err != nil {
		return 0, false, err
	}
	stamp := time.Now().UTC().Format(time.RFC3339Nano)
	seqs, err := m.claim(ctx, stamp)
	if err != nil {
		return 0, false, err
	}
	if len(seqs) == 0 {
		m.pass = pass{}
		return 0, false, nil
	}
	l := &load{mover: m, stamp: stamp, reached: seqs[len(seqs)-1]}
	if err = l.move(ctx, seqs); err != nil && !m.single {
		m.single = true // and these once more
		return 0, true, err
	}
	more = len(seqs) == m.size() || l.reached < seqs[len(seqs)-1]
	m.after = l.reached
	if m.rounds++; !more || m.rounds >= passRounds {
		m.pass = pass{}
	}
	if err != nil {
		return 0, more, err
	}
	return l.report(), more, errors.Join(l.failures...)
}

// claim returns the next rows, and notes that they are tried from now on.
func (m *mover) claim(ctx context.Context, stamp string) (seqs []int64, err error) {
	db, tx, err := m.lock(ctx)
	if err != nil {
		return nil, err
	}
	if tx != nil {
		defer tx.Rollback()
	}
	query := fmt.Sprintf("SELECT seq FROM "+table+" WHERE error IS NULL AND seq > %d ORDER BY seq LIMIT %d", m.after, m.size())
	if seqs, err = m.numbers(ctx, db, query); err != nil || len(seqs) == 0 {
		return nil, err
	}
	if tx == nil { // SQLite may refuse to write in a transaction that began by reading
		if tx, err = m.db.BeginTx(ctx, nil); err != nil {
			return nil, err
		}
		defer tx.Rollback()
	}
	for _, seq := range seqs {
		if err := m.exec(ctx, tx, "UPDATE "+table+" SET tried = ? WHERE seq = ? AND tried IS NULL", stamp, seq); err != nil {
			return nil, err
		}
	}
	return seqs, tx.Commit()
}

func (m *mover) numbers(ctx context.Context, db database, query string) (seqs []int64, err error) {
	rows, err := db.QueryContext(ctx, query+m.suffix())
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var seq int64
		if err := rows.Scan(&seq); err != nil {
			return nil, err
		}
		seqs = append(seqs, seq)
	}
	return seqs, rows.Err()
}

// lock begins a transaction if the database can lock single rows; otherwise nothing is locked
// and each statement is on its own. It locks nothing but rows: by default MySQL would also lock the
// place where Insert puts the next one.
func (m *mover) lock(ctx context.Context) (database, *sql.Tx, error) {
	if !m.locking {
		return m.db, nil, nil
	}
	tx, err := m.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	return tx, tx, err
}

func (m *mover) suffix() string {
	if m.locking {
		return skipLocked
	}
	return ""
}

// exec changes one row. Each has a statement of its own: for a list of rows MySQL may read the
// whole table, and wait for those that another Run has locked.
func (m *mover) exec(ctx context.Context, db database, query string, args ...any) error {
	_, err := db.ExecContext(ctx, m.dialect.bind(query), args...)
	return err
}

// load is the rows of one round.
type load struct {
	*mover
	stamp    string // when the round began, as it stands in the column tried
	rows     []*row
	reached  int64   // the last row that the round came to
	failures []error // of single rows, or of the queue
}

// move moves rows to the queue, and settles in the table what became of them. The transaction
// is open while rows are moved only if it locks them.
func (l *load) move(ctx context.Context, seqs []int64) error {
	long, stop := lasting(ctx)
	defer stop()
	db, tx, err := l.lock(long)
	if err != nil {
		return err
	}
	if tx != nil {
		defer tx.Rollback()
	}
	if err := l.read(long, db, seqs); err != nil {
		return err
	}
	if err := l.moveEach(ctx, db); err != nil {
		return err
	}
	if tx == nil {
		if tx, err = l.db.BeginTx(long, nil); err != nil {
			return err
		}
		defer tx.Rollback()
	}
	if err := l.settle(long, tx); err != nil {
		return err
	}
	return tx.Commit()
}

// read reads the rows that are still there, without their bodies: these may be large.
func (l *load) read(ctx context.Context, db database, seqs []int64) error {
	query := "SELECT seq, id, version, envelope, item, tried FROM " + table + " WHERE error IS NULL AND seq IN " + list(seqs) + " ORDER BY seq"
	rows, err := db.QueryContext(ctx, query+l.suffix())
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		r, tried := &row{}, sql.NullString{}
		if err := rows.Scan(&r.seq, &r.id, &r.version, &r.envelope, &r.item, &tried); err != nil {
			return err
		}
		r.tried = tried.String
		l.rows = append(l.rows, r)
	}
	return rows.Err()
}

// moveEach moves the rows until there is no use in going on. The error is of the database.
func (l *load) moveEach(ctx context.Context, db database) error {
	begun := time.Now()
	for _, r := range l.rows {
		if ctx.Err() != nil || len(l.failures) == maxFailures || time.Since(begun) > roundTime {
			return nil
		}
		l.reached = r.seq
		body := func() (b []byte, err error) {
			err = db.QueryRowContext(ctx, l.dialect.bind("SELECT body FROM "+table+" WHERE seq = ? AND id = ?"), r.seq, r.id).Scan(&b)
			return b, err
		}
		if err := l.moveOne(ctx, r, body); err != nil {
			return err
		}
	}
	return nil
}

// moveOne moves one row. The error is of the database.
func (l *load) moveOne(ctx context.Context, r *row, read func() ([]byte, error)) error {
	env, it, err := r.message()
	if err != nil {
		r.park(err)
		return nil
	}
	if r.tried != l.stamp && time.Since(r.since()) > l.queue.Keep()/2 {
		if known := l.recall(ctx, r, it); !known {
			return nil
		}
	}
	body, err := read()
	if errors.Is(err, sql.ErrNoRows) { // another Run was faster
		return nil
	}
	if err != nil {
		return fmt.Errorf("row %s: %w", r.id, err)
	}
	_, err = l.queue.Enqueue(ctx, env, bytes.NewReader(body), it)
	switch {
	case err == nil || errors.Is(err, outbox.ErrDuplicate):
		r.fate = moved
	case errors.Is(err, outbox.ErrConflict):
		r.park(err)
	default:
		if !errors.Is(err, outbox.ErrFull) {
			r.fate = uncertain
		}
		l.failures = append(l.failures, fmt.Errorf("row %s: %w", r.id, err))
	}
	return nil
}

// recall decides about a row that was tried so long ago that the queue may have forgotten it.
// It reports whether the queue knows the key of the row, so that it can be moved as others are.
func (l *load) recall(ctx context.Context, r *row, it *outbox.Item) (known bool) {
	switch _, err := l.queue.Get(ctx, outbox.IDOf(it.Key)); {
	case errors.Is(err, outbox.ErrNotFound):
		r.park(fmt.Errorf("perhaps it was moved and sent since %s: the queue remembers %v", r.tried, l.queue.Keep()))
		return false
	case err != nil:
		r.fate = uncertain
		l.failures = append(l.failures, fmt.Errorf("row %s: %w", r.id, err))
		return false
	case it.Key == r.id: // nobody else has this key, and the queue may forget it any moment
		r.fate = moved
		return false
	}
	return true
}
