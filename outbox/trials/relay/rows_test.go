//go:build linux

package relay

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fe022423/submission/outbox"
	"github.com/fe022423/submission/outbox/relay"
	"github.com/fe022423/submission/smtptest"
)

// TestConflict: a row whose key belongs to another message is kept and marked; one that is the
// same message goes.
func TestConflict(t *testing.T) {
	eachDatabase(t, func(t *testing.T, e engine) {
		logs := logged(t)
		db, happened := e.observed(t, e.fresh(t))
		q, srv := open(t, nil), smtptest.New(t, nil)
		work(t, q, srv)
		it := &outbox.Item{Key: "order 17"}
		first := insert(t, db, "to0@example.net", "first", it)
		insert(t, db, "to0@example.net", "second", it)
		insert(t, db, "to0@example.net", "first", it)
		insert(t, db, "to1@example.net", "first", it)
		insert(t, db, "to1@example.net", "other", nil)
		if first != outbox.IDOf("order 17") {
			t.Error(first)
		}
		run(t, db, q)
		once(t, srv, "to", 2)
		until(t, happened, "the rows are done with", func() bool { return count(t, db, "error IS NULL") == 0 })
		if n := count(t, db, "error LIKE '%used for another message%' AND tried IS NULL"); n != 2 {
			t.Errorf("%d rows are marked", n)
		}
		if n := strings.Count(logs(), "cannot be moved"); n != 2 {
			t.Errorf("%d rows are logged", n)
		}
		// When the cause is mended the row is moved.
		must(t, db, `UPDATE outbox_relay SET error = NULL, item = '{}' WHERE envelope LIKE '%to0@%'`)
		if _, err := srv.Wait(deadline(t), 3); err != nil {
			t.Error(err)
		}
	})
}

// TestBadRows: a row that cannot be read is kept and marked, and holds up nobody.
func TestBadRows(t *testing.T) {
	eachDatabase(t, func(t *testing.T, e engine) {
		logs := logged(t)
		db, happened := e.observed(t, e.fresh(t))
		q, srv := open(t, nil), smtptest.New(t, nil)
		work(t, q, srv)
		bad := map[string]string{
			"version = 2":                          "version",
			"version = 0":                          "version",
			"envelope = ''":                        "envelope",
			"envelope = '{'":                       "envelope",
			"envelope = 'null'":                    "recipient",
			"envelope = '{}'":                      "recipient",
			`envelope = '{"Colour":1}'`:            "Colour",
			"item = '{} {}'":                       "follows",
			"item = ']'":                           "item",
			`item = '{"Priority":9}'`:              "Priority",
			`envelope = '{"To":[{"Addr":"a b"}]}'`: "a b",
			"id = ''":                              "id",
		}
		if e.server == nil {
			bad["version = 'two'"] = "version"
		}
		insert(t, db, "to0@example.net", "hello", nil)
		n := 0
		for set := range bad {
			n++
			body := fmt.Sprint("bad ", n)
			insert(t, db, "bad@example.net", body, &outbox.Item{Key: body})
			must(t, db, "UPDATE outbox_relay SET "+set+` WHERE item LIKE '%"`+body+`"%'`)
		}
		insert(t, db, "to1@example.net", "hello", nil)
		run(t, db, q)
		until(t, happened, "the rows are done with", func() bool { return count(t, db, "error IS NULL") == 0 })
		once(t, srv, "to", 2)
		if left := count(t, db, "tried IS NULL"); left != n {
			t.Errorf("%d of %d rows are left", left, n)
		}
		for set, why := range bad {
			if where := strings.Replace(set, " '", " '", 1); count(t, db, where+" AND error LIKE '%"+why+"%'") == 0 {
				t.Errorf("a row with %s does not say %q", set, why)
			}
		}
		if got := strings.Count(logs(), "cannot be moved"); got != n {
			t.Errorf("%d rows are logged, %d are bad", got, n)
		}
	})
}

// TestFullQueue: rows wait until there is room, one that is larger than all of it lets the
// others pass, and none is marked.
func TestFullQueue(t *testing.T) {
	logs := logged(t)
	atOnce(t, func(t *testing.T, e engine) {
		db, happened := e.observed(t, e.fresh(t))
		q, srv := open(t, func(o *outbox.Options) { o.MaxBytes = 2 << 20 }), smtptest.New(t, nil)
		insert(t, db, "large@example.net", strings.Repeat("0123456789\r\n", 250_000), nil)
		const n = 20
		for i := range n {
			insert(t, db, numbered("to", i), strings.Repeat("0123456789\r\n", 15_000), nil)
		}
		run(t, db, q)
		until(t, happened, "the queue is full", func() bool {
			s, err := q.Stats(deadline(t))
			left := count(t, db, "error IS NULL")
			return err == nil && s.Counts[outbox.Queued] > 2 && strings.Contains(logs(), "full") && left > 5 && left < n
		})
		if count(t, db, "error IS NOT NULL") > 0 {
			t.Error("rows are marked")
		}
		work(t, q, srv)
		once(t, srv, "to", n)
		until(t, happened, "one row is left", func() bool { return count(t, db, "1 = 1") == 1 })
		until(t, happened, "it counts as not tried", func() bool { return count(t, db, "tried IS NULL AND error IS NULL") == 1 })
	})
}

// TestUnknownDialect: there is no table for it.
func TestUnknownDialect(t *testing.T) {
	for _, d := range []relay.Dialect{0, relay.MySQL + 1} {
		if s := relay.Schema(d); s != "" {
			t.Errorf("%d: %s", d, s)
		}
	}
}
