package relay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fe022423/submission/outbox"
)

// TestOrder holds what the promise rests on: a row is tried before it can be in the queue, and
// goes only after it is. Where rows are locked they stay so until they are gone; elsewhere
// nothing is locked while the queue works.
func TestOrder(t *testing.T) {
	const (
		due  = "SELECT seq FROM outbox_relay WHERE error IS NULL AND seq > 0 ORDER BY seq LIMIT 50"
		rows = "SELECT seq, id, version, envelope, item, tried FROM outbox_relay WHERE error IS NULL AND seq IN (1, 2) ORDER BY seq"
		lock = " FOR UPDATE SKIP LOCKED"
	)
	for dialect, want := range map[Dialect][]string{
		Postgres: {
			"begin Read Committed", due + lock,
			"UPDATE outbox_relay SET tried = $1 WHERE seq = $2 AND tried IS NULL", "UPDATE outbox_relay SET tried = $1 WHERE seq = $2 AND tried IS NULL", "commit",
			"begin Read Committed", rows + lock,
			"SELECT body FROM outbox_relay WHERE seq = $1 AND id = $2", "enqueue id1",
			"SELECT body FROM outbox_relay WHERE seq = $1 AND id = $2", "enqueue id2",
			"DELETE FROM outbox_relay WHERE seq = $1 AND id = $2", "DELETE FROM outbox_relay WHERE seq = $1 AND id = $2", "commit",
		},
		SQLite: {
			due,
			"begin Default",
			"UPDATE outbox_relay SET tried = ? WHERE seq = ? AND tried IS NULL", "UPDATE outbox_relay SET tried = ? WHERE seq = ? AND tried IS NULL", "commit",
			rows,
			"SELECT body FROM outbox_relay WHERE seq = ? AND id = ?", "enqueue id1",
			"SELECT body FROM outbox_relay WHERE seq = ? AND id = ?", "enqueue id2",
			"begin Default",
			"DELETE FROM outbox_relay WHERE seq = ? AND id = ?", "DELETE FROM outbox_relay WHERE seq = ? AND id = ?", "commit",
		},
	} {
		f := &fake{dialect: dialect}
		f.add(2)
		m := f.mover(t)
		if err := m.learn(context.Background()); err != nil {
			t.Fatal(err)
		}
		f.calls = nil
		if done, more, err := m.round(context.Background()); done != 2 || more || err != nil {
			t.Errorf("%d, %v, %v", done, more, err)
		}
		if !slices.Equal(f.calls, want) {
			t.Errorf("have\n%s\nwant\n%s", strings.Join(f.calls, "\n"), strings.Join(want, "\n"))
		}
	}
}

// during runs for d of a clock of its own, and returns when each of the calls was that begin so.
func during(t *testing.T, f *fake, d time.Duration, begin string) (at []time.Duration, err error) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		fail := f.fail
		f.fail = func(call string) error {
			if strings.HasPrefix(call, begin) {
				at = append(at, time.Since(start))
			}
			if fail != nil {
				return fail(call)
			}
			return nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		err = f.mover(t).run(ctx)
	})
	return at, err
}

func TestWhenRunLooks(t *testing.T) {
	seconds := func(list ...float64) (at []time.Duration) {
		for _, s := range list {
			at = append(at, time.Duration(s*float64(time.Second)))
		}
		return at
	}
	down := errors.New("down")
	for name, c := range map[string]struct {
		f     *fake
		rows  int
		begin string
		want  []time.Duration
	}{
		"an empty table":              {&fake{dialect: SQLite}, 0, "SELECT seq FROM outbox_relay WHERE error", seconds(0, 1, 2, 3, 4)},
		"a database that is down":     {&fake{dialect: SQLite, fail: func(call string) error { return down }}, 0, "connect", seconds(0, 1, 3, 7, 15, 31, 61, 91)},
		"a full queue":                {&fake{dialect: SQLite, enqueue: func(context.Context, string) error { return outbox.ErrFull }}, 1, "enqueue", seconds(0, 1, 3, 7, 15)},
		"a full queue, and many rows": {&fake{dialect: SQLite, enqueue: func(context.Context, string) error { return outbox.ErrFull }}, 9, "enqueue", seconds(0, 0, 0, 1, 1, 1, 3, 3, 3, 7, 7, 7)},
	} {
		c.f.add(c.rows)
		at, err := during(t, c.f, c.want[len(c.want)-1]+time.Second/2, c.begin)
		if err != nil || !slices.Equal(at, c.want) {
			t.Errorf("%s: at %v, want %v, %v", name, at, c.want, err)
		}
		for _, r := range c.f.rows {
			if r.tried != "" || r.why != "" {
				t.Errorf("%s: %+v", name, r)
			}
		}
	}
}

