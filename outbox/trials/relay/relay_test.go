//go:build linux

package relay

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/outbox"
	"github.com/fe022423/submission/outbox/relay"
	"github.com/fe022423/submission/smtptest"
)

// TestBodies: what is committed arrives as it is, with all that its envelope and item say.
func TestBodies(t *testing.T) {
	each(t, func(t *testing.T, e engine) {
		logged(t)
		db, happened := e.observed(t, e.fresh(t))
		q := open(t, nil)
		env := envelope("ä@example.net")
		env.DSN.EnvelopeID, env.HoldUntil = "order 17", time.Now().Add(time.Hour)
		it := &outbox.Item{Route: "träger 𝄞 \\ufffd \ufffd \"'$1?", Headers: map[string]string{"ключ": "\x00\n"}, Priority: outbox.Low, NotBefore: time.Now().Add(time.Hour)}
		want := map[outbox.ID][]byte{}
		for _, body := range [][]byte{
			[]byte(text("hello")),
			{},
			{0, 0xff, '\'', '"', '\\', '\r', '\n', 0x80},
			bytes.Repeat([]byte("0123456789\r\n"), 100_000), // an object of the queue
		} {
			tx, err := db.BeginTx(deadline(t), nil)
			if err != nil {
				t.Fatal(err)
			}
			key := rowAdded(t, tx, func() error { return relay.Insert(deadline(t), tx, env, bytes.NewReader(body), it) })
			if err = errors.Join(err, tx.Commit()); err != nil {
				t.Fatal(err)
			}
			want[outbox.IDOf(key)] = body
		}
		run(t, db, q)
		until(t, happened, "the table is empty", func() bool { return count(t, db, "1 = 1") == 0 })
		for id, body := range want {
			got, r, err := q.Message(deadline(t), id)
			if err != nil {
				t.Fatal(err)
			}
			octets, err := io.ReadAll(r)
			if err != nil || !bytes.Equal(octets, body) || !got.HoldUntil.Equal(env.HoldUntil) || got.To[0].Addr != env.To[0].Addr || got.DSN != env.DSN {
				t.Errorf("%d of %d octets, %+v, %v", len(octets), len(body), got, err)
			}
			rec, err := q.Get(deadline(t), id)
			if err != nil || rec.Route != it.Route || rec.Headers["ключ"] != "\x00\n" || !rec.NotBefore.Equal(it.NotBefore) || rec.Key == "" {
				t.Errorf("%+v, %v", rec, err)
			}
		}
	})
}

// TestTransactions: what is committed arrives once, what is rolled back never.
func TestTransactions(t *testing.T) {
	each(t, func(t *testing.T, e engine) {
		logged(t)
		db, happened := e.observed(t, e.fresh(t))
		q, srv := open(t, nil), smtptest.New(t, nil)
		run(t, db, q)
		work(t, q, srv)
		for i, order := range []string{"committed0", "rolledback", "committed1"} {
			tx, err := db.BeginTx(deadline(t), nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.ExecContext(deadline(t), "INSERT INTO orders VALUES ('"+order+"')"); err != nil {
				t.Fatal(err)
			}
			if err := relay.Insert(deadline(t), tx, envelope(order+"@example.net"), strings.NewReader(text(order)), nil); err != nil {
				t.Fatal(err)
			}
			if i%2 == 1 {
				err = tx.Rollback()
			} else {
				err = tx.Commit()
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		once(t, srv, "committed", 2)
		until(t, happened, "the table is empty", func() bool { return count(t, db, "1 = 1") == 0 })
	})
}

// TestInsertRefuses: what Enqueue would refuse is refused with the same kind of error before
// anything is stored, and the transaction goes on.
func TestInsertRefuses(t *testing.T) {
	broken := errors.New("broken")
	each(t, func(t *testing.T, e engine) {
		db := e.open(t, e.fresh(t))
		tx, err := db.BeginTx(deadline(t), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		for name, c := range map[string]struct {
			env  submission.Envelope
			body io.Reader
			it   *outbox.Item
			is   func(error) bool
		}{
			"a bad recipient":    {envelope("a b@example.net"), strings.NewReader(""), nil, is[*submission.AddressError]},
			"no recipient":       {submission.Envelope{}, strings.NewReader(""), nil, is[*submission.SendError]},
			"no message":         {envelope("a@example.net"), nil, nil, nil},
			"a broken message":   {envelope("a@example.net"), io.MultiReader(strings.NewReader("a"), failing{broken}), nil, func(err error) bool { return errors.Is(err, broken) }},
			"a long key":         {envelope("a@example.net"), strings.NewReader(""), &outbox.Item{Key: strings.Repeat("k", 257)}, nil},
			"a key not in text":  {envelope("a@example.net"), strings.NewReader(""), &outbox.Item{Key: "\xff"}, nil},
			"a note not in text": {envelope("a@example.net"), strings.NewReader(""), &outbox.Item{Headers: map[string]string{"\\\xff": ""}}, nil},
			"a year too far":     {envelope("a@example.net"), strings.NewReader(""), &outbox.Item{NotBefore: time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC)}, nil},
		} {
			err := relay.Insert(deadline(t), tx, c.env, c.body, c.it)
			if err == nil || c.is != nil && !c.is(err) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := relay.Insert(deadline(t), tx, envelope("a@example.net"), strings.NewReader("a"), nil); err != nil {
			t.Errorf("after what was refused: %v", err)
		}
		if err := tx.Commit(); err != nil {
			t.Error(err)
		}
		if n := count(t, db, "1 = 1"); n != 1 {
			t.Errorf("%d rows", n)
		}
	})
}

func is[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// TestTwoRuns: rows are moved once, whoever moves them.
func TestTwoRuns(t *testing.T) {
	logs := logged(t)
	atOnce(t, func(t *testing.T, e engine) {
		dsn := e.fresh(t)
		db, happened := e.observed(t, dsn)
		q, srv := open(t, nil), smtptest.New(t, nil)
		const n = 120
		for i := range n {
			insert(t, db, numbered("to", i), "hello", nil)
		}
		work(t, q, srv)
		for range 3 {
			run(t, e.open(t, dsn), q)
		}
		run(t, db, q)
		once(t, srv, "to", n)
		until(t, happened, "the table is empty", func() bool { return count(t, db, "1 = 1") == 0 })
		if strings.Contains(logs(), "level=") {
			t.Errorf("they are in each other's way: %s", logs())
		}
	})
}

// TestInsertNeedNotWait: Run holds up no Insert while it moves rows, however long that takes.
func TestInsertNeedNotWait(t *testing.T) {
	eachDatabase(t, func(t *testing.T, e engine) {
		logged(t)
		dsn := e.fresh(t)
		db := e.open(t, dsn)
		insert(t, db, "a@example.net", "a", nil)
		moving, goOn := make(chan struct{}, 1), make(chan struct{})
		slow := e.watched(t, dsn, func(s step) error {
			if strings.HasPrefix(s.query, "SELECT body") {
				moving <- struct{}{}
				<-goOn
			}
			return nil
		})
		stop := run(t, slow, open(t, nil))
		<-moving
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second) // MariaDB waits longer
		defer cancel()
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		if err := relay.Insert(ctx, tx, envelope("b@example.net"), strings.NewReader("b"), nil); err != nil {
			t.Errorf("while rows are moved: %v", err)
		} else if err := tx.Commit(); err != nil {
			t.Error(err)
		}
		close(goOn)
		go func() {
			for range moving {
			}
		}()
		stop()
	})
}