// TestManyRowsNeedNoPause: as long as there are many, no second goes by between the rounds.
func TestManyRowsNeedNoPause(t *testing.T) {
	f := &fake{dialect: MySQL}
	f.add(1234)
	if _, err := during(t, f, time.Second/2, "-"); err != nil || f.left() != 0 || len(f.moved) != 1234 {
		t.Errorf("%d are left, %d were moved, %v", f.left(), len(f.moved), err)
	}
}

// TestRowsThatFailHoldUpNobody, wherever they are, and whatever fails.
func TestRowsThatFailHoldUpNobody(t *testing.T) {
	const n = 300
	bad := map[string]bool{"id1": true, "id2": true, "id3": true, "id4": true, "id99": true, "id100": true, fmt.Sprint("id", n): true}
	for name, err := range map[string]error{"unknown": errors.New("a time-out"), "full": outbox.ErrFull} {
		f := &fake{dialect: Postgres, enqueue: func(_ context.Context, key string) error {
			if bad[key] {
				return err
			}
			return nil
		}}
		f.add(n)
		if _, err := during(t, f, 10*time.Second, "-"); err != nil || f.left() != len(bad) || len(f.moved) != n-len(bad) {
			t.Errorf("%s: %d are left, %d were moved, %v", name, f.left(), len(f.moved), err)
		}
		for _, r := range f.rows {
			if tried := r.tried != ""; tried != (name == "unknown") || r.why != "" {
				t.Errorf("%s: %+v", name, r)
			}
		}
	}
}

// TestRowThatFailsForADay is marked, since it may have been in the queue and be forgotten.
func TestRowThatFailsForADay(t *testing.T) {
	f := &fake{dialect: Postgres, enqueue: func(context.Context, string) error { return errors.New("a time-out") }}
	f.add(1)
	if _, err := during(t, f, 25*time.Hour, "-"); err != nil || !strings.Contains(f.rows[1].why, "perhaps it was moved") {
		t.Errorf("%+v, %v", f.rows[1], err)
	}
}

// TestEndOfRun: what the queue has taken is deleted, although ctx is done.
func TestEndOfRun(t *testing.T) {
	for _, d := range []Dialect{SQLite, Postgres, MySQL} {
		ctx, cancel := context.WithCancel(context.Background())
		f := &fake{dialect: d, enqueue: func(_ context.Context, key string) error {
			if key == "id2" {
				cancel()
			}
			return nil
		}}
		f.add(4)
		if err := f.mover(t).run(ctx); err != nil || f.left() != 2 || len(f.moved) != 2 {
			t.Errorf("%d: %d are left, %d were moved, %v", d, f.left(), len(f.moved), err)
		}
		for _, r := range f.rows {
			if r.tried != "" {
				t.Errorf("%d: row %s counts as tried", d, r.id)
			}
		}
	}
}

func TestRunRefuses(t *testing.T) {
	f := &fake{dialect: SQLite, enqueue: func(context.Context, string) error { return outbox.ErrClosed }}
	f.add(1)
	if err := f.mover(t).run(context.Background()); !errors.Is(err, outbox.ErrClosed) {
		t.Errorf("a queue that was closed: %v", err)
	}
	if err := Run(context.Background(), nil, &outbox.Outbox{}); err == nil {
		t.Error("no database")
	}
	if err := Run(context.Background(), f.mover(t).db, nil); err == nil {
		t.Error("no queue")
	}
	if err := Insert(context.Background(), nil, outboxEnvelope, strings.NewReader(""), nil); err == nil {
		t.Error("no transaction")
	}
}
